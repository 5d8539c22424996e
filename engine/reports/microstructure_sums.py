"""The sums of one instrument, fed with its rows a chunk at a time; memory does not grow with the tape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.reports import microstructure_walk as w
from engine.reports.microstructure_ages import OrderAges
from engine.reports.microstructure_cells import BLOCKS, Cells
from engine.reports.microstructure_lags import LagSums

Ints = NDArray[np.int64]

FARTHEST = 20  # ticks from the best price; what is farther is counted as this
DISTANCES = np.arange(-FARTHEST, FARTHEST + 1)
SIZE_BINS = 63  # of trades: [1, 2), [2, 4), [4, 8), ...
WINDOW = 20  # trades of net flow
CAUSES = 4


class Sums:
    """Everything the sections are made of, by block of time."""

    def __init__(self, instrument: Instrument, cells: Cells, chunk: int) -> None:
        self.instrument, self.cells = instrument, cells
        self.walk = w.new_walk(cells, chunk, instrument.levels)
        self.rows = self.transactions = self.signed_here = self.unsigned = self.last = 0
        self.kinds = np.zeros(256, np.int64)
        self.sides = np.zeros((BLOCKS, 2))  # trades bought, sold
        self.paid = np.zeros((BLOCKS, 2))  # trades, sum of 2 side (price - mid) in ticks
        self.trades, self.flow = LagSums(BLOCKS), LagSums(BLOCKS)
        self.placements, self.removals = LagSums(BLOCKS), LagSums(BLOCKS)
        self.touch = [LagSums(BLOCKS), LagSums(BLOCKS)]  # placed, removed, at the best price or inside
        self.by_distance = np.zeros((BLOCKS, 2, len(DISTANCES), 2))  # placed or removed; orders, size
        self.by_digit = np.zeros((BLOCKS, 10))  # placements by price in ticks modulo 10
        self.flow_total = np.zeros((BLOCKS, 2, 2))  # placed, removed; orders, size
        self.causes = np.zeros((BLOCKS, CAUSES))
        self.runs = np.zeros((BLOCKS, CAUSES, 2))  # next moves after one of this cause: all, in the same direction
        self.by_size = np.zeros((BLOCKS, SIZE_BINS, 3))  # trades, size, move in ticks
        self.windows: list[NDArray[np.float64]] = []  # block, net flow, move in ticks
        self.ages = OrderAges(BLOCKS) if instrument.book == "L3" else None
        self._last_move = np.zeros((3, 0), np.int64)
        self._last_trade = np.zeros((4, 0))
        self._window = np.zeros((4, 0))

    def add(self, rows: NDArray[np.void]) -> None:
        """The next rows of the instrument; they end where a time ends."""
        self.rows += len(rows)
        self.last = int(rows["ts_event"][-1])
        self.kinds += np.bincount(rows["kind"], minlength=256)
        unsided = np.count_nonzero((rows["kind"] == w.TRADE) & (rows["side"] == 0) & (rows["flags"] & w.AUCTION == 0))
        self.signed_here += int(unsided)
        explained = self.instrument.book == "L3"
        self.walk, trades, flow, moves = w.walk_on(
            self.walk, rows, self.cells, tick=self.instrument.tick, explained=explained
        )
        self._add_trades(trades)
        self._add_flow(flow)
        self._add_moves(moves)
        if self.ages is not None:
            self.ages.add(rows, self._block_at(rows["ts_event"]))

    def finish(self) -> None:
        """After the last row."""
        w.finish(self.walk, self.cells, self.instrument.tick)
        if self.ages is not None:
            self.ages.finish(self.last)

    def _block_at(self, times: Ints) -> Ints:
        at = np.maximum(np.searchsorted(self.cells.start, times, side="right") - 1, 0)
        inside = (times >= self.cells.start[at]) & (times < self.cells.end[at])
        return np.where(inside, self.cells.block[at], -1)

    def _ticks(self, twice_mid: Ints) -> NDArray[np.float64]:
        return np.where(twice_mid == w.UNKNOWN, np.nan, twice_mid / (2 * self.instrument.tick))

    def _add_trades(self, trades: Ints) -> None:
        self.transactions += trades.shape[1]
        trades = trades[:, trades[w.T_SIDE] != 0]
        cell, side, size, price = trades[: w.T_MID]
        block, session = self.cells.block[cell], self.cells.session[cell]
        mid, sign = self._ticks(trades[w.T_MID]), side.astype(float)
        np.add.at(self.sides, (block, (side < 0).astype(int)), 1)
        paid = 2 * sign * (price / self.instrument.tick - mid)
        known = np.isfinite(paid)
        np.add.at(self.paid, block[known], np.stack([np.ones(known.sum()), paid[known]], axis=1))
        self.trades.add(sign, mid, session, block)
        table = np.array([block, session, sign * size, mid], np.float64)
        self._add_by_size(table)
        self._add_windows(table)

    def _add_by_size(self, table: NDArray[np.float64]) -> None:
        """What the mid did from before a trade to before the next one, by the trade's size."""
        table = np.concatenate([self._last_trade, table], axis=1)
        self._last_trade = table[:, -1:]
        block, session, net, mid = table
        move = np.sign(net[:-1]) * np.diff(mid)
        known = np.isfinite(move) & (session[1:] == session[:-1]) & (net[:-1] != 0)
        size = np.abs(net[:-1])[known]
        at = block[:-1][known].astype(int), np.frexp(size)[1] - 1
        np.add.at(self.by_size, at, np.stack([np.ones(len(size)), size, move[known]], axis=1))

    def _add_windows(self, table: NDArray[np.float64]) -> None:
        """Net flow of ``WINDOW`` trades one after the other, and what the mid did meanwhile."""
        table = np.concatenate([self._window, table], axis=1)
        n = max(0, table.shape[1] - 1) // WINDOW
        used = n * WINDOW
        if n:
            starts = np.arange(0, used, WINDOW)
            block, session, net, mid = table
            change = mid[starts + WINDOW] - mid[starts]
            known = np.isfinite(change) & (session[starts + WINDOW] == session[starts])
            flow = np.add.reduceat(net[:used], starts)
            self.windows.append(np.stack([block[starts], flow, change])[:, known])
        self._window = table[:, used:]

    def _add_flow(self, flow: Ints) -> None:
        cell, side, kind, distance, size, price, mid = flow
        block, session = self.cells.block[cell], self.cells.session[cell]
        sign, middle = side.astype(float), self._ticks(mid)
        self.flow.add(sign, middle, session, block)
        for of_kind, series in ((w.PLACED, self.placements), (w.CANCELLED, self.removals)):
            mine = kind == of_kind
            series.add(sign[mine], middle[mine], session[mine], block[mine])
        known = distance != w.UNKNOWN
        near = known & (distance <= 0)
        for of_kind, series in enumerate(self.touch):
            only = np.where(kind == of_kind, sign, 0.0)
            series.add(only[near], middle[near], session[near], block[near])
        one = np.stack([np.ones(len(size)), size.astype(float)], axis=1)
        np.add.at(self.flow_total, (block, kind), one)
        place = np.clip(distance, -FARTHEST, FARTHEST) + FARTHEST
        np.add.at(self.by_distance, (block[known], kind[known], place[known]), one[known])
        placed = kind == w.PLACED
        np.add.at(self.by_digit, (block[placed], price[placed] // self.instrument.tick % 10), 1)

    def _add_moves(self, moves: Ints) -> None:
        cell, _, cause = moves
        np.add.at(self.causes, (self.cells.block[cell], cause), 1)
        moves = np.concatenate([self._last_move, moves], axis=1)
        self._last_move = moves[:, -1:]
        cell, side, cause = moves
        together = self.cells.session[cell[1:]] == self.cells.session[cell[:-1]]
        same = (side[1:] == side[:-1])[together]
        at = self.cells.block[cell[1:]][together], cause[:-1][together]
        np.add.at(self.runs, at, np.stack([np.ones(len(same)), same], axis=1))
