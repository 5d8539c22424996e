"""LOBSTER days: a message file and a book file become one tape.

The message file lists only what happened inside the book file's levels, so the messages alone do not give the book:
levels come into view when better ones empty, and change while out of sight. The importer

1. reads both files (``read_messages``, ``read_books``),
2. keeps the book that our engine will keep from the rows (docs/simulation.md, section 3) and holds it against the
   file's after each message: each visible difference is a REVEAL row (``lobster_book.reveals``),
3. begins with a SNAPSHOT of the book before the first message, worked out from the first book row
   (``lobster_book.opening_book``),
4. writes one group per timestamp (``_rows``).

One timestamp is one group, because one matching step writes several messages at one nanosecond: a sweep is several
executions, a replace is a deletion and a submission. No order could arrive between them.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from datetime import date as Date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.tape import ROW, TAPE_VERSION, Flag, Kind, Manifest, State, Tape
from engine.verdict import NOT_A_NUMBER, clean
from feeds.lobster_book import CROSS, EXECUTE, EXECUTE_HIDDEN, HALT, opening_book, reveals
from feeds.merge import merge
from feeds.replay import Rows, TapeFeed, resolve
from feeds.table import PARQUET, SECONDS, decimal_ns, header, read_table, whole
from feeds.times import DAY, NEW_YORK, REGULAR_HOURS, as_date, local_ns, session, utc_ns

COLUMNS = ("time", "type", "order_id", "size", "price", "direction")
KINDS = np.array([0, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.EXECUTE, Kind.TRADE, Kind.STATUS], np.uint8)
HALT_STATES = {-1: State.HALT, 0: State.QUOTING, 1: State.OPEN}  # by the price of a halt message
AT_BEST = 0.9  # of visible executions at the best price; fewer mean that the two files do not belong together

FilePath = str | os.PathLike[str]
IMPORTER_VERSION = 1  # of the rows made from the same files; a cached tape of another version is not used


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


class LobsterFeed(TapeFeed):
    """LOBSTER files as a feed: imported on first use, then read from a cached tape.

    Parameters
    ----------
    messages, books : sequences of path
        One of each for every day and symbol; found as ``feeds.replay.resolve`` says.
    symbols : sequence of str
        One for each message file, where the names do not say it.
    chunks, start, end, root
        As in ``TapeFeed``.
    cache : path
        Where imported tapes are kept, by content of the files; by default below the user's cache folder.

    Raises
    ------
    TapeError
        What ``import_lobster`` and ``TapeFeed`` raise; days with different symbols.
    """

    def __init__(
        self,
        *,
        messages: Sequence[FilePath],
        books: Sequence[FilePath],
        symbols: Sequence[str] | None = None,
        chunks: int | Sequence[int] | Sequence[Rows] | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        root: FilePath | None = None,
        cache: FilePath | None = None,
    ) -> None:
        if len(messages) != len(books) or (symbols and len(symbols) != len(messages)):
            raise TapeError(
                f"{len(messages)} message files, {len(books)} book files, {len(symbols or messages)} symbols; "
                "each message file has one book file, and one symbol if you give symbols"
            )
        folder = Path(cache) if cache else _cache_folder()
        days: dict[int, list[Tape]] = {}
        for message, book, symbol in zip(messages, books, symbols or [""] * len(messages), strict=True):
            tape = _cached(resolve(message, root), resolve(book, root), symbol, folder)
            days.setdefault(tape.sessions[0][0], []).append(tape)
        tapes = [merge(sorted(day, key=lambda one: one.instruments[0].symbol)) for _, day in sorted(days.items())]
        super().__init__(*tapes, chunks=chunks, start=start, end=end)
        self._files: dict[str, Any] = {
            "messages": [str(resolve(file, root).resolve()) for file in messages],
            "books": [str(resolve(file, root).resolve()) for file in books],
        }
        if symbols:
            self._files["symbols"] = list(symbols)

    @property
    def params(self) -> dict[str, Any]:
        """The ``feed_params`` of a config that makes this feed again (without ``chunks``, which change nothing)."""
        return {**self._files, **self._span}


def import_lobster_files(
    messages: FilePath | Sequence[FilePath], books: FilePath | Sequence[FilePath], **options: str
) -> list[Tape]:
    """One tape for each pair of files; options as in ``import_lobster``."""
    messages, books = ([files] if isinstance(files, (str, os.PathLike)) else list(files) for files in (messages, books))
    if len(messages) != len(books):
        raise TapeError(f"{len(messages)} message files, but {len(books)} book files; each day has one of both")
    return [import_lobster(one, two, **options) for one, two in zip(messages, books, strict=True)]  # type: ignore[arg-type]


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
    told: dict[str, NDArray[np.int64]] = dict(zip(COLUMNS, columns, strict=True))
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
    opening = opening_book(told, books[0])
    changes, found = reveals(told["type"], told["direction"], told["price"], told["size"], books, levels, opening)
    message, side, price, size = changes[:found].T
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
    named = re.match(r"[A-Za-z0-9.\-]+(?=_)", file.name)
    dated = re.search(r"\d{4}-\d{2}-\d{2}", file.name)
    if not (symbol or named) or not (date or dated):
        raise TapeError(f"{file}: the name does not begin with SYMBOL_YYYY-MM-DD_; give symbol and date")
    return symbol or named[0], as_date(date or dated[0])  # type: ignore[index]


def _cached(messages: Path, book: Path, symbol: str, folder: Path) -> Tape:
    """The tape of the two files from the cache; imported and put there if it is not."""
    digest = hashlib.blake2b(f"{IMPORTER_VERSION} {TAPE_VERSION} {symbol} {messages.name}".encode(), digest_size=16)
    for file in (messages, book):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    place = folder / f"{messages.name.split('_')[0]}-{digest.hexdigest()}"
    if (place / "manifest.json").exists():
        try:
            return Tape.load(place)
        except TapeError as error:
            print(f"{error}\nimporting {messages} anew", file=sys.stderr)
    tape = import_lobster(messages, book, symbol=symbol)
    try:
        tape.save(place, overwrite=True)
        print(f"imported {messages} and {book} to {place}", file=sys.stderr)
    except OSError as error:
        print(f"{place}: cannot be written ({error.strerror}); {messages} will be imported each time", file=sys.stderr)
    return tape


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickwright" / "tapes"


def _refuse(fault: NDArray[np.bool_], file: Path, says: str, values: NDArray[np.generic]) -> None:
    rows = np.flatnonzero(fault)
    if len(rows):
        shown = "" if values[rows[0]] == NOT_A_NUMBER else f" ({values[rows[0]]})"
        raise TapeError(f"{file}: row {rows[0] + 1}: {says}{shown}; mend that row, or get the file again")
