"""The only code that walks rows.

``advance`` goes on until a strategy must be woken (EVENT), the rows are used up (DONE), or the face must help
(FLUSH the journal, GROW a table). It takes things in the order of docs/simulation.md, section 2:

1. what is due before the next row: ``happen`` does one thing at a time, the earliest;
2. the row itself: ``walk`` applies rows while nothing is due, on a short way where nothing of ours is at stake;
3. after the last row of a group: ``end_group``, then ``deliver`` wakes the strategies one by one.
"""

# numba types its decorators and intrinsics too narrowly
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from numba import from_dtype, int64, njit, types

from engine.broker.arrivals import drain, happen_arrival
from engine.broker.book import clear_side, index, is_observed, level_size, set_level
from engine.broker.days import close_session, end_run, find_next_timer, happen_action, open_session
from engine.broker.fills import (
    AT_CLOSE,
    AT_OPEN,
    AUCTION_TIF,
    GTD,
    LIMIT,
    OPEN,
    R_EXPIRE,
    R_FILL,
    clamp_queue,
    cross_resting,
    end_order,
    fill,
    forget_taken,
    free_order,
    is_tradable,
    level_changed,
    match_trade,
    reprice_pegs,
    shrink_taken,
    take,
    trigger_stops,
)
from engine.broker.kernel import kernel
from engine.broker.queue_stamps import forget_market_order, note_market_order, reduce_market_order
from engine.broker.skim import skim
from engine.broker.state import (
    DONE,
    EV_DEPTH,
    EV_QUOTE,
    EV_REPORT,
    EV_TIMER,
    EVENT,
    FLUSH,
    GROW,
    LEVEL_EVENT,
    NEVER,
    RESTING,
    WAITING,
    WANT_BAR,
    WANT_CLOSE,
    WANT_DEPTH,
    WANT_QUOTE,
    WANT_STATUS,
    WANT_TRADE,
    WORLD,
    accounts_of,
    actions_of,
    arrivals_of,
    books_of,
    group_of,
    ledger_of,
    orders_of,
    reports_of,
    rows_of,
    sessions_of,
    sides_of,
    sources_of,
    touched_of,
)
from engine.journal import RecordKind
from engine.orders import Op, Reason
from engine.tape import Auction, Flag, Kind, State

QUOTE, DEPTH, ADD, REDUCE, DELETE, EXECUTE, REVEAL = (
    int(k) for k in (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.REVEAL)
)
TRADE, BAR, CLOSE, STATUS, CLEAR, CLOCK = (
    int(k) for k in (Kind.TRADE, Kind.BAR, Kind.CLOSE, Kind.STATUS, Kind.CLEAR, Kind.CLOCK)
)
LAST, HIDDEN, AUCTION, OUTSIDE = int(Flag.LAST), int(Flag.HIDDEN), int(Flag.AUCTION), int(Flag.OUTSIDE)
BAND, OPENING_AUCTION, CLOSING_AUCTION = int(State.BAND), int(State.OPENING_AUCTION), int(State.CLOSING_AUCTION)
HALT, QUOTING, AUCTION_STATE = int(State.HALT), int(State.QUOTING), int(State.AUCTION)
OPENING, CLOSING, INTRADAY = int(Auction.OPENING), int(Auction.CLOSING), int(Auction.INTRADAY)
R_ADJUST, R_CANCEL = int(RecordKind.ADJUST), int(RecordKind.CANCEL)
R_REJECT, R_REPLACE = int(RecordKind.REJECT), int(RecordKind.REPLACE)
OP_NEW = int(Op.NEW)
TIME_OVER, NO_AUCTION = int(Reason.TIME_OVER), int(Reason.NO_AUCTION)
SPARE = 16_384  # records and reports that one step may make
AT_ONCE = 64  # things of one kind at one time that are done in one step


# --- rows --------------------------------------------------------------------------------------------------------


@kernel
def touch(w, book):
    """First row of a group for this book: remember the touch as it was."""
    b = books_of(w)[book]
    if b.touched:
        return
    b.touched = 1
    b.changed = 0
    b.trade_high, b.trade_low = -NEVER, NEVER
    sides = sides_of(w)
    bid, ask = sides[2 * book], sides[2 * book + 1]
    b.prev_bid, b.prev_bid_size, b.prev_ask, b.prev_ask_size = bid.best, bid.size, ask.best, ask.size
    touched_of(w)[w.n_touched] = book
    w.n_touched += 1


