"""When each order of the market joined its queue: what exact FIFO positions on order-by-order data need.

An open-addressing table with linear probing; a removed order's followers are moved back, so there are no tombstones.
"""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.state import market_of


@kernel
def _slot(w, order_id, book):
    """Where an order of the market is, or where it would go."""
    table, mask = market_of(w), w.cap_market - 1
    at = _home(order_id, book) & mask
    while table[at].stamp != 0 and not (table[at].order_id == order_id and table[at].book == book):
        at = (at + 1) & mask
    return at


@kernel
def _home(order_id, book):
    mixed = (order_id ^ (book << 40)) * 0x9E3779B97F4A7C1
    return (mixed ^ (mixed >> 29)) & 0x7FFFFFFFFFFFFFFF


@kernel
def note_market_order(w, order_id, book, size):
    """An order of the market joins its queue."""
    at = _slot(w, order_id, book)
    entry = market_of(w)[at]
    if entry.stamp == 0:
        w.n_market += 1
        if 2 * w.n_market > w.cap_market:
            w.need = 1
    w.stamp += 1
    entry.order_id, entry.book, entry.stamp, entry.size = order_id, book, w.stamp, size


@kernel
def reduce_market_order(w, order_id, book, size):
    """An order shrinks; returns when it joined, 0 if that was not seen."""
    at = _slot(w, order_id, book)
    entry = market_of(w)[at]
    stamp = entry.stamp
    if stamp != 0:
        entry.size -= size
        if entry.size <= 0:
            _remove(w, at)
    return stamp


@kernel
def forget_market_order(w, order_id, book):
    """An order leaves; returns when it joined, 0 if that was not seen."""
    at = _slot(w, order_id, book)
    stamp = market_of(w)[at].stamp
    if stamp != 0:
        _remove(w, at)
    return stamp


@kernel
def _remove(w, hole):
    table, mask = market_of(w), w.cap_market - 1
    w.n_market -= 1
    at = hole
    while True:
        at = (at + 1) & mask
        if table[at].stamp == 0:
            break
        home = _home(table[at].order_id, table[at].book) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            table[hole] = table[at]
            hole = at
    table[hole].stamp = 0


@kernel
def insert_market_order(w, order_id, book, stamp, size):
    """Put an order back into a larger table."""
    entry = market_of(w)[_slot(w, order_id, book)]
    entry.order_id, entry.book, entry.stamp, entry.size = order_id, book, stamp, size
