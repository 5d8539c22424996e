"""The agent: the laws of the house, its limits under any weights on any venue, and what it does near its limit."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_agent import LEVELS, random_agent
from small_market import small_market
from toy_market import ToyMarket

from engine import KeptJournal, run
from engine.agent_choice import Chooser
from engine.agent_model import AgentManifest, load_agent, save_agent
from engine.broker.impact import Market, Propagator
from engine.broker.models import BrokerConfig, Latency
from engine.child_orders import DEEPER, NEAR, WAIT
from engine.config import build, load
from engine.errors import ConfigError
from engine.instruments import Instrument
from engine.learning import placement_problem
from engine.learning.agent_export import export_agent, problem_of
from engine.orders import TimeInForce
from engine.parent import ParentOrder
from engine.q_network import Weights, best_allowed, q_values
from engine.shipped import shipped_folder
from engine.strategy import MILLISECOND, SECOND
from engine.tape import State
from engine.testing.laws import StrategyLaws
from feeds.replay import TapeFeed
from strategies.follow_schedule import Instruction
from strategies.vwap_agent import AgentProgress, Limits, VwapAgent

OPEN, CLOSE = 1_000 * SECOND, 1_120 * SECOND
DAY = {symbol: Market(daily_volume=1_000_000, daily_volatility=0.02) for symbol in ("A", "X")}
SLOW = BrokerConfig(
    latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND, response=400 * MILLISECOND),
    impact=Propagator(market={"X": DAY["X"]}),  # not from later rows
)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Agents with weights at random: mild, and so large that their Q overflows."""
    folder = tmp_path_factory.mktemp("agents")
    for seed in range(6):
        inputs = ("progress", "elapsed", "alpha", "spread_cost", "fill", "size")
        told = {"inputs": inputs} if seed % 2 else {}
        random_agent(folder / f"{seed}.agent", seed, scale=1.0 if seed < 4 else 1e30, steps=10, **told)
    return [folder / f"{seed}.agent" for seed in range(6)]


def always(folder: Path, placement: int, **changed: Any) -> str:
    """An agent that takes one placement wherever it may, else waits."""
    agent = random_agent(folder, 0, steps=10, **changed)
    zero = Weights(*(np.zeros_like(part) for part in agent.weights))
    # Q falls with the distance from the placement's spread cost and size, which no other has
    own = np.array([agent.arrays.spread_cost[placement], agent.arrays.size[placement] / agent.manifest.lots])
    for j, sign in enumerate((1, -1)):
        for i, column in enumerate((4, 6)):
            zero.w1[2 * j + i, column] = sign
            zero.b1[2 * j + i] = -sign * own[i]
            zero.z[2 * j + i] = -100
    save_agent(folder, agent.manifest, zero, agent.arrays, overwrite=True)
    return str(folder)


def made(agent: Path | str, symbol: str = "X", limits: Limits | None = None, **terms: Any) -> VwapAgent:
    told = {"symbol": symbol, "side": "buy", "shares": 2_000, "start_after_open_s": 5, "end_before_close_s": 5}
    order = Instruction(**(told | terms))
    return VwapAgent(orders=(order,), agent_folder=str(agent), market=DAY, limits=limits or Limits(finish_s=10))


# The laws of the house


@pytest.mark.slow
class TestVwapAgent(StrategyLaws):
    broker = BrokerConfig(latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND))

    @pytest.fixture(autouse=True)
    def _agent(self, agents):
        self.agent = agents[1]

    def make_strategy(self):
        limits = Limits(every_ms=1, finish_s=0)
        return made(self.agent, "A", limits, shares=300, start_after_open_s=0, end_before_close_s=0)


def replay(strategy, tape, **feed):
    journal = KeptJournal()
    result = run(strategy, TapeFeed(tape, **feed), broker=SLOW, seed=1, journal=journal)
    return result, journal.records


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), side=st.sampled_from(["buy", "sell"]), which=st.integers(0, 5), data=st.data())
def test_cutting_the_tape_into_chunks_changes_nothing(agents, seed, side, which, data):
    tape = small_market(seed, 800)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(tape) - 1), max_size=8)))
    whole, _ = replay(made(agents[which], side=side), tape)
    cut, _ = replay(made(agents[which], side=side), tape, chunks=cuts)
    assert cut.fingerprint == whole.fingerprint
    assert cut.parents == whole.parents


