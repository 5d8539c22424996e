"""Algorithm 1 and eq 5 on problems that are small enough to know the answer of."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning.exact_policy import exact_cost, grade, grid_inputs, solve
from engine.learning.linear_q import LinearSettings, train_linear
from engine.learning.placement_env import draws, first_alpha
from engine.learning.placement_problem import AGGRESSIVE, NEAR, WAIT, Problem, make_problem, stack, step, step_cost
from engine.learning.placement_problem import test_problem as solvable_problem
from engine.learning.q_learning import TableSettings, train_table
from engine.learning.replay_memory import empty_memory, play

POVS = (0.05, 0.10, 0.20)


def small_problem(fill: float = 0.6, drift: float = 0.05) -> Problem:
    """Two lots, three steps, two states of alpha: wait, rest one lot, take one lot."""
    return make_problem(
        lots=2,
        level=[WAIT, NEAR, AGGRESSIVE],
        size=[0, 1, 1],
        spread_cost=[0.0, -0.4, 1.0],
        impact=[0.0, 0.5, 1.0],
        fill=[[0.0, 0.0], [fill, fill / 2], [1.0, 1.0]],
        alpha=[-1.0, 1.0],
        alpha_start=[0.5, 0.5],
        alpha_move=[[0.8, 0.2], [0.3, 0.7]],
        volume=[0.2, 0.3, 0.5],
        drift=drift,
        leftover=[2.0, 4.0],
        early=0.2,
        pov=0.1,
        objective=0,
    )


@settings(max_examples=5, deadline=None)
@given(fill=st.floats(0.1, 0.9), seed=st.integers(0, 2**64 - 1))
def test_the_table_finds_the_optimal_values_of_a_small_problem(fill: float, seed: int) -> None:
    problem, power = small_problem(fill), 0.8
    rule = TableSettings(seed=seed, episodes=150_000, first_explore=1.0, last_explore=1.0, rate_power=power)
    learned = train_table(stack([problem]), rule)
    often = learned.seen[0] > 500
    assert often.sum() == 30  # all that can be met: one state of the first step, two of the others, in each alpha
    bound = noise(problem, learned.seen[0], power)
    assert (np.abs(learned.value[0] + solve(problem).value) <= bound)[often].all()
    assert exact_cost(problem, learned.policy(0)) < solve(problem).cost + 2 * bound[0, 2].max()


def noise(problem: Problem, seen: np.ndarray, power: float) -> np.ndarray:
    """How far values may be off: five deviations of a running mean at its last rate, and what later values are off.

    A running mean that moves by ``rate`` has the variance of its targets times rate / (2 - rate).
    """
    best, bound = solve(problem), np.zeros((4, 3, 2, 3))
    worth = np.concatenate([np.where(np.arange(3)[:, None] > 0, best.value.min(axis=-1), 0), np.zeros((1, 3, 2))])
    for t in (2, 1, 0):
        for remaining, a, p in itertools.product((1, 2), (0, 1), (0, 1, 2)):
            target, off, chance = outcomes(problem, worth[t + 1], bound[t + 1].max(axis=-1), t, remaining, a, p)
            deviation = np.sqrt(chance @ (target - chance @ target) ** 2)
            rate = max(seen[t, remaining, a, p], 1) ** -power
            bound[t, remaining, a, p] = 5 * deviation * np.sqrt(rate / (2 - rate)) + chance @ off + 1e-9
    return bound[:3]


def outcomes(
    problem: Problem, later: np.ndarray, off: np.ndarray, t: int, remaining: int, a: int, p: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half-spreads from here on, what they may be off and the probability of each fill and next alpha."""
    rows = [
        (
            step_cost(problem, t, remaining, a, p, filled) + later[remaining - filled, b],
            off[remaining - filled, b] * (remaining > filled),
            chance * problem.alpha_move[a, b],
        )
        for filled, chance in (
            (0, 1 - problem.fill[t, p, a]),
            (min(problem.size[p], remaining), problem.fill[t, p, a]),
        )
        for b in (0, 1)
    ]
    target, carried, chance = np.array(rows).T
    return target, carried, chance


def test_updates_from_the_end_find_them_too() -> None:
    learned = train_table(
        stack([small_problem()]), TableSettings(order="end", episodes=30_000, last_explore=1.0, rate_power=0.8)
    )
    often = learned.seen[0] > 2_000
    assert np.abs(learned.value[0] + solve(small_problem()).value)[often].max() < 0.1


