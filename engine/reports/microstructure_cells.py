"""The clock of the statistics: sessions cut into cells of equal length, cells gathered into blocks and bins.

A *block* is one of ``BLOCKS`` equal parts of the time in session: sums are kept by block, and what blocks disagree on
is the error of a statistic. A *bin* is a thirteenth of a session, a half-hour of a US day. So that profiles over the
session have errors too, each bin is cut into ``TEETH`` parts, and the first part of every bin makes the first *comb*,
the second the second; over ``MANY_SESSIONS`` or more a comb is a whole session, which then shows how days differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.tape import Kind, Tape

SECOND = 1_000_000_000
BLOCKS = 30
BINS = 13
TEETH = 10
MANY_SESSIONS = 5
MOST = 1_000_000  # cells; beyond it they last longer than a second

Ints = NDArray[np.int64]


class Cells(NamedTuple):
    """int64[n] each, in order of time."""

    start: Ints  # ns UTC, [start, end)
    end: Ints
    session: Ints
    block: Ints
    bin: Ints
    comb: Ints

    @property
    def step(self) -> int:
        """Length of every cell but the last of a session, in ns."""
        return int((self.end - self.start).max())

    @property
    def combs(self) -> int:
        return int(self.comb.max()) + 1


def cells_of(tape: Tape) -> Cells:
    """The cells of the sessions of a tape, as far as its rows go."""
    times = tape.rows["ts_event"]
    first, last = int(times[0]), int(times[-1])
    whole = tape.sessions
    if not tape.manifest.sessions:
        whole = [(whole[0][0] - 1, whole[0][1])]
    if tape.rows[0]["kind"] == Kind.BAR:  # it speaks for the time before it
        first = min(first, whole[0][0] + 1)
    clipped = [(max(a, first - 1), min(b, last + 1)) for a, b in whole]
    pairs = [(one, cut) for one, cut in zip(whole, clipped, strict=True) if cut[1] > cut[0]]
    total = sum(b - a for _, (a, b) in pairs)
    step = SECOND * max(1, -(-total // (MOST * SECOND)))
    columns: list[Ints] = []
    before = 0
    for number, ((opened, closed), (a, b)) in enumerate(pairs):
        # counted from the open, so that a tape that begins a little late keeps the clock of its session
        start = opened + step * np.arange((a - opened) // step, -(-(b - opened) // step), dtype=np.int64)
        end = np.minimum(start + step, b)
        start = np.maximum(start, a)
        length = closed - opened
        tooth = ((start - opened).astype(object) * BINS * TEETH // length).astype(np.int64)
        block = ((before + start - a).astype(object) * BLOCKS // total).astype(np.int64)
        comb = np.full(len(start), number) if len(pairs) >= MANY_SESSIONS else tooth % TEETH
        columns.append(np.array([start, end, np.full(len(start), number), block, tooth // TEETH, comb], np.int64))
        before += b - a
    table = np.concatenate(columns, axis=1) if columns else np.zeros((6, 0), np.int64)
    return Cells(*(np.ascontiguousarray(column) for column in table))
