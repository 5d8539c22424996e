"""The impact model over the market's trades and our fills, in the order in which they happened: one compiled pass."""

from __future__ import annotations

from engine.broker.footprint import EMPTY_SIDE
from engine.broker.impact_kernels import book_state, displacement, on_market_volume, on_own_fill
from engine.compiled import compiled

TRADED, FILLED, ASKED = 0, 1, 2  # what an event is


@compiled
def walk(states, tables, events, touch, tick, out):
    state, table = states[0], tables[0]
    for event in events:
        if event.what == TRADED:
            on_market_volume(state, table, event.size)
        elif event.what == FILLED:
            book = EMPTY_SIDE
            if event.index >= 0:
                bid, ask, bid_size, ask_size = touch[:, event.index]
                book = book_state(event.side, bid, ask, bid_size, ask_size, tick)
            on_own_fill(state, table, event.side, event.size, event.kind, book)
        else:
            out[event.index] = displacement(state, table)