@kernel
def apply_row(w, r, book):
    """One row, with all that it can mean for our orders."""
    b = books_of(w)[book]
    w.row_count += 1
    b.seen_ts = r.ts_event
    touch(w, book)
    kind = r.kind
    if kind == QUOTE:
        _apply_quote_side(w, b, book, 1, r.price, r.size)
        _apply_quote_side(w, b, book, -1, r.price2, r.size2)
    elif kind == DEPTH or kind == REVEAL:
        _change_level(w, b, book, r.side, r.price, r.size, -1 if kind == REVEAL and r.size == 0 else 0)
    elif kind == ADD:
        size = level_size(w, book, r.side, r.price) + r.size
        _change_level(w, b, book, r.side, r.price, size, 0)
        if w.track_orders:
            note_market_order(w, r.order_id, book, r.size)
    elif kind == REDUCE or kind == DELETE:
        stamp = 0
        if w.track_orders:
            stamp = (
                reduce_market_order(w, r.order_id, book, r.size)
                if kind == REDUCE
                else forget_market_order(w, r.order_id, book)
            )
        size = max(0, level_size(w, book, r.side, r.price) - r.size)
        _change_level(w, b, book, r.side, r.price, size, stamp)
    elif kind == EXECUTE:
        _apply_trade(w, b, book, r.ts_event, -int(r.side), r.price, r.size, r.flags, -1)
        if r.flags & HIDDEN == 0:
            if w.track_orders:
                reduce_market_order(w, r.order_id, book, r.size)
            size = max(0, level_size(w, book, r.side, r.price) - r.size)
            _change_level(w, b, book, r.side, r.price, size, 0)
    elif kind == TRADE:
        aggressor = int(r.side)
        if aggressor == 0:
            aggressor = _infer_side(w, book, r.price)
        _apply_trade(w, b, book, r.ts_event, aggressor, r.price, r.size, r.flags, int(r.level))
    elif kind == BAR:
        b.bar_close, b.bar_seen = r.size2, 1
    elif kind == STATUS:
        _apply_status(w, b, r.level, r.price, r.price2)
    elif kind == CLEAR:
        sides = sides_of(w)
        if sides[2 * book].size + sides[2 * book + 1].size > 0:
            b.changed = 1
            b.depth_side, b.depth_price, b.depth_size = 0, 0, 0
        for side in (1, -1):
            clear_side(w, book, side)
            forget_taken(w, book, side)


@kernel
def _apply_quote_side(w, b, book, side, price, size):
    """A quote replaces the one level that a side shows; a worse level than the touch is simply not seen."""
    s = sides_of(w)[2 * book + index(side)]
    old_price, old_size = s.best, s.size
    s.best, s.size = price if size > 0 else 0, size
    if size == 0 and old_size == 0:
        return
    same = old_size > 0 and size > 0 and old_price == price
    if same and old_size == size:
        return
    b.changed = 1
    b.depth_side, b.depth_price, b.depth_size = side, price if size > 0 else old_price, size
    if b.n_takes > 0 and not same:
        forget_taken(w, book, side)
    if b.n_own + b.n_takes > 0 and size > 0:
        level_changed(w, book, side, price, old_size if same else 0, size, 0, True)


@kernel
def _change_level(w, b, book, side, price, size, stamp):
    in_view = is_observed(w, book, side, price)
    old = set_level(w, book, side, price, size)
    if old == size:
        return
    in_view = in_view or is_observed(w, book, side, price)
    if stamp < 0:
        shrink_taken(w, book, side, price, old)
    elif b.n_own + b.n_takes > 0:
        level_changed(w, book, side, price, old, size, stamp, in_view)
    if in_view:
        b.changed = 1
        b.depth_side, b.depth_price, b.depth_size = side, price, size


@kernel
def _infer_side(w, book, price):
    """Whose trade an unsigned print was, by the quote; 0 if the quote does not say."""
    sides = sides_of(w)
    bid, ask = sides[2 * book], sides[2 * book + 1]
    at_ask = ask.size > 0 and price >= ask.best
    at_bid = bid.size > 0 and price <= bid.best
    if at_ask and not at_bid:
        return 1
    if at_bid and not at_ask:
        return -1
    return 0


