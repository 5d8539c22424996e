"""One walk along the rows of an instrument: what traded, which limit orders came and went, how the mid moved.

Rows of one time happen together: trades see the book that stood before their time. Then

1. trades of one time, side and price are one market transaction; trades without a side are signed by Lee and Ready;
2. each change of a level that no trade explains is limit-order flow: an addition signed by its side, a removal by the
   opposite side, at a distance in ticks from the best price of its own side before it (negative: inside the spread);
3. the mid after the time is held against the mid before it; a move is put down to a trade, a placement or a removal;
4. time is summed by spread and depth, in the cells of ``microstructure_cells``.

Order-by-order rows say what a trade took. Quotes and depth do not: there a trade explains a shrinking of its level in
the same time or within ``PENDING_NS`` after it, up to its size. Of a quote that changes both sides, the bid is first.
REVEAL and SNAPSHOT rows are no flow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.lee_ready import lee_ready_side
from engine.levels import add_to_level, level_index, set_level
from engine.reports.microstructure_cells import BINS, BLOCKS, Cells
from engine.tape import ROW, Flag, Kind, State

QUOTE, DEPTH, ADD, REDUCE, DELETE = (int(kind) for kind in (Kind.QUOTE, Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE))
EXECUTE, REVEAL, TRADE, BAR = (int(kind) for kind in (Kind.EXECUTE, Kind.REVEAL, Kind.TRADE, Kind.BAR))
STATUS, CLEAR = int(Kind.STATUS), int(Kind.CLEAR)
HIDDEN, AUCTION, SNAPSHOT = int(Flag.HIDDEN), int(Flag.AUCTION), int(Flag.SNAPSHOT)
OPEN, BAND = int(State.OPEN), int(State.BAND)

UNKNOWN = -(2**62)  # no mid, no distance
PENDING_NS = 1_000_000_000
WIDEST = 200  # ticks; wider spreads are counted as this
DEEPEST = 10  # levels a side
PLACED, CANCELLED = 0, 1  # of flow, and of what moved the mid
BY_TRADE, BY_BOTH = 2, 3
BIDS, ASKS, MID, OPENED, CELL, NOW, PRICE, CHANGE, LEVELS, PENDING = range(10)  # of ``at``
STATE = PENDING + 6  # pending of the bids, of the asks: key, size, time
# columns of what is written out; prices of the tape, mids doubled
T_CELL, T_SIDE, T_SIZE, T_PRICE, T_MID = range(5)
F_CELL, F_SIDE, F_KIND, F_DISTANCE, F_SIZE, F_PRICE, F_MID = range(7)
M_CELL, M_SIDE, M_CAUSE = range(3)


class Walk(NamedTuple):
    """Everything that the walk of an instrument remembers and sums."""

    at: NDArray[np.int64]  # [STATE]
    bid_keys: NDArray[np.int64]
    bid_sizes: NDArray[np.int64]
    ask_keys: NDArray[np.int64]
    ask_sizes: NDArray[np.int64]
    mid: NDArray[np.float64]  # [cells] price of the tape at the end of each, NaN where unknown
    price: NDArray[np.float64]  # [cells] last traded
    volume: NDArray[np.int64]  # [cells]
    spread: NDArray[np.float64]  # [BLOCKS, WIDEST + 3] seconds by spread in ticks; time crossed; ticks x seconds
    shape: NDArray[np.float64]  # [combs, BINS, 3] seconds, ticks x seconds, size at the touch x seconds
    depth: NDArray[np.float64]  # [BLOCKS, 2, DEEPEST, 3] seconds, size x seconds, ticks from the touch x seconds
    trades: NDArray[np.int64]  # [5, room]
    flow: NDArray[np.int64]  # [7, room]
    moves: NDArray[np.int64]  # [3, room]


def new_walk(cells: Cells, chunk: int, levels: int) -> Walk:
    """Before the first row, with room for chunks of ``chunk`` rows; the tape shows ``levels`` a side (0: all)."""
    at = np.zeros(STATE, np.int64)
    at[MID], at[OPENED], at[PRICE] = UNKNOWN, 1, UNKNOWN
    at[NOW] = cells.start[0]
    at[LEVELS] = min(levels or DEEPEST, DEEPEST)  # a book remembers levels that have left a limited view
    n = len(cells.start)
    sides = [np.zeros(2 * chunk, np.int64) for _ in range(4)]
    return Walk(
        at,
        *sides,
        mid=np.full(n, np.nan),
        price=np.full(n, np.nan),
        volume=np.zeros(n, np.int64),
        spread=np.zeros((BLOCKS, WIDEST + 3)),
        shape=np.zeros((cells.combs, BINS, 3)),
        depth=np.zeros((BLOCKS, 2, DEEPEST, 3)),
        trades=np.zeros((5, chunk), np.int64),
        flow=np.zeros((7, 4 * chunk), np.int64),
        moves=np.zeros((3, chunk), np.int64),
    )


def walk_on(
    walk: Walk, rows: NDArray[np.void], cells: Cells, *, tick: int, explained: bool
) -> tuple[Walk, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Walk along the next rows of the instrument, which must not end inside a time.

    ``explained``: the rows are order by order. Returns the walk (its book may have grown), trades int64[5, n], flow
    int64[7, n] and moves int64[3, n], which are views that the next call writes over.
    """
    assert rows.dtype == ROW
    room = len(rows) + max(int(walk.at[BIDS]), int(walk.at[ASKS])) + 2
    if room > len(walk.bid_keys):
        sides = "bid_keys", "bid_sizes", "ask_keys", "ask_sizes"
        walk = walk._replace(**{name: np.resize(getattr(walk, name), 2 * room) for name in sides})
    if len(rows) > walk.trades.shape[1]:
        n = len(rows)
        walk = walk._replace(
            trades=np.zeros((5, n), np.int64), flow=np.zeros((7, 4 * n), np.int64), moves=np.zeros((3, n), np.int64)
        )
    n_trades, n_flow, n_moves = walk_kernel(walk, rows, cells, tick, explained)
    return walk, walk.trades[:, :n_trades], walk.flow[:, :n_flow], walk.moves[:, :n_moves]


