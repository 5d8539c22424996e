"""How long limit orders live, and whether they end cancelled or filled; order-by-order tapes only.

An order is born by ADD in session. It ends *cancelled* (DELETE, or REDUCE of all that is left) or *filled* (EXECUTE of
all that is left), or it is *censored*: the tape ends or the book is cleared. An order out of a level-limited view is
not seen to end, so such tapes show too few ends at long ages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.tape import Flag, Kind

ADD, REDUCE, DELETE, EXECUTE = (int(kind) for kind in (Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE))
CLEAR = int(Kind.CLEAR)
HIDDEN, SNAPSHOT = int(Flag.HIDDEN), int(Flag.SNAPSHOT)
CANCELLED, FILLED, CENSORED = 0, 1, 2
PER_DECADE = 4
EDGES_S = 1e-6 * 10 ** (np.arange(11 * PER_DECADE + 1) / PER_DECADE)  # upper ends of the bins of age; the last is open
BINS = len(EDGES_S) + 1
ID, BORN, BLOCK, LEFT, USED = range(5)


class OrderAges:
    """Ends of orders by block of birth, kind of end and age: ``ends[block, 3, BINS]``.

    The orders that live are in a table with open addressing (linear probing, deletion by shifting back), never more
    than half full: memory goes with the orders that live at once, not with the tape.
    """

    def __init__(self, blocks: int) -> None:
        self.ends = np.zeros((blocks, 3, BINS))
        self._live = np.zeros((1 << 12, 5), np.int64)
        self._count = np.zeros(1, np.int64)

    def add(self, rows: NDArray[np.void], block: NDArray[np.int64]) -> None:
        """The next rows of the instrument, and the block of each (-1: not counted)."""
        need = int(self._count[0]) + int(np.count_nonzero(rows["kind"] == ADD))
        if 2 * need > len(self._live):
            old = self._live
            self._live = np.zeros((1 << int(2 * need).bit_length(), 5), np.int64)
            _move(old, self._live)
        _ages(rows, block, self._live, self._count, EDGES_S * 1e9, self.ends)

    def finish(self, now: int) -> None:
        """What still lives is censored at ``now`` (ns)."""
        _censor(now, self._live, self._count, EDGES_S * 1e9, self.ends)


def incidence(ends: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of orders that have ended cancelled, and filled, by the age at each edge; the ends compete.

    The Aalen–Johansen estimator on ``ends[3, BINS]``. Source: Aalen and Johansen (1978), Scand. J. Statistics 5, 141.
    """
    at_risk = ends.sum(axis=0)[::-1].cumsum()[::-1]
    # those censored inside a bin were at risk, on average, for half of it
    hazard = ends[:CENSORED] / np.maximum(at_risk - ends[CENSORED] / 2, 1e-300)
    hazard = np.where(at_risk > 0, hazard, 0.0)
    alive = np.concatenate([[1.0], np.cumprod(1 - hazard.sum(axis=0))])[:-1]
    cancelled, filled = np.cumsum(alive * hazard, axis=1)
    return cancelled[:-1], filled[:-1]


@compiled
def _slot(live, order):
    """Where an order is, or where it would go."""
    mask = live.shape[0] - 1
    mixed = (order ^ (order >> 31)) * 0x9E3779B97F4A7C1  # any odd number spreads consecutive ids
    i = (mixed ^ (mixed >> 29)) & mask
    while live[i, USED] and live[i, ID] != order:
        i = (i + 1) & mask
    return i


@compiled
def _remove(live, i):
    """Empty a slot and shift back what probed past it."""
    mask = live.shape[0] - 1
    live[i, USED] = 0
    j = (i + 1) & mask
    while live[j, USED]:
        live[j, USED] = 0
        k = _slot(live, live[j, ID])
        for field in range(USED):
            live[k, field] = live[j, field]
        live[k, USED] = 1
        j = (j + 1) & mask


@compiled
def _move(old, new):
    for i in range(old.shape[0]):
        if old[i, USED]:
            k = _slot(new, old[i, ID])
            for field in range(5):
                new[k, field] = old[i, field]


@compiled
def _age_bin(age, edges):
    low, high = 0, edges.size
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < age:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _censor(now, live, count, edges, ends):
    for i in range(live.shape[0]):
        if live[i, USED]:
            ends[live[i, BLOCK], CENSORED, _age_bin(now - live[i, BORN], edges)] += 1
            live[i, USED] = 0
    count[0] = 0


@compiled
def _ages(rows, block, live, count, edges, ends):
    for n in range(rows.size):
        row = rows[n]
        kind = row.kind
        if kind == CLEAR:
            _censor(row.ts_event, live, count, edges, ends)
        if kind < ADD or kind > EXECUTE or row.flags & (HIDDEN | SNAPSHOT):
            continue
        i = _slot(live, row.order_id)
        if kind == ADD:
            if block[n] >= 0 and not live[i, USED]:
                live[i, ID], live[i, BORN], live[i, BLOCK], live[i, LEFT] = (
                    row.order_id,
                    row.ts_event,
                    block[n],
                    row.size,
                )
                live[i, USED] = 1
                count[0] += 1
        elif live[i, USED]:
            live[i, LEFT] -= row.size
            if live[i, LEFT] <= 0 or kind == DELETE:
                end = FILLED if kind == EXECUTE else CANCELLED
                ends[live[i, BLOCK], end, _age_bin(row.ts_event - live[i, BORN], edges)] += 1
                count[0] -= 1
                _remove(live, i)
