"""Works a parent order along a schedule: join the touch, and cross the spread when behind.

At each look (a timer, or a cancel that came through):

1. before its start nothing is sent; from its end on nothing is, and what rests has expired at the venue;
2. behind the schedule by more than the tolerance: pull what rests, and once that is confirmed take what is displayed at
   the other side's best with an IOC order for what is missing;
3. otherwise rest at the own side's best, post-only, what is due by the end of the schedule's bin; move after the touch;
4. in the last ``finish_s`` seconds all of it is due: with ``completion = "cross"`` take what is displayed, as deep as
   needed and the limit price allows; with ``"leave"`` go on as before and leave what does not fill.

Neither the limit price nor the participation cap is ever given up for completion. A refused order, an IOC order that
found too little, a halt, a locked or one-sided book: nothing more is sent until the next timer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from engine import events
from engine.child_orders import cross, on_tick, pull, reach, send
from engine.orders import Reason, TimeInForce
from engine.parent import PPM, Parent, ParentOrder
from engine.schedule import Schedule
from engine.strategy import MILLISECOND, SECOND, Wake
from engine.tape import State

if TYPE_CHECKING:
    from engine.desk import Desk
    from engine.instruments import Instrument


FINISHING_LEVELS = 10  # how deep a completion looks at each look


class Instruction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A parent order as a config says it: times within the session, prices as quoted."""

    symbol: str
    side: Literal["buy", "sell"]
    shares: int  # size units
    start_after_open_s: int = 0
    end_before_close_s: int = 0
    limit: float | None = None  # quoted price, e.g. 585.5
    participation: float = 0.0  # cap: part of the market's volume since the start; 0 is none
    name: str = ""

    def parent_order(self, instrument: Instrument, session: tuple[int, int]) -> ParentOrder:
        """The same in ns UTC, price units and ppm, for a session [open, close)."""
        return ParentOrder(
            symbol=self.symbol,
            side=1 if self.side == "buy" else -1,
            size=self.shares,
            start=session[0] + self.start_after_open_s * SECOND,
            end=session[1] - self.end_before_close_s * SECOND,
            limit=None if self.limit is None else instrument.price(self.limit),
            participation_ppm=round(self.participation * PPM),
            name=self.name or f"{self.side} {self.shares} {self.symbol}",
        )


class Tactics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How closely a schedule is followed, and what happens at its end."""

    every_ms: int = 1_000  # between looks
    tolerance: float = 0.01  # part of the parent that it may be behind before it crosses
    completion: Literal["cross", "leave"] = "cross"
    finish_s: int = 60  # before the end, when completion begins


class Progress(msgspec.Struct):
    """What must survive a snapshot."""

    parents: list[Parent]
    halted: list[str] = []  # symbols that are not open for trading


class ScheduleWorker:
    """Works the orders of a strategy; the strategy passes on what reaches its handlers.

    Parameters
    ----------
    orders : Instructions, worked side by side in the session that is open, or opens next, at ``start``
    tactics : Tactics
    schedule : gives the Schedule of a ParentOrder for a session [open, close) and a lot
    """

    def __init__(
        self,
        orders: Sequence[Instruction],
        tactics: Tactics,
        schedule: Callable[[ParentOrder, tuple[int, int], int], Schedule],
    ) -> None:
        self.orders = orders
        self.tactics = tactics
        self.schedule = schedule
        self.progress = Progress([])

    @property
    def wake(self) -> Wake:
        """What the strategy must be woken for."""
        symbols = tuple(sorted({order.symbol for order in self.orders}))
        return Wake(every_ns=self.tactics.every_ms * MILLISECOND, on_status=True, symbols=symbols)

    def start(self, desk: Desk, restored: Progress | None = None) -> Progress:
        """Register the parents, or take a snapshot up where it was; the progress is the strategy's state."""
        session = desk.session
        orders = [told.parent_order(desk.instrument(told.symbol), session) for told in self.orders]
        self._schedules = [self.schedule(order, session, desk.instrument(order.symbol).lot) for order in orders]
        self.progress = restored or Progress([desk.parent(order) for order in orders])
        return self.progress

    def look(self, desk: Desk) -> None:
        """Look at each order that can trade."""
        for parent, schedule in zip(self.progress.parents, self._schedules, strict=True):
            if parent.order.symbol not in self.progress.halted:
                follow(parent, schedule, desk, self.tactics)

    def observe(self, event: events.OrderEvent, desk: Desk) -> None:
        """Take a report in; what a cancel freed goes back to work at once."""
        any(parent.observe(event) for parent in self.progress.parents)
        if isinstance(event, events.Cancelled) and event.reason == Reason.REQUESTED.name:
            self.look(desk)

    def status(self, status: events.Status, desk: Desk) -> None:
        """Pull what rests in an instrument that stops trading, and leave it alone until it is open again."""
        if status.state == State.BAND:
            return
        halted = set(self.progress.halted) - {status.symbol}
        if status.state != State.OPEN:
            halted.add(status.symbol)
            for parent in self.progress.parents:
                if parent.order.symbol == status.symbol:
                    pull(parent, desk)
        self.progress.halted = sorted(halted)


def follow(parent: Parent, schedule: Schedule, desk: Desk, tactics: Tactics) -> None:
    """Look once at ``parent`` and send at most one child order, or the cancels that must come before it."""
    order, now, quote = parent.order, desk.now, desk.quote(parent.order.symbol)
    parent.look(now, quote, desk.volume(order.symbol))
    if not order.start <= now < order.end or parent.is_done:
        return
    is_finishing = tactics.completion == "cross" and now >= order.end - tactics.finish_s * SECOND
    parent.target = order.size if is_finishing else schedule.target(now)
    taking = sum(child.unreported for child in parent.working.values() if not child.is_passive)
    behind = parent.target - parent.done - taking
    price = None
    if is_finishing or behind > tactics.tolerance * order.size:
        price = reach(order, behind, desk, levels=FINISHING_LEVELS if is_finishing else 1)
    if price is None:
        join(parent, order.size if is_finishing else schedule.due(now), desk, quote)
    else:
        cross(parent, behind, desk, limit=price)


def join(parent: Parent, due: int, desk: Desk, quote: events.Quote) -> None:
    """Let rest at the own side's best what brings done and open up to ``due``."""
    order = parent.order
    near, near_size, far, far_size = quote.bid, quote.bid_size, quote.ask, quote.ask_size
    if order.side < 0:
        near, near_size, far, far_size = far, far_size, near, near_size
    if near_size == 0 or (far_size > 0 and order.side * near >= order.side * far):
        return  # nothing to join, or a locked or crossed book
    price = near if order.allows(near) else order.limit
    assert price is not None
    price = on_tick(price, desk.instrument(order.symbol).tick, -order.side)
    if not pull(parent, desk, keep=price):
        size = min(due - parent.done - parent.open, parent.room())
        send(parent, size, desk, limit=price, tif=TimeInForce.GTD)
