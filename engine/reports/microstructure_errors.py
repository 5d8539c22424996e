"""A statistic and its standard error, from sums kept by block of time.

Every statistic here is a function f of sums: a mean is a sum over a count, an autocorrelation a ratio of sums of
products. Leaving out one block at a time shows how much f hangs on any of them (the delete-one-block jackknife, which
for a mean is the method of batch means):

    error^2 = (m - 1) / m * sum_b (f(S - S_b) - mean_b f(S - S_b))^2        over the m blocks with observations

It draws nothing, so it is the same each time. It sees dependence within blocks, not between them, and a process that
changes slowly against the tape's length is not sampled by one tape. Source: Künsch (1989), Ann. Statist. 17, 1217.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_BLOCKS = 5  # with fewer, no error is given


def jackknife(f: Callable[[Any], Any], sums: NDArray[Any]) -> tuple[Floats, Floats]:
    """``f`` of the sums over all blocks, and its standard error.

    Parameters
    ----------
    f : function of an array of shape ``sums.shape[1:]``
        Returns a number or an array of one dimension; NaN where it is not defined.
    sums : array[n_blocks, ...]
        Blocks with zeros only are taken as unobserved.

    Returns
    -------
    float64[k], float64[k]
        The error is NaN below ``LEAST_BLOCKS`` observed blocks.
    """
    total = sums.sum(axis=0)
    seen = sums[np.any(sums.reshape(len(sums), -1) != 0, axis=1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.atleast_1d(np.asarray(f(total), np.float64))
        m = len(seen)
        if m < LEAST_BLOCKS:
            return value, np.full(value.shape, np.nan)
        without = np.array([np.atleast_1d(np.asarray(f(total - one), np.float64)) for one in seen])
        spread = without - without.mean(axis=0)
        return value, np.sqrt((m - 1) / m * np.sum(spread * spread, axis=0))
