"""Fill probabilities as tables for a terminal and sections of a page: ``FillResults`` shown, nothing computed."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.learning.fill_scores import Bin, Number
from engine.learning.fills_study import FillCell, FillResults
from engine.reports.curve_page import Grid, Plot, Trace
from engine.reports.forest_page import LogPlot, Section

SURE = 2.0  # errors, to say that something beats a guess
SCORES = {
    "log_loss": "Log-loss, nats",
    "brier": "Brier score",
    "gain": "Log-loss of no signals, less this one (above 0 is better)",
    "over_one_rate": "Log-loss of one rate, less this one (above 0 is better)",
}
SHOWN_SIZES = (1.0, 4.0, 16.0)  # mean trades, of the curves


def facts(results: FillResults) -> list[str]:
    """How the numbers were made."""
    plan = results.plan
    return [
        f"buy and sell on each level every {plan.every_s:g} s; {plan.queue.model} queue, no impact; seed {plan.seed}",
        "sizes in mean trades; asked about: " + ", ".join(f"{size:g}" for size in plan.sizes),
        "horizons in s: " + ", ".join(f"{horizon:g}" for horizon in plan.horizons),
        f"kept: the {plan.estimator} table; errors: bootstrap of blocks of five lives",
    ]


def samples_grid(results: FillResults) -> Grid:
    """What each cell was fitted and judged on."""
    rows = [
        [
            _name(cell), f"{len(cell.trained_on)}", f"{len(cell.tested_on)}", f"{cell.n_train:,}", f"{cell.n_test:,}",
            f"{cell.n_judged:,}", f"{cell.blocks}", f"{cell.mean_trade:.0f}", f"{cell.filled:.3f}",
        ]
        for cell in results.cells
    ]  # fmt: skip
    head = ["test", "days fitted", "judged", "orders fitted", "tested", "judged on", "blocks", "mean trade", "filled"]
    return Grid("Virtual orders", head, rows)


def scores_grid(results: FillResults, what: str) -> Grid:
    """A row a cell, a column an estimator."""
    names = list(results.cells[0].scores) if results.cells else []
    rows = [[_name(cell), *(_number(getattr(cell.scores[name], what)) for name in names)] for cell in results.cells]
    return Grid(SCORES[what], ["test", *names], rows)


def crossings_grid(results: FillResults) -> Grid:
    """Where the models alone would foretell more for more size, or less for more time."""
    rows = [
        [_name(cell), name, f"{100 * one.size:.2f}", f"{100 * one.horizon:.2f}"]
        for cell in results.cells
        for name, one in cell.crossings.items()
    ]
    head = ["test", "model", "rises with size, %", "falls with horizon, %"]
    return Grid("Crossings of neighbouring sizes and horizons, before they are taken out", head, rows)


def verdicts(results: FillResults) -> list[str]:
    """Where estimators beat guesses, and where signals say nothing."""
    guesses = "one rate", "no signals"
    better, worse, same = [], [], []
    for cell in results.cells:
        for name, score in cell.scores.items():
            if name in guesses:
                continue
            sure = SURE * score.gain.error
            where = better if score.gain.value > sure else worse if score.gain.value < -sure else same
            where.append(f"{_name(cell)} {name}")
    return [
        f"better than its level's own rates by more than {SURE:g} errors: {', '.join(better) or 'nowhere'}",
        f"worse: {', '.join(worse) or 'nowhere'}",
        f"no difference told: {', '.join(same) or 'nowhere'}",
    ]


def sections(results: FillResults) -> list[Section]:
    """The page."""
    grids = [samples_grid(results), *(scores_grid(results, what) for what in SCORES), crossings_grid(results)]
    own = [cell for cell in results.cells if not cell.split.startswith("without")]
    return [Section("Held-out scores", verdicts(results), grids=grids), *(_cell(cell) for cell in own)]


def _cell(cell: FillCell) -> Section:
    notes = [
        f"fitted on {', '.join(cell.trained_on)}; judged on {', '.join(cell.tested_on)}"
        + (" (its last part)" if cell.split == "one day" else ""),
        *(["a synthetic market: what is foretold of it is built in"] if cell.synthetic else []),
    ]
    calibrations = [_calibration(name, score.calibration) for name, score in cell.scores.items()]
    shown = [curve for curve in cell.curves if any(math.isclose(curve.size, size, rel_tol=0.1) for size in SHOWN_SIZES)]
    traces = [
        Trace(f"{curve.level}, {curve.size:.2g} mean trades", cell.horizons, curve.probability) for curve in shown
    ]
    curves = LogPlot(Plot(f"{cell.symbol}: chance to fill as a whole", "horizon, s", "probability", traces))
    loss = [Trace(name, cell.horizons, score.by_horizon) for name, score in cell.scores.items() if name != "one rate"]
    losses = LogPlot(Plot(f"{cell.symbol}: log-loss by horizon", "horizon, s", "nats", loss))
    return Section(_name(cell), notes, [*calibrations, curves, *_imbalances(cell), losses], [_levels_grid(cell)])


def _calibration(name: str, bins: list[Bin]) -> Plot:
    told, came = [one.told for one in bins], [one.came.value for one in bins]
    x, y = [], []
    for one in bins:  # a bar of two errors each way: a line with gaps
        x += [one.told, one.told, math.nan]
        y += [one.came.value - SURE * one.came.error, one.came.value + SURE * one.came.error, math.nan]
    traces = [
        Trace("as foretold", [0.0, 1.0], [0.0, 1.0]),
        Trace("came", told, came, is_points=True),
        Trace(f"± {SURE:g} errors", x, y),
    ]
    return Plot(f"Calibration: {name}", "foretold", "part that filled", traces)


def _imbalances(cell: FillCell) -> list[Plot]:
    edges = [-1.0, *cell.imbalance_edges, 1.0]
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    at = range(0, len(cell.horizons), 2)
    plots = []
    for curve in cell.curves:
        if math.isclose(curve.size, 1.0, rel_tol=0.1):
            lines = [Trace(f"{cell.horizons[h]:g} s", middles, [one[h] for one in curve.by_imbalance]) for h in at]
            title = f"{cell.symbol}: {curve.level}, {curve.size:.2g} mean trades, by imbalance"
            plots.append(Plot(title, "(own - other) / (own + other) at placement", "probability", lines))
    return plots


def _levels_grid(cell: FillCell) -> Grid:
    """The kept table over all signals: a row a level and size, a column a horizon."""
    rows = [
        [
            f"{curve.level} {curve.size:.2g}",
            *(f"{p:.3f} ± {e:.3f}" for p, e in zip(curve.probability, curve.error, strict=True)),
        ]
        for curve in cell.curves
    ]
    return Grid("Kept table, all signals", ["level, mean trades", *(f"{h:g} s" for h in cell.horizons)], rows)


def _number(number: Number) -> str:
    return f"{number.value:.4f} ± {number.error:.4f}"


def _name(cell: FillCell) -> str:
    return f"{cell.symbol} {cell.split}" if cell.split != "days" else cell.symbol
