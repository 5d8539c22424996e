"""What a LOBSTER book file shows that its messages do not explain."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.levels import add_to_level, set_level

SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CROSS, HALT = range(1, 8)  # types of messages
WORST = -(2**62)  # the key of an empty level: every real one is better


def opening_book(told: dict[str, NDArray[np.int64]], book: NDArray[np.int64]) -> NDArray[np.int64]:
    """(side, price, size)[k] of the book before the first message: the first book row with that message undone."""
    shown: dict[tuple[int, int], int] = {}
    for level in range(0, len(book), 4):
        for side, column in ((-1, level), (1, level + 2)):
            if book[column + 1] > 0:
                shown[side, int(book[column])] = int(book[column + 1])
    kind, place = int(told["type"][0]), (int(told["direction"][0]), int(told["price"][0]))
    if kind in (SUBMIT, REDUCE, DELETE, EXECUTE):
        change = int(told["size"][0])
        shown[place] = max(0, shown.get(place, 0) + (-change if kind == SUBMIT else change))
    return np.array([(side, price, size) for (side, price), size in shown.items() if size], np.int64).reshape(-1, 3)


@njit(cache=True)
def reveals(kind, direction, price, size, books, levels, opening):
    """(message, side, price, size)[m] of what the messages before it do not explain in the file's book."""
    n = kind.size
    room = opening.shape[0] + n * (levels + 1) + 2  # pages that are never written are never taken
    keys = np.empty((2, room), np.int64)  # bids, asks
    sizes = np.empty((2, room), np.int64)
    count = np.zeros(2, np.int64)
    for i in range(opening.shape[0]):
        s = 0 if opening[i, 0] > 0 else 1
        count[s] = set_level(keys[s], sizes[s], count[s], opening[i, 0] * opening[i, 1], opening[i, 2])
    out = np.empty((n + 1024, 4), np.int64)
    found = 0
    for i in range(n):
        if kind[i] <= EXECUTE:
            s = 0 if direction[i] > 0 else 1
            change = size[i] if kind[i] == SUBMIT else -size[i]
            count[s] = add_to_level(keys[s], sizes[s], count[s], direction[i] * price[i], change)
        for s in range(2):
            sign = 1 - 2 * s
            column = 2 - 2 * s
            k = count[s] - 1  # our next best level not yet held against the file
            for level in range(levels):
                if found + count[s] + 2 > out.shape[0]:
                    grown = np.empty((2 * out.shape[0] + count[s], 4), np.int64)
                    grown[:found] = out[:found]
                    out = grown
                shown = books[i, 4 * level + column + 1]
                key = sign * books[i, 4 * level + column] if shown > 0 else WORST
                while k >= 0 and keys[s, k] > key:  # better than the file's next level, but not in it
                    out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, sign, sign * keys[s, k], 0
                    found += 1
                    count[s] = set_level(keys[s], sizes[s], count[s], keys[s, k], 0)
                    k -= 1
                if shown <= 0:
                    break  # the file shows the whole side, and now so do we
                if k >= 0 and keys[s, k] == key:
                    same = sizes[s, k] == shown
                    sizes[s, k] = shown
                    k -= 1
                else:
                    same = False
                    count[s] = set_level(keys[s], sizes[s], count[s], key, shown)
                if not same:
                    out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, sign, sign * key, shown
                    found += 1
    return out[:found, 0].copy(), out[:found, 1].copy(), out[:found, 2].copy(), out[:found, 3].copy()
