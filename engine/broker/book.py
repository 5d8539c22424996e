"""Displayed sizes by price: a dense ladder round the touch, a sorted list for what is far from it.

A side of a book is the record ``SIDE`` (its best level and counts), WINDOW cells of the ladder and ``cap_far``
records for prices outside ``[low, low + WINDOW)`` grid steps. The ladder is a ring, so that moving the window
touches only the levels that enter or leave it. Which of the two holds a level never changes a result.
"""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.state import MASK, WINDOW, books_of, far_of, sides_of, sizes_of

L1, L2, L3, NONE = 1, 2, 3, 0


@kernel
def index(side):
    """0 for the bid side (+1), 1 for the ask side (-1)."""
    return (1 - side) >> 1


@kernel
def level_size(w, book, side, price):
    """What the book holds at a price (0 if nothing)."""
    b = books_of(w)[book]
    s = 2 * book + index(side)
    if b.kind == L1:
        best = sides_of(w)[s]
        return best.size if best.best == price else 0
    step = price // b.grid
    if step * b.grid == price:
        if 0 <= step - b.low < WINDOW:
            return sizes_of(w)[s * WINDOW + (step & MASK)]
        at = _far_find(w, s, price)
        if at >= 0:
            return far_of(w)[at].size
    return 0


@kernel
def next_level(w, book, side, price):
    """(found, the next worse price than ``price`` that holds something)."""
    b = books_of(w)[book]
    s = 2 * book + index(side)
    here = sides_of(w)[s]
    if b.kind == L1:
        return False, 0
    found, best = False, 0
    if here.n_dense > 0:
        sizes = sizes_of(w)
        high = b.low + WINDOW - 1
        if side > 0:
            step = min((price - 1) // b.grid, high)
            while step >= b.low:
                if sizes[s * WINDOW + (step & MASK)] > 0:
                    found, best = True, step * b.grid
                    break
                step -= 1
        else:
            step = max(price // b.grid + 1, b.low)
            while step <= high:
                if sizes[s * WINDOW + (step & MASK)] > 0:
                    found, best = True, step * b.grid
                    break
                step += 1
    if here.n_far > 0:
        far = far_of(w)
        base = s * w.cap_far
        at = _far_place(w, s, price)  # first far level >= price
        if side > 0:
            if at > 0 and (not found or far[base + at - 1].price > best):
                found, best = True, far[base + at - 1].price
        else:
            if at < here.n_far and far[base + at].price == price:
                at += 1
            if at < here.n_far and (not found or far[base + at].price < best):
                found, best = True, far[base + at].price
    return found, best


@kernel
def set_level(w, book, side, price, size):
    """Set what is displayed at a price (ladder books); returns what was there before."""
    b = books_of(w)[book]
    s = 2 * book + index(side)
    here = sides_of(w)[s]
    step = price // b.grid
    if step * b.grid != price:
        _refine_grid(w, book, price)
        step = price // b.grid
    if 0 <= step - b.low < WINDOW:
        sizes = sizes_of(w)
        cell = s * WINDOW + (step & MASK)
        old = sizes[cell]
        sizes[cell] = size
        here.n_dense += (size > 0) - (old > 0)
    else:
        old = _far_set(w, s, price, size)
    if size > 0:
        if here.size == 0 or (price - here.best) * side > 0:
            here.best = price
            here.size = size
            _keep_near(w, book, step)
        elif price == here.best:
            here.size = size
    elif here.size > 0 and price == here.best:
        found, best = next_level(w, book, side, price)
        if found:
            here.best = best
            here.size = level_size(w, book, side, best)
            _keep_near(w, book, best // b.grid)
        else:
            here.best, here.size = 0, 0
    return old


@kernel
def clear_side(w, book, side):
    """Empty one side."""
    s = 2 * book + index(side)
    here = sides_of(w)[s]
    if here.n_dense > 0:
        sizes = sizes_of(w)
        for cell in range(s * WINDOW, (s + 1) * WINDOW):
            sizes[cell] = 0
    here.n_dense = 0
    here.n_far = 0
    here.best, here.size = 0, 0


@kernel
def is_observed(w, book, side, price):
    """Whether the price is not worse than the last level that a level-limited book shows."""
    b = books_of(w)[book]
    here = sides_of(w)[2 * book + index(side)]
    if b.levels == 0 or here.size == 0 or (price - here.best) * side >= 0:
        return True
    better, at = 1, here.best
    while better < b.levels:
        found, at = next_level(w, book, side, at)
        if not found:
            return False
        if (price - at) * side >= 0:
            return True
        better += 1
    return False


@kernel
def is_crossed(w, book):
    """Both sides are there and the bid is above the ask."""
    sides = sides_of(w)
    bid, ask = sides[2 * book], sides[2 * book + 1]
    return bid.size > 0 and ask.size > 0 and bid.best > ask.best


@kernel
def _keep_near(w, book, step):
    """Move the ladder's window when the touch comes near its edge."""
    b = books_of(w)[book]
    offset = step - b.low
    if WINDOW // 8 <= offset < WINDOW - WINDOW // 8:
        return
    sides = sides_of(w)
    bid, ask = sides[2 * book], sides[2 * book + 1]
    centre = step
    if bid.size > 0 and ask.size > 0:
        middle = (bid.best // b.grid + ask.best // b.grid) >> 1
        if abs(middle - step) < WINDOW // 4:
            centre = middle
        elif 0 <= middle - b.low < WINDOW:
            return  # a spread wider than the window: leave it where it is
    _move_window(w, book, centre - WINDOW // 2)


@kernel
def _move_window(w, book, low):
    b = books_of(w)[book]
    sizes = sizes_of(w)
    old_low = b.low
    for s in range(2 * book, 2 * book + 2):
        here = sides_of(w)[s]
        if here.n_dense > 0:
            for step in range(old_low, old_low + WINDOW):
                if low <= step < low + WINDOW:
                    continue
                cell = s * WINDOW + (step & MASK)
                if sizes[cell] > 0:
                    _far_set(w, s, step * b.grid, sizes[cell])
                    sizes[cell] = 0
                    here.n_dense -= 1
        if here.n_far > 0:
            far = far_of(w)
            base = s * w.cap_far
            keep = 0
            for at in range(base, base + here.n_far):
                step = far[at].price // b.grid
                if low <= step < low + WINDOW:
                    sizes[s * WINDOW + (step & MASK)] = far[at].size
                    here.n_dense += 1
                else:
                    far[base + keep].price = far[at].price
                    far[base + keep].size = far[at].size
                    keep += 1
            here.n_far = keep
    b.low = low


@kernel
def _refine_grid(w, book, price):
    """A price between the steps: go to the greatest common step and lay the ladder anew."""
    b = books_of(w)[book]
    sizes = sizes_of(w)
    for s in range(2 * book, 2 * book + 2):
        here = sides_of(w)[s]
        if here.n_dense > 0:
            for step in range(b.low, b.low + WINDOW):
                cell = s * WINDOW + (step & MASK)
                if sizes[cell] > 0:
                    _far_set(w, s, step * b.grid, sizes[cell])
                    sizes[cell] = 0
            here.n_dense = 0
    a, c = b.grid, abs(price)
    while c:
        a, c = c, a % c
    b.grid = a
    centre = price // a
    best = sides_of(w)[2 * book]
    if best.size > 0:
        centre = best.best // a
    b.low = centre - WINDOW // 2
    _move_window(w, book, b.low)


@kernel
def _far_place(w, s, price):
    """Position within side s's far list of the first level at or above a price."""
    far = far_of(w)
    base = s * w.cap_far
    low, high = 0, sides_of(w)[s].n_far
    while low < high:
        middle = (low + high) >> 1
        if far[base + middle].price < price:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _far_find(w, s, price):
    """Index into the far table of a price, or -1."""
    at = _far_place(w, s, price)
    if at < sides_of(w)[s].n_far and far_of(w)[s * w.cap_far + at].price == price:
        return s * w.cap_far + at
    return -1


@kernel
def _far_set(w, s, price, size):
    far = far_of(w)
    here = sides_of(w)[s]
    base = s * w.cap_far
    at = base + _far_place(w, s, price)
    end = base + here.n_far
    if at < end and far[at].price == price:
        old = far[at].size
        if size > 0:
            far[at].size = size
        else:
            for k in range(at, end - 1):
                far[k].price = far[k + 1].price
                far[k].size = far[k + 1].size
            here.n_far -= 1
        return old
    if size > 0:
        for k in range(end, at, -1):
            far[k].price = far[k - 1].price
            far[k].size = far[k - 1].size
        far[at].price = price
        far[at].size = size
        here.n_far += 1
        if here.n_far + 2 * WINDOW > w.cap_far:
            w.need = 1
    return 0
