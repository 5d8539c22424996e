"""What a row does to a book, and to our orders in it (docs/simulation.md, sections 3 to 6)."""

from __future__ import annotations

from engine.broker.book import clear_side, index, is_observed, level_size, set_level
from engine.broker.fills import fill, forget_taken, shrink_taken
from engine.broker.kernel import kernel
from engine.broker.orders import AT_CLOSE, AT_OPEN, AUCTION_TIF, LIMIT, R_EXPIRE, end_order
from engine.broker.queue_stamps import forget_market_order, note_market_order, reduce_market_order
from engine.broker.resting import level_changed, match_trade
from engine.broker.state import NEVER, WAITING, accounts_of, books_of, orders_of, sides_of, touched_of
from engine.orders import Reason
from engine.tape import Auction, Flag, Kind, State

QUOTE, DEPTH, ADD, REDUCE, DELETE, EXECUTE, REVEAL = (
    int(k) for k in (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.REVEAL)
)
TRADE, BAR, STATUS, CLEAR = (int(k) for k in (Kind.TRADE, Kind.BAR, Kind.STATUS, Kind.CLEAR))
HIDDEN, AUCTION, OUTSIDE = int(Flag.HIDDEN), int(Flag.AUCTION), int(Flag.OUTSIDE)
BAND, OPENING_AUCTION, CLOSING_AUCTION = int(State.BAND), int(State.OPENING_AUCTION), int(State.CLOSING_AUCTION)
HALT, QUOTING, AUCTION_STATE = int(State.HALT), int(State.QUOTING), int(State.AUCTION)
OPENING, CLOSING, INTRADAY = int(Auction.OPENING), int(Auction.CLOSING), int(Auction.INTRADAY)
NO_AUCTION = int(Reason.NO_AUCTION)


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
    b.prev_shift = b.shift
    b.prev_bid, b.prev_bid_size, b.prev_ask, b.prev_ask_size = bid.best, bid.size, ask.best, ask.size
    if book < w.n_instruments:
        touched_of(w)[w.n_touched] = book
        w.n_touched += 1
    else:
        touched_of(w)[w.n_instruments + w.n_seen_touched] = book
        w.n_seen_touched += 1


@kernel
def apply_row(w, r, book):
    """One row, with all that it can mean for our orders."""
    b = books_of(w)[book]
    w.row_count += 1
    b.seen_ts = r.ts_event
    touch(w, book)
    kind = r.kind
    tracks = w.track_orders and book < w.n_instruments
    if kind == QUOTE:
        _apply_quote_side(w, b, book, 1, r.price, r.size)
        _apply_quote_side(w, b, book, -1, r.price2, r.size2)
    elif kind == DEPTH or kind == REVEAL:
        _change_level(w, b, book, r.side, r.price, r.size, -1 if kind == REVEAL and r.size == 0 else 0)
    elif kind == ADD:
        size = level_size(w, book, r.side, r.price) + r.size
        _change_level(w, b, book, r.side, r.price, size, 0)
        if tracks:
            note_market_order(w, r.order_id, book, r.size)
    elif kind == REDUCE or kind == DELETE:
        stamp = 0
        if tracks:
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
            if tracks:
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
