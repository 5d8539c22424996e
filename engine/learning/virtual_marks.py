"""What passive orders cost once they fill: marked at the mid when their time is over, in half-spreads.

An order that rests at the touch earns half a spread on paper, but it fills more often when the price comes to it.
Marked at the end of its time, what it paid has that in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.fill_table import LEVELS
from engine.learning.features import Samples
from engine.learning.virtual_orders import NEVER, Placements
from engine.strategy import SECOND

Floats = NDArray[np.float64]

LEAST = 20  # orders of a level that must have filled


class Mark(NamedTuple):
    """Of one level's orders that filled."""

    cost: float  # mean half-spreads; negative where they earned
    error: float
    count: int


class Marking(NamedTuple):
    """One day's virtual orders, and the mids to mark them at."""

    orders: Placements
    seen: Samples  # on the quote clock


def mark_fills(days: Sequence[Marking], level: int, size: float, *, life_s: float, half_spread: float) -> Mark:
    """Mark the orders of a level and a size that filled within a time.

    Parameters
    ----------
    days : sequence of Marking
    level : DEEPER or NEAR
    size : float
        Size units; the nearest that was placed is taken, and the next smaller where too few filled to say.
    life_s : float
        Seconds from placement to the mark.
    half_spread : float
        Price units.

    Raises
    ------
    ConfigError
        If too few of the smallest size filled.
    """
    sizes = days[0].orders.sizes
    costs = np.zeros(0)
    for k in range(int(np.argmin(np.abs(sizes - size))), -1, -1):
        costs = np.concatenate([_costs(one, level, k, life_s, half_spread) for one in days])
        if len(costs) >= LEAST:
            return Mark(float(costs.mean()), float(costs.std() / np.sqrt(len(costs))), len(costs))
    raise ConfigError(
        f"{len(costs)} virtual orders of {sizes[0]} filled {LEVELS[level]} in {life_s:g} s, but {LEAST} are needed to "
        "mark them; give more days, or smaller parents"
    )


def _costs(day: Marking, level: int, k: int, life_s: float, half_spread: float) -> Floats:
    orders, seen = day
    end = orders.ts + round(life_s * SECOND)
    some = (orders.level == level) & (orders.done[:, k] <= end)
    some &= (end <= seen.ts[-1:].max(initial=0)) & (end >= seen.ts[:1].min(initial=NEVER))
    mid = seen.mid2[np.searchsorted(seen.ts, end[some], side="right") - 1] / 2
    return orders.side[some] * (orders.price[some] - mid) / half_spread
