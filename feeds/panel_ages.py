"""Holes and stale marks of close-of-day values: carried so many business days, aged, counted, never silent.

1. A value that is not there is the one before it, for at most ``carry_days`` business days; its age says how many.
   Then, and before the first value, it is missing: NaN, age 255.
2. A value that its source repeats to the last digit for more than ``still_days`` business days is kept, but its age
   counts from the day on which it last changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MISSING = 255


class Aged(NamedTuple):
    """Values, and business days since each was fresh."""

    values: Floats
    age: NDArray[np.uint8]
    counts: dict[str, int]  # CARRIED, MISSING, STILL


def age(values: Floats, *, carry_days: int, still_days: int = 0) -> Aged:
    """Fill holes of float64[day, ...], NaN where there is none, by the rules above; ``still_days`` 0: no limit."""
    shape, table = values.shape, values.reshape(len(values), -1)
    day = np.arange(len(table))[:, None]
    is_there = ~np.isnan(table)
    fresh = np.maximum.accumulate(np.where(is_there, day, -1), axis=0)  # the last day with a value
    since = np.where(fresh >= 0, day - fresh, MISSING)
    carried = (since > 0) & (since <= carry_days)
    filled = np.take_along_axis(table, np.maximum(fresh, 0), axis=0)
    missing = since > carry_days
    filled[missing] = np.nan
    still = np.zeros_like(missing)
    if still_days:
        before = np.vstack([np.full((1, table.shape[1]), np.nan), filled[:-1]])
        changed = np.maximum.accumulate(np.where(filled == before, -1, day), axis=0)
        still = is_there & (day - changed > still_days)
        since = np.where(still, day - changed, since)
    ages = np.where(missing, MISSING, np.minimum(since, MISSING - 1)).astype(np.uint8)
    counts = {"CARRIED": carried, "MISSING": missing, "STILL": still}
    return Aged(
        filled.reshape(shape),
        ages.reshape(shape),
        {code: int(found.sum()) for code, found in counts.items() if found.any()},
    )
