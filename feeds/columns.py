"""Any CSV or parquet file by a column map in TOML: quotes, trades, bars, depth by price, or order by order.

The format of the map, with an example of each kind, is in docs/data.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import ConfigError, TapeError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.verdict import NOT_A_NUMBER, clean
from feeds.bars import FIELDS
from feeds.table import SECONDS, nanoseconds, read_table, strings, whole
from feeds.times import DAY, EPOCH, local_ns, local_of, session, utc_ns

ACTIONS = {kind.name: kind for kind in (Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE)}
SIDES = {"bid": 1, "ask": -1, "buy": 1, "sell": -1, "b": 1, "s": -1, "1": 1, "-1": -1}
NEEDED = {
    "quotes": ("bid", "bid_size", "ask", "ask_size"),
    "trades": ("price", "size"),
    "bars": ("open", "high", "low", "close", "volume"),
    "depth": ("side", "price", "size"),
    "orders": ("order_id", "action", "side", "price", "size"),
}
OPTIONAL = {"trades": ("side", "trade_id")}
BOOK = {"quotes": "L1", "trades": "NONE", "bars": "NONE", "depth": "L2", "orders": "L3"}
PRICED = ("bid", "ask", "price", "open", "high", "low", "close")


class Time(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the time is and how to read it."""

    column: str
    unit: Literal["ns", "us", "ms", "s", ""] = ""  # of a number since 1970, or since midnight of ``date``
    format: str = ""  # of a text, as strptime has it; without unit and format a text is ISO 8601
    zone: str = "UTC"
    date: str = ""  # for times since midnight
    recv: str = ""  # the column of the time of receipt, read in the same way


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session a day, on the days that have rows."""

    hours: tuple[str, str]
    zone: str


class ColumnMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the columns of a file mean."""

    kind: Literal["quotes", "trades", "bars", "depth", "orders"]
    instrument: dict[str, str | int | bool]  # fields of Instrument, but book, levels and source
    time: Time
    columns: dict[str, str]  # our name = the file's
    levels: int = 0  # depth and orders: how many levels a side the source shows; 0 is all
    price_in: str = "1"  # what 1 in a price column is worth, in currency
    size_in: str = "1"  # what 1 in a size column is worth, in units of the instrument's quantity
    sizes: Literal["change", "left"] = "change"  # orders: size by how much, or what is left of the order after it
    sides: dict[str, int] = {}  # the file's word = 1 or -1
    actions: dict[str, str] = {}  # the file's word = ADD REDUCE DELETE EXECUTE
    group: Literal["row", "time", ""] = ""  # what happens together; "" is a time for depth and orders, else a row
    sequence: str = ""  # the column of the source's own numbers: finds duplicates, gaps and lost order
    session: Session | None = None  # None: one session, the span of the rows
    delimiter: str = ","
    source: str = ""
    licence: str = ""


def import_columns(file: str | os.PathLike[str], columns: str | os.PathLike[str] | ColumnMap) -> list[Tape]:
    """A CSV or parquet file as one tape, by a column map.

    Parameters
    ----------
    file : path
        CSV with a header (.gz, .bz2, .xz too) or parquet.
    columns : path of a TOML file, or ColumnMap

    Returns
    -------
    list of one Tape

    Raises
    ------
    ConfigError
        The map has an unknown or a missing key, or maps what is not known.
    TapeError
        The file is missing or damaged, lacks a column, or holds a word that the map does not know.
    """
    wanted = columns if isinstance(columns, ColumnMap) else read_map(columns)
    _complete(wanted)
    instrument = _instrument(wanted)
    table = read_table(file, columns=_used(wanted), types=_types(wanted), delimiter=wanted.delimiter)
    rows = np.zeros(len(table), ROW)
    rows["ts_event"] = _times(table, wanted, wanted.time.column, file)
    rows["ts_recv"] = _times(table, wanted, wanted.time.recv, file) if wanted.time.recv else rows["ts_event"]
    FILL[wanted.kind](rows, _Reader(table, wanted, instrument, file))
    rows["flags"] = Flag.LAST
    if (wanted.group or ("time" if wanted.kind in ("depth", "orders") else "row")) == "time":
        rows["flags"][:-1] &= np.where(np.diff(rows["ts_event"]) == 0, ~int(Flag.LAST), -1).astype(np.uint16)
    sequence = whole(table, wanted.sequence, file=file) if wanted.sequence else None
    sessions = _sessions(rows["ts_event"], wanted.session)
    rows, verdict = clean(rows, [instrument], sessions=sessions, sequence=sequence, where=str(file))
    manifest = Manifest(
        name=Path(file).name.split(".")[0],
        instruments=[instrument],
        sessions=sessions,
        source=wanted.source or Path(file).name,
        licence=wanted.licence,
        recipe="tickwright data import csv",
        verdict=verdict.counts,
    )
    return [Tape(rows, manifest)]


