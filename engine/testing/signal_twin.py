"""Signals once more, in plain Python: every tick keeps what came with it, and a window is summed anew each time.

Written from ``engine.signals`` and the kernels' rules; see ``engine.broker.signal_kernels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

from engine.signals import LONGEST
from engine.tape import Flag, Kind, Tape
from engine.testing.reference_book import ASK, BID, Book, Row

FLOWS = ("ofi", "depth", "changes", "limit_bid", "limit_ask", "cancel_bid", "cancel_ask")


class Touch(NamedTuple):
    """As strategies see it."""

    bid: int
    ask: int
    bid_size: int
    ask_size: int

    @property
    def is_valid(self) -> bool:
        return self.bid_size > 0 and self.ask_size > 0 and self.bid <= self.ask


@dataclass
class Tick:
    """What came with one tick: what had happened since the one before."""

    trades: list[tuple[int, int]] = field(default_factory=list)  # sign, and its product with the sign before
    flows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FLOWS, 0))
    mid2: int = 0
    ts: int = 0


class Sample(NamedTuple):
    """The signals after one group."""

    ts: int
    tick: int
    mid2: int
    spread: int
    values: list[float]
    is_ready: bool


class SignalTwin:
    """One instrument's signals.

    Parameters
    ----------
    price_tick : int
        Price units.
    sessions : sequence of (open, close)
    clock : str
        "trade" or "quote".
    """

    def __init__(self, price_tick: int, sessions: Sequence[tuple[int, int]], clock: str = "trade") -> None:
        self.price_tick, self.sessions, self.clock = price_tick, list(sessions), clock
        self.session: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self.ticks: list[Tick] = []  # whose groups have ended
        self.pending: list[Tick] = []  # of the group that is going on
        self.since = Tick()  # flow that no tick has taken yet
        self.touch = Touch(0, 0, 0, 0)  # the last valid one
        self.is_quoted = False  # whether there is one since the book was last cleared
        self.shift = 0
        self.is_valid = False
        self.taken = {BID: 0, ASK: 0}
        self.last_trade = (0, 0, 0)  # time, side, price
        self.n_trades = self.last_change = 0

    def _is_in_session(self, ts: int) -> bool:
        here = next(((start, end) for start, end in self.sessions if ts < end), None)
        if here != self.session:
            self.session = here
            self._forget()
        return here is not None and ts >= here[0]

    def take(self, row: Row) -> None:
        """A row of the instrument, prices as recorded."""
        if row.kind not in (Kind.TRADE, Kind.EXECUTE, Kind.CLEAR) or not self._is_in_session(row.ts_event):
            return
        if row.kind == Kind.CLEAR:
            self.is_quoted, self.is_valid, self.taken = False, False, {BID: 0, ASK: 0}
        elif not row.flags & Flag.AUCTION:
            side = row.side if row.kind == Kind.TRADE else -row.side
            self._trade(row.ts_event, side, row.price, row.size, not row.flags & (Flag.HIDDEN | Flag.OUTSIDE))

    def _trade(self, ts: int, side: int, price: int, size: int, is_on_book: bool) -> None:
        before = self.last_trade[2]
        if before and price != before:
            self.last_change = 1 if price > before else -1
        if not self.is_quoted:
            self.last_trade = (*self.last_trade[:2], price)
            return
        bid, ask = self.touch.bid - self.shift, self.touch.ask - self.shift
        if side == 0:
            above = 2 * price - bid - ask
            side = (above > 0) - (above < 0) if self.is_valid and above else self.last_change
        if is_on_book and side < 0 and price <= bid:
            self.taken[BID] += size
        if is_on_book and side > 0 and price >= ask:
            self.taken[ASK] += size
        if self.n_trades and (ts, side, price) == self.last_trade:
            return
        trade = (side, side * self.last_trade[1])
        self.last_trade = (ts, side, price)
        self.n_trades += 1
        if self.clock == "trade":
            self.pending.append(Tick(trades=[trade]))
        else:
            self.since.trades.append(trade)

    def group_ends(self, ts: int, touch: Touch, shift: int = 0) -> Sample | None:
        """The touch, displaced by ``shift``, after a group of the instrument; a sample if a tick was in the group."""
        if not self._is_in_session(ts):
            return None
        self.is_valid = touch.is_valid
        if touch.is_valid:
            self.shift = shift
            if touch != self.touch or not self.is_quoted:
                if self.is_quoted:
                    self._flow(self.touch, touch)
                self.touch, self.is_quoted = touch, True
                self.since.flows["depth"] += touch.bid_size + touch.ask_size
                self.since.flows["changes"] += 1
                if self.clock == "quote":
                    self.pending.append(Tick(trades=self.since.trades))
                    self.since.trades = []
        if not self.pending:
            return None
        self.pending[0].flows, self.since.flows = self.since.flows, Tick().flows
        for tick in self.pending:
            tick.mid2, tick.ts = self.touch.bid + self.touch.ask, ts
        self.ticks += self.pending
        self.pending = []
        is_ready = self.is_valid and len(self.ticks) > LONGEST
        values = self._values() if is_ready else [0.0] * 18
        mid2, spread = self.touch.bid + self.touch.ask, self.touch.ask - self.touch.bid
        return Sample(ts, len(self.ticks), mid2, spread, values, is_ready)

    def _flow(self, old: Touch, new: Touch) -> None:
        flows = self.since.flows
        flows["ofi"] += (new.bid >= old.bid) * new.bid_size - (new.bid <= old.bid) * old.bid_size
        flows["ofi"] += (new.ask >= old.ask) * old.ask_size - (new.ask <= old.ask) * new.ask_size
        for side, name in ((BID, "bid"), (ASK, "ask")):
            bettered = side * (getattr(new, name) - getattr(old, name))
            size, was = getattr(new, f"{name}_size"), getattr(old, f"{name}_size")
            if bettered > 0:
                flows[f"limit_{name}"] += size
            else:
                left = was if bettered < 0 else was - size
                taken = max(0, min(left, self.taken[side]))
                flows[f"limit_{name}"] += max(0, -left)
                flows[f"cancel_{name}"] += max(0, left) - taken
                self.taken[side] -= taken
            if bettered:
                self.taken[side] = 0

    def _values(self) -> list[float]:
        bid, ask, bid_size, ask_size = self.touch
        tick = self.price_tick
        imbalance = (bid_size - ask_size) / (bid_size + ask_size)
        squares = sum((b.mid2 - a.mid2) ** 2 for a, b in zip(self.ticks[-101:-1], self.ticks[-100:], strict=True))
        passed = max(self.ticks[-1].ts - self.ticks[-51].ts, 1_000_000)
        return [
            *(self._sum("ofi", n) / self._depth(n) for n in (10, 50, 100)),
            imbalance,
            (ask - bid) / tick,
            imbalance * ((ask - bid) / (2 * tick)),
            *(self._mean(0, n) for n in (20, 100)),
            self._mean(1, 100),
            *((self.ticks[-1].mid2 - self.ticks[-1 - n].mid2) / (2 * tick) for n in (10, 50, 200)),
            sqrt(squares / 100) / (2 * tick),
            self._difference("cancel", 50),
            self._difference("limit", 50),
            bid_size / self._depth(100),
            ask_size / self._depth(100),
            50.0 / (passed / 1_000_000_000),
        ]

    def _sum(self, name: str, window: int) -> int:
        return sum(tick.flows[name] for tick in self.ticks[-window:])

    def _depth(self, window: int) -> float:
        changes = self._sum("changes", window)
        if changes == 0:
            return (self.touch.bid_size + self.touch.ask_size) / 2
        return self._sum("depth", window) / (2 * changes)

    def _mean(self, which: int, window: int) -> float:
        numbers = [trade[which] for tick in self.ticks[-window:] for trade in tick.trades]
        return sum(numbers) / len(numbers) if numbers else 0.0

    def _difference(self, name: str, window: int) -> float:
        bid, ask = self._sum(f"{name}_bid", window), self._sum(f"{name}_ask", window)
        return (bid - ask) / (bid + ask) if bid + ask else 0.0


def samples(tape: Tape, symbol: str, *, clock: str = "trade") -> list[tuple[int, Sample]]:
    """(row, sample) as ``engine.learning.features.samples`` has them."""
    number = next(i for i, one in enumerate(tape.instruments) if one.symbol == symbol)
    instrument = tape.instruments[number]
    twin = SignalTwin(instrument.tick, tape.sessions, clock)
    book, found, is_touched = Book(instrument.levels), [], False
    for at, values in enumerate(tape.rows.tolist()):
        row = Row(*values)
        if row.kind == Kind.CLOCK:
            continue
        if row.instrument == number:
            is_touched = True
            book.apply(row)
            twin.take(row)
        if row.flags & Flag.LAST and is_touched:
            is_touched = False
            (bid, bid_size), (ask, ask_size) = book.best(BID), book.best(ASK)
            sample = twin.group_ends(row.ts_event, Touch(bid, ask, bid_size, ask_size))
            if sample is not None:
                found.append((at, sample))
    return found