@kernel
def _apply_trade(w, b, book, ts, aggressor, price, size, flags, auction):
    b.volume += size
    b.clock_volume += size
    b.last_trade, b.last_trade_seen = price, 1
    if flags & AUCTION:
        if b.n_own > 0 and auction >= 0:
            _fill_auction(w, b, book, ts, price, size, auction)
        return
    if flags & (HIDDEN | OUTSIDE) == 0:
        b.trade_high = max(b.trade_high, price)
        b.trade_low = min(b.trade_low, price)
    if b.n_own > 0 and aggressor != 0:
        counts = flags & OUTSIDE == 0 or w.outside_fills == 1
        match_trade(w, book, ts, price, size, aggressor, flags & HIDDEN, counts)


@kernel
def _fill_auction(w, b, book, ts, price, size, auction):
    """An auction's print: our auction orders share its size, by account, then order number (section 6)."""
    if auction == 0:
        auction = OPENING if b.state == OPENING_AUCTION else CLOSING if b.state == CLOSING_AUCTION else INTRADAY
    seen = price + b.shift
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders_of(w)[k]
            following = o.next
            mine = (
                o.tif == AUCTION_TIF
                or (o.tif == AT_OPEN and auction == OPENING)
                or (o.tif == AT_CLOSE and auction == CLOSING)
            )
            if o.book == book and o.state == WAITING and mine:
                if size > 0 and ((o.type != LIMIT and o.price == 0) or (o.price - seen) * o.side >= 0):
                    part = min(size, o.leaves)
                    size -= part
                    fill(w, k, ts, seen, part, 0)
                if o.leaves > 0 and o.tif != AUCTION_TIF:
                    end_order(w, k, R_EXPIRE, ts, NO_AUCTION)
            k = following


@kernel
def _apply_status(w, b, state, low, high):
    if state == BAND:
        b.band_low, b.band_high = low, high
        return
    if b.awaiting == 0 and (state == HALT or state == QUOTING or state == OPENING_AUCTION or state >= AUCTION_STATE):
        b.awaiting = 1
        b.interest += 1
    b.state = state


@kernel
def note_mid(w, b, book):
    """Keep the last valid mid, as the sum of bid and ask."""
    sides = sides_of(w)
    bid, ask = sides[2 * book], sides[2 * book + 1]
    if bid.size > 0 and ask.size > 0 and bid.best <= ask.best:
        b.mid2, b.mid2_seen = bid.best + ask.best, 1
        return True
    return False


@kernel
def end_group(w, ts):
    """After the last row of a group: resumption, crossing, stops, pegs; then the strategies may be woken."""
    for i in range(w.n_touched):
        book = touched_of(w)[i]
        b = books_of(w)[book]
        valid = note_mid(w, b, book)
        if b.awaiting and b.state == OPEN and valid:
            b.awaiting = 0
            b.interest -= 1
        if b.n_own > 0:
            _look_after_own(w, b, book, ts)
    if w.n_wanting > 0:
        w.delivering = 1
        w.d_item, w.d_account, w.d_stage = 0, 0, 0
    else:
        _forget_group(w)


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


@kernel
def _forget_group(w):
    for i in range(w.n_touched):
        books_of(w)[touched_of(w)[i]].touched = 0
    w.n_touched = 0
    w.n_group = 0
    w.delivering = 0


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
            _note_wanted(w, r, b)
        i += 1
        if r.flags & LAST:
            end_group(w, ts)
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
def _note_wanted(w, r, b):
    """Keep a row that somebody may want to hear of once its group is whole."""
    kind = r.kind
    if (
        ((kind == TRADE or kind == EXECUTE) and b.wants & WANT_TRADE)
        or (kind == BAR and b.wants & WANT_BAR)
        or (kind == CLOSE and b.wants & WANT_CLOSE)
        or (kind == STATUS and b.wants & WANT_STATUS)
    ):
        group_of(w)[w.n_group] = r
        w.n_group += 1
        if w.n_group == w.cap_group:
            w.need = 1


# --- wakes --------------------------------------------------------------------------------------------------------


