"""LOBSTER days: a message file and a book file become one tape.

The message file lists only what happened inside the book file's levels, so the messages alone do not give the book:
levels come into view when better ones empty, and change while out of sight. The importer

1. reads both files (``read_messages``, ``read_books``),
2. keeps the book that our engine will keep from the rows (docs/simulation.md, section 3) and holds it against the
   file's after each message: each visible difference is a REVEAL row (``_reveals``),
3. begins with a SNAPSHOT of the book before the first message, worked out from the first book row (``_opening``),
4. writes one group per timestamp (``_rows``).

One timestamp is one group, because one matching step writes several messages at one nanosecond: a sweep is several
executions, a replace is a deletion and a submission. No order could arrive between them.
"""

from __future__ import annotations

import os
import re
from datetime import date as Date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.levels import add_to_level, set_level
from engine.tape import ROW, Flag, Kind, Manifest, State, Tape
from engine.verdict import NOT_A_NUMBER, clean
from feeds.table import PARQUET, SECONDS, decimal_ns, header, read_table, whole
from feeds.times import DAY, NEW_YORK, REGULAR_HOURS, as_date, local_ns, session, utc_ns

COLUMNS = ("time", "type", "order_id", "size", "price", "direction")
SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CROSS, HALT = range(1, 8)
KINDS = np.array([0, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.EXECUTE, Kind.TRADE, Kind.STATUS], np.uint8)
HALT_STATES = {-1: State.HALT, 0: State.QUOTING, 1: State.OPEN}  # by the price of a halt message
WORST = -(2**62)  # the key of an empty level: every real one is better
AT_BEST = 0.9  # of visible executions at the best price; fewer mean that the two files do not belong together

FilePath = str | os.PathLike[str]


def import_lobster(
    messages: FilePath,
    book: FilePath,
    *,
    symbol: str = "",
    date: str | Date | None = None,
    zone: str = NEW_YORK,
    hours: tuple[str, str] = REGULAR_HOURS,
    tick: int = 100,
    licence: str = "LOBSTER's terms; not to be passed on",
) -> Tape:
    """One day of LOBSTER as a tape, order by order, with as many levels as the book file has.

    Parameters
    ----------
    messages, book : path
        ``SYMBOL_DATE_..._message_N`` and ``..._orderbook_N``, as LOBSTER's CSV (no header, seconds with decimals) or as
        parquet (``time_ns type order_id size price direction``; ``ask_px_1 ask_sz_1 bid_px_1 bid_sz_1 ...``).
    symbol, date
        Taken from the name of the message file if not given.
    zone, hours
        The venue's clock, which times are counted on from midnight, and its session.
    tick : int
        In 1/10000 of a dollar.
    licence : str
        Written into the manifest.

    Returns
    -------
    Tape
        Book "L3", ``levels=N``; REVEAL, UNEXPLAINED and MESSAGES are counted in its verdict. Not saved.

    Raises
    ------
    TapeError
        A file missing, damaged or not a number; different lengths; files that do not belong together.
    """
    symbol, day = _name(Path(messages), symbol, date)
    told = read_messages(messages)
    books = read_books(book)
    if len(books) != len(told["time"]):
        raise TapeError(
            f"{book}: {len(books)} rows, but {messages} has {len(told['time'])}; each message has one book row, "
            "so give two files of the same download"
        )
    levels = books.shape[1] // 4
    rows, revealed, unexplained = _rows(told, books, levels)
    _belong_together(told, books, messages, book)
    rows["ts_event"] = utc_ns(local_ns(day) + rows["ts_event"], zone, str(messages))
    rows["ts_recv"] = rows["ts_event"]
    instrument = Instrument(symbol=symbol, tick=tick, book="L3", levels=levels, calendar="XNYS")
    sessions = [session(day, zone, hours)]
    noted = {"MESSAGES": len(books), "REVEAL": revealed, "UNEXPLAINED": unexplained}
    rows, verdict = clean(rows, [instrument], sessions=sessions, noted=noted, where=str(messages))
    manifest = Manifest(
        name=f"{symbol}-{day.isoformat()}",
        instruments=[instrument],
        sessions=sessions,
        source=f"LOBSTER: {Path(messages).name}, {Path(book).name}",
        licence=licence,
        recipe="tickwright data import lobster",
        verdict=verdict.counts,
    )
    return Tape(rows, manifest)


