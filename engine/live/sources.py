"""What a feed publishes from: rows by their number, and the panels that their CLOSE rows point into.

Numbers count all rows but CLOCK rows, which a feed writes itself. A tape is a source whose rows are all there; rows
that are pushed, or made as they are needed, are sources that grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.average_day import measure
from engine.broker.impact import Market
from engine.errors import ConfigError
from engine.tape import ROW, Kind, Manifest, Tape

AT_ONCE = 1 << 18  # rows looked at together


class Source(Protocol):
    """Rows by number, in order of time, and what they mean."""

    manifest: Manifest
    average_days: dict[str, Market]  # by symbol; what is not there must be said by who needs it

    @property
    def panels(self) -> Mapping[str, NDArray[Any]]:
        """As ``Tape.panels``."""
        ...

    @property
    def content(self) -> str:
        """As ``Tape.content_hash``; "" where there is no end."""
        ...

    def read(self, first: int, n: int) -> NDArray[np.void]:
        """ROW[m], m <= n, of the numbers from ``first`` on, without CLOCK rows; m = 0: not there, or not yet."""
        ...

    @property
    def total(self) -> int | None:
        """Numbered rows; None while there may be more."""
        ...

    def promise(self, ts: int) -> int:
        """Where no row waits: none that comes will be at or before the time returned, which is at most ``ts``."""
        ...


class TapeSource:
    """The rows of a tape, or of several days of one market.

    Parameters
    ----------
    tape : Tape
        What the rows mean, and the panels.
    parts : sequence of ROW[n], optional
        Instead of the tape's rows, in order of time (``feeds.replay.TapeFeed.parts``).
    """

    def __init__(self, tape: Tape, parts: Sequence[NDArray[np.void]] | None = None) -> None:
        self._parts = [tape.rows] if parts is None else [part for part in parts if len(part)]
        self.manifest = msgspec.structs.replace(tape.manifest, rows=0, sessions=tape.sessions)
        self.panels = tape.panels
        self._clocks = [_clock_rows(part) for part in self._parts]
        counts = [len(part) - len(clocks) for part, clocks in zip(self._parts, self._clocks, strict=True)]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)  # number of a part's first row
        self.content = (parts is None and tape.manifest.content) or _content(self._parts, tape.panels)
        self.average_days = average_days(self._parts, self.manifest)

    @property
    def total(self) -> int:
        return int(self._starts[-1])

    def promise(self, ts: int) -> int:
        return ts  # nothing follows

    def read(self, first: int, n: int) -> NDArray[np.void]:
        at = int(np.searchsorted(self._starts, first, side="right")) - 1
        if first < 0 or at >= len(self._parts):
            return np.zeros(0, ROW)
        part, clocks = self._parts[at], self._clocks[at]
        inside = first - int(self._starts[at])
        n = min(n, int(self._starts[at + 1]) - first)
        if not len(clocks):
            return part[inside : inside + n]
        numbered = clocks - np.arange(len(clocks))  # the number of the first numbered row after each CLOCK row
        begin, end = (place + int(np.searchsorted(numbered, place, side="right")) for place in (inside, inside + n - 1))
        rows = part[begin : end + 1]
        return rows[rows["kind"] != Kind.CLOCK]


def average_days(parts: Sequence[NDArray[np.void]], manifest: Manifest) -> dict[str, Market]:
    """What can be measured of ``engine.average_day``, by symbol; instruments that hardly trade are left out."""
    named, sessions = manifest.instruments, manifest.sessions
    try:
        return measure(parts, named, sessions, range(len(named)))
    except ConfigError:
        pass
    found: dict[str, Market] = {}
    for n in _traded(parts):
        try:
            found |= measure(parts, named, sessions, [n])
        except ConfigError:
            continue
    return found


def _traded(parts: Sequence[NDArray[np.void]]) -> list[int]:
    found: set[int] = set()
    for part in parts:
        for start in range(0, len(part), AT_ONCE):
            rows = part[start : start + AT_ONCE]
            traded = (rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.EXECUTE)
            found.update(np.unique(rows["instrument"][traded]).tolist())
    return sorted(found)


def _clock_rows(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Where a tape holds CLOCK rows: one that was recorded from a feed does."""
    found = [
        start + np.flatnonzero(rows["kind"][start : start + AT_ONCE] == Kind.CLOCK)
        for start in range(0, len(rows), AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _content(parts: Sequence[NDArray[np.void]], panels: Mapping[str, NDArray[Any]]) -> str:
    """``Tape.content_hash`` of parts that are one tape."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        for start in range(0, len(part), AT_ONCE):
            rows = part[start : start + AT_ONCE]
            clock = rows["kind"] == Kind.CLOCK
            digest.update((rows[~clock] if clock.any() else rows).tobytes())
    for name, panel in sorted(panels.items()):
        digest.update(f"{name} {panel.dtype.str} {panel.shape}".encode())
        digest.update(panel.tobytes())
    return digest.hexdigest()
