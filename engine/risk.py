"""Pre-trade gates 1 to 14 and the kill switch, in the order of docs/simulation.md, section 8.

The same compiled code guards a replay and a paper session. Each gate is a function that returns 0 or a ``Reason``.
"""

from __future__ import annotations

from engine.broker.book import NONE, index, is_crossed
from engine.broker.costs import half_even, value_of
from engine.broker.fills import OPEN, within_band
from engine.broker.kernel import kernel
from engine.broker.orders import (
    AT_CLOSE,
    AT_OPEN,
    AUCTION_TIF,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    PEG_PRIMARY,
    POST_ONLY,
    R_CANCEL,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    end_order,
)
from engine.broker.state import (
    ENDED,
    FILL_RING,
    IN_FLIGHT,
    NEVER,
    REPEAT_RING,
    RESTING,
    accounts_of,
    books_of,
    ledger_of,
    orders_of,
    purses_of,
    rings_of,
    sides_of,
)
from engine.broker.triggers import peg_price
from engine.orders import Reason
from engine.tape import State

SECOND = 1_000_000_000
MOST = 2**40  # size units an order may ask for, whatever the limits
HALT, CLOSED = int(State.HALT), int(State.CLOSED)
R = {reason.name: int(reason) for reason in Reason}
BAD_INSTRUMENT, BAD_SIZE, BAD_LOT, OFF_TICK, BAD_PRICE, BAD_TERMS = (
    R["BAD_INSTRUMENT"],
    R["BAD_SIZE"],
    R["BAD_LOT"],
    R["OFF_TICK"],
    R["BAD_PRICE"],
    R["BAD_TERMS"],
)
KILLED, OUT_OF_SESSION, HALTED, RESTRICTED = R["KILLED"], R["OUT_OF_SESSION"], R["HALTED"], R["RESTRICTED"]
LATE, REPEATED, NO_MARKET, STALE, CROSSED = R["LATE"], R["REPEATED"], R["NO_MARKET"], R["STALE"], R["CROSSED"]
MAX_SIZE, MAX_NOTIONAL, COLLAR, RATE, MAX_OPEN = R["MAX_SIZE"], R["MAX_NOTIONAL"], R["COLLAR"], R["RATE"], R["MAX_OPEN"]
MAX_POSITION, MAX_GROSS, MAX_NET, NO_CASH = R["MAX_POSITION"], R["MAX_GROSS"], R["MAX_NET"], R["NO_CASH"]
SELF_TRADE, THROTTLED, DAILY_LOSS, DRAWDOWN = R["SELF_TRADE"], R["THROTTLED"], R["DAILY_LOSS"], R["DRAWDOWN"]
PARTICIPATION, NOT_REDUCING = R["PARTICIPATION"], R["NOT_REDUCING"]


@kernel
def refusal(w, k, ts, price, size, is_new):
    """The reason to refuse an order (or new terms for one), or 0."""
    o = orders_of(w)[k]
    reason = _form(w, o, ts if is_new else -NEVER, price, size)  # new terms of an open order are never too late
    if reason == 0:
        reason = _permission(w, o)
    if reason == 0 and is_new:
        if w.expiry_ns > 0 and ts - o.sent > w.expiry_ns:
            return LATE
        if w.repeats > 0 and _is_repeated(w, o, ts):
            return REPEATED
        reason = _market_data(w, o, ts)
    if reason == 0:
        reason = _fat_finger(w, o, price, size)
    if reason == 0 and w.collar_ppm > 0:
        reason = _collar(w, o, price)
    if reason == 0 and is_new:
        reason = _rate(w, o, ts)
        entry = ledger_of(w)[o.account * w.n_instruments + o.book]
        if reason == 0 and (
            (w.max_open > 0 and entry.n_open >= w.max_open)
            or (w.max_open_account > 0 and accounts_of(w)[o.account].n_open >= w.max_open_account)
        ):
            return MAX_OPEN
    if reason == 0:
        reason = _exposure(w, o, price, size, is_new)
    if reason == 0 and is_new:
        if w.self_trade_cancels:
            _prevent_self_trade(w, k, ts)
        if w.fills_per_second > 0 and _is_throttled(w, o, ts):
            return THROTTLED
        if w.daily_loss > 0 or w.drawdown > 0:
            reason = _loss(w, o.account, ts)
    if reason == 0 and w.participation_ppm > 0:
        reason = _participation(w, o, size, is_new)
    return reason


