"""Forecasts on recorded days: what later days say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.learning.features import Samples, samples
from engine.learning.forest import ForestSettings
from engine.learning.training import Plan, Stock, train
from engine.model_file import InstrumentFacts
from feeds.importers import IMPORTERS

pytest.importorskip("sklearn", reason="the extra `learn` is not installed")

PLAN = Plan(seed=7, draws=100, settings=ForestSettings(trees=60))


def stock(recorded_data: Path, symbol: str) -> Stock:
    folder = recorded_data / "equities" / "lean_tick"
    files = [folder / f"{symbol.lower()}_{kind}_20131007_11.parquet" for kind in ("nbbo_rth", "trades")]
    tapes = IMPORTERS["quotes"](*files, symbol=symbol)
    return Stock(facts=InstrumentFacts.on(tapes[0], symbol), days=[samples(tape, symbol) for tape in tapes])


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "auc", "moved"), [("IBM", 0.58, 0.6), ("BAC", 0.84, 0.97)])
def test_a_day_that_no_model_saw_is_forecast_at_ten_ticks(
    recorded_data: Path, symbol: str, auc: float, moved: float
) -> None:
    cell = train(stock(recorded_data, symbol), PLAN, 10).cell
    for metric, least in (("auc", auc), ("moved_auc", moved)):
        value, error = cell.of("forest", metric)
        assert value - 2 * error > least - 0.02
    assert cell.lead("forest", "logistic", "auc")[0] > -0.02
    loss, error = cell.lead("forest", "base rates", "log_loss")
    assert loss < -3 * error


@pytest.mark.slow
def test_signals_of_another_time_of_day_forecast_nothing(recorded_data: Path) -> None:
    """Shifted by an hour or so of ticks: were there a leak through labels or splits, it would show."""
    here = stock(recorded_data, "IBM")
    shifted = [Samples(**(day._asdict() | {"values": np.roll(day.values, 5_003, axis=0)})) for day in here.days]
    cell = train(Stock(facts=here.facts, days=shifted), PLAN, 10).cell
    value, error = cell.of("forest", "auc")
    assert abs(value - 0.5) < max(4 * error, 0.02)
