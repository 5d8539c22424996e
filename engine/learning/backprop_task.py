"""What the networks of the backpropagation study are fitted to: exact values of placements, from the dynamic programme.

Every row is a state of the solvable placement problem (step, lots that remain, alpha) and a placement; the target is
what that placement is then worth, played optimally. The 50-unit network of the agent has to learn this very function,
so what is found here is found where it matters. Inputs and targets are standardised: a loss of 1 is a constant's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.exact_policy import grid_inputs, solve
from engine.learning.placement_problem import test_problem

Floats = NDArray[np.float64]


class Task(NamedTuple):
    """Rows to fit and as many to be judged on."""

    x: Floats  # [n, 6] progress, elapsed, alpha, spread cost, fill probability, size; mean 0, deviation 1
    y: Floats  # [n] value, the same
    held_x: Floats
    held_y: Floats
    states: int  # states and placements that the rows were drawn from
    unit: float  # half-spreads of a deviation of 1 in y


def placement_task(pov: float, rows: int, rng: np.random.Generator) -> Task:
    """Values of ``2 rows`` different states and placements of the test problem, drawn alike; ``pov`` as there.

    The first input of the network, the POV, is left out: it is the same for all.
    """
    problem = test_problem(pov)
    x = grid_inputs(problem)[:, 1:, ..., 1:].astype(np.float64)  # with nothing left there is nothing to choose
    y = -solve(problem).value[:, 1:]
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1)
    chosen = rng.permutation(len(y))[: 2 * rows]
    fit, held = chosen[:rows], chosen[rows:]
    middle, width = x[fit].mean(axis=0), x[fit].std(axis=0)
    level, unit = y[fit].mean(), float(y[fit].std())
    return Task(
        (x[fit] - middle) / width, (y[fit] - level) / unit, (x[held] - middle) / width, (y[held] - level) / unit,
        len(y), unit,
    )  # fmt: skip
