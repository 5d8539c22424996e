"""Forecasts of direction as tables for a terminal and sections of a page: ``Results`` shown, nothing computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.learning.bias_variance import Part
from engine.learning.forest import MODELS
from engine.learning.forest_study import Results, Scatter, Study
from engine.learning.training import FEW_BLOCKS, Cell
from engine.reports.curve_page import Grid, Plot, Trace
from engine.reports.forest_page import Bars, Cloud, Dots, Heat, LogPlot, Section

SURE = 2.0  # errors, to say that something beats a guess
KINDS = (("told up, and it rose", "#1d4ed8"), ("told up, and it did not", "#dc2626"), ("told flat or down", "#1a7f5a"))
FLOW = "order flow imbalance over 100 ticks, in mean depths"


def own_splits(results: Results) -> list[Cell]:
    """The cells of each stock's own split; the others leave a day out."""
    return [cell for cell in results.cells if not cell.split.startswith("without")]


def slides_grid(results: Results, metric: str, title: str) -> Grid:
    """Horizons down, stocks across, as the slides print it: the forest's number with its error (the majority's)."""
    cells = own_splits(results)
    stocks = {cell.symbol: cell.symbol + (" (one day)" if cell.split == "one day" else "") for cell in cells}
    rows = []
    for horizon in sorted({cell.horizon for cell in cells}):
        found = {cell.symbol: cell for cell in cells if cell.horizon == horizon}
        rows.append([f"{horizon}", *(_beside_guess(found.get(stock), metric) for stock in stocks)])
    return Grid(title, ["ticks", *stocks.values()], rows)


def models_grid(cells: Sequence[Cell], metric: str, title: str) -> Grid:
    """A row a cell: every model's number, and the forest's lead over the logistic regression."""
    rows = []
    for cell in cells:
        numbers = [_value(*cell.of(model, metric)) for model in cell.models]
        rows.append(
            [cell.symbol, f"{cell.horizon}", cell.split, *numbers, _value(*cell.lead("forest", "logistic", metric))]
        )
    models = list(cells[0].models) if cells else []
    return Grid(title, ["stock", "ticks", "test", *models, "forest less logistic"], rows)


def tests_grid(cells: Sequence[Cell]) -> Grid:
    """What each cell was fitted and judged on."""
    rows = [
        [
            cell.symbol, f"{cell.horizon}", cell.split, f"{cell.n_fit:,}", f"{cell.n_calibrate:,}", f"{cell.n_test:,}",
            f"{cell.blocks:.1f}" + (" few" if cell.blocks < FEW_BLOCKS else ""),
            *(f"{rate:.3f}" for rate in cell.rates),
        ]
        for cell in cells
    ]  # fmt: skip
    return Grid(
        "Samples", ["stock", "ticks", "test", "fit", "calibrate", "judge", "blocks", "down", "flat", "up"], rows
    )


def verdicts(results: Results) -> list[str]:
    """Where forecasts beat guesses, the forest the logistic regression, and where nothing beats anything."""
    cells = own_splits(results)
    blind = [_name(cell) for cell in cells if not any(beats_guesses(cell, model) for model in MODELS)]
    useful = [_name(cell) for cell in cells if beats_guesses(cell, "forest")]
    behind = [_name(cell) for cell in cells if cell.lead("forest", "logistic", "auc")[0] < -0.02]
    few = [_name(cell) for cell in cells if cell.blocks < FEW_BLOCKS]
    return [
        f"forest beats guessing (log-loss of base rates, accuracy of the majority, AUC of 1/2; {SURE:g} errors each): "
        + (", ".join(useful) or "nowhere"),
        f"no model does: {', '.join(blind) or 'nowhere'}",
        f"forest more than 0.02 of macro AUC below logistic regression: {', '.join(behind) or 'nowhere'}",
        f"fewer than {FEW_BLOCKS} blocks in the test, so that errors say little: {', '.join(few) or 'none'}",
    ]


def beats_guesses(cell: Cell, model: str) -> bool:
    """Whether it surely has a smaller log-loss than the base rates, more hits than the majority, an AUC above 1/2."""
    loss, loss_error = cell.lead(model, "base rates", "log_loss")
    hits, hits_error = cell.lead(model, "majority", "accuracy")
    area, area_error = cell.of(model, "auc")
    return loss < -SURE * loss_error and hits > SURE * hits_error and area > 0.5 + SURE * area_error


def sections(results: Results) -> list[Section]:
    """The page."""
    own = own_splits(results)
    others = [cell for cell in results.cells if cell.split.startswith("without")]
    slides = [
        slides_grid(results, "one_vs_rest", "One-vs-rest accuracy: forest (always the majority)"),
        slides_grid(results, "accuracy", "Three-class accuracy: forest (always the majority)"),
        slides_grid(results, "auc", "Macro AUC: forest (a guess)"),
        slides_grid(results, "moved_accuracy", "Up or down, when it moved: forest (a guess)"),
    ]
    out = [
        Section("Prediction accuracy by horizon", verdicts(results), grids=slides),
        Section("Every model and metric", grids=[tests_grid(own), *(_metric_grids(own))]),
    ]
    if others:
        out.append(Section("Leave one day out", grids=[tests_grid(others), *(_metric_grids(others))]))
    out += [_importance(results), *(_study(study) for study in results.studies)]
    if results.known:
        notes = [
            f"Its best forecast is known, {results.known_horizon} ticks ahead, so that noise and bias are told apart."
        ]
        out.append(Section("Bias, variance and noise: known process", notes, _parts(results.known)))
    return out


