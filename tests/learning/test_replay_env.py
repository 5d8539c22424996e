"""The replayed placement problem: its costs are those of the money that was paid, and its arithmetic the problem's."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_market import CLOSE, OPEN, small_market

from engine.broker.impact import Market, NoImpact, Propagator
from engine.broker.models import BrokerConfig, Latency, RiskConfig
from engine.learning.exact_policy import twap
from engine.learning.paired_effects import Effect
from engine.learning.placement_gap import gap, play
from engine.learning.placement_problem import VWAP, WAIT, Problem, step_cost, test_problem, with_objective
from engine.learning.replay_env import ReplayEnv, Terms
from engine.strategy import MILLISECOND, SECOND
from engine.tape import Kind
from feeds.replay import TapeFeed

test_problem.__test__ = False  # type: ignore[attr-defined]
QUIET = BrokerConfig(latency=Latency(feed=MILLISECOND, entry=MILLISECOND, response=MILLISECOND), impact=NoImpact())
MOVING = msgspec.structs.replace(
    QUIET, impact=Propagator(market={"X": Market(daily_volume=200_000, daily_volatility=0.03)})
)
STARTS = [OPEN + 5 * SECOND, OPEN + 60 * SECOND]


def short(objective: int = 0) -> Problem:
    """The solvable problem, to be worked in 40 s."""
    return with_objective(test_problem(0.1), objective)


def env(
    seed: int, problem: Problem, side: int = 1, broker: BrokerConfig = QUIET, starts: list[int] = STARTS
) -> ReplayEnv:
    terms = Terms(symbol="X", lot_size=20, half_spread=50.0, step_s=1.0, wait_ns=SECOND)
    tape = small_market(seed, 900, trouble=0.0)
    return ReplayEnv(
        problem, terms, TapeFeed(tape), starts, broker=broker, risk=RiskConfig(stale_ns=60 * SECOND), side=side
    )


def at_random(problem: Problem, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, len(problem.size), (problem.steps, problem.lots + 1, len(problem.alpha)))


@pytest.mark.parametrize("broker", [QUIET, MOVING], ids=["no impact", "impact"])
@settings(max_examples=8)
@given(seed=st.integers(0, 1_000), side=st.sampled_from([1, -1]))
def test_without_penalties_measured_costs_are_the_shortfall_against_the_tapes_mid_at_the_start(broker, seed, side):
    plain = short()._replace(early=0.0, leftover=np.zeros(2), risk=0.0)
    played, tape = env(seed, plain, side, broker), small_market(seed, 900, trouble=0.0)
    quotes = tape.rows[tape.rows["kind"] == Kind.QUOTE]

    def mid(ts: int) -> float:
        last = quotes[np.searchsorted(quotes["ts_event"], ts, side="right") - 1]
        return (int(last["price"]) + int(last["price2"])) / 2

    money = float(tape.instruments[0].money)
    episodes, shortfalls, begun = [], [], 0
    while (state := played.reset()) is not None:
        rng, done, charged = np.random.default_rng(seed), False, played._onlooker.charged
        while not done:
            chosen = int(rng.integers(0, 8))
            _, state, done = played.step(chosen if state.allowed[chosen] else 0)
        parent, arrival, last = played._parent, mid(STARTS[begun]), mid(played._desk.now)
        open_part = (parent.order.size - parent.done) * (last - arrival)
        paid = parent.order.side * (parent.notional - parent.done * arrival + open_part)
        shortfalls.append((paid + (played._onlooker.charged - charged) / money) / 50 / 400)
        episodes.append(played.episode)
        begun += 1
    assert len(episodes) == 2
    assert [one.measured for one in episodes] == pytest.approx(shortfalls, abs=1e-9)
    assert (played._onlooker.charged > 0) == (broker is MOVING)


@settings(max_examples=10)
@given(seed=st.integers(0, 1_000), objective=st.sampled_from([0, VWAP]))
def test_tabled_costs_are_the_problems_own_for_what_filled(seed, objective):
    problem = short(objective)
    for one in play(env(seed, problem), at_random(problem, seed)):
        left = float(problem.lots)
        for note in one.notes:
            assert note.remaining == pytest.approx(left)
            assert note.tabled == step_cost(problem, note.step, note.remaining, note.alpha, note.placement, note.filled)
            left -= note.filled
        assert one.done == pytest.approx((problem.lots - left) * 20)
        assert 0 <= one.done <= one.shares


def test_the_same_day_gives_the_same_episodes_and_another_side_others():
    problem = short()
    first, again, other = (list(play(env(3, problem, side), twap(problem))) for side in (1, 1, -1))
    assert first == again != other
    assert [one.side for one in first] == [1, -1]


def test_waiting_trades_nothing_and_costs_what_the_mid_did_and_the_penalty():
    problem = short()
    policy = np.full((problem.steps, problem.lots + 1, 3), int(np.flatnonzero(problem.level == WAIT)[0]))
    for one in play(env(5, problem), policy):
        assert one.done == 0
        assert one.measured == pytest.approx(sum(note.move for note in one.notes) + 10.0)


def test_a_day_that_ends_within_a_period_leaves_what_is_left():
    problem = short()._replace(drift=0.0)
    policy = np.full((problem.steps, problem.lots + 1, 3), int(np.flatnonzero(problem.level == WAIT)[0]))
    played = env(5, problem, starts=[CLOSE - 20 * SECOND])
    (one,) = play(played, policy)
    assert len(one.notes) < problem.steps
    assert one.measured == pytest.approx(sum(note.move for note in one.notes) + 10.0)
    assert one.tabled == pytest.approx(10.0)


def test_the_parts_of_the_gap_add_up():
    problem, policy = short(), twap(short())
    episodes = [one for seed in range(3) for side in (1, -1) for one in play(env(seed, problem, side), policy)]
    found = gap(
        "twap", problem, policy, episodes, block=1, draws=200, rng=lambda: np.random.Generator(np.random.Philox(1))
    )
    assert isinstance(found.difference, Effect)
    assert found.difference.mean == pytest.approx(found.fills.mean + found.prices.mean + found.moves.mean)
    assert found.expected_done == pytest.approx(1.0)
    assert {one.level: one.sent > 0 for one in found.levels} == {"deeper": False, "near": False, "aggressive": True}
