"""How good class probabilities are, with errors: one row of numbers for a model, beside the same for a guess.

=================  ====================================================================================================
accuracy           part of the samples whose most probable class came
one_vs_rest        mean over classes of the part rightly told "this class" or "another": 1 - 2 (1 - accuracy) / 3
balanced           mean over classes of the part of its samples that were told
auc                macro AUC: mean over classes of the probability that a sample of it is given more than another's
brier              mean over samples of the sum over classes of (probability - came)^2; from 0 to 2
log_loss           mean of -log(probability of what came), probabilities at least ``LEAST``; nats
moved_accuracy     of the samples that moved: part with the more probable of up and down right; a tie counts half
moved_auc          of the samples that moved: AUC of P(up) / (P(up) + P(down))
=================  ====================================================================================================

One number alone says little: a constant guess is right most of the time where most moves are flat, and its
one_vs_rest is above 1/2 anywhere.

Labels overlap and markets have moods, so samples are not independent. Errors are those of a circular block bootstrap
(Politis and Romano 1992): blocks of consecutive samples, several times as long as a label looks ahead, drawn with
replacement; the same draws for every model, so that differences keep what models share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.learning.labels import DOWN, FLAT, UP
from engine.rates.block_bootstrap import block_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES = ("accuracy", "one_vs_rest", "balanced", "auc", "brier", "log_loss", "moved_accuracy", "moved_auc")
LEAST = 1e-6  # probability, in the logarithm
HORIZONS_A_BLOCK = 10
N_CLASSES = 3


class Scores(NamedTuple):
    """Of one model, in the order of ``NAMES``; NaN where a class did not come."""

    value: Floats  # [k]
    error: Floats  # [k] standard errors
    draws: Floats  # [b, k]

    def less(self, other: Scores) -> tuple[Floats, Floats]:
        """(difference to another model on the same draws, its standard error), each [k]."""
        return self.value - other.value, _deviation(self.draws - other.draws)


def evaluate(
    models: Mapping[str, Floats], y: Ints, *, horizon: int, rng: np.random.Generator, draws: int = 200
) -> dict[str, Scores]:
    """The scores of each model's probabilities, float64[n, 3], of the classes y that came, int64[n]."""
    n = len(y)
    if not n:
        raise ConfigError("there is no sample to judge a model on")
    prepared = {name: Scorer(p, y) for name, p in models.items()}
    value = {name: one.score(np.ones(n)) for name, one in prepared.items()}
    found = {name: np.empty((draws, len(NAMES))) for name in models}
    block = min(HORIZONS_A_BLOCK * horizon, n)
    for b in range(draws):
        weights = np.bincount(block_rows(n, block, rng), minlength=n).astype(np.float64)
        for name, one in prepared.items():
            found[name][b] = one.score(weights)
    return {name: Scores(value[name], _deviation(found[name]), found[name]) for name in models}


def constant_guesses(y_before: Ints, n: int) -> dict[str, Floats]:
    """What needs no signal, for n samples: always the commonest class of earlier samples, or their frequencies."""
    rates = np.bincount(y_before, minlength=N_CLASSES) / max(len(y_before), 1)
    return {"majority": np.tile(np.eye(N_CLASSES)[np.argmax(rates)], (n, 1)), "base rates": np.tile(rates, (n, 1))}


class Scorer:
    """Probabilities beside what came, sorted once, so that each drawing of samples is quickly scored.

    Parameters
    ----------
    p : float64[n, 3]
    y : int64[n]
    """

    def __init__(self, p: ArrayLike, y: Ints) -> None:
        p = np.asarray(p, np.float64)
        if p.shape != (len(y), N_CLASSES):
            raise ConfigError(f"probabilities have shape {p.shape}, but there are {len(y)} samples and 3 classes")
        told = np.argmax(p, axis=1)
        came = np.eye(N_CLASSES)[y]
        hit = (told == y).astype(np.float64)
        each = ((np.eye(N_CLASSES)[told] > 0) == (came > 0)).mean(axis=1)
        squares = ((p - came) ** 2).sum(axis=1)
        losses = -np.log(np.maximum(p[np.arange(len(y)), y], LEAST))
        self._sums = np.vstack([hit, each, squares, losses, came.T, came.T * hit])
        self._classes = [Ranking(p[:, c], y == c) for c in range(N_CLASSES)]
        self._moved = np.flatnonzero(y != FLAT)
        up, down = p[self._moved, UP], p[self._moved, DOWN]
        lean = np.divide(up, up + down, out=np.full(len(up), 0.5), where=up + down > 0)
        rose = y[self._moved] == UP
        self._side = np.where(up == down, 0.5, (up > down) == rose)
        self._direction = Ranking(lean, rose)

    def score(self, weights: Floats) -> Floats:
        """NAMES' numbers with each sample counted ``weights`` times."""
        sums = (self._sums * weights).sum(axis=1)  # not a product of matrices: its threads would wait for each other
        hit, each, squares, losses = sums[:4] / weights.sum()
        recall = _mean([_ratio(told, came) for came, told in zip(sums[4:7], sums[7:], strict=True)])
        area = _mean([one.area(weights) for one in self._classes])
        moved = weights[self._moved]
        side = _ratio((moved * self._side).sum(), moved.sum())
        return np.array([hit, each, recall, area, squares, losses, side, self._direction.area(moved)])


class Ranking:
    """Scores beside whether each is of the class, sorted."""

    def __init__(self, score: Floats, is_class: NDArray[np.bool_]) -> None:
        self._order = np.argsort(score, kind="stable")
        ranked = score[self._order]
        self._starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))[: len(score)]  # of equal scores
        self._is_class = is_class[self._order].astype(np.float64)

    def area(self, weights: Floats) -> float:
        """Probability that one of the class ranks above one of the rest, ties half; NaN without both."""
        if not len(self._order):
            return np.nan
        w = weights[self._order]
        inside = np.add.reduceat(w * self._is_class, self._starts)
        outside = np.add.reduceat(w, self._starts) - inside
        below = np.cumsum(outside) - outside / 2
        return _ratio((inside * below).sum(), inside.sum() * outside.sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan


def _mean(numbers: list[float]) -> float:
    known = [number for number in numbers if not np.isnan(number)]
    return float(np.mean(known)) if known else np.nan


def _deviation(draws: Floats) -> Floats:
    known = ~np.isnan(draws)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, draws, 0).sum(axis=0) / count
    squares = np.where(known, (draws - mean) ** 2, 0).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
