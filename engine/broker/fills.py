"""What an order gets when it trades: what levels still offer, what a fill books (docs/simulation.md, section 4).

Prices of our orders are what we see; the book's are the market's. They differ by ``shift``, the displacement
that our own trading causes (section 12): seen = market + shift.
"""

from __future__ import annotations

from engine.broker.book import index, is_crossed, level_size, next_level
from engine.broker.costs import fee_of, half_even, value_of
from engine.broker.footprint import COST, NONE, note_own_fill
from engine.broker.kernel import kernel
from engine.broker.orders import MARKET, R_FILL, close_order
from engine.broker.records import queue_report, record_order
from engine.broker.state import (
    FILL_RING,
    NEVER,
    REPEAT_RING,
    accounts_of,
    books_of,
    ledger_of,
    orders_of,
    rings_of,
    sides_of,
    takes_of,
)
from engine.tape import State

OPEN = int(State.OPEN)


@kernel
def fill(w, k, ts, price, size, maker):
    """Part of an order trades at ``price`` (as we see it)."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    value = value_of(b, price, size)
    fee = fee_of(w, value, size, maker)
    if w.impact != NONE:
        if w.impact == COST:
            fee += o.side * value_of(b, b.charge, size)
        fee += note_own_fill(w, o, b, price, size, maker)
    if o.side > 0:
        entry.open_buy -= size
    else:
        entry.open_sell -= size
    post_fill(entry, o.side, size, value, fee)
    o.leaves -= size
    if o.display > 0:  # taking is not done by the part that is shown
        o.shown = o.shown - size if maker else min(o.shown, o.leaves)
    o.fills += 1
    a = accounts_of(w)[o.account]
    rings_of(w)[o.account * (FILL_RING + 2 * REPEAT_RING) + a.fill_at] = ts
    a.fill_at = (a.fill_at + 1) % FILL_RING
    a.n_fills += 1
    r = record_order(w, R_FILL, ts, k, price, size, 0)
    r.extra = fee
    r.flags = maker
    r.side = o.side
    r.number = o.fills
    if o.leaves == 0:
        close_order(w, k)
    report = queue_report(w, R_FILL, ts, k, o.account, o.order_no, o.book, size, 0, 0)
    report.side = o.side
    report.price = price
    report.leaves = o.leaves
    report.fee = fee
    report.cash = -(o.side * value + fee)
    report.maker = maker


@kernel
def post_fill(entry, side, size, value, fee):
    """Book a fill: cash, position, and cost at average with the remainder kept (section 10)."""
    before = entry.position
    signed = side * size
    entry.position = before + signed
    entry.cash -= side * value + fee
    entry.fees += fee
    entry.volume_session += size
    entry.n_fills += 1
    if before == 0 or (before > 0) == (side > 0):
        entry.cost += side * value
        return
    closed = min(size, abs(before))
    out_value = value if closed == size else half_even(value * closed, size)
    out_cost = entry.cost if closed == abs(before) else half_even(entry.cost * closed, abs(before))
    entry.realised += -side * out_value - out_cost
    entry.cost -= out_cost
    if closed < size:  # the position turned: the rest opens the new one
        entry.cost += side * (value - out_value)


# --- what a level still offers --------------------------------------------------------------------------------


@kernel
def taken_at(w, book, side, price):
    """What we took from a displayed level and it has not replaced."""
    if books_of(w)[book].n_takes == 0:
        return 0
    takes = takes_of(w)
    for t in range(w.n_takes):
        if takes[t].book == book and takes[t].price == price and takes[t].side == side:
            return takes[t].size
    return 0


@kernel
def add_taken(w, book, side, price, size):
    """Remember what we took."""
    takes = takes_of(w)
    for t in range(w.n_takes):
        if takes[t].book == book and takes[t].price == price and takes[t].side == side:
            takes[t].size += size
            return
    t = takes[w.n_takes]
    w.n_takes += 1
    t.book, t.side, t.price, t.size = book, side, price, size
    b = books_of(w)[book]
    b.n_takes += 1
    b.interest += 1


@kernel
def drop_take(w, t):
    takes = takes_of(w)
    b = books_of(w)[takes[t].book]
    b.n_takes -= 1
    b.interest -= 1
    w.n_takes -= 1
    takes[t] = takes[w.n_takes]


@kernel
def shrink_taken(w, book, side, price, shrinkage):
    """A level shrank: what we took leaves first."""
    takes = takes_of(w)
    for t in range(w.n_takes):
        if takes[t].book == book and takes[t].price == price and takes[t].side == side:
            takes[t].size -= shrinkage
            if takes[t].size <= 0:
                drop_take(w, t)
            return


@kernel
def forget_taken(w, book, side):
    """A whole side is gone."""
    t = w.n_takes - 1
    takes = takes_of(w)
    while t >= 0:
        if takes[t].book == book and takes[t].side == side:
            drop_take(w, t)
        t -= 1


# --- taking ----------------------------------------------------------------------------------------------------


@kernel
def is_tradable(w, book):
    """Section 3: in session, open, not crossed, and a valid quote seen since a halt."""
    b = books_of(w)[book]
    return (
        w.in_session == 1
        and w.now_v < w.session_close
        and b.state == OPEN
        and b.awaiting == 0
        and not is_crossed(w, book)
    )


@kernel
def worst_price(w, k):
    """The worst price, as we see it, that an order may pay; with no limit a price beyond all others."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    if o.type == MARKET and o.price == 0:
        return within_band(b, o.side, NEVER * o.side)
    return within_band(b, o.side, o.work)


@kernel
def within_band(b, side, price):
    """A price of ours, capped by the limit-up or limit-down of the moment."""
    if side > 0 and b.band_high != 0:
        return min(price, b.band_high + b.shift)
    if side < 0 and b.band_low != 0:
        return max(price, b.band_low + b.shift)
    return price


@kernel
def would_take(w, k):
    """Whether the touch is at or through the order's limit, whatever a band allows now."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    return other.size > 0 and (o.work - (other.best + b.shift)) * o.side >= 0


@kernel
def offered(w, k):
    """How much an order could take now, at most its open size."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    if other.size == 0 or not is_tradable(w, o.book):
        return 0
    worst = worst_price(w, k) - b.shift
    price, total, level = other.best, 0, 1
    while (worst - price) * o.side >= 0:
        total += max(0, level_size(w, o.book, -o.side, price) - taken_at(w, o.book, -o.side, price))
        if total >= o.leaves or level == b.levels:
            break
        found, price = next_level(w, o.book, -o.side, price)
        if not found:
            break
        level += 1
    return min(total, o.leaves)


@kernel
def take(w, k, ts):
    """Trade with what is displayed at the order's limit or better, best level first, as taker."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    if other.size == 0 or not is_tradable(w, o.book):
        return
    worst = worst_price(w, k) - b.shift
    price, level = other.best, 1
    while (worst - price) * o.side >= 0:
        free = level_size(w, o.book, -o.side, price) - taken_at(w, o.book, -o.side, price)
        if free > 0:
            size = min(free, o.leaves)
            add_taken(w, o.book, -o.side, price, size)
            fill(w, k, ts, price + b.shift, size, 0)
            if o.leaves == 0:
                return
        if level == b.levels:
            return
        found, price = next_level(w, o.book, -o.side, price)
        if not found:
            return
        level += 1
