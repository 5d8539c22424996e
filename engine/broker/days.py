"""What happens between the days: sessions, corporate actions, borrow cost, marks, the end of the run (section 7)."""

from __future__ import annotations

from engine.broker.costs import half_even, value_of
from engine.broker.footprint import split_footprint
from engine.broker.kernel import kernel
from engine.broker.orders import AT_CLOSE, DAY, IOC, R_CANCEL, R_EXPIRE, end_order
from engine.broker.records import new_record, queue_report, record_request, report_order
from engine.broker.state import (
    ENDED,
    IN_FLIGHT,
    RESTING,
    WAITING,
    accounts_of,
    actions_of,
    books_of,
    ledger_of,
    orders_of,
    purses_of,
    sessions_of,
)
from engine.broker.timers import start_timers, stop_timers
from engine.journal import Adjustment, RecordKind
from engine.orders import Reason
from engine.risk import equity_of, mark_of

R_MARK, R_ADJUST = int(RecordKind.MARK), int(RecordKind.ADJUST)
DIVIDEND, SPLIT, BORROW = int(Adjustment.DIVIDEND), int(Adjustment.SPLIT), int(Adjustment.BORROW)
SESSION_END, NO_AUCTION, RUN_END, CORPORATE_ACTION = (
    int(r) for r in (Reason.SESSION_END, Reason.NO_AUCTION, Reason.RUN_END, Reason.CORPORATE_ACTION)
)


@kernel
def open_session(w):
    """A session starts: volumes, daily losses and timers start anew."""
    start = sessions_of(w)[w.session].open
    w.in_session = 1
    w.session_open, w.session_close = start, sessions_of(w)[w.session].close
    for i in range(w.n_instruments):
        books_of(w)[i].volume = 0
        books_of(w)[i].was_tradable = 0
    for entry in ledger_of(w):
        entry.volume_session = 0
    for account in range(w.n_accounts):
        for c in range(w.n_currencies):
            purse = purses_of(w)[account * w.n_currencies + c]
            purse.base = equity_of(w, account, c)
            purse.peak = purse.base
    if w.two_cursors == 0:
        start_timers(w)


@kernel
def close_session(w, now):
    """DAY orders end, shorts pay for what they borrowed, positions are marked."""
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders_of(w)[k]
            following = o.next
            if (o.state == RESTING or o.state == WAITING) and (o.tif == DAY or o.tif >= IOC):
                end_order(w, k, R_EXPIRE, now, NO_AUCTION if o.tif >= AT_CLOSE else SESSION_END)
            k = following
    _charge_borrow(w, now)
    mark_accounts(w, now)
    w.in_session = 0
    w.session += 1
    if w.two_cursors == 0:
        stop_timers(w)


@kernel
def _charge_borrow(w, now):
    days = sessions_of(w)[w.session].days_to_next
    for account in range(w.n_accounts):
        for i in range(w.n_instruments):
            entry = ledger_of(w)[account * w.n_instruments + i]
            found, mark = mark_of(w, i)
            if entry.position >= 0 or not found:
                continue
            worth = abs(value_of(books_of(w)[i], mark, entry.position))
            year = 1_000_000 * w.borrow_days
            whole = worth // year  # in two parts, so that no product outgrows 63 bits
            cost = whole * w.borrow_ppm * days + half_even((worth - whole * year) * w.borrow_ppm * days, year)
            _adjust(w, now, account, i, -cost, 0, BORROW)


@kernel
def _adjust(w, ts, account, i, money, units, what):
    """Money or units without a trade."""
    entry = ledger_of(w)[account * w.n_instruments + i]
    entry.cash += money
    entry.adjusted += money
    entry.position += units
    r = new_record(w, R_ADJUST, ts, account, i)
    r.extra, r.size, r.number = money, units, what
    report = queue_report(w, R_ADJUST, ts, -1, account, 0, i, units, 0, 0)
    report.cash = money


@kernel
def mark_accounts(w, now):
    """A MARK for each account and instrument with a position, or trades since the run began."""
    for account in range(w.n_accounts):
        for i in range(w.n_instruments):
            entry = ledger_of(w)[account * w.n_instruments + i]
            found, mark = mark_of(w, i)
            if found and (entry.position != 0 or entry.n_fills > 0):
                r = new_record(w, R_MARK, now, account, i)
                r.price, r.size, r.extra = mark, entry.position, entry.cash


@kernel
def happen_action(w):
    """A split or a dividend takes effect."""
    action = actions_of(w)[w.action]
    w.action += 1
    if action.kind == SPLIT:
        _split(w, action)
        return
    for account in range(w.n_accounts):
        entry = ledger_of(w)[account * w.n_instruments + action.book]
        if entry.position != 0:
            money = half_even(entry.position * action.numerator, action.denominator)
            _adjust(w, action.ts, account, action.book, money, 0, DIVIDEND)


@kernel
def _split(w, action):
    """``numerator`` new units for ``denominator`` old ones; fractions are paid, prices known so far are scaled."""
    b = books_of(w)[action.book]
    num, den = action.numerator, action.denominator
    found, mark = mark_of(w, action.book)
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders_of(w)[k]
            following = o.next
            if o.book == action.book and (o.state == RESTING or o.state == WAITING):
                end_order(w, k, R_CANCEL, action.ts, CORPORATE_ACTION)
            k = following
    for account in range(w.n_accounts):
        entry = ledger_of(w)[account * w.n_instruments + action.book]
        if entry.position == 0:
            continue
        sign = 1 if entry.position > 0 else -1
        scaled = abs(entry.position) * num
        units = scaled // den
        rest = scaled - units * den  # in 1/den of a new unit, each worth mark * den / num
        money = sign * half_even(rest * mark * b.money_num, num * b.money_den) if found else 0
        _adjust(w, action.ts, account, action.book, money, sign * units - entry.position, SPLIT)
        if units == 0:
            entry.realised -= entry.cost
            entry.cost = 0
    if w.impact:
        split_footprint(w, b, num, den)
    if b.mid2_seen:
        b.mid2 = half_even(b.mid2 * den, num)
        if b.rescaled == 0:  # the next row must not take the short way, which takes the mid to be the book's
            b.rescaled = 1
            b.interest += 1
    if b.last_trade_seen:
        b.last_trade = half_even(b.last_trade * den, num)
    if b.bar_seen:
        b.bar_close = half_even(b.bar_close * den, num)


@kernel
def end_run(w):
    """After the last row: what is in flight or open expires, every account is marked."""
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders_of(w)[k]
            following = o.next
            if o.state == IN_FLIGHT:
                record_request(w, k)
                report_order(w, R_EXPIRE, w.last_ts, k, o.leaves, RUN_END, 0)
                o.state = ENDED
            elif o.state != ENDED:
                end_order(w, k, R_EXPIRE, w.last_ts, RUN_END)
            k = following
    mark_accounts(w, w.last_ts)
    w.arrivals_head = w.arrivals_tail
    if w.two_cursors:
        w.now_v = max(w.now_v, w.received)  # what is told after the end is told when all has been received
