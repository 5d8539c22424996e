"""What a calibrated problem promises of an order is what replay gives it, where ticks are large and where small."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from engine.broker.impact import NoImpact, Propagator
from engine.broker.models import BrokerConfig, Latency, RiskConfig
from engine.learning.calibrate import Calibrated, Days, ParentTerms, calibrate
from engine.learning.exact_policy import fixed_rules
from engine.learning.placement_gap import Gap, gap, play
from engine.learning.replay_env import ReplayEnv, Terms
from engine.learning.step_facts import Periods
from engine.learning.ticker_days import Measuring, ticker_days
from engine.strategy import SECOND
from engine.tape import Tape
from feeds.replay import TapeFeed
from feeds.synthetic import MarketParams, Stock, synthetic_market

MEASURING = Measuring(periods=Periods(after_open_s=300, before_close_s=0, each_s=600), every_s=15.0)
TERMS = ParentTerms(steps=40, pov=0.1, objective="vwap")

pytestmark = pytest.mark.slow


class Market(NamedTuple):
    tapes: list[Tape]
    days: Days
    found: Calibrated


@pytest.fixture(scope="module", params=["large", "small"])
def market(request: pytest.FixtureRequest) -> Market:
    price = {"large": "20.00", "small": "100.00"}[request.param]
    stock = Stock(symbol="SYN", regime=request.param, price=price, daily_volatility=0.02)
    tapes = synthetic_market(
        MarketParams(stocks=(stock,), window_minutes=(60, 150)), seed=5, date="2026-03-02", days=4, view="L1"
    )
    days = ticker_days(tapes, "SYN", terms=TERMS, povs=[TERMS.pov], measuring=MEASURING)
    return Market(tapes, days, calibrate(days, TERMS, impact=Propagator()))


def replayed(market: Market, rule: str, *, has_impact: bool = True) -> Gap:
    """Buyers and sellers of every period that was calibrated to, each alone."""
    found = market.found
    policy = fixed_rules(found.problem)[rule]
    impact = Propagator(market={"SYN": market.days.market}) if has_impact else NoImpact()
    terms = Terms(
        symbol="SYN",
        lot_size=round(found.lot_size),
        half_spread=found.half_spread,
        step_s=found.step_s,
        lean_edge=found.lean_edge,
    )
    episodes = []
    for tape, steps in zip(market.tapes, market.days.steps, strict=True):
        for start in steps.start.tolist():
            for side in (1, -1):
                env = ReplayEnv(
                    found.problem, terms, TapeFeed(tape), [start], side=side,
                    broker=BrokerConfig(latency=Latency(feed=0, entry=1_000, response=1_000), impact=impact),
                    risk=RiskConfig(stale_ns=600 * SECOND),
                )  # fmt: skip
                episodes += play(env, policy)
    return gap(
        rule, found.problem, policy, episodes, block=3, draws=200, rng=lambda: np.random.Generator(np.random.Philox(1))
    )


def test_a_lot_that_crosses_pays_what_was_promised(market: Market) -> None:
    found = replayed(market, "twap")
    level = found.levels[-1]
    assert level.level == "aggressive"
    assert level.paid == pytest.approx(level.spread_cost, abs=0.15)  # half-spreads; impact is 1.1 and 2.3 of it
    assert level.filled == pytest.approx(level.expected, abs=0.02)


@pytest.mark.parametrize(("rule", "placement"), [("always near 1", 1), ("always near 2", 2)])
def test_a_lot_that_rests_fills_as_often_and_costs_what_was_promised(market: Market, rule: str, placement: int) -> None:
    found = replayed(market, rule, has_impact=False)
    (level,) = (one for one in found.levels if one.sent)
    mark = market.found.marks[placement - 1]
    assert level.filled == pytest.approx(level.expected, abs=0.06)
    assert level.paid == pytest.approx(mark.cost, abs=0.1)


def test_a_parent_alone_costs_no_less_than_with_impact_off(market: Market) -> None:
    for rule in ("twap", "always near 1"):
        with_impact, without = (replayed(market, rule, has_impact=on) for on in (True, False))
        assert with_impact.replayed.mean > without.replayed.mean + market.found.impact.standing / 2


def test_problems_without_impact_differ_by_its_terms_alone(market: Market) -> None:
    still = calibrate(market.days, TERMS, impact=NoImpact()).problem
    found = msgspec.structs.asdict(market.found)["problem"]
    for name in ("fill", "alpha_move", "volume", "drift"):
        assert np.array_equal(getattr(still, name), getattr(found, name))
