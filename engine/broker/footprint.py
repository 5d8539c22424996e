"""Our own footprint: our fills enter an impact model, and the market moves with its next rows (section 12)."""

from __future__ import annotations

from engine.broker.impact_kernels import (
    DARK,
    PASSIVE,
    book_state,
    displacement_ticks,
    met_by_fill,
    on_market_volume,
    on_own_fill,
    rescale,
    round_half_even,
    ticks_within_cell,
)
from engine.broker.kernel import kernel
from engine.broker.orders import AT_CLOSE, PEG_MID
from engine.broker.state import impact_table_of, impacts_of, sides_of

NONE, FOOTPRINT, COST = 0, 1, 2  # what is done with a displacement: nothing, the market is moved, fills are charged
EMPTY_SIDE = 12  # state of a book that lacks a side: a wide spread, no imbalance


@kernel
def note_own_fill(w, o, b, price, size, maker):
    """A fill enters the model, after the market's volume so far; the market moves with its next row.

    Returns the money that impact charges for it.
    """
    state, table = impacts_of(w)[b.instrument], impact_table_of(w)[0]
    on_market_volume(state, table, b.clock_volume - b.volume_entered)
    b.volume_entered = b.clock_volume
    bid, ask = sides_of(w)[2 * b.instrument], sides_of(w)[2 * b.instrument + 1]
    touch = EMPTY_SIDE
    if bid.size > 0 and ask.size > 0:
        touch = book_state(o.side, bid.best, ask.best, bid.size, ask.size, b.tick)
    kind = (PASSIVE if maker else 0) | (DARK if o.type == PEG_MID else 0)
    charge = 0
    if maker == 0 and o.tif < AT_CLOSE:
        best = ask.best if o.side > 0 else bid.best
        met = met_by_fill(state, table, o.side, size, kind, touch)
        charge = _not_in_price(w, o.side, b, met, price - best, size)
    on_own_fill(state, table, o.side, size, kind, touch)
    b.moves = 1
    if b.moved == 0:  # the next row must take the long way
        b.moved = 1
        b.interest += 1
    return charge


@kernel
def _not_in_price(w, side, b, met, beyond, size):
    """Money: what an order pays to take ``met`` bp of displacement, itself included, less what its price holds of it.

    ``beyond`` is the price paid less the recorded touch: our displacement as shown, and levels behind the touch.
    """
    found, mid2 = _recorded_mid(b)
    if w.impact == COST:
        beyond += b.charge
    missing = side * (met * mid2 / 20_000.0 - beyond)
    if not found or missing <= 0.0:
        return 0
    return int(round_half_even(missing * size * (b.money_num / b.money_den)))


@kernel
def _recorded_mid(b):
    """(whether there is one, bid + ask of the last valid mid as recorded), else twice the last trade."""
    if b.mid2_seen:
        return True, b.mid2
    return b.last_trade_seen != 0, 2 * b.last_trade


@kernel
def look(w, b):
    """(whether there is one, the displacement now), where the market or we have traded since the last look."""
    if b.moved == 0 and b.clock_volume == b.volume_entered:
        return False, 0
    if b.moved:
        b.moved = 0
        b.interest -= 1
    state, table = impacts_of(w)[b.instrument], impact_table_of(w)[0]
    on_market_volume(state, table, b.clock_volume - b.volume_entered)
    b.volume_entered = b.clock_volume
    found, mid2 = _recorded_mid(b)
    if not found:
        return False, 0
    ticks = displacement_ticks(state, table, mid2, b.tick)
    if b.negative == 0 and ticks < 0:  # the mid stays at a tick or above
        ticks = max(ticks, min(0, -((mid2 - 2 * b.tick) // (2 * b.tick))))
    return True, ticks * b.tick


@kernel
def stays(w, b, size):
    """Whether a trade of the market leaves it where it stands: then it has entered the model, else nothing is done."""
    pending = b.clock_volume - b.volume_entered + size
    state = impacts_of(w)[b.instrument]
    if b.mid2_seen == 0:
        return False
    lasts, ticks = ticks_within_cell(state, impact_table_of(w)[0], pending, b.mid2, b.tick)
    if not lasts or ticks * b.tick != (b.charge if w.impact == COST else b.shift):
        return False
    state.volume += pending
    b.volume_entered += pending
    return True


@kernel
def split_footprint(w, b, new, old):
    """``new`` units of the instrument for ``old`` ones; the market follows with its next row."""
    state, table = impacts_of(w)[b.instrument], impact_table_of(w)[0]
    on_market_volume(state, table, b.clock_volume - b.volume_entered)
    b.volume_entered = b.clock_volume
    rescale(state, table, new, old)
    if b.moves and b.moved == 0:
        b.moved = 1
        b.interest += 1
