"""What can happen. Every fact that reaches a strategy is one of these structs.

Times (``ts_*``) are int nanoseconds since 1970-01-01 UTC: ``ts_event`` is when it became true at the venue.
Prices are integers in the instrument's price unit, sizes integers in its size unit, money integers in
micro-units of currency; ``Instrument`` turns them into what people say. ``side`` is +1 (buy, bid) or -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack

import msgspec

from engine.signals import CLASSES, NAMES

_VALUES, _CHANCES = Struct(f"<{len(NAMES)}d"), Struct(f"<{len(CLASSES)}d")


class Event(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A fact, with the time it became true."""

    ts_event: int


class Started(Event, frozen=True, tag=True, gc=False):
    """The run begins; the first rows have not been seen yet."""


class Idle(Event, frozen=True, tag=True, gc=False):
    """The feed has nothing yet; no strategy is told, only who drives the loop."""


class Quote(Event, frozen=True, tag=True, gc=False):
    """The best bid and ask after a group of rows; a side with size 0 is empty and its price means nothing."""

    symbol: str
    bid: int
    ask: int
    bid_size: int
    ask_size: int

    @property
    def is_two_sided(self) -> bool:
        """Both sides are there and not crossed (locked counts as there)."""
        return self.bid_size > 0 and self.ask_size > 0 and self.bid <= self.ask

    @property
    def mid(self) -> float:
        """Half-way between bid and ask, in price units."""
        return (self.bid + self.ask) / 2


class Trade(Event, frozen=True, tag=True, gc=False):
    """The market traded; ``side`` is the aggressor's (0 unknown)."""

    symbol: str
    side: int
    price: int
    size: int
    flags: int


class Depth(Event, frozen=True, tag=True, gc=False):
    """A level of the book changed to ``size``; the last one of its group of rows."""

    symbol: str
    side: int
    price: int
    size: int


class Bar(Event, frozen=True, tag=True, gc=False):
    """A bar ended at ``ts_event``."""

    symbol: str
    open: int
    high: int
    low: int
    close: int
    volume: int


class Close(Event, frozen=True, tag=True, gc=False):
    """A business day closed; ``panel_day`` is its index into the tape's panels."""

    symbol: str
    panel_day: int


class Status(Event, frozen=True, tag=True, gc=False):
    """The trading state of an instrument changed (``engine.tape.State``)."""

    symbol: str
    state: int
    price: int
    volume: int
    imbalance: int


class Signal(Event, frozen=True, tag=True, gc=False):
    """What a probe measured after a group of rows; ``ts_event`` is when at the venue (``engine.signals``)."""

    symbol: str
    tick: int  # of the probe's clock, in its session
    numbers: bytes  # float64, little-endian: the values and, with a model, three probabilities; so they travel exactly

    @classmethod
    def of(
        cls, ts: int, symbol: str, tick: int, values: Sequence[float], probabilities: Sequence[float] = ()
    ) -> Signal:
        """From numbers."""
        return cls(ts, symbol, tick, pack(f"<{len(values) + len(probabilities)}d", *values, *probabilities))

    @property
    def values(self) -> tuple[float, ...]:
        """The signals, in the order of ``engine.signals.NAMES``."""
        return _VALUES.unpack_from(self.numbers)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """That the mid moves down, stays, moves up; empty without a model."""
        return _CHANCES.unpack_from(self.numbers, _VALUES.size) if len(self.numbers) > _VALUES.size else ()

    def value(self, name: str) -> float:
        """One signal by its name."""
        return self.values[NAMES.index(name)]

    def age(self, now: int) -> int:
        """ns since it was true at the venue, by the strategy's clock ``now``."""
        return now - self.ts_event

    def check(self) -> None:
        """Raise ValueError if it holds another count of numbers than a probe measures."""
        if len(self.numbers) not in (_VALUES.size, _VALUES.size + _CHANCES.size):
            raise ValueError(f"a signal of {len(self.numbers)} bytes")


class Timer(Event, frozen=True, tag=True, gc=False):
    """A time that the strategy asked for (``Wake.every_ns`` or ``desk.wake_at``) has come."""


class OrderEvent(Event, frozen=True, tag=True, gc=False):
    """Something happened to one of our orders."""

    order_id: int
    symbol: str


class Accepted(OrderEvent, frozen=True, tag=True, gc=False):
    """The venue holds the order, or has replaced it (``replaced``)."""

    replaced: bool = False


class Rejected(OrderEvent, frozen=True, tag=True, gc=False):
    """The order, cancel or replace was refused; ``reason`` is a name of ``engine.orders.Reason``."""

    reason: str


class Cancelled(OrderEvent, frozen=True, tag=True, gc=False):
    """The order is gone with ``size`` unfilled: we asked, or ``reason`` says who did."""

    size: int
    reason: str


class Expired(OrderEvent, frozen=True, tag=True, gc=False):
    """The order's time in force ended with ``size`` unfilled."""

    size: int
    reason: str


class Filled(OrderEvent, frozen=True, tag=True, gc=False):
    """Part of one of our orders traded. ``fee`` is money paid (negative: a rebate earned)."""

    side: int
    price: int
    size: int
    leaves: int  # still open after this fill
    maker: bool
    fee: int


AnyEvent = (
    Started | Quote | Trade | Depth | Bar | Close | Status | Signal | Timer
    | Accepted | Rejected | Cancelled | Expired | Filled
)  # fmt: skip
