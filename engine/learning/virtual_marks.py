"""What passive orders cost once they fill: marked at the mid when their time is over, in half-spreads.

An order that rests at the touch earns half a spread on paper, but it fills more often when the price comes to it.
Marked at the end of its time, what it paid has that in it. Orders fill in part: a size is stood for by a few parts of
it, and each part that filled counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.fill_table import LEVELS
from engine.learning.features import Samples
from engine.learning.fill_times import NEVER
from engine.learning.virtual_orders import Placements
from engine.strategy import SECOND

Floats = NDArray[np.float64]

LEAST = 20  # orders of a level of which some must have filled
PARTS = 4


def parts_of(size: Floats | float) -> Floats:
    """What stands for how far a size has filled, the middles of its quarters: float64[..., PARTS].

    A mean over whether each of them has filled is the mean part that has.
    """
    return np.multiply.outer(np.asarray(size, np.float64), (np.arange(PARTS) + 0.5) / PARTS)


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
    """Mark what filled, within a time, of the orders of a level and a size.

    Parameters
    ----------
    days : sequence of Marking
    level : DEEPER or NEAR
    size : float
        Size units; of its parts the nearest sizes that were placed are taken.
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
    parts = [int(np.argmin(np.abs(sizes - part))) for part in parts_of(size)]
    found = [_costs(one, level, parts, life_s, half_spread) for one in days]
    cost, weight = (np.concatenate(column) for column in zip(*found, strict=True))
    if len(cost) < LEAST:
        raise ConfigError(
            f"{len(cost)} virtual orders of {sizes[parts[0]]} filled {LEVELS[level]} in {life_s:g} s, but {LEAST} are "
            "needed to mark them; give more days, or smaller parents"
        )
    mean = float(cost @ weight / weight.sum())
    return Mark(mean, float(np.sqrt(((weight * (cost - mean)) ** 2).sum()) / weight.sum()), len(cost))


def _costs(day: Marking, level: int, parts: list[int], life_s: float, half_spread: float) -> tuple[Floats, Floats]:
    """(costs, parts that filled) of the orders of which some did."""
    orders, seen = day
    end = orders.ts + round(life_s * SECOND)
    filled = (orders.done[:, parts] <= end[:, None]).sum(axis=1)
    some = (orders.level == level) & (filled > 0)
    some &= (end <= seen.ts[-1:].max(initial=0)) & (end >= seen.ts[:1].min(initial=NEVER))
    mid = seen.mid2[np.searchsorted(seen.ts, end[some], side="right") - 1] / 2
    return orders.side[some] * (orders.price[some] - mid) / half_spread, filled[some].astype(np.float64)
