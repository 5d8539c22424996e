"""Which signals a forecast rests on: what shuffling one of them costs it, on samples that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.metrics import NAMES, Scorer

Floats = NDArray[np.float64]


class Importance(NamedTuple):
    """By signal."""

    fall: Floats  # [f] of the macro AUC when the signal is shuffled, mean over the shuffles
    error: Floats  # [f] standard deviation over the shuffles: of the shuffling alone, not of the samples


def permutation_importance(
    predict: Callable[[Floats], Floats],
    x: Floats,
    y: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    shuffles: int = 5,
) -> Importance:
    """Breiman (2001): the fall of the macro AUC on x[n, f] and y[n].

    Signals that say the same stand in for each other, so each of them can look unimportant.
    """
    auc, ones = NAMES.index("auc"), np.ones(len(y))
    whole = Scorer(predict(x), y).score(ones)[auc]
    falls = np.empty((shuffles, x.shape[1]))
    for s in range(shuffles):
        for f in range(x.shape[1]):
            shuffled = x.copy()
            shuffled[:, f] = rng.permutation(x[:, f])
            falls[s, f] = whole - Scorer(predict(shuffled), y).score(ones)[auc]
    return Importance(falls.mean(axis=0), falls.std(axis=0, ddof=1))