def finish(walk: Walk, cells: Cells, tick: int) -> None:
    """Let the time after the last row pass."""
    pass_time(walk, cells, int(cells.end[-1]), tick)


@compiled
def pass_time(walk, cells, now, tick):
    """Give the time since the last row to the book that stood, cell by cell."""
    at = walk.at
    bids, asks = at[BIDS], at[ASKS]
    two_sided = bids > 0 and asks > 0 and at[OPENED]
    ticks = 0.0
    if two_sided:
        ticks = (-walk.ask_keys[asks - 1] - walk.bid_keys[bids - 1]) / tick
    c = at[CELL]
    while c < cells.start.size and cells.start[c] < now:
        start, end = max(at[NOW], cells.start[c]), min(now, cells.end[c])
        if end > start and two_sided:
            weight = (end - start) / 1e9
            block = cells.block[c]
            if ticks < 0:
                walk.spread[block, WIDEST + 1] += weight
            else:
                walk.spread[block, min(int(ticks), WIDEST)] += weight
                walk.spread[block, WIDEST + 2] += weight * ticks
                shape = walk.shape[cells.comb[c], cells.bin[c]]
                shape[0] += weight
                shape[1] += weight * ticks
                shape[2] += weight * (walk.bid_sizes[bids - 1] + walk.ask_sizes[asks - 1]) / 2
            for k in range(min(bids, at[LEVELS])):
                level = walk.depth[block, 0, k]
                level[0] += weight
                level[1] += weight * walk.bid_sizes[bids - 1 - k]
                level[2] += weight * (walk.bid_keys[bids - 1] - walk.bid_keys[bids - 1 - k]) / tick
            for k in range(min(asks, at[LEVELS])):
                level = walk.depth[block, 1, k]
                level[0] += weight
                level[1] += weight * walk.ask_sizes[asks - 1 - k]
                level[2] += weight * (walk.ask_keys[asks - 1] - walk.ask_keys[asks - 1 - k]) / tick
        if now < cells.end[c]:
            break
        if at[OPENED]:
            if at[MID] != UNKNOWN:
                walk.mid[c] = at[MID] / 2
            if at[PRICE] != UNKNOWN:
                walk.price[c] = at[PRICE]
        c += 1
    at[CELL] = c
    at[NOW] = max(now, at[NOW])


