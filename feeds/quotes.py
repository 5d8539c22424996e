"""Trades and quotes, together or alone, one tape a day: plain columns of 1/10000 dollars, or the TAQ form.

Recognised by their columns:

========  =============================================================================================
plain     trades ``date ms price_e4 size [cond suspicious]``; quotes ``date ms bid_e4 bid_sz ask_e4 ask_sz``
          (``ms`` since the venue's midnight; ``cond`` in hexadecimal)
TAQ       trades ``DT SYMBOL EX PRICE SIZE COND CORR``; quotes ``DT SYMBOL EX BID BIDSIZ OFR OFRSIZ``
========  =============================================================================================

At equal time trades come before quotes: a trade at the old quote is reported before the quote that it caused. Each row
is a group of its own. The cleaning rules and their reason codes are in docs/data.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import TapeError
from engine.instruments import Instrument
from engine.lee_ready import lee_ready
from engine.tape import ROW, Auction, Flag, Kind, Manifest, State, Tape
from engine.verdict import NOT_A_NUMBER, clean
from feeds.table import header, nanoseconds, read_table, strings, whole
from feeds.times import DAY, EPOCH, NEW_YORK, REGULAR_HOURS, SECOND, as_date, local_of, session, utc_ns

FilePath = str | os.PathLike[str]

PLAIN_TRADES = ("date", "ms", "price_e4", "size")
PLAIN_QUOTES = ("date", "ms", "bid_e4", "bid_sz", "ask_e4", "ask_sz")
TAQ_TRADES = ("DT", "SYMBOL", "EX", "PRICE", "SIZE", "COND", "CORR")
TAQ_QUOTES = ("DT", "SYMBOL", "EX", "BID", "BIDSIZ", "OFR", "OFRSIZ")
PLAIN_AUCTIONS = {0x40: Auction.OPENING, 0x80: Auction.CLOSING, 0x100: Auction.INTRADAY}
TAQ_AUCTIONS = {"O": Auction.OPENING, "6": Auction.CLOSING, "5": Auction.INTRADAY}
# prices made elsewhere or earlier: average, derived, contingent, prior reference, special settlement, late, copies
NOT_OF_NOW = "BCGHLMNPQRUVWZ479"
AFTER_CLOSE = 15 * 60 * SECOND  # a closing print this late still ends the session
PRICE_UNIT = "1/10000"


def import_quotes(
    quotes: FilePath | None = None,
    trades: FilePath | None = None,
    *,
    symbol: str = "",
    exchange: str = "",
    zone: str = NEW_YORK,
    venue_zone: str = NEW_YORK,
    hours: tuple[str, str] = REGULAR_HOURS,
    session_only: bool = False,
    sign: str = "none",
    quote_lot: int | None = None,
    drop_conditions: str = NOT_OF_NOW,
    tick: int = 100,
    source: str = "",
    licence: str = "",
) -> list[Tape]:
    """Quotes, trades or both as one tape for each day.

    Parameters
    ----------
    quotes, trades : path
        Parquet or CSV, in one of the forms above; at least one.
    symbol : str
        Needed where the files do not say it, or hold several.
    exchange : str
        TAQ: keep this one's quotes. Else the quotes of all exchanges become the best of all: the highest bid and lowest
        offer, with the sizes of all exchanges there added up.
    zone, venue_zone
        The clock of the file's ``DT``, and the venue's, which days, ``ms`` and sessions are counted on.
    hours, session_only
        The session; rows outside it are kept unless ``session_only`` drops them (``OUT_OF_SESSION``).
    sign : "none" or "lee_ready"
        The aggressor of trades. "none" leaves 0, and the engine infers it from the quote: a trade between bid and ask
        then fills nobody, which is the honest default. "lee_ready" signs by the mid before the trade, at the mid by the
        last change of price (Lee and Ready 1991): a guess, for statistics that need every trade signed.
    quote_lot : int
        Shares in one unit of quoted size; 100 in the TAQ form (round lots), else 1.
    drop_conditions : str
        TAQ: trades with one of these letters are dropped (``CONDITION``).
    tick : int
        In 1/10000 of a dollar.

    Raises
    ------
    TapeError
        Neither file given; a file missing, damaged or of another form; several symbols and none named.
    """
    if quotes is None and trades is None:
        raise TapeError("import_quotes: give quotes, trades or both")
    if sign not in ("none", "lee_ready"):
        raise TapeError(f"sign is {sign!r}, but must be 'none' or 'lee_ready'")
    told = _read_trades(trades, symbol, zone, venue_zone, drop_conditions) if trades is not None else _Part()
    shown = _read_quotes(quotes, symbol, exchange, zone, venue_zone, quote_lot) if quotes is not None else _Part()
    name = symbol or told.symbol or shown.symbol
    if not name:
        raise TapeError(f"{quotes or trades}: the file names no symbol; give symbol")
    book = "L1" if quotes is not None else "NONE"
    instrument = Instrument(symbol=name, price_unit=PRICE_UNIT, tick=tick, book=book, levels=1, calendar="XNYS")
    where = " and ".join(str(path) for path in (trades, quotes) if path is not None)
    tapes = []
    for number in np.union1d(told.day, shown.day).tolist():
        day = as_date(EPOCH.fromordinal(EPOCH.toordinal() + number))
        opens = session(day, venue_zone, hours)
        parts = [part.on(number) for part in (told, shown)]
        dropped = {code: count for part in parts for code, count in part.counts().items()}
        streams = [part.kept() for part in parts]
        if session_only:
            streams = [_inside(rows, opens, dropped) for rows in streams]
        states, opens = _auction_states(streams[0], opens)
        noted = {}
        if sign == "lee_ready":
            noted["SIGNED"] = _sign(streams[0], streams[1])
        if not sum(map(len, streams)):
            continue
        rows, verdict = clean(
            [states, *streams], [instrument], sessions=[opens], dropped=dropped, noted=noted, where=f"{where}, {day}"
        )
        manifest = Manifest(
            name=f"{name}-{day}",
            instruments=[instrument],
            sessions=[opens],
            source=source or ", ".join(Path(path).name for path in (trades, quotes) if path is not None),
            licence=licence,
            recipe="tickwright data import quotes",
            verdict=verdict.counts,
        )
        tapes.append(Tape(rows, manifest))
    if not tapes:
        raise TapeError(f"{where}: no row is left to import; check session_only, exchange and drop_conditions")
    return tapes


def import_trades(trades: FilePath, **options: object) -> list[Tape]:
    """Trades alone, one tape a day, without a book: ``import_quotes(trades=...)`` with the same options."""
    return import_quotes(None, trades, **options)  # type: ignore[arg-type]


@dataclass
class _Part:
    """Rows of one file, the venue's day of each, and which of them are dropped for what."""

    rows: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ROW))
    day: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    gone: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    symbol: str = ""

    def on(self, day: int) -> _Part:
        mine = self.day == day
        return _Part(self.rows[mine], self.day[mine], {code: mask[mine] for code, mask in self.gone.items()})

    def counts(self) -> dict[str, int]:
        return {code: count for code, mask in self.gone.items() if (count := int(np.count_nonzero(mask)))}

    def kept(self) -> NDArray[np.void]:
        out = np.zeros(len(self.rows), bool)
        for mask in self.gone.values():
            out |= mask
        return self.rows[~out]


