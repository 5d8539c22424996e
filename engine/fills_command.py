"""What ``tickwright train fills`` and ``tickwright vwap fills`` do."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from engine import fills_views as views
from engine.cli import OK, Output, say
from engine.curve_views import grid_lines
from engine.errors import ConfigError
from engine.fill_table import save_fill_table
from engine.forest_command import stock_tapes
from engine.kernel_cache import ensure
from engine.learning.fills_config import FillsConfig, load_fills_config
from engine.learning.fills_study import FillCell, FillPlan, FillResults, FillStock, study_fills
from engine.progress import telling
from engine.reports.forest_page import write_forest_page
from engine.shipped import find_training
from engine.whole_folder import written_whole

RESULTS = "fills.json"


def train_fills_command(name: str, out: Path | None, overwrite: bool, output: Output) -> int:
    """Tables, fills.json and table.csv in a folder of their own, whole or not at all."""
    config = load_fills_config(find_training(name, "fills_*.toml"))
    folder = out or Path("models") / config.name
    if folder.exists() and not overwrite:
        raise ConfigError(f"{folder} exists; choose another --out folder, or --overwrite")
    if folder.exists() and not (folder / RESULTS).is_file():
        raise ConfigError(
            f"{folder} holds no fill probabilities, so it is not overwritten; choose another --out folder"
        )
    ensure()
    with written_whole(folder) as scratch:
        results = _train(config, scratch, output)
        (scratch / RESULTS).write_bytes(msgspec.json.encode(results))
        _write_table(scratch / "table.csv", results.cells)
    tables = sorted(path.name for path in folder.glob("*.fills"))
    lines = [*_lines(results), "", f"wrote     {len(tables)} tables in {folder}, table.csv, {RESULTS}"]
    lines.append(f"page      tickwright vwap fills {folder} --html fills.html")
    say(output, {"out": str(folder), "tables": tables, "cells": results.cells}, lines)
    return OK


def fills_report_command(folder: Path, html: Path | None, output: Output) -> int:
    """The tables, and the page."""
    results = read_fill_results(folder)
    page = ""
    if html:
        title = f"Fill probabilities: {results.name}"
        page = str(write_forest_page(html, title, views.facts(results), views.sections(results)))
    lines = [*_lines(results), "", f"page      {page}" if page else "page      with --html FILE"]
    say(output, {"results": results, "page": page}, lines)
    return OK


def read_fill_results(folder: Path) -> FillResults:
    """What a training left.

    Raises
    ------
    ConfigError
        If there is nothing, or nothing that this engine reads.
    """
    file = folder / RESULTS
    try:
        return msgspec.json.decode(file.read_bytes(), type=FillResults)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); make it with `tickwright train fills`") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: no results of a training ({error}); train again") from None


def _train(config: FillsConfig, scratch: Path, output: Output) -> FillResults:
    shared = {name: getattr(config, name) for name in FillPlan.__struct_fields__}
    plan, cells = FillPlan(**shared), []
    stocks = [
        FillStock(
            symbol=one.symbol, days=stock_tapes(one), train_days=one.train_days, test_part=one.test_part,
            leaves_days_out=one.leave_one_day_out,
        )
        for one in config.stocks
    ]  # fmt: skip
    count = sum(len(stock.days) * (2 if stock.leaves_days_out else 1) for stock in stocks)
    with telling(count, output, "placing") as tell:
        for stock in stocks:
            for found in study_fills(stock, plan, tell=tell):
                cells.append(found.cell)
                day = found.cell.split.removeprefix("without ")
                name = f"{stock.symbol}.fills" if day == found.cell.split else f"{stock.symbol}_without_{day}.fills"
                save_fill_table(scratch / name, found.manifest, found.table)
    return FillResults(name=config.name, plan=plan, cells=cells)


def _lines(results: FillResults) -> list[str]:
    lines = [results.name, *views.facts(results)]
    for grid in (
        views.samples_grid(results),
        views.scores_grid(results, "log_loss"),
        views.scores_grid(results, "gain"),
    ):
        lines += grid_lines(grid)
    return [*lines, "", *views.verdicts(results)]


def _write_table(file: Path, cells: list[FillCell]) -> None:
    """A row for each stock, test, estimator and score."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["symbol", "test", "estimator", "n_train", "n_judged", "blocks", "score", "value", "error"])
        for cell in cells:
            for name, score in cell.scores.items():
                for what in ("log_loss", "brier", "gain", "over_one_rate"):
                    number = getattr(score, what)
                    facts = cell.symbol, cell.split, name, cell.n_train, cell.n_judged, cell.blocks
                    writer.writerow([*facts, what, f"{number.value:.6f}", f"{number.error:.6f}"])
