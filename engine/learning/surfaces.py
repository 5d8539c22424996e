"""A forecast over two of its signals: the mean of P(up) - P(down) while the others are as on recorded samples.

Friedman (2001), "Greedy function approximation", section 8.2: partial dependence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.labels import DOWN, UP

Floats = NDArray[np.float64]


class Surface(NamedTuple):
    """Over a grid of two signals."""

    first: Floats  # [g] values of the first signal, ascending
    second: Floats  # [g]
    lean: Floats  # [g, g] P(up) - P(down) at [second, first]


def surface(
    predict: Callable[[Floats], Floats], x: Floats, signals: tuple[int, int], *, grid: int = 25, rows: int = 100
) -> Surface:
    """Between the 2nd and 98th percentile of both, over ``rows`` samples spread evenly over x[n, f]."""
    some = x[np.linspace(0, len(x) - 1, min(rows, len(x))).round().astype(np.int64)]
    low, high = np.quantile(x[:, signals], [0.02, 0.98], axis=0)
    across, up = np.linspace(low, high, grid).T
    lean = np.empty((grid, grid))
    for j, second in enumerate(up):
        asked = np.tile(some, (grid, 1))
        asked[:, signals[0]] = across.repeat(len(some))
        asked[:, signals[1]] = second
        p = predict(asked)
        lean[j] = (p[:, UP] - p[:, DOWN]).reshape(grid, len(some)).mean(axis=1)
    return Surface(across, up, lean)
