"""The lists that an order of ours is in, from its sending to its end; and the kinds and reasons that kernels name."""

from __future__ import annotations

from engine.broker.book import index
from engine.broker.kernel import kernel
from engine.broker.records import report_order
from engine.broker.state import ENDED, FREE, accounts_of, books_of, ledger_of, orders_of, sides_of
from engine.journal import RecordKind
from engine.orders import OrderFlag, OrderType, TimeInForce

MARKET, LIMIT, STOP, STOP_LIMIT, PEG_PRIMARY, PEG_MARKET, PEG_MID = (int(kind) for kind in OrderType)
DAY, GTC, GTD, IOC, FOK, AT_CLOSE, AT_OPEN, AUCTION_TIF = (int(tif) for tif in TimeInForce)
POST_ONLY, REDUCE_ONLY = int(OrderFlag.POST_ONLY), int(OrderFlag.REDUCE_ONLY)
R_FILL, R_CANCEL, R_EXPIRE = int(RecordKind.FILL), int(RecordKind.CANCEL), int(RecordKind.EXPIRE)


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
