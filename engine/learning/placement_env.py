"""Thousands of parents at once on the placement problem, with a network choosing inside the kernel.

Every ticker of a batch has ``parents`` parents; one that ends begins its next episode at once. All chance of an episode
comes from (seed, ticker, episode, step), by counter: an episode is the same whoever plays it, with how many beside it,
and in whatever order. One call of Philox gives a decision its four draws (fill, next alpha, whether to explore, what),
each of 32 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.broker.philox import philox
from engine.compiled import compiled, compiled_bare
from engine.errors import ConfigError
from engine.learning.placement_problem import Problem, common_inputs, inputs, nth, pick, stack, step
from engine.q_network import PER_PLACEMENT, Weights, q_block, q_columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PLACEMENT = 16  # of a draw: what it is for (engine.broker.philox has the others), with the step
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_UNIT = 1.0 / 4294967296.0
_BLOCK = 64  # parents for whom the network computes at once: their inputs and values stay in the nearest cache
EPISODE, STEP, REMAINING, ALPHA = 0, 1, 2, 3  # rows of the state


class Stepped(NamedTuple):
    """What a step gave every parent, of n tickers and m parents each."""

    reward: Floats  # [n, m] half-spreads
    is_done: NDArray[np.bool_]  # [n, m] the environment's state is already the next episode's
    state: Ints  # [4, n, m] where the step led, in its own episode


class Transitions(NamedTuple):
    """k decisions in a row of every parent: arrays [n, m, k], int32 but for the last two."""

    step: NDArray[np.int32]
    remaining: NDArray[np.int32]  # lots before the decision
    alpha: NDArray[np.int32]  # index
    action: NDArray[np.int32]
    next_remaining: NDArray[np.int32]  # in the same episode, also where it is done
    next_alpha: NDArray[np.int32]
    reward: NDArray[np.float32]  # half-spreads
    is_done: NDArray[np.bool_]


class PlacementEnv:
    """``parents`` parents of every problem of a batch (``placement_problem.stack``), from the first episode on.

    ``state``, int64[4, n, m], is all that changes: the episode, the step, the lots that remain and the index of alpha.
    Keep a copy to go on later with the same bits.
    """

    def __init__(self, problems: Problem, parents: int, *, seed: int) -> None:
        """See the class.

        Raises
        ------
        ConfigError
            If ``problems`` is not a batch, there is no parent, or the seed is not in 0 ... 2^64 - 1.
        """
        if np.ndim(problems.lots) != 1:
            raise ConfigError("an environment needs a batch of problems; pass stack([problem])")
        if parents < 1:
            raise ConfigError(f"parents is {parents}, but must be >= 1")
        self.problems, self.seed = problems, _key(seed)
        self.state = np.zeros((4, len(np.asarray(problems.lots)), parents), np.int64)
        self._columns = _columns(problems)
        self.reset()

    def reset(self) -> None:
        """Back to the first episodes."""
        self.state[EPISODE] = np.arange(self.state.shape[2])
        _begin(self.problems, self.seed, self.state)

    def inputs(self, state: Ints | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What a network reads for every parent, now or in ``state``.

        Common inputs are float32[n, m, 4], those of placements float32[n, m, p, 3].
        """
        where = self.state if state is None else state
        shape = where.shape[1:]
        common, each = np.empty((*shape, 4), np.float32), np.empty((*shape, self.placements, 3), np.float32)
        _inputs(self.problems, where, common, each)
        return common, each

    @property
    def placements(self) -> int:
        """How many there are to choose from."""
        return self.problems.size.shape[1]

    def step(self, action: ArrayLike) -> Stepped:
        """One step of every parent with ``action``, int[n, m].

        Raises
        ------
        ConfigError
            If the shape is another, or there is no such placement.
        """
        chosen = np.asarray(action, np.int64)
        if chosen.shape != self.state.shape[1:] or chosen.min() < 0 or chosen.max() >= self.placements:
            raise ConfigError(
                f"action must be an index in 0 ... {self.placements - 1} for each of {self.state.shape[1:]} parents"
            )
        out = Stepped(np.empty(chosen.shape), np.empty(chosen.shape, np.bool_), np.empty_like(self.state))
        _step(self.problems, self.seed, self.state, chosen, out)
        return out

    def collect(self, weights: Weights, decisions: int, *, explore: ArrayLike = 0.0) -> Transitions:
        """``decisions`` in a row of every parent, each the network's best, or any with probability ``explore``.

        Parameters
        ----------
        weights : Weights
            Of each ticker: one more axis in front, ``w1`` float32[n, hidden, 7], or 6 inputs without pov.
        explore : float or float[n]
            Epsilon.

        Raises
        ------
        ConfigError
            If the weights are not one network for each ticker.
        """
        n, m = self.state.shape[1:]
        nets = Weights(*(np.ascontiguousarray(array, np.float32) for array in weights))
        if nets.w1.ndim != 3 or len(nets.w1) != n or nets.w1.shape[2] not in (PER_PLACEMENT + 3, PER_PLACEMENT + 4):
            raise ConfigError(f"w1 has shape {nets.w1.shape}, but needs ({n} tickers, hidden, 6 or 7 inputs)")
        out = empty_transitions(n, m, decisions)
        epsilon = np.array(np.broadcast_to(np.asarray(explore, np.float64), (n,)))
        _collect(self.problems, self._columns, nets, epsilon, self.seed, self.state, out)
        return out


