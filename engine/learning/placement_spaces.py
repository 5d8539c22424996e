"""What the placement environments show and take, in Gymnasium's terms."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.placement_problem import COMMON, PER_PLACEMENT, Problem, inputs

Observation = NDArray[np.float32]


def observed(problem: Problem, t: int, remaining: float, alpha: int) -> Observation:
    """float32[4 + 3 p]: the common inputs of ``placement_problem.inputs``, then three of each placement."""
    common, each = np.empty(COMMON, np.float32), np.empty((len(problem.size), PER_PLACEMENT), np.float32)
    inputs(problem, t, remaining, alpha, common, each)
    return np.concatenate([common, each.ravel()])


def placement_of(action: Any, problem: Problem, *, is_over: bool) -> int:
    """The placement that an action names.

    Raises
    ------
    ConfigError
        If there is none of that number, or the episode is over.
    """
    if is_over:
        raise ConfigError("the episode is over; call reset() before the next step()")
    if not 0 <= int(action) < len(problem.size):
        raise ConfigError(f"action is {action}, but must be in 0 ... {len(problem.size) - 1}")
    return int(action)


def spaces_of(problem: Problem) -> tuple[spaces.Space[Any], spaces.Discrete]:
    """Of observations, with the bounds that they cannot leave, and of actions."""
    p = len(problem.size)
    alpha, cost = problem.alpha, problem.spread_cost
    low = [0.0, -1.0, 0.0, alpha.min(), *[cost.min(), 0.0, 0.0] * p]
    high = [1.0, 1.0, 1.0, alpha.max(), *[cost.max(), 1.0, problem.size.max() / problem.lots] * p]
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32)), spaces.Discrete(p)
