"""The short way: rows that move a book and concern nobody.

``skim`` applies rows for as long as each is a whole group that wakes no strategy and cannot fill, trigger, re-price or
resume an order of ours. It stops before the first row of which that is not certain, and the long way (``kernels.py``)
takes that one; which way a row goes never changes a result. Tables are opened once, and what it needs to know of our
orders in a book is read once (``_guard``), because memory that a kernel writes to must be read anew after each write.
"""

from __future__ import annotations

from engine.broker.fills import is_tradable, shrink_taken
from engine.broker.footprint import stays
from engine.broker.kernel import kernel
from engine.broker.resting import level_changed
from engine.broker.state import MASK, NEVER, WINDOW, books_of, orders_of, rows_of, sides_of, sizes_of, sources_of
from engine.tape import Flag, Kind

QUOTE, DEPTH, TRADE = int(Kind.QUOTE), int(Kind.DEPTH), int(Kind.TRADE)
LAST, HIDDEN, AUCTION, OUTSIDE = int(Flag.LAST), int(Flag.HIDDEN), int(Flag.AUCTION), int(Flag.OUTSIDE)
EDGE = WINDOW // 8  # a best nearer to the end of the ladder moves its window
MANY = 8  # orders a side; behind more than that nothing is skimmed


@kernel
def skim(w, i, due):
    """Apply rows from the i-th on; returns the first that must take the long way, or is due later than ``due``."""
    rows, books, sides, sizes, sources = rows_of(w), books_of(w), sides_of(w), sizes_of(w), sources_of(w)
    n, single = w.n_rows, w.single_source
    guarded, is_safe, best_bid, worst_bid, best_ask, worst_ask = -1, False, 0, 0, 0, 0
    while i < n:
        r = rows[i]
        kind, ts, price, size = r.kind, r.ts_event, r.price, r.size
        if ts > due or r.flags & LAST == 0:
            break
        book = int(r.instrument)
        b = books[book]
        own = takes = 0
        if b.interest != 0:
            own, takes = b.n_own, b.n_takes
            if b.interest != own + takes:
                break
        if own > 0:
            if book != guarded:
                guarded = book
                is_safe, best_bid, worst_bid, best_ask, worst_ask = _guard(w, book)
            if not is_safe:
                break
        if kind == DEPTH:
            side = int(r.side)
            s = 2 * book + ((1 - side) >> 1)
            here = sides[s]
            grid = b.grid
            step = price if grid == 1 else price // grid
            offset = step - b.low
            best, shown = here.best, here.size
            if step * grid != price or offset < 0 or offset >= WINDOW or shown == 0 or (size == 0 and price == best):
                break
            if (price - best) * side > 0 and size > 0:
                if own > 0 or offset < EDGE or offset >= WINDOW - EDGE:
                    break
                best = here.best = price
                other = sides[s ^ 1]
                if other.size > 0 and (other.best - price) * side >= 0:
                    b.mid2, b.mid2_seen = price + other.best, 1
            here.size = size if price == best else shown  # no branch: nobody could predict it
            cell = s * WINDOW + (step & MASK)
            old = sizes[cell]
            sizes[cell] = size
            if size == 0 or old == 0:
                here.n_dense += (size > 0) - (old > 0)
            if old != size and own + takes > 0:
                worst, top = (worst_bid, best_bid) if r.side > 0 else (best_ask, worst_ask)
                if own > 0 and worst <= price <= top:
                    level_changed(w, book, r.side, price, old, size, 0, True)
                elif size < old and takes > 0:
                    shrink_taken(w, book, r.side, price, old - size)
        elif kind == TRADE:
            if own > 0:
                if r.flags & (HIDDEN | AUCTION | OUTSIDE) or r.side == 0:
                    break
                reached = price - best_ask if r.side > 0 else best_bid - price
                if reached > 0 or (reached == 0 and b.moves):
                    break
                if reached == 0 and not _absorb(w, 2 * book + ((1 + r.side) >> 1), size):
                    break
            if b.moves and not stays(w, b, size):
                break
            b.volume += size
            b.clock_volume += size
            b.last_trade, b.last_trade_seen = price, 1
        elif kind == QUOTE and own + takes == 0:
            bid, ask = sides[2 * book], sides[2 * book + 1]
            bid.best, bid.size = price if size > 0 else 0, size
            ask.best, ask.size = r.price2 if r.size2 > 0 else 0, r.size2
            if size > 0 and r.size2 > 0 and price <= r.price2:
                b.mid2, b.mid2_seen = price + r.price2, 1
        else:
            break
        b.seen_ts = ts
        if single == 0:
            w.last_source = b.source
            w.last_seq = sources[b.source]
            sources[b.source] += 1
        i += 1
    return i


@kernel
def _guard(w, book):
    """(whether rows may be skimmed beside our orders, best and worst price of our bids, best and worst of our asks)."""
    b = books_of(w)[book]
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    best_bid, worst_bid, bids = _range(w, bid.own_head, -NEVER, NEVER)
    best_ask, worst_ask, asks = _range(w, ask.own_head, NEVER, -NEVER)
    shift = b.shift
    best_bid, worst_bid, best_ask, worst_ask = best_bid - shift, worst_bid - shift, best_ask - shift, worst_ask - shift
    is_safe = (
        b.n_special == 0
        and b.levels == 0
        and b.was_tradable == 1
        and is_tradable(w, book)
        and bids < MANY
        and asks < MANY
        and (bids == 0 or b.band_high == 0 or best_bid <= b.band_high)  # no price of ours is capped
        and (asks == 0 or b.band_low == 0 or best_ask >= b.band_low)
        and (bid.size == 0 or bid.best < best_ask)
        and (ask.size == 0 or ask.best > best_bid)
    )
    return is_safe, best_bid, worst_bid, best_ask, worst_ask


@kernel
def _absorb(w, s, size):
    """A trade at the best price of our orders on side s that the market ahead takes whole; False: not so."""
    orders = orders_of(w)
    head = sides_of(w)[s].own_head
    k = head
    while k >= 0 and orders[k].work == orders[head].work:
        if orders[k].ahead < size:
            return False
        k = orders[k].next_level
    k = head
    while k >= 0 and orders[k].work == orders[head].work:
        orders[k].ahead -= size
        orders[k].traded += size
        k = orders[k].next_level
    return True


@kernel
def _range(w, k, best, worst):
    """Best and worst price of the orders from the k-th on in their side's list, and how many they are."""
    orders = orders_of(w)
    count = 0
    while k >= 0 and count < MANY:
        if count == 0:
            best = orders[k].work
        worst = orders[k].work
        count += 1
        k = orders[k].next_level
    return best, worst, count