def read_messages(path: FilePath) -> dict[str, NDArray[np.int64]]:
    """The six columns of a message file as int64[n]; ``time`` in ns after midnight."""
    file = Path(path)
    if file.suffix in PARQUET:
        names = ("time_ns", *COLUMNS[1:])
        table = read_table(file, columns=names)
        columns = [whole(table, name, file=file) for name in names]
    else:
        types = {name: pa.int64() for name in COLUMNS} | {"time": SECONDS}
        table = read_table(file, names=COLUMNS, types=types)
        times = table["time"].combine_chunks()
        _refuse(times.is_null().to_numpy(zero_copy_only=False), file, "column time is empty", np.zeros(len(times)))
        columns = [decimal_ns(times), *(whole(table, name, file=file) for name in COLUMNS[1:])]
    told = dict(zip(COLUMNS, columns, strict=True))
    for name, values in told.items():
        _refuse(values == NOT_A_NUMBER, file, f"column {name} has no whole number", values)
    _refuse((told["type"] < 1) | (told["type"] > HALT), file, "type is not one of 1 to 7", told["type"])
    _refuse((told["time"] < 0) | (told["time"] >= DAY), file, "time is not within a day", told["time"])
    _refuse(np.abs(told["direction"]) != 1, file, "direction is not 1 or -1", told["direction"])
    _refuse((told["type"] < CROSS) & (told["size"] <= 0), file, "size is not positive", told["size"])
    return told