def _metric_grids(cells: Sequence[Cell]) -> list[Grid]:
    return [models_grid(cells, metric, metric.replace("_", " ")) for metric in cells[0].metrics] if cells else []


def _importance(results: Results) -> Section:
    pictures = []
    shown = {study.symbol: study.horizon for study in results.studies}
    for one in results.weights:
        if shown.get(one.symbol) == one.horizon:
            order = np.argsort(one.impurity)[::-1]
            names = [results.signals[k] for k in order]
            told = f"{one.symbol}, {one.horizon} ticks"
            impurity = [one.impurity[k] for k in order]
            fall, error = [one.permutation[k] for k in order], [one.permutation_error[k] for k in order]
            pictures += [
                Bars(f"{told}: by impurity", "part of what all splits gained", names, impurity),
                Bars(f"{told}: by permutation", "fall of the macro AUC in the test", names, fall, error),
            ]
    grid = Grid(
        "Importance by impurity, %",
        ["signal", *(f"{one.symbol} {one.horizon}" for one in results.weights)],
        [
            [name, *(f"{100 * one.impurity[k]:.1f}" for one in results.weights)]
            for k, name in enumerate(results.signals)
        ],
    )
    return Section("Which signals matter", ["Errors of permutation are those of the shuffling."], pictures, [grid])


def _study(study: Study) -> Section:
    line, scatter = study.line, study.scatter
    cloud = Cloud(
        f"{study.symbol}: told up, right and wrong; size is P(up)",
        FLOW,
        f"move {study.horizon} ticks later, price ticks",
        [_dots(scatter, k) for k in reversed(range(len(KINDS)))],
    )
    heats = [
        Heat(f"{study.symbol}: P(up) - P(down)", *one.signals, across=one.first, up=one.second, value=one.lean)
        for one in study.sheets
    ]
    notes = [
        f"the move {study.horizon} ticks later by order flow of 100 ticks: slope {line.slope:.3g} ± "
        f"{line.slope_error:.2g} price ticks a mean depth, R² {line.r2:.4f}"
    ]
    pictures = [_regression(study), cloud, *heats, _waits(study), *_parts(study.parts)]
    return Section(f"{study.symbol}, {study.horizon} ticks ahead", notes, pictures)


def _regression(study: Study) -> Plot:
    line = study.line
    ends = np.array([min(line.flow), max(line.flow)])
    above, below = np.add(line.move, line.move_error), np.subtract(line.move, line.move_error)
    traces = [
        Trace("least squares", ends, line.intercept + line.slope * ends),
        Trace("means of equally many", line.flow, line.move, is_points=True),
        Trace("± 1 s.e.", [*line.flow, math.nan, *line.flow], [*above, math.nan, *below]),
    ]
    return Plot(f"{study.symbol}: order flow and the move after it", FLOW, "mean move, price ticks", traces)


def _waits(study: Study) -> Plot:
    traces = [
        Trace(f"{horizon} ticks", [ns / 1e9 for ns, _ in found], [part for _, part in found])
        for horizon, found in study.horizon_cdf.items()
    ]
    x, y = "seconds after the forecast", "part of the moves that have happened"
    return Plot(f"{study.symbol}: when moves happen", x, y, traces)


def _dots(scatter: Scatter, kind: int) -> Dots:
    rows = [i for i, one in enumerate(scatter.kind) if one == kind]
    x, y, up = ([values[i] for i in rows] for values in (scatter.flow, scatter.move, scatter.up))
    return Dots(KINDS[kind][0], x, y, up, KINDS[kind][1])


def _parts(parts: Sequence[Part]) -> list[LogPlot]:
    plots = []
    for setting in dict.fromkeys(part.setting for part in parts):
        some = [part for part in parts if part.setting == setting]
        x = [part.value for part in some]
        known = some[0].noise is not None
        traces = [
            Trace("Brier score", x, [part.brier for part in some]),
            Trace("bias²" if known else "bias² + noise", x, [part.bias for part in some]),
            Trace("variance", x, [part.variance for part in some]),
        ]
        if known:
            traces.append(Trace("noise", x, [part.noise or 0.0 for part in some]))
        names = {"trees": "trees", "depth": "greatest depth", "leaf": "samples a leaf, at least"}
        plots.append(LogPlot(Plot(f"Brier score by {setting}", names[setting], "mean over the test", traces)))
    return plots


def _beside_guess(cell: Cell | None, metric: str) -> str:
    if cell is None:
        return ""
    guess = cell.of("majority", metric)[0]
    return f"{_value(*cell.of('forest', metric))} ({guess:.3f})"


def _value(value: float, error: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f} ± {error:.3f}" if math.isfinite(error) else f"{value:.3f}"


def _name(cell: Cell) -> str:
    return f"{cell.symbol} {cell.horizon}"
