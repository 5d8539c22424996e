"""What the kernel tells: records for the journal, reports for the strategies."""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.latency import response_latency
from engine.broker.state import accounts_of, books_of, orders_of, records_of, reports_of
from engine.journal import RecordKind

ORDER, TERMS = int(RecordKind.ORDER), int(RecordKind.TERMS)


@kernel
def new_record(w, kind, ts, account, book):
    """The next record of the journal, with what all of them have; the caller fills in the rest."""
    r = records_of(w)[w.n_records]
    w.n_records += 1
    r.ts = ts
    r.order_no = 0
    r.price = 0
    r.size = 0
    r.extra = 0
    r.cause = w.last_seq
    r.kind = kind
    r.side = 0
    r.type = 0
    r.tif = 0
    r.account = account
    r.instrument = books_of(w)[book].instrument if 0 <= book < w.n_instruments else book & 65535
    r.source = w.last_source
    r.reason = 0
    r.flags = 0
    r.number = 0
    return r


@kernel
def record_order(w, kind, ts, k, price, size, reason):
    """A record about the order in slot k."""
    o = orders_of(w)[k]
    r = new_record(w, kind, ts, o.account, o.book)
    r.order_no = o.order_no
    r.price = price
    r.size = size
    r.reason = reason
    return r


@kernel
def record_request(w, k):
    """The ORDER (and TERMS) record of the order in slot k: as it was sent, with what the strategy had seen then."""
    o = orders_of(w)[k]
    r = record_order(w, ORDER, o.sent, k, o.price, o.size, 0)
    r.cause, r.source, r.side = o.cause, o.source, o.side
    r.type, r.tif, r.flags, r.extra = o.type, o.tif, o.flags, o.expire_ts
    if o.stop != 0 or o.display != 0:
        r = record_order(w, TERMS, o.sent, k, o.stop, o.display, 0)
        r.cause, r.source = o.cause, o.source


@kernel
def queue_report(w, kind, made_v, k, account, order_no, book, size, reason, op):
    """Send a report to an account; it is delivered in the order of due times, ties in the order made."""
    reports = reports_of(w)
    a = accounts_of(w)[account]
    due = made_v + response_latency(w, account, order_no)
    if due < a.last_report:
        due = a.last_report
    a.last_report = due
    at = w.reports_tail
    while at > w.reports_head and reports[at - 1].due > due:
        reports[at] = reports[at - 1]
        at -= 1
    r = reports[at]
    w.reports_tail += 1
    r.due = due
    if due - w.feed < w.next_due:
        w.next_due = due - w.feed
    r.made = made_v
    r.account = account
    r.kind = kind
    r.slot = k
    r.order_no = order_no
    r.book = book
    r.size = size
    r.reason = reason
    r.op = op
    r.side = 0
    r.price = 0
    r.leaves = 0
    r.fee = 0
    r.cash = 0
    r.maker = 0
    return r


@kernel
def report_order(w, kind, ts, k, size, reason, op):
    """Record and report something other than a fill about the order in slot k."""
    o = orders_of(w)[k]
    r = record_order(w, kind, ts, k, 0, size, reason)
    r.type = op
    return queue_report(w, kind, ts, k, o.account, o.order_no, o.book, size, reason, op)
