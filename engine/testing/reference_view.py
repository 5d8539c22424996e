"""What strategies know: a book fed at receive time, and each account's orders as its reports tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from engine import events
from engine.events import Event, Signal
from engine.instruments import Instrument
from engine.journal import RecordKind
from engine.strategy import Wake
from engine.tape import Kind
from engine.testing.reference_book import ASK, BID, Book, Change, Row
from engine.testing.reference_orders import Order, Report
from engine.testing.signal_twin import SignalTwin, Touch

Displaced = dict[int, int]  # by instrument: how far its book stands from the recorded one


@dataclass
class Measured:
    """A probe: whose it is, and what it measures with."""

    account: int
    instrument: int
    twin: SignalTwin
    forecast: Callable[[list[float]], list[float]] | None  # a model's


Probed = Sequence[Measured]


@dataclass
class Known:
    """One order as its account knows it."""

    instrument: int
    side: int
    price: int
    leaves: int


@dataclass
class AccountView:
    """One account's own knowledge, from the reports delivered to it."""

    cash: dict[str, int]
    position: dict[int, int] = field(default_factory=dict)
    orders: dict[int, Known] = field(default_factory=dict)  # not known to be ended
    last_mid: dict[int, int] = field(default_factory=dict)  # bid + ask at its last quote wake

    def sent(self, order: Order) -> None:
        self.orders[order.number] = Known(order.instrument, order.side, order.price, order.size)

    def hear(self, report: Report, instruments: list[Instrument]) -> None:
        """Take one report in."""
        if report.kind == RecordKind.REPLACE:
            known = self.orders[report.number]
            known.price, known.leaves = report.price, report.size
        elif report.kind == RecordKind.FILL:
            self.orders[report.number].leaves = report.leaves
            value = instruments[report.instrument].value(report.price, report.size)
            self._move(instruments, report.instrument, report.side * report.size, -report.side * value - report.fee)
        elif report.kind == RecordKind.ADJUST:
            self._move(instruments, report.instrument, report.size, -report.fee)
        if report.ends_order:
            del self.orders[report.number]

    def _move(self, instruments: list[Instrument], index: int, units: int, money: int) -> None:
        currency = instruments[index].currency
        self.position[index] = self.position.get(index, 0) + units
        self.cash[currency] = self.cash.get(currency, 0) + money