def test_on_policy_values_with_full_exploring_are_those_of_the_random_policy() -> None:
    """Eq 5 values what is done next, not the best."""
    problem = small_problem()
    rule = TableSettings(rule="sarsa", episodes=60_000, last_explore=1.0, rate_power=0.8)
    learned = train_table(stack([problem]), rule)
    often = learned.seen[0] > 2_000
    assert np.abs(learned.value[0] + costs_at_random(problem))[often].max() < 0.1


def costs_at_random(problem: Problem) -> np.ndarray:
    """Expected half-spreads after each placement when all later ones are drawn alike: [T, lots + 1, a, p]."""
    cost, later = np.zeros((3, 3, 2, 3)), np.zeros((4, 3, 2))
    for t in (2, 1, 0):
        for remaining, a, p in itertools.product((1, 2), (0, 1), (0, 1, 2)):
            for filled, chance in (
                (0, 1 - problem.fill[t, p, a]),
                (min(problem.size[p], remaining), problem.fill[t, p, a]),
            ):
                now = step_cost(problem, t, remaining, a, p, filled)
                cost[t, remaining, a, p] += chance * (now + problem.alpha_move[a] @ later[t + 1, remaining - filled])
        later[t] = cost[t].mean(axis=-1)
    return cost


def test_gamma_zero_learns_rewards_alone() -> None:
    problem = small_problem(drift=0.0)
    learned = train_table(stack([problem]), TableSettings(gamma=0.0, episodes=20_000, last_explore=1.0, rate_power=1.0))
    assert learned.value[0, 0, 2, 0] == pytest.approx([0.0, -0.6 * (0.5 * -0.4 + 0.5 * 0.25), -(0.5 + 0.25)], abs=0.01)


@pytest.mark.parametrize("order", ["step", "end"])
def test_the_same_seed_gives_the_same_table_alone_and_in_a_batch(order: str) -> None:
    rule = TableSettings(episodes=400, rounds=4, order=order)  # pyright: ignore[reportArgumentType]
    problems = [solvable_problem(pov) for pov in POVS]
    together = train_table(stack(problems), rule, seeds=[3, 4, 5])
    alone = train_table(stack(problems[1:2]), rule, seeds=[4])
    assert np.array_equal(together.value[1], alone.value[0])
    assert np.array_equal(together.history.reward[1], alone.history.reward[0])
    assert not np.array_equal(alone.value, train_table(stack(problems[1:2]), rule, seeds=[5]).value)


def test_every_decision_is_counted_once() -> None:
    learned = train_table(stack([solvable_problem(0.1)]), TableSettings(episodes=100, rounds=5))
    assert learned.visited[0, 0, 20] == 100
    assert (learned.visited.sum(axis=2)[0, 1:] <= learned.visited.sum(axis=2)[0, :-1]).all()
    assert learned.history.episodes[0].tolist() == [20, 40, 60, 80, 100]
    assert learned.history.placed.sum(axis=2) == pytest.approx(1)


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_linear_values_of_eq_5_are_better_than_at_random_and_stay_finite(seed: int) -> None:
    problem = solvable_problem(0.05)
    learned = train_linear(stack([problem]), LinearSettings(rule="sarsa", seed=seed, episodes=4_000))
    assert np.isfinite(learned.theta).all()
    assert learned.history.reward[0, -1] > learned.history.reward[0, 0]


def test_linear_values_without_a_future_are_least_squares() -> None:
    """Eq 5 with gamma 0 is stochastic least squares of the reward, over the very same decisions."""
    batch = stack([small_problem()])
    rule = LinearSettings(gamma=0.0, episodes=40_000, first_explore=1.0, last_explore=1.0, first_rate=0.1)
    learned = train_linear(batch, rule)
    memory, none = empty_memory(batch), np.zeros((1, 3, 3, 2), np.int64)
    play(batch, np.array([1], np.uint64), range(40_000), 1.0, none, np.full((1, 3, 3, 2, 3), 1 / 3), memory)
    seen, reward = memory.count[0].sum(axis=(-1, -2)).ravel(), memory.reward[0].sum(axis=-1).ravel()
    x = grid_inputs(small_problem()).reshape(-1, 7).astype(float)
    x, met = np.column_stack([x, np.ones(len(x))]), seen > 0
    weight = np.sqrt(seen[met])
    best = np.linalg.lstsq(x[met] * weight[:, None], reward[met] / weight, rcond=None)[0]
    assert np.array_equal(learned.visited[0], memory.count[0].sum(axis=(2, 3, 4, 5)))
    assert np.sqrt(np.average((x[met] @ (learned.theta[0] - best)) ** 2, weights=seen[met])) < 0.03


