"""What a LOBSTER book file shows that its messages do not explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
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


@compiled
def reveals(kind, direction, price, size, books, levels, opening):
    """Changes of the file's book that its messages do not explain: int64[room, 4] of which m are filled, and m.

    Columns: message, side, price, size.
    """
    n = kind.size
    room = opening.shape[0] + n * (levels + 1) + 2  # pages that are never written are never taken
    bid_keys, bid_sizes = np.empty(room, np.int64), np.empty(room, np.int64)
    ask_keys, ask_sizes = np.empty(room, np.int64), np.empty(room, np.int64)
    bids = asks = 0
    out = np.empty((n + 1024, 4), np.int64)
    found = 0
    for i in range(-opening.shape[0], n):
        # the opening book comes first, as if it were submitted
        side = direction[i] if i >= 0 else opening[i, 0]
        key = side * (price[i] if i >= 0 else opening[i, 1])
        change = (size[i] if kind[i] == SUBMIT else -size[i]) if i >= 0 else opening[i, 2]
        if i < 0 or kind[i] <= EXECUTE:
            if side > 0:
                bids = add_to_level(bid_keys, bid_sizes, bids, key, change)
            else:
                asks = add_to_level(ask_keys, ask_sizes, asks, key, change)
        if i < 0:
            continue
        if found + bids + asks + 2 * levels > out.shape[0]:
            grown = np.empty((2 * out.shape[0] + bids + asks, 4), np.int64)
            for j in range(found):  # element by element: slices would take seconds to compile
                for field in range(4):
                    grown[j, field] = out[j, field]
            out = grown
        bids, found = _hold(bid_keys, bid_sizes, bids, books, i, 1, levels, out, found)
        asks, found = _hold(ask_keys, ask_sizes, asks, books, i, -1, levels, out, found)
    return out, found


@compiled
def _hold(keys, sizes, n, books, i, side, levels, out, found):
    """Hold our side against the file's, best level first, and make it equal; (levels of ours, differences so far)."""
    column = 1 + side  # asks come first
    k = n - 1  # our next best level not yet held against the file
    for level in range(levels):
        shown = books[i, 4 * level + column + 1]
        key = side * books[i, 4 * level + column] if shown > 0 else WORST
        while k >= 0 and keys[k] > key:  # better than the file's next level, but not in it
            out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, side, side * keys[k], 0
            found += 1
            for j in range(k, n - 1):
                keys[j], sizes[j] = keys[j + 1], sizes[j + 1]
            n -= 1
            k -= 1
        if shown <= 0:
            break  # the file shows the whole side, and now so do we
        if k >= 0 and keys[k] == key:
            same = sizes[k] == shown
            sizes[k] = shown
            k -= 1
        else:
            same = False
            n = set_level(keys, sizes, n, key, shown)
        if not same:
            out[found, 0], out[found, 1], out[found, 2], out[found, 3] = i, side, side * key, shown
            found += 1
    return n, found