@compiled
def _unexplained(at, side, key, amount, now):
    """How much of a removal at a level the pending trades do not explain; they are used up."""
    pending = PENDING + (0 if side > 0 else 3)
    if at[pending] != key or now - at[pending + 2] > PENDING_NS:
        return amount
    used = min(amount, at[pending + 1])
    at[pending + 1] -= used
    return amount - used


@compiled
def _flow_out(walk, m, cell, side, kind, key, best, size, tick):
    """Write one change by limit orders; the number written."""
    if cell < 0 or size <= 0:
        return m
    flow = walk.flow
    flow[F_CELL, m] = cell
    flow[F_SIDE, m] = side if kind == PLACED else -side
    flow[F_KIND, m] = kind
    flow[F_DISTANCE, m] = (best - key) // tick if best != UNKNOWN else UNKNOWN
    flow[F_SIZE, m] = size
    flow[F_PRICE, m] = side * key
    flow[F_MID, m] = walk.at[MID]
    return m + 1


@compiled
def _side_changes(walk, row, kind, side, price, size, n, keys, sizes, m, cell, tick, explained):
    """One side of the book after a row: its number of levels, the number of flows written, whether a trade showed."""
    at = walk.at
    key = side * price
    best = keys[n - 1] if n > 0 else UNKNOWN
    quiet = row.flags & SNAPSHOT or kind == REVEAL
    traded = False
    if kind == ADD:
        if not quiet:
            m = _flow_out(walk, m, cell, side, PLACED, key, best, size, tick)
        n = add_to_level(keys, sizes, n, key, size)
    elif kind in (REDUCE, DELETE, EXECUTE):
        if kind != EXECUTE and not quiet:
            m = _flow_out(walk, m, cell, side, CANCELLED, key, best, size, tick)
        n = add_to_level(keys, sizes, n, key, -size)
    else:
        if kind == QUOTE and n > 0 and (size <= 0 or key < best):  # the best level of before is gone
            gone = sizes[n - 1] if explained else _unexplained(at, side, best, sizes[n - 1], row.ts_event)
            traded = gone < sizes[n - 1]
            if not quiet:
                m = _flow_out(walk, m, cell, side, CANCELLED, best, best, gone, tick)
            before = 0 if size <= 0 else size  # what stood behind it was out of sight, and is no placement
        else:
            i = level_index(keys, n, key)
            before = sizes[i] if i < n and keys[i] == key else 0
        if size > before and not quiet and best != UNKNOWN:
            m = _flow_out(walk, m, cell, side, PLACED, key, best, size - before, tick)
        elif size < before and not (kind == QUOTE and (size <= 0 or key < best)):
            left = before - size if explained else _unexplained(at, side, key, before - size, row.ts_event)
            traded = left < before - size
            if not quiet:
                m = _flow_out(walk, m, cell, side, CANCELLED, key, best, left, tick)
        n = set_level(keys, sizes, 0 if kind == QUOTE else n, key, size)
    return n, m, traded