def test_event_by_event_it_decides_as_on_the_whole_tape_and_other_weights_decide_otherwise(agents):
    tape = small_market(11, 900)
    whole, _ = replay(made(agents[0]), tape)
    single, _ = replay(made(agents[0]), tape, chunks=1)
    other, _ = replay(made(agents[2]), tape)
    assert single.fingerprint == whole.fingerprint != other.fingerprint
    assert whole.parents[0].done > 0


# On a venue that does whatever it likes, with weights at random


@st.composite
def runs(draw, **fixed):
    """A market and what makes an agent, given the folders of agents."""
    lot = draw(st.sampled_from([1, 100]))
    terms = {
        "side": draw(st.sampled_from(["buy", "sell"])),
        "shares": draw(st.integers(1, 50)) * lot,
        "start_after_open_s": draw(st.integers(0, 40)),
        "end_before_close_s": draw(st.integers(0, 40)),
        "limit": draw(st.none() | st.integers(95, 105).map(float)),
        "participation": draw(st.sampled_from([0.0, 0.01, 0.1])),
    } | fixed
    limits = Limits(
        every_ms=draw(st.sampled_from([100, 1_000])), finish_s=draw(st.integers(0, 30)),
        most_behind=draw(st.sampled_from([0.01, 0.2, 1.0])), latch=draw(st.sampled_from([0.0, 0.1, 1.0])),
    )  # fmt: skip
    market = ToyMarket(
        seed=draw(st.integers(0, 2**32)), session=(OPEN, CLOSE), scrambles=draw(st.booleans()),
        instrument_=Instrument(symbol="X", price_unit="0.01", tick=100, lot=lot),
        trouble=draw(st.sampled_from([0.0, 0.1, 0.5])),
    )  # fmt: skip
    return market, draw(st.integers(0, 5)), limits, terms


