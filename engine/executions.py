"""Parents' executions as a table that impact's parameters are fitted to: read from a file, or measured from runs.

A run's parents are measured from its journal and the tape that it replayed. Volume, spread and mids are the market's
as recorded, ours excluded; prices paid and the price at arrival are as the strategy met them, so displaced by the
footprint. That impact is the broker's own: fitting it says how well a fit works, and nothing about a market.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import run_folder
from engine.broker.impact import CELLS_A_UNIT, NoImpact
from engine.config import make_feed, ns_utc
from engine.errors import ConfigError, RunError, TickwrightError
from engine.impact_fit import COLUMNS, PATH
from engine.journal import RecordKind
from engine.result import ParentCost, rows_between
from engine.run_folder import SavedRun
from engine.tape import Kind, Tape
from engine.touch_flow import flow_events
from engine.venue_fee import impact_charges

SLICES = 10  # of a parent's duration, for its path
START = "start"  # the column, optional in files, that puts parents in order of time
SHORTEST = 1 / CELLS_A_UNIT  # clock units: what is shorter than a cell has no path


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One parent, from its start to its last fill. Times are ns UTC, prices as quoted, sizes in size units."""

    run: str
    name: str
    symbol: str
    start: int
    last_fill: int
    size: int  # done: positive bought, negative sold
    market_volume: int  # while it traded, ours excluded
    daily_volume: int
    participation: float  # of own over market volume
    duration: float  # market volume in clock units
    volatility: float  # daily, as a fraction
    spread_bp: float  # quoted, mean over the events at the touch
    cost_bp: float  # against the mid at arrival, positive where it was paid, with what impact charged, without fees
    path: tuple[float, ...]  # part of the parent done in each tenth of the duration
    mid_before: float  # at arrival
    mid_during: float  # mean over the events at the touch, as recorded
    mid_after: float | None  # as recorded, once the market has traded as much again; None: the tape ends before


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The executions of a run, and what was left out and why."""

    executions: tuple[Execution, ...]
    left_out: tuple[str, ...]
    units_a_day: int


def read_table(file: Path) -> dict[str, NDArray[Any]]:
    """The columns of a CSV or parquet file that a fit needs, and ``start`` (ns UTC) where it has one.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a column is missing or has what is no number or date.
    """
    from pyarrow import ArrowException, csv, parquet  # a quarter of a second that other commands need not pay

    try:
        table = csv.read_csv(file) if file.suffix.lower() == ".csv" else parquet.read_table(file)
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: cannot be read as a table ({reason}); give a CSV with a head, or parquet") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ConfigError(f"{file}: has no column {', '.join(missing)}; a row a parent needs {', '.join(COLUMNS)}")
    columns: dict[str, NDArray[Any]] = {name: _numbers(table.column(name).to_pylist(), name, file) for name in COLUMNS}
    if START in table.column_names:
        columns[START] = _moments(table.column(START).to_pylist(), file)
    return columns


def measure_run(folder: Path) -> Measured:
    """Each parent of a run that traded.

    Raises
    ------
    RunError
        If the folder is none, its tape is not the one that it replayed, or its orders did not move the market.
    """
    saved = run_folder.read(folder)
    model = saved.config.broker.impact
    if isinstance(model, NoImpact) or model.mode == "cost":
        raise RunError(
            f"{folder}: its orders did not move the market, so its prices tell nothing of impact; run it with "
            '[broker.impact] mode = "footprint" and a type other than "none"'
        )
    feed = make_feed(saved.config)
    if [source.content for source in saved.manifest.tapes] != [feed.tape.manifest.content]:
        raise RunError(f"{folder}: its tape has changed since, so its market cannot be measured; run it again")
    records = saved.records
    fills = records[records["kind"] == RecordKind.FILL]
    parts = getattr(feed, "parts", [feed.tape.rows])
    days = [Tape(rows, feed.tape.manifest) for rows in parts]
    events: dict[str, NDArray[np.void]] = {}
    done, left_out = [], []
    for parent in saved.result.parents:
        if parent.symbol not in events:
            events[parent.symbol] = np.concatenate([flow_events(day, parent.symbol) for day in days])
        try:
            done.append(_measure(saved, parent, fills, days, events[parent.symbol]))
        except TickwrightError as error:
            left_out.append(f"{folder}: {parent.name} is left out: {error}")
    return Measured(executions=tuple(done), left_out=tuple(left_out), units_a_day=model.units_a_day)


def as_table(executions: Sequence[Execution]) -> dict[str, NDArray[Any]]:
    """What ``fit_executions`` takes, and ``start``."""
    columns = {name: np.array([getattr(one, name) for one in executions], np.float64) for name in COLUMNS}
    path = np.array([one.path for one in executions], np.float64).reshape(-1, SLICES)
    return {**columns, PATH: path, START: np.array([one.start for one in executions], np.int64)}


def _measure(
    saved: SavedRun, parent: ParentCost, fills: NDArray[np.void], days: list[Tape], events: NDArray[np.void]
) -> Execution:
    model = saved.config.broker.impact
    assert not isinstance(model, NoImpact)
    account = [entry.account.name for entry in saved.config.strategies].index(parent.account)
    own = fills[(fills["account"] == account) & np.isin(fills["order_no"], parent.children)]
    if not parent.done or not len(own) or parent.average_price is None or not parent.arrival_price:
        raise RunError("it did not trade, or met no mid at arrival")
    last = int(own["ts"].max())
    number = next(n for n, one in enumerate(days[0].instruments) if one.symbol == parent.symbol)
    trades = np.concatenate([_trades(day.rows, number, parent.start, last + 1) for day in days])
    volume, market = int(trades["size"].sum()), model.market[parent.symbol]
    duration = volume * model.units_a_day / market.daily_volume
    if duration < SHORTEST:
        raise RunError(f"it traded within {duration:.3g} clock units of market volume, less than a cell")
    traded = np.concatenate([[0], np.cumsum(trades["size"])])[np.searchsorted(trades["ts_event"], own["ts"])]
    tenth = np.minimum(traded * SLICES // volume, SLICES - 1)
    path = np.bincount(tenth, own["size"], SLICES) / own["size"].sum()
    during = events[(events["ts"] >= parent.start) & (events["ts"] <= last)]
    if not len(during):
        raise RunError("nothing happened at the touch while it traded")
    mids, unit = (during["bid"] + during["ask"]) / 2, days[0].instruments[number]
    charged = sum(impact_charges(own, saved.config.broker.fees, days[0].instruments))
    notional = float(unit.money * parent.done) * parent.arrival_price / unit.quoted(1)
    return Execution(
        run=saved.manifest.name,
        name=parent.name,
        symbol=parent.symbol,
        start=parent.start,
        last_fill=last,
        size=parent.side * parent.done,
        market_volume=volume,
        daily_volume=market.daily_volume,
        participation=parent.done / volume,
        duration=duration,
        volatility=market.daily_volatility,
        spread_bp=float(np.mean((during["ask"] - during["bid"]) / mids)) * 1e4,
        cost_bp=parent.side * (parent.average_price / parent.arrival_price - 1) * 1e4 + charged / notional * 1e4,
        path=tuple(path.tolist()),
        mid_before=parent.arrival_price,
        mid_during=unit.quoted(float(mids.mean())),
        mid_after=_mid_after(days, number, events, last, volume),
    )


def _trades(rows: NDArray[np.void], number: int, start: int, end: int) -> NDArray[np.void]:
    part = rows_between(rows, start, end)
    is_trade = (part["kind"] == Kind.TRADE) | (part["kind"] == Kind.EXECUTE)
    return part[is_trade & (part["instrument"] == number)]


def _mid_after(days: list[Tape], number: int, events: NDArray[np.void], last: int, volume: int) -> float | None:
    later = np.concatenate([_trades(day.rows, number, last + 1, 2**63 - 1) for day in days])
    k = int(np.searchsorted(np.cumsum(later["size"]), volume))
    if k == len(later):
        return None
    event = events[np.searchsorted(events["ts"], later["ts_event"][k], side="right") - 1]
    return days[0].instruments[number].quoted(float(event["mid2"]) / 2)


def _numbers(values: list[Any], name: str, file: Path) -> NDArray[np.float64]:
    out = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            out[row] = float("nan") if value is None else float(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{file}: {name} is {value!r} in row {row}, but must be a number") from None
    return out


def _moments(values: list[Any], file: Path) -> NDArray[np.int64]:
    out = np.empty(len(values), np.int64)
    for row, value in enumerate(values):
        try:
            out[row] = value if isinstance(value, int) else ns_utc(value)
        except (ConfigError, TypeError, AttributeError):
            raise ConfigError(
                f"{file}: {START} is {value!r} in row {row}; write a date or time like 2026-01-05T14:30, or leave the "
                "column out"
            ) from None
    return out
