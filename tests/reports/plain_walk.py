"""The rules of ``engine.reports.microstructure_walk`` once more: dicts, floats and no thought of speed."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from engine.reports.microstructure_cells import Cells
from engine.reports.microstructure_walk import BY_BOTH, BY_TRADE, CANCELLED, PENDING_NS, PLACED
from engine.tape import Flag, Kind, State, Tape

BOOK = (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.REVEAL)


class PlainWalk:
    """Trades, flow, moves, and time by spread, of one instrument of a tape."""

    def __init__(self, tape: Tape, number: int, cells: Cells) -> None:
        self.tick = tape.instruments[number].tick
        self.ordered = tape.instruments[number].book == "L3"
        self.cells = cells
        self.book: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.pending: dict[int, list[int]] = {}
        self.last_price: int | None = None
        self.change = 0
        self.opened = True
        self.trades: list[dict[str, Any]] = []
        self.flow: list[tuple[int, ...]] = []
        self.moves: list[tuple[int, int, int]] = []
        self.seconds: dict[int, float] = {}  # by spread in whole ticks; -1: crossed
        self.volume = 0
        before = None
        rows = tape.rows[tape.rows["instrument"] == number]
        kept = [row for row in rows if row["kind"] not in (Kind.CLOSE, Kind.CLOCK)]
        for now, group in groupby(kept, key=lambda row: int(row["ts_event"])):
            if before is not None:
                self._let_pass(before, now)
            before = now
            self._group(now, list(group))
        if before is not None:
            self._let_pass(before, int(cells.end[-1]))

    def best(self, side: int) -> int | None:
        prices = self.book[side]
        return (max(prices) if side > 0 else min(prices)) if prices else None

    def mid(self) -> int | None:
        """Twice the mid."""
        bid, ask = self.best(1), self.best(-1)
        return bid + ask if bid is not None and ask is not None and bid <= ask else None

    def _let_pass(self, start: int, end: int) -> None:
        bid, ask = self.best(1), self.best(-1)
        if bid is None or ask is None or not self.opened:
            return
        ticks = -1 if ask < bid else int((ask - bid) / self.tick)
        inside = np.minimum(self.cells.end, end) - np.maximum(self.cells.start, start)
        seconds = float(inside[inside > 0].sum()) / 1e9
        if seconds:
            self.seconds[ticks] = self.seconds.get(ticks, 0.0) + seconds

    def _group(self, now: int, group: list[Any]) -> None:
        for row in group:
            if row["kind"] == Kind.STATUS and row["level"] != State.BAND:
                self.opened = row["level"] == State.OPEN
        at = now - 1 if group[0]["kind"] == Kind.BAR else now
        cell = next((c for c in range(len(self.cells.start)) if self.cells.start[c] <= at < self.cells.end[c]), -1)
        cell = cell if self.opened else -1
        mid, bid, ask = self.mid(), self.best(1), self.best(-1)
        self.traded = False
        mine: dict[tuple[int, int], dict[str, Any]] = {}
        for row in group:
            if row["kind"] == Kind.BAR:
                self.last_price = int(row["size2"])
                self.volume += int(row["size"]) * (cell >= 0)
            if row["kind"] in (Kind.TRADE, Kind.EXECUTE) and not row["flags"] & Flag.AUCTION:
                self._trade(row, now, cell, mid, mine)
        self.trades += mine.values()
        for row in group:
            if row["kind"] == Kind.CLEAR:
                self.book = {1: {}, -1: {}}
            elif row["kind"] in BOOK and not (row["kind"] == Kind.EXECUTE and row["flags"] & Flag.HIDDEN):
                self._change(row, now, cell, mid)
        after = self.mid()
        if cell >= 0 and mid is not None and after is not None and after != mid:
            up = after > mid
            new_bid, new_ask = self.best(1), self.best(-1)
            placed = new_bid > bid if up else new_ask < ask  # type: ignore[operator]
            gone = new_ask > ask if up else new_bid < bid  # type: ignore[operator]
            cause = BY_TRADE if self.traded else BY_BOTH if placed and gone else PLACED if placed else CANCELLED
            self.moves.append((cell, 1 if up else -1, cause))

    def _trade(self, row: Any, now: int, cell: int, mid: int | None, mine: dict[tuple[int, int], Any]) -> None:
        self.traded = True
        price, size = int(row["price"]), int(row["size"])
        if self.last_price is not None and price != self.last_price:
            self.change = 1 if price > self.last_price else -1
        self.last_price = price
        side = int(row["side"]) if row["kind"] == Kind.TRADE else -int(row["side"])
        if side == 0:
            side = self.change if mid is None or 2 * price == mid else 1 if 2 * price > mid else -1
        if row["kind"] == Kind.TRADE and not self.ordered and side:
            waiting = self.pending.get(-side)
            if waiting is None or waiting[0] != price or now - waiting[2] > PENDING_NS:
                waiting = [price, 0, now]
            self.pending[-side] = [price, waiting[1] + size, now]
        if cell >= 0:
            self.volume += size
            one = mine.setdefault((side, price), {"cell": cell, "side": side, "price": price, "size": 0, "mid": mid})
            one["size"] += size

    def _by_limit_orders(self, side: int, price: int, amount: int, now: int) -> int:
        waiting = self.pending.get(side)
        if self.ordered or waiting is None or waiting[0] != price or now - waiting[2] > PENDING_NS:
            return amount
        used = min(amount, waiting[1])
        waiting[1] -= used
        self.traded = self.traded or used > 0
        return amount - used

    def _change(self, row: Any, now: int, cell: int, mid: int | None) -> None:
        kind, quiet = row["kind"], bool(row["flags"] & Flag.SNAPSHOT) or row["kind"] == Kind.REVEAL
        if kind == Kind.QUOTE:
            self._quote_side(1, int(row["price"]), int(row["size"]), now, cell, mid, quiet)
            self._quote_side(-1, int(row["price2"]), int(row["size2"]), now, cell, mid, quiet)
            return
        side, price, size = int(row["side"]), int(row["price"]), int(row["size"])
        best, old = self.best(side), self.book[side].get(price, 0)
        if kind in (Kind.DEPTH, Kind.REVEAL):
            new = size
            if new > old and not quiet and best is not None:
                self._out(cell, side, PLACED, price, best, new - old, mid)
            if new < old:
                left = self._by_limit_orders(side, price, old - new, now)
                if not quiet:
                    self._out(cell, side, CANCELLED, price, best, left, mid)
        elif kind == Kind.ADD:
            new = old + size
            if not quiet:
                self._out(cell, side, PLACED, price, best, size, mid)
        else:
            new = max(0, old - size)
            if kind != Kind.EXECUTE and not quiet:
                self._out(cell, side, CANCELLED, price, best, size, mid)
        self._set(side, price, new)

    def _quote_side(self, side: int, price: int, size: int, now: int, cell: int, mid: Any, quiet: bool) -> None:
        best = self.best(side)
        old = self.book[side].get(best, 0) if best is not None else 0
        self.book[side] = {price: size} if size > 0 else {}
        if best is None:
            return
        if size > 0 and price == best:
            if size > old and not quiet:
                self._out(cell, side, PLACED, price, best, size - old, mid)
            elif size < old:
                left = self._by_limit_orders(side, price, old - size, now)
                if not quiet:
                    self._out(cell, side, CANCELLED, price, best, left, mid)
        elif size > 0 and side * price > side * best:
            if not quiet:
                self._out(cell, side, PLACED, price, best, size, mid)
        else:
            left = self._by_limit_orders(side, best, old, now)
            if not quiet:
                self._out(cell, side, CANCELLED, best, best, left, mid)

    def _set(self, side: int, price: int, size: int) -> None:
        if size > 0:
            self.book[side][price] = size
        else:
            self.book[side].pop(price, None)

    def _out(self, cell: int, side: int, kind: int, price: int, best: int | None, size: int, mid: int | None) -> None:
        if cell >= 0 and size > 0:
            away = None if best is None else side * (best - price) // self.tick
            self.flow.append((cell, side if kind == PLACED else -side, kind, away, size, price, mid))  # type: ignore[arg-type]