def simulate(problem: Problem, action: Ints, episodes: int, *, seed: int) -> Floats:
    """Half-spreads that a policy's table, int64[T, lots + 1, a], pays in each of its episodes: float64[episodes]."""
    cost = np.zeros(episodes)
    _simulate(problem, _key(seed), np.ascontiguousarray(action, np.int64), cost)
    return cost


def network_policy(problem: Problem, weights: Weights) -> Ints:
    """The table of a network's choices in every state, int64[T, lots + 1, a]: what ``exact_policy`` grades."""
    action = np.zeros((problem.steps, problem.lots + 1, len(problem.alpha)), np.int64)
    _tabulate(problem, _columns(stack([problem])), weights, action)
    return action


def empty_transitions(n: int, m: int, k: int) -> Transitions:
    """Room for k decisions of m parents of n tickers."""
    kinds: list[Any] = [np.int32] * 6 + [np.float32, np.bool_]
    arrays: list[Any] = [np.empty((n, m, k), kind) for kind in kinds]
    return Transitions(*arrays)


class Columns(NamedTuple):
    """The inputs of placements as the network's kernel likes them: contiguous over placements."""

    spread_cost: NDArray[np.float32]  # [n, p]
    fill: NDArray[np.float32]  # [n, T, a, p]
    size: NDArray[np.float32]  # [n, p]


def _columns(problems: Problem) -> Columns:
    return Columns(
        problems.spread_cost.astype(np.float32),
        np.ascontiguousarray(problems.fill.transpose(0, 1, 3, 2), np.float32),
        (problems.size / np.asarray(problems.lots)[:, None]).astype(np.float32),
    )


def _key(seed: int) -> np.uint64:
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed is {seed}, but must be in 0 ... 2^64 - 1")
    return np.uint64(seed)


@compiled_bare
def draws(seed, ticker, episode, t):
    """Four uniform draws in [0, 1) of a step, or with ``t = -1`` of an episode's start."""
    key, number = np.uint64(seed), np.uint64(episode)
    purpose = np.uint64(t + 1) + np.uint64(65536) * np.uint64(_PLACEMENT)
    a, b, c, d = philox(key & _LOW, key >> _32, number & _LOW, number >> _32, purpose, np.uint64(ticker))
    return np.float64(a) * _UNIT, np.float64(b) * _UNIT, np.float64(c) * _UNIT, np.float64(d) * _UNIT


@compiled_bare
def first_alpha(problem, seed, ticker, episode):
    """The state of alpha in which an episode begins."""
    return pick(problem.alpha_start, draws(seed, ticker, episode, -1)[1])


@compiled
def _begin(problems, seed, state):
    for i in range(state.shape[1]):
        problem = nth(problems, i)
        for j in range(state.shape[2]):
            _begin_parent(problem, seed, i, state[EPISODE, i, j], state[:, i, j])


@compiled
def _inputs(problems, state, common, each):
    for i in range(state.shape[1]):
        problem = nth(problems, i)
        for j in range(state.shape[2]):
            inputs(problem, state[STEP, i, j], state[REMAINING, i, j], state[ALPHA, i, j], common[i, j], each[i, j])


@compiled
def _step(problems, seed, state, action, out):
    for i in range(state.shape[1]):
        problem = nth(problems, i)
        for j in range(state.shape[2]):
            out.reward[i, j], out.is_done[i, j] = _step_parent(
                problem, seed, i, state[:, i, j], state.shape[2], action[i, j], out.state[:, i, j]
            )


@compiled_bare
def _step_parent(problem, seed, ticker, state, stride, action, led):
    """One parent's step; ``state`` and ``led`` are its columns."""
    episode, t = state[EPISODE], state[STEP]
    fill, move, _, _ = draws(seed, ticker, episode, t)
    reward, remaining, alpha, done = step(problem, t, state[REMAINING], state[ALPHA], action, fill, move)
    led[EPISODE], led[STEP], led[REMAINING], led[ALPHA] = episode, t + 1, remaining, alpha
    if done:
        _begin_parent(problem, seed, ticker, episode + stride, state)
    else:
        state[STEP], state[REMAINING], state[ALPHA] = t + 1, remaining, alpha
    return reward, done


