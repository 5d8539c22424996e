"""Bars of one or many instruments as one tape; a BAR row happens at the end of its bar."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.verdict import NOT_A_NUMBER, clean
from feeds.table import header, nanoseconds, read_table, strings, whole
from feeds.times import DAY, EPOCH, NEW_YORK, REGULAR_HOURS, SECOND, as_date, local_of, session, utc_ns

PERIODS = {"s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": DAY}
PRICES = ("open", "high", "low", "close")
FIELDS = {"open": "order_id", "high": "price", "low": "price2", "close": "size2", "volume": "size"}


def import_bars(
    bars: str | os.PathLike[str],
    *,
    period: str = "",
    label: str = "end",
    symbols: Sequence[str] = (),
    symbol: str = "",
    prices_in: str = "1",
    price_unit: str = "1/10000",
    tick: int = 1,
    zone: str = NEW_YORK,
    hours: tuple[str, str] = REGULAR_HOURS,
    source: str = "",
    licence: str = "",
) -> list[Tape]:
    """A file of bars (``t``, or ``date`` and ``ms``; ``open high low close volume``; ``symbol``) as one tape.

    Parameters
    ----------
    bars : path
        Parquet or CSV; ``t`` is on the clock of ``zone``, ``ms`` is since its midnight.
    period : str
        Like "1min", "1h", "1d". Needed where the label is the start, and for days.
    label : "end" or "start"
        What the file's time says about the bar. A bar of days always ends at its session's close.
    symbols : names
        Keep these; all if empty.
    symbol : str
        Of a file without a symbol column.
    prices_in : str
        What 1 in a price column is worth ("1" currency, "1/10000" for prices times 10,000).
    price_unit, tick
        Of the tape. A price that is no whole number of units is dropped and counted, never rounded.

    Returns
    -------
    list of one Tape
        Book "NONE"; instruments in order of symbol; a session for each day on which there is a bar.

    Raises
    ------
    TapeError
    """
    where = str(bars)
    if label not in ("end", "start"):
        raise TapeError(f"{where}: label is {label!r}, but must be 'end' or 'start' of a bar")
    length = _length(period, where)
    if label == "start" and not length:
        raise TapeError(f"{where}: bars labelled by their start need their period, like '1min'")
    there = header(bars)
    time = ["t"] if "t" in there else ["date", "ms"]
    named = ["symbol"] if "symbol" in there else []
    types = {"t": pa.timestamp("ns"), "ms": pa.int64(), "symbol": pa.string(), "date": pa.string()}
    table = read_table(bars, columns=[*time, *named, *PRICES, "volume"], types=types)
    if not named and not symbol:
        raise TapeError(f"{where}: has no column 'symbol'; give symbol")
    name = strings(table, "symbol") if named else np.full(len(table), symbol)
    local = _local(table, time, where)
    if length == DAY:
        at, days = _closes(local, zone, hours)
    else:
        at = utc_ns(local, zone, where)
        at = np.where(at == NOT_A_NUMBER, at, at + (length if label == "start" else 0))
        days = np.unique(
            (local_of(at[at != NOT_A_NUMBER] - 1, zone)) // DAY
        )  # a bar that ends at midnight is of the day before
    rows = np.zeros(len(table), ROW)
    rows["ts_event"] = rows["ts_recv"] = at
    rows["kind"], rows["flags"] = Kind.BAR, Flag.LAST
    ratio = Fraction(price_unit) / Fraction(prices_in)
    for column in PRICES:
        rows[FIELDS[column]] = whole(table, column, ratio, file=where)
    rows["size"] = whole(table, "volume", file=where)
    kept = sorted(set(symbols) or set(name.tolist()))
    if missing := sorted(set(kept) - set(name.tolist())):
        raise TapeError(
            f"{where}: holds no bar of {', '.join(missing)}; it has {', '.join(sorted(set(name.tolist()))[:30])}"
        )
    instruments = [
        Instrument(symbol=one, price_unit=price_unit, tick=tick, book="NONE", levels=0, source=index, calendar="XNYS")
        for index, one in enumerate(kept)
    ]
    sessions = [session(EPOCH.fromordinal(EPOCH.toordinal() + day), zone, hours) for day in days.tolist()]
    streams = []
    for index, one in enumerate(kept):
        part = rows[name == one]
        part["instrument"] = index
        streams.append(part)
    cleaned, verdict = clean(streams, instruments, sessions=sessions, where=where)
    manifest = Manifest(
        name=Path(bars).stem,
        instruments=instruments,
        sessions=sessions,
        source=source or Path(bars).name,
        licence=licence,
        recipe="tickwright data import bars",
        verdict=verdict.counts,
    )
    return [Tape(cleaned, manifest)]


def _local(table: pa.Table, time: list[str], where: str) -> NDArray[np.int64]:
    if time == ["t"]:
        return nanoseconds(table, "t", "ns", file=where)
    since = nanoseconds(table, "ms", "ms", file=where)
    names, number = np.unique(strings(table, "date"), return_inverse=True)
    try:
        days = np.array([(as_date(name) - EPOCH).days for name in names.tolist()])[number]
    except TapeError as error:
        raise TapeError(f"{where}: {error}") from None
    return np.where(since == NOT_A_NUMBER, since, days * DAY + since)


def _closes(local: NDArray[np.int64], zone: str, hours: tuple[str, str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    known = local != NOT_A_NUMBER
    days, number = np.unique(local[known] // DAY, return_inverse=True)
    closes = np.array(
        [session(EPOCH.fromordinal(EPOCH.toordinal() + day), zone, hours)[1] for day in days.tolist()], np.int64
    )
    at = np.full(len(local), NOT_A_NUMBER)
    at[known] = closes[number]
    return at, days


def _length(period: str, where: str) -> int:
    if not period:
        return 0
    found = re.fullmatch(r"(\d+)(s|min|h|d)", period)
    if not found or int(found[1]) == 0 or (found[2] == "d" and found[1] != "1"):
        raise TapeError(f"{where}: period is {period!r}, but must be like '30s', '1min', '1h' or '1d'")
    return int(found[1]) * PERIODS[found[2]]
