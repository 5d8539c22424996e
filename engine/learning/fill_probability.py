"""How probably a passive order fills: an empirical table, a logistic regression and a forest of virtual orders' fates.

What is known when an order is placed: its level, the queue imbalance towards its side, what is displayed at the near
touch, its size, and how long it is given. The three estimators see the same placements:

==========  =========================================================================================================
empirical   the part that filled in each cell of imbalance and near-touch size, for each level, size and horizon; drawn
            towards the part over all cells as by ``STRENGTH`` more placements, as few say little
logistic    of both levels apart: imbalance, logarithms of touch, size and horizon, their squares and products
forest      scikit-learn's, of the same inputs
==========  =========================================================================================================

All placements are followed with every size and horizon, so the empirical table is monotone, too: what filled a large
order filled a small one. The two models are fitted on one size and horizon of each placement, drawn by chance: those of
one placement share nearly everything. Where their chances rise with size or fall with horizon, ``monotone`` takes the
means of what crosses; scikit-learn's own constraint on trees costs more than it is worth (docs/fill_probability.md).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.fill_table import DEEPER, NEAR, FillArrays
from engine.learning.fill_times import NEVER
from engine.learning.virtual_orders import Placements
from engine.strategy import SECOND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ESTIMATORS = ("empirical", "logistic", "forest")
STRENGTH = 50.0  # placements
LEAST = 1e-3  # nothing is foretold more surely than this
IMBALANCE_EDGES = (-0.6, -0.2, 0.2, 0.6)
TOUCHES = 3  # cells of equally many placements
PART = 200_000  # rows of a model's prediction at a time
Forecast = Callable[[Placements], Floats]  # to probabilities[n, sizes, horizons]


class ForestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the forest is grown."""

    trees: int = 60
    depth: int = 12
    leaf: int = 100  # samples at least
    most_samples: int = 100_000  # to fit both models on

    def __post_init__(self) -> None:
        for name, least, most in (
            ("trees", 1, 10_000), ("depth", 1, 64), ("leaf", 1, 1 << 30), ("most_samples", 100, 1 << 30),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"forest.{name} is {getattr(self, name)}, but must be from {least} to {most}")


