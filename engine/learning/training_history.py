"""What is kept of a training to be looked at later: how parents went, round by round, and networks on the way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.placement_problem import Problem
from engine.learning.replay_memory import Tally

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class History(NamedTuple):
    """Means over the parents of each of k rounds of n tickers, exploring included; 0 where one did not play."""

    episodes: Ints  # [n, k] parents played up to the round's end
    reward: Floats  # [n, k] total reward of a parent, half-spreads
    aggressive: Floats  # [n, k] aggressive lots of all executed
    completed: Floats  # [n, k] part of the parent executed
    placed: Floats  # [n, k, p] share of each placement among those chosen


def empty_history(problems: Problem, rounds: int) -> History:
    """Room for so many rounds."""
    n, p = problems.size.shape
    flat = np.zeros((3, n, rounds))
    return History(np.zeros((n, rounds), np.int64), flat[0], flat[1], flat[2], np.zeros((n, rounds, p)))


def write_round(
    history: History, k: int, episodes: range, problems: Problem, tally: Tally, rows: Ints | None = None
) -> None:
    """Round ``k`` was these episodes, played by the tickers ``rows`` (all, unless told), whose ``tally`` it is."""
    at = np.arange(len(history.episodes)) if rows is None else rows
    history.episodes[at, k] = episodes.stop
    history.reward[at, k] = tally.reward / len(episodes)
    history.aggressive[at, k] = tally.aggressive / np.maximum(tally.executed, 1)
    history.completed[at, k] = tally.executed / (np.asarray(problems.lots)[at] * len(episodes))
    history.placed[at, k] = tally.placed / tally.placed.sum(axis=1, keepdims=True)
