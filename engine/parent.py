"""A parent order: what was asked for, and how far its child orders have come.

A strategy works a parent by sending children through its desk and telling the parent of each (``sent``) and of each
report on them (``observe``). The parent counts what is on its way or resting as open until a report says otherwise, so
``done + open`` never passes ``order.size``, in whatever order reports come.
"""

from __future__ import annotations

import msgspec

from engine import events
from engine.errors import StrategyError

PPM = 1_000_000


class ParentOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Buy (``side`` +1) or sell (-1) ``size`` between ``start`` and ``end``, at ``limit`` or better.

    Times are ns UTC, [start, end); ``limit`` is in price units, None for none. ``participation_ppm`` caps own volume
    (done and open) to that part of the market's volume since ``start``, ours excluded; 0 is no cap.
    """

    symbol: str
    side: int
    size: int
    start: int
    end: int
    limit: int | None = None
    participation_ppm: int = 0
    name: str = "parent"

    def __post_init__(self) -> None:
        if self.side not in (1, -1):
            raise StrategyError(f"{self.name}: side is {self.side}, but must be +1 (buy) or -1 (sell)")
        if self.size < 1:
            raise StrategyError(f"{self.name}: size is {self.size}, but must be at least 1")
        if self.end <= self.start:
            raise StrategyError(
                f"{self.name}: ends at {self.end}, not after its start at {self.start}; leave it time to trade"
            )
        if not 0 <= self.participation_ppm <= PPM:
            raise StrategyError(f"{self.name}: participation_ppm is {self.participation_ppm}, but must be 0 to {PPM}")

    def allows(self, price: int) -> bool:
        """Whether ``price`` is at the limit or better."""
        return self.limit is None or self.side * price <= self.side * self.limit


class Child(msgspec.Struct):
    """A child order as far as reports have told."""

    size: int
    price: int | None  # its limit, price units; None: a market order
    is_passive: bool
    unreported: int  # neither filled, nor cancelled, expired or refused
    is_accepted: bool = False
    is_cancelling: bool = False


class Parent(msgspec.Struct):
    """A parent order and its progress; plain data, so a snapshot of a strategy's state holds it.

    ``target`` is what the schedule wanted done when last looked at. ``arrival_price`` is the mid, in price units,
    of the first two-sided quote at or after the start; None before it. ``children`` lists every child's order id.
    """

    order: ParentOrder
    done: int = 0
    notional: int = 0  # sum of price * size of the fills
    target: int = 0
    arrival_price: float | None = None
    market_volume: int = 0  # since the start, ours excluded
    volume_seen: int | None = None  # the session's volume when last looked at
    working: dict[int, Child] = {}
    children: list[int] = []

    @property
    def open(self) -> int:
        """On its way, resting, or cancelled without a report yet: may still fill."""
        return sum(child.unreported for child in self.working.values())

    @property
    def remaining(self) -> int:
        """Neither done nor open."""
        return self.order.size - self.done - self.open

    @property
    def is_done(self) -> bool:
        """All of it traded."""
        return self.done == self.order.size

    @property
    def average_price(self) -> float | None:
        """Of the fills, in price units; None before the first."""
        return self.notional / self.done if self.done else None

    def room(self) -> int:
        """Largest child that neither over-fills the parent nor passes the participation cap, were all open to fill."""
        if not self.order.participation_ppm:
            return self.remaining
        cap = self.market_volume * self.order.participation_ppm // PPM
        return max(0, min(self.remaining, cap - self.done - self.open))

    def look(self, now: int, quote: events.Quote, session_volume: int) -> None:
        """Bring arrival price and market volume up to date; does nothing before the start."""
        if now < self.order.start:
            return
        if self.arrival_price is None and quote.is_two_sided:
            self.arrival_price = quote.mid
        if self.volume_seen is None:
            self.volume_seen = session_volume
        # a smaller count is a new session's, which started from 0
        new = session_volume - self.volume_seen if session_volume >= self.volume_seen else session_volume
        self.market_volume += new
        self.volume_seen = session_volume

    def sent(self, order_id: int, size: int, *, price: int | None, is_passive: bool) -> None:
        """A child went out. A later replace may change its price, never its size."""
        assert 0 < size <= self.remaining, (size, self.remaining)
        self.working[order_id] = Child(size, price, is_passive, size)
        self.children.append(order_id)

    def observe(self, event: events.Event) -> bool:
        """Take a report in; False if it is about somebody else's order (or a child already accounted for)."""
        if not isinstance(event, events.OrderEvent) or event.order_id not in self.working:
            return False
        child = self.working[event.order_id]
        match event:
            case events.Filled():
                self.done += event.size
                self.notional += event.price * event.size
                child.unreported -= event.size
            case events.Cancelled() | events.Expired():
                child.unreported -= event.size
            case events.Accepted():
                child.is_accepted = True
            case events.Rejected():
                # of a cancel or a replace: the child lives on, or another report has told or will tell its end
                if not child.is_accepted and event.reason != "UNKNOWN_ORDER":
                    child.unreported = 0
        assert child.unreported >= 0, (event, child)
        if child.unreported == 0:
            del self.working[event.order_id]
        return True
