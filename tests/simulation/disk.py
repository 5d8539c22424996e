"""A disk that forgets: what was appended is safe once synced, and a crash keeps some of the rest."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class DiskFailed(OSError):
    """EIO or ENOSPC: fatal for the role, as for ``DurableLog``."""


class Entry(NamedTuple):
    """Of the durable log."""

    kind: int
    payload: bytes


class Disk:
    """One role's entries and rows, in the order in which they were given; the first ``synced`` parts are safe.

    A crash keeps a prefix of the rest, cut between entries and, of rows, between rows: ``DurableLog`` and
    ``Segments`` give no more and no less (their own tests cut files at every byte).
    """

    def __init__(self, name: str, chance: Random) -> None:
        self.name = name
        self._chance = chance
        self.entries: list[Entry] = []
        self.rows = bytearray()
        self._rows_before: list[int] = []  # bytes of rows that were appended before each entry
        self.safe_entries = 0
        self.safe_rows = 0
        self.room = -1  # bytes until ENOSPC; -1 is plenty
        self.fails_at_sync = False

    def append(self, kind: int, payload: bytes) -> int:
        """Add an entry; its number, counted from 1."""
        self._take(len(payload) + 32)
        self._rows_before.append(len(self.rows))
        self.entries.append(Entry(kind, payload))
        return len(self.entries)

    def keep_rows(self, rows: bytes) -> None:
        """Add rows."""
        self._take(len(rows))
        self.rows += rows

    def _take(self, size: int) -> None:
        if self.room < 0:
            return
        self.room -= size
        if self.room < 0:
            self.room = -1  # someone makes room before the role comes back
            raise DiskFailed(f"{self.name}: no space left on device")

    def sync(self, entries: int, rows: int) -> None:
        """Make the first ``entries`` and ``rows`` (bytes) safe."""
        if self.fails_at_sync:
            self.fails_at_sync = False
            raise DiskFailed(f"{self.name}: input/output error")
        self.safe_entries = max(self.safe_entries, entries)
        self.safe_rows = max(self.safe_rows, rows)

    def crash(self) -> tuple[int, int]:
        """Keep a prefix of what was not synced; (entries, bytes of rows) lost."""
        chance, before = self._chance, (len(self.entries), len(self.rows))
        kept = chance.randint(self.safe_entries, len(self.entries)) if chance.random() < 0.5 else self.safe_entries
        least = max(self.safe_rows, self._rows_before[kept - 1] if kept else 0)
        rows = chance.randint(least, len(self.rows)) if chance.random() < 0.5 else least
        del self.entries[kept:], self._rows_before[kept:]
        del self.rows[rows - rows % 64 if rows > least else rows :]
        self.safe_entries, self.safe_rows = len(self.entries), len(self.rows)
        return before[0] - len(self.entries), before[1] - len(self.rows)
