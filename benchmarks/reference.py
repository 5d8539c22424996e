"""The least that any engine must do with the tape: keep one book and one resting order, compiled, with nothing else.

Its rate calibrates the machine: a figure divided by it can be compared with one of another day or another machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmarks.tape import PRICES, TRADE


@njit(cache=True)
def replay(rows, book, resting):
    # book: (2, PRICES) sizes of bids and asks by tick; resting: price of a buy that is renewed at the bid when filled
    best = np.array([0, book.shape[1] - 1])
    ahead = fills = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        price, size = row.price, row.size
        if row.kind == TRADE:
            if row.side < 0 and price <= resting:
                ahead -= size
                if price < resting or ahead < 0:
                    fills += 1
                    resting, ahead = best[0], book[0, best[0]]
            continue
        own = 0 if row.side > 0 else 1
        book[own, price] = size
        if (price - best[own]) * row.side > 0:
            best[own] = price
        elif size == 0 and price == best[own]:
            while 0 < best[own] < book.shape[1] - 1 and book[own, best[own]] == 0:
                best[own] -= row.side
        if best[1] <= resting:
            fills += 1
            resting, ahead = best[0], book[0, best[0]]
    return best[0], best[1], fills


def run(rows: np.ndarray) -> dict[str, int]:
    """Replay ROW[n] of the benchmark's tape of one instrument."""
    bid, ask, fills = replay(rows, np.zeros((2, PRICES), np.int64), 19_990)
    return {"bid": int(bid), "ask": int(ask), "fills": int(fills)}