def read_map(path: str | os.PathLike[str]) -> ColumnMap:
    """A column map from TOML."""
    try:
        return msgspec.toml.decode(Path(path).read_bytes(), type=ColumnMap)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a column map") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; docs/data.md lists the keys of a column map") from None


class _Reader:
    """Columns of a file by our names."""

    def __init__(self, table: pa.Table, wanted: ColumnMap, instrument: Instrument, file: object) -> None:
        self.table, self.wanted, self.instrument, self.file = table, wanted, instrument, file

    def number(self, name: str) -> NDArray[np.int64]:
        worth, unit = "1", "1"
        if name in PRICED:
            worth, unit = self.wanted.price_in, self.instrument.price_unit
        elif "size" in name or name == "volume":
            worth, unit = self.wanted.size_in, self.instrument.size_unit
        return whole(self.table, self.wanted.columns[name], Fraction(unit) / Fraction(worth), file=self.file)

    def has(self, name: str) -> bool:
        return name in self.wanted.columns

    def side(self) -> NDArray[np.int8]:
        return self._words("side", {**SIDES, **self.wanted.sides}, "sides", str.lower).astype(np.int8)

    def action(self) -> NDArray[np.uint8]:
        words = {word: int(ACTIONS[name]) for word, name in self.wanted.actions.items()}
        return self._words("action", {**ACTIONS, **words}, "actions", str).astype(np.uint8)

    def _words(self, name: str, known: dict, key: str, fold: Callable[[str], str]) -> NDArray[np.int64]:
        column = self.wanted.columns[name]
        words, number = np.unique(strings(self.table, column), return_inverse=True)
        values = [known.get(word, known.get(fold(word))) for word in words.tolist()]
        if None in values:
            bad = values.index(None)
            row = int(np.flatnonzero(number == bad)[0]) + 1
            raise TapeError(
                f"{self.file}: row {row}, column {column!r}: {str(words[bad])!r} is not known; name it under [{key}]"
            )
        return np.array(values, np.int64)[number]


def _fill_quotes(rows: NDArray[np.void], read: _Reader) -> None:
    rows["kind"] = Kind.QUOTE
    for field, name in (("price", "bid"), ("size", "bid_size"), ("price2", "ask"), ("size2", "ask_size")):
        rows[field] = read.number(name)


def _fill_trades(rows: NDArray[np.void], read: _Reader) -> None:
    rows["kind"] = Kind.TRADE
    rows["price"], rows["size"] = read.number("price"), read.number("size")
    if read.has("side"):
        rows["side"] = read.side()
    if read.has("trade_id"):
        rows["order_id"] = read.number("trade_id")


def _fill_bars(rows: NDArray[np.void], read: _Reader) -> None:
    rows["kind"] = Kind.BAR
    for name, field in FIELDS.items():
        rows[field] = read.number(name)


def _fill_depth(rows: NDArray[np.void], read: _Reader) -> None:
    rows["kind"] = Kind.DEPTH
    rows["side"], rows["price"], rows["size"] = read.side(), read.number("price"), read.number("size")


def _fill_orders(rows: NDArray[np.void], read: _Reader) -> None:
    rows["kind"], rows["order_id"], rows["side"] = read.action(), read.number("order_id"), read.side()
    rows["price"], rows["size"] = read.number("price"), read.number("size")
    order = np.argsort(rows["order_id"], kind="stable")  # each order's rows together, in their order
    part = rows[order]
    part["price"] = _added_at(part)
    if read.wanted.sizes == "left":
        part["size"] = _changes(part)
    rows[order] = part


FILL = {
    "quotes": _fill_quotes,
    "trades": _fill_trades,
    "bars": _fill_bars,
    "depth": _fill_depth,
    "orders": _fill_orders,
}