@kernel
def deliver(w):
    """The next wake of the group that has ended; False when all have been woken."""
    accounts, books, ledger = accounts_of(w), books_of(w), ledger_of(w)
    while w.d_stage == 0:
        if w.d_item >= w.n_group:
            w.d_stage, w.d_item, w.d_account = 1, 0, 0
            break
        r = group_of(w)[w.d_item]
        kind = int(r.kind)
        want = (
            WANT_BAR if kind == BAR else WANT_CLOSE if kind == CLOSE else WANT_STATUS if kind == STATUS else WANT_TRADE
        )
        while w.d_account < w.n_accounts:
            a = w.d_account
            w.d_account += 1
            if accounts[a].wants & want and ledger[a * w.n_instruments + r.instrument].wanted:
                _emit_row(w, r, a)
                return True
        w.d_item += 1
        w.d_account = 0
    while w.d_item < w.n_touched:
        book = touched_of(w)[w.d_item]
        b = books[book]
        if w.d_stage == 1:
            if b.changed and b.wants & WANT_DEPTH:
                while w.d_account < w.n_accounts:
                    a = w.d_account
                    w.d_account += 1
                    if accounts[a].wants & WANT_DEPTH and ledger[a * w.n_instruments + b.instrument].wanted:
                        _emit(w, EV_DEPTH, a, w.now_v)
                        w.ev_instrument = b.instrument
                        w.ev_side, w.ev_price, w.ev_size = b.depth_side, b.depth_price + b.shift, b.depth_size
                        return True
            w.d_stage, w.d_account = 2, 0
        if b.wants & WANT_QUOTE and _touch_moved(w, b, book):
            while w.d_account < w.n_accounts:
                a = w.d_account
                w.d_account += 1
                if (
                    accounts[a].wants & WANT_QUOTE
                    and ledger[a * w.n_instruments + b.instrument].wanted
                    and _mid_moved(w, b, book, a)
                ):
                    _emit(w, EV_QUOTE, a, w.now_v)
                    w.ev_instrument = b.instrument
                    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
                    w.ev_price, w.ev_size = bid.best + b.shift, bid.size
                    w.ev_price2, w.ev_size2 = ask.best + b.shift, ask.size
                    return True
        w.d_item += 1
        w.d_stage, w.d_account = 1, 0
    _forget_group(w)
    return False


@kernel
def _touch_moved(w, b, book):
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    return (
        bid.size != b.prev_bid_size
        or ask.size != b.prev_ask_size
        or (bid.size > 0 and bid.best != b.prev_bid)
        or (ask.size > 0 and ask.best != b.prev_ask)
    )


@kernel
def _mid_moved(w, b, book, a):
    """Whether an account that counts ticks of the mid has been left far enough behind."""
    ticks = accounts_of(w)[a].mid_ticks
    if ticks == 0:
        return True
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    if bid.size == 0 or ask.size == 0 or bid.best > ask.best:
        return False
    entry = ledger_of(w)[a * w.n_instruments + b.instrument]
    mid2 = bid.best + ask.best + 2 * b.shift
    if entry.mid2_woken_seen and abs(mid2 - entry.mid2_woken) < 2 * ticks * b.tick:
        return False
    entry.mid2_woken, entry.mid2_woken_seen = mid2, 1
    return True


@kernel
def _emit(w, kind, account, ts):
    w.ev_kind = kind
    w.ev_account = account
    w.ev_now = w.now_v + w.feed
    w.ev_ts = ts


@kernel
def _emit_row(w, r, account):
    kind = int(r.kind)
    _emit(w, TRADE if kind == EXECUTE else kind, account, r.ts_event)
    shift = books_of(w)[r.instrument].shift
    w.ev_instrument = r.instrument
    w.ev_side = -r.side if kind == EXECUTE else r.side
    w.ev_price, w.ev_size = r.price, r.size
    w.ev_price2, w.ev_size2 = r.price2, r.size2
    w.ev_order = r.order_id
    w.ev_flags = r.flags
    w.ev_extra = r.level
    if kind == TRADE or kind == EXECUTE:
        w.ev_price += shift


# --- what is due ---------------------------------------------------------------------------------------------------


