"""Small doors into the kernel besides ``advance``: requests, looks at the book and at orders, the kill switch."""

# numba types its decorators and intrinsics too narrowly
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from numba import from_dtype, int64, njit, types, void

from engine.broker.arrivals import drain
from engine.broker.book import L1, index, level_size, next_level
from engine.broker.kernels import find_next_due, make_room
from engine.broker.queue_stamps import insert_market_order
from engine.broker.state import DONE, MARKET, WORLD, accounts_of, books_of, inbox_of, orders_of, sides_of
from engine.broker.timers import find_next_timer
from engine.orders import OrderType, Reason, TimeInForce
from engine.risk import kill, mark_of

_WORLD = types.Array(from_dtype(WORLD), 1, "C")
_TABLE = types.Array(types.int64, 2, "C")
KILLED = int(Reason.KILLED)
LIMIT, DAY = int(OrderType.LIMIT), int(TimeInForce.DAY)


@njit([int64(_WORLD)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def take_requests(world):
    """Send what is in the inbox, without going on in time; DONE, FLUSH or GROW."""
    w = world[0]
    code = make_room(w)
    if code == DONE:
        drain(w)
        find_next_timer(w)
        find_next_due(w)
    return code


_SEND = int64(_WORLD, *[int64] * 11)


@njit([_SEND], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def send_order(world, account, book, side, kind, tif, flags, price, size, stop, display, expire):
    """Put an order into the inbox; returns its number in the account, 0 if the inbox is full."""
    w = world[0]
    if w.n_inbox == w.cap_inbox:
        return 0
    m = inbox_of(w)[w.n_inbox]
    w.n_inbox += 1
    a = accounts_of(w)[account]
    a.sent += 1
    m.op, m.account, m.book, m.side, m.type, m.tif, m.flags = 0, account, book, side, kind, tif, flags
    m.price, m.size, m.stop, m.display, m.expire, m.order_no = price, size, stop, display, expire, a.sent
    return a.sent


@njit([int64(_WORLD, *[int64] * 6)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def send_limit(world, account, book, side, flags, price, size):
    """``send_order`` for a plain limit order of the day: half the arguments, two thirds of the time."""
    w = world[0]
    if w.n_inbox == w.cap_inbox:
        return 0
    m = inbox_of(w)[w.n_inbox]
    w.n_inbox += 1
    a = accounts_of(w)[account]
    a.sent += 1
    m.op, m.account, m.book, m.side, m.type, m.tif, m.flags = 0, account, book, side, LIMIT, DAY, flags
    m.price, m.size, m.stop, m.display, m.expire, m.order_no = price, size, 0, 0, 0, a.sent
    return a.sent


@njit([int64(_WORLD, *[int64] * 7)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def send_request(world, op, account, book, order_no, price, size, expire):
    """Put another request into the inbox; returns 0 if it is full."""
    w = world[0]
    if w.n_inbox == w.cap_inbox:
        return 0
    m = inbox_of(w)[w.n_inbox]
    w.n_inbox += 1
    m.op, m.account, m.book, m.order_no = op, account, book, order_no
    m.price, m.size, m.expire = price, size, expire
    return 1


@njit([int64(_WORLD, int64, int64, _TABLE)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def read_levels(world, book, side, out):
    """Best levels of a side into ``out[n, 2]`` (price, size); returns how many there are."""
    w = world[0]
    b = books_of(w)[book]
    here = sides_of(w)[2 * book + index(side)]
    most = out.shape[0] if b.levels == 0 else min(out.shape[0], b.levels)
    if here.size == 0 or most == 0:
        return 0
    price, n = here.best, 0
    while True:
        out[n, 0] = price + b.shift
        out[n, 1] = level_size(w, book, side, price)
        n += 1
        if n == most or b.kind == L1:
            return n
        found, price = next_level(w, book, side, price)
        if not found:
            return n


@njit([int64(_WORLD, int64, int64, _TABLE)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def read_orders(world, account, book, out):
    """Orders not known to be ended into ``out[n, 5]`` (number, book, side, price, open size); returns how many."""
    w = world[0]
    n, k = 0, accounts_of(w)[account].head
    while k >= 0:
        o = orders_of(w)[k]
        if book < 0 or o.book == book:
            if n < out.shape[0]:
                out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4] = (
                    o.order_no,
                    o.book,
                    o.side,
                    o.seen_price,
                    o.seen_leaves,
                )
            n += 1
        k = o.next
    return n


@njit([void(_WORLD, int64)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def kill_account(world, account):
    """Latch the kill switch and cancel what works."""
    w = world[0]
    kill(w, account, w.now_v, KILLED)
    find_next_due(w)


@njit([types.UniTuple(int64, 2)(_WORLD, int64)], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def read_mark(world, book):
    """(1 if there is one, the price at which positions are valued)."""
    found, mark = mark_of(world[0], book)
    return int(found), mark


@njit([void(_WORLD, types.Array(from_dtype(MARKET), 1, "C"))], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def rehash(world, old):
    """Put every order of the old table into the new one."""
    w = world[0]
    for i in range(old.shape[0]):
        if old[i].stamp != 0:
            insert_market_order(w, old[i].order_id, old[i].book, old[i].stamp, old[i].size)
