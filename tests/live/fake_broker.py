"""The broker's side of order entry as docs/protocol.md tells it, with a venue that fills at one price.

Pure, so that a test can lose frames between the two sides.
"""

from __future__ import annotations

from collections import defaultdict

from engine import events
from engine.live import messages as m
from engine.live.role import Frame, Input, Output, Send

SYMBOLS = ["XYZ", "ABC"]


class FakeBroker:
    """One account, "desk"; what it was told and has told is its journal, which a restart keeps."""

    def __init__(self) -> None:
        self.attached: set[bytes] = set()
        self.answered: dict[str, tuple[bytes, m.Received]] = {}  # by cid: the requests, the answer
        self.reports: list[m.Report] = []
        self.open: dict[int, tuple[str, int, int]] = {}  # order number -> symbol, side, open size
        self.positions: defaultdict[str, int] = defaultdict(int)
        self.numbers = 0
        self.market_time = 0
        self.price = 100  # a buy limit at or above it fills, a sell limit at or below it
        self.beats = 0

    def restart(self) -> None:
        """What is not in the journal is gone."""
        self.attached.clear()

    def take(self, peer: bytes, frame: bytes) -> list[bytes]:
        """Frames for the peer that sent this one."""
        try:
            message = m.broker_request(frame)
        except m.BadMessage as error:
            return [m.encode(m.Reject(error.reason, str(error)))]
        if isinstance(message, m.Hello):
            return self._hello(peer, message)
        if peer not in self.attached:
            cid = message.cid if isinstance(message, m.Orders) else ""
            return [m.encode(m.Reject("NOT_ATTACHED", "say Hello first", cid=cid))]
        told = len(self.reports)
        match message:
            case m.Orders():
                return [m.encode(self._orders(message)), *map(m.encode, self.reports[told:])]
            case m.Beat():
                self.beats += 1
                return [m.encode(m.Beat(len(self.reports) - 1, 0))]
            case m.Goodbye():
                self._cancel(list(self.open))
                self.attached.discard(peer)
        return []

    def _hello(self, peer: bytes, hello: m.Hello) -> list[bytes]:
        if why := m.disagreement(hello.protocol, hello.schema, strict=True):
            return [m.encode(m.Reject("PROTOCOL", why))]
        if hello.account != "desk":
            return [m.encode(m.Reject("NOT_YOURS", f"there is no account {hello.account}"))]
        self.attached.add(peer)
        welcome = m.Welcome(m.PROTOCOL, "fake", 0, 0, len(self.reports), False)
        return [m.encode(welcome), *map(m.encode, self.reports[hello.heard :])]

    def _orders(self, orders: m.Orders) -> m.Received | m.Reject:
        same = m.encode(orders.requests)
        if orders.cid in self.answered:
            before, answer = self.answered[orders.cid]
            if before != same:
                return m.Reject("DUP_ID_CONFLICT", f"{orders.cid} was another request", cid=orders.cid)
            return m.Received(-1, orders.cid, answer.first_order, True, False)
        if 0 < orders.expire_ts < self.market_time:
            return m.Reject("EXPIRED", "expired before it came", cid=orders.cid)
        first = self.numbers + 1 if any(isinstance(one, m.Order) for one in orders.requests) else 0
        answer = m.Received(-1, orders.cid, first, False, False)
        self.answered[orders.cid] = same, answer
        for request in orders.requests:
            self._apply(request)
        return answer

    def _apply(self, request: m.Request) -> None:
        match request:
            case m.Order():
                self._new(request)
            case m.Cancel(order_no=number):
                self._cancel([number])
            case m.CancelAll(instrument=i):
                self._cancel([n for n, (symbol, _, _) in self.open.items() if i < 0 or symbol == SYMBOLS[i]])
            case m.Replace(order_no=number, price=price, size=size) if number in self.open:
                symbol, side, _ = self.open[number]
                self.open[number] = symbol, side, size
                self._report(events.Accepted(self.market_time, number, symbol, True))
                self._match(number, price)

    def _new(self, order: m.Order) -> None:
        self.numbers += 1
        symbol = SYMBOLS[order.instrument]
        if order.size <= 0:
            self._report(events.Rejected(self.market_time, self.numbers, symbol, "BAD_SIZE"))
            return
        self._report(events.Accepted(self.market_time, self.numbers, symbol))
        self.open[self.numbers] = symbol, order.side, order.size
        self._match(self.numbers, order.price)

    def _match(self, number: int, price: int) -> None:
        symbol, side, size = self.open[number]
        if price == 0 or side * price >= side * self.price:
            del self.open[number]
            self.positions[symbol] += side * size
            self._report(events.Filled(self.market_time, number, symbol, side, self.price, size, 0, False, 0))

    def _cancel(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.open:
                symbol, _, size = self.open.pop(number)
                self._report(events.Cancelled(self.market_time, number, symbol, size, "REQUESTED"))
            else:
                self._report(events.Rejected(self.market_time, number, SYMBOLS[0], "UNKNOWN_ORDER"))

    def _report(self, event: events.OrderEvent) -> None:
        number = len(self.reports) + 1
        position = self.positions[event.symbol]
        self.reports.append(m.Report(number, self.market_time, event, position, 0))  # type: ignore[arg-type]


class FakeRole:
    """The fake behind a socket, as the shell of a role runs it."""

    next_tick = 2**62

    def __init__(self) -> None:
        self.broker = FakeBroker()

    def advance(self, now: int, input: Input) -> list[Output]:
        if not isinstance(input, Frame) or input.link != "orders":
            return []
        return [Send("orders", input.peer, answer) for answer in self.broker.take(input.peer, input.data)]
