"""A venue in a few lines, with delays, halts, empty sides and refusals at random: what a strategy must survive.

It is no model of a market. It fills as it likes, within each order's terms, so that a law that holds here holds for
any venue; reports can be held back and scrambled, which no venue of ours does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from engine import events
from engine.instruments import Instrument
from engine.orders import TimeInForce
from engine.parent import Parent, ParentOrder
from engine.strategy import MILLISECOND, Strategy
from engine.tape import State

STEP = 100 * MILLISECOND


@dataclass
class Order:
    """An order at the venue, or on its way."""

    order_id: int
    symbol: str
    side: int
    size: int
    price: int | None
    post_only: bool
    tif: TimeInForce
    expire_ts: int
    sent: int
    leaves: int = 0


@dataclass
class ToyMarket:
    """Both the venue and the desk. Sizes that it shows are between 0 (an empty side) and ``depth``."""

    seed: int
    session: tuple[int, int]
    instrument_: Instrument
    depth: int = 500
    trouble: float = 0.1  # chance per step of a halt, an empty side, a refusal
    scrambles: bool = False
    moves: bool = True  # the touch walks at random

    now: int = 0
    sent: list[Order] = field(default_factory=list)
    fills: list[tuple[int, Order, int, int]] = field(default_factory=list)  # time, order, price, size
    parents: list[Parent] = field(default_factory=list)
    is_halted: bool = False

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._resting: list[Order] = []
        self._to_venue: list[tuple[int, str, Order]] = []
        self._to_strategy: list[tuple[int, events.OrderEvent]] = []
        self._open: dict[int, Order] = {}  # as far as reports have told
        self._position = 0
        self._volume = 0
        self._bid, self._spread = 100 * self.instrument_.tick, 1
        self._sizes = [self.depth, self.depth]

    # the desk

    def instrument(self, symbol: str) -> Instrument:
        return self.instrument_

    def quote(self, symbol: str) -> events.Quote:
        ask = self._bid + self._spread * self.instrument_.tick
        return events.Quote(self.now, symbol, self._bid, ask, *self._sizes)

    def book(self, symbol: str, n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        quote = self.quote(symbol)
        bids, asks = [(quote.bid, quote.bid_size)], [(quote.ask, quote.ask_size)]
        return [level for level in bids if level[1]], [level for level in asks if level[1]]

    def volume(self, symbol: str) -> int:
        return self._volume

    def position(self, symbol: str) -> int:
        return self._position

    def orders(self, symbol: str | None = None) -> list[Order]:
        return list(self._open.values())

    def parent(self, order: ParentOrder) -> Parent:
        self.parents.append(Parent(order))
        return self.parents[-1]

    def trade(self, symbol, side, *, shares, limit=None, post_only=False, tif=TimeInForce.DAY, expire_ts=0) -> int:
        order = Order(len(self.sent) + 1, symbol, side, shares, limit, post_only, tif, expire_ts, self.now, shares)
        self.sent.append(order)
        self._open[order.order_id] = order
        self._to_venue.append((self.now + self._random.randint(0, 3) * STEP, "new", order))
        return order.order_id

    def cancel(self, order_id: int) -> None:
        self._to_venue.append((self.now + self._random.randint(0, 3) * STEP, "cancel", self.sent[order_id - 1]))

    # the venue

    def run(self, strategy: Strategy, *, after_each_step=lambda: None) -> None:
        """From the session's open to a little after its close."""
        strategy.on_start(self)  # type: ignore[arg-type]
        self.go_on(strategy, after_each_step=after_each_step)

    def go_on(self, strategy: Strategy, *, until: int | None = None, after_each_step=lambda: None) -> None:
        """From now to ``until``."""
        self.now = max(self.now, self.session[0])
        until = self.session[1] + 20 * STEP if until is None else until
        while self.now < until:
            self.now += STEP
            self._move(strategy)
            self._arrive()
            self._match()
            self._report(strategy)
            if self.now % strategy.wake.every_ns == 0 and self.now < self.session[1]:
                strategy.on_timer(events.Timer(self.now), self)  # type: ignore[arg-type]
            after_each_step()

    def _move(self, strategy: Strategy) -> None:
        chance = self._random.random
        if self.moves:
            self._bid += self._random.choice((-1, 0, 0, 1)) * self.instrument_.tick
            self._spread = self._random.choice((1, 1, 2))
        self._sizes = [0 if chance() < self.trouble else self._random.randint(1, self.depth) for _ in range(2)]
        self._volume += self._random.randint(0, self.depth)
        if chance() < self.trouble / 10 or (self.is_halted and chance() < 0.3):
            self.is_halted = not self.is_halted
            state = State.HALT if self.is_halted else State.OPEN
            strategy.on_status(events.Status(self.now, "X", state, 0, 0, 0), self)  # type: ignore[arg-type]

    def _arrive(self) -> None:
        due = [message for message in self._to_venue if message[0] <= self.now]
        self._to_venue = [message for message in self._to_venue if message[0] > self.now]
        for _, what, order in due:
            if what == "cancel":
                self._cancel(order)
            elif self.is_halted or self._random.random() < self.trouble or self._would_take(order):
                order.leaves = 0
                self._tell(events.Rejected(self.now, order.order_id, order.symbol, "HALTED"))
            else:
                self._tell(events.Accepted(self.now, order.order_id, order.symbol))
                self._resting.append(order)
                if order.tif is TimeInForce.IOC:
                    self._take(order)
                    self._end(order, events.Expired, "IOC_REST")

    def _cancel(self, order: Order) -> None:
        if order in self._resting:
            self._end(order, events.Cancelled, "REQUESTED")
        else:
            self._tell(events.Rejected(self.now, order.order_id, order.symbol, "UNKNOWN_ORDER"))

    def _far(self, order: Order) -> tuple[int, int]:
        quote = self.quote(order.symbol)
        return (quote.ask, quote.ask_size) if order.side > 0 else (quote.bid, quote.bid_size)

    def _would_take(self, order: Order) -> bool:
        price, size = self._far(order)
        return order.post_only and size > 0 and order.price is not None and order.side * (order.price - price) >= 0

    def _take(self, order: Order) -> None:
        price, size = self._far(order)
        if order.price is None or order.side * (order.price - price) >= 0:
            self._fill(order, price, min(size, order.leaves), maker=False)

    def _match(self) -> None:
        for order in list(self._resting):
            if self.now >= order.expire_ts > 0:
                self._end(order, events.Expired, "TIME_OVER")
            elif not self.is_halted and order.price is not None and self._random.random() < 0.1:
                self._fill(order, order.price, self._random.randint(1, order.leaves), maker=True)

    def _fill(self, order: Order, price: int, size: int, *, maker: bool) -> None:
        if size == 0:
            return
        order.leaves -= size
        self.fills.append((self.now, order, price, size))
        self._tell(
            events.Filled(self.now, order.order_id, order.symbol, order.side, price, size, order.leaves, maker, 0)
        )
        if order.leaves == 0:
            self._resting.remove(order)

    def _end(self, order: Order, kind: type, reason: str) -> None:
        if order in self._resting:
            self._resting.remove(order)
            self._tell(kind(self.now, order.order_id, order.symbol, order.leaves, reason))

    def _tell(self, report: events.OrderEvent) -> None:
        self._to_strategy.append((self.now + self._random.randint(0, 3) * STEP, report))

    def _report(self, strategy: Strategy) -> None:
        due = [report for ts, report in self._to_strategy if ts <= self.now]
        if not self.scrambles:  # a report waits for those before it
            ready = next((k for k, (ts, _) in enumerate(self._to_strategy) if ts > self.now), len(self._to_strategy))
            due = [report for _, report in self._to_strategy[:ready]]
        self._to_strategy = [entry for entry in self._to_strategy if entry[1] not in due]
        for report in due:
            if isinstance(report, events.Filled):
                self._position += report.side * report.size
            is_over = not isinstance(report, events.Accepted) and getattr(report, "leaves", 0) == 0
            if is_over and getattr(report, "reason", "") != "UNKNOWN_ORDER":
                self._open.pop(report.order_id, None)
            if isinstance(report, events.Filled):
                strategy.on_fill(report, self)  # type: ignore[arg-type]
            else:
                strategy.on_order(report, self)  # type: ignore[arg-type]