@compiled
def walk_kernel(walk, rows, cells, tick, explained):
    """The walk; how many trades, flows and moves were written."""
    at = walk.at
    n_trades = n_flow = n_moves = 0
    i = 0
    while i < rows.size:
        now = rows[i].ts_event
        j = i + 1
        while j < rows.size and rows[j].ts_event == now:
            j += 1
        when = now - 1 if rows[i].kind == BAR else now  # a bar speaks for the time before its end
        pass_time(walk, cells, when, tick)
        c = at[CELL]
        if when < now:
            at[PRICE] = rows[i].size2
            pass_time(walk, cells, now, tick)
        for k in range(i, j):
            if rows[k].kind == STATUS and rows[k].level != BAND:
                at[OPENED] = rows[k].level == OPEN
        cell = c if at[OPENED] and c < cells.start.size and cells.start[c] <= when else -1
        traded = False
        first = n_trades
        for k in range(i, j):
            row = rows[k]
            if row.kind == BAR:
                at[PRICE] = row.size2
                if cell >= 0:
                    walk.volume[cell] += row.size
            if (row.kind != TRADE and row.kind != EXECUTE) or row.flags & AUCTION:
                continue
            traded = True
            if at[PRICE] != UNKNOWN and row.price != at[PRICE]:
                at[CHANGE] = 1 if row.price > at[PRICE] else -1
            at[PRICE] = row.price
            side = row.side if row.kind == TRADE else -row.side
            if side == 0:
                side = lee_ready_side(row.price, at[MID], at[MID] != UNKNOWN, at[CHANGE])
            if not explained and row.kind == TRADE and side != 0:
                pending = PENDING + (3 if side > 0 else 0)
                if at[pending] != -side * row.price or now - at[pending + 2] > PENDING_NS:
                    at[pending] = -side * row.price
                    at[pending + 1] = 0
                at[pending + 1] += row.size
                at[pending + 2] = now
            if cell < 0:
                continue
            walk.volume[cell] += row.size
            out = walk.trades
            t = first
            while t < n_trades and (out[T_SIDE, t] != side or out[T_PRICE, t] != row.price):
                t += 1
            if t == n_trades:
                out[T_CELL, t], out[T_SIDE, t], out[T_SIZE, t], out[T_PRICE, t] = cell, side, 0, row.price
                out[T_MID, t] = at[MID]
                n_trades += 1
            out[T_SIZE, t] += row.size
        bids, asks = at[BIDS], at[ASKS]
        bid = walk.bid_keys[bids - 1] if bids > 0 else UNKNOWN
        ask = walk.ask_keys[asks - 1] if asks > 0 else UNKNOWN
        for k in range(i, j):
            row = rows[k]
            kind = row.kind
            if kind == CLEAR:
                bids = asks = 0
            elif QUOTE <= kind <= REVEAL and not (kind == EXECUTE and row.flags & HIDDEN):
                if kind == QUOTE or row.side > 0:
                    bids, n_flow, shown = _side_changes(
                        walk, row, kind, 1, row.price, row.size, bids, walk.bid_keys, walk.bid_sizes,
                        n_flow, cell, tick, explained,
                    )  # fmt: skip
                    traded = traded or shown
                if kind == QUOTE or row.side < 0:
                    price, size = (row.price2, row.size2) if kind == QUOTE else (row.price, row.size)
                    asks, n_flow, shown = _side_changes(
                        walk, row, kind, -1, price, size, asks, walk.ask_keys, walk.ask_sizes,
                        n_flow, cell, tick, explained,
                    )  # fmt: skip
                    traded = traded or shown
        at[BIDS], at[ASKS] = bids, asks
        before = at[MID]
        at[MID] = UNKNOWN
        if bids > 0 and asks > 0 and walk.bid_keys[bids - 1] <= -walk.ask_keys[asks - 1]:
            at[MID] = walk.bid_keys[bids - 1] - walk.ask_keys[asks - 1]
        if cell >= 0 and before != UNKNOWN and at[MID] != UNKNOWN and at[MID] != before:
            up = at[MID] > before
            placed = walk.bid_keys[bids - 1] > bid if up else walk.ask_keys[asks - 1] > ask
            removed = walk.ask_keys[asks - 1] < ask if up else walk.bid_keys[bids - 1] < bid
            walk.moves[M_CELL, n_moves] = cell
            walk.moves[M_SIDE, n_moves] = 1 if up else -1
            cause = BY_BOTH if placed and removed else PLACED if placed else CANCELLED
            walk.moves[M_CAUSE, n_moves] = BY_TRADE if traded else cause
            n_moves += 1
        i = j
    return n_trades, n_flow, n_moves
