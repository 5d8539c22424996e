"""Requests on their way: from the desk's inbox to the venue, and what they do there (docs/simulation.md, section 4)."""

from __future__ import annotations

from engine.broker.fills import is_tradable, would_take
from engine.broker.kernel import kernel
from engine.broker.latency import entry_latency
from engine.broker.orders import (
    AT_CLOSE,
    GTD,
    PEG_PRIMARY,
    POST_ONLY,
    R_CANCEL,
    STOP,
    STOP_LIMIT,
    end_order,
    free_order,
    join_account,
    leave_level,
    open_order,
)
from engine.broker.records import new_record, queue_report, record_order, record_request, report_order
from engine.broker.state import (
    ENDED,
    IN_FLIGHT,
    RESTING,
    WAITING,
    accounts_of,
    arrivals_of,
    books_of,
    inbox_of,
    ledger_of,
    orders_of,
)
from engine.broker.triggers import proceed
from engine.journal import RecordKind
from engine.orders import Op, Reason
from engine.risk import refusal

R_ORDER, R_TERMS, R_ACCEPT = int(RecordKind.ORDER), int(RecordKind.TERMS), int(RecordKind.ACCEPT)
R_REPLACE, R_REJECT = int(RecordKind.REPLACE), int(RecordKind.REJECT)
NEW, CANCEL, REPLACE, CANCEL_ALL = int(Op.NEW), int(Op.CANCEL), int(Op.REPLACE), int(Op.CANCEL_ALL)
WAKE_AT = 9  # inbox only: a one-off timer
UNKNOWN_ORDER, REQUESTED, RUN_END, WOULD_TAKE = (
    int(r) for r in (Reason.UNKNOWN_ORDER, Reason.REQUESTED, Reason.RUN_END, Reason.WOULD_TAKE)
)


@kernel
def drain(w):
    """Send what the desks asked for: number it, journal it, give it an arrival time."""
    inbox, orders, accounts = inbox_of(w), orders_of(w), accounts_of(w)
    now = w.now_v + w.feed
    for i in range(w.n_inbox):
        m = inbox[i]
        if m.op == NEW:
            _send_order(w, m, now)
        elif m.op == WAKE_AT:
            accounts[m.account].wake_at = m.expire
        elif m.op == CANCEL_ALL:
            k = accounts[m.account].head
            while k >= 0:
                if m.book < 0 or orders[k].book == m.book:
                    _ask(w, CANCEL, m.account, orders[k].order_no, k, orders[k].book, now, 0, 0)
                k = orders[k].next
        else:
            k = _find(w, m.account, m.order_no)
            _ask(w, m.op, m.account, m.order_no, k, m.book if k < 0 else orders[k].book, now, m.price, m.size)
    w.n_inbox = 0


@kernel
def _ask(w, op, account, order_no, k, book, now, price, size):
    """Send a cancel or replace, unless the run is over."""
    if w.finishing == 2:
        _refuse(w, now, account, order_no, op, book, k, RUN_END)
    else:
        _send(w, op, account, order_no, k, book, now, price, size)


@kernel
def _find(w, account, order_no):
    """The slot of an order that the account does not know to be ended, or -1; recent ones first."""
    orders = orders_of(w)
    k = accounts_of(w)[account].tail
    while k >= 0 and orders[k].order_no != order_no:
        k = orders[k].prev
    return k


@kernel
def _send_order(w, m, now):
    orders = orders_of(w)
    k = w.free_order
    o = orders[k]
    w.free_order = o.next
    o.order_no, o.account, o.book, o.side = m.order_no, m.account, m.book, m.side
    o.type, o.tif, o.flags = m.type, m.tif, m.flags
    o.price, o.work, o.stop, o.display = m.price, m.price, m.stop, m.display
    o.size, o.leaves, o.seen_price, o.seen_leaves, o.shown = m.size, m.size, m.price, m.size, 0
    o.ahead, o.traded, o.stamp, o.fills, o.row_done, o.in_level, o.next_level = 0, 0, 0, 0, 0, 0, -1
    o.expire_ts, o.held = m.expire, 0
    o.sent, o.queue_draws = now, 0
    o.cause, o.source = (w.seen_seq, w.seen_source) if w.two_cursors else (w.last_seq, w.last_source)
    o.state = IN_FLIGHT
    join_account(w, k)
    if w.finishing == 2:
        record_request(w, k)
        record_order(w, R_REJECT, now, k, 0, 0, RUN_END)
        free_order(w, k)
    else:
        _send(w, NEW, m.account, m.order_no, k, m.book, now, 0, 0)


