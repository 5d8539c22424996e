"""What the data rules need row after row: the touch, the recent prices, the orders that are there."""

from __future__ import annotations

import numpy as np

from engine.compiled import compiled
from engine.levels import add_to_level, level_index, set_level
from engine.tape import Flag, Kind

QUOTE, DEPTH, ADD, REDUCE, DELETE = (int(kind) for kind in (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE))
EXECUTE, REVEAL, TRADE, CLEAR = (int(kind) for kind in (Kind.EXECUTE, Kind.REVEAL, Kind.TRADE, Kind.CLEAR))
LAST, HIDDEN, AUCTION = int(Flag.LAST), int(Flag.HIDDEN), int(Flag.AUCTION)
CROSSED, LOCKED, OUTSIDE = int(Flag.CROSSED), int(Flag.LOCKED), int(Flag.OUTSIDE)


@compiled
def book_kernel(kind, side, price, size, price2, size2, flags, marks, middle, bid_keys, bid_sizes, ask_keys, ask_sizes):
    """Keep one instrument's book; CROSSED, LOCKED, OUTSIDE go into ``marks``, bid + ask (or 0) into ``middle``.

    A quote is judged by itself, a book after the last row of a group that changed it. Returns the levels there are in
    the end: how many of ``bid_keys`` and of ``ask_keys``.
    """
    bids = asks = 0
    changed = False
    for i in range(kind.size):
        k = kind[i]
        if k == QUOTE:
            bids = set_level(bid_keys, bid_sizes, 0, price[i], size[i])
            asks = set_level(ask_keys, ask_sizes, 0, -price2[i], size2[i])
            changed = True
        elif k == CLEAR:
            bids = asks = 0
        elif k == TRADE or (k == EXECUTE and flags[i] & HIDDEN):
            if bids > 0 and asks > 0 and not flags[i] & AUCTION:
                bid, ask = bid_keys[bids - 1], -ask_keys[asks - 1]
                if bid <= ask and (price[i] < bid or price[i] > ask):
                    marks[i] |= OUTSIDE
        elif DEPTH <= k <= REVEAL:
            change = size[i] if k == ADD else -size[i]
            if side[i] > 0:
                if k in (DEPTH, REVEAL):
                    bids = set_level(bid_keys, bid_sizes, bids, price[i], size[i])
                else:
                    bids = add_to_level(bid_keys, bid_sizes, bids, price[i], change)
            else:
                if k in (DEPTH, REVEAL):
                    asks = set_level(ask_keys, ask_sizes, asks, -price[i], size[i])
                else:
                    asks = add_to_level(ask_keys, ask_sizes, asks, -price[i], change)
            changed = True
        if changed and (flags[i] & LAST or k == QUOTE):
            changed = False
            if bids > 0 and asks > 0:
                bid, ask = bid_keys[bids - 1], -ask_keys[asks - 1]
                middle[i] = bid + ask
                if bid > ask:
                    marks[i] |= CROSSED
                elif bid == ask:
                    marks[i] |= LOCKED
    return bids, asks


@compiled
def jump_kernel(prices, tick, window, least, factor, floor, out):
    """Mark prices beyond ``factor`` usual distances from the median of those before; see ``engine.verdict.jumps``."""
    ordered = np.empty(window + 1, np.int64)  # the window, sorted
    n = 0
    for i in range(prices.size):
        p = prices[i]
        if n >= least:
            median = ordered[n // 2]
            distance = abs(p - median)
            usual = max(tick, abs(median) // floor)
            # the exact median distance is only worth its cost where the floor does not already excuse the price
            if distance > factor * usual:
                out[i] = distance > factor * max(usual, _median_distance(ordered, n))
        if n == window:
            for j in range(level_index(ordered, n, prices[i - window]), n - 1):
                ordered[j] = ordered[j + 1]
            n -= 1
        at = level_index(ordered, n, p)
        for j in range(n, at, -1):
            ordered[j] = ordered[j - 1]
        ordered[at] = p
        n += 1


@compiled
def _median_distance(ordered, n):
    """The middle one of the distances of ``ordered[:n]`` from its median: its nearest half, from the inside out."""
    low, high = n // 2, n // 2 + 1
    median = ordered[low]
    nearest = 0
    for _ in range(n // 2 + 1):
        if high == n or (low >= 0 and median - ordered[low] <= ordered[high] - median):
            nearest = median - ordered[low]
            low -= 1
        else:
            nearest = ordered[high] - median
            high += 1
    return nearest


@compiled
def desync_kernel(kind, hidden, order, size, left, out):
    """Mark changes of orders that are not in a whole book; ``left`` is the size of each order, 0 to begin with."""
    for i in range(kind.size):
        k = kind[i]
        if k == CLEAR:
            left[:] = 0
        elif k == ADD:
            left[order[i]] += size[i]
        elif k in (REDUCE, DELETE, EXECUTE) and not hidden[i]:
            if left[order[i]] <= 0:
                out[i] = True
            elif k == DELETE:
                left[order[i]] = 0
            else:
                left[order[i]] = max(0, left[order[i]] - size[i])


@compiled
def longest_in_order(times, kept):
    """Mark a longest non-decreasing subsequence of ``times``; of several, the one that keeps the earlier rows."""
    n = times.size
    heads = np.empty(n, np.int64)  # heads[k]: the largest time that begins such a sequence of length k + 1
    length_from = np.empty(n, np.int64)  # of the longest one that begins at a row
    length = 0
    for i in range(n - 1, -1, -1):
        low, high = 0, length
        if length and heads[length - 1] >= times[i]:
            low = length
        while low < high:
            middle = (low + high) // 2
            if heads[middle] >= times[i]:
                low = middle + 1
            else:
                high = middle
        heads[low] = times[i]
        length_from[i] = low + 1
        length = max(length, low + 1)
    last = times.min()
    for i in range(n):
        if length_from[i] == length and times[i] >= last:
            kept[i] = True
            last = times[i]
            length -= 1
