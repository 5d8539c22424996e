"""Our orders on the book: places in the queue, fills, ends (docs/simulation.md, sections 4 and 5).

Prices of our orders are what we see; the book's are the market's. They differ by ``shift``, the displacement
that our own trading causes (0 until an impact model moves it): seen = market + shift.
"""

from __future__ import annotations

import numpy as np

from engine.broker.book import L1, L2, L3, NONE, index, is_crossed, is_observed, level_size, next_level  # noqa: F401
from engine.broker.costs import fee_of, half_even, value_of
from engine.broker.kernel import kernel
from engine.broker.philox import QUEUE, draw, uniform
from engine.broker.records import queue_report, record_order, report_order
from engine.broker.state import (
    ENDED,
    FILL_RING,
    FREE,
    NEVER,
    REPEAT_RING,
    RESTING,
    TAKE,  # noqa: F401
    UNKNOWN,
    WAITING,
    accounts_of,
    books_of,
    ledger_of,
    orders_of,
    rings_of,
    sides_of,
    takes_of,
)
from engine.journal import RecordKind
from engine.orders import OrderFlag, OrderType, Reason, TimeInForce
from engine.tape import State

MARKET, LIMIT, STOP, STOP_LIMIT, PEG_PRIMARY, PEG_MARKET, PEG_MID = (int(kind) for kind in OrderType)
DAY, GTC, GTD, IOC, FOK, AT_CLOSE, AT_OPEN, AUCTION_TIF = (int(tif) for tif in TimeInForce)
POST_ONLY, REDUCE_ONLY = int(OrderFlag.POST_ONLY), int(OrderFlag.REDUCE_ONLY)
R_FILL, R_CANCEL, R_EXPIRE = int(RecordKind.FILL), int(RecordKind.CANCEL), int(RecordKind.EXPIRE)
OPEN = int(State.OPEN)
IOC_REST, NO_LIQUIDITY, FOK_SHORT = int(Reason.IOC_REST), int(Reason.NO_LIQUIDITY), int(Reason.FOK_SHORT)


# --- the lists an order is in ------------------------------------------------------------------------------


@kernel
def join_account(w, k):
    """Append to the account's list; order numbers only grow, so it stays sorted by them."""
    orders = orders_of(w)
    o = orders[k]
    a = accounts_of(w)[o.account]
    o.prev, o.next = a.tail, -1
    if a.tail >= 0:
        orders[a.tail].next = k
    else:
        a.head = k
    a.tail = k
    w.n_live += 1


@kernel
def free_order(w, k):
    """Forget an order whose end the strategy knows."""
    orders = orders_of(w)
    o = orders[k]
    a = accounts_of(w)[o.account]
    if o.prev >= 0:
        orders[o.prev].next = o.next
    else:
        a.head = o.next
    if o.next >= 0:
        orders[o.next].prev = o.prev
    else:
        a.tail = o.prev
    o.state = FREE
    o.order_no = 0
    o.next = w.free_order
    w.free_order = k
    w.n_live -= 1


@kernel
def join_level(w, k):
    """Insert into the side's list: best price first, then the older place."""
    orders = orders_of(w)
    o = orders[k]
    side = sides_of(w)[2 * o.book + index(o.side)]
    before, at = -1, side.own_head
    while at >= 0 and (orders[at].work - o.work) * o.side >= 0:
        before, at = at, orders[at].next_level
    o.next_level = at
    if before >= 0:
        orders[before].next_level = k
    else:
        side.own_head = k
    o.in_level = 1


@kernel
def leave_level(w, k):
    """Take out of the side's list, if it is there."""
    orders = orders_of(w)
    o = orders[k]
    if o.in_level == 0:
        return
    side = sides_of(w)[2 * o.book + index(o.side)]
    if side.own_head == k:
        side.own_head = o.next_level
    else:
        at = side.own_head
        while orders[at].next_level != k:
            at = orders[at].next_level
        orders[at].next_level = o.next_level
    o.in_level = 0
    o.next_level = -1


# --- ends and fills ------------------------------------------------------------------------------------------


@kernel
def is_special(o):
    """Needs a look after every group: a stop, or a peg."""
    return o.type >= STOP


@kernel
def open_order(w, k):
    """Count an accepted order as open."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    b.n_own += 1
    b.interest += 1
    if is_special(o):
        b.n_special += 1
    accounts_of(w)[o.account].n_open += 1
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    entry.n_open += 1
    if o.side > 0:
        entry.open_buy += o.leaves
    else:
        entry.open_sell += o.leaves


@kernel
def close_order(w, k):
    """The venue forgets an open order; the strategy does when it hears of it."""
    leave_level(w, k)
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    b.n_own -= 1
    b.interest -= 1
    if is_special(o):
        b.n_special -= 1
    accounts_of(w)[o.account].n_open -= 1
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    entry.n_open -= 1
    if o.side > 0:
        entry.open_buy -= o.leaves
    else:
        entry.open_sell -= o.leaves
    o.state = ENDED


@kernel
def end_order(w, k, kind, ts, reason):
    """Cancel or expire an open order."""
    close_order(w, k)
    o = orders_of(w)[k]
    size = o.leaves
    report_order(w, kind, ts, k, size, reason, 0)


@kernel
def fill(w, k, ts, price, size, maker):
    """Part of an order trades at ``price`` (as we see it)."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    value = value_of(b, price, size)
    fee = fee_of(w, value, size, maker)
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


