"""From tapes of a ticker to what ``calibrate`` needs, so that nothing judges what it was fitted on.

A fold is a day; a single day is cut into two halves at a period's start. The fill table that a fold's steps are held
against is of the placements of all other folds, and so is the forest that forecasts there, where one is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.average_day import measure
from engine.broker.impact import Market
from engine.errors import ConfigError
from engine.fill_table import NEAR, FillArrays
from engine.learning.calibrate import Days, Displayed, ParentTerms
from engine.learning.dataset import Dataset
from engine.learning.features import samples
from engine.learning.fill_probability import ForestSettings as FillForest
from engine.learning.fill_probability import axes_of, fit, table_of
from engine.learning.forest import ForestSettings, fit_models
from engine.learning.kept_places import with_kept_places
from engine.learning.labels import DOWN, UP, band_of, classes
from engine.learning.splits import leave_one_day_out
from engine.learning.step_facts import Forecast, Periods, StepFacts, step_facts
from engine.learning.virtual_marks import Marking, parts_of
from engine.learning.virtual_orders import Placements, mean_trade, place_virtual_orders
from engine.model_file import load_model
from engine.signals import Clock
from engine.tape import Tape

Floats = NDArray[np.float64]

HORIZONS = (0.25, 0.5, 1.0, 2.0)  # steps, that the fill tables are asked about
KEPT = 2  # steps over which orders are seen again
RESTING = (1, 2)  # lots of the passive placements


class ForecastTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What forecasts: the touch's own imbalance; a model, of days before; or forests fitted on all other days."""

    by: str = "imbalance"  # "imbalance", "forest", or the folder of a model
    horizon: Annotated[int, msgspec.Meta(ge=1)] = 20  # ticks, of "forest"
    clock: Clock = "quote"  # of "forest"
    forest: ForestSettings = ForestSettings()
    seed: int = 0