def test_bad_settings_and_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"gamma is 2, but must be in 0 \.\.\. 1"):
        TableSettings(gamma=2)
    with pytest.raises(ConfigError, match="pass stack"):
        train_table(solvable_problem(0.1), TableSettings())
    with pytest.raises(ConfigError, match="there are 2 seeds for 1 problems"):
        train_table(stack([solvable_problem(0.1)]), TableSettings(), seeds=[1, 2])
    with pytest.raises(ConfigError, match="must fall"):
        LinearSettings(first_rate=0.7)


@pytest.mark.parametrize("gamma", [1.0, 0.7])
@pytest.mark.parametrize("rule", ["max", "sarsa"])
@pytest.mark.parametrize("way", ["step", "end", "linear"])
def test_a_few_episodes_are_those_of_plain_python(rule: Any, gamma: float, way: Any) -> None:
    problem, terms = solvable_problem(0.2), {"rule": rule, "gamma": gamma, "seed": 5, "episodes": 60, "rounds": 3}
    if way == "linear":
        settings_of = LinearSettings(**terms)
        expected = plain_values(problem, settings_of, PlainLinear(problem, settings_of)).theta
        found = train_linear(stack([problem]), settings_of).theta[0]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)  # theirs are sums in single precision
    else:
        settings_of = TableSettings(**terms, order=way)
        expected = plain_values(problem, settings_of, PlainTable(problem, settings_of)).value
        assert np.array_equal(train_table(stack([problem]), settings_of).value[0], expected)


def plain_values(problem: Problem, rule: Any, learner: Any) -> Any:
    """Algorithm 1 or eq 5, sentence by sentence."""
    for episode in range(rule.episodes):
        epsilon = rule.first_explore + (rule.last_explore - rule.first_explore) * episode / (rule.episodes - 1)

        def chosen(state: tuple[int, int, int], epsilon: float = epsilon, episode: int = episode) -> int:
            _, _, whether, which = draws(rule.seed, 0, episode, state[0])
            if whether < epsilon:
                return int(which * len(problem.size))
            return int(np.argmax(learner.values(state)))

        state, done, updates = (0, problem.lots, first_alpha(problem, rule.seed, 0, episode)), False, []
        action = chosen(state)
        while not done:
            fill, move, _, _ = draws(rule.seed, 0, episode, state[0])
            reward, remaining, alpha, done = step(problem, *state, action, fill, move)
            later = (state[0] + 1, remaining, alpha)
            after = 0 if done else chosen(later)
            updates.append((state, action, reward, later, after, done))
            if getattr(rule, "order", "step") == "step":
                learner.update(*updates.pop(), episode)
            state, action = later, after
        for update in reversed(updates):
            learner.update(*update, episode)
    return learner


class PlainTable:
    def __init__(self, problem: Problem, rule: TableSettings) -> None:
        shape = (problem.steps, problem.lots + 1, len(problem.alpha), len(problem.size))
        self.value, self.seen, self.rule = np.full(shape, rule.first_value), np.zeros(shape), rule

    def values(self, state: tuple[int, int, int]) -> np.ndarray:
        return self.value[state]

    def update(self, state: Any, action: int, reward: float, later: Any, after: int, done: bool, episode: int) -> None:
        at, target = (*state, action), reward
        if not done:
            values = self.values(later)
            target += self.rule.gamma * (values.max() if self.rule.rule == "max" else values[after])
        self.seen[at] += 1
        self.value[at] += self.seen[at] ** -self.rule.rate_power * (target - self.value[at])


class PlainLinear:
    def __init__(self, problem: Problem, rule: LinearSettings) -> None:
        self.x, self.theta, self.rule = grid_inputs(problem).astype(float), np.zeros(8), rule

    def values(self, state: tuple[int, int, int]) -> np.ndarray:
        return self.x[state] @ self.theta[:-1] + self.theta[-1]

    def update(self, state: Any, action: int, reward: float, later: Any, after: int, done: bool, episode: int) -> None:
        target, rule = reward, self.rule
        if not done:
            values = self.values(later)
            target += rule.gamma * (values.max() if rule.rule == "max" else values[after])
        rate = rule.first_rate * (rule.last_rate / rule.first_rate) ** (episode / rule.episodes)
        phi = np.append(self.x[state][action], 1.0)
        self.theta += rate * (target - self.values(state)[action]) * phi


def test_the_table_beats_twap_where_it_has_learned_from_the_end() -> None:
    problem = solvable_problem(0.1)
    learned = train_table(stack([problem]), TableSettings(rule="sarsa", order="end"))
    assert grade(problem, learned.policy(0)).gap_closed > 0.7
