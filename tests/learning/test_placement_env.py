from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import plain_cost, problems

from engine.errors import ConfigError
from engine.learning import placement_problem as placement
from engine.learning.exact_policy import exact_cost, greedy, grid_inputs
from engine.learning.placement_env import PlacementEnv, Transitions, network_policy
from engine.learning.placement_problem import Problem, stack
from engine.q_network import Weights, q_block, q_columns, q_value, values
from engine.testing.philox import philox4x32

seeds = st.integers(0, 2**64 - 1)


def networks(n: int, seed: int, inputs: int = 7) -> Weights:
    """Networks at random, one for each ticker, which choose now this and now that."""
    rng = np.random.Generator(np.random.Philox(seed))
    shapes = [(n, 50, inputs), (n, 50), (n, 50), (n, 1)]
    net = Weights(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))
    net.w1[:, :, :-3] *= 5
    net.w1[:, :, -1] *= 5
    return net


def joined(parts: list[Transitions]) -> Transitions:
    return Transitions(*(np.concatenate(arrays, axis=2) for arrays in zip(*parts, strict=True)))


def same(one: Transitions, other: Transitions) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=30)
@given(problem=problems(), seed=seeds)
def test_an_episode_is_that_of_plain_python_with_the_same_counters(problem: Problem, seed: int) -> None:
    env = PlacementEnv(stack([problem, problem]), 3, seed=seed)
    found = env.collect(networks(2, 1), 12, explore=0.5)
    for i in range(2):
        for j in range(3):
            episode, t, k = j, 0, 0
            remaining, a = problem.lots, picked(problem.alpha_start, plain_draws(seed, i, episode, -1)[1])
            while k < 12:
                fill, move, whether, which = plain_draws(seed, i, episode, t)
                p = int(found.action[i, j, k])
                if whether < 0.5:
                    assert p == int(which * len(problem.size))
                filled = min(int(problem.size[p]), remaining) if fill < problem.fill[t, p, a] else 0
                assert (found.step[i, j, k], found.remaining[i, j, k], found.alpha[i, j, k]) == (t, remaining, a)
                assert found.reward[i, j, k] == pytest.approx(
                    -plain_cost(problem, t, remaining, a, p, filled), abs=1e-6
                )
                t, remaining, a, k = t + 1, remaining - filled, picked(problem.alpha_move[a], move), k + 1
                assert (found.next_remaining[i, j, k - 1], found.next_alpha[i, j, k - 1]) == (remaining, a)
                assert found.is_done[i, j, k - 1] == (remaining == 0 or t == problem.steps)
                if found.is_done[i, j, k - 1]:
                    episode, t, remaining = episode + 3, 0, problem.lots
                    a = picked(problem.alpha_start, plain_draws(seed, i, episode, -1)[1])


def plain_draws(seed: int, ticker: int, episode: int, t: int) -> list[float]:
    words = philox4x32(
        (episode & 0xFFFFFFFF, episode >> 32, t + 1 + (16 << 16), ticker), (seed & 0xFFFFFFFF, seed >> 32)
    )
    return [word / 2**32 for word in words]


def picked(probabilities: np.ndarray, draw: float) -> int:
    passed = 0.0
    for i, probability in enumerate(probabilities[:-1]):
        passed += probability
        if draw < passed:
            return i
    return len(probabilities) - 1


@settings(max_examples=30)
@given(problem=problems(), seed=seeds, cut=st.integers(0, 12))
def test_stopping_and_going_on_changes_nothing(problem: Problem, seed: int, cut: int) -> None:
    batch, net = stack([problem, problem]), networks(2, 2)
    whole, first, second = (PlacementEnv(batch, 4, seed=seed) for _ in range(3))
    parts = [first.collect(net, cut, explore=0.3)]
    second.state[:] = first.state
    parts.append(second.collect(net, 12 - cut, explore=0.3))
    assert same(whole.collect(net, 12, explore=0.3), joined(parts))
    assert np.array_equal(whole.state, second.state)


def test_an_episode_does_not_depend_on_how_many_are_played_beside_it() -> None:
    batch, net = stack([placement.test_problem(0.10)]), networks(1, 8)
    few, many = PlacementEnv(batch, 2, seed=5), PlacementEnv(batch, 6, seed=5)
    alone, beside = few.collect(net, 130), many.collect(net, 40)
    for j in (0, 1):  # episodes 0, 2, 4 of one parent are the first of three others
        ends = np.flatnonzero(alone.is_done[0, j])[:2] + 1
        for episode, start in enumerate([0, *ends]):
            theirs = np.flatnonzero(beside.is_done[0, j + 2 * episode])[0] + 1
            ours, other = alone.reward[0, j, start : start + theirs], beside.reward[0, j + 2 * episode, :theirs]
            assert np.array_equal(ours, other)


