"""The placement problem solved and policies graded exactly, by backward induction over all of its states.

A state is (step, lots that remain, state of alpha); a policy is a table of placements, ``action[t, remaining, alpha]``,
int64[T, lots + 1, a], whatever it came from. The expectation of a step is taken over its two outcomes, as
``step_cost`` counts them, so nothing here is sampled and two policies differ by what they cost, not by luck.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled, compiled_bare
from engine.errors import ConfigError
from engine.learning.placement_problem import (
    AGGRESSIVE,
    COMMON,
    DEEPER,
    NEAR,
    PER_PLACEMENT,
    Problem,
    inputs,
    step_cost,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = {DEEPER: "deeper", NEAR: "near", AGGRESSIVE: "aggressive"}


class Solution(NamedTuple):
    """The optimum."""

    action: Ints  # [T, lots + 1, a] the lowest of the best placements
    value: Floats  # [T, lots + 1, a, p] expected half-spreads still to pay after each placement, then optimally
    cost: float  # half-spreads, expected at the start


class Grade(NamedTuple):
    """A policy beside the optimum and TWAP, all exact, in half-spreads of the parent's value."""

    cost: float
    optimum: float
    twap: float

    @property
    def excess(self) -> float:
        """What the policy costs above the optimum; never below 0."""
        return self.cost - self.optimum

    @property
    def gap_closed(self) -> float:
        """The part of the way from TWAP to the optimum; 1 is optimal, below 0 is worse than TWAP."""
        return (self.twap - self.cost) / (self.twap - self.optimum)


def solve(problem: Problem) -> Solution:
    """The best policy and what it costs."""
    shape = (problem.steps, problem.lots + 1, len(problem.alpha))
    action, value = np.zeros(shape, np.int64), np.zeros((*shape, len(problem.size)))
    to_go = np.zeros((problem.steps + 1, *shape[1:]))
    _induct(problem, True, action, value, to_go)
    return Solution(action, value, float(problem.alpha_start @ to_go[0, problem.lots]))


def cost_to_go(problem: Problem, action: Ints) -> Floats:
    """Expected half-spreads that a policy still pays: float64[T + 1, lots + 1, a].

    Raises
    ------
    ConfigError
        If the table has another shape or names a placement that the problem has not.
    """
    _check_table(problem, action)
    to_go = np.zeros((problem.steps + 1, *action.shape[1:]))
    _induct(problem, False, np.ascontiguousarray(action, np.int64), np.zeros((*action.shape, len(problem.size))), to_go)
    return to_go


def exact_cost(problem: Problem, action: Ints) -> float:
    """Expected half-spreads of a policy from the start."""
    return float(problem.alpha_start @ cost_to_go(problem, action)[0, problem.lots])


def grade(problem: Problem, action: Ints) -> Grade:
    """A policy's cost beside the optimum's and TWAP's."""
    return Grade(exact_cost(problem, action), solve(problem).cost, exact_cost(problem, twap(problem)))


def visits(problem: Problem, action: Ints) -> Floats:
    """Probability that a policy meets each state: float64[T + 1, lots + 1, a]; [T, 1:] is what stays unfinished."""
    _check_table(problem, action)
    met = np.zeros((problem.steps + 1, *action.shape[1:]))
    met[0, problem.lots] = problem.alpha_start
    _visit(problem, np.ascontiguousarray(action, np.int64), met)
    return met


def traded(problem: Problem, action: Ints, level: int) -> Floats:
    """Lots that a policy is expected to trade on a level in each step: float64[T]."""
    met = visits(problem, action)[:-1]
    chance = np.take_along_axis(problem.fill.transpose(0, 2, 1)[:, None], action[..., None], axis=3)[..., 0]
    lots = np.minimum(problem.size[action], np.arange(problem.lots + 1)[:, None])
    return (met * chance * lots * (problem.level[action] == level)).sum(axis=(1, 2))


def twap(problem: Problem) -> Ints:
    """Trade aggressively what is due by the end of each step at a constant rate: one lot every two steps, say."""
    return _schedule(problem, np.arange(1, problem.steps + 1) / problem.steps)


def vwap_schedule(problem: Problem) -> Ints:
    """Trade aggressively what is due by the end of each step as the market's volume goes."""
    return _schedule(problem, problem.elapsed[1:])


def fixed_rules(problem: Problem) -> dict[str, Ints]:
    """Policies that learned nothing, by name: schedules, one placement for ever, and a patient one.

    ``near_then_cross`` rests its smallest order near the touch and trades aggressively what it is behind TWAP.
    """
    rules = {"twap": twap(problem), "vwap_schedule": vwap_schedule(problem)}
    for p in np.flatnonzero(problem.size):
        rules[f"always {LEVELS[int(problem.level[p])]} {problem.size[p]}"] = np.full(rules["twap"].shape, p)
    near = np.flatnonzero(problem.level == NEAR)
    if len(near):
        rules["near_then_cross"] = np.where(
            problem.size[rules["twap"]] > 0, rules["twap"], near[np.argmin(problem.size[near])]
        )
    return rules


