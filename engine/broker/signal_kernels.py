"""The signals of one instrument along the walk: totals that only grow, and what they were at the last ticks.

``state`` is a FEATURE_STATE record. Totals are integers; a window is the difference of a total now and at the tick it
begins with, so a sample costs the same for any window. A tick's totals are those at the end of its group: where several
ticks are in one group only their signs differ. Nothing outlives a session.

Flow at the touch, a side at a time: a level that grew, or a better one, is limit flow; one that shrank or went is
cancels, less what trades took there. Quotes and depth may show a trade later than its print: what trades took is kept
until the level shows it or moves.
"""

from __future__ import annotations

import math

import numpy as np

from engine.broker.kernel import kernel
from engine.lee_ready import lee_ready_side
from engine.signals import LONGEST

RING = 256  # ticks kept, more than the longest window
MASK = RING - 1
MILLISECOND = 1_000_000
LONG = LONGEST

# totals: order flow; touch sizes and changes of the touch; trades, their signs, products of neighbouring signs;
# squared changes of twice the mid; flow at the touch; and of a tick, twice the mid and the time
OFI, DEPTH, CHANGES, TRADES, SIGNS, PAIRS, SQUARES = range(7)
LIMIT_BID, LIMIT_ASK, CANCEL_BID, CANCEL_ASK, MID2, TS = range(7, 13)
COLUMNS = 13

FEATURE_STATE = np.dtype(
    [
        ("session", "<i8"),  # that we are in, or wait for
        ("by_quote", "<i8"),  # the clock: 1 counts changes of the touch
        ("price_tick", "<i8"),  # price units
        ("ticks", "<i8"),
        ("filed", "<i8"),  # ticks whose group has ended
        ("quoted", "<i8"),  # whether there has been a valid touch
        ("valid", "<i8"),  # whether it is so now: two sides, not crossed
        ("bid", "<i8"),  # the last valid touch, displaced
        ("ask", "<i8"),
        ("bid_size", "<i8"),
        ("ask_size", "<i8"),
        ("shift", "<i8"),  # its displacement
        ("taken_bid", "<i8"),  # by trades, and not yet seen to have left the level
        ("taken_ask", "<i8"),
        ("trade_ts", "<i8"),  # the last transaction; prices as recorded
        ("trade_side", "<i8"),
        ("trade_price", "<i8"),
        ("last_change", "<i8"),  # sign of the last change of the traded price
        ("totals", "<i8", (COLUMNS,)),
        ("ring", "<i8", (RING, COLUMNS)),
    ]
)


@kernel
def in_session(state, sessions, ts):
    """Whether ``ts`` is in a session; a new one begins with nothing."""
    while state.session < sessions.shape[0] and ts >= sessions[state.session].close:
        state.session += 1
        _forget(state)
    return state.session < sessions.shape[0] and ts >= sessions[state.session].open


@kernel
def _forget(state):
    state.ticks = state.filed = 0
    state.quoted = state.valid = 0
    state.taken_bid = state.taken_ask = 0
    state.trade_ts = state.trade_side = state.trade_price = state.last_change = 0
    for c in range(COLUMNS):
        state.totals[c] = 0


@kernel
def note_clear(state):
    """The book is empty: the touch that comes next is no flow."""
    state.quoted = state.valid = 0
    state.taken_bid = state.taken_ask = 0


@kernel
def note_trade(state, ts, side, price, size, hidden):
    """A print of the market, price as recorded; a side of 0 is signed by the touch before its group (Lee and Ready)."""
    if state.trade_price != 0 and price != state.trade_price:
        state.last_change = 1 if price > state.trade_price else -1
    if state.quoted == 0:
        state.trade_price = price
        return
    bid, ask = state.bid - state.shift, state.ask - state.shift
    if side == 0:
        side = lee_ready_side(price, bid + ask, state.valid == 1, state.last_change)
    if hidden == 0:
        if side < 0 and price <= bid:
            state.taken_bid += size
        elif side > 0 and price >= ask:
            state.taken_ask += size
    totals = state.totals
    if totals[TRADES] > 0 and ts == state.trade_ts and side == state.trade_side and price == state.trade_price:
        return
    totals[TRADES] += 1
    totals[SIGNS] += side
    totals[PAIRS] += side * state.trade_side
    state.trade_ts, state.trade_side, state.trade_price = ts, side, price
    if state.by_quote == 0:
        _tick(state)


@kernel
def _tick(state):
    """A tick begins: what its group will not change is filed at once."""
    state.ticks += 1
    at = state.ticks & MASK
    for c in range(TRADES, PAIRS + 1):
        state.ring[at, c] = state.totals[c]


