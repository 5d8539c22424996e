"""The last rows handed over: a row that comes again must be the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.live.row_rules import CLOCK, SIZE, Block

RECENT_ROWS = 16_384  # 1 MiB; two of the longest messages
EARLIEST = -(2**63)


class RecentRows:
    """A ring of the last numbered rows, and the time of the very last row.

    Parameters
    ----------
    next_seq : int
        Number of the next row.
    rows : ROW[n], optional
        Those before it, CLOCK rows included; as many as there are.
    """

    def __init__(self, next_seq: int, rows: NDArray[np.void] | None = None) -> None:
        self._ring = bytearray(RECENT_ROWS * SIZE)
        self._next = self._oldest = next_seq
        self.ts_last = EARLIEST
        self.ends_with_clock = False
        if rows is not None and len(rows):
            numbered = int(np.count_nonzero(rows["kind"] != CLOCK))
            self._next = self._oldest = next_seq - numbered
            self.add(Block(self._next, numbered, memoryview(rows.tobytes()), rows))

    def add(self, block: Block) -> None:
        """Rows that come next."""
        data = block.bytes_of()[-RECENT_ROWS * SIZE :]
        self._next = block.first + block.numbered
        self._oldest = max(self._oldest, self._next - RECENT_ROWS)
        begin = (self._next - len(data) // SIZE) % RECENT_ROWS * SIZE
        head = len(self._ring) - begin
        self._ring[begin : begin + len(data)] = data[:head]
        self._ring[: max(0, len(data) - head)] = data[head:]
        self.ts_last, kind = block.at(block.rows - 1)
        self.ends_with_clock = kind == CLOCK

    def may_precede(self, block: Block) -> bool:
        """Whether the last row allows the block to come next: time does not go back, nor stop after a clock."""
        ts, kind = block.at(0)
        return ts >= self.ts_last + (self.ends_with_clock and kind != CLOCK)

    def agrees(self, first: int, data: memoryview) -> bool:
        """Whether rows from number ``first`` on are the same as before, as far as those are still known."""
        skip = max(0, self._oldest - first)
        data = data[skip * SIZE :]
        begin = (first + skip) % RECENT_ROWS * SIZE
        head = len(self._ring) - begin
        return (
            self._ring[begin : begin + len(data)] == data[:head]
            and self._ring[: max(0, len(data) - head)] == data[head:]
        )
