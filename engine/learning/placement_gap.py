"""What a policy of placement was promised and what it gets: the calibrated problem against full replay.

The same policy, a table of placements, is graded exactly on the problem and played in ``replay_env``. Both costs go
through ``placement_problem.step_cost``; so what differs is named by what went in, and the parts add up::

    replayed - predicted = fills + prices + moves

=======  ==========================================================================================================
fills    the broker's fills at the problem's prices, less what the problem expected: orders fill more or less often,
         in part, or in other states
prices   what filled, with what impact charged it, against the tape's mid at the end of its step, less spread cost and
         impact that the problem has
moves    what the tape's mid did to what was still to trade, less the problem's drift: mostly chance
=======  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.exact_policy import exact_cost, visits
from engine.learning.paired_effects import Effect, bootstrap
from engine.learning.placement_problem import AGGRESSIVE, DEEPER, NEAR, WAIT, Problem
from engine.learning.replay_env import Episode, Note, ReplayEnv

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = {DEEPER: "deeper", NEAR: "near", AGGRESSIVE: "aggressive"}


class LevelGap(NamedTuple):
    """Orders on one level: what was expected of those that were sent, and what they did."""

    level: str
    sent: int  # orders
    expected: float  # mean part that fills, by the problem's probabilities in the states they were sent in
    filled: float  # mean part that filled
    spread_cost: float  # of the problem with its impact, half-spreads, by what filled
    paid: float  # measured, half-spreads; NaN where nothing filled


class Gap(NamedTuple):
    """A policy's costs, half-spreads of the parent's value, and where they differ."""

    policy: str
    episodes: int
    predicted: float
    replayed: Effect
    fills: Effect
    prices: Effect
    moves: Effect
    expected_done: float  # mean part of the parent traded by its end
    done: Effect
    levels: list[LevelGap]

    @property
    def difference(self) -> Effect:
        """Replayed less predicted."""
        shift = self.predicted
        one = self.replayed
        return Effect(one.mean - shift, one.error, one.low - shift, one.high - shift)


def play(env: ReplayEnv, policy: Ints) -> Iterator[Episode]:
    """Every episode of a day by a policy, int64[T, lots + 1, a]; what the book has no price for waits."""
    wait = int(np.flatnonzero(env.problem.level == WAIT)[0])
    while (state := env.reset()) is not None:
        is_done = False
        while not is_done:
            chosen = int(policy[state.step, int(np.ceil(state.remaining)), state.alpha])
            _, state, is_done = env.step(chosen if state.allowed[chosen] else wait)
        yield env.episode


def gap(
    name: str,
    problem: Problem,
    policy: Ints,
    episodes: Sequence[Episode],
    *,
    block: int,
    rng: Callable[[], np.random.Generator],
    draws: int,
) -> Gap:
    """Compare what a policy costs on a problem with the episodes in which it was played.

    Buyers and sellers of a period are averaged first, and blocks of ``block`` consecutive periods stay together in the
    bootstrap; ``rng`` gives a fresh generator for each interval, so that all see the same draws.
    """
    predicted = exact_cost(problem, policy)
    left = visits(problem, policy)[-1].sum(axis=1) @ np.arange(problem.lots + 1) / problem.lots

    def effect(of: Callable[[Episode], float]) -> Effect:
        return bootstrap({"": by_period(episodes, of)}, block=block, rng=rng(), draws=draws)

    return Gap(
        policy=name,
        episodes=len(episodes),
        predicted=predicted,
        replayed=effect(lambda one: one.measured),
        fills=effect(lambda one: one.tabled - predicted),
        prices=effect(lambda one: prices(problem, one)),
        moves=effect(lambda one: one.measured - one.tabled - prices(problem, one)),
        expected_done=float(1 - left),
        done=effect(lambda one: one.done / one.shares),
        levels=levels(problem, episodes),
    )


def by_period(episodes: Sequence[Episode], of: Callable[[Episode], float]) -> Floats:
    """Means over the sides of each period, in order of time: float64[n]."""
    found: dict[int, list[float]] = {}
    for one in episodes:
        found.setdefault(one.start, []).append(of(one))
    return np.array([np.mean(found[key]) for key in sorted(found)], np.float64)


def prices(problem: Problem, episode: Episode) -> float:
    """What the fills of an episode cost more than the problem says, half-spreads of the parent's value."""
    return sum(note.filled / problem.lots * (note.spread_cost - _told(problem, note)) for note in episode.notes)


def levels(problem: Problem, episodes: Sequence[Episode]) -> list[LevelGap]:
    """Orders by level; those that could not be sent are counted as sent, as they were chosen."""
    found = []
    for level, name in LEVELS.items():
        own = [n for one in episodes for n in one.notes if problem.level[n.placement] == level and n.sent > 0]
        filled = np.array([n.filled for n in own])
        parts = [n.filled / n.sent for n in own]
        expected = [float(problem.fill[n.step, n.placement, n.alpha]) for n in own]
        weight = filled / filled.sum() if filled.sum() else filled
        told = np.array([_told(problem, n) for n in own])
        paid = np.array([n.spread_cost for n in own])
        found.append(
            LevelGap(
                level=name,
                sent=len(own),
                expected=float(np.mean(expected)) if own else np.nan,
                filled=float(np.mean(parts)) if own else np.nan,
                spread_cost=float(weight @ told) if filled.sum() else np.nan,
                paid=float(weight @ paid) if filled.sum() else np.nan,
            )
        )
    return found


def _told(problem: Problem, note: Note) -> float:
    """Spread cost and impact that the problem says of what filled, half-spreads for the whole parent."""
    return float(problem.spread_cost[note.placement] + problem.impact[note.placement] * note.filled / problem.lots)
