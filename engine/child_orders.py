"""Child orders of a parent: where they may go, and the few ways to send and pull them.

What works parents through its desk does it with these, in a strategy, in a study or in an environment of learning; so
a placement is the same thing wherever it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.orders import TimeInForce
from engine.parent import Parent, ParentOrder

if TYPE_CHECKING:
    from engine.desk import Desk

WAIT, DEEPER, NEAR, AGGRESSIVE = LEVELS = range(4)  # a tick behind the own side's best, at it, across the spread


def place(parent: Parent, level: int, size: int, desk: Desk) -> bool:
    """Bring what is open into line with ``size`` on a level, pulling first what is in the way; whether that is done.

    A child that rests at the level's price keeps its place, and only what it lacks is sent. Nothing goes out while a
    cancel is on its way, where there is no such price, or where the limit forbids it: then ask again later.
    """
    price = level_prices(parent.order, desk).get(level)
    waits = pull(parent, desk, keep=price if level in (DEEPER, NEAR) else None)
    if waits or price is None or any(child.is_cancelling for child in parent.working.values()):
        return level == WAIT
    tif = TimeInForce.IOC if level == AGGRESSIVE else TimeInForce.GTD
    send(parent, min(size - resting(parent), parent.room()), desk, limit=price, tif=tif)
    return True


def level_prices(order: ParentOrder, desk: Desk) -> dict[int, int]:
    """The price of each level that there is and that the order's limit allows."""
    quote, tick = desk.quote(order.symbol), desk.instrument(order.symbol).tick
    near, near_size, far, far_size = quote.bid, quote.bid_size, quote.ask, quote.ask_size
    if order.side < 0:
        near, near_size, far, far_size = far, far_size, near, near_size
    found: dict[int, int | None] = {AGGRESSIVE: reach(order, 1, desk, levels=1)}
    if near_size and not (far_size and order.side * near >= order.side * far):  # nor in a locked or crossed book
        near = on_tick(near, tick, -order.side)
        found |= {NEAR: near, DEEPER: near - order.side * tick}
    return {level: price for level, price in found.items() if price is not None and order.allows(price)}


def taking(parent: Parent) -> int:
    """Of the parent, what is on its way to be taken."""
    return sum(child.unreported for child in parent.working.values() if not child.is_passive)


def resting(parent: Parent) -> int:
    """Of the parent, what rests or is on its way to."""
    return sum(child.unreported for child in parent.working.values() if child.is_passive)


def take(parent: Parent, size: int, desk: Desk, *, levels: int = 1) -> bool:
    """Take ``size`` of what is displayed within the limit, or pull what rests first; False: there is nothing."""
    price = reach(parent.order, size, desk, levels=levels) if size > 0 else None
    if price is not None:
        cross(parent, size, desk, limit=price)
    return price is not None


def reach(order: ParentOrder, size: int, desk: Desk, *, levels: int) -> int | None:
    """The price at which the other side's best ``levels`` give ``size`` (or all they have); None: nothing in the limit.

    No further away than it must be: an order at the parent's own limit could be outside the collar of the gates.
    """
    tick = desk.instrument(order.symbol).tick
    bids, asks = desk.book(order.symbol, levels)
    price = None
    for level, shown in asks if order.side > 0 else bids:
        if not order.allows(on_tick(level, tick, order.side)):
            break
        price = on_tick(level, tick, order.side)
        size -= shown
        if size <= 0:
            break
    return price


def cross(parent: Parent, size: int, desk: Desk, *, limit: int) -> None:
    """Take up to ``size`` of what is displayed at ``limit`` or better, once nothing of ours rests."""
    if not pull(parent, desk):
        send(parent, min(size, parent.room()), desk, limit=limit, tif=TimeInForce.IOC)


def pull(parent: Parent, desk: Desk, *, keep: int | None = None) -> bool:
    """Cancel what rests at another price than ``keep``; whether a cancel is on its way."""
    waiting = False
    for order_id, child in parent.working.items():
        if child.is_passive and child.price != keep:
            waiting = True
            if not child.is_cancelling:
                desk.cancel(order_id)
                child.is_cancelling = True
    return waiting


def send(parent: Parent, size: int, desk: Desk, *, limit: int, tif: TimeInForce) -> None:
    """Send the whole lots of ``size``, if any: GTD rests post-only until the parent's end, IOC takes."""
    order = parent.order
    size -= size % desk.instrument(order.symbol).lot
    if size <= 0:
        return
    rests = tif is TimeInForce.GTD
    expire_ts = order.end if rests else 0
    order_id = desk.trade(
        order.symbol, order.side, shares=size, limit=limit, post_only=rests, tif=tif, expire_ts=expire_ts
    )
    parent.sent(order_id, size, price=limit, is_passive=rests)


def on_tick(price: int, tick: int, direction: int) -> int:
    """``price`` rounded to a multiple of ``tick``, up for ``direction`` +1, down for -1."""
    return -(-price // tick) * tick if direction > 0 else price // tick * tick
