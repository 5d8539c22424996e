"""What a role keeps: its durable log, and for a broker the rows. Committed in groups; any error ends the role."""

from __future__ import annotations

import sqlite3
from typing import Protocol

from engine import clock
from engine.errors import RunError, TickwrightError

GROUP = 64  # entries that are committed together at most
GROUP_NS = 2_000_000  # how long an entry waits for others at most
ROWS_NS = 100_000_000  # how long rows wait that no entry speaks of
FAILURES = (OSError, sqlite3.Error, RunError)


class JournalFailed(TickwrightError):
    """The disk did not take what was to be kept: nothing after it may be acknowledged."""


class Log(Protocol):
    """``engine.live.durable_log.DurableLog``."""

    def append(self, kind: int, payload: bytes) -> int: ...
    def commit(self) -> object: ...
    def close(self) -> None: ...


class Rows(Protocol):
    """``engine.live.segments.Segments``."""

    def append(self, rows: bytes) -> object: ...
    def sync(self) -> object: ...
    def close(self) -> None: ...


class RoleDisk:
    """Log and rows, and what of them is not yet on disk.

    Parameters
    ----------
    log, rows : Log, Rows or None
        None where the role keeps no such thing.
    """

    def __init__(self, log: Log | None = None, rows: Rows | None = None) -> None:
        self._log, self._rows = log, rows
        self._count = 0  # number of the last entry
        self._pending = 0  # entries
        self._since = 0  # monotonic ns of the first of them
        self._rows_since: int | None = None
        self._failed = ""
        self.slowest_commit_ns = 0

    def append(self, kind: int, payload: bytes) -> None:
        """An entry; ``commit`` puts it on disk. Raises ``JournalFailed``."""
        assert self._log is not None, "this role keeps no log"
        self._guard()
        try:
            self._count = self._log.append(kind, payload)
        except FAILURES as error:
            self._fail(error)
        if not self._pending:
            self._since = clock.monotonic_ns()
        self._pending += 1

    def keep_rows(self, rows: bytes) -> None:
        """Rows, on disk before any entry after them. Raises ``JournalFailed``."""
        assert self._rows is not None, "this role keeps no rows"
        self._guard()
        try:
            self._rows.append(rows)
        except FAILURES as error:
            self._fail(error)
        if self._rows_since is None:
            self._rows_since = clock.monotonic_ns()

    @property
    def has_entries(self) -> bool:
        """Whether there is something to commit."""
        return self._pending > 0

    def is_due(self, now: int) -> bool:
        """Whether entries should wait no longer for others."""
        return self._pending >= GROUP or (self._pending > 0 and now - self._since >= GROUP_NS)

    def commit(self) -> int:
        """Rows, then entries, to disk; the number of the last entry. Raises ``JournalFailed``."""
        self._guard()
        began = clock.monotonic_ns()
        try:
            if self._rows is not None and self._rows_since is not None:
                self._rows.sync()
                self._rows_since = None
            if self._log is not None:
                self._log.commit()
        except FAILURES as error:
            self._fail(error)
        self._pending = 0
        self.slowest_commit_ns = max(self.slowest_commit_ns, clock.monotonic_ns() - began)
        return self._count

    def sync_old_rows(self, now: int) -> None:
        """Put rows on disk that no entry has taken with it for a while. Raises ``JournalFailed``."""
        if self._rows is not None and self._rows_since is not None and now - self._rows_since >= ROWS_NS:
            self._guard()
            try:
                self._rows.sync()
            except FAILURES as error:
                self._fail(error)
            self._rows_since = None

    def _guard(self) -> None:
        if self._failed:
            raise JournalFailed(self._failed)

    def _fail(self, error: Exception) -> None:
        """SQLite may go on committing after a failed flush, so nobody asks it again."""
        cure = "free space or repair the disk, then start again"
        said = isinstance(error, RunError)
        self._failed = str(error) if said else f"the journal could not be written ({error}); {cure}"
        raise JournalFailed(self._failed) from error
