"""What a batch of rows must be before anything believes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.live.messages import Batch
from engine.live.panel_parts import PanelParts
from engine.tape import ROW, Kind, is_axis

SIZE = ROW.itemsize
CLOCK, CLOSE = int(Kind.CLOCK), int(Kind.CLOSE)
EVERY_KIND = bytes(range(1, 1 + max(Kind)))
KIND_AT = 58  # its byte in a row: bytes are counted without a call of numpy, and each call costs every subscriber
TIME_AND_KIND = struct.Struct("<q50xB")
assert ROW.fields is not None
assert (ROW.fields["ts_event"][1], ROW.fields["kind"][1]) == (0, KIND_AT)


class Block(NamedTuple):
    """Rows that keep the rules among themselves."""

    first: int  # number of the first numbered row, or of the one after the clocks
    numbered: int
    data: memoryview  # 64 bytes a row
    table: NDArray[np.void]  # ROW[n], the same bytes

    @property
    def rows(self) -> int:
        """Rows, CLOCK rows included."""
        return len(self.table)

    def at(self, place: int) -> tuple[int, int]:
        """Time and kind of a row."""
        return TIME_AND_KIND.unpack_from(self.data, place * SIZE)

    def after(self, numbered: int) -> Block:
        """Without so many numbered rows, and the clocks before the last of them."""
        cut = numbered if self.numbered == self.rows else self._place_after(numbered)
        return Block(self.first + numbered, self.numbered - numbered, self.data[cut * SIZE :], self.table[cut:])

    def without_clocks_until(self, ts: int, is_clock: bool) -> Block:
        """Without the clocks at its head that promise no more than a row at ``ts`` does (a clock: later rows alone)."""
        cut = 0
        if self.numbered < self.rows:
            least = ts + is_clock
            while cut < self.rows and self.at(cut)[1] == CLOCK and self.at(cut)[0] < least:
                cut += 1
        return self if cut == 0 else Block(self.first, self.numbered, self.data[cut * SIZE :], self.table[cut:])

    def bytes_of(self, numbered: int | None = None) -> memoryview:
        """The bytes of the first numbered rows, or of all, without clocks."""
        if self.numbered == self.rows:
            return self.data if numbered is None else self.data[: numbered * SIZE]
        return memoryview(self.table[self.table["kind"] != CLOCK][:numbered].tobytes())

    def _place_after(self, numbered: int) -> int:
        return int(np.flatnonzero(self.table["kind"] != CLOCK)[numbered - 1]) + 1 if numbered else 0


class RowRules:
    """The rules of one market.

    Parameters
    ----------
    instruments : sequence of Instrument
    panels : PanelParts
    """

    def __init__(self, instruments: Sequence[Instrument], panels: PanelParts) -> None:
        self._count = len(instruments)
        self._panels = panels
        self._needed = _panels_of_closes(instruments, [name for name in panels.arrays if not is_axis(name)])

    def block(self, batch: Batch) -> tuple[Block | None, str]:
        """The rows of a batch; None and the reason code of the rule that they break.

        CORRUPT: not whole rows, an unknown kind, another count of numbered rows than it says, a close beyond the
        panels. UNKNOWN_INST. TIME_BACK: a row before the one before it, or not after a CLOCK row before it.
        """
        if len(batch.rows) % SIZE:
            return None, "CORRUPT"
        rows, kinds = np.frombuffer(batch.rows, ROW), batch.rows[KIND_AT::SIZE]
        clocks = kinds.count(CLOCK)
        if len(rows) - clocks != batch.n or kinds.translate(None, EVERY_KIND):
            return None, "CORRUPT"
        if np.maximum.reduce(rows["instrument"]) >= self._count:
            return None, "UNKNOWN_INST"
        times = earliest = rows["ts_event"]
        if clocks:
            clock = rows["kind"] == CLOCK
            earliest = times + np.append(clock[:-1] & ~clock[1:], False)
        if np.count_nonzero(times[1:] < earliest[:-1]):
            return None, "TIME_BACK"
        block = Block(batch.first, batch.n, memoryview(batch.rows), rows)
        if not all(self._has_day(rows[at]) for at in self.closes(block)):
            return None, "CORRUPT"
        return block, ""

    def closes(self, block: Block) -> list[int]:
        """Where in a block there are closes that need panels."""
        if not self._needed:
            return []
        at = np.flatnonzero(block.table["kind"] == CLOSE)
        return [place for place in at.tolist() if int(block.table["instrument"][place]) in self._needed]

    def lacking(self, instrument: int, day: int) -> Iterator[tuple[str, int]]:
        """The days of panels that have not arrived, and must before a close is handed over."""
        return self._panels.lacking(self._needed[instrument], day)

    def _has_day(self, close: np.void) -> bool:
        return all(self._panels.has(name, int(close["order_id"])) for name in self._needed[int(close["instrument"])])


def _panels_of_closes(instruments: Sequence[Instrument], panels: Sequence[str]) -> dict[int, list[str]]:
    """For each close-of-day market its own panels, and those that bear no market's name (``engine.panels``)."""
    markets = [n for n, one in enumerate(instruments) if one.kind == "rates"] or list(range(len(instruments)))
    symbols = [instruments[n].symbol for n in markets]
    shared = [name for name in panels if not any(name.startswith(f"{symbol}.") for symbol in symbols)]
    needed = {n: shared + [name for name in panels if name.startswith(f"{instruments[n].symbol}.")] for n in markets}
    return {n: names for n, names in needed.items() if names}