@compiled_bare
def _begin_parent(problem, seed, ticker, episode, state):
    state[EPISODE], state[STEP], state[REMAINING] = episode, 0, problem.lots
    state[ALPHA] = first_alpha(problem, seed, ticker, episode)


@compiled
def _collect(problems, columns, nets, epsilon, seed, state, out):
    m, p = state.shape[2], columns.size.shape[1]
    n = min(_BLOCK, m)
    common, fill = np.zeros((4, n), np.float32), np.zeros((p, n), np.float32)
    shared, values = np.empty(n, np.float32), np.empty((p, n), np.float32)
    for i in range(state.shape[1]):
        problem = nth(problems, i)
        net = Weights(nets.w1[i], nets.b1[i], nets.z[i], nets.b2[i])
        own = Columns(columns.spread_cost[i], columns.fill[i], columns.size[i])
        for first in range(0, m, n):
            block = range(first, min(first + n, m))
            _collect_block(problem, own, net, epsilon[i], seed, i, block, state, out, common, fill, shared, values)


@compiled_bare
def _collect_block(problem, own, net, epsilon, seed, ticker, block, state, out, common, fill, shared, values):
    """All decisions of the parents in ``block``; the last four arrays are for working."""
    seen = common[4 + PER_PLACEMENT - net.w1.shape[1] :]  # without pov where the network has six inputs
    for k in range(out.step.shape[2]):
        for j in block:
            t, alpha, at = state[STEP, ticker, j], state[ALPHA, ticker, j], j - block.start
            common_inputs(problem, t, state[REMAINING, ticker, j], alpha, common[:, at])
            for p in range(values.shape[0]):
                fill[p, at] = own.fill[t, alpha, p]
        q_block(net.w1, net.b1, net.z, net.b2, seen, own.spread_cost, fill, own.size, shared, values)
        for j in block:
            of_placements = values[:, j - block.start]
            _decide(problem, epsilon, seed, ticker, state[:, ticker, j], state.shape[2], of_placements, out, j, k)


@compiled_bare
def _decide(problem, epsilon, seed, ticker, state, stride, values, out, j, k):
    """One parent's decision by its placements' values; ``state`` is its column, (ticker, j, k) its place in out."""
    episode, t, remaining, alpha = state[EPISODE], state[STEP], state[REMAINING], state[ALPHA]
    fill, move, whether, which = draws(seed, ticker, episode, t)
    action = int(which * values.size) if whether < epsilon else np.argmax(values)
    reward, left, moved, done = step(problem, t, remaining, alpha, action, fill, move)
    out.step[ticker, j, k], out.remaining[ticker, j, k], out.alpha[ticker, j, k] = t, remaining, alpha
    out.action[ticker, j, k], out.reward[ticker, j, k], out.is_done[ticker, j, k] = action, reward, done
    out.next_remaining[ticker, j, k], out.next_alpha[ticker, j, k] = left, moved
    if done:
        _begin_parent(problem, seed, ticker, episode + stride, state)
    else:
        state[STEP], state[REMAINING], state[ALPHA] = t + 1, left, moved


@compiled_bare
def best(problem, columns, net, t, remaining, alpha, values, common):
    """The placement of the highest value by the network, the lowest of equals."""
    common_inputs(problem, t, remaining, alpha, common)
    shared = common[4 + PER_PLACEMENT - net.w1.shape[1] :]  # without pov where the network has six inputs
    q_columns(net.w1, net.b1, net.z, net.b2, shared, columns.spread_cost, columns.fill[t, alpha], columns.size, values)
    return np.argmax(values)


@compiled_bare
def _simulate(problem, seed, action, cost):
    for episode in range(cost.size):
        t, remaining, alpha, done = 0, problem.lots, first_alpha(problem, seed, 0, episode), False
        while not done:
            fill, move, _, _ = draws(seed, 0, episode, t)
            reward, remaining, alpha, done = step(problem, t, remaining, alpha, action[t, remaining, alpha], fill, move)
            cost[episode] -= reward
            t += 1


@compiled
def _tabulate(problem, columns, net, action):
    values, common = np.empty(problem.size.size, np.float32), np.empty(4, np.float32)
    own = Columns(columns.spread_cost[0], columns.fill[0], columns.size[0])
    for t in range(action.shape[0]):
        for remaining in range(1, action.shape[1]):
            for a in range(action.shape[2]):
                action[t, remaining, a] = best(problem, own, net, t, remaining, a, values, common)
