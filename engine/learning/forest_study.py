"""Every stock at every horizon: the models, the table, and what pictures of them need.

``Results`` is all that a report reads; models go to a folder of their own as they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.learning.bias_variance import Part, Problem, bias_variance
from engine.learning.dataset import Dataset
from engine.learning.importance import permutation_importance
from engine.learning.known_process import best_probabilities, known_process
from engine.learning.labels import UP, band_of, classes
from engine.learning.order_flow_line import Line, order_flow_line
from engine.learning.splits import thinned, within_day
from engine.learning.surfaces import surface
from engine.learning.training import Cell, Plan, Stock, Trained, train, train_without_each_day
from engine.signals import NAMES as SIGNALS

FORMAT = 1
FLOW = SIGNALS.index("ofi_100")
SURFACES = (("ofi_10", "queue_imbalance"), ("ofi_100", "micro_minus_mid"))
SHUFFLED = 5_000  # test samples at most, for the importance
SHOWN = 1_500  # points of a scatter
FITTED, JUDGED, DRAWS = 8_000, 4_000, 10  # samples and training sets, for bias and variance
KNOWN_TICKS = 30_000

Ints = NDArray[np.int64]


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """How much each signal matters to one forest, in the order of ``Results.signals``."""

    symbol: str
    horizon: int
    impurity: list[float]  # sum to 1
    permutation: list[float]  # fall of the macro AUC
    permutation_error: list[float]


class Scatter(msgspec.Struct, frozen=True, kw_only=True):
    """Test samples by order flow and move: told up and right, told up and wrong, the rest."""

    flow: list[float]
    move: list[float]  # price ticks
    up: list[float]  # probability
    kind: list[int]  # 0 right, 1 wrong, 2 the rest


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A surface over two signals."""

    signals: tuple[str, str]
    first: list[float]
    second: list[float]
    lean: list[list[float]]  # P(up) - P(down)


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of one stock."""

    symbol: str
    horizon: int
    line: Line
    scatter: Scatter
    sheets: list[Sheet]
    parts: list[Part]  # of the Brier score
    horizon_cdf: dict[str, list[tuple[int, float]]] = {}  # by horizon in ticks, as text


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What a report shows."""

    format: int = FORMAT
    name: str
    seed: int
    clock: str
    band: str
    settings: dict[str, int | float | str]
    signals: tuple[str, ...] = SIGNALS
    days: dict[str, list[str]]  # by stock
    cells: list[Cell] = []
    weights: list[Weights] = []
    studies: list[Study] = []
    known: list[Part] = []  # of the process with a known best forecast
    known_horizon: int = 0


def steps(stocks: Sequence[Stock], horizons: Sequence[int], *, studies: bool) -> int:
    """How often ``tell`` will be called."""
    cells = sum(len(horizons) * (1 + len(one.days) * one.leaves_days_out) for one in stocks)
    return cells + studies * (len(stocks) * (1 + DRAWS) + DRAWS)


def study_stock(
    stock: Stock,
    plan: Plan,
    horizons: Sequence[int],
    *,
    study_horizon: int,
    keep: Callable[[Trained], None],
    tell: Callable[[str], None],
) -> tuple[list[Cell], list[Weights], Study | None]:
    """All horizons of one stock; ``keep`` is given each model of the stock's own split.

    ``study_horizon`` 0: no study.
    """
    symbol, cells, weights, study, cdfs = stock.facts.symbol, [], [], None, {}
    for horizon in horizons:
        trained = train(stock, plan, horizon)
        keep(trained)
        cells.append(trained.cell)
        cdfs[str(horizon)] = trained.manifest.horizon_cdf
        weights.append(_weights(trained, plan))
        tell(f"{symbol} {horizon}")
        if stock.leaves_days_out:
            for one in train_without_each_day(stock, plan, horizon):
                cells.append(one.cell)
                tell(f"{symbol} {horizon} {one.cell.split}")
        if horizon == study_horizon:
            study = _study(trained, stock, plan, tell)
    return cells, weights, study and msgspec.structs.replace(study, horizon_cdf=cdfs)


def study_known_process(plan: Plan, horizon: int, tell: Callable[[str], None]) -> list[Part]:
    """Bias, variance and noise where the truth is known."""
    known = known_process(KNOWN_TICKS, _rng(plan, 1))
    data = Dataset.of([known.samples], horizon)
    split = within_day(data)
    band = band_of(plan.band, data.change[split.fit], fraction=plan.band_fraction)
    truth = best_probabilities(known.pressure[data.start], horizon, band)
    problem = _problem(data, classes(data.change, data.spread, band), split.fit, split.test, horizon)
    problem = problem._replace(truth=truth[thinned(split.test, JUDGED)])
    return bias_variance(problem, _rng(plan, 2), draws=DRAWS, told=lambda: tell("known process, bias and variance"))


def _weights(trained: Trained, plan: Plan) -> Weights:
    rows = thinned(trained.split.test, SHUFFLED)
    predict = trained.fitted.predict["forest"]
    found = permutation_importance(predict, trained.data.x[rows], trained.y[rows], _rng(plan, 3))
    return Weights(
        symbol=trained.cell.symbol,
        horizon=trained.cell.horizon,
        impurity=trained.fitted.importance.tolist(),
        permutation=found.fall.tolist(),
        permutation_error=found.error.tolist(),
    )


def _study(trained: Trained, stock: Stock, plan: Plan, tell: Callable[[str], None]) -> Study:
    data, split, cell = trained.data, trained.split, trained.cell
    predict = trained.fitted.predict["forest"]
    ticks = data.change / (2 * stock.facts.tick)
    test = split.test
    line = order_flow_line(data.x[test, FLOW], ticks[test], cell.horizon, _rng(plan, 4))
    shown = thinned(test, SHOWN)
    sheets = []
    for first, second in SURFACES:
        found = surface(predict, data.x[test], (SIGNALS.index(first), SIGNALS.index(second)))
        axes = found.first.tolist(), found.second.tolist()
        sheets.append(Sheet(signals=(first, second), first=axes[0], second=axes[1], lean=found.lean.tolist()))
    tell(f"{cell.symbol}, pictures")
    problem = _problem(data, trained.y, split.fit, test, cell.horizon)
    parts = bias_variance(problem, _rng(plan, 5), draws=DRAWS, told=lambda: tell(f"{cell.symbol}, bias and variance"))
    scatter = _scatter(data.x[shown, FLOW], ticks[shown], predict(data.x[shown]), trained.y[shown])
    return Study(symbol=cell.symbol, horizon=cell.horizon, line=line, scatter=scatter, sheets=sheets, parts=parts)


def _scatter(flow: NDArray[np.float64], move: NDArray[np.float64], p: NDArray[np.float64], y: Ints) -> Scatter:
    told_up = np.argmax(p, axis=1) == UP
    kind = np.where(told_up, np.where(y == UP, 0, 1), 2)
    return Scatter(flow=flow.tolist(), move=move.tolist(), up=p[:, UP].tolist(), kind=kind.tolist())


def _problem(data: Dataset, y: Ints, fit: Ints, test: Ints, horizon: int) -> Problem:
    fit, test = fit[-FITTED:], thinned(test, JUDGED)  # the last samples, unthinned: blocks are of neighbours
    return Problem(data.x[fit], y[fit], data.x[test], y[test], horizon)


def _rng(plan: Plan, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox([plan.seed, purpose]))
