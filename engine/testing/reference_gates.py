"""The gates of rulebook section 8, one function each, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.orders import OrderFlag, OrderType, Reason, TimeInForce
from engine.tape import State
from engine.testing.reference_orders import AT_ONCE, PEGS, STOPS, Order

if TYPE_CHECKING:
    from engine.testing.reference_venue import Venue

SECOND = 1_000_000_000
MILLION = 1_000_000
LARGEST_SIZE = 2**40
STANDING = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)


def refusal(venue: Venue, order: Order, replaced: Order | None = None) -> Reason:
    """Why the venue refuses ``order`` now, or NONE. ``replaced`` is the open order whose new terms these are."""
    gates = (form, permission, fat_finger, collar, exposure, participation) if replaced else ALL
    for gate in gates:
        reason = gate(venue, order, replaced)
        if reason:
            return reason
    return Reason.NONE


def form(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 1."""
    if not 0 <= order.instrument < len(venue.instruments):
        return Reason.BAD_INSTRUMENT
    instrument = venue.instruments[order.instrument]
    if not 1 <= order.size <= LARGEST_SIZE:
        return Reason.BAD_SIZE
    if order.size % instrument.lot:
        return Reason.BAD_LOT
    if order.price % instrument.tick or order.stop % instrument.tick:
        return Reason.OFF_TICK
    prices = [order.price] if order.has_limit else []
    prices += [order.stop] if order.type in STOPS and order.stop else []
    if not instrument.allows_negative_price and any(price < 1 for price in prices):
        return Reason.BAD_PRICE
    return Reason.NONE if replaced or _makes_sense(order, venue.now) else Reason.BAD_TERMS


def _makes_sense(order: Order, now: int) -> bool:
    if order.side not in (1, -1) or order.display < 0:
        return False
    if order.type in STOPS and order.stop == 0:
        return False
    if order.is_auction and order.type not in (OrderType.MARKET, OrderType.LIMIT):
        return False
    if order.type in PEGS and order.tif in AT_ONCE:
        return False
    can_rest = order.tif in STANDING and order.type in (OrderType.LIMIT, *PEGS)
    if order.post_only and not can_rest:
        return False
    if order.display and not can_rest and not (order.type == OrderType.STOP_LIMIT and order.tif in STANDING):
        return False
    return order.tif != TimeInForce.GTD or order.expire_ts > now


