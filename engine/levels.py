"""One side of a displayed book as two sorted arrays: the plain book that importers and the data rules keep.

``keys`` are ``side * price``, ascending, so that on both sides the best level is the last one and a larger key is a
better price; ``sizes`` runs beside it and holds no zero. Work near the touch moves only the few levels above it.
The arrays belong to the caller, who makes them long enough; the number of levels ``n`` is passed in and handed back.
"""

from __future__ import annotations

from engine.compiled import compiled

NEAR = 16  # levels from the touch looked at one by one before halving


@compiled
def level_index(keys, n, key):
    """Index of the first of ``keys[:n]`` that is not below ``key`` (``n`` if all are)."""
    i = n
    while i > 0 and n - i < NEAR:
        if keys[i - 1] < key:
            return i
        i -= 1
    low = 0
    while low < i:
        middle = (low + i) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            i = middle
    return low


@compiled
def set_level(keys, sizes, n, key, size):
    """Set the displayed size at ``key`` (0 removes the level); the new number of levels."""
    i = level_index(keys, n, key)
    if i < n and keys[i] == key:
        if size > 0:
            sizes[i] = size
            return n
        for j in range(i, n - 1):
            keys[j] = keys[j + 1]
            sizes[j] = sizes[j + 1]
        return n - 1
    if size <= 0:
        return n
    for j in range(n, i, -1):
        keys[j] = keys[j - 1]
        sizes[j] = sizes[j - 1]
    keys[i] = key
    sizes[i] = size
    return n + 1


@compiled
def add_to_level(keys, sizes, n, key, change):
    """Add ``change`` to the size at ``key``, never below 0; the new number of levels."""
    i = level_index(keys, n, key)
    before = sizes[i] if i < n and keys[i] == key else 0
    return set_level(keys, sizes, n, key, max(0, before + change))
