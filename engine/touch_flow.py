"""What pushes the mid, from a tape: market orders, and limit orders and cancels at the touch.

Rows that happen together are one event of an instrument, held against the touch before them:

* trades: a MARKET event of the aggressor's side, with all they traded (net of the other side, if both did); trades that
  no side was given are signed by the touch before them, and left out where it does not tell;
* else more size at a best price, or a better one: a LIMIT event of the book's side;
* else less size, or a worse best price: a CANCEL event of the other side, since it leaves the way open to it.

Quotes and depth show a trade once more when the level shrinks: a trade's own size is taken off what shrinks next at its
side. Auction prints and snapshots are no flow; an event needs a valid two-sided touch before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import TapeError
from engine.levels import add_to_level, set_level
from engine.tape import Flag, Kind, Tape

MARKET, LIMIT, CANCEL = 0, 1, 2
FLOWS = ("market", "limit", "cancel")

QUOTE, DEPTH, ADD, EXECUTE, REVEAL = (int(k) for k in (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.EXECUTE, Kind.REVEAL))
TRADE, CLEAR = int(Kind.TRADE), int(Kind.CLEAR)
LAST, HIDDEN, AUCTION, SNAPSHOT = int(Flag.LAST), int(Flag.HIDDEN), int(Flag.AUCTION), int(Flag.SNAPSHOT)
LEVELS = 4096  # a side that are kept; the worst falls out, far from any touch

EVENT = np.dtype(
    [
        ("ts", "<i8"),
        ("flow", "<i8"),
        ("side", "<i8"),  # +1 pushes the mid up
        ("size", "<i8"),
        ("bid", "<i8"),  # the touch before, price units
        ("ask", "<i8"),
        ("bid_size", "<i8"),
        ("ask_size", "<i8"),
        ("mid2", "<i8"),  # bid + ask after; as before where it is not valid
    ]
)


def flow_events(tape: Tape, symbol: str) -> NDArray[np.void]:
    """EVENT[n] of ``symbol``, in order.

    Raises
    ------
    TapeError
        If the tape has no such instrument, or nothing of it pushes a mid.
    """
    number = next((k for k, one in enumerate(tape.instruments) if one.symbol == symbol), None)
    if number is None:
        raise TapeError(f"{symbol} is not on the tape; it has {', '.join(one.symbol for one in tape.instruments)}")
    rows = tape.rows[tape.rows["instrument"] == number]
    out = np.zeros(2 * len(rows), EVENT)
    columns = [np.ascontiguousarray(rows[name]) for name in ("ts_event", "kind", "side", "price", "size", "flags")]
    books = np.zeros((4, LEVELS), np.int64)
    n = _events(*columns, np.ascontiguousarray(rows["price2"]), np.ascontiguousarray(rows["size2"]), *books, out)
    if n == 0:
        raise TapeError(f"nothing on the tape pushes a mid of {symbol}: it needs quotes or a book, and trades")
    return out[:n].copy()


@compiled
def _events(ts, kind, side, price, size, flags, price2, size2, bid_keys, bid_sizes, ask_keys, ask_sizes, out):
    n = bids = asks = 0
    bid = ask = bid_size = ask_size = 0  # the touch before the group
    traded = market = 0  # signed size; whether a trade was in the group
    pending_bid = pending_ask = 0  # traded, not yet seen to leave the book
    is_flow = True
    for i in range(kind.size):
        k = kind[i]
        if flags[i] & SNAPSHOT:
            is_flow = False
        if k == QUOTE:
            bids = set_level(bid_keys, bid_sizes, 0, price[i], size[i])
            asks = set_level(ask_keys, ask_sizes, 0, -price2[i], size2[i])
        elif k == CLEAR:
            bids = asks = 0
            is_flow = False
        elif DEPTH <= k <= REVEAL and not (k == EXECUTE and flags[i] & HIDDEN):
            is_flow = is_flow and k != REVEAL
            bids, asks = _level(k, side[i], price[i], size[i], bid_keys, bid_sizes, bids, ask_keys, ask_sizes, asks)
        if k in (TRADE, EXECUTE) and not flags[i] & AUCTION:
            aggressor = -side[i] if k == EXECUTE else side[i]
            if aggressor == 0 and bid_size > 0 and ask_size > 0:
                aggressor = (price[i] >= ask) - (price[i] <= bid)
            traded += aggressor * size[i]
            market = 1
            if k == TRADE and aggressor > 0:
                pending_ask += size[i]
            elif k == TRADE and aggressor < 0:
                pending_bid += size[i]
        if not flags[i] & LAST:
            continue
        new_bid = bid_keys[bids - 1] if bids else 0
        new_ask = -ask_keys[asks - 1] if asks else 0
        new_bid_size = bid_sizes[bids - 1] if bids else 0
        new_ask_size = ask_sizes[asks - 1] if asks else 0
        mid2 = new_bid + new_ask if bids and asks and new_bid < new_ask else bid + ask
        was_valid = bid_size > 0 and ask_size > 0 and bid < ask
        bid_change = _pressure(1, bid, bid_size, new_bid, new_bid_size)
        ask_change = _pressure(-1, ask, ask_size, new_ask, new_ask_size)
        # what a trade took leaves the book only once
        if bid_change < 0 and pending_bid > 0:
            pending_bid = max(0, pending_bid + bid_change) if bid == new_bid else 0
            bid_change = 0
        if ask_change < 0 and pending_ask > 0:
            pending_ask = max(0, pending_ask + ask_change) if ask == new_ask else 0
            ask_change = 0
        if is_flow and was_valid:
            if market:
                if traded != 0:
                    n = _write(out, n, ts[i], MARKET, 1 if traded > 0 else -1, abs(traded))
            else:
                if bid_change != 0:
                    n = _write(out, n, ts[i], LIMIT if bid_change > 0 else CANCEL, _sign(bid_change), abs(bid_change))
                if ask_change != 0:
                    n = _write(out, n, ts[i], LIMIT if ask_change > 0 else CANCEL, -_sign(ask_change), abs(ask_change))
            for j in range(max(n - 2, 0), n):
                if out[j].bid == 0 and out[j].ask == 0:
                    out[j].bid, out[j].ask, out[j].bid_size, out[j].ask_size = bid, ask, bid_size, ask_size
                    out[j].mid2 = mid2
        bid, ask, bid_size, ask_size = new_bid, new_ask, new_bid_size, new_ask_size
        traded = market = 0
        is_flow = True
    return n


@compiled
def _level(kind, side, price, size, bid_keys, bid_sizes, bids, ask_keys, ask_sizes, asks):
    """The number of levels of both sides after a row of the book."""
    change = size if kind == ADD else -size
    if side > 0:
        bids = _room(bid_keys, bid_sizes, bids)
        if kind in (DEPTH, REVEAL):
            return set_level(bid_keys, bid_sizes, bids, price, size), asks
        return add_to_level(bid_keys, bid_sizes, bids, price, change), asks
    asks = _room(ask_keys, ask_sizes, asks)
    if kind in (DEPTH, REVEAL):
        return bids, set_level(ask_keys, ask_sizes, asks, -price, size)
    return bids, add_to_level(ask_keys, ask_sizes, asks, -price, change)


@compiled
def _room(keys, sizes, n):
    """Drop the worst half of a side that is full."""
    if n < keys.size:
        return n
    half = n // 2
    for i in range(n - half):
        keys[i] = keys[i + half]
        sizes[i] = sizes[i + half]
    return n - half


@compiled
def _pressure(side, price, size, new_price, new_size):
    """Signed size that joined (> 0) or left (< 0) a best level; a better or worse price counts what stands there."""
    if size == 0 or new_size == 0:
        return new_size - size
    if side * new_price > side * price:
        return new_size
    if side * new_price < side * price:
        return -size
    return new_size - size


@compiled
def _write(out, n, ts, flow, side, size):
    out[n].ts, out[n].flow, out[n].side, out[n].size = ts, flow, side, size
    out[n].bid = out[n].ask = 0
    return n + 1


@compiled
def _sign(x):
    return 1 if x > 0 else -1