quick = settings(max_examples=settings().max_examples // 4)


@quick
@given(run=runs())
def test_before_the_finish_done_and_open_stay_within_the_slice_or_the_latchs_bound(agents, run):
    market, which, limits, terms = run
    agent = made(agents[which], limits=limits, **terms)

    def check():
        parent, schedule = market.parents[0], agent.worker._schedules[0]
        order, episode = parent.order, agent.state.episodes[0]
        if market.now >= order.end - limits.finish_s * SECOND or episode.slice < 0:
            return
        most = max(episode.before + episode.size, schedule.target(market.now) + int(limits.latch * order.size))
        filled = sum(size for _, _, _, size in market.fills)
        assert filled <= parent.done + parent.open <= most

    market.run(agent, after_each_step=check)


@quick
@given(run=runs())
def test_children_keep_limit_window_lot_tick_and_size_whatever_the_weights(agents, run):
    market, which, limits, terms = run
    market.run(made(agents[which], limits=limits, **terms))
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
def test_own_volume_never_passes_the_participation_cap_whatever_the_weights(agents, run):
    market, which, limits, terms = run
    agent = made(agents[which], limits=limits, **terms)
    at_start = 0

    def check():
        nonlocal at_start
        parent = market.parents[0]
        if market.now < parent.order.start:
            at_start = market.volume("X")
        filled = sum(size for _, _, _, size in market.fills)
        assert filled <= parent.done + parent.open <= 0.05 * (market.volume("X") - at_start)

    market.run(agent, after_each_step=check)


@quick
@given(run=runs(limit=None, participation=0.0))
def test_with_liquidity_and_no_limit_the_parent_is_completed_by_its_end_whatever_the_weights(agents, run):
    market, which, limits, terms = run
    market.trouble = 0.0
    assume(market.instrument_.lot == 1)
    in_time = msgspec.structs.replace(limits, finish_s=30, every_ms=1_000)
    market.run(made(agents[which], limits=in_time, **terms))
    assert market.parents[0].is_done


@quick
@given(run=runs(), cut=st.integers(1, 1_199))
def test_a_strategy_restored_from_a_snapshot_goes_on_as_if_nothing_had_happened(agents, run, cut):
    market, which, limits, terms = run
    again = ToyMarket(
        seed=market.seed, session=market.session, instrument_=market.instrument_, trouble=market.trouble,
        scrambles=market.scrambles,
    )  # fmt: skip
    market.run(made(agents[which], limits=limits, **terms))
    first, second = (made(agents[which], limits=limits, **terms) for _ in range(2))
    first.on_start(again)  # type: ignore[arg-type]
    again.go_on(first, until=OPEN + cut * 100 * MILLISECOND)  # also amid a step of the agent's
    second.state = msgspec.msgpack.decode(msgspec.msgpack.encode(first.state), type=AgentProgress)
    second.on_start(again)  # type: ignore[arg-type]
    again.go_on(second)
    assert again.sent == market.sent
    assert again.fills == market.fills


# What it is told and what it may do


def test_the_network_is_told_what_training_told_it_and_its_choice_is_the_greedy_one(tmp_path):
    problem = placement_problem.test_problem(0.1)
    agent = random_agent(tmp_path / "a.agent", 3)
    told = {"trained_on": "the test problem", "step_s": 1.0, "overwrite": True}
    agent = export_agent(tmp_path / "a.agent", problem, agent.weights, agent.arrays.visited, **told)
    for mine, theirs in zip(problem_of(load_agent(tmp_path / "a.agent")), problem, strict=True):
        assert np.array_equal(mine, theirs)
    chooser, rng = Chooser(agent), np.random.default_rng(1)
    common, each, q = np.zeros(4, np.float32), np.zeros((8, 3), np.float32), np.zeros(8, np.float32)
    for t, left, a in rng.integers((0, 0, 0), (problem.steps, problem.lots + 1, 3), (500, 3)).tolist():
        allowed = (rng.random(8) < 0.7).tolist()
        placement_problem.inputs(problem, t, left, a, common, each)
        q_values(*agent.weights, common, each, q)
        chosen = chooser.choose(t, left / problem.lots, float(problem.alpha[a]), allowed)
        assert chosen == best_allowed(q, np.array(allowed)) or not any(allowed)


@pytest.mark.parametrize(("side", "leans"), [("buy", 0.5), ("sell", -0.5)])
def test_a_forecast_that_favours_a_seller_is_against_a_buyer(tmp_path, side, leans):
    desk: Any = SimpleNamespace(
        quote=lambda symbol: SimpleNamespace(bid_size=300, ask_size=100),
        signal=lambda symbol: SimpleNamespace(probabilities=(0.1, 0.3, 0.6)),  # down, none, up
    )
    order = ParentOrder(symbol="X", side=1 if side == "buy" else -1, size=100, start=OPEN, end=CLOSE)
    for number, (forecast, model) in enumerate([("imbalance", ""), ("model", "a.model"), ("model", "")]):
        folder = tmp_path / f"{number}.agent"
        random_agent(folder, 1, forecast=forecast, lean_edge=0.2)
        agent = made(folder, side=side)
        agent.probes = (SimpleNamespace(symbol="X", model=model),)  # type: ignore[assignment]
        assert agent.lean(order, desk) == pytest.approx(leans if forecast == "imbalance" or model else 0.0)
        states = [agent.chooser.alpha_state(lean) for lean in (-0.5, 0.0, 0.5)]
        assert states == [0, 1, 2]  # alpha is -1, 0 and 1 in these agents


class Scripted(ToyMarket):
    """A market whose touch stays where it is put."""

    def _move(self, strategy):
        self._volume += 100

    def put(self, bid, ask, size=50):
        self._bid, self._spread, self._sizes = bid * 100, ask - bid, [size, size]


def scripted(agent, lot=1):
    market = Scripted(
        seed=1, session=(OPEN, CLOSE), trouble=0.0,
        instrument_=Instrument(symbol="X", price_unit="0.01", tick=100, lot=lot),
    )  # fmt: skip
    market.put(100, 101)
    agent.on_start(market)  # type: ignore[arg-type]
    return market


def test_at_the_participation_cap_not_a_share_more_is_sent(tmp_path):
    agent = made(always(tmp_path / "a.agent", 5), limits=Limits(finish_s=110), participation=0.0333)
    market = scripted(agent)
    market.go_on(agent, until=OPEN + 5 * SECOND)
    begun = market.volume("X")
    market.go_on(agent, until=OPEN + 40 * SECOND)
    market._move = lambda strategy: None  # nobody trades any more
    market.go_on(agent, until=OPEN + 50 * SECOND)
    parent, volume = market.parents[0], market.volume("X") - begun
    assert int(0.0333 * (volume - 100)) <= parent.done + parent.open <= int(0.0333 * volume)
    assert 500 < parent.done < parent.order.size


def test_near_its_limit_an_order_shows_nothing_and_crosses_nothing(tmp_path):
    for placement in (1, 5):  # near, aggressive
        agent = made(always(tmp_path / "a.agent", placement), limits=Limits(finish_s=0), limit=99.0)
        market = scripted(agent)
        market.go_on(agent, until=OPEN + 60 * SECOND)
        assert market.sent == []


def test_the_latch_takes_what_comes_under_the_limit_up_to_its_bound_and_then_all_is_as_before(tmp_path):
    folder = always(tmp_path / "a.agent", LEVELS.index(WAIT))
    limits = Limits(finish_s=0, latch=0.1, most_behind=1.0)
    agent = made(folder, limits=limits, limit=100.0)
    market = scripted(agent)
    market.go_on(agent, until=OPEN + 40 * SECOND)
    assert market.sent == []  # the ask is beyond the limit
    market.put(99, 100, size=400)
    market.go_on(agent, until=OPEN + 50 * SECOND)
    parent, schedule = market.parents[0], agent.worker._schedules[0]
    bought = parent.done
    assert bought == schedule.target(OPEN + 40 * SECOND + 500 * MILLISECOND) + 200  # at the first look that saw it
    market.go_on(agent, until=OPEN + 60 * SECOND)
    assert parent.done == bought  # the bound was reached, and the agent waits as it learned
    market.put(100, 101, size=400)
    market.go_on(agent, until=OPEN + 70 * SECOND)
    market.put(99, 100, size=400)
    market.go_on(agent, until=OPEN + 75 * SECOND)
    assert parent.done > bought  # forbidden and there again
    never = made(folder, limits=msgspec.structs.replace(limits, latch=0.0), limit=100.0)
    market = scripted(never)
    market.go_on(never, until=OPEN + 40 * SECOND)
    market.put(99, 100, size=400)
    market.go_on(never, until=OPEN + 60 * SECOND)
    assert market.sent == []


def test_a_child_at_the_chosen_price_keeps_its_place(tmp_path):
    agent = made(
        always(tmp_path / "a.agent", LEVELS.index(DEEPER), step_s=11.0), limits=Limits(finish_s=0, most_behind=1.0)
    )
    market = scripted(agent)
    market._match = lambda: None  # nothing fills
    market.go_on(agent, until=OPEN + 60 * SECOND)
    assert len(market.sent) == 1
    assert market.sent[0].price == 99 * 100


def test_far_behind_its_schedule_it_crosses_though_it_learned_to_wait(tmp_path):
    agent = made(always(tmp_path / "a.agent", 0), limits=Limits(finish_s=10, most_behind=0.2))
    market = scripted(agent)
    worst = 0

    def check():
        nonlocal worst
        parent = market.parents[0]
        worst = max(worst, parent.target - parent.done)

    market.go_on(agent, until=OPEN + 100 * SECOND, after_each_step=check)
    assert 0 < worst <= 0.2 * 2_000 + 100  # a few looks for what is displayed and for reports


def test_once_far_behind_it_crosses_back_to_half_of_that_though_little_is_displayed(tmp_path):
    agent = made(always(tmp_path / "a.agent", 0), limits=Limits(finish_s=10, most_behind=0.2))
    market = scripted(agent)
    market.put(100, 101, size=20)  # 1 % of the parent a look
    looks = []

    def check():
        parent = market.parents[0]
        looks.append((parent.target, parent.done, len(market.sent)))

    market.go_on(agent, until=OPEN + 100 * SECOND, after_each_step=check)
    late = next(k for k, (target, done, _) in enumerate(looks) if target - done > 400)
    quiet = [k for k in range(late, len(looks) - 20) if looks[late][2] < looks[k][2] == looks[k + 20][2]]
    assert quiet, "it crosses without an end"
    waits = quiet[0]
    assert looks[late][0] - 200 <= looks[waits][1] < looks[late][0]


def test_what_rested_rests_again_when_it_has_caught_up(tmp_path):
    agent = made(
        always(tmp_path / "a.agent", LEVELS.index(NEAR), step_s=110.0), limits=Limits(finish_s=0, most_behind=0.2)
    )
    market = scripted(agent)
    market._match = lambda: None  # nothing that rests fills
    market.go_on(agent, until=OPEN + 100 * SECOND)
    steps = [(child.sent - OPEN - 5 * SECOND) // (11 * SECOND) for child in market.sent if child.tif is TimeInForce.GTD]
    assert any(child.tif is TimeInForce.IOC for child in market.sent)
    assert len(steps) > len({*steps})  # not only in the next step


@pytest.mark.parametrize("wrong", [{"most_behind": 0.0}, {"latch": 1.5}, {"every_ms": 0}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="limits"):
        Limits(**wrong)


def test_another_agent_than_the_one_asked_for_is_refused(agents):
    assert isinstance(load_agent(agents[0]).manifest, AgentManifest)
    order = made(agents[0]).params.orders
    with pytest.raises(ConfigError, match="was asked for"):
        VwapAgent(orders=order, agent_folder=str(agents[0]), agent_content="0" * 64, market=DAY)


def test_a_latch_that_is_no_whole_number_of_lots_opens_again_and_lateness_stays_within_its_limit(tmp_path):
    limits = Limits(finish_s=0, latch=0.1, most_behind=0.2)
    agent = made(always(tmp_path / "a.agent", LEVELS.index(WAIT)), limits=limits, limit=100.0, shares=15_300)
    market = scripted(agent, lot=100)
    market.go_on(agent, until=OPEN + 30 * SECOND)
    market.put(99, 100, size=5_000)
    latched = OPEN + 40 * SECOND
    market.go_on(agent, until=latched)
    parent, schedule = market.parents[0], agent.worker._schedules[0]
    assert parent.done >= schedule.target(OPEN + 30 * SECOND) + 1_400
    for second in range(41, 115):
        market.go_on(agent, until=OPEN + second * SECOND)
        assert schedule.target(market.now) - parent.done <= 0.2 * 15_300 + 200  # what one look and a lot may add


def test_an_order_that_its_cap_holds_back_rests_and_is_not_late(tmp_path):
    agent = made(always(tmp_path / "a.agent", 1), limits=Limits(finish_s=0), participation=0.003)
    market = scripted(agent)
    market.go_on(agent, until=OPEN + 110 * SECOND)
    assert market.sent
    assert not [child for child in market.sent if child.tif is TimeInForce.IOC]


def test_what_makes_way_for_a_latch_or_a_halt_rests_again_in_the_same_step(tmp_path):
    agent = made(always(tmp_path / "a.agent", 1, step_s=11.0), limits=Limits(finish_s=0, latch=0.1), limit=100.0)
    market = scripted(agent)
    market.go_on(agent, until=OPEN + 17 * SECOND)
    parent = market.parents[0]
    assert parent.open > 0
    market.put(99, 100, size=400)
    market.go_on(agent, until=OPEN + 20 * SECOND)
    assert any(child.tif is TimeInForce.IOC for child in market.sent)
    assert parent.open > 0
    for state, is_open in ((State.HALT, False), (State.OPEN, True)):
        agent.on_status(SimpleNamespace(symbol="X", state=state), market)  # type: ignore[arg-type]
        market.go_on(agent, until=market.now + 2 * SECOND)
        assert (parent.open > 0) == is_open


def test_the_hash_of_its_agent_is_among_its_parameters_and_another_is_refused(tmp_path):
    folder = tmp_path / "a.agent"
    content = random_agent(folder, 1).manifest.content
    agent = made(folder)
    assert agent.params.agent_content == content
    random_agent(folder, 2)
    with pytest.raises(ConfigError, match=content[:12]):
        VwapAgent(agent.params)


def test_a_run_that_ships_names_its_agent_by_hash():
    config = build(load(shipped_folder("configs") / "vwap_agent.toml")).config
    shipped = load_agent(shipped_folder("configs") / "models" / "DEMO_VWAP.agent")
    assert config.strategies[0].params["agent_content"] == shipped.manifest.content