@kernel
def note_touch(state, ts, bid, bid_size, ask, ask_size, shift):
    """The touch, displaced by ``shift``, as a group of the instrument left it; True if a tick was in the group."""
    state.valid = 1 if bid_size > 0 and ask_size > 0 and bid <= ask else 0
    if state.valid == 1:
        state.shift = shift
        if (
            state.quoted == 0
            or bid != state.bid
            or ask != state.ask
            or bid_size != state.bid_size
            or ask_size != state.ask_size
        ):
            if state.quoted == 1:
                _flow(state, bid, bid_size, ask, ask_size)
            state.quoted = 1
            state.bid, state.bid_size, state.ask, state.ask_size = bid, bid_size, ask, ask_size
            state.totals[DEPTH] += bid_size + ask_size
            state.totals[CHANGES] += 1
            if state.by_quote == 1:
                _tick(state)
    if state.ticks == state.filed:
        return False
    _file(state, ts)
    return True


@kernel
def _flow(state, bid, bid_size, ask, ask_size):
    """What changed at a touch that was there before."""
    totals = state.totals
    bid_moved, ask_moved = bid - state.bid, ask - state.ask
    e = 0
    if bid_moved >= 0:
        e += bid_size
    if bid_moved <= 0:
        e -= state.bid_size
    if ask_moved <= 0:
        e -= ask_size
    if ask_moved >= 0:
        e += state.ask_size
    totals[OFI] += e
    joined, left = _joined_and_left(bid_moved, state.bid_size, bid_size)
    taken = min(left, state.taken_bid)
    totals[LIMIT_BID] += joined
    totals[CANCEL_BID] += left - taken
    state.taken_bid = 0 if bid_moved != 0 else state.taken_bid - taken
    joined, left = _joined_and_left(-ask_moved, state.ask_size, ask_size)
    taken = min(left, state.taken_ask)
    totals[LIMIT_ASK] += joined
    totals[CANCEL_ASK] += left - taken
    state.taken_ask = 0 if ask_moved != 0 else state.taken_ask - taken


@kernel
def _joined_and_left(bettered, old, new):
    """Sizes that joined and left a side whose best price was bettered (> 0), worsened (< 0) or stayed."""
    if bettered > 0:
        return new, 0
    if bettered < 0:
        return 0, old
    return max(0, new - old), max(0, old - new)


@kernel
def _file(state, ts):
    """The group of the newest ticks has ended: totals as they stand."""
    totals = state.totals
    mid2 = state.bid + state.ask
    if state.filed > 0:
        change = mid2 - totals[MID2]
        totals[SQUARES] += change * change
    totals[MID2], totals[TS] = mid2, ts
    for tick in range(max(state.filed + 1, state.ticks - MASK), state.ticks + 1):
        at = tick & MASK
        for c in range(COLUMNS):
            if c < TRADES or c > PAIRS:
                state.ring[at, c] = totals[c]
    state.filed = state.ticks


@kernel
def is_ready(state):
    """Whether every window is full and the touch is valid."""
    return state.ticks > LONG and state.valid == 1


@kernel
def feature_values(state, out):
    """The signals at the tick just filed into ``out`` float64[18], in the order of ``engine.signals.NAMES``."""
    bid_size, ask_size = state.bid_size, state.ask_size
    tick, both, spread = state.price_tick, bid_size + ask_size, state.ask - state.bid
    imbalance = (bid_size - ask_size) / both
    depth = _mean_depth(state, 100)
    out[0] = _over(state, OFI, 10) / _mean_depth(state, 10)
    out[1] = _over(state, OFI, 50) / _mean_depth(state, 50)
    out[2] = _over(state, OFI, 100) / depth
    out[3] = imbalance
    out[4] = spread / tick
    out[5] = imbalance * (spread / (2 * tick))
    out[6] = _per_trade(state, SIGNS, 20)
    out[7] = _per_trade(state, SIGNS, 100)
    out[8] = _per_trade(state, PAIRS, 100)
    out[9] = _over(state, MID2, 10) / (2 * tick)
    out[10] = _over(state, MID2, 50) / (2 * tick)
    out[11] = _over(state, MID2, LONG) / (2 * tick)
    out[12] = math.sqrt(_over(state, SQUARES, 100) / 100) / (2 * tick)
    out[13] = _difference(_over(state, CANCEL_BID, 50), _over(state, CANCEL_ASK, 50))
    out[14] = _difference(_over(state, LIMIT_BID, 50), _over(state, LIMIT_ASK, 50))
    out[15] = bid_size / depth
    out[16] = ask_size / depth
    out[17] = 50.0 / (max(_over(state, TS, 50), MILLISECOND) / 1_000_000_000)


@kernel
def _over(state, column, window):
    return state.totals[column] - state.ring[(state.ticks - window) & MASK, column]


@kernel
def _mean_depth(state, window):
    """Of a side, over the window's changes of the touch; where it did not change, as it is."""
    changes = _over(state, CHANGES, window)
    if changes == 0:
        return (state.bid_size + state.ask_size) / 2
    return _over(state, DEPTH, window) / (2 * changes)


@kernel
def _per_trade(state, column, window):
    trades = _over(state, TRADES, window)
    return _over(state, column, window) / trades if trades > 0 else 0.0


@kernel
def _difference(a, b):
    return (a - b) / (a + b) if a + b > 0 else 0.0
