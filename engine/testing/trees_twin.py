"""A forest's class probabilities in plain Python: what ``engine.broker.trees`` must agree with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.broker.trees import KNOTS, Trees


def fractions_plain(trees: Trees, x: NDArray[np.float64]) -> list[float]:
    """Mean class fractions of one row."""
    total = [0.0] * trees.n_classes
    for root in trees.roots[:-1]:
        node = trees.nodes[root]
        while node["leaf"] < 0:
            is_right = np.float32(x[node["feature"]]) > node["threshold"]
            node = trees.nodes[node["left"] + int(is_right)]
        total = [a + float(b) for a, b in zip(total, trees.values[node["leaf"]], strict=True)]
    return [sum_ / len(trees.depths) for sum_ in total]


def calibrated_plain(trees: Trees, fractions: list[float]) -> list[float]:
    """Those fractions by the calibration's straight lines, summing to 1."""
    worth = [
        float(np.interp(part, np.linspace(0, 1, KNOTS), table))
        for part, table in zip(fractions, trees.calibration, strict=True)
    ]
    total = sum(worth)
    return [one / total if total > 0 else 1 / len(worth) for one in worth]