class Measuring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How days are measured."""

    periods: Periods = Periods()
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 15.0  # between virtual orders; divides a step
    forecast: ForecastTerms = ForecastTerms()


def ticker_days(
    tapes: Sequence[Tape],
    symbol: str,
    *,
    terms: ParentTerms,
    povs: Sequence[float],
    measuring: Measuring,
    market: Market | None = None,
    period_volume: float = 0.0,
) -> Days:
    """Measure a ticker's days, in order of time.

    Parameters
    ----------
    tapes : sequence of Tape
        With quotes or books, and trades.
    symbol : str
    terms : ParentTerms
        For lots and steps.
    povs : sequence of float
        Of the parents that are to be placed: the virtual orders have their sizes.
    measuring : Measuring
    market : Market, optional
        The average day; measured by default.
    period_volume : float
        Of the periods in which parents are worked, size units; 0 is that of those that are measured.

    Raises
    ------
    ConfigError, TapeError
        Where there is too little to measure; the message says of what.
    """
    step_s = measuring.periods.each_s / terms.steps
    facts = [
        step_facts(tape, symbol, measuring.periods, terms.steps, forecast)
        for tape, forecast in zip(tapes, _forecasts(tapes, symbol, measuring.forecast), strict=True)
    ]
    unit = next(one for one in tapes[0].instruments if one.symbol == symbol)
    volume = period_volume or float(np.concatenate([one.volume for one in facts]).sum(axis=1).mean())
    parts = parts_of(np.outer(povs, RESTING) * volume / terms.lots).ravel()
    asked = sorted({math.ceil(part / unit.lot) * unit.lot for part in parts})
    every_s, life_s = measuring.every_s, (KEPT + HORIZONS[-1]) * step_s
    fresh = [place_virtual_orders(tape, symbol, sizes=asked, every_s=every_s, life_s=life_s) for tape in tapes]
    placed = [with_kept_places(one, step_s=step_s, every_s=every_s, steps=KEPT) for one in fresh]
    mean = mean_trade(tapes, symbol)
    steps, orders = _folds(facts, placed, symbol)
    return Days(
        steps=steps,
        tables=[
            _table([one for j, one in enumerate(orders) if j != k], mean, step_s, every_s) for k in range(len(orders))
        ],
        displayed=_displayed(fresh),
        marking=[
            Marking(orders, samples(tape, symbol, clock="quote")) for orders, tape in zip(placed, tapes, strict=True)
        ],
        mean_trade=mean,
        market=market or _average_day(tapes, symbol),
        step_s=step_s,
        tick=unit.tick,
    )


def _folds(facts: list[StepFacts], placed: list[Placements], symbol: str) -> tuple[list[StepFacts], list[Placements]]:
    if len(facts) > 1:
        return facts, placed
    day, orders = facts[0], placed[0]
    middle = len(day.start) // 2
    if not middle:
        raise ConfigError(f"{symbol}: only one period can be measured; give a longer day, or more days")
    is_early = orders.ts < day.start[middle]
    return [day.some(slice(middle)), day.some(slice(middle, None))], [orders.some(is_early), orders.some(~is_early)]


def _displayed(placed: Sequence[Placements]) -> Displayed:
    near = [one.some(one.level == NEAR) for one in placed]
    return Displayed(
        *(
            np.concatenate(column).astype(float)
            for column in zip(*((one.imbalance, one.other) for one in near), strict=True)
        )
    )


def _table(others: list[Placements], mean: float, step_s: float, every_s: float) -> FillArrays:
    columns = zip(*(one[1:] for one in others), strict=True)
    joined = Placements(others[0].sizes, *(np.concatenate(column) for column in columns))
    axes = axes_of(joined, mean, step_s * np.array(HORIZONS))
    fitted = fit(joined, axes, settings=FillForest(), seed=0, models=False)
    return table_of(fitted, "empirical", joined, every_s=every_s)


def _forecasts(tapes: Sequence[Tape], symbol: str, terms: ForecastTerms) -> list[Forecast | None]:
    if terms.by == "imbalance":
        return [None] * len(tapes)
    if terms.by != "forest":
        return [_model(tapes, symbol, terms.by)] * len(tapes)
    if len(tapes) < 2:
        raise ConfigError(f"{symbol}: forests are fitted on all other days, but there is one day; name a model instead")
    days = [samples(tape, symbol, clock=terms.clock) for tape in tapes]
    data = Dataset.of(days, terms.horizon)
    found: list[Forecast | None] = []
    for split in leave_one_day_out(data):
        y = classes(data.change, data.spread, band_of("thirds", data.change[split.fit]))
        fitted = fit_models(data, y, split, settings=terms.forest.at(terms.horizon), seed=terms.seed, baselines=False)
        found.append(Forecast(terms.clock, _Lean(fitted.trees)))
    return found


class _Lean:
    """P(up) - P(down) of a forest."""

    def __init__(self, trees: Any) -> None:
        self.trees = trees

    def __call__(self, signals: Floats) -> Floats:
        chances = self.trees.probabilities(signals)
        return chances[:, UP] - chances[:, DOWN]


def _model(tapes: Sequence[Tape], symbol: str, folder: str) -> Forecast:
    model = load_model(folder)
    last = max((end for _, end in model.manifest.trained), default=0)
    if min((start for tape in tapes for start, _ in tape.sessions), default=math.inf) <= last:
        raise ConfigError(
            f"{symbol}: {folder} was trained on the first of these days or later; calibrate to days after its training"
        )
    return Forecast(model.manifest.clock, _Lean(model.trees))


def _average_day(tapes: Sequence[Tape], symbol: str) -> Market:
    number = next(k for k, one in enumerate(tapes[0].instruments) if one.symbol == symbol)
    sessions = [session for tape in tapes for session in tape.sessions]
    return measure([tape.rows for tape in tapes], tapes[0].instruments, sessions, [number])[symbol]
