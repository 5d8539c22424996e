"""What a policy prefers where: the surfaces time × inventory of a learned value, beside those of the exact optimum.

The preference for a kind of placement in a state is the best value among its own less the best among the others, in
half-spreads of the parent: above 0 the kind is chosen. It is averaged over alpha as alpha is spread at that step.
What a network says of states in which training hardly stood is extrapolation: whoever shows a surface masks them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.learning.exact_policy import grid_inputs
from engine.learning.placement_problem import AGGRESSIVE, DEEPER, NEAR, WAIT, Problem
from engine.q_network import Weights, q_value

Floats = NDArray[np.float64]

KINDS = {"wait": (WAIT,), "passive": (DEEPER, NEAR), "aggressive": (AGGRESSIVE,)}


class Surfaces(NamedTuple):
    """Over every step and number of lots left, 1 … lots."""

    passive: Floats  # [T, lots] preference for resting, half-spreads; NaN where nothing can rest
    aggressive: Floats  # [T, lots] and for crossing
    chosen: Floats  # [T, lots, kinds] probability that the greedy choice is of the kind, in the order of ``KINDS``


def network_values(problem: Problem, weights: Weights) -> NDArray[np.float32]:
    """Q of every placement in every state: float32[T, lots + 1, a, p]; a network of six inputs does not see the POV."""
    x = grid_inputs(problem)[..., -weights.w1.shape[1] :]
    out = np.empty(x.shape[:-1], np.float32)
    _q_of_rows(*weights, np.ascontiguousarray(x).reshape(-1, x.shape[-1]), out.reshape(-1))
    return out


def surfaces(problem: Problem, value: NDArray[Any]) -> Surfaces:
    """Preferences of a value, higher is better, [T, lots + 1, a, p]: a network's, or the optimum's costs turned."""
    weight = alpha_spread(problem)[:, None, :]  # [T, 1, a]
    best = np.stack([_best(problem, value, levels) for levels in KINDS.values()], axis=-1)[:, 1:]  # [T, lots, a, kinds]
    lead = np.stack([best[..., k] - np.delete(best, k, axis=-1).max(axis=-1) for k in range(len(KINDS))], axis=-1)
    lead[~np.isfinite(best)] = np.nan  # a kind that the problem has not
    first = np.argmax(value[:, 1:], axis=-1)  # [T, lots, a]
    kind = kind_of(problem)[first]
    chosen = np.stack([(weight * (kind == k)).sum(axis=-1) for k in range(len(KINDS))], axis=-1)
    _, passive, aggressive = ((weight * lead[..., k]).sum(axis=-1) for k in range(len(KINDS)))
    return Surfaces(passive, aggressive, chosen)


def kind_of(problem: Problem) -> NDArray[np.int64]:
    """int64[p]: which of ``KINDS`` each placement is."""
    return np.array([next(k for k, levels in enumerate(KINDS.values()) if level in levels) for level in problem.level])


def alpha_spread(problem: Problem) -> Floats:
    """Probability of each state of alpha in each step, whatever we do: float64[T, a]."""
    spread = np.empty((problem.steps, len(problem.alpha)))
    spread[0] = problem.alpha_start
    for t in range(1, problem.steps):
        spread[t] = spread[t - 1] @ problem.alpha_move
    return spread


@compiled
def _q_of_rows(w1, b1, z, b2, x, out):
    for i in range(out.size):
        out[i] = q_value(w1, b1, z, b2, x[i])


def _best(problem: Problem, value: NDArray[Any], levels: tuple[int, ...]) -> Floats:
    own = np.isin(problem.level, levels)
    if not own.any():
        return np.full(value.shape[:-1], -np.inf)
    return value[..., own].max(axis=-1).astype(np.float64)