def _added_at(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """The price of each row's order: where it was last added, whatever later rows say; rows are sorted by order."""
    added = np.maximum.accumulate(np.where(rows["kind"] == Kind.ADD, np.arange(len(rows)), 0))
    known = (rows["order_id"][added] == rows["order_id"]) & (rows["kind"][added] == Kind.ADD)
    return np.where(known, rows["price"][added], rows["price"])


def _changes(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """By how much each row changes its order, from what is left of the order after it; rows are sorted by order."""
    ids, left, kind = rows["order_id"], rows["size"], rows["kind"]
    known = np.append(False, ids[1:] == ids[:-1])
    before = np.append(0, left[:-1])
    change = np.where(kind == Kind.ADD, left, np.where(kind == Kind.DELETE, before, before - left))
    # of an order that the file never added nothing is known: any size will do, the book rule drops the row
    change = np.where(known | (kind == Kind.ADD), change, np.maximum(left, 1))
    return np.where((left == NOT_A_NUMBER) | (known & (before == NOT_A_NUMBER)), NOT_A_NUMBER, change)


def _times(table: pa.Table, wanted: ColumnMap, column: str, file: object) -> NDArray[np.int64]:
    time = wanted.time
    kind = table[column].type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pd.Series(strings(table, column)).replace("", None)
        try:
            parsed = pd.to_datetime(text, format=time.format or "ISO8601", utc="%z" in time.format)
        except ValueError as error:
            raise TapeError(f"{file}: column {column!r}: {str(error).splitlines()[0]}; set time.format") from None
        aware = parsed.dt.tz is not None
        local = pd.DatetimeIndex(parsed).as_unit("ns").asi8
    else:
        aware = pa.types.is_timestamp(kind) and kind.tz is not None
        numbers = not pa.types.is_timestamp(kind) and not pa.types.is_date(kind)
        if numbers and not time.unit:
            raise TapeError(f"{file}: time column {column!r} holds numbers; set time.unit to ns, us, ms or s")
        local = nanoseconds(table, column, time.unit or "ns", file=file)
    if time.date:
        local = np.where(local == NOT_A_NUMBER, local, local + local_ns(time.date))
    return local if aware else utc_ns(local, time.zone, str(file))


def _types(wanted: ColumnMap) -> dict[str, pa.DataType]:
    """How CSV columns must be read: times exactly, words as words, and everything else as numbers."""
    time = wanted.time
    kinds = {"": pa.string(), "s": SECONDS}
    types = {column: pa.float64() for column in wanted.columns.values()}
    for name in ("side", "action"):
        if name in wanted.columns:
            types[wanted.columns[name]] = pa.string()
    for name in ("order_id", "trade_id"):
        if name in wanted.columns:
            types[wanted.columns[name]] = pa.int64()
    for column in (time.column, time.recv):
        if column:
            types[column] = pa.string() if time.format else kinds.get(time.unit, pa.int64())
    if wanted.sequence:
        types[wanted.sequence] = pa.int64()
    return types


def _used(wanted: ColumnMap) -> list[str]:
    every = [wanted.time.column, wanted.time.recv, wanted.sequence, *wanted.columns.values()]
    return list(dict.fromkeys(name for name in every if name))


def _complete(wanted: ColumnMap) -> None:
    missing = [name for name in NEEDED[wanted.kind] if name not in wanted.columns]
    unknown = [name for name in wanted.columns if name not in (*NEEDED[wanted.kind], *OPTIONAL.get(wanted.kind, ()))]
    if missing or unknown:
        says = [
            f"{title} {', '.join(names)}" for title, names in (("lacks", missing), ("does not know", unknown)) if names
        ]
        raise ConfigError(
            f"[columns] of a map of {wanted.kind} {' and '.join(says)}; it needs {', '.join(NEEDED[wanted.kind])}"
        )
    bad = [name for name in wanted.actions.values() if name not in ACTIONS]
    if bad:
        raise ConfigError(f"[actions] has {bad[0]!r}, but an action is one of {', '.join(ACTIONS)}")
    if any(side not in (1, -1) for side in wanted.sides.values()):
        raise ConfigError("[sides] must be 1 (bid, buy) or -1 (ask, sell)")


def _instrument(wanted: ColumnMap) -> Instrument:
    levels = 1 if wanted.kind == "quotes" else wanted.levels
    try:
        return msgspec.convert({**wanted.instrument, "book": BOOK[wanted.kind], "levels": levels}, Instrument)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[instrument] of the column map: {error}") from None


def _sessions(times: NDArray[np.int64], wanted: Session | None) -> list[tuple[int, int]]:
    if wanted is None:
        return []
    days = np.unique(local_of(times[times != NOT_A_NUMBER], wanted.zone) // DAY)
    return [session(EPOCH.fromordinal(EPOCH.toordinal() + day), wanted.zone, wanted.hours) for day in days.tolist()]
