"""What ``tickwright train forest`` and ``tickwright forest report`` do. Importers are joined by name."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path

import msgspec

from engine import forest_views as views
from engine.cli import OK, Output, say
from engine.curve_views import grid_lines
from engine.data_commands import find_tape
from engine.errors import ConfigError, TapeError
from engine.kernel_cache import ensure
from engine.learning.features import samples
from engine.learning.forest_config import ForestConfig, StockConfig, load_forest_config
from engine.learning.forest_study import Results, steps, study_known_process, study_stock
from engine.learning.training import Cell, Plan, Stock, Trained
from engine.model_file import InstrumentFacts, save_model
from engine.progress import telling
from engine.reports.forest_page import write_forest_page
from engine.shipped import find_training
from engine.spelling import did_you_mean
from engine.tape import Tape
from engine.whole_folder import written_whole

RESULTS = "results.json"
FORM = "tickwright data import"
ONE_STOCK = ("lobster", "quotes", "trades")  # forms whose files may not say which


def train_command(name: str, out: Path | None, overwrite: bool, output: Output) -> int:
    """Models, results.json and table.csv in a folder of their own, whole or not at all."""
    config = load_forest_config(find_training(name))
    folder = out or Path("models") / config.name
    if folder.exists() and not overwrite:
        raise ConfigError(f"{folder} exists; choose another --out folder, or --overwrite")
    if folder.exists() and not (folder / RESULTS).is_file():
        raise ConfigError(f"{folder} holds no training, so it is not overwritten; choose another --out folder")
    ensure()
    plan = Plan(
        seed=config.seed, band=config.band, band_fraction=config.band_fraction, clock=config.clock,
        settings=config.forest, draws=config.draws,
    )  # fmt: skip
    days = [stock_tapes(one) for one in config.stocks]
    with written_whole(folder) as scratch:
        results = _train(config, plan, days, scratch, output)
        (scratch / RESULTS).write_bytes(msgspec.json.encode(results))
        _write_table(scratch / "table.csv", results.cells)
    models = sorted(path.name for path in folder.glob("*.model"))
    lines = [*_lines(results), "", f"wrote     {len(models)} models in {folder}, table.csv, {RESULTS}"]
    lines.append(f"page      tickwright forest report {folder} --html forest.html")
    say(output, {"out": str(folder), "models": models, "cells": results.cells}, lines)
    return OK


def report_command(folder: Path, html: Path | None, output: Output) -> int:
    """The tables, and the page."""
    results = read_results(folder)
    page = ""
    if html:
        title = f"Forecasts of direction: {results.name}"
        page = str(write_forest_page(html, title, _facts(results), views.sections(results)))
    lines = [*_lines(results), "", f"page      {page}" if page else "page      with --html FILE"]
    say(output, {"results": results, "page": page}, lines)
    return OK


def read_results(folder: Path) -> Results:
    """What a training left.

    Raises
    ------
    ConfigError
        If there is nothing, or nothing that this engine reads.
    """
    file = folder / RESULTS
    try:
        return msgspec.json.decode(file.read_bytes(), type=Results)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); make it with `tickwright train forest`"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: no results of a training ({error}); train again") from None


def _train(config: ForestConfig, plan: Plan, days: list[list[Tape]], scratch: Path, output: Output) -> Results:
    stocks = [_stock(one, tapes, plan) for one, tapes in zip(config.stocks, days, strict=True)]
    study_horizon = config.study_horizon if config.studies else 0
    found = Results(
        name=config.name, seed=config.seed, clock=config.clock, band=_band_text(config),
        settings=msgspec.structs.asdict(config.forest), known_horizon=study_horizon,
        days={
            one.symbol: [tape.manifest.name for tape in tapes]
            for one, tapes in zip(config.stocks, days, strict=True)
        },
    )  # fmt: skip

    def keep(trained: Trained) -> None:
        name = f"{trained.cell.symbol}_{trained.cell.horizon}.model"
        save_model(scratch / name, trained.manifest, trained.fitted.trees)

    with telling(steps(stocks, config.horizons, studies=config.studies), output) as tell:
        for stock in stocks:
            cells, weights, study = study_stock(
                stock, plan, config.horizons, study_horizon=study_horizon, keep=keep, tell=tell
            )
            found.cells.extend(cells)
            found.weights.extend(weights)
            found.studies.extend([study] if study else [])
        if study_horizon:
            found.known.extend(study_known_process(plan, study_horizon, tell))
    return found


def _stock(config: StockConfig, tapes: list[Tape], plan: Plan) -> Stock:
    if config.train_days >= max(len(tapes), 2):
        raise ConfigError(f"{config.symbol}: train_days is {config.train_days}, but there are {len(tapes)} days")
    return Stock(
        facts=InstrumentFacts.on(tapes[0], config.symbol),
        days=[samples(tape, config.symbol, clock=plan.clock) for tape in tapes],
        train_days=config.train_days,
        test_part=config.test_part,
        leaves_days_out=config.leave_one_day_out and len(tapes) > 1,
    )


def stock_tapes(config: StockConfig) -> list[Tape]:
    """The days of a stock, from tapes or imported; raises ``ConfigError`` or ``TapeError``."""
    if config.tapes:
        return [find_tape(name) for name in config.tapes]
    importers = importlib.import_module("feeds.importers").IMPORTERS
    if config.form not in importers:
        hint = did_you_mean(config.form, importers)
        raise ConfigError(f"{config.symbol}: '{config.form}' is no form to import{hint}")
    named = {"symbol": config.symbol} if config.form in ONE_STOCK else {}
    try:
        return importers[config.form](*config.files, **named, **config.options)
    except TypeError as error:
        raise ConfigError(f"{config.symbol}: {error}; `{FORM} --help` lists forms") from error
    except TapeError as error:
        error.add_note(f"while importing {config.symbol}")
        raise


def _lines(results: Results) -> list[str]:
    cells = views.own_splits(results)
    grids = [
        views.slides_grid(results, "one_vs_rest", "One-vs-rest accuracy: forest (always the majority)"),
        views.slides_grid(results, "accuracy", "Three-class accuracy: forest (always the majority)"),
        views.slides_grid(results, "moved_accuracy", "Up or down, when it moved: forest (a guess)"),
        views.models_grid(cells, "auc", "Macro AUC"),
    ]
    lines = [f"{results.name}", *_facts(results)]
    for grid in grids:
        lines += grid_lines(grid)
    return [*lines, "", *views.verdicts(results)]


def _facts(results: Results) -> list[str]:
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    days = "; ".join(f"{symbol}: {', '.join(days)}" for symbol, days in results.days.items())
    return [
        f"ticks of the {results.clock} clock; flat: {results.band}; seed {results.seed}",
        f"forest: {settings}",
        days,
        "errors: block bootstrap, blocks of ten horizons; one day: its last part tests, within the day",
    ]


def _band_text(config: ForestConfig) -> str:
    spread = f"at most {config.band_fraction:g} of the spread"
    return {"move": "no move at all", "spread": spread, "thirds": "the smallest third of training moves"}[config.band]


def _write_table(file: Path, cells: list[Cell]) -> None:
    """A row for each stock, horizon, test and model."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        metrics = cells[0].metrics if cells else []
        writer.writerow(["symbol", "horizon", "test", "model", "n_fit", "n_test", "blocks", "metric", "value", "error"])
        for cell in cells:
            for model in cell.models:
                for metric in metrics:
                    facts = cell.symbol, cell.horizon, cell.split, model, cell.n_fit, cell.n_test, f"{cell.blocks:.2f}"
                    writer.writerow([*facts, metric, *(f"{x:.6f}" for x in cell.of(model, metric))])