class Axes(NamedTuple):
    """The cells of a table, and what each is asked about."""

    mean_trade: float  # size units
    imbalance_edges: Floats  # [i - 1]
    touch_edges: Floats  # [j - 1] mean trades
    sizes: Floats  # [k] mean trades
    horizons: Floats  # [h] s

    def cells(self, placements: Placements) -> tuple[Ints, Ints, Ints]:
        """(level - 1, cell of imbalance, cell of touch) of each placement."""
        return (
            placements.level - DEEPER,
            np.searchsorted(self.imbalance_edges, placements.imbalance, side="right"),
            np.searchsorted(self.touch_edges, placements.own / self.mean_trade, side="right"),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Levels, cells of imbalance and of touch, those of all placements included."""
        return NEAR, len(self.imbalance_edges) + 2, len(self.touch_edges) + 2


def axes_of(placements: Placements, mean_trade: float, horizons: Floats) -> Axes:
    """Cells for some placements: fixed ones of imbalance, thirds of the touch.

    Raises
    ------
    ConfigError
        If the touch shows too few different sizes to be parted.
    """
    touch = placements.own / mean_trade
    edges = np.unique(np.quantile(touch, np.arange(1, TOUCHES) / TOUCHES)) if len(touch) else np.empty(0)
    if not len(edges):
        raise ConfigError("no virtual order was placed; give longer tapes, or a shorter life")
    return Axes(
        mean_trade, np.array(IMBALANCE_EDGES), edges, placements.sizes / mean_trade, np.asarray(horizons, float)
    )


def fills_within(placements: Placements, horizons: Floats) -> NDArray[np.bool_]:
    """Whether each placement's sizes filled within each horizon: bool[n, sizes, horizons]."""
    waited = np.where(placements.done < NEVER, placements.done - placements.ts[:, None], NEVER)
    return waited[:, :, None] <= np.round(np.asarray(horizons) * SECOND).astype(np.int64)


class Counts(NamedTuple):
    """How many placements of each cell there were, and how many of them filled."""

    placed: Floats  # [2, i + 1, j + 1]
    filled: Floats  # [2, i + 1, j + 1, k, h]

    @classmethod
    def of(cls, placements: Placements, axes: Axes) -> Counts:
        """Count; the last cells count all."""
        at = axes.cells(placements)
        came = fills_within(placements, axes.horizons)
        placed, filled = np.zeros(axes.shape), np.zeros((*axes.shape, *came.shape[1:]))
        np.add.at(placed, at, 1)
        np.add.at(filled, at, came)
        _add_up(placed)
        _add_up(filled)
        return cls(placed, filled)

    def probability(self, *, strength: float = STRENGTH) -> Floats:
        """The part that filled, drawn towards all of the level: float64[2, i + 1, j + 1, k, h]."""
        every = self.placed[:, -1:, -1:, None, None]
        whole = np.divide(self.filled[:, -1:, -1:], every, out=np.zeros_like(self.filled[:, -1:, -1:]), where=every > 0)
        return (self.filled + strength * whole) / (self.placed[..., None, None] + strength)

    def error(self, horizons: Floats, every_s: float) -> Floats:
        """Wilson's standard error of each part: float64[2, i + 1, j + 1, k, h].

        Counted are as many placements as have horizons that do not overlap; those that do share what they met.
        """
        alone = self.placed[..., None, None] * np.minimum(1.0, every_s / np.asarray(horizons))
        rate = self.filled / np.maximum(self.placed, 1)[..., None, None]
        return wilson_error(rate, alone)


def wilson_error(rate: Floats, count: Floats) -> Floats:
    """Half of Wilson's (1927) interval of one standard error about a binomial rate; 1/2 where nothing was counted."""
    count = np.maximum(count, 0.0)
    return np.sqrt(rate * (1 - rate) * count + 0.25) / (count + 1)


class Fitted(NamedTuple):
    """The estimators of one stock: each gives probabilities[n, sizes, horizons] of placements."""

    axes: Axes
    counts: Counts
    predict: dict[str, Forecast]
    raw: dict[str, Forecast]  # of the models, before they are made monotone


def fit(placements: Placements, axes: Axes, *, settings: ForestSettings, seed: int, models: bool = True) -> Fitted:
    """Fit all estimators, and the two guesses that need no signal.

    ``one rate`` foretells the same for every order; ``no signals`` the level's own part at the size and horizon.

    Raises
    ------
    ConfigError
        If there are no placements, or the extra ``learn`` is not installed.
    """
    if not len(placements):
        raise ConfigError("no virtual order was placed; give longer tapes, or a shorter life")
    counts = Counts.of(placements, axes)
    chance = counts.probability()
    rate = counts.filled[:, -1, -1].sum() / (counts.placed[:, -1, -1].sum() * len(axes.sizes) * len(axes.horizons))
    predict: dict[str, Forecast] = {
        "one rate": lambda some: np.full((len(some), len(axes.sizes), len(axes.horizons)), rate),
        "no signals": lambda some: chance[some.level - DEEPER, -1, -1],
        "empirical": lambda some: chance[axes.cells(some)],
    }
    raw: dict[str, Forecast] = {}
    if models:
        x, came = _drawn(placements, axes, settings.most_samples, seed)
        raw["logistic"] = _over_all(_logistic(x, came), axes)
        raw["forest"] = _over_all(_forest(x, came, settings, seed), axes)
        predict |= {name: functools.partial(_monotone, one) for name, one in raw.items()}
    return Fitted(axes, counts, {name: functools.partial(_bounded, one) for name, one in predict.items()}, raw)


def table_of(fitted: Fitted, estimator: str, placements: Placements, *, every_s: float) -> FillArrays:
    """The table of an estimator: its mean over the cell's placements; where there are none, over the row's or level's.

    Errors are those of the counts, whatever the estimator.
    """
    axes, counts = fitted.axes, fitted.counts
    if estimator == "empirical":
        chance = counts.probability()
    else:
        told = fitted.predict[estimator](placements)
        chance = _cell_means(told, axes.cells(placements), axes.shape)
    return FillArrays(
        axes.imbalance_edges, axes.touch_edges, axes.sizes, axes.horizons, np.clip(chance, 0.0, 1.0),
        counts.error(axes.horizons, every_s), counts.placed,
    )  # fmt: skip


def monotone(chance: Floats) -> Floats:
    """Never rising along the last but one axis (size), never falling along the last (horizon).

    The mean of the least such function above and the greatest below, so that neither end is favoured.
    """
    above = np.maximum.accumulate(np.maximum.accumulate(chance[..., ::-1, :], axis=-2)[..., ::-1, :], axis=-1)
    below = np.minimum.accumulate(np.minimum.accumulate(chance[..., ::-1], axis=-1)[..., ::-1], axis=-2)
    return np.asarray((above + below) / 2, np.float64)


def _cell_means(told: Floats, at: tuple[Ints, Ints, Ints], shape: tuple[int, int, int]) -> Floats:
    total, count = np.zeros((*shape, *told.shape[1:])), np.zeros(shape)
    np.add.at(total, at, told)
    np.add.at(count, at, 1)
    _add_up(total)
    _add_up(count)
    means = total / np.maximum(count, 1)[..., None, None]
    for empty in np.argwhere(count == 0):
        level, i, _ = empty
        means[tuple(empty)] = means[level, i, -1] if count[level, i, -1] else means[level, -1, -1]
    return means


def _add_up(table: Floats) -> None:
    """The last cell of imbalance, and of touch, is that of all."""
    table[:, -1] = table.sum(axis=1)
    table[:, :, -1] = table.sum(axis=2)


def _drawn(placements: Placements, axes: Axes, most: int, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """One size and horizon of each of at most so many placements: inputs [m, 5] and whether it filled."""
    rng = np.random.Generator(np.random.Philox(seed))
    rows = np.arange(len(placements))
    if len(rows) > most:
        rows = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
    some = placements.some(rows)
    size, horizon = rng.integers(len(axes.sizes), size=len(rows)), rng.integers(len(axes.horizons), size=len(rows))
    came = fills_within(some, axes.horizons)[np.arange(len(rows)), size, horizon]
    return _inputs(some, axes, axes.sizes[size], axes.horizons[horizon]), came


def _inputs(placements: Placements, axes: Axes, size: Floats, horizon: Floats) -> Floats:
    """level, imbalance, logarithms of touch, size and horizon: float64[n, 5]."""
    touch = np.log(placements.own / axes.mean_trade)
    return np.column_stack(
        [placements.level.astype(np.float64), placements.imbalance, touch, np.log(size), np.log(horizon)]
    )


def _logistic(x: Floats, came: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """Of each level apart, on standardised inputs, their squares and products."""
    middle, scale = x[:, 1:].mean(axis=0), np.maximum(x[:, 1:].std(axis=0), 1e-9)

    def terms(rows: Floats) -> Floats:
        z = np.clip((rows[:, 1:] - middle) / scale, -4, 4)
        pairs = np.triu_indices(z.shape[1])
        return np.hstack([z, z[:, pairs[0]] * z[:, pairs[1]]])

    models = {}
    for level in (DEEPER, NEAR):
        own = x[:, 0] == level
        if own.any():
            models[level] = _binary(_sklearn("linear_model").LogisticRegression(max_iter=500), terms(x[own]), came[own])

    def predict(rows: Floats) -> Floats:
        out = np.zeros(len(rows))
        for level, model in models.items():
            own = rows[:, 0] == level
            out[own] = model(terms(rows[own])) if own.any() else 0.0
        return out

    return predict


def _forest(x: Floats, came: NDArray[np.bool_], settings: ForestSettings, seed: int) -> Callable[[Floats], Floats]:
    model = _sklearn("ensemble").RandomForestClassifier(
        settings.trees, max_depth=settings.depth, min_samples_leaf=settings.leaf, max_features=3, max_samples=0.5,
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    return _binary(model, x, came)


def _binary(model: Any, x: Floats, came: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """Fit; where all came or none, there is nothing to fit."""
    if came.all() or not came.any():
        rate = float(came.mean())
        return lambda rows: np.full(len(rows), rate)
    with _one_thread():
        model.fit(x, came)

    def predict(rows: Floats) -> Floats:
        with _one_thread():
            return model.predict_proba(rows)[:, 1]

    return predict


def _over_all(predict: Callable[[Floats], Floats], axes: Axes) -> Forecast:
    """Every size and horizon of placements, a part of them at a time."""
    size, horizon = (grid.ravel() for grid in np.meshgrid(axes.sizes, axes.horizons, indexing="ij"))

    def of(placements: Placements) -> Floats:
        out = np.empty((len(placements), len(size)))
        step = max(1, PART // len(size))
        for start in range(0, len(placements), step):
            rows = np.arange(start, min(start + step, len(placements)))
            every = placements.some(np.repeat(rows, len(size)))
            x = _inputs(every, axes, np.tile(size, len(rows)), np.tile(horizon, len(rows)))
            out[rows] = predict(x).reshape(len(rows), -1)
        return out.reshape(len(placements), len(axes.sizes), len(axes.horizons))

    return of


def _monotone(predict: Forecast, placements: Placements) -> Floats:
    return monotone(predict(placements))


def _bounded(predict: Forecast, placements: Placements) -> Floats:
    return np.clip(predict(placements), LEAST, 1 - LEAST)


def _sklearn(part: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{part}")
    except ImportError:
        raise ConfigError("fill models need scikit-learn; install the extra `learn`") from None


def _one_thread() -> Any:
    """A fit repeats to the bit only where its sums have one order."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1)
