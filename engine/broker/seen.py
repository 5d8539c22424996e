"""The second cursor: what strategies have received where one pass over the rows will not do.

It reads the rows again at their receive times, into books of its own (``instrument + n_instruments``) that hold nothing
of ours. That is needed where the feed latency is drawn or recorded, or where a report can overtake the market data. Row
after row is seen at its time if somebody wants to be woken by rows; else they are caught up with before the next wake.
"""

from __future__ import annotations

import numpy as np

from engine.broker.kernel import kernel
from engine.broker.philox import FEED, draw
from engine.broker.probes import probe_group
from engine.broker.rows import apply_row
from engine.broker.state import NEVER, books_of, rows_of, sessions_of, shifts_of, sources_of, table_of
from engine.broker.timers import start_timers, stop_timers
from engine.broker.wakes import forget_group, note_wanted, start_delivery
from engine.tape import Flag, Kind

CLOCK, LAST = int(Kind.CLOCK), int(Flag.LAST)


@kernel
def find_next_receipt(w):
    """When the next row that the strategies have not seen reaches them; a CLOCK only keeps the stream in order."""
    w.next_receipt = NEVER
    while w.seen_row < w.n_rows:
        r = rows_of(w)[w.seen_row]
        w.received = max(w.received, r.ts_event + max(0, _feed_latency(w, r)))
        if r.kind != CLOCK:
            w.next_receipt = w.received
            return
        w.seen_row += 1


@kernel
def _feed_latency(w, r):
    if w.feed_recorded:
        return r.ts_recv - r.ts_event
    if w.p_feed_table == 0 or r.kind == CLOCK:
        return w.lag
    source = books_of(w)[r.instrument].source
    bits = draw(w.seed, FEED, source, sources_of(w)[w.n_sources + source], 0)
    return w.feed_floor + table_of(w.p_feed_table)[bits >> np.uint64(52)]


@kernel
def next_edge(w):
    """When the strategies' session next starts or ends."""
    if w.seen_session == w.n_sessions:
        return NEVER
    session = sessions_of(w)[w.seen_session]
    return w.lag + (session.close if w.seen_in_session else session.open)


@kernel
def see(w, now):
    """Let the strategies receive what reaches them up to now; stops where a group wakes one of them."""
    while w.delivering == 0 and w.need == 0:
        edge = next_edge(w)
        if edge <= min(now, w.next_receipt):
            _pass_edge(w)
        elif w.next_receipt <= now:
            _see_row(w)
        else:
            break


@kernel
def _pass_edge(w):
    if w.seen_in_session:
        stop_timers(w)
        return
    for i in range(w.n_instruments):
        books_of(w)[w.n_instruments + i].volume = 0
    start_timers(w)


@kernel
def _see_row(w):
    r = rows_of(w)[w.seen_row]
    book = w.n_instruments + int(r.instrument)
    b = books_of(w)[book]
    w.seen_ts = r.ts_event
    w.seen_source = b.source
    w.seen_seq = sources_of(w)[w.n_sources + b.source]
    sources_of(w)[w.n_sources + b.source] += 1
    apply_row(w, r, book)
    if b.wants:
        note_wanted(w, r, b)
    w.seen_row += 1
    find_next_receipt(w)
    if r.flags & LAST:
        _displace(w)
        if w.n_probes > 0:
            probe_group(w, w.n_seen_touched, w.seen_ts)
        if w.n_wanting > 0:
            start_delivery(w)
        else:
            forget_group(w)


@kernel
def _displace(w):
    """The displacement that stood after this group at the venue is seen with it."""
    while w.shifts_head < w.shifts_tail:
        moved = shifts_of(w)[w.shifts_head]
        if moved.row > w.rows_before + w.seen_row:
            return
        books_of(w)[w.n_instruments + moved.book].shift = moved.shift
        w.shifts_head += 1
    w.shifts_head, w.shifts_tail = 0, 0
