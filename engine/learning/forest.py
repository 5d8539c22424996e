"""Forecasts of direction: a random forest, and the simpler and the stronger model that it must be held against.

All three are fitted on the same samples with the same weights, and calibrated in the same way on later samples. Fits
repeat to the bit: seeds are given, and one thread works.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.trees import Trees, calibrated
from engine.errors import ConfigError
from engine.learning.calibration import fit_calibration
from engine.learning.dataset import Dataset
from engine.learning.flatten import flatten
from engine.learning.splits import Split, thinned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Forecast = Callable[[Floats], Floats]  # signals[n, 18] to probabilities[n, 3]

N_CLASSES = 3
MODELS = ("forest", "logistic", "boosting")
FARTHEST = 5.0  # standard deviations at which the logistic regression's signals are cut off


class ForestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the forest is grown."""

    trees: int = 120
    depth: int = 8
    leaf: int = 100  # samples at least ...
    leaf_horizons: int = 4  # ... and times the horizon: neighbours share their labels, a leaf should hold several
    features: int = 4  # tried at a split
    sample: float = 0.5  # part of the samples that a tree sees
    balance: Literal["weights", "resample", "none"] = "weights"  # what is done about rare classes
    most_samples: int = 40_000  # to fit on, evenly spread over the training days

    def at(self, horizon: int) -> ForestSettings:
        """With the leaves that a horizon in ticks asks for."""
        return msgspec.structs.replace(self, leaf=max(self.leaf, self.leaf_horizons * horizon))

    def __post_init__(self) -> None:
        for name, least, most in (
            ("trees", 1, 10_000), ("depth", 1, 64), ("leaf", 1, 1 << 30), ("leaf_horizons", 0, 1_000),
            ("features", 1, 1 << 10), ("sample", 1e-6, 1), ("most_samples", 100, 1 << 30),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"forest.{name} is {getattr(self, name)}, but must be from {least:g} to {most:g}")


class Fitted(NamedTuple):
    """Models of one stock and horizon, calibrated."""

    trees: Trees
    importance: Floats  # [18] of the forest, by impurity
    predict: dict[str, Forecast]


def fit_models(
    data: Dataset, y: Ints, split: Split, *, settings: ForestSettings, seed: int, baselines: bool = True
) -> Fitted:
    """Fit and calibrate on the parts of a split.

    Parameters
    ----------
    data : Dataset
    y : int64[n]
        Its classes.
    split : Split
    settings : ForestSettings
    seed : int
    baselines : bool
        Fit the logistic regression and the boosted trees, too.
    """
    fit = thinned(split.fit, settings.most_samples)
    x, came, weights = _balanced(data.x[fit], y[fit], settings.balance, seed)
    if len(np.unique(came)) < 2:
        raise ConfigError(f"all {len(came)} training samples are of one class; choose a longer horizon or another band")
    forest = fit_forest(x, came, settings, seed=seed, weights=weights)
    trees = flatten(forest)
    calibrate = data.x[split.calibrate], y[split.calibrate]
    table = fit_calibration(trees.fractions(calibrate[0]), calibrate[1])
    trees = Trees.of(trees.nodes, trees.roots, trees.values, n_features=trees.n_features, calibration=table)
    predict: dict[str, Forecast] = {"forest": trees.probabilities}
    if baselines:
        for name, found in (("logistic", _logistic(x, came, weights)), ("boosting", _boosting(x, came, weights, seed))):
            table = fit_calibration(found(calibrate[0]), calibrate[1])
            predict[name] = functools.partial(_calibrated, found, table)
    return Fitted(trees, np.asarray(forest.feature_importances_), predict)


def fit_forest(x: Floats, y: Ints, settings: ForestSettings, *, seed: int, weights: Floats | None = None) -> Any:
    """scikit-learn's forest, not calibrated.

    Raises
    ------
    ConfigError
        If the extra ``learn`` is not installed.
    """
    forest = _sklearn("ensemble").RandomForestClassifier(
        settings.trees,
        max_depth=settings.depth,
        min_samples_leaf=settings.leaf,
        max_features=min(settings.features, x.shape[1]),
        max_samples=settings.sample if settings.sample < 1 else None,
        random_state=seed,
        n_jobs=1,
    )
    return forest.fit(x.astype(np.float32), y, sample_weight=weights)


def _balanced(x: Floats, y: Ints, balance: str, seed: int) -> tuple[Floats, Ints, Floats]:
    """(x, y, weights) in which every class that came counts alike, unless ``balance`` is "none"."""
    counts = np.bincount(y, minlength=N_CLASSES)
    if balance == "none":
        return x, y, np.ones(len(y))
    if balance == "weights":
        return x, y, (len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[y]
    rng = np.random.Generator(np.random.Philox(seed))
    there = np.flatnonzero(counts)
    drawn = [rng.choice(np.flatnonzero(y == c), len(y) // len(there)) for c in there]
    rows = np.sort(np.concatenate(drawn))
    return x[rows], y[rows], np.ones(len(rows))


def _logistic(x: Floats, y: Ints, weights: Floats) -> Forecast:
    middle, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)

    def near(rows: Floats) -> Floats:
        return np.clip((rows - middle) / scale, -FARTHEST, FARTHEST)

    with _one_thread():
        model = _sklearn("linear_model").LogisticRegression(max_iter=1_000).fit(near(x), y, sample_weight=weights)
    return lambda rows: _all_classes(model.predict_proba(near(rows)), model.classes_)


def _boosting(x: Floats, y: Ints, weights: Floats, seed: int) -> Forecast:
    model = _sklearn("ensemble").HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=100, max_leaf_nodes=15, min_samples_leaf=100, l2_regularization=1.0,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    with _one_thread():
        model.fit(x, y, sample_weight=weights)

    def predict(rows: Floats) -> Floats:
        with _one_thread():
            return _all_classes(model.predict_proba(rows), model.classes_)

    return predict


def _calibrated(model: Forecast, table: Floats, rows: Floats) -> Floats:
    return calibrated(table, model(rows))


def _all_classes(p: Floats, classes: Ints) -> Floats:
    """A column for every class; 0 where training had none of it."""
    out = np.zeros((len(p), N_CLASSES))
    out[:, np.asarray(classes, np.int64)] = p
    return out


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ConfigError(f"training needs {error.name}; install the extra: pip install tickwright[learn]") from None


def _one_thread() -> Any:
    import importlib

    return importlib.import_module("threadpoolctl").threadpool_limits(1)  # comes with scikit-learn
