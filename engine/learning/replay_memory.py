"""Every decision of training, counted by what it led to: a replay memory that forgets nothing and stays small.

A decision is (step, lots that remain, state of alpha, placement); it fills or not, alpha moves, a reward comes. There
are so few different ones that counting them keeps the whole experience, in any number of episodes, in one table for
each ticker. A mean over a cell is the mean over all replayed decisions of that kind.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.learning.placement_env import draws, first_alpha
from engine.learning.placement_problem import AGGRESSIVE, Problem, nth, pick, step

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Memory(NamedTuple):
    """What n tickers have seen; the last axes are whether the placement filled, and the next state of alpha."""

    count: NDArray[np.int32]  # [n, T, lots + 1, a, p, 2, a]
    reward: Floats  # [n, T, lots + 1, a, p, 2] sum over the counted, half-spreads


class Tally(NamedTuple):
    """What a round of episodes was like, for each of n tickers: sums over its parents."""

    reward: Floats  # [n] half-spreads
    aggressive: Floats  # [n] lots traded aggressively
    executed: Floats  # [n] lots
    placed: Floats  # [n, p] decisions by placement


def empty_memory(problems: Problem) -> Memory:
    """A memory with room for every decision of a batch."""
    n, steps, p, a = problems.fill.shape
    cells = (n, steps, int(np.max(problems.lots)) + 1, a, p)
    return Memory(np.zeros((*cells, 2, a), np.int32), np.zeros((*cells, 2)))


def play(
    problems: Problem,
    seeds: NDArray[np.uint64],
    episodes: range,
    epsilon: float,
    policy: Ints,
    explore: Any,
    into: Memory,
) -> Tally:
    """Play the numbered ``episodes`` of every ticker and remember what came of each decision; what they were like.

    Parameters
    ----------
    policy : int64[n, T, lots + 1, a]
        The placement that is taken with probability 1 - epsilon.
    explore : float[n, T, lots + 1, a, p]
        Probabilities of the placements otherwise.
    """
    n, p = problems.size.shape
    tally = empty_tally(n, p)
    _play(problems, seeds, episodes.start, episodes.stop, epsilon, policy, explore, into, tally)
    return tally


def empty_tally(n: int, p: int) -> Tally:
    """Of n tickers with p placements."""
    return Tally(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, p)))


@compiled
def _play(problems, seeds, first, last, epsilon, policy, explore, into, tally):
    for i in range(seeds.size):
        problem = nth(problems, i)
        for episode in range(first, last):
            remaining, alpha, done, t = problem.lots, first_alpha(problem, seeds[i], 0, episode), False, 0
            while not done:
                fill, move, whether, which = draws(seeds[i], 0, episode, t)
                action = policy[i, t, remaining, alpha]
                if whether < epsilon:
                    action = pick(explore[i, t, remaining, alpha], which)
                reward, left, moved, done = step(problem, t, remaining, alpha, action, fill, move)
                filled = int(left < remaining)
                into.count[i, t, remaining, alpha, action, filled, moved] += 1
                into.reward[i, t, remaining, alpha, action, filled] += reward
                add_decision(problem, i, action, remaining - left, reward, tally)
                remaining, alpha, t = left, moved, t + 1


@compiled
def add_decision(problem, i, action, filled, reward, tally):
    """Count a decision of ticker ``i``, of which so many lots filled."""
    tally.reward[i] += reward
    tally.executed[i] += filled
    tally.aggressive[i] += filled * (problem.level[action] == AGGRESSIVE)
    tally.placed[i, action] += 1