class SeenMarket:
    """The rows as strategies have received them, group by group, displaced as far as they can know."""

    def __init__(self, instruments: list[Instrument], probes: Probed = ()) -> None:
        self.instruments = instruments
        self.probes = probes
        self.measured: dict[int, Signal] = {}  # by place among ``probes``, the last one
        self.books = [Book(instrument.levels) for instrument in instruments]  # displaced
        self.displacement = [0] * len(instruments)
        self.volume = [0] * len(instruments)
        self.cause = (-1, 0)  # (sequence number, source) of the last row
        self.group: list[Row] = []
        self.before: dict[int, tuple[int, int, int, int]] = {}  # by instrument touched, in order of first touch
        self.changed: dict[int, tuple[int, int, int]] = {}  # last changed level: side, price as recorded, size

    def touch(self, index: int) -> tuple[int, int, int, int]:
        (bid, bid_size), (ask, ask_size) = self.books[index].best(BID), self.books[index].best(ASK)
        return bid, ask, bid_size, ask_size

    def session_starts(self) -> None:
        self.volume = [0] * len(self.instruments)

    def displace(self, index: int, to: int) -> None:
        """The book of an instrument stands ``to`` away from the recorded one."""
        self.books[index].move(to - self.displacement[index])
        self.displacement[index] = to

    def apply(self, row: Row, cause: tuple[int, int], displaced: Displaced) -> None:
        """Take one row in; ``displaced`` is where its group left the books that it touched."""
        index = row.instrument
        self.before.setdefault(index, self.touch(index))
        self.group.append(row)
        self.cause = cause
        if row.kind in (Kind.TRADE, Kind.EXECUTE):
            self.volume[index] += row.size
        for probe in self.probes:
            if probe.instrument == index:
                probe.twin.take(row)
        here = self.displacement[index]
        changes = [change for change in self.books[index].apply(row.displaced(here)) if change.in_view]
        if changes:
            self.changed[index] = _as_depth(row, changes[-1], here)
        for moved, to in displaced.items():
            self.displace(moved, to)

    def wakes(self, wakes: list[Wake], accounts: list[AccountView]) -> Iterator[tuple[int, Event]]:
        """(account, event) for the group that just ended, in order; starts the next group."""
        group, before, changed = self.group, self.before, self.changed
        self.group, self.before, self.changed = [], {}, {}
        ts = group[-1].ts_event
        fresh = {place: signal for index in before for place, signal in self._measure(ts, index)}
        self.measured |= fresh
        for row in group:
            symbol = self.instruments[row.instrument].symbol
            wish, event = _row_event(row.displaced(self.displacement[row.instrument]), symbol)
            for account, wake in enumerate(wakes):
                if event is not None and getattr(wake, wish) and _wants_symbol(wake, symbol):
                    yield account, event
        for index, touch_before in before.items():
            symbol = self.instruments[index].symbol
            for account, wake in enumerate(wakes):
                if index in changed and wake.on_depth and _wants_symbol(wake, symbol):
                    yield account, self._depth_event(ts, index, *changed[index])
            for account, wake in enumerate(wakes):
                if self.touch(index) == touch_before:
                    break
                if _wants_symbol(wake, symbol) and self._wants_quote(wake, accounts[account], index):
                    yield account, events.Quote(ts, symbol, *self.touch(index))
            for account, wake in enumerate(wakes):
                place = self.place(account, index)
                if place in fresh and _wants_symbol(wake, symbol) and _wants_signal(wake, fresh[place]):
                    yield account, fresh[place]

    def place(self, account: int, index: int) -> int:
        """Of the account's probe of an instrument among ``probes``; -1 without one."""
        for place, probe in enumerate(self.probes):
            if (probe.account, probe.instrument) == (account, index):
                return place
        return -1

    def _measure(self, ts: int, index: int) -> Iterator[tuple[int, Signal]]:
        """(place, signal) of the probes that have a sample of the group just ended."""
        symbol, touch = self.instruments[index].symbol, Touch(*self.touch(index))
        for place, probe in enumerate(self.probes):
            if probe.instrument != index:
                continue
            sample = probe.twin.group_ends(ts, touch, self.displacement[index])
            if sample is not None and sample.is_ready:
                chances = probe.forecast(sample.values) if probe.forecast else ()
                yield place, Signal.of(ts, symbol, sample.tick, sample.values, chances)

    def _depth_event(self, ts: int, index: int, side: int, price: int, size: int) -> Event:
        return events.Depth(
            ts, self.instruments[index].symbol, side, price + abs(side) * self.displacement[index], size
        )

    def _wants_quote(self, wake: Wake, account: AccountView, index: int) -> bool:
        if not wake.mid_moved_ticks:
            return wake.on_quote
        mid_sum, last = self.books[index].mid_sum, account.last_mid.get(index)
        if mid_sum is None:
            return False
        if last is not None and abs(mid_sum - last) < 2 * wake.mid_moved_ticks * self.instruments[index].tick:
            return False
        account.last_mid[index] = mid_sum
        return True


def _wants_symbol(wake: Wake, symbol: str) -> bool:
    return not wake.symbols or symbol in wake.symbols


def _wants_signal(wake: Wake, signal: Signal) -> bool:
    if wake.signal in ("", "any"):
        return wake.signal == "any"
    if not signal.probabilities:
        return False
    down, flat, up = signal.probabilities
    return {"down": down, "flat": flat, "up": up, "move": max(down, up)}[wake.signal] > wake.above


def _as_depth(row: Row, change: Change, displacement: int) -> tuple[int, int, int]:
    return (0, 0, 0) if row.kind == Kind.CLEAR else (change.side, change.price - displacement, change.new)


def _row_event(row: Row, symbol: str) -> tuple[str, Event | None]:
    if row.kind in (Kind.TRADE, Kind.EXECUTE):
        side = row.side if row.kind == Kind.TRADE else -row.side
        return "on_trade", events.Trade(row.ts_event, symbol, side, row.price, row.size, row.flags)
    if row.kind == Kind.BAR:
        return "on_bar", events.Bar(row.ts_event, symbol, row.order_id, row.price, row.price2, row.size2, row.size)
    if row.kind == Kind.CLOSE:
        return "on_close", events.Close(row.ts_event, symbol, row.order_id)
    if row.kind == Kind.STATUS:
        return "on_status", events.Status(row.ts_event, symbol, row.level, row.price, row.size, row.size2)
    return "", None


def order_event(report: Report, symbol: str) -> Event | None:
    """The event that a report shows its strategy; an adjustment shows none."""
    common = (report.ts, report.number, symbol)
    if report.kind in (RecordKind.ACCEPT, RecordKind.REPLACE):
        return events.Accepted(*common, replaced=report.kind == RecordKind.REPLACE)
    if report.kind == RecordKind.REJECT:
        return events.Rejected(*common, reason=report.reason.name)
    if report.kind == RecordKind.CANCEL:
        return events.Cancelled(*common, size=report.size, reason=report.reason.name)
    if report.kind == RecordKind.EXPIRE:
        return events.Expired(*common, size=report.size, reason=report.reason.name)
    if report.kind == RecordKind.FILL:
        return events.Filled(*common, report.side, report.price, report.size, report.leaves, report.maker, report.fee)
    return None
