"""Fill probabilities of one stock: virtual orders on its days, estimators of the earlier ones, judged on the later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.models import Queue
from engine.errors import ConfigError
from engine.fill_table import LEVELS, FillArrays, FillManifest
from engine.learning.fill_probability import Axes, Fitted, ForestSettings, axes_of, fills_within, fit, table_of
from engine.learning.fill_scores import Blocks, Crossings, Score, score_all
from engine.learning.virtual_orders import Placements, mean_trade, place_virtual_orders
from engine.model_file import InstrumentFacts
from engine.strategy import SECOND
from engine.tape import Tape

Floats = NDArray[np.float64]
Tell = Callable[[str], None]


class FillPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done alike for every stock; see ``FillsConfig``."""

    seed: int
    sizes: tuple[float, ...]  # mean trades
    horizons: tuple[float, ...]
    every_s: float
    queue: Queue = Queue()
    estimator: str = "empirical"
    most_judged: int = 20_000
    draws: int = 500
    forest: ForestSettings = ForestSettings()


class FillStock(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A stock's recorded days, and which of them judge."""

    symbol: str
    days: list[Tape]
    train_days: int = 0  # the first so many; 0: all but the last. With one day its last part tests
    test_part: float = 0.4
    leaves_days_out: bool = False


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The kept table without signals, at one level and size, over horizons; and with them, by cells of imbalance."""

    level: str
    size: float  # mean trades
    probability: list[float]
    error: list[float]
    by_imbalance: list[list[float]]  # [cell][horizon]


class FillCell(msgspec.Struct, frozen=True, kw_only=True):
    """One stock, one test."""

    symbol: str
    split: str  # "days", "one day" or "without DAY"
    synthetic: bool
    mean_trade: float  # size units
    sizes: list[float]  # mean trades
    horizons: list[float]  # s
    imbalance_edges: list[float]
    touch_edges: list[float]  # mean trades
    trained_on: list[str]
    tested_on: list[str]
    n_train: int  # placements
    n_test: int
    n_judged: int  # of them
    blocks: int  # of the errors
    filled: float  # part of all sizes and horizons in the test
    scores: dict[str, Score]
    crossings: dict[str, Crossings]  # of the models, before they are made monotone
    curves: list[Curve]


class FittedFills(NamedTuple):
    """A cell with the table that is kept of it."""

    cell: FillCell
    manifest: FillManifest
    table: FillArrays


class FillResults(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tickwright train fills`` leaves beside the tables."""

    name: str
    plan: FillPlan
    cells: list[FillCell]


def study_fills(stock: FillStock, plan: FillPlan, *, tell: Tell = lambda what: None) -> Iterator[FittedFills]:
    """Place, fit and judge: on the stock's own split, then, if it asks for it, without each day in turn.

    Raises
    ------
    ConfigError
        If a part of the split has no placements, or too few.
    """
    unit = mean_trade(stock.days[: _first_test(stock)], stock.symbol)
    placed = []
    for tape in stock.days:
        tell(f"{stock.symbol}: {date_of(tape)}")
        placed.append(_placed(tape, stock.symbol, unit, plan))
    every = range(len(placed))
    if len(placed) == 1:
        train, test = within_day(placed[0], stock.test_part, plan.horizons[-1])
        yield _judged(stock, plan, unit, "one day", [0], [0], train, test)
    else:
        first = _first_test(stock)
        train, test = joined(placed[:first]), joined(placed[first:])
        yield _judged(stock, plan, unit, "days", every[:first], every[first:], train, test)
    if stock.leaves_days_out and len(placed) > 1:
        for day in every:
            rest = [k for k in every if k != day]
            tell(f"{stock.symbol}: without {date_of(stock.days[day])}")
            others = joined([placed[k] for k in rest])
            yield _judged(stock, plan, unit, f"without {date_of(stock.days[day])}", rest, [day], others, placed[day])


def within_day(placements: Placements, test_part: float, life_s: float) -> tuple[Placements, Placements]:
    """(train, test): the last part of the time tests, and no training order lives to see it."""
    if not len(placements):
        return placements, placements
    first, last = int(placements.ts[0]), int(placements.ts[-1])
    cut = last - round((last - first) * test_part)
    known = placements.ts + round(life_s * SECOND) <= cut
    return placements.some(np.flatnonzero(known)), placements.some(np.flatnonzero(placements.ts > cut))


def joined(parts: Sequence[Placements]) -> Placements:
    """Days one after another."""
    columns = zip(*(one[1:] for one in parts), strict=True)
    return Placements(parts[0].sizes, *(np.concatenate(column) for column in columns))


def date_of(tape: Tape) -> str:
    """The day of a tape's first row, UTC."""
    return str(np.datetime64(int(tape.rows["ts_event"][0]), "ns").astype("datetime64[D]")) if len(tape) else "no rows"


def _first_test(stock: FillStock) -> int:
    days = len(stock.days)
    if stock.train_days >= max(days, 2):
        raise ConfigError(f"{stock.symbol}: train_days is {stock.train_days}, but there are {days} days")
    return stock.train_days or max(1, days - 1)


def _placed(tape: Tape, symbol: str, unit: float, plan: FillPlan) -> Placements:
    lot = next(one.lot for one in tape.instruments if one.symbol == symbol)
    sizes = sorted({max(1, round(size * unit / lot)) * lot for size in plan.sizes})
    return place_virtual_orders(
        tape, symbol, sizes=sizes, every_s=plan.every_s, life_s=plan.horizons[-1], queue=plan.queue, seed=plan.seed
    )


def _judged(
    stock: FillStock, plan: FillPlan, unit: float, split: str, trained: Sequence[int], tested: Sequence[int],
    train: Placements, test: Placements,
) -> FittedFills:  # fmt: skip
    for what, some in (("train", train), ("test", test)):
        if not len(some):
            raise ConfigError(f"{stock.symbol}: no virtual order to {what} on; give longer days or a shorter life")
    axes = axes_of(train, unit, np.array(plan.horizons))
    fitted = fit(train, axes, settings=plan.forest, seed=plan.seed)
    table = table_of(fitted, plan.estimator, _spread_out(train, plan.most_judged), every_s=plan.every_s)
    judged = _spread_out(test, plan.most_judged)
    came = fills_within(judged, axes.horizons)
    blocks = Blocks(judged.ts, round(plan.horizons[-1] * SECOND), plan.draws, plan.seed)
    told = {name: predict(judged) for name, predict in fitted.predict.items()}
    scores = score_all(told, came, judged, blocks, LEVELS)
    names = [date_of(tape) for tape in stock.days]
    cell = FillCell(
        symbol=stock.symbol, split=split, synthetic=stock.days[0].manifest.synthetic, mean_trade=unit,
        sizes=axes.sizes.tolist(), horizons=list(plan.horizons), imbalance_edges=axes.imbalance_edges.tolist(),
        touch_edges=axes.touch_edges.tolist(), trained_on=[names[k] for k in trained],
        tested_on=[names[k] for k in tested], n_train=len(train), n_test=len(test), n_judged=len(judged),
        blocks=blocks.count, filled=float(came.mean()), scores=scores,
        crossings={name: Crossings.of(predict(judged)) for name, predict in fitted.raw.items()},
        curves=_curves(axes, table),
    )  # fmt: skip
    return FittedFills(cell, _manifest(stock, plan, unit, fitted, train, trained, cell), table)


def _manifest(
    stock: FillStock,
    plan: FillPlan,
    unit: float,
    fitted: Fitted,
    train: Placements,
    days: Sequence[int],
    cell: FillCell,
) -> FillManifest:
    spans = []
    for day in days:
        rows = stock.days[day].rows["ts_event"]
        own = train.ts[(train.ts >= rows[0]) & (train.ts <= rows[-1])]
        spans += [(int(own[0]), int(own[-1]))] if len(own) else []
    score = cell.scores[plan.estimator]
    return FillManifest(
        instrument=InstrumentFacts.on(stock.days[0], stock.symbol), estimator=plan.estimator, mean_trade=unit,
        queue=plan.queue.model, synthetic=cell.synthetic, every_s=plan.every_s, trained=spans, seed=plan.seed,
        metrics={
            "log_loss": score.log_loss.value, "log_loss_error": score.log_loss.error, "brier": score.brier.value,
            "no_signals_log_loss": cell.scores["no signals"].log_loss.value,
        },
    )  # fmt: skip


def _spread_out(placements: Placements, most: int) -> Placements:
    """At most so many of them, evenly spread by chance-free steps over whole moments (both sides and levels)."""
    if len(placements) <= most:
        return placements
    moments, of = np.unique(placements.ts, return_inverse=True)
    kept = np.linspace(0, len(moments) - 1, max(2, round(most * len(moments) / len(placements)))).round().astype(int)
    return placements.some(np.flatnonzero(np.isin(of, kept)))


def _curves(axes: Axes, table: FillArrays) -> list[Curve]:
    p, error = table.probability, table.error
    return [
        Curve(
            level=name, size=float(size), probability=p[level - 1, -1, -1, k].tolist(),
            error=error[level - 1, -1, -1, k].tolist(), by_imbalance=p[level - 1, :-1, -1, k].tolist(),
        )
        for level, name in LEVELS.items()
        for k, size in enumerate(axes.sizes)
    ]  # fmt: skip
