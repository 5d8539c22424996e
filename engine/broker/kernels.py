"""The only code that walks rows.

``advance`` goes on until a strategy must be woken (EVENT), the rows are used up (DONE), or the face must help
(FLUSH the journal, GROW a table). It takes things in the order of docs/simulation.md, section 2:

1. what is due before the next row: ``happen`` does one thing at a time, the earliest;
2. the row itself: ``walk`` applies rows while nothing is due, on a short way where nothing of ours is at stake;
3. after the last row of a group: ``end_group``, then ``deliver`` wakes the strategies one by one. In between probes
   measure the books as strategies see them (``probes.py``).
"""

# numba types its decorators and intrinsics too narrowly
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from numba import from_dtype, int64, njit, types

from engine.broker.arrivals import drain, happen_arrival
from engine.broker.days import close_session, end_run, happen_action, open_session
from engine.broker.fills import OPEN, is_tradable, take
from engine.broker.footprint import COST, look
from engine.broker.kernel import kernel
from engine.broker.orders import GTD, R_EXPIRE, end_order
from engine.broker.probes import probe_group
from engine.broker.resting import clamp_queue, cross_resting, move_market
from engine.broker.rows import apply_row, note_mid
from engine.broker.seen import find_next_receipt, next_edge, see
from engine.broker.skim import skim
from engine.broker.state import (
    DONE,
    EV_DEPTH,
    EV_TIMER,
    EVENT,
    FLUSH,
    GROW,
    LEVEL_EVENT,
    NEVER,
    RESTING,
    WAITING,
    WORLD,
    accounts_of,
    actions_of,
    arrivals_of,
    books_of,
    orders_of,
    reports_of,
    rows_of,
    sessions_of,
    shifts_of,
    sides_of,
    sources_of,
    touched_of,
)
from engine.broker.timers import find_next_timer, set_first_timers
from engine.broker.triggers import reprice_pegs, trigger_stops
from engine.broker.wakes import deliver, forget_group, hear, note_wanted, ring, start_delivery
from engine.orders import Reason
from engine.tape import Flag, Kind

CLOCK, LAST = int(Kind.CLOCK), int(Flag.LAST)
TIME_OVER = int(Reason.TIME_OVER)
SPARE = 16_384  # records and reports that one step may make
AT_ONCE = 64  # things of one kind at one time that are done in one step


@kernel
def walk(w):
    """Apply rows until something is due, somebody must be woken, or they are used up."""
    rows, books, sources = rows_of(w), books_of(w), sources_of(w)
    i, n, due, base, single = w.row, w.n_rows, w.next_due, w.base, w.single_source
    ts = w.last_ts
    while i < n:
        if w.n_touched == 0:
            skimmed = skim(w, i, due)
            if skimmed > i:
                i = skimmed
                ts = rows[i - 1].ts_event
                if i == n:
                    break
        r = rows[i]
        if r.ts_event > due or r.kind == CLOCK:
            break
        ts = r.ts_event
        book = int(r.instrument)
        b = books[book]
        if single:
            w.last_seq = base + i
        else:
            w.last_source = b.source
            w.last_seq = sources[b.source]
            sources[b.source] += 1
        w.last_ts, w.now_v = ts, ts
        apply_row(w, r, book)
        if b.wants:
            note_wanted(w, r, b)
        i += 1
        if r.flags & LAST:
            end_group(w, ts, i)
            due = w.next_due
            if w.delivering or w.need or w.n_records + SPARE > w.cap_records or w.reports_tail + SPARE > w.cap_reports:
                break
        elif w.need:
            break
    if i > w.row:
        w.last_ts, w.now_v = ts, ts
        if single:
            w.last_seq = base + i - 1
    w.row = i


@kernel
def end_group(w, ts, applied):
    """After the last row of a group: resumption, crossing, stops, pegs; then the strategies may be woken."""
    for i in range(w.n_touched):
        book = touched_of(w)[i]
        b = books_of(w)[book]
        valid = note_mid(w, b, book)
        if b.rescaled:
            b.rescaled = 0
            b.interest -= 1
        if b.awaiting and b.state == OPEN and valid:
            b.awaiting = 0
            b.interest -= 1
        if b.moves:
            _displace(w, b, book, applied)
        if b.n_own > 0:
            _look_after_own(w, b, book, ts)
    if w.two_cursors:
        for i in range(w.n_touched):
            books_of(w)[touched_of(w)[i]].touched = 0
        w.n_touched = 0
        return
    if w.n_probes > 0:
        probe_group(w, w.n_touched, ts)
    if w.n_wanting > 0:
        start_delivery(w)
    else:
        forget_group(w)


