"""The backpropagation note tried out on the agent's own problem: all measurements of ``tickwright exhibits backprop``.

1. ``backprop_task``     values of placements to fit, exact;
2. ``backprop_depth``    the chain rule, the vanishing product, and whether deep networks still learn;
3. ``backprop_descent``  learning rates, random rows, decaying rates, L-BFGS, local minima.

Everything is drawn from one seed; the same seed gives the same numbers on one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.errors import ConfigError
from engine.learning.backprop_depth import Depths, Trained, chain_rule_miss, through_depth, trained_depths
from engine.learning.backprop_descent import Minima, Race, Sweep, minima, race, steepest_direction, sweep
from engine.learning.backprop_kernels import Network
from engine.learning.backprop_task import Task, placement_task

HIDDEN = 50
DEEPEST = 10
TRAINED = (1, 3, 6)
TRAINED_RATES = (0.01, 0.03, 0.1)
FEWEST_STARTS, FEWEST_EPOCHS, FEWEST_ROWS = 4, 20, 64


class Study(NamedTuple):
    """What was measured."""

    task: Task
    chain_rule_miss: float  # relative
    steepest: float  # best random direction as a part of the gradient's
    depths: Depths
    trained: Trained
    sweep: Sweep
    race: Race
    minima: Minima


def study(
    *, pov: float, starts: int, epochs: int, rows: int, seed: int, on_stage: Callable[[str], None] = lambda _: None
) -> Study:
    """Measure everything; about 25 s on one core with 16 starts, 200 epochs and 512 rows.

    Raises
    ------
    ConfigError
        If there are too few starts, epochs or rows for an error of the result.
    """
    for name, value, least in (
        ("starts", starts, FEWEST_STARTS), ("epochs", epochs, FEWEST_EPOCHS), ("rows", rows, FEWEST_ROWS),
    ):  # fmt: skip
        if value < least:
            raise ConfigError(f"{name} is {value}, but must be at least {least}, or nothing could be judged")
    if not 0 < pov <= 1:
        raise ConfigError(f"pov is {pov}, but must be above 0 and at most 1")
    rng = np.random.Generator(np.random.Philox(key=seed))
    task = placement_task(pov, rows, rng)
    network = Network((task.x.shape[1], HIDDEN, 1), "relu")
    on_stage("gradients through depth")
    depths = through_depth(task, DEEPEST, starts, rng)
    on_stage("training through depth")
    trained = trained_depths(task, TRAINED, TRAINED_RATES, max(3, starts // 4), max(10, epochs // 5), rng)
    on_stage("learning rates")
    rates = sweep(task, network, max(4, starts // 4), epochs, rng)
    on_stage("ways down from the same starts")
    ways = race(task, network, rates.best, starts, epochs, rng)
    on_stage("local minima")
    found = minima(task, 2 * starts, epochs, rng)
    return Study(
        task, chain_rule_miss(rng), steepest_direction(task, network, rng), depths, trained, rates, ways, found
    )
