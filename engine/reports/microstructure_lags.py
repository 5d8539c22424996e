"""Sums over pairs of observations that are ``lag`` apart: what autocorrelations, responses and signatures are made of.

A series is a sign ``a`` and a price ``b`` for each observation, fed in pieces; what a later piece needs of an earlier
one is kept. No pair spans two sessions. A pair belongs to the block of its later member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled

LAGS = np.array([1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000], np.int64)
PAIRS, EARLIER, LATER, PRODUCT, EARLIER_SQUARED, LATER_SQUARED, PRICED, RESPONSE, MOVE_SQUARED, LEVEL = range(10)
COLUMNS = 10


@compiled
def lag_kernel(a, b, session, block, first, lags, out):
    """Add every pair whose later member is at or after ``first`` to ``out[block, lag, column]``."""
    for i in range(first, a.size):
        sums = out[block[i]]
        for k in range(lags.size):
            j = i - lags[k]
            if j < 0 or session[j] != session[i]:
                break
            sums[k, PAIRS] += 1
            sums[k, EARLIER] += a[j]
            sums[k, LATER] += a[i]
            sums[k, PRODUCT] += a[j] * a[i]
            sums[k, EARLIER_SQUARED] += a[j] * a[j]
            sums[k, LATER_SQUARED] += a[i] * a[i]
            move = b[i] - b[j]
            if move == move:  # both prices are known
                sums[k, PRICED] += a[j] * a[j]
                sums[k, RESPONSE] += a[j] * move
                sums[k, MOVE_SQUARED] += a[j] * a[j] * move * move
                sums[k, LEVEL] += a[j] * a[j] * b[j]


class LagSums:
    """Sums by block and lag of one series; ``add`` takes its next piece."""

    def __init__(self, blocks: int, lags: NDArray[np.int64] = LAGS) -> None:
        self.lags = lags
        self.count = 0
        self.sums = np.zeros((blocks, len(lags), COLUMNS))
        self._kept = [np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def add(
        self, a: NDArray[np.float64], b: NDArray[np.float64], session: NDArray[np.int64], block: NDArray[np.int64]
    ) -> None:
        """Signs (or ones), prices (NaN where unknown), sessions and blocks, each of shape [n]."""
        first = len(self._kept[0])
        joined = [np.concatenate(pair) for pair in zip(self._kept, (a, b, session, block), strict=True)]
        lag_kernel(*joined, first, self.lags, self.sums)
        self.count += len(a)
        self._kept = [column[-int(self.lags[-1]) :] for column in joined]


def autocorrelation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of a(i) and a(i + lag), from ``sums[lag, column]``; NaN where a does not vary."""
    n = sums[:, PAIRS]
    earlier, later = sums[:, EARLIER] / n, sums[:, LATER] / n
    covariance = sums[:, PRODUCT] / n - earlier * later
    variance = (sums[:, EARLIER_SQUARED] / n - earlier**2) * (sums[:, LATER_SQUARED] / n - later**2)
    return np.where(variance > 1e-12, covariance / np.sqrt(np.maximum(variance, 1e-300)), np.nan)


def response(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """E[a(i) (b(i + lag) - b(i))] where a is not 0, in units of b."""
    return sums[:, RESPONSE] / sums[:, PRICED]


def volatility(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of b(i + lag) - b(i), over the mean of b: a fraction."""
    return np.sqrt(sums[:, MOVE_SQUARED] / sums[:, PRICED]) / np.abs(sums[:, LEVEL] / sums[:, PRICED])