@kernel
def _displace(w, b, book, applied):
    """The market moves, or what it would have moved is charged from now on; so many rows of this load are applied."""
    found, shift = look(w, b)
    if not found:
        return
    if w.impact == COST:
        b.charge = shift
    elif shift != b.shift:
        move_market(w, book, shift)
        if w.two_cursors:
            moved = shifts_of(w)[w.shifts_tail]
            w.shifts_tail += 1
            moved.row, moved.book, moved.shift = w.rows_before + applied, book, shift
            if w.shifts_tail + w.n_instruments > w.cap_shifts:
                w.need = 1


@kernel
def _look_after_own(w, b, book, ts):
    clamp_queue(w, book)
    tradable = is_tradable(w, book)
    if tradable:
        w.row_count += 1
        if b.was_tradable == 0:
            resume(w, book, ts)
        cross_resting(w, book, ts)
    b.was_tradable = tradable
    if b.n_special > 0:
        trigger_stops(w, book, ts)
        reprice_pegs(w, book)


@kernel
def resume(w, book, ts):
    """Trading is possible again: what rests takes as if it arrived now, in order of arrival."""
    orders = orders_of(w)
    done, newest = 0, w.stamp
    while True:
        first, stamp = -1, newest + 1
        for i in range(2):
            k = sides_of(w)[2 * book + i].own_head
            while k >= 0:
                if done < orders[k].stamp < stamp:
                    first, stamp = k, orders[k].stamp
                k = orders[k].next_level
        if first < 0:
            return
        done = stamp
        take(w, first, ts)


# --- what is due ---------------------------------------------------------------------------------------------------


@kernel
def find_next_due(w):
    """The earliest venue time at which something happens by itself."""
    venue, start = w.next_expiry, NEVER
    if w.arrivals_head < w.arrivals_tail:
        venue = min(venue, arrivals_of(w)[w.arrivals_head].due)
    if w.session < w.n_sessions:
        if w.in_session:
            venue = min(venue, sessions_of(w)[w.session].close)
        else:
            start = sessions_of(w)[w.session].open - 1  # what starts comes before the rows of its time
    if w.action < w.n_actions:
        start = min(start, actions_of(w)[w.action].ts - 1)
    seen = w.next_timer
    if w.reports_head < w.reports_tail:
        seen = min(seen, reports_of(w)[w.reports_head].due - w.feed)
    if w.two_cursors:
        seen = min(seen, next_edge(w))
        if w.n_wanting > 0 or w.finishing == 1:
            seen = min(seen, w.next_receipt)
    if w.finishing == 1:  # nothing is later than the last row at the venue, or than its receipt for the strategies
        venue = venue if venue <= w.last_ts else NEVER
        start = start if start < w.last_ts else NEVER
        seen = seen if seen <= (w.received if w.two_cursors else w.last_ts) else NEVER
    w.next_due = min(min(venue, seen), start)


@kernel
def happen(w):
    """Do what is due first, and what is of its kind at the same time; True if it wakes a strategy."""
    now = w.next_due
    w.now_v = max(w.now_v, now)
    woken = False
    at_venue = w.finishing == 0 or now <= w.last_ts
    if w.two_cursors and min(w.next_receipt, next_edge(w)) <= now:
        see(w, now)
    elif at_venue and w.arrivals_head < w.arrivals_tail and arrivals_of(w)[w.arrivals_head].due == now:
        for _ in range(AT_ONCE):
            happen_arrival(w)
            if w.arrivals_head == w.arrivals_tail or arrivals_of(w)[w.arrivals_head].due != now:
                break
    elif at_venue and w.next_expiry == now:
        _expire(w, now)
    elif at_venue and w.in_session and sessions_of(w)[w.session].close == now:
        close_session(w, now)
    elif w.reports_head < w.reports_tail and reports_of(w)[w.reports_head].due - w.feed == now:
        for _ in range(AT_ONCE):
            woken = hear(w)
            if woken or w.reports_head == w.reports_tail or reports_of(w)[w.reports_head].due - w.feed != now:
                break
    elif w.next_timer == now:
        woken = ring(w, now)
    elif w.action < w.n_actions and actions_of(w)[w.action].ts - 1 == now:
        happen_action(w)
    else:
        open_session(w)
    find_next_due(w)
    return woken


