"""The forecasts of one stock at one horizon: models, what they are worth on later samples, and what can be kept.

A ``Cell`` is one square of the table of stocks by horizons: every model and guess with every metric and its error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.dataset import Dataset
from engine.learning.features import Samples
from engine.learning.forest import MODELS, Fitted, ForestSettings, fit_models
from engine.learning.labels import Rule, band_of, classes, horizon_cdf, moves, stale_ns, times_to_move
from engine.learning.metrics import HORIZONS_A_BLOCK, NAMES, constant_guesses, evaluate
from engine.learning.splits import Split, by_days, leave_one_day_out, within_day
from engine.model_file import Band, InstrumentFacts, Manifest
from engine.signals import NAMES as SIGNALS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Number = float | None  # None: has no value here

FEW_BLOCKS = 8  # in a test; with fewer its errors say little


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done alike for every stock and horizon."""

    seed: int
    band: Rule = "thirds"
    band_fraction: float = 0.5
    clock: Literal["trade", "quote"] = "trade"
    settings: ForestSettings = ForestSettings()
    draws: int = 200  # of the bootstrap


class Stock(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A stock's recorded days, and which of them judge."""

    facts: InstrumentFacts
    days: list[Samples]
    train_days: int = 0  # the first so many; the rest test. With one day its last part tests
    test_part: float = 0.4
    leaves_days_out: bool = False


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One stock, one horizon, one test."""

    symbol: str
    horizon: int
    split: str  # "days", "one day" or "without day n"
    n_fit: int
    n_calibrate: int
    n_test: int
    blocks: float  # of the bootstrap in the test
    rates: list[float]  # of down, flat and up in the test
    band: Band
    metrics: list[str]
    models: list[str]
    value: list[list[Number]]  # [model][metric]
    error: list[list[Number]]
    ahead: dict[str, list[list[Number]]]  # "one less other": [difference or its error][metric]

    def of(self, model: str, metric: str) -> tuple[float, float]:
        """(value, error); NaN where there is none."""
        m, k = self.models.index(model), self.metrics.index(metric)
        return _number(self.value[m][k]), _number(self.error[m][k])

    def lead(self, model: str, other: str, metric: str) -> tuple[float, float]:
        """By how much a model is above another, and the error of that."""
        k, ahead = self.metrics.index(metric), self.ahead[f"{model} less {other}"]
        return _number(ahead[0][k]), _number(ahead[1][k])


class Trained(NamedTuple):
    """A cell with what made it."""

    cell: Cell
    data: Dataset
    y: Ints
    split: Split
    fitted: Fitted
    manifest: Manifest


def train(stock: Stock, plan: Plan, horizon: int) -> Trained:
    """Fit and judge on the stock's own split: by days, or within its only day."""
    data = _labelled(stock, horizon)
    if len(stock.days) == 1:
        split = within_day(data, test=stock.test_part)
    else:
        first = stock.train_days or len(stock.days) - 1
        split = by_days(data, list(range(first)), list(range(first, len(stock.days))))
    return _judged(stock, plan, horizon, data, split)


def train_without_each_day(stock: Stock, plan: Plan, horizon: int) -> Iterator[Trained]:
    """The same for each day in turn; models of all others, also later ones."""
    data = _labelled(stock, horizon)
    for split in leave_one_day_out(data):
        yield _judged(stock, plan, horizon, data, split)


def _labelled(stock: Stock, horizon: int) -> Dataset:
    data = Dataset.of(stock.days, horizon)
    if not len(data):
        raise ConfigError(
            f"{stock.facts.symbol}: no sample has a move {horizon} ticks later; give longer days or a shorter horizon"
        )
    return data


def _judged(stock: Stock, plan: Plan, horizon: int, data: Dataset, split: Split) -> Trained:
    band = band_of(plan.band, data.change[split.fit], fraction=plan.band_fraction)
    y = classes(data.change, data.spread, band)
    try:
        fitted = fit_models(data, y, split, settings=plan.settings.at(horizon), seed=plan.seed)
    except ConfigError as error:
        raise ConfigError(f"{stock.facts.symbol} at {horizon} ticks: {error}") from None
    x, came = data.x[split.test], y[split.test]
    models = {name: predict(x) for name, predict in fitted.predict.items()}
    guesses = constant_guesses(y[split.calibrate], len(came))  # the newest that models know, too
    models |= guesses
    rng = np.random.Generator(np.random.Philox([plan.seed, horizon]))
    scores = evaluate(models, came, horizon=horizon, rng=rng, draws=plan.draws)
    pairs = [("forest", "logistic"), ("forest", "boosting"), *itertools.product(MODELS, guesses)]
    cell = Cell(
        symbol=stock.facts.symbol,
        horizon=horizon,
        split=split.name,
        n_fit=min(len(split.fit), plan.settings.most_samples),
        n_calibrate=len(split.calibrate),
        n_test=len(came),
        blocks=len(came) / (HORIZONS_A_BLOCK * horizon),
        rates=(np.bincount(came, minlength=3) / len(came)).tolist(),
        band=band,
        metrics=list(NAMES),
        models=list(models),
        value=[_numbers(scores[name].value) for name in models],
        error=[_numbers(scores[name].error) for name in models],
        ahead={f"{one} less {other}": [*map(_numbers, scores[one].less(scores[other]))] for one, other in pairs},
    )
    return Trained(cell, data, y, split, fitted, _manifest(stock, plan, horizon, data, split, band, cell))


def _manifest(stock: Stock, plan: Plan, horizon: int, data: Dataset, split: Split, band: Band, cell: Cell) -> Manifest:
    rows = np.concatenate([split.fit, split.calibrate])
    spans = [data.ts[rows[data.day[rows] == day]] for day in np.unique(data.day[rows])]
    cdf = horizon_cdf(_waits(stock, horizon, data.start[rows], band))
    scores = {name: cell.of("forest", name)[0] for name in NAMES}
    return Manifest(
        instrument=stock.facts,
        clock=plan.clock,
        horizon=horizon,
        features=list(SIGNALS),
        band=band,
        trained=[(int(span.min()), int(span.max())) for span in spans],
        seed=plan.seed,
        settings=msgspec.structs.asdict(plan.settings.at(horizon)),
        metrics={name: score for name, score in scores.items() if np.isfinite(score)},
        horizon_cdf=cdf,
        stale_ns=stale_ns(cdf),
    )


def _waits(stock: Stock, horizon: int, places: Ints, band: Band) -> Ints:
    """How long the moves of the training samples took, ns."""
    waits, before = [], 0
    for samples in stock.days:
        found = moves(samples, horizon)
        trained = np.isin(np.arange(len(samples)) + before, places)
        waits.append(times_to_move(samples, found._replace(known=found.known & trained), band))
        before += len(samples)
    return np.concatenate(waits)


def _numbers(values: Floats) -> list[Number]:
    return [float(x) if np.isfinite(x) else None for x in values]


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