def read_books(path: FilePath) -> NDArray[np.int64]:
    """A book file as int64[n, 4 levels]: ask price, ask size, bid price, bid size of each level."""
    file = Path(path)
    width = len(header(file))
    if width == 0 or width % 4:
        raise TapeError(
            f"{file}: {width} columns, but a level has four (ask price, size, bid price, size); get it again"
        )
    names = [
        f"{side}_{what}_{level}"
        for level in range(1, width // 4 + 1)
        for side in ("ask", "bid")
        for what in ("px", "sz")
    ]
    if file.suffix in PARQUET:
        table = read_table(file, columns=names)
    else:
        table = read_table(file, names=names, types=dict.fromkeys(names, pa.int64()))
    books = np.empty((table.num_rows, width), np.int64)
    for index, name in enumerate(names):
        books[:, index] = values = whole(table, name, file=file)
        _refuse(values == NOT_A_NUMBER, file, f"column {name} has no whole number", values)
    return books


def _rows(
    told: dict[str, NDArray[np.int64]], books: NDArray[np.int64], levels: int
) -> tuple[NDArray[np.void], int, int]:
    """ROW[m] with times still from midnight, the number of REVEAL rows, and of messages that needed one."""
    n = len(books)
    opening = _opening(told, books[0])
    message, side, price, size = _reveals(
        told["type"], told["direction"], told["price"], told["size"], books, levels, opening
    )
    rows = np.zeros(len(opening) + n + len(message), ROW)
    first = rows[: len(opening)]
    first["kind"], first["side"], first["price"], first["size"] = (
        Kind.REVEAL,
        opening[:, 0],
        opening[:, 1],
        opening[:, 2],
    )
    first["flags"] = Flag.SNAPSHOT
    # message i comes after the opening, the messages before it and their reveals
    at = len(opening) + np.arange(n) + np.searchsorted(message, np.arange(n))
    rows[at] = _message_rows(told)
    shown = len(opening) + message + 1 + np.arange(len(message))
    rows["kind"][shown], rows["side"][shown] = Kind.REVEAL, side
    rows["price"][shown], rows["size"][shown] = price, size
    rows["ts_event"][: len(opening)] = told["time"][0]
    rows["ts_event"][at] = told["time"]
    rows["ts_event"][shown] = told["time"][message]
    rows["flags"][np.append(np.diff(rows["ts_event"]) != 0, True)] |= int(Flag.LAST)
    return rows, len(message), len(np.unique(message))


def _message_rows(told: dict[str, NDArray[np.int64]]) -> NDArray[np.void]:
    kind = told["type"]
    rows = np.zeros(len(kind), ROW)
    rows["kind"] = KINDS[kind]
    for name, source in (("order_id", "order_id"), ("side", "direction"), ("price", "price"), ("size", "size")):
        rows[name] = told[source]
    rows["flags"][kind == EXECUTE_HIDDEN] = Flag.HIDDEN
    cross, halt = kind == CROSS, kind == HALT
    rows["side"][cross | halt] = 0
    rows["order_id"][cross | halt] = 0
    rows["flags"][cross] = Flag.AUCTION
    states = np.full(len(kind), State.HALT, np.uint16)  # any other price is one of the halt's reasons
    for price, state in HALT_STATES.items():
        states[told["price"] == price] = state
    rows["level"][halt] = states[halt]
    rows["price"][halt] = rows["size"][halt] = 0
    return rows


def _opening(told: dict[str, NDArray[np.int64]], book: NDArray[np.int64]) -> NDArray[np.int64]:
    """(side, price, size)[k] of the book before the first message: the first book row with that message undone."""
    shown: dict[tuple[int, int], int] = {}
    for level in range(0, len(book), 4):
        for side, column in ((-1, level), (1, level + 2)):
            if book[column + 1] > 0:
                shown[side, int(book[column])] = int(book[column + 1])
    kind, place = int(told["type"][0]), (int(told["direction"][0]), int(told["price"][0]))
    if kind in (SUBMIT, REDUCE, DELETE, EXECUTE):
        change = int(told["size"][0])
        shown[place] = max(0, shown.get(place, 0) + (-change if kind == SUBMIT else change))
    return np.array([(side, price, size) for (side, price), size in shown.items() if size], np.int64).reshape(-1, 3)


@njit(cache=True)
def _reveals(kind, direction, price, size, books, levels, opening):
    """(message, side, price, size)[m] of what the messages before it do not explain in the file's book."""
    n = kind.size
    room = opening.shape[0] + n * (levels + 1) + 2  # pages that are never written are never taken
    keys = np.empty((2, room), np.int64)  # bids, asks
    sizes = np.empty((2, room), np.int64)
    count = np.zeros(2, np.int64)
    for i in range(opening.shape[0]):
        s = 0 if opening[i, 0] > 0 else 1
        count[s] = set_level(keys[s], sizes[s], count[s], opening[i, 0] * opening[i, 1], opening[i, 2])
    out = np.empty((n + 1024, 4), np.int64)
    found = 0
    for i in range(n):
        if kind[i] <= EXECUTE:
            s = 0 if direction[i] > 0 else 1
            change = size[i] if kind[i] == SUBMIT else -size[i]
            count[s] = add_to_level(keys[s], sizes[s], count[s], direction[i] * price[i], change)
        for s in range(2):
            sign = 1 - 2 * s
            column = 2 - 2 * s
            k = count[s] - 1  # our next best level not yet held against the file
            for level in range(levels):
                if found + count[s] + 2 > out.shape[0]:
                    grown = np.empty((2 * out.shape[0] + count[s], 4), np.int64)
                    grown[:found] = out[:found]
                    out = grown
                shown = books[i, 4 * level + column + 1]
                key = sign * books[i, 4 * level + column] if shown > 0 else WORST
                while k >= 0 and keys[s, k] > key:  # better than the file's next level, but not in it
                    out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, sign, sign * keys[s, k], 0
                    found += 1
                    count[s] = set_level(keys[s], sizes[s], count[s], keys[s, k], 0)
                    k -= 1
                if shown <= 0:
                    break  # the file shows the whole side, and now so do we
                if k >= 0 and keys[s, k] == key:
                    same = sizes[s, k] == shown
                    sizes[s, k] = shown
                    k -= 1
                else:
                    same = False
                    count[s] = set_level(keys[s], sizes[s], count[s], key, shown)
                if not same:
                    out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, sign, sign * key, shown
                    found += 1
    return out[:found, 0].copy(), out[:found, 1].copy(), out[:found, 2].copy(), out[:found, 3].copy()


def at_previous_best(told: dict[str, NDArray[np.int64]], books: NDArray[np.int64]) -> tuple[int, int]:
    """How many visible executions were at the best price of the book row before them, and how many there are."""
    executed = np.flatnonzero(told["type"] == EXECUTE)
    executed = executed[executed > 0]
    best = np.where(told["direction"][executed] > 0, books[executed - 1, 2], books[executed - 1, 0])
    return int(np.count_nonzero(told["price"][executed] == best)), len(executed)


def _belong_together(
    told: dict[str, NDArray[np.int64]], books: NDArray[np.int64], messages: FilePath, book: FilePath
) -> None:
    hits, executions = at_previous_best(told, books)
    if executions >= 20 and hits < AT_BEST * executions:
        raise TapeError(
            f"{book}: only {hits} of {executions} executions of {messages} are at its best price; "
            "give the message and book file of the same day and symbol"
        )


def _name(file: Path, symbol: str, date: str | Date | None) -> tuple[str, Date]:
    named = re.match(r"([A-Za-z0-9.\-]+)_(\d{4}-\d{2}-\d{2})_", file.name)
    if not named and not (symbol and date):
        raise TapeError(f"{file}: the name does not begin with SYMBOL_YYYY-MM-DD_; give symbol and date")
    return symbol or named[1], as_date(date or named[2])  # type: ignore[index]


def _refuse(fault: NDArray[np.bool_], file: Path, says: str, values: NDArray[np.generic]) -> None:
    rows = np.flatnonzero(fault)
    if len(rows):
        shown = "" if values[rows[0]] == NOT_A_NUMBER else f" ({values[rows[0]]})"
        raise TapeError(f"{file}: row {rows[0] + 1}: {says}{shown}; mend that row, or get the file again")