@kernel
def _send(w, op, account, order_no, k, book, now, price, size):
    """Put a message on its way; messages of one account do not overtake each other."""
    arrivals = arrivals_of(w)
    a = accounts_of(w)[account]
    due = max(now + entry_latency(w, account, order_no), a.last_arrival)
    a.last_arrival = due
    at = w.arrivals_tail
    while at > w.arrivals_head and _is_before(due, now, account, arrivals[at - 1]):
        arrivals[at] = arrivals[at - 1]
        at -= 1
    m = arrivals[at]
    w.arrivals_tail += 1
    m.due, m.sent, m.op, m.account, m.order_no, m.slot, m.book = due, now, op, account, order_no, k, book
    m.price, m.size = price, size


@kernel
def _is_before(due, sent, account, other):
    """Arrivals are ordered by time, then sending time, then account, then order of sending."""
    if due != other.due:
        return due < other.due
    return sent == other.sent and account < other.account


@kernel
def _refuse(w, ts, account, order_no, op, book, k, reason):
    """Refuse a cancel or replace that is about no open order."""
    r = new_record(w, R_REJECT, ts, account, book)
    r.order_no, r.reason, r.type = order_no, reason, op
    if w.finishing != 2:
        queue_report(w, R_REJECT, ts, k, account, order_no, book, 0, reason, op)


@kernel
def happen_arrival(w):
    """The earliest message reaches the venue."""
    m = arrivals_of(w)[w.arrivals_head]
    w.arrivals_head += 1
    k = m.slot
    if k >= 0 and (orders_of(w)[k].order_no != m.order_no or orders_of(w)[k].account != m.account):
        k = -1
    o = orders_of(w)[k]
    if m.op == NEW:
        _arrive(w, m.slot, m.due)
    elif k < 0 or not (o.state == RESTING or o.state == WAITING):
        _refuse(w, m.due, m.account, m.order_no, m.op, m.book, k, UNKNOWN_ORDER)
    elif m.op == CANCEL:
        end_order(w, m.slot, R_CANCEL, m.due, REQUESTED)
    else:
        _replace(w, m.slot, m.due, m.price, m.size)


@kernel
def _arrive(w, k, ts):
    o = orders_of(w)[k]
    record_request(w, k)
    reason = refusal(w, k, ts, o.price, o.size, True)
    if reason == 0 and (o.flags & POST_ONLY) != 0 and o.type < STOP and would_take(w, k):
        reason = WOULD_TAKE
    if reason != 0:
        report_order(w, R_REJECT, ts, k, 0, reason, NEW)
        o.state = ENDED
        return
    record_order(w, R_ACCEPT, ts, k, o.price, o.leaves, 0)
    queue_report(w, R_ACCEPT, ts, k, o.account, o.order_no, o.book, o.leaves, 0, NEW)
    b = books_of(w)[o.book]
    if b.n_own == 0:  # what the last group of this session would have found
        b.was_tradable = is_tradable(w, o.book) and b.seen_ts >= w.session_open
    open_order(w, k)
    if o.tif == GTD:
        w.next_expiry = min(w.next_expiry, o.expire_ts)
    if o.tif >= AT_CLOSE or o.type == STOP or o.type == STOP_LIMIT:
        o.state = WAITING
        return
    proceed(w, k, ts)


@kernel
def _replace(w, k, ts, price, size):
    """New limit price and open size; the place in the queue is kept only by a smaller size at the same price."""
    o = orders_of(w)[k]
    reason = refusal(w, k, ts, price, size, False)
    old_price = o.price
    resting = o.state == RESTING and o.type < PEG_PRIMARY
    keeps = price == old_price and size <= o.leaves
    if reason == 0 and (o.flags & POST_ONLY) != 0 and resting and not keeps:
        o.work = price
        if would_take(w, k):
            reason = WOULD_TAKE
        o.work = old_price
    if reason != 0:
        report_order(w, R_REJECT, ts, k, 0, reason, REPLACE)
        return
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    if o.side > 0:
        entry.open_buy += size - o.leaves
    else:
        entry.open_sell += size - o.leaves
    o.price, o.leaves = price, size
    record_order(w, R_REPLACE, ts, k, price, size, 0)
    queue_report(w, R_REPLACE, ts, k, o.account, o.order_no, o.book, size, 0, REPLACE).price = price
    if keeps:
        if o.display > 0:
            o.shown = min(o.shown, size)
        return
    if resting or o.type >= PEG_PRIMARY:
        leave_level(w, k)
        proceed(w, k, ts)
