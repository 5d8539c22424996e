"""What wakes strategies: a group of rows, a report, a timer (docs/simulation.md, section 11)."""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.orders import R_CANCEL, R_EXPIRE, R_FILL, free_order
from engine.broker.probes import note_row
from engine.broker.state import (
    EV_DEPTH,
    EV_QUOTE,
    EV_REPORT,
    EV_SIGNAL,
    EV_TIMER,
    NEVER,
    WANT_BAR,
    WANT_CLOSE,
    WANT_DEPTH,
    WANT_QUOTE,
    WANT_SIGNAL,
    WANT_STATUS,
    WANT_TRADE,
    accounts_of,
    books_of,
    chances_of,
    group_of,
    ledger_of,
    orders_of,
    probes_of,
    reports_of,
    sides_of,
    touched_of,
)
from engine.broker.timers import find_next_timer
from engine.journal import RecordKind
from engine.orders import Op
from engine.signals import WISHES
from engine.tape import Kind

EXECUTE, TRADE, BAR, CLOSE, STATUS = (int(k) for k in (Kind.EXECUTE, Kind.TRADE, Kind.BAR, Kind.CLOSE, Kind.STATUS))
R_ADJUST, R_REJECT, R_REPLACE = int(RecordKind.ADJUST), int(RecordKind.REJECT), int(RecordKind.REPLACE)
OP_NEW = int(Op.NEW)
ANY, DOWN, MOVE = (WISHES.index(wish) for wish in ("any", "down", "move"))


@kernel
def note_wanted(w, r, b):
    """Tell probes of a row, and keep it if somebody may want to hear of it once its group is whole."""
    kind = r.kind
    if b.probe > 0:
        note_row(w, r, b)
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


@kernel
def start_delivery(w):
    """A group is whole: the strategies that want to hear of it are woken one by one."""
    w.delivering = 1
    w.d_item, w.d_account, w.d_stage = 0, 0, 0


@kernel
def deliver(w):
    """The next wake of the group that has ended; False when all have been woken."""
    accounts, books, ledger = accounts_of(w), books_of(w), ledger_of(w)
    count, ts = (w.n_seen_touched, w.seen_ts) if w.two_cursors else (w.n_touched, w.now_v)
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
    while w.d_item < count:
        book = touched_of(w)[w.seen_from + w.d_item]
        b = books[book]
        if w.d_stage == 1:
            if b.changed and b.wants & WANT_DEPTH:
                while w.d_account < w.n_accounts:
                    a = w.d_account
                    w.d_account += 1
                    if accounts[a].wants & WANT_DEPTH and ledger[a * w.n_instruments + b.instrument].wanted:
                        emit(w, EV_DEPTH, a, ts)
                        w.ev_instrument = b.instrument
                        shift = b.shift if b.depth_side != 0 else 0  # a CLEAR has neither side nor price
                        w.ev_side, w.ev_price, w.ev_size = b.depth_side, b.depth_price + shift, b.depth_size
                        return True
            w.d_stage, w.d_account = 2, 0
        if w.d_stage == 2 and b.wants & WANT_QUOTE and _touch_moved(w, b, book):
            while w.d_account < w.n_accounts:
                a = w.d_account
                w.d_account += 1
                if (
                    accounts[a].wants & WANT_QUOTE
                    and ledger[a * w.n_instruments + b.instrument].wanted
                    and _mid_moved(w, b, book, a)
                ):
                    emit(w, EV_QUOTE, a, ts)
                    w.ev_instrument = b.instrument
                    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
                    w.ev_price, w.ev_size = bid.best + (b.shift if bid.size > 0 else 0), bid.size
                    w.ev_price2, w.ev_size2 = ask.best + (b.shift if ask.size > 0 else 0), ask.size
                    return True
        if b.wants & WANT_SIGNAL:
            if w.d_stage == 2:
                w.d_stage, w.d_account = 3, 0
            while w.d_account < w.n_accounts:
                a = w.d_account
                w.d_account += 1
                if _is_called(w, a, ledger[a * w.n_instruments + b.instrument]):
                    emit(w, EV_SIGNAL, a, ts)
                    w.ev_instrument = b.instrument
                    return True
        w.d_item += 1
        w.d_stage, w.d_account = 1, 0
    forget_group(w)
    return False


@kernel
def _touch_moved(w, b, book):
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    return (
        bid.size != b.prev_bid_size
        or ask.size != b.prev_ask_size
        or (bid.size > 0 and bid.best + b.shift != b.prev_bid + b.prev_shift)
        or (ask.size > 0 and ask.best + b.shift != b.prev_ask + b.prev_shift)
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
def _is_called(w, a, entry):
    """Whether the group gave a sample that an account wants to be woken by."""
    account = accounts_of(w)[a]
    if account.wants & WANT_SIGNAL == 0 or entry.wanted == 0 or entry.probe == 0:
        return False
    p = probes_of(w)[entry.probe - 1]
    if p.fresh == 0 or account.signal == ANY:
        return p.fresh == 1
    chances = chances_of(w, entry.probe - 1)
    if account.signal == MOVE:
        return max(chances[0], chances[2]) > account.above
    return chances[account.signal - DOWN] > account.above


@kernel
def forget_group(w):
    """The group that the strategies saw has been dealt with: the next one starts."""
    count = w.n_seen_touched if w.two_cursors else w.n_touched
    for i in range(w.seen_from, w.seen_from + count):
        books_of(w)[touched_of(w)[i]].touched = 0
    if w.two_cursors:
        w.n_seen_touched = 0
    else:
        w.n_touched = 0
    w.n_group = 0
    w.delivering = 0


@kernel
def emit(w, kind, account, ts):
    w.ev_kind = kind
    w.ev_account = account
    w.ev_now = w.now_v + w.feed
    w.ev_ts = ts


@kernel
def _emit_row(w, r, account):
    kind = int(r.kind)
    emit(w, TRADE if kind == EXECUTE else kind, account, r.ts_event)
    shift = books_of(w)[w.seen_from + r.instrument].shift
    w.ev_instrument = r.instrument
    w.ev_side = -r.side if kind == EXECUTE else r.side
    w.ev_price, w.ev_size = r.price, r.size
    w.ev_price2, w.ev_size2 = r.price2, r.size2
    w.ev_order = r.order_id
    w.ev_flags = r.flags
    w.ev_extra = r.level
    if shift == 0:
        return
    if kind == TRADE or kind == EXECUTE:
        w.ev_price += shift
    elif kind == BAR:
        w.ev_order, w.ev_price = w.ev_order + shift, w.ev_price + shift
        w.ev_price2, w.ev_size2 = w.ev_price2 + shift, w.ev_size2 + shift
    elif kind == STATUS:
        if w.ev_price != 0:
            w.ev_price += shift
        if w.ev_price2 != 0:
            w.ev_price2 += shift


@kernel
def hear(w):
    """A strategy hears of what happened to its orders: what it knows changes; True if that wakes it."""
    r = reports_of(w)[w.reports_head]
    w.reports_head += 1
    orders = orders_of(w)
    if 0 <= r.book < w.n_instruments:
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
    emit(w, EV_REPORT, r.account, r.made)
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
def ring(w, now):
    """The first account whose timer is due is woken."""
    for account in range(w.n_accounts):
        a = accounts_of(w)[account]
        if min(a.timer, a.wake_at) - w.feed <= now:
            emit(w, EV_TIMER, account, now + w.feed)
            a.woken_at = now + w.feed
            if a.timer - w.feed <= now:
                a.timer += a.every
            if a.wake_at - w.feed <= now:
                a.wake_at = NEVER
            break
    find_next_timer(w)
    return True