@kernel
def _form(w, o, ts, price, size):
    """Gate 1."""
    if o.book < 0 or o.book >= w.n_instruments:
        return BAD_INSTRUMENT
    b = books_of(w)[o.book]
    if size < 1 or size > MOST:
        return BAD_SIZE
    if size % b.lot != 0:
        return BAD_LOT
    priced = o.type == LIMIT or o.type == STOP_LIMIT or price != 0
    stopped = o.type == STOP or o.type == STOP_LIMIT
    if price % b.tick != 0 or o.stop % b.tick != 0:
        return OFF_TICK
    if b.negative == 0 and priced and price < 1:
        return BAD_PRICE
    immediate = o.tif == IOC or o.tif == FOK
    at_auction = o.tif >= AT_CLOSE
    rests = (o.type == LIMIT or o.type >= PEG_PRIMARY) and not immediate and not at_auction
    if (
        (stopped and (o.stop == 0 or (o.stop < 0 and b.negative == 0)))
        or o.display < 0
        or (o.display > 0 and not (rests or (o.type == STOP_LIMIT and not immediate and not at_auction)))
        or ((o.flags & POST_ONLY) != 0 and not rests)
        or (o.tif == GTD and o.expire_ts <= ts)
        or (at_auction and o.type >= STOP)
        or (o.type >= PEG_PRIMARY and immediate)
    ):
        return BAD_TERMS
    return 0


@kernel
def _permission(w, o):
    """Gate 2."""
    b = books_of(w)[o.book]
    if accounts_of(w)[o.account].killed:
        return KILLED
    in_session = w.in_session == 1 and w.now_v < w.session_close
    if not in_session and not (o.tif == GTC or o.tif == GTD or o.tif == AT_OPEN or o.tif == AUCTION_TIF):
        return OUT_OF_SESSION
    if b.state == HALT or b.state == CLOSED:
        return HALTED
    if b.state != OPEN and o.tif < AT_CLOSE and (o.type == MARKET or o.tif == IOC or o.tif == FOK):
        return HALTED
    if b.restricted:
        return RESTRICTED
    return 0


@kernel
def _is_repeated(w, o, ts):
    """Gate 4: too many equal orders within the last second. Remembers this one."""
    a = accounts_of(w)[o.account]
    rings = rings_of(w)
    start = o.account * (FILL_RING + 2 * REPEAT_RING) + FILL_RING
    key = ((o.book * 31 + o.side) * 1_000_003 + o.price) * 1_000_003 + o.size
    same = 1
    for i in range(min(a.n_repeats, REPEAT_RING)):
        if rings[start + 2 * i + 1] == key and ts - rings[start + 2 * i] < SECOND:
            same += 1
    at = start + 2 * (a.n_repeats % REPEAT_RING)
    rings[at] = ts
    rings[at + 1] = key
    a.n_repeats += 1
    return same > w.repeats


@kernel
def _market_data(w, o, ts):
    """Gate 5."""
    if o.tif >= AT_CLOSE:
        return 0
    b = books_of(w)[o.book]
    if b.kind == NONE:
        if b.last_trade_seen == 0 and b.bar_seen == 0:
            return NO_MARKET
    elif sides_of(w)[2 * o.book].size == 0 and sides_of(w)[2 * o.book + 1].size == 0:
        return NO_MARKET
    if is_crossed(w, o.book):
        return CROSSED
    if w.stale_ns > 0 and ts - w.last_ts > w.stale_ns:
        return STALE
    return 0


