"""Market depth as the short-gamma paper's exhibit 4 has it: mean size of the three best levels, 8:30 to 10:30."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.levels import add_to_level, set_level
from engine.rates.day_counts import Dates
from engine.tape import Flag, Kind, Tape

Floats = NDArray[np.float64]

LEVELS = 3
FROM, TO = datetime.time(8, 30), datetime.time(10, 30)
ZONE = ZoneInfo("America/New_York")
BOOKS = ("L2", "L3")
DEPTH, ADD, REDUCE, DELETE = (int(kind) for kind in (Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE))
EXECUTE, REVEAL, CLEAR, HIDDEN = int(Kind.EXECUTE), int(Kind.REVEAL), int(Kind.CLEAR), int(Flag.HIDDEN)


class DailyDepth(NamedTuple):
    """Mean size of a level, in units of size; a day without a two-sided book in the window is not there."""

    dates: Dates
    size: Floats


def daily_depth(tapes: Sequence[Tape], symbol: str = "") -> DailyDepth:
    """Depth of each day of some tapes, in order.

    Parameters
    ----------
    symbol : str
        Whose; by default the only instrument with a book of many levels.

    Raises
    ------
    ConfigError
        If a tape has no such instrument, or no row between 8:30 and 10:30 New York.
    """
    found: dict[np.datetime64, float] = {}
    for tape in tapes:
        number = _instrument(tape, symbol)
        rows = tape.rows[tape.rows["instrument"] == number]
        windows = _windows(rows["ts_event"])
        sums = np.zeros((len(windows), 2))
        spans = np.array([window[1:] for window in windows], np.int64).reshape(-1, 2)
        room = len(rows) + 1
        _fill_depth(rows, spans, *(np.zeros(room, np.int64) for _ in range(4)), sums)
        unit = tape.instruments[number].lot
        found |= {window[0]: s[0] / s[1] / unit for window, s in zip(windows, sums, strict=True) if s[1] > 0}
    if not found:
        raise ConfigError("no tape shows both sides of a book between 8:30 and 10:30 New York; give other tapes")
    dates = np.array(sorted(found), "datetime64[D]")
    return DailyDepth(dates, np.array([found[date] for date in dates]))


def trailing_mean(dates: Dates, values: Floats, years: int) -> Floats:
    """Mean of the values of the ``years`` up to each date; NaN before they are full."""
    months = dates.astype("datetime64[M]")
    starts = (months - 12 * years).astype("datetime64[D]") + (dates - months.astype("datetime64[D]"))
    first = np.searchsorted(dates, starts, side="right")
    total = np.concatenate([[0.0], np.cumsum(values)])
    means = (total[1:] - total[first]) / (np.arange(dates.size) + 1 - first)
    return np.where(starts >= dates[0], means, np.nan)


def _instrument(tape: Tape, symbol: str) -> int:
    books = [k for k, one in enumerate(tape.instruments) if one.book in BOOKS and symbol in ("", one.symbol)]
    if len(books) != 1:
        held = ", ".join(f"{one.symbol} ({one.book})" for one in tape.instruments)
        raise ConfigError(f"{tape.path}: has {len(books)} books of many levels to choose from; it holds {held}")
    return books[0]


def _windows(ts: NDArray[np.int64]) -> list[tuple[np.datetime64, int, int]]:
    """(day, first, last ns) of the window on each calendar day in New York that rows touch."""
    if not len(ts):
        return []
    first, last = (datetime.datetime.fromtimestamp(int(t) / 1e9, ZONE).date() for t in (ts[0], ts[-1]))
    days = [first + datetime.timedelta(days=k) for k in range((last - first).days + 1)]
    ends = [[datetime.datetime.combine(day, time, ZONE).timestamp() for time in (FROM, TO)] for day in days]
    return [(np.datetime64(day), round(a) * 10**9, round(b) * 10**9) for day, (a, b) in zip(days, ends, strict=True)]


@compiled
def _fill_depth(rows, spans, bid_keys, bid_sizes, ask_keys, ask_sizes, sums):
    """``sums[w]``: size of a level times seconds, and seconds, while the window shows three levels a side."""
    bids = asks = w = 0
    for i in range(rows.size):
        row = rows[i]
        if i > 0:
            start = rows[i - 1].ts_event
            while w < spans.shape[0] and spans[w, 1] <= start:
                w += 1
            if w < spans.shape[0] and bids >= LEVELS and asks >= LEVELS:
                seconds = (min(row.ts_event, spans[w, 1]) - max(start, spans[w, 0])) / 1e9
                if seconds > 0:
                    total = 0
                    for k in range(1, LEVELS + 1):
                        total += bid_sizes[bids - k] + ask_sizes[asks - k]
                    sums[w, 0] += seconds * total / (2 * LEVELS)
                    sums[w, 1] += seconds
        kind, key = row.kind, row.side * row.price
        if kind == CLEAR:
            bids = asks = 0
        elif kind == EXECUTE and row.flags & HIDDEN:
            continue
        elif kind in (DEPTH, REVEAL):
            if row.side > 0:
                bids = set_level(bid_keys, bid_sizes, bids, key, row.size)
            else:
                asks = set_level(ask_keys, ask_sizes, asks, key, row.size)
        elif kind in (ADD, REDUCE, DELETE, EXECUTE):
            change = row.size if kind == ADD else -row.size
            if row.side > 0:
                bids = add_to_level(bid_keys, bid_sizes, bids, key, change)
            else:
                asks = add_to_level(ask_keys, ask_sizes, asks, key, change)
