"""The data rules that judge a row by those before it: changes of orders that are not there, and every flag.

Held between calls, so that rows that come a few at a time are judged as they would be at once. One thing differs: the
prices that can jump are those of trades from the first trade on, where an importer knows beforehand that one will come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind
from engine.verdict import BOOK_CHANGES, JUMP_WINDOW, PRICED, SECOND, drop, ends_group, jumps
from engine.verdict_kernels import book_kernel, desync_kernel

COLUMNS = ("kind", "side", "price", "size", "price2", "size2", "flags")
MIDS, BARS, TRADES = range(3)  # the prices that are judged, the better ones last


class BookRules:
    """What is known of each instrument's book and prices.

    Parameters
    ----------
    instruments : sequence of Instrument
        Indexed by ``instrument`` of a row; rows name no others.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._orders = [_Orders() for _ in instruments]
        self._prices = [_Prices(instrument) for instrument in instruments]
        # a file that shows some levels rightly changes orders that it never showed
        self._whole = [n for n, one in enumerate(instruments) if one.book == "L3" and not one.levels]

    def in_book(self, rows: NDArray[np.void], lost: dict[str, int]) -> NDArray[np.void]:
        """The rows without changes of orders that are not in a whole book, counted as BOOK_DESYNC."""
        gone = np.zeros(len(rows), bool)
        for index in self._whole:
            mine = np.flatnonzero(rows["instrument"] == index)
            gone[mine] = self._orders[index].unknown(rows[mine])
        if not gone.any():
            return rows
        lost["BOOK_DESYNC"] = lost.get("BOOK_DESYNC", 0) + int(gone.sum())
        return drop(rows, gone)

    def flag(self, rows: NDArray[np.void]) -> None:
        """Set OFF_TICK, CROSSED, LOCKED, TIME_FUTURE, JUMP and OUTSIDE in ``rows``, which end their groups."""
        flags = rows["flags"]
        flags[(rows["ts_recv"] > 0) & (rows["ts_event"] - rows["ts_recv"] > SECOND)] |= int(Flag.TIME_FUTURE)
        last = ends_group(rows)
        group = np.cumsum(last) - last  # (n,) a row's group number
        for index, prices in enumerate(self._prices):
            mine = np.flatnonzero(rows["instrument"] == index) if len(self._prices) > 1 else slice(None)
            part = rows[mine].copy()
            if len(part):  # a group may end with another instrument's row: this one's last row in it ends its part
                ends = np.append(np.diff(group[mine]) > 0, True)
                part["flags"][ends] |= int(Flag.LAST)
                flags[mine] |= prices.marked(part) & ~np.uint16(Flag.LAST)


class _Orders:
    """What is left of each order of one book."""

    def __init__(self) -> None:
        self._ids = np.zeros(0, np.int64)  # ascending
        self._left = np.zeros(0, np.int64)

    def unknown(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        ids, order = np.unique(rows["order_id"], return_inverse=True)
        left = np.zeros(len(ids), np.int64)
        _, known, among = np.intersect1d(ids, self._ids, assume_unique=True, return_indices=True)
        left[known] = self._left[among]
        out = np.zeros(len(rows), bool)
        hidden = (rows["flags"] & Flag.HIDDEN) != 0
        desync_kernel(rows["kind"].copy(), hidden, order, rows["size"].copy(), left, out)
        others = np.ones(len(self._ids), bool)
        others[among] = False
        others &= not (rows["kind"] == Kind.CLEAR).any()
        ids = np.concatenate([self._ids[others], ids[left > 0]])
        by_id = np.argsort(ids)
        self._ids, self._left = ids[by_id], np.concatenate([self._left[others], left[left > 0]])[by_id]
        return out


class _Prices:
    """One instrument's displayed book, and its recent prices."""

    def __init__(self, instrument: Instrument) -> None:
        self._tick, self._lot = instrument.tick, instrument.lot
        self._levels = np.zeros(0, ROW)  # the book as a group of DEPTH rows
        self._judged = MIDS
        self._recent = np.zeros(0, np.int64)

    def marked(self, rows: NDArray[np.void]) -> NDArray[np.uint16]:
        """The flags of rows, with the reasons that were found."""
        marks = rows["flags"].copy()
        marks[off_tick(rows, self._tick, self._lot)] |= int(Flag.OFF_TICK)
        before = len(self._levels)
        both = np.concatenate([self._levels, rows]) if before else rows
        book = np.concatenate([np.zeros(before, np.uint16), marks])
        middle = np.zeros(len(both), np.int64)  # bid + ask after the row, 0 without both
        self._levels = _keep_book(both, book, middle)
        marks, middle = book[before:], middle[before:]
        at, prices = self._judged_prices(rows, middle)
        known = len(self._recent)
        prices = np.concatenate([self._recent, prices])
        marks[at[jumps(prices, self._tick)[known:]]] |= int(Flag.JUMP)
        self._recent = prices[-JUMP_WINDOW:]
        return marks

    def _judged_prices(
        self, rows: NDArray[np.void], middle: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The prices that can jump: trades; where there are none, closes of bars; else mids (rounded down)."""
        kind = rows["kind"]
        trades = np.flatnonzero(((kind == Kind.TRADE) | (kind == Kind.EXECUTE)) & ((rows["flags"] & Flag.AUCTION) == 0))
        bars = np.flatnonzero(kind == Kind.BAR)
        best = TRADES if len(trades) else BARS if len(bars) else MIDS
        if best > self._judged:
            self._judged, self._recent = best, np.zeros(0, np.int64)
        if self._judged == TRADES:
            return trades, rows["price"][trades]
        if self._judged == BARS:
            return bars, rows["size2"][bars]
        moved = np.flatnonzero(middle)
        return moved, middle[moved] // 2


def off_tick(rows: NDArray[np.void], tick: int, lot: int) -> NDArray[np.bool_]:
    """Rows with a price off the tick or a size off the lot."""
    kind, size = rows["kind"], rows["size"]
    one = np.isin(kind, PRICED)
    quote, bar = kind == Kind.QUOTE, kind == Kind.BAR
    off = (one | bar | (quote & (size > 0))) & (rows["price"] % tick != 0)
    off |= (bar | (quote & (rows["size2"] > 0))) & (rows["price2"] % tick != 0)
    off |= bar & ((rows["order_id"] % tick != 0) | (rows["size2"] % tick != 0))
    if lot > 1:
        off |= (one | quote | bar) & (size % lot != 0)
        off |= quote & (rows["size2"] % lot != 0)
    return off


def _keep_book(rows: NDArray[np.void], marks: NDArray[np.uint16], middle: NDArray[np.int64]) -> NDArray[np.void]:
    """Fill in ``marks`` and ``middle``; the book after the rows, as a group of DEPTH rows."""
    changes, side = np.isin(rows["kind"], BOOK_CHANGES), rows["side"]
    most = [np.count_nonzero(changes & (side > 0)) + 2, np.count_nonzero(changes & (side < 0)) + 2]
    room = [np.empty(n, np.int64) for n in most for _ in ("keys", "sizes")]
    bids, asks = book_kernel(*(rows[name].copy() for name in COLUMNS), marks, middle, *room)
    levels = np.zeros(bids + asks, ROW)
    levels["kind"] = Kind.DEPTH
    levels["side"] = np.repeat([1, -1], [bids, asks])
    levels["price"] = np.concatenate([room[0][:bids], -room[2][:asks]])
    levels["size"] = np.concatenate([room[1][:bids], room[3][:asks]])
    levels["flags"][-1:] = Flag.LAST
    return levels
