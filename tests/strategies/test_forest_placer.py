"""The placer: the laws of the house, its limits under any forecast and any venue, and what a forecast may change."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_market import small_market
from toy_market import ToyMarket

from engine import KeptJournal, build, load, run
from engine.broker.impact import Market, Propagator
from engine.broker.models import BrokerConfig, Latency
from engine.errors import ConfigError
from engine.events import Quote, Signal
from engine.foresight import Foresight
from engine.instruments import Instrument
from engine.learning.placer_study import foresee
from engine.model_file import load_model
from engine.orders import TimeInForce
from engine.parent import ParentOrder
from engine.run import run_config
from engine.shipped import shipped_configs, shipped_folder
from engine.signals import NAMES, Probe
from engine.strategy import MILLISECOND, SECOND
from engine.tape import Manifest, Tape
from engine.testing.laws import StrategyLaws
from engine.verify import verify
from feeds.replay import TapeFeed
from strategies.follow_schedule import Instruction, Tactics
from strategies.forest_placer import NEVER, ForestPlacer, Placement, choose, places

OPEN, CLOSE = 1_000 * SECOND, 1_120 * SECOND
MODEL = str(shipped_folder("configs") / "models" / "DEMO_20.model")
EAGER = Placement(cross=0.06, improve=0.02, deepen=0.02, wait=0.01, most_ahead=0.2, most_behind=0.3)
FINISHES = Tactics(finish_s=10)
SLOW = BrokerConfig(
    latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND, response=400 * MILLISECOND),
    impact=Propagator(market={"X": Market(daily_volume=1_000_000, daily_volatility=0.02)}),  # not from later rows
)


def named(tape, symbol):
    instruments = [msgspec.structs.replace(tape.instruments[0], symbol=symbol)]
    manifest = Manifest(name="small", instruments=instruments, sessions=tape.sessions, synthetic=True)
    return Tape(tape.rows, manifest)


def placer(
    symbol: str = "X",
    shares: int = 2_000,
    side: Any = "buy",
    *,
    signals: Any = "model",
    tactics=FINISHES,
    placement=EAGER,
):
    order = Instruction(symbol=symbol, side=side, shares=shares, start_after_open_s=5, end_before_close_s=5)
    made = ForestPlacer(orders=(order,), signals=signals, tactics=tactics, placement=placement)
    made.probes = (Probe(symbol=symbol, model=MODEL, clock="quote"),)
    return made


LIVELY = small_market(11, 900)  # long enough for full windows, and so for forecasts


@pytest.mark.slow
class TestForestPlacer(StrategyLaws):
    own_tape = named(LIVELY, "A")
    broker = BrokerConfig(latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND))

    def make_strategy(self):
        made = placer("A", 300, tactics=Tactics(every_ms=500, finish_s=0))
        order = msgspec.structs.replace(made.params.orders[0], start_after_open_s=0, end_before_close_s=0)
        again = ForestPlacer(msgspec.structs.replace(made.params, orders=(order,)))
        again.probes = made.probes
        return again


class Foretelling(TestForestPlacer):
    """The same with foresight of the tape that it is given."""

    __test__ = False

    def _replay(self, tape, at=()):
        self.foresight = foresee(tape, "A", load_model(MODEL).manifest)
        return super()._replay(tape, at)

    def make_strategy(self):
        made = super().make_strategy()
        params = msgspec.structs.replace(made.params, signals="foresight")
        told = ForestPlacer(params, foresight=self.foresight)
        told.probes = made.probes
        return told


def keeps_the_law_of_look_ahead(laws, tape):
    whole = laws._replay(tape).decisions
    heads = (laws._replay(Tape(tape.rows[:rows], tape.manifest)).decisions for rows in range(400, len(tape), 10))
    return all(whole[: len(early)] == early for early in heads)


def test_the_law_of_look_ahead_catches_foresight_and_passes_the_model():
    assert keeps_the_law_of_look_ahead(TestForestPlacer(), TestForestPlacer.own_tape)
    assert not keeps_the_law_of_look_ahead(Foretelling(), TestForestPlacer.own_tape)


def test_no_config_can_have_foresight():
    with pytest.raises(ConfigError, match="reads the future of the tape, which no run may"):
        build(load(shipped_configs()["forest_placer"], sets=["params.signals=foresight"]))
    with pytest.raises(ConfigError, match="which no run may"):
        ForestPlacer(orders=(), signals="model", foresight=Foresight({}))


def replay(made, tape=LIVELY, **feed):
    journal = KeptJournal()
    result = run(made, TapeFeed(tape, **feed), broker=SLOW, seed=1, journal=journal)
    return result, journal.records


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 10**6), side=st.sampled_from(["buy", "sell"]), data=st.data())
def test_cutting_the_tape_into_chunks_changes_nothing(seed, side, data):
    tape = small_market(seed, 800)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(tape) - 1), max_size=8)))
    whole, _ = replay(placer(side=side), tape)
    cut, _ = replay(placer(side=side), tape, chunks=cuts)
    assert cut.fingerprint == whole.fingerprint
    assert cut.parents == whole.parents


def test_event_by_event_it_decides_as_on_the_whole_tape_and_forecasts_change_what_it_does():
    whole, _ = replay(placer())
    single, _ = replay(placer(), chunks=1)
    off, _ = replay(placer(signals="off"))
    assert single.fingerprint == whole.fingerprint != off.fingerprint


@pytest.mark.parametrize("step_in", [NEVER, -NEVER])
def test_without_leans_that_it_heeds_the_model_changes_nothing(step_in):
    deaf = Placement(cross=NEVER, improve=step_in, deepen=NEVER, wait=NEVER)
    assert replay(placer(placement=deaf))[0].fingerprint == replay(placer(placement=deaf, signals="off"))[0].fingerprint


def test_stale_forecasts_are_ignored_by_rule(tmp_path):
    from engine.model_file import save_model

    model = load_model(MODEL)
    stale = msgspec.structs.replace(model.manifest, stale_ns=1, horizon_cdf=[(1, 1.0)])
    save_model(tmp_path / "stale.model", stale, model.trees)
    made = placer()
    made.probes = (Probe(symbol="X", model=str(tmp_path / "stale.model"), clock="quote"),)
    assert replay(made)[0].fingerprint == replay(placer(signals="off"))[0].fingerprint


# On a venue that does whatever it likes, with forecasts at random


class ForecastMarket(ToyMarket):
    """A toy market with a forecast that comes, goes and ages at random; the same for all who ask in one step."""

    def signal(self, symbol):
        random = Random(f"{self.seed} {self.now}")
        if random.random() < 0.3:
            return None
        down, up = sorted(random.random() for _ in range(2))
        return Signal.of(self.now, symbol, 1, [0.0] * len(NAMES), (down, up - down, 1 - up))

    def weight(self, signal):
        return Random(f"weight {self.seed} {self.now}").random()


@st.composite
def runs(draw, **fixed):
    """A market, a placer and how far ahead it may be."""
    lot = draw(st.sampled_from([1, 100]))
    terms = {
        "limit": draw(st.none() | st.integers(95, 105).map(float)),
        "participation": draw(st.sampled_from([0.0, 0.01, 0.1])),
    } | fixed
    order = Instruction(
        symbol="X", side=draw(st.sampled_from(["buy", "sell"])), shares=draw(st.integers(1, 50)) * lot,
        start_after_open_s=draw(st.integers(0, 40)), end_before_close_s=draw(st.integers(0, 40)), **terms,
    )  # fmt: skip
    threshold = st.sampled_from([0.05, 0.3, NEVER])
    step_in = st.sampled_from([-NEVER, -0.1, 0.05, 0.3, NEVER])
    part = st.sampled_from([0.01, 0.1, 1.0])
    placement = Placement(
        cross=draw(threshold), improve=draw(step_in), deepen=draw(threshold), wait=draw(threshold),
        most_ahead=draw(part), most_behind=draw(part),
    )  # fmt: skip
    tactics = Tactics(
        every_ms=draw(st.sampled_from([100, 1_000])), tolerance=draw(st.sampled_from([0.0, 0.05])),
        completion=draw(st.sampled_from(["cross", "leave"])), finish_s=draw(st.integers(0, 30)),
    )  # fmt: skip
    market = ForecastMarket(
        seed=draw(st.integers(0, 2**32)), session=(OPEN, CLOSE), scrambles=draw(st.booleans()),
        instrument_=Instrument(symbol="X", price_unit="0.01", tick=100, lot=lot),
        trouble=draw(st.sampled_from([0.0, 0.1, 0.5])),
    )  # fmt: skip
    made = ForestPlacer(orders=(order,), placement=placement, tactics=tactics)
    made.probes = (Probe(symbol="X", model=MODEL),)
    return market, made


quick = settings(max_examples=40, deadline=None)


@quick
@given(run=runs())
def test_before_the_finish_done_and_open_are_never_further_ahead_of_the_schedule_than_allowed(run):
    market, made = run
    params = made.params

    def check():
        parent, schedule = market.parents[0], made.worker._schedules[0]
        finish = parent.order.end - params.tactics.finish_s * SECOND
        if params.tactics.completion == "leave" or market.now < finish:
            ahead = max(schedule.lot, int(params.placement.most_ahead * parent.order.size))
            filled = sum(size for _, _, _, size in market.fills)
            assert filled <= parent.done + parent.open <= schedule.target(market.now) + ahead

    market.run(made, after_each_step=check)


@quick
@given(run=runs())
def test_children_keep_limit_window_lot_tick_and_size_whatever_is_forecast(run):
    market, made = run
    market.run(made)
    order = market.parents[0].order
    for child in market.sent:
        assert child.side == order.side
        assert order.start <= child.sent < order.end
        assert child.size % market.instrument_.lot == 0
        assert child.price % 100 == 0
        assert order.allows(child.price)
        assert child.tif is TimeInForce.IOC or (child.expire_ts == order.end and child.post_only)
    assert market.parents[0].done == sum(size for _, _, _, size in market.fills) <= order.size


@quick
@given(run=runs(participation=0.05))
def test_own_volume_never_passes_the_participation_cap(run):
    market, made = run
    at_start = 0

    def check():
        nonlocal at_start
        if market.now < market.parents[0].order.start:
            at_start = market.volume("X")
        assert sum(size for _, _, _, size in market.fills) <= 0.05 * (market.volume("X") - at_start)

    market.run(made, after_each_step=check)


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 10**6), side=st.sampled_from(["buy", "sell"]), most=st.sampled_from([0.02, 0.1]))
def test_it_is_never_long_further_behind_than_allowed_where_there_is_enough_to_take(seed, side, most):
    made = placer(shares=500, side=side, placement=msgspec.structs.replace(EAGER, most_behind=most))
    seen = []
    look = made.worker.look

    def looking(desk, symbol=""):
        look(desk, symbol)
        seen.append((desk.now, made.state.parents[0].done, made.state.parents[0].target))

    made.worker.look = looking
    replay(made, small_market(seed, 900, trouble=0.0))
    for now, done, _ in seen:  # 1.4 s to pull and to take, a second to the next look, twice where little is displayed
        assert done >= max((target for ts, _, target in seen if ts <= now - 5 * SECOND), default=0) - most * 500 - 1


@quick
@given(run=runs(limit=None, participation=0.0))
def test_with_liquidity_and_no_limit_the_parent_is_completed_by_its_end(run):
    market, made = run
    market.trouble = 0.0
    assume(market.instrument_.lot == 1)
    in_time = msgspec.structs.replace(made.params.tactics, completion="cross", finish_s=30, every_ms=1_000)
    again = ForestPlacer(msgspec.structs.replace(made.params, tactics=in_time))
    again.probes = made.probes
    market.run(again)
    assert market.parents[0].is_done


# The choice


URGENCY = ["deeper", "touch", "improve", "cross"]
parts = st.floats(-1, 1)


@given(lean=parts, more=parts, behind=parts, further=parts, tolerance=st.floats(0, 0.2))
def test_a_higher_lean_or_being_further_behind_never_makes_it_less_urgent(lean, more, behind, further, tolerance):
    low, high = sorted([lean, more])
    near, far = sorted([behind, further])
    rules = Placement(cross=0.5, improve=0.2, deepen=0.2, wait=0.1, most_behind=0.3)
    place = choose(low, near, tolerance, rules)
    assert URGENCY.index(place) <= URGENCY.index(choose(high, near, tolerance, rules))
    assert URGENCY.index(place) <= URGENCY.index(choose(low, far, tolerance, rules)) or behind == further


@given(lean=parts, behind=st.floats(0.3, 1, exclude_min=True), tolerance=st.floats(0, 0.2))
def test_no_forecast_lets_it_wait_once_it_is_behind_by_more_than_the_limit(lean, behind, tolerance):
    assert choose(lean, behind, tolerance, Placement(wait=0.01, deepen=0.01, most_behind=0.3)) == "cross"


@pytest.mark.parametrize(
    ("lean", "behind", "place"),
    [(0.0, 0.0, "touch"), (0.25, 0.0, "improve"), (0.6, 0.0, "cross"), (-0.3, 0.0, "deeper"),
     (0.0, 0.02, "cross"), (-0.15, 0.02, "touch"), (-0.3, 0.02, "deeper"), (-1.0, 0.06, "cross")],
)  # fmt: skip
def test_lean_and_schedule_choose_the_place(lean, behind, place):
    rules = Placement(cross=0.5, improve=0.2, deepen=0.2, wait=0.1)
    assert choose(lean, behind, 0.01, rules) == place


def test_places_are_a_tick_apart_and_within_the_spread_and_the_limit():
    buy = ParentOrder(symbol="X", side=1, size=1, start=0, end=1)
    sell = ParentOrder(symbol="X", side=-1, size=1, start=0, end=1, limit=10_250)
    wide, tight = Quote(0, "X", 10_000, 10_200, 5, 5), Quote(0, "X", 10_000, 10_100, 5, 5)
    assert places(buy, wide, 100) == {"deeper": 9_900, "touch": 10_000, "improve": 10_100}
    assert places(buy, tight, 100) == {"deeper": 9_900, "touch": 10_000}
    assert places(sell, wide, 100) == {"deeper": 10_300, "touch": 10_300, "improve": 10_300}
    assert places(buy, Quote(0, "X", 10_000, 10_000, 5, 5), 100) == {}
    assert places(buy, Quote(0, "X", 10_000, 10_100, 0, 5), 100) == {}


def test_a_placer_without_a_model_says_what_to_do():
    made = placer()
    made.probes = (Probe(symbol="X"),)
    with pytest.raises(ConfigError, match=r'no probe with a model forecasts X; add \[\[probes\]\].*signals = "off"'):
        replay(made)


@pytest.mark.parametrize("wrong", [{"cross": 0.0}, {"wait": 2.5}, {"most_ahead": 0.0}, {"most_behind": 1.5}])
def test_leans_and_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="placement"):
        Placement(**wrong)


# The config that ships


def test_the_shipped_config_forecasts_with_a_model_that_never_saw_its_day():
    setup = build(load(shipped_configs()["forest_placer"]))
    facts = load_model(setup.strategies[0].probes[0].model).manifest
    assert max(last for _, last in facts.trained) < setup.feed.tape.sessions[0][0]
    assert facts.content == setup.strategies[0].probes[0].content


@pytest.mark.slow
def test_the_shipped_config_runs_and_its_fingerprint_verifies(tmp_path):
    sets = ['feed_params.end="2026-03-02T16:00:00"']
    result = run_config(load(shipped_configs()["forest_placer"], sets=sets), out=tmp_path / "run")
    assert result.parents[0].done > 0
    assert verify(tmp_path / "run").matches