def _read_trades(path: FilePath, symbol: str, zone: str, venue_zone: str, drop_conditions: str) -> _Part:
    form = _form(path, PLAIN_TRADES, TAQ_TRADES)
    if form == "plain":
        there = header(path)
        extra = [name for name in ("cond", "suspicious") if name in there]
        types = {"cond": pa.string()}
        table = read_table(path, columns=[*PLAIN_TRADES, *extra], types=types)
        times, day = _plain_times(table, path, venue_zone)
        price, size = whole(table, "price_e4", file=path), whole(table, "size", file=path)
        conditions = strings(table, "cond") if "cond" in extra else np.full(len(table), "")
        levels = _marks(conditions, _plain_auction, path)
        gone = {"SUSPICIOUS": whole(table, "suspicious", file=path) != 0} if "suspicious" in extra else {}
    else:
        types = {"DT": pa.timestamp("ns"), **dict.fromkeys(("SYMBOL", "EX", "COND"), pa.string())}
        table, symbol = _of_symbol(read_table(path, columns=TAQ_TRADES, types=types), symbol, path)
        times, day = _taq_times(table, path, zone, venue_zone)
        price, size = whole(table, "PRICE", PRICE_UNIT, file=path), whole(table, "SIZE", file=path)
        conditions = strings(table, "COND")
        levels = _marks(conditions, _taq_auction, path)
        dropped = _marks(conditions, lambda text: int(any(one in drop_conditions for one in text.strip())), path) > 0
        corrected = whole(table, "CORR", file=path) != 0
        gone = {"CORRECTED": corrected, "CONDITION": dropped & ~corrected}
    rows = _blank(times, Kind.TRADE)
    rows["price"], rows["size"] = price, size
    auction = levels >= 0
    rows["flags"][auction] |= int(Flag.AUCTION)
    rows["level"][auction] = levels[auction]
    return _Part(rows, day, gone, symbol)


