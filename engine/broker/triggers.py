"""Orders whose price or start follows the market: pegs and stops; and what an order does once it is at its price."""

from __future__ import annotations

from engine.broker.book import index
from engine.broker.fills import is_tradable, offered, take
from engine.broker.kernel import kernel
from engine.broker.orders import (
    FOK,
    IOC,
    LIMIT,
    MARKET,
    PEG_MARKET,
    PEG_PRIMARY,
    R_EXPIRE,
    STOP,
    STOP_LIMIT,
    end_order,
    leave_level,
)
from engine.broker.resting import place
from engine.broker.state import RESTING, WAITING, accounts_of, books_of, orders_of, sides_of
from engine.orders import Reason

IOC_REST, NO_LIQUIDITY, FOK_SHORT = int(Reason.IOC_REST), int(Reason.NO_LIQUIDITY), int(Reason.FOK_SHORT)


@kernel
def peg_price(w, k):
    """(found, working price) of a pegged order, as we see it."""
    o = orders_of(w)[k]
    b = books_of(w)[o.book]
    own = sides_of(w)[2 * o.book + index(o.side)]
    other = sides_of(w)[2 * o.book + 1 - index(o.side)]
    if o.type == PEG_PRIMARY:
        if own.size == 0:
            return False, 0
        price = own.best
    elif o.type == PEG_MARKET:
        if other.size == 0:
            return False, 0
        price = other.best
    else:
        if own.size == 0 or other.size == 0 or (other.best - own.best) * o.side < 0:
            return False, 0
        both = own.best + other.best
        price = both // 2 if o.side > 0 else -((-both) // 2)
    price += b.shift
    price = _to_tick(price, o.side, b.tick) + o.side * o.stop
    if o.price != 0 and (price - o.price) * o.side > 0:
        price = o.price
    if other.size > 0:
        touch = other.best + b.shift
        if (price - touch) * o.side >= 0:
            price = _to_tick(touch - o.side, o.side, b.tick)
    return price >= 1 or b.negative == 1, price


@kernel
def _to_tick(price, side, tick):
    """Rounded to a tick away from the market: down for a buy, up for a sell."""
    return price // tick * tick if side > 0 else -(-price // tick) * tick


@kernel
def reprice_pegs(w, book):
    """Pegged orders move when their reference did; a new price is a new place."""
    orders = orders_of(w)
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders[k]
            if o.book == book and o.type >= PEG_PRIMARY and (o.state == RESTING or o.state == WAITING):
                found, price = peg_price(w, k)
                if not found:
                    leave_level(w, k)
                    o.state = WAITING
                elif o.state == WAITING or price != o.work:
                    o.work = price
                    place(w, k)
            k = o.next


@kernel
def proceed(w, k, ts):
    """An accepted order that is at its price: it takes, then rests or ends."""
    o = orders_of(w)[k]
    if o.type >= PEG_PRIMARY:
        found, price = peg_price(w, k)
        o.state = WAITING
        if found:
            o.work = price
            place(w, k)
        return
    o.work = o.price
    if o.tif == FOK and offered(w, k) < o.leaves:
        end_order(w, k, R_EXPIRE, ts, FOK_SHORT)
        return
    take(w, k, ts)
    if o.leaves == 0:
        return
    if o.type == MARKET:
        end_order(w, k, R_EXPIRE, ts, NO_LIQUIDITY)
    elif o.tif == IOC or o.tif == FOK:
        end_order(w, k, R_EXPIRE, ts, IOC_REST)
    else:
        place(w, k)


@kernel
def trigger_stops(w, book, ts):
    """Stops whose price traded (or was quoted) go on as market or limit orders, by account, then order number."""
    b = books_of(w)[book]
    orders = orders_of(w)
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    if not is_tradable(w, book):
        return
    for account in range(w.n_accounts):
        k = accounts_of(w)[account].head
        while k >= 0:
            o = orders[k]
            following = o.next
            if o.book == book and o.state == WAITING and (o.type == STOP or o.type == STOP_LIMIT):
                if w.stop_by_quote:
                    reached = ask if o.side > 0 else bid
                    hit = reached.size > 0 and (reached.best + b.shift - o.stop) * o.side >= 0
                else:
                    printed = b.trade_high if o.side > 0 else b.trade_low
                    hit = (printed + b.shift - o.stop) * o.side >= 0
                if hit:
                    o.type = MARKET if o.type == STOP else LIMIT
                    b.n_special -= 1
                    proceed(w, k, ts)
            k = following