@settings(max_examples=30)
@given(problem=problems(), seed=seeds, inputs=st.sampled_from([6, 7]))
def test_choosing_inside_the_kernel_is_choosing_outside(problem: Problem, seed: int, inputs: int) -> None:
    net, batch = networks(2, 4, inputs), stack([problem, problem._replace(pov=0.2)])
    inside, outside = PlacementEnv(batch, 3, seed=seed), PlacementEnv(batch, 3, seed=seed)
    found = inside.collect(net, 6)
    for k in range(6):
        common, each = outside.inputs()
        action = [
            [np.argmax(values(Weights(*(w[i] for w in net)), common[i, j, 7 - inputs :], each[i, j])) for j in range(3)]
            for i in range(2)
        ]
        assert np.array_equal(found.action[:, :, k], action)
        stepped = outside.step(action)
        assert np.array_equal(stepped.reward.astype(np.float32), found.reward[:, :, k])
        assert np.array_equal(stepped.is_done, found.is_done[:, :, k])
        assert np.array_equal(stepped.state[2:], [found.next_remaining[:, :, k], found.next_alpha[:, :, k]])
    assert np.array_equal(inside.state, outside.state)


def test_many_decisions_at_once_have_the_bits_of_one() -> None:
    net = Weights(*(array[0] for array in networks(1, 9)))
    rng = np.random.Generator(np.random.Philox(1))
    common, fill = rng.normal(size=(4, 65)).astype(np.float32), rng.random((8, 65), np.float32)
    spread_cost, size = rng.normal(size=(2, 8)).astype(np.float32)
    together, alone = np.empty((8, 65), np.float32), np.empty(8, np.float32)
    q_block(*net, common, spread_cost, fill, size, np.empty(65, np.float32), together)
    for i in range(65):
        q_columns(*net, np.ascontiguousarray(common[:, i]), spread_cost, np.ascontiguousarray(fill[:, i]), size, alone)
        assert np.array_equal(together[:, i], alone)


def test_a_networks_table_is_greedy_in_its_values() -> None:
    problem = placement.test_problem(0.10)
    net = Weights(*(array[0] for array in networks(1, 10)))
    grid = grid_inputs(problem)
    q = np.array([q_value(*net, x) for x in grid.reshape(-1, 7)]).reshape(grid.shape[:-1])
    table = network_policy(problem, net)
    assert np.array_equal(table[:, 1:], greedy(q)[:, 1:])
    assert len(np.unique(table)) == 8


def test_episodes_under_a_network_cost_what_its_table_costs_exactly() -> None:
    problem = placement.test_problem(0.10)
    net = networks(1, 8)
    found = PlacementEnv(stack([problem]), 2000, seed=8).collect(net, 400)
    paid = [
        np.diff(np.cumsum(row)[end], prepend=0) for row, end in zip(-found.reward[0], found.is_done[0], strict=True)
    ]
    whole = np.concatenate([one[:8] for one in paid])  # the first ones of each parent: no short ones preferred
    expected = exact_cost(problem, network_policy(problem, Weights(*(array[0] for array in net))))
    assert abs(whole.mean() - expected) < 4 * whole.std() / np.sqrt(len(whole))


def test_exploring_takes_every_placement_alike() -> None:
    env = PlacementEnv(stack([placement.test_problem(0.10)] * 2), 500, seed=9)
    found = env.collect(networks(2, 8), 100, explore=[1.0, 0.0])
    share = np.bincount(found.action[0].ravel(), minlength=8) / 50_000
    assert share == pytest.approx(np.full(8, 1 / 8), abs=0.006)  # four standard errors
    greedy_alone = PlacementEnv(stack([placement.test_problem(0.10)] * 2), 500, seed=9).collect(networks(2, 8), 100)
    assert np.array_equal(found.action[1], greedy_alone.action[1])


def test_bad_requests_are_refused() -> None:
    problem = placement.test_problem(0.10)
    with pytest.raises(ConfigError, match=r"needs a batch of problems; pass stack\(\[problem\]\)"):
        PlacementEnv(problem, 1, seed=1)
    with pytest.raises(ConfigError, match="parents is 0, but must be >= 1"):
        PlacementEnv(stack([problem]), 0, seed=1)
    with pytest.raises(ConfigError, match="seed is -1"):
        PlacementEnv(stack([problem]), 1, seed=-1)
    env = PlacementEnv(stack([problem]), 2, seed=1)
    with pytest.raises(ConfigError, match=r"action must be an index in 0 \.\.\. 7 for each of \(1, 2\) parents"):
        env.step([[0, 8]])
    with pytest.raises(ConfigError, match=r"w1 has shape \(50, 7\), but needs \(1 tickers, hidden, 6 or 7 inputs\)"):
        env.collect(Weights(*(array[0] for array in networks(1, 1))), 1)
