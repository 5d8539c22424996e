"""What a feed with less detail shows of an order-by-order market: depth by price, quotes and trades, bars.

Every face takes the ADD, REDUCE, DELETE and EXECUTE rows of one instrument and one session, the open book first with
SNAPSHOT, and gives new rows with the same times and groups. Executions of one order at one price are one TRADE, and
a TRADE comes before the DEPTH or QUOTE that shows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.tape import ROW, Flag, Kind

_ADD, _EXECUTE = int(Kind.ADD), int(Kind.EXECUTE)
_QUOTE, _DEPTH, _TRADE, _BAR = int(Kind.QUOTE), int(Kind.DEPTH), int(Kind.TRADE), int(Kind.BAR)
_LAST, _SNAPSHOT = int(Flag.LAST), int(Flag.SNAPSHOT)
_BID, _ASK, _BID_SIZE, _ASK_SIZE = range(4)


def depth(rows: NDArray[np.void], tick: int) -> NDArray[np.void]:
    """L2: DEPTH rows of the whole book, and TRADE rows; ``tick`` in price units.

    ``level`` of a DEPTH row is the number of levels that are better.
    """
    out = np.zeros(2 * len(rows), ROW)
    n = _depth(rows, tick, _levels(rows, tick), out)
    return out[:n].copy()


def quotes(rows: NDArray[np.void], tick: int) -> NDArray[np.void]:
    """L1: a QUOTE row where the best price or its size changed, and TRADE rows; ``tick`` in price units."""
    out = np.zeros(2 * len(rows), ROW)
    n = _quotes(rows, tick, _levels(rows, tick), out)
    return out[:n].copy()


def bars(rows: NDArray[np.void], *, ts_open: int, ts_close: int, length_ns: int) -> NDArray[np.void]:
    """BAR rows of executions, each at its end; an interval without a trade has no bar."""
    trades = rows[rows["kind"] == _EXECUTE]
    interval = (trades["ts_event"] - ts_open) // length_ns
    first = np.flatnonzero(np.diff(interval, prepend=-1))
    out = np.zeros(len(first), ROW)
    if len(first):
        last = np.append(first[1:], len(trades)) - 1
        out["ts_event"] = out["ts_recv"] = np.minimum(ts_open + (interval[first] + 1) * length_ns, ts_close)
        out["order_id"] = trades["price"][first]
        out["price"] = np.maximum.reduceat(trades["price"], first)
        out["price2"] = np.minimum.reduceat(trades["price"], first)
        out["size2"] = trades["price"][last]
        out["size"] = np.add.reduceat(trades["size"], first)
        out["kind"], out["flags"] = _BAR, _LAST
    return out


def _levels(rows: NDArray[np.void], tick: int) -> NDArray[np.int64]:
    """Room for the size at each price, by tick."""
    return np.zeros(int(rows["price"].max(initial=0)) // tick + 2, np.int64)


@compiled
def apply_row(row, price, size_at, touch):
    """Apply a row to the sizes by tick; the touch may be left on an emptied level until ``settle``."""
    if row.kind == _ADD:
        size_at[price] += row.size
        if row.side > 0:
            touch[_BID] = max(touch[_BID], price)
        else:
            touch[_ASK] = min(touch[_ASK], price)
    else:
        size_at[price] -= row.size


@compiled
def settle(size_at, touch):
    """Move the touch to the best levels that hold something; a side that holds nothing has size 0."""
    bid, ask = touch[_BID], touch[_ASK]
    while bid > 0 and size_at[bid] == 0:
        bid -= 1
    while ask < size_at.size - 1 and size_at[ask] == 0:
        ask += 1
    touch[_BID], touch[_ASK], touch[_BID_SIZE], touch[_ASK_SIZE] = bid, ask, size_at[bid], size_at[ask]


@compiled
def open_touch(size_at):
    touch = np.zeros(4, np.int64)
    touch[_ASK] = size_at.size - 1
    return touch


@compiled
def _stamp(row, like, kind, side, price, size):
    row.ts_event = like.ts_event
    row.ts_recv = like.ts_recv
    row.instrument = like.instrument
    row.kind = kind
    row.side = side
    row.price = price
    row.size = size


@compiled
def _trade(rows, k, trade_id, out, n):
    """A TRADE for ``rows[k]``, or more size for the TRADE before, where that is the same order at the same price."""
    row = rows[k]
    same_group = k > 0 and not rows[k - 1].flags & _LAST
    if same_group and rows[k - 1].kind == _EXECUTE and rows[k - 1].price == row.price:
        out[n - 1].size += row.size
        return n
    _stamp(out[n], row, _TRADE, -row.side, row.price, row.size)
    out[n].order_id = trade_id
    return n + 1


@compiled
def _depth(rows, tick, size_at, out):
    touch = open_touch(size_at)
    n = 0
    trades = 0
    for k in range(rows.size):
        row = rows[k]
        price = row.price // tick
        apply_row(row, price, size_at, touch)
        last = row.flags & _LAST
        if row.kind == _EXECUTE:
            m = n
            n = _trade(rows, k, trades + 1, out, n)
            trades += n - m
            if not last and rows[k + 1].kind == _EXECUTE and rows[k + 1].price == row.price:
                continue  # more of the same trade follows
        if row.flags & _SNAPSHOT and not last and rows[k + 1].price == row.price:
            continue  # more orders of the same level follow
        _stamp(out[n], row, _DEPTH, row.side, row.price, size_at[price])
        out[n].flags = (row.flags & _SNAPSHOT) | last
        if not row.flags & _SNAPSHOT:
            out[n].level = _levels_better(size_at, touch[_BID] if row.side > 0 else touch[_ASK], price)
        n += 1
        if last:
            settle(size_at, touch)
    return n


@compiled
def _levels_better(size_at, best, price):
    count = 0
    step = 1 if price > best else -1
    while best != price and count < 65535:
        count += size_at[best] > 0
        best += step
    return count


@compiled
def _quotes(rows, tick, size_at, out):
    touch = open_touch(size_at)
    shown = np.full(4, -1, np.int64)
    n = 0
    trades = 0
    for k in range(rows.size):
        row = rows[k]
        apply_row(row, row.price // tick, size_at, touch)
        if row.kind == _EXECUTE:
            m = n
            n = _trade(rows, k, trades + 1, out, n)
            trades += n - m
        if not row.flags & _LAST:
            continue
        settle(size_at, touch)
        if not np.array_equal(touch, shown):
            _stamp(out[n], row, _QUOTE, 0, touch[_BID] * tick, touch[_BID_SIZE])
            out[n].price2 = touch[_ASK] * tick
            out[n].size2 = touch[_ASK_SIZE]
            out[n].flags = (row.flags & _SNAPSHOT) | _LAST
            n += 1
            shown[:] = touch
        elif row.kind == _EXECUTE:
            out[n - 1].flags |= _LAST
    return n
