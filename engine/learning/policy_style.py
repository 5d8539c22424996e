"""How a policy trades: its expected path, on which levels, and how that changes with fill probability and momentum.

Everything is an exact expectation over the states that the policy meets (``exact_policy.visits``): no simulation, no
luck. Steps are compared by what is expected to trade in them, levels by lots that trade on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.exact_policy import exact_cost, visits
from engine.learning.placement_problem import AGGRESSIVE, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = 4
START = 10  # the first tenth of the steps is the start
LARGEST_FILL = 0.95  # that a passive order may be given: the cap of the test problem


class Style(NamedTuple):
    """What a policy is expected to do, from the start of a parent."""

    cost: float  # half-spreads of the parent's value
    remaining: Floats  # [T + 1] part of the parent left before each step
    traded: Floats  # [T, levels] part of the parent that trades in each step on each level
    chosen: Floats  # [T, levels] probability of each level's choice among parents that are not done; NaN where all are
    by_alpha: Floats  # [a] probability of an aggressive choice in a state of alpha, over all steps of parents not done

    @property
    def by_level(self) -> Floats:
        """float64[levels]: part of the parent that trades on each level."""
        return self.traded.sum(axis=0)

    @property
    def momentum(self) -> float:
        """How much more often it crosses in the highest state of alpha than in the lowest."""
        return float(self.by_alpha[-1] - self.by_alpha[0])

    @property
    def aggressive(self) -> float:
        """Aggressive lots of all that trade."""
        return float(self.traded[:, AGGRESSIVE].sum() / max(self.traded.sum(), 1e-12))

    @property
    def completed(self) -> float:
        """Part of the parent that trades."""
        return float(self.traded.sum())

    @property
    def opening(self) -> float:
        """Part of the parent that trades aggressively in the first tenth of the steps."""
        return float(self.traded[: max(1, len(self.traded) // START), AGGRESSIVE].sum())

    @property
    def first_two_thirds(self) -> float:
        """Part of the parent that trades aggressively in the first two thirds of the steps."""
        return float(self.traded[: self._cut(), AGGRESSIVE].sum())

    @property
    def last_third(self) -> float:
        """And in the last."""
        return float(self.traded[self._cut() :, AGGRESSIVE].sum())

    def _cut(self) -> int:
        return len(self.traded) - len(self.traded) // 3


def style(problem: Problem, action: Ints) -> Style:
    """What ``action``, int64[T, lots + 1, a], does."""
    met = visits(problem, action)
    lots = np.arange(problem.lots + 1)
    alive = met[:-1].copy()
    alive[:, 0] = 0
    fill = np.take_along_axis(problem.fill.transpose(0, 2, 1)[:, None], action[..., None], axis=3)[..., 0]
    parts = alive * fill * np.minimum(problem.size[action], lots[:, None]) / problem.lots
    level = problem.level[action]
    traded = np.stack([(parts * (level == one)).sum(axis=(1, 2)) for one in range(LEVELS)], axis=1)
    stood = alive.sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        chosen = np.stack([(alive * (level == one)).sum(axis=(1, 2)) for one in range(LEVELS)], axis=1) / stood[:, None]
        by_alpha = (alive * (level == AGGRESSIVE)).sum(axis=(0, 1)) / alive.sum(axis=(0, 1))
    remaining = met.sum(axis=2) @ lots / problem.lots
    return Style(exact_cost(problem, action), remaining, traded, chosen, by_alpha)


def with_fill(problem: Problem, factor: float) -> Problem:
    """The same market with passive orders ``factor`` times as likely to fill, at most 0.95; drift and costs stay.

    A problem whose own probabilities are above 0.95 keeps them where ``factor`` is 1 or more.
    """
    passive = (problem.size > 0) & (problem.level != AGGRESSIVE)
    cap = np.maximum(LARGEST_FILL, problem.fill)
    fill = np.where(passive[None, :, None], np.minimum(problem.fill * factor, cap), problem.fill)
    return problem._replace(fill=fill)


def fill_sweep(problem: Problem, policy: Callable[[Problem], Ints], factors: Sequence[float]) -> list[Style]:
    """How a policy that is shown other fill probabilities trades where orders do fill so."""
    changed = [with_fill(problem, factor) for factor in factors]
    return [style(one, policy(one)) for one in changed]


def met_states(problem: Problem, action: Ints) -> Floats:
    """Probability of deciding in each state: float64[T, lots + 1, a], finished parents left out."""
    met = visits(problem, action)[:-1].copy()
    met[:, 0] = 0
    return met
