"""What own impact is calibrated to cost is what the broker takes, child by child."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.impact import AlmgrenChriss, Impact, Market, NoImpact, Propagator, SquareRoot, cell_size
from engine.broker.models import BrokerConfig, Fees, Latency, RiskConfig
from engine.impact_path import forecast_bp
from engine.instruments import Instrument
from engine.learning.own_impact import ROWS, STARTS, OwnImpact, own_impact
from engine.learning.placement_problem import AGGRESSIVE, NEAR, test_problem
from engine.learning.replay_env import ReplayEnv, Terms
from engine.strategy import SECOND
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from feeds.replay import TapeFeed

test_problem.__test__ = False  # type: ignore[attr-defined]
OPEN, START, STEPS, LOTS = 1_000 * SECOND, 1_010 * SECOND, 40, 20
BID, TICK, SHOWN = 400_000, 100, 1_000_000
MID = BID + TICK / 2


def still_market(volume: int, before: int, shown: int) -> Tape:
    """A touch that never moves; ``before`` trades ahead of the parent, then ``volume`` a step in equal trades."""
    times = START + (np.arange(STEPS * ROWS) * 2 + 1) * SECOND // (2 * ROWS)
    tape = np.zeros(2 + len(times), ROW)
    tape["ts_event"] = tape["ts_recv"] = [OPEN, START - SECOND, *times]
    tape["flags"], tape["kind"], tape["side"], tape["price"] = Flag.LAST, Kind.TRADE, -1, BID
    tape["size"][1], tape["size"][2:] = before, volume // ROWS
    quote = {"kind": Kind.QUOTE, "side": 0, "size": shown, "price2": BID + TICK, "size2": shown}
    for field, value in quote.items():
        tape[field][0] = value
    unit = Instrument(symbol="X", price_unit="1/10000", tick=TICK, book="L1", levels=1)
    session = (OPEN, START + (STEPS + 10) * SECOND)
    manifest = Manifest(name="still", instruments=[unit], sessions=[session], synthetic=True)
    return Tape(tape[tape["size"] > 0], manifest)


def worked(
    impact: Impact, *, volume: int, lot: int, size: int, before: int = 0, level: int = AGGRESSIVE, shown: int = 10**6
) -> list[tuple[float, float]]:  # fmt: skip
    """(spread cost, move) of each child of a buying parent that is worked evenly, price units."""
    problem = test_problem(0.1)
    placement = int(np.flatnonzero((problem.level == level) & (problem.size == size))[0])
    fees = Fees(maker_per_unit=-2_000, taker_per_unit=3_000)
    env = ReplayEnv(
        problem,
        Terms(symbol="X", lot_size=lot, half_spread=1.0, step_s=1.0),
        TapeFeed(still_market(volume, before, shown)),
        [START],
        broker=BrokerConfig(latency=Latency(feed=0, entry=0, response=0), impact=impact, fees=fees),
        risk=RiskConfig(stale_ns=0, max_size=0, max_notional=0, collar_ppm=0),
    )
    state = env.reset()
    assert state is not None
    is_done = False
    while not is_done:
        _, state, is_done = env.step(placement if state.step * LOTS % (STEPS * size) == 0 else 0)
    return [(note.spread_cost, note.move) for note in env.episode.notes if note.filled]


@pytest.mark.parametrize("model", [Propagator, SquareRoot, AlmgrenChriss])
@settings(max_examples=4, deadline=None)
@given(
    volume=st.integers(10, 200).map(lambda n: ROWS * n), lot=st.integers(1, 300), size=st.sampled_from([1, 2, 4]),
    volatility=st.floats(0.005, 0.05),
)  # fmt: skip
def test_a_child_costs_in_replay_what_it_is_calibrated_to_cost(model, volume, lot, size, volatility):
    market = Market(daily_volume=600_000, daily_volatility=volatility)
    impact = model(market={"X": market})
    children = LOTS // size
    even = np.full((1, STEPS), float(volume))
    told = own_impact(impact, market, lot * size, even, children=children, mid=MID, tick=TICK, spread=TICK)
    befores = [cell_size(impact, market) * start // STARTS for start in range(STARTS)]
    met = [one for before in befores for one in worked(impact, volume=volume, before=before, lot=lot, size=size)]
    assert len(met) == STARTS * children
    assert np.mean([cost for cost, _ in met]) == pytest.approx(TICK / 2 + told.standing + told.charge, abs=0.01)
    assert not any(move for _, move in met)  # the tape's mid is not ours to move


def test_who_rests_pays_what_stands_and_no_charge():
    impact = Propagator(market={"X": Market(daily_volume=600_000, daily_volatility=0.02)})
    met = worked(impact, volume=800, lot=20, size=1, level=NEAR, shown=1)
    stood = [(cost + TICK / 2) / TICK for cost, _ in met]
    assert len(stood) == LOTS
    assert stood[0] == 0
    assert max(stood) > 0
    assert all(ticks == int(ticks) for ticks in stood)


def test_without_impact_nothing_is_met():
    market, still = Market(daily_volume=1, daily_volatility=1.0), np.ones((1, STEPS))
    assert own_impact(NoImpact(), market, 9, still, children=2, mid=MID, tick=TICK, spread=TICK) == OwnImpact(0, 0)


@settings(max_examples=20, deadline=None)
@given(
    pov=st.floats(0.02, 0.3), volatility=st.floats(0.005, 0.05), period=st.floats(0.02, 0.2),
    region=st.sampled_from(["NA", "APAC", "EMEA"]),
)  # fmt: skip
def test_many_children_between_fine_ticks_cost_the_macro_forms_forecast(pov, volatility, period, region):
    model = Propagator(region=region)
    market = Market(daily_volume=100_000_000, daily_volatility=volatility)
    volume, steps = period * market.daily_volume, 400
    even = np.full((1, steps), volume / steps)
    found = own_impact(model, market, pov * even[0, 0], even, children=steps, mid=1e9, tick=1, spread=2)
    told = forecast_bp(model, market, round(pov * volume), volume * model.units_a_day / market.daily_volume)
    assert 1e4 * (found.standing + found.charge) / 1e9 == pytest.approx(told, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(volatility=st.floats(0.005, 0.05), factor=st.floats(1.5, 8))
def test_a_charge_rises_with_size_less_than_in_proportion(volatility, factor):
    market = Market(daily_volume=1_000_000, daily_volatility=volatility)
    for model in (Propagator(), SquareRoot()):
        one, more = (
            own_impact(model, market, size, np.full((1, 1), 2_000.0), children=1, mid=1e9, tick=1, spread=2)
            for size in (100, 100 * factor)
        )  # fmt: skip
        assert one.charge < more.charge < 1.05 * factor * one.charge
        assert one.standing == more.standing == 0