@kernel
def _expire(w, now):
    """GTD orders whose time is over, by account, then order number."""
    w.next_expiry = NEVER
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders_of(w)[k]
            following = o.next
            if o.tif == GTD and (o.state == RESTING or o.state == WAITING):
                if o.expire_ts <= now:
                    end_order(w, k, R_EXPIRE, now, TIME_OVER)
                else:
                    w.next_expiry = min(w.next_expiry, o.expire_ts)
            k = following


# --- the way through -----------------------------------------------------------------------------------------------


@kernel
def make_room(w):
    """Move what is left of the two queues to the front; FLUSH or GROW where there is still too little room."""
    if w.n_records + SPARE + 4 * w.n_live > w.cap_records:
        return FLUSH if w.n_records > 0 else GROW
    if w.reports_tail + SPARE + 4 * w.n_live > w.cap_reports:
        reports = reports_of(w)
        count = w.reports_tail - w.reports_head
        for i in range(count):
            reports[i] = reports[w.reports_head + i]
        w.reports_head, w.reports_tail = 0, count
        if count + SPARE + 4 * w.n_live > w.cap_reports:
            return GROW
    coming = w.n_inbox * (1 + w.n_live + w.n_inbox)
    if w.arrivals_tail + coming > w.cap_arrivals:
        arrivals = arrivals_of(w)
        count = w.arrivals_tail - w.arrivals_head
        for i in range(count):
            arrivals[i] = arrivals[w.arrivals_head + i]
        w.arrivals_head, w.arrivals_tail = 0, count
        if count + coming > w.cap_arrivals:
            return GROW
    if w.n_live + w.n_inbox + 1 > w.cap_orders or w.n_takes + SPARE > w.cap_takes or w.need:
        return GROW
    return DONE


@kernel
def _start(w, ts):
    """The first row of all is there: regular timers can be counted from it."""
    w.first_ts = ts
    if w.seen_in_session:
        set_first_timers(w)
        find_next_due(w)


@njit([int64(types.Array(from_dtype(WORLD), 1, "C"))], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def advance(world):
    """Go on to the next wake; returns a timer's time, or EVENT, DONE, FLUSH, GROW."""
    w = world[0]
    while True:
        code = make_room(w)
        if code != DONE:
            return code
        if w.n_inbox > 0:
            drain(w)
            find_next_timer(w)
            find_next_due(w)
        if w.two_cursors and w.next_receipt == NEVER and w.seen_row < w.n_rows:
            find_next_receipt(w)
            find_next_due(w)
        if w.delivering:
            if deliver(w):
                return LEVEL_EVENT if w.ev_kind == EV_DEPTH else EVENT
            continue
        if w.row < w.n_rows:
            r = rows_of(w)[w.row]
            if r.kind == CLOCK:
                if w.next_due <= r.ts_event:
                    if happen(w):
                        return w.ev_ts if w.ev_kind == EV_TIMER else EVENT
                    continue
                w.last_ts = max(w.last_ts, r.ts_event)
                w.now_v = max(w.now_v, r.ts_event)
                w.row += 1
                w.base -= 1
            elif w.next_due < r.ts_event:
                if w.first_ts == NEVER:
                    _start(w, r.ts_event)
                elif happen(w):
                    return w.ev_ts if w.ev_kind == EV_TIMER else EVENT
            else:
                if w.first_ts == NEVER:
                    _start(w, r.ts_event)
                else:
                    walk(w)
            continue
        if w.finishing == 1:
            find_next_due(w)
            if w.next_due < NEVER:
                if happen(w):
                    return w.ev_ts if w.ev_kind == EV_TIMER else EVENT
                continue
            end_run(w)
            w.finishing = 2
        if w.finishing == 2:
            if w.reports_head < w.reports_tail:
                w.now_v = max(w.now_v, reports_of(w)[w.reports_head].due - w.feed)
                if hear(w):
                    return EVENT
                continue
        if w.two_cursors and w.n_wanting == 0 and w.next_receipt <= w.last_ts:
            see(w, w.last_ts)  # nobody is woken by it, and rows that all have seen need not be kept
            continue
        return DONE
