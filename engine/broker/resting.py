"""Our orders in the queue: places, what trades with them, what moves them (docs/simulation.md, sections 5 and 12)."""

from __future__ import annotations

import numpy as np

from engine.broker.book import index, is_observed, level_size, next_level
from engine.broker.fills import add_taken, fill, is_tradable, shrink_taken, taken_at, within_band
from engine.broker.kernel import kernel
from engine.broker.orders import join_level, leave_level
from engine.broker.philox import QUEUE, draw, uniform
from engine.broker.state import RESTING, UNKNOWN, books_of, orders_of, sides_of


@kernel
def size_ahead(w, k):
    """What an order that joins its price level now stands behind."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    price = within_band(b, o.side, o.work) - b.shift
    if not is_observed(w, o.book, o.side, price):
        return UNKNOWN
    return level_size(w, o.book, o.side, price)


@kernel
def place(w, k):
    """A new place in the queue at the order's working price, at the end."""
    leave_level(w, k)
    o = orders_of(w)[k]
    o.shown = min(o.display, o.leaves)
    o.ahead = size_ahead(w, k)
    o.traded, o.held = 0, 0
    w.stamp += 1
    o.stamp = w.stamp
    o.state = RESTING
    join_level(w, k)


@kernel
def showing(o):
    """What of an order can fill at its present place."""
    return o.shown if o.display > 0 else o.leaves


@kernel
def refresh(w, k):
    """An iceberg whose shown part has filled shows the next, at the end of the queue."""
    o = orders_of(w)[k]
    if o.display > 0 and o.shown == 0 and o.leaves > 0:
        place(w, k)
        o.row_done = w.row_count


@kernel
def match_trade(w, book, ts, price, size, aggressor, hidden, counts):
    """A trade of the market, against our resting orders on the passive side (section 5)."""
    orders = orders_of(w)
    b = books_of(w)[book]
    k = sides_of(w)[2 * book + index(-aggressor)].own_head
    left, used = size, 0
    tradable = counts and is_tradable(w, book)
    while k >= 0:
        o = orders[k]
        following = o.next_level
        ours = within_band(b, o.side, o.work)
        better = (ours - b.shift - price) * o.side
        if better < 0 or (better == 0 and hidden):
            return
        if o.row_done != w.row_count:
            if better > 0:
                size_filled = min(showing(o), left) if tradable else 0
                left -= size_filled
            else:
                if counts:
                    o.traded += size
                size_filled = min(showing(o), max(0, left - o.ahead - used)) if tradable else 0
                if tradable and o.ahead < UNKNOWN:
                    o.ahead = max(0, o.ahead - left)
                used += size_filled
            if size_filled > 0:
                fill(w, k, ts, ours, size_filled, 1)
                refresh(w, k)
        k = following


@kernel
def level_changed(w, book, side, price, old, new, stamp, in_view):
    """A level went from ``old`` to ``new`` other than by its own execution; what it means for our places.

    ``stamp`` is when the market order that left was placed (0: not known, or not about one order); ``in_view``
    whether the level was or is among the observed ones.
    """
    b = books_of(w)[book]
    if new < old and b.n_takes > 0:
        shrink_taken(w, book, side, price, old - new)
    if b.n_own == 0:
        return
    orders = orders_of(w)
    k = sides_of(w)[2 * book + index(side)].own_head
    while k >= 0:
        o = orders[k]
        better = (within_band(b, side, o.work) - b.shift - price) * side
        if better < 0:
            return
        if better == 0:
            if new < old and in_view and o.ahead > 0:
                if o.ahead < UNKNOWN and w.queue_model == 1:
                    _cancel_share(w, o, old - new - min(old - new, o.traded), old)
                elif o.ahead < UNKNOWN and w.queue_model == 2 and 0 < stamp < o.stamp:
                    o.ahead = max(0, o.ahead - (old - new))
                o.ahead = min(o.ahead, new)
            o.traded = 0
        k = o.next_level


@kernel
def _cancel_share(w, o, cancelled, old):
    """The part of a cancelled size that stood ahead of us, by chance."""
    if cancelled <= 0:
        return
    ahead, behind = 1.0, 1.0
    for _ in range(w.queue_exponent):
        ahead *= o.ahead
        behind *= max(0, old - o.ahead)
    bits = draw(w.seed, QUEUE, o.account, o.order_no, o.queue_draws)
    o.queue_draws += 1
    part = int(np.floor(cancelled * (ahead / (ahead + behind)) + uniform(bits)))
    o.ahead = max(0, o.ahead - part)


@kernel
def is_reached(b, other, side, ours):
    """Whether the other side displays something at or through a price of ours."""
    return other.size > 0 and (ours - b.shift - other.best) * side >= 0


@kernel
def cross_resting(w, book, ts):
    """The other side came to or through our prices: it trades with us, at our price."""
    b = books_of(w)[book]
    orders = orders_of(w)
    for i in range(2):
        side = 1 - 2 * i
        other = sides_of(w)[2 * book + 1 - i]
        k = sides_of(w)[2 * book + i].own_head
        while k >= 0:
            o = orders[k]
            following = o.next_level
            ours = within_band(b, side, o.work)
            reached = is_reached(b, other, side, ours)
            if o.held and not (reached and (o.held_at - other.best) * side <= 0):
                o.held = 0
            if not reached and b.moves == 0:
                break
            if reached and o.held == 0 and o.row_done != w.row_count:
                price, level, size, most = other.best, 1, 0, showing(o)
                while (ours - b.shift - price) * side >= 0:
                    free = level_size(w, book, -side, price) - taken_at(w, book, -side, price)
                    if free > 0:
                        part = min(free, most - size)
                        add_taken(w, book, -side, price, part)
                        size += part
                    if size == most or level == b.levels:
                        break
                    found, price = next_level(w, book, -side, price)
                    if not found:
                        break
                    level += 1
                if size > 0:
                    fill(w, k, ts, ours, size, 1)
                    refresh(w, k)
            k = following


@kernel
def clamp_queue(w, book):
    """After a group: nobody stands behind more than what is displayed where that is observed."""
    b = books_of(w)[book]
    orders = orders_of(w)
    for i in range(2):
        side = 1 - 2 * i
        here = sides_of(w)[2 * book + i]
        k = here.own_head if here.size > 0 else -1
        while k >= 0:
            o = orders[k]
            if o.ahead > 0:
                price = within_band(b, side, o.work) - b.shift
                if is_observed(w, book, side, price):
                    o.ahead = min(o.ahead, level_size(w, book, side, price))
            k = o.next_level


@kernel
def move_market(w, book, shift):
    """The recorded market stands elsewhere now; our orders keep their prices, and a shift alone fills none of them."""
    b = books_of(w)[book]
    orders = orders_of(w)
    before = b.shift
    for i in range(2):
        side = 1 - 2 * i
        other = sides_of(w)[2 * book + 1 - i]
        k = sides_of(w)[2 * book + i].own_head
        while k >= 0:
            o = orders[k]
            b.shift = before
            reached = is_reached(b, other, side, within_band(b, side, o.work))
            b.shift = shift
            if not reached and is_reached(b, other, side, within_band(b, side, o.work)):
                o.held, o.held_at = 1, other.best
            o.ahead = max(o.ahead, size_ahead(w, k))
            o.traded = 0
            k = o.next_level
    b.shift = shift