@kernel
def _reference_price(w, o, price):
    """(found, the price to value an order at)."""
    if price != 0 or o.type == LIMIT or o.type == STOP_LIMIT:
        return True, price
    if o.type == STOP:
        return True, o.stop
    b = books_of(w)[o.book]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    if other.size > 0:
        return True, other.best + b.shift
    own = sides_of(w)[2 * o.book + index(o.side)]
    if own.size > 0:
        return True, own.best + b.shift
    return mark_of(w, o.book)


@kernel
def _fat_finger(w, o, price, size):
    """Gate 6. A product that would not fit 63 bits is above any limit."""
    if w.max_size > 0 and size > w.max_size:
        return MAX_SIZE
    found, reference = _reference_price(w, o, price)
    if found:
        b = books_of(w)[o.book]
        if abs(float(reference)) * float(size) * float(b.money_num) > 4e18:
            return MAX_NOTIONAL
        if w.max_notional > 0 and abs(value_of(b, reference, size)) > w.max_notional:
            return MAX_NOTIONAL
    return 0


@kernel
def _collar(w, o, price):
    """Gate 7."""
    if o.type == STOP:
        price = o.stop
    elif price == 0 and o.type != LIMIT and o.type != STOP_LIMIT:
        return 0
    b = books_of(w)[o.book]
    if b.mid2_seen:
        mid2 = b.mid2 + 2 * b.shift
    elif b.last_trade_seen:
        mid2 = 2 * (b.last_trade + b.shift)
    else:
        return 0
    if float((2 * price - mid2) * o.side) * 1e6 > float(abs(mid2)) * float(w.collar_ppm):
        return COLLAR
    return 0