def permission(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 2."""
    if venue.killed[order.account]:
        return Reason.KILLED
    sleeps = (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.AT_OPEN, TimeInForce.AUCTION)
    if not venue.in_session(venue.now) and order.tif not in sleeps:
        return Reason.OUT_OF_SESSION
    state = venue.markets[order.instrument].state
    at_once = (order.type == OrderType.MARKET and not order.is_auction) or order.tif in AT_ONCE
    if state in (State.HALT, State.CLOSED) or (state != State.OPEN and at_once):
        return Reason.HALTED
    if venue.instruments[order.instrument].symbol in venue.risk.restricted:
        return Reason.RESTRICTED
    return Reason.NONE


def late(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 3."""
    limit = venue.risk.expiry_ns
    return Reason.LATE if limit and venue.now - order.sent > limit else Reason.NONE


def repeated(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 4."""
    key = (order.account, order.instrument, order.side, order.price, order.size)
    recent = [ts for ts in venue.alike[key] if ts > venue.now - SECOND] + [venue.now]
    venue.alike[key] = recent
    limit = venue.risk.repeats
    return Reason.REPEATED if limit and len(recent) > limit else Reason.NONE


def fresh(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 5."""
    if order.is_auction:
        return Reason.NONE
    market = venue.markets[order.instrument]
    if venue.instruments[order.instrument].book == "NONE":
        known = market.last_trade is not None or market.last_bar is not None
    else:
        known = market.book.best(1)[1] > 0 or market.book.best(-1)[1] > 0
    if not known:
        return Reason.NO_MARKET
    if market.book.crossed:
        return Reason.CROSSED
    limit = venue.risk.stale_ns
    return Reason.STALE if limit and venue.now - venue.last_heard > limit else Reason.NONE


def fat_finger(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 6."""
    risk = venue.risk
    if risk.max_size and order.size > risk.max_size:
        return Reason.MAX_SIZE
    price = _price_paid(venue, order)
    notional = 0 if price is None else abs(venue.instruments[order.instrument].value(price, order.size))
    return Reason.MAX_NOTIONAL if risk.max_notional and notional > risk.max_notional else Reason.NONE


def _price_paid(venue: Venue, order: Order) -> int | None:
    if order.has_limit:
        return order.price
    if order.type == OrderType.STOP:
        return order.stop
    book = venue.markets[order.instrument].book
    for side in (-order.side, order.side):
        price, size = book.best(side)
        if size:
            return price
    return venue.mark(order.instrument)


def collar(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 7."""
    market = venue.markets[order.instrument]
    if order.type == OrderType.STOP:
        price = order.stop
    elif order.has_limit:
        price = order.price
    else:
        return Reason.NONE
    if market.mid_sum is not None:
        twice = market.mid_sum
    elif market.last_trade is not None:
        twice = 2 * market.last_trade
    else:
        return Reason.NONE
    limit = venue.risk.collar_ppm
    too_far = order.side * (2 * price - twice) * MILLION > abs(twice) * limit
    return Reason.COLLAR if limit and too_far else Reason.NONE


def rate(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 8: tokens are counted in billionths, so that a nanosecond adds a whole number of them."""
    risk = venue.risk
    if not risk.orders_per_second:
        return Reason.NONE
    tokens, then = venue.tokens[order.account]
    tokens = min(risk.burst * SECOND, tokens + (venue.now - then) * risk.orders_per_second)
    passes = tokens >= SECOND
    venue.tokens[order.account] = (tokens - SECOND if passes else tokens, venue.now)
    return Reason.NONE if passes else Reason.RATE


def open_count(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 9."""
    mine = [other for other in venue.open_orders() if other.account == order.account]
    here = [other for other in mine if other.instrument == order.instrument]
    risk = venue.risk
    full = (risk.max_open and len(here) >= risk.max_open) or (
        risk.max_open_account and len(mine) >= risk.max_open_account
    )
    return Reason.MAX_OPEN if full else Reason.NONE


def exposure(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 10."""
    risk, ledger = venue.risk, venue.ledgers[order.account]
    position = ledger.position[order.instrument]
    wanted = sum(other.open for other in _open_beside(venue, order, replaced) if other.side == order.side) + order.size
    if order.flags & OrderFlag.REDUCE_ONLY and (order.side * position >= 0 or wanted > abs(position)):
        return Reason.NOT_REDUCING
    if risk.max_position and order.side * position + wanted > risk.max_position:
        return Reason.MAX_POSITION
    currency = venue.instruments[order.instrument].currency
    marks = venue.marks()
    after = position + order.side * wanted
    values = [
        venue.instruments[index].value(marks[index] or 0, after) if index == order.instrument else value
        for index, value in ledger.values(currency, marks)
    ]
    gross, net = sum(abs(value) for value in values), abs(sum(values))
    if risk.max_gross and gross > risk.max_gross:
        return Reason.MAX_GROSS
    if risk.max_net and net > risk.max_net:
        return Reason.MAX_NET
    equity = ledger.equity(currency, marks)
    if abs(after) > abs(position) and gross * risk.margin_ppm > equity * MILLION and risk.margin_ppm:
        return Reason.NO_CASH
    return Reason.NONE


def _open_beside(venue: Venue, order: Order, replaced: Order | None) -> list[Order]:
    return [
        other
        for other in venue.open_orders()
        if other.account == order.account and other.instrument == order.instrument and other is not replaced
    ]


def self_trade(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 11: never refuses; takes our own orders out of the way."""
    if venue.risk.self_trade == "allow" or order.is_auction or order.type in STOPS:
        return Reason.NONE
    price = venue.peg_price(order) if order.is_peg else order.price if order.has_limit else None
    if order.is_peg and price is None:
        return Reason.NONE
    for other in venue.open_orders():
        meets = (
            other.account == order.account
            and other.instrument == order.instrument
            and other.side == -order.side
            and other.working is not None
            and (price is None or order.side * (price - venue.our_price(other)) >= 0)
        )
        if meets:
            venue.cancel(other, Reason.SELF_TRADE)
    return Reason.NONE


def throttled(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 12."""
    limit = venue.risk.fills_per_second
    recent = [ts for ts in venue.fill_times[order.account] if ts > venue.now - SECOND]
    return Reason.THROTTLED if limit and len(recent) >= limit else Reason.NONE


def losses(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 13."""
    risk = venue.risk
    reason, marks = Reason.NONE, venue.marks()
    for currency in sorted({instrument.currency for instrument in venue.instruments}):
        key = (order.account, currency)
        equity = venue.ledgers[order.account].equity(currency, marks)
        base, peak = venue.equity_base[key], max(venue.equity_peak[key], equity)
        venue.equity_peak[key] = peak
        if not reason and risk.daily_loss and base - equity >= risk.daily_loss:
            reason = Reason.DAILY_LOSS
        elif not reason and risk.drawdown and peak - equity >= risk.drawdown:
            reason = Reason.DRAWDOWN
    if reason:
        venue.kill(order.account, reason)
    return reason


def participation(venue: Venue, order: Order, replaced: Order | None) -> Reason:
    """Gate 14."""
    share = venue.risk.participation_ppm
    own = venue.own_volume[order.account, order.instrument]
    own += sum(other.open for other in _open_beside(venue, order, replaced)) + order.size
    too_much = own * MILLION > share * venue.markets[order.instrument].volume
    return Reason.PARTICIPATION if share and too_much else Reason.NONE


ALL = (
    form, permission, late, repeated, fresh, fat_finger, collar, rate, open_count, exposure, self_trade, throttled,
    losses, participation,
)  # fmt: skip