def greedy(values: NDArray[Any]) -> Ints:
    """The policy that takes the placement of the highest value (not cost), the lowest of equals.

    ``values`` is [T, lots + 1, a, p], as a learner gets them from ``grid_inputs``.
    """
    return np.argmax(values, axis=-1).astype(np.int64)


def grid_inputs(problem: Problem) -> NDArray[np.float32]:
    """A network's inputs for every state and placement: float32[T, lots + 1, a, p, 7]."""
    shape = (problem.steps, problem.lots + 1, len(problem.alpha), len(problem.size), COMMON + PER_PLACEMENT)
    out = np.zeros(shape, np.float32)
    _grid(problem, out)
    return out


@compiled_bare
def _induct(problem, is_free, action, value, to_go):
    """Costs by backward induction: of the best placement (written to ``action``), or of the one that is there."""
    for t in range(problem.steps - 1, -1, -1):
        for remaining in range(1, problem.lots + 1):
            for a in range(problem.alpha.size):
                cost = value[t, remaining, a]
                for p in range(problem.size.size):
                    cost[p] = _expected(problem, t, remaining, a, p, to_go[t + 1])
                if is_free:
                    action[t, remaining, a] = np.argmin(cost)
                to_go[t, remaining, a] = cost[action[t, remaining, a]]


@compiled_bare
def _expected(problem, t, remaining, a, p, later):
    filled = min(problem.size[p], remaining)
    chance = problem.fill[t, p, a]
    return chance * _outcome(problem, t, remaining, a, p, filled, later) + (1.0 - chance) * _outcome(
        problem, t, remaining, a, p, 0, later
    )


@compiled_bare
def _outcome(problem, t, remaining, a, p, filled, later):
    cost = step_cost(problem, t, remaining, a, p, filled)
    for b in range(problem.alpha.size):
        cost += problem.alpha_move[a, b] * later[remaining - filled, b]
    return cost


@compiled
def _visit(problem, action, met):
    """Pass probabilities of states on, step by step; of finished parents none goes on."""
    for t in range(problem.steps):
        for remaining in range(1, problem.lots + 1):
            for a in range(problem.alpha.size):
                p = action[t, remaining, a]
                left = remaining - min(problem.size[p], remaining)
                filled = met[t, remaining, a] * problem.fill[t, p, a]
                for b in range(problem.alpha.size):
                    met[t + 1, left, b] += filled * problem.alpha_move[a, b]
                    met[t + 1, remaining, b] += (met[t, remaining, a] - filled) * problem.alpha_move[a, b]


@compiled
def _grid(problem, out):
    common, each = np.empty(4, np.float32), np.empty((problem.size.size, 3), np.float32)
    for t in range(problem.steps):
        for remaining in range(problem.lots + 1):
            for a in range(problem.alpha.size):
                inputs(problem, t, remaining, a, common, each)
                for p in range(problem.size.size):
                    out[t, remaining, a, p, :4] = common
                    out[t, remaining, a, p, 4:] = each[p]


def _schedule(problem: Problem, due: Floats) -> Ints:
    """Aggressive orders for what is owed of ``due``, the part to be traded by the end of each step: float64[T]."""
    table = np.zeros((problem.steps, problem.lots + 1, len(problem.alpha)), np.int64)
    table[:] = _waiting(problem)
    crossing = np.flatnonzero(problem.level == AGGRESSIVE)
    crossing = crossing[np.argsort(problem.size[crossing], kind="stable")]
    if not len(crossing):
        raise ConfigError("placement problem: a schedule needs an aggressive placement (level 3); there is none")
    owed = np.floor(problem.lots * due + 1e-9)[:, None] - (problem.lots - np.arange(problem.lots + 1))[None]
    for p in crossing:
        table[owed >= problem.size[p]] = p
    return table


def _waiting(problem: Problem) -> int:
    idle = np.flatnonzero(problem.size == 0)
    if not len(idle):
        raise ConfigError("placement problem: a schedule needs a placement that waits (size 0); there is none")
    return int(idle[0])


def _check_table(problem: Problem, action: Ints) -> None:
    shape = (problem.steps, problem.lots + 1, len(problem.alpha))
    if action.shape != shape:
        raise ConfigError(f"the policy's table has shape {action.shape}, but needs (steps, lots + 1, alphas) {shape}")
    if action.min() < 0 or action.max() >= len(problem.size):
        raise ConfigError(
            f"the policy names placements {action.min()} ... {action.max()}; there are 0 ... {len(problem.size) - 1}"
        )