@kernel
def _rate(w, o, ts):
    """Gate 8: a bucket of ``burst`` tokens that fills at the allowed rate."""
    if w.rate == 0:
        return 0
    a = accounts_of(w)[o.account]
    full = w.burst * SECOND  # a token is SECOND units; the rate gives so many units a nanosecond
    elapsed = min(ts - a.tokens_ts, full // w.rate + 1)
    a.tokens = min(full, a.tokens + elapsed * w.rate)
    a.tokens_ts = ts
    if a.tokens < SECOND:
        return RATE
    a.tokens -= SECOND
    return 0


@kernel
def mark_of(w, book):
    """(found, price at which a position is valued): last valid mid, else last trade, else the last bar's close."""
    b = books_of(w)[book]
    if b.mid2_seen:
        return True, half_even(b.mid2 + 2 * b.shift, 2)
    if b.last_trade_seen:
        return True, b.last_trade + b.shift
    if b.bar_seen:
        return True, b.bar_close + b.shift
    return False, 0


@kernel
def equity_of(w, account, currency):
    """Cash plus positions at marks in one currency, in money; what has no mark counts as nothing."""
    total = purses_of(w)[account * w.n_currencies + currency].start
    ledger = ledger_of(w)
    for i in range(w.n_instruments):
        if books_of(w)[i].currency != currency:
            continue
        entry = ledger[account * w.n_instruments + i]
        total += entry.cash
        if entry.position != 0:
            _, mark = mark_of(w, i)
            total += value_of(books_of(w)[i], mark, entry.position)
    return total


@kernel
def _exposure(w, o, price, size, is_new):
    """Gate 10: position, gross and net exposure, cash; and REDUCE_ONLY."""
    reduce_only = (o.flags & REDUCE_ONLY) != 0
    if not (reduce_only or w.max_position or w.max_gross or w.max_net or w.margin_ppm):
        return 0
    ledger = ledger_of(w)
    entry = ledger[o.account * w.n_instruments + o.book]
    still_open = entry.open_buy if o.side > 0 else entry.open_sell
    if not is_new:
        still_open -= o.leaves
    if reduce_only and (entry.position * o.side >= 0 or still_open + size > abs(entry.position)):
        return NOT_REDUCING
    if w.max_position > 0 and o.side * entry.position + still_open + size > w.max_position:
        return MAX_POSITION
    if w.max_gross == 0 and w.max_net == 0 and w.margin_ppm == 0:
        return 0
    gross, net = 0, 0
    currency = books_of(w)[o.book].currency
    for i in range(w.n_instruments):
        if books_of(w)[i].currency != currency:
            continue
        position = ledger[o.account * w.n_instruments + i].position
        _, mark = mark_of(w, i)
        if i == o.book:
            position += o.side * (still_open + size)
        if position != 0:
            worth = value_of(books_of(w)[i], mark, position)
            gross += abs(worth)
            net += worth
    if w.max_gross > 0 and gross > w.max_gross:
        return MAX_GROSS
    if w.max_net > 0 and abs(net) > w.max_net:
        return MAX_NET
    grows = abs(entry.position + o.side * (still_open + size)) > abs(entry.position)
    if (
        w.margin_ppm > 0
        and grows
        and float(gross) * float(w.margin_ppm) > float(equity_of(w, o.account, currency)) * 1e6
    ):
        return NO_CASH
    return 0


@kernel
def _prevent_self_trade(w, k, ts):
    """Gate 11: own resting orders that this one would meet are cancelled first."""
    orders = orders_of(w)
    o = orders[k]
    if o.tif >= AT_CLOSE or o.type == STOP or o.type == STOP_LIMIT:
        return
    price = o.price
    if o.type >= PEG_PRIMARY:
        found, price = peg_price(w, k)
        if not found:
            return
    unlimited = o.type == MARKET and price == 0
    b = books_of(w)[o.book]
    if sides_of(w)[2 * o.book + 1 - index(o.side)].own_head < 0:
        return
    at = accounts_of(w)[o.account].head
    while at >= 0:
        other = orders[at]
        following = other.next
        meets = other.book == o.book and other.side != o.side and other.state == RESTING
        if meets and (unlimited or (price - within_band(b, other.side, other.work)) * o.side >= 0):
            end_order(w, at, R_CANCEL, ts, SELF_TRADE)
        at = following


@kernel
def _is_throttled(w, o, ts):
    """Gate 12: so many fills in the last second that something may be running away."""
    a = accounts_of(w)[o.account]
    n = w.fills_per_second
    if a.n_fills < n:
        return False
    start = o.account * (FILL_RING + 2 * REPEAT_RING)
    return ts - rings_of(w)[start + (a.fill_at - n) % FILL_RING] < SECOND


@kernel
def _loss(w, account, ts):
    """Gate 13: latches the kill switch."""
    reason = 0
    for currency in range(w.n_currencies):
        purse = purses_of(w)[account * w.n_currencies + currency]
        equity = equity_of(w, account, currency)
        purse.peak = max(purse.peak, equity)
        if reason == 0 and w.daily_loss > 0 and purse.base - equity >= w.daily_loss:
            reason = DAILY_LOSS
        elif reason == 0 and w.drawdown > 0 and purse.peak - equity >= w.drawdown:
            reason = DRAWDOWN
    if reason != 0:
        kill(w, account, ts, reason)
    return reason


@kernel
def kill(w, account, ts, reason):
    """Latch the kill switch and cancel what works at the venue, in order of order number."""
    accounts_of(w)[account].killed = 1
    k = accounts_of(w)[account].head
    while k >= 0:
        o = orders_of(w)[k]
        following = o.next
        if o.state != IN_FLIGHT and o.state != ENDED:
            end_order(w, k, R_CANCEL, ts, reason)
        k = following


@kernel
def _participation(w, o, size, is_new):
    """Gate 14."""
    b = books_of(w)[o.book]
    entry = ledger_of(w)[o.account * w.n_instruments + o.book]
    mine = entry.volume_session + entry.open_buy + entry.open_sell + size
    if not is_new:
        mine -= o.leaves
    if float(mine) * 1e6 > float(w.participation_ppm) * float(b.volume):
        return PARTICIPATION
    return 0
