"""The probe stage: after a group of rows, what probes measure of the books that it touched.

It looks at the books that strategies see, so with two cursors it belongs to the second one. A probed book counts as
wanted (``WANT_PROBE``): its rows take the long way and ``note_row`` meets its prints. Nothing here knows a strategy:
probes with equal terms are one, whoever declared them, and which account a signal wakes is decided in ``wakes.py``.
"""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.signal_kernels import feature_values, in_session, is_ready, note_clear, note_touch, note_trade
from engine.broker.state import (
    books_of,
    chances_of,
    features_of,
    forest_of,
    probes_of,
    sessions_of,
    sides_of,
    touched_of,
    trees_of,
    values_of,
)
from engine.broker.trees import forecast_into
from engine.tape import Flag, Kind

TRADE, EXECUTE, CLEAR = int(Kind.TRADE), int(Kind.EXECUTE), int(Kind.CLEAR)
AUCTION = int(Flag.AUCTION)
NOT_OF_THE_BOOK = int(Flag.HIDDEN | Flag.OUTSIDE)


@kernel
def note_row(w, r, b):
    """A row of a probed book: prints count, other than those of auctions."""
    if r.kind == CLEAR or ((r.kind == TRADE or r.kind == EXECUTE) and r.flags & AUCTION == 0):
        k = b.probe
        while k > 0:
            state = features_of(w)[k - 1]
            if in_session(state, sessions_of(w), r.ts_event):
                if r.kind == CLEAR:
                    note_clear(state)
                else:
                    side = int(r.side) if r.kind == TRADE else -int(r.side)
                    note_trade(state, r.ts_event, side, r.price, r.size, r.flags & NOT_OF_THE_BOOK)
            k = probes_of(w)[k - 1].next


@kernel
def probe_group(w, count, ts):
    """A group of rows has ended: measure the ``count`` books that it touched, as strategies see them."""
    for i in range(count):
        book = touched_of(w)[w.seen_from + i]
        k = books_of(w)[book].probe
        while k > 0:
            p = probes_of(w)[k - 1]
            p.fresh = 0
            if measure(w, book, k - 1, ts) and is_ready(features_of(w)[k - 1]):
                feature_values(features_of(w)[k - 1], values_of(w, k - 1))
                if trees_of(w)[k - 1].n_trees > 0:
                    nodes, roots, depths, values, table = forest_of(trees_of(w)[k - 1])
                    forecast_into(nodes, roots, depths, values, table, values_of(w, k - 1), chances_of(w, k - 1))
                p.fresh, p.seen = 1, 1
                p.ts, p.tick = ts, features_of(w)[k - 1].ticks
            k = p.next


@kernel
def measure(w, book, k, ts):
    """Tell the k-th probe of the touch; True if a tick was in the group."""
    state = features_of(w)[k]
    if not in_session(state, sessions_of(w), ts):
        return False
    shift = books_of(w)[book].shift
    bid, ask = sides_of(w)[2 * book], sides_of(w)[2 * book + 1]
    return note_touch(state, ts, bid.best + shift, bid.size, ask.best + shift, ask.size, shift)