@kernel
def find_next_due(w):
    """The earliest venue time at which something happens by itself."""
    due = w.next_expiry
    if w.arrivals_head < w.arrivals_tail:
        due = min(due, arrivals_of(w)[w.arrivals_head].due)
    if w.reports_head < w.reports_tail:
        due = min(due, reports_of(w)[w.reports_head].due - w.feed)
    due = min(due, w.next_timer)
    if w.session < w.n_sessions:
        session = sessions_of(w)[w.session]
        due = min(due, session.close if w.in_session else session.open - 1)
    if w.action < w.n_actions:
        due = min(due, actions_of(w)[w.action].ts - 1)
    w.next_due = due


@kernel
def happen(w):
    """Do what is due first, and what is of its kind at the same time; True if it wakes a strategy."""
    now = w.next_due
    w.now_v = max(w.now_v, now)
    woken = False
    if w.arrivals_head < w.arrivals_tail and arrivals_of(w)[w.arrivals_head].due == now:
        for _ in range(AT_ONCE):
            happen_arrival(w)
            if w.arrivals_head == w.arrivals_tail or arrivals_of(w)[w.arrivals_head].due != now:
                break
    elif w.next_expiry == now:
        _expire(w, now)
    elif w.in_session and sessions_of(w)[w.session].close == now:
        close_session(w, now)
    elif w.reports_head < w.reports_tail and reports_of(w)[w.reports_head].due - w.feed == now:
        for _ in range(AT_ONCE):
            woken = _happen_report(w)
            if woken or w.reports_head == w.reports_tail or reports_of(w)[w.reports_head].due - w.feed != now:
                break
    elif w.next_timer == now:
        woken = _happen_timer(w, now)
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


@kernel
def _happen_report(w):
    """The strategy hears of something: what it knows changes, and it may be woken."""
    r = reports_of(w)[w.reports_head]
    w.reports_head += 1
    orders = orders_of(w)
    if 0 <= r.book < w.n_books:
        entry = ledger_of(w)[r.account * w.n_instruments + r.book]
        entry.seen_cash += r.cash
        if r.kind == R_FILL:
            entry.seen_position += r.side * r.size
        elif r.kind == R_ADJUST:
            entry.seen_position += r.size
            return False
    ended = r.kind == R_CANCEL or r.kind == R_EXPIRE or (r.kind == R_FILL and r.leaves == 0)
    ended = ended or (r.kind == R_REJECT and r.op == OP_NEW)
    k = r.slot
    if k >= 0 and orders[k].order_no == r.order_no and orders[k].account == r.account:
        if r.kind == R_FILL:
            orders[k].seen_leaves -= r.size
        elif r.kind == R_REPLACE:
            orders[k].seen_price, orders[k].seen_leaves = r.price, r.size
        if ended:
            free_order(w, k)
    a = accounts_of(w)[r.account]
    if r.kind == R_FILL:
        if a.wants_fill == 0:
            return False
    elif a.wants_order == 0:
        return False
    _emit(w, EV_REPORT, r.account, r.made)
    w.ev_extra = r.kind
    w.ev_instrument = r.book
    w.ev_order = r.order_no
    w.ev_side = r.side
    w.ev_price, w.ev_size = r.price, r.size
    w.ev_leaves = r.leaves
    w.ev_flags = r.maker
    w.ev_size2 = r.fee
    w.ev_reason = r.reason
    return True


@kernel
def _happen_timer(w, now):
    for account in range(w.n_accounts):
        a = accounts_of(w)[account]
        if min(a.timer, a.wake_at) - w.feed <= now:
            _emit(w, EV_TIMER, account, now + w.feed)
            a.woken_at = now + w.feed
            if a.timer - w.feed <= now:
                a.timer += a.every
            if a.wake_at - w.feed <= now:
                a.wake_at = NEVER
            break
    find_next_timer(w)
    return True


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
                    w.first_ts = r.ts_event
                if happen(w):
                    return w.ev_ts if w.ev_kind == EV_TIMER else EVENT
            else:
                if w.first_ts == NEVER:
                    w.first_ts = r.ts_event
                walk(w)
            continue
        if w.finishing == 1:
            if w.next_due <= w.last_ts:
                if happen(w):
                    return w.ev_ts if w.ev_kind == EV_TIMER else EVENT
                continue
            end_run(w)
            w.finishing = 2
        if w.finishing == 2:
            if w.reports_head < w.reports_tail:
                w.now_v = max(w.now_v, reports_of(w)[w.reports_head].due - w.feed)
                if _happen_report(w):
                    return EVENT
                continue
        return DONE