def _read_quotes(
    path: FilePath, symbol: str, exchange: str, zone: str, venue_zone: str, quote_lot: int | None
) -> _Part:
    form = _form(path, PLAIN_QUOTES, TAQ_QUOTES)
    if form == "plain":
        table = read_table(path, columns=PLAIN_QUOTES)
        times, day = _plain_times(table, path, venue_zone)
        bid, bid_size, ask, ask_size = (whole(table, name, file=path) for name in PLAIN_QUOTES[2:])
        lot = quote_lot or 1
    else:
        types = {"DT": pa.timestamp("ns"), **dict.fromkeys(("SYMBOL", "EX"), pa.string())}
        table, symbol = _of_symbol(read_table(path, columns=TAQ_QUOTES, types=types), symbol, path)
        times, day = _taq_times(table, path, zone, venue_zone)
        bid, ask = (whole(table, name, PRICE_UNIT, file=path) for name in ("BID", "OFR"))
        bid_size, ask_size = (whole(table, name, file=path) for name in ("BIDSIZ", "OFRSIZ"))
        lot = quote_lot or 100
    rows = _blank(times, Kind.QUOTE)
    for name, values in (("price", bid), ("size", bid_size), ("price2", ask), ("size2", ask_size)):
        sized = name.startswith("size")
        rows[name] = np.where(values == NOT_A_NUMBER, values, values * lot) if sized else values
    # a price of 0 is how these files say that a side is empty
    for price, size in (("price", "size"), ("price2", "size2")):
        rows[size][rows[price] == 0] = 0
    if form == "plain":
        return _Part(rows, day, {}, symbol)
    place = strings(table, "EX")
    if exchange:
        mine = place == exchange
        if not mine.any():
            raise TapeError(f"{path}: no quote of exchange {exchange!r}; it has {', '.join(sorted(set(place)))}")
        return _Part(rows[mine], day[mine], {}, symbol)
    numbers = np.array([rows[name] != NOT_A_NUMBER for name in ("price", "size", "price2", "size2")]).all(axis=0)
    _, number = np.unique(place, return_inverse=True)
    kept = np.flatnonzero(numbers)  # what is no number is left for the data rules to drop and count
    best = rows[kept]
    same = np.zeros(len(best), bool)
    _best_of_all(number[kept], day[kept], best["price"], best["size"], best["price2"], best["size2"], same)
    rows[kept] = best
    unchanged = np.zeros(len(rows), bool)
    unchanged[kept] = same
    return _Part(rows, day, {"NOT_BEST": unchanged}, symbol)


@compiled
def _best_of_all(place, day, bid, bid_size, ask, ask_size, same):
    """Replace each exchange's quote by the best over all exchanges so far that day; mark those that change nothing."""
    places = place.max() + 1 if place.size else 0
    bids, bid_sizes = np.zeros(places, np.int64), np.zeros(places, np.int64)
    asks, ask_sizes = np.zeros(places, np.int64), np.zeros(places, np.int64)
    for i in range(place.size):
        if i == 0 or day[i] != day[i - 1]:
            bid_sizes[:] = 0
            ask_sizes[:] = 0
        p = place[i]
        bids[p], bid_sizes[p], asks[p], ask_sizes[p] = bid[i], bid_size[i], ask[i], ask_size[i]
        b = bs = a = s = 0
        for j in range(places):
            if bid_sizes[j] > 0:
                if bs == 0 or bids[j] > b:
                    b, bs = bids[j], bid_sizes[j]
                elif bids[j] == b:
                    bs += bid_sizes[j]
            if ask_sizes[j] > 0:
                if s == 0 or asks[j] < a:
                    a, s = asks[j], ask_sizes[j]
                elif asks[j] == a:
                    s += ask_sizes[j]
        bid[i], bid_size[i], ask[i], ask_size[i] = b, bs, a, s
        same[i] = (
            i > 0
            and day[i] == day[i - 1]
            and b == bid[i - 1]
            and bs == bid_size[i - 1]
            and a == ask[i - 1]
            and s == ask_size[i - 1]
        )


def _sign(trades: NDArray[np.void], quotes: NDArray[np.void]) -> int:
    """Set the side of trades by ``lee_ready`` on the quote before each; how many have one then."""
    if len(trades) == 0:
        return 0
    at = np.searchsorted(quotes["ts_event"], trades["ts_event"], side="left") - 1
    if len(quotes):
        last = quotes[np.maximum(at, 0)]
        quoted = (at >= 0) & (last["size"] > 0) & (last["size2"] > 0) & (last["price"] <= last["price2"])
        trades["side"] = lee_ready(trades["price"], last["price"], last["price2"], quoted)
    else:
        none = np.zeros(len(trades), np.int64)
        trades["side"] = lee_ready(trades["price"], none, none, none > 0)
    return int(np.count_nonzero(trades["side"]))