# --- resting -----------------------------------------------------------------------------------------------------


@kernel
def size_ahead(w, k):
    """What an order that joins its price level now stands behind."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    price = o.work - b.shift
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
    o.traded = 0
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
        better = (o.work - b.shift - price) * side
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
def cross_resting(w, book, ts):
    """The other side came to or through our prices: it trades with us, at our price."""
    b = books_of(w)[book]
    orders = orders_of(w)
    for i in range(2):
        side = 1 - 2 * i
        other = sides_of(w)[2 * book + 1 - i]
        k = sides_of(w)[2 * book + i].own_head
        while k >= 0 and other.size > 0:
            o = orders[k]
            following = o.next_level
            ours = within_band(b, side, o.work)
            if (ours - b.shift - other.best) * side < 0:
                break
            if o.row_done != w.row_count:
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
                price = o.work - b.shift
                if is_observed(w, book, side, price):
                    o.ahead = min(o.ahead, level_size(w, book, side, price))
            k = o.next_level


# --- prices that follow the market ----------------------------------------------------------------------------------


@kernel
def peg_price(w, k):
    """(found, working price) of a pegged order, as we see it."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    own = sides_of(w)[2 * o.book + index(o.side)]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    if o.type == PEG_PRIMARY:
        if own.size == 0:
            return False, 0
        price = own.best
    elif o.type == PEG_MARKET:
        if other.size == 0:
            return False, 0
        price = other.best
    else:
        if own.size == 0 or other.size == 0 or (other.best - own.best) * o.side < 0:
            return False, 0
        both = own.best + other.best
        price = both // 2 if o.side > 0 else -((-both) // 2)
    price += b.shift
    price = _to_tick(price, o.side, b.tick) + o.side * o.stop
    if o.price != 0 and (price - o.price) * o.side > 0:
        price = o.price
    if other.size > 0:
        touch = other.best + b.shift
        if (price - touch) * o.side >= 0:
            price = _to_tick(touch - o.side, o.side, b.tick)
    return price >= 1 or b.negative == 1, price


@kernel
def _to_tick(price, side, tick):
    """Rounded to a tick away from the market: down for a buy, up for a sell."""
    return price // tick * tick if side > 0 else -(-price // tick) * tick


@kernel
def reprice_pegs(w, book):
    """Pegged orders move when their reference did; a new price is a new place."""
    orders = orders_of(w)
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders[k]
            if o.book == book and o.type >= PEG_PRIMARY and (o.state == RESTING or o.state == WAITING):
                found, price = peg_price(w, k)
                if not found:
                    leave_level(w, k)
                    o.state = WAITING
                elif o.state == WAITING or price != o.work:
                    o.work = price
                    place(w, k)
            k = o.next


@kernel
def proceed(w, k, ts):
    """An accepted order that is at its price: it takes, then rests or ends."""
    o = orders_of(w)[k]
    if o.type >= PEG_PRIMARY:
        found, price = peg_price(w, k)
        o.state = WAITING
        if found:
            o.work = price
            place(w, k)
        return
    o.work = o.price
    if o.tif == FOK and offered(w, k) < o.leaves:
        end_order(w, k, R_EXPIRE, ts, FOK_SHORT)
        return
    take(w, k, ts)
    if o.leaves == 0:
        return
    if o.type == MARKET:
        end_order(w, k, R_EXPIRE, ts, NO_LIQUIDITY)
    elif o.tif == IOC or o.tif == FOK:
        end_order(w, k, R_EXPIRE, ts, IOC_REST)
    else:
        place(w, k)


@kernel
def trigger_stops(w, book, ts):
    """Stops whose price traded (or was quoted) go on as market or limit orders, by account, then order number."""
    b = books_of(w)[book]
    orders = orders_of(w)
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    if not is_tradable(w, book):
        return
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders[k]
            following = o.next
            if o.book == book and o.state == WAITING and (o.type == STOP or o.type == STOP_LIMIT):
                if w.stop_by_quote:
                    reached = ask if o.side > 0 else bid
                    hit = reached.size > 0 and (reached.best + b.shift - o.stop) * o.side >= 0
                else:
                    printed = b.trade_high if o.side > 0 else b.trade_low
                    hit = (printed + b.shift - o.stop) * o.side >= 0
                if hit:
                    o.type = MARKET if o.type == STOP else LIMIT
                    b.n_special -= 1
                    proceed(w, k, ts)
            k = following