def _auction_states(trades: NDArray[np.void], opens: tuple[int, int]) -> tuple[NDArray[np.void], tuple[int, int]]:
    """STATUS rows around a closing auction that prints after the close, and the session that lasts until it."""
    opened, closed = opens
    closing = (trades["level"] == Auction.CLOSING) & ((trades["flags"] & Flag.AUCTION) != 0)
    late = trades["ts_event"][closing & (trades["ts_event"] >= closed) & (trades["ts_event"] < closed + AFTER_CLOSE)]
    if len(late) == 0:
        return np.zeros(0, ROW), opens
    end = int(late.max()) + 1
    rows = _blank(np.array([opened, closed, end]), Kind.STATUS)
    rows["level"] = (State.OPEN, State.CLOSING_AUCTION, State.CLOSED)
    return rows, (opened, end)


def _inside(rows: NDArray[np.void], opens: tuple[int, int], dropped: dict[str, int]) -> NDArray[np.void]:
    first, last = opens
    closing = (rows["kind"] == Kind.TRADE) & ((rows["flags"] & Flag.AUCTION) != 0) & (rows["level"] == Auction.CLOSING)
    inside = (rows["ts_event"] >= first) & (rows["ts_event"] < np.where(closing, last + AFTER_CLOSE, last))
    inside |= rows["ts_event"] == NOT_A_NUMBER
    if outside := len(rows) - int(np.count_nonzero(inside)):
        dropped["OUT_OF_SESSION"] = dropped.get("OUT_OF_SESSION", 0) + outside
    return rows[inside]


def _form(path: FilePath, plain: tuple[str, ...], taq: tuple[str, ...]) -> str:
    there = header(path)
    if all(name in there for name in plain):
        return "plain"
    if all(name in there for name in taq):
        return "taq"
    raise TapeError(
        f"{path}: columns {', '.join(there)} are neither {' '.join(plain)} nor {' '.join(taq)}; "
        "import it with a column map (tickwright data import csv)"
    )


def _of_symbol(table: pa.Table, symbol: str, path: FilePath) -> tuple[pa.Table, str]:
    names = strings(table, "SYMBOL")
    held = sorted(set(names.tolist()))
    if len(held) == 1 and not symbol:
        return table, held[0]
    if symbol not in held:
        raise TapeError(f"{path}: holds {', '.join(held[:10])}, not {symbol!r}; give symbol as one of them")
    return table.filter(pa.array(names == symbol)), symbol


def _plain_times(table: pa.Table, path: FilePath, venue_zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    since = nanoseconds(table, "ms", "ms", file=path)
    dates = strings(table, "date")
    names, number = np.unique(dates, return_inverse=True)
    try:
        days = np.array([(as_date(name) - EPOCH).days for name in names.tolist()])[number]
    except TapeError as error:
        raise TapeError(f"{path}: {error}") from None
    bad = (since != NOT_A_NUMBER) & ((since < 0) | (since >= DAY))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise TapeError(f"{path}: row {row + 1}: ms is {since[row] // 1_000_000}, not within a day; mend that row")
    local = np.where(since == NOT_A_NUMBER, since, days * DAY + since)
    return utc_ns(local, venue_zone, str(path)), days


def _taq_times(
    table: pa.Table, path: FilePath, zone: str, venue_zone: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    times = utc_ns(nanoseconds(table, "DT", "ns", file=path), zone, str(path))
    known = times != NOT_A_NUMBER
    day = np.where(known, local_of(np.where(known, times, 0), venue_zone) // DAY, 0)
    # a row without a time is counted on the day of the row before it
    seen = np.maximum.accumulate(np.where(known, np.arange(len(day)), 0))
    return times, day[seen]


def _blank(times: NDArray[np.int64], kind: Kind) -> NDArray[np.void]:
    rows = np.zeros(len(times), ROW)
    rows["ts_event"] = rows["ts_recv"] = times
    rows["kind"] = kind
    rows["flags"] = Flag.LAST
    return rows


def _marks(conditions: NDArray[np.str_], mark, path: FilePath) -> NDArray[np.int64]:
    """``mark`` of each condition, worked out once for each one that occurs."""
    names, number = np.unique(conditions, return_inverse=True)
    try:
        return np.array([mark(name) for name in names.tolist()], np.int64)[number]
    except ValueError as error:
        raise TapeError(f"{path}: column cond: {error}; it must be hexadecimal") from None


def _plain_auction(text: str) -> int:
    bits = int(text, 16) if text else 0
    return next((int(auction) for bit, auction in PLAIN_AUCTIONS.items() if bits & bit), -1)


def _taq_auction(text: str) -> int:
    return next((int(auction) for letter, auction in TAQ_AUCTIONS.items() if letter in text), -1)
