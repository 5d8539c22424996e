"""The durable log of a role: numbered entries that are on disk before anybody hears of what they say.

A log is an SQLite database (write-ahead log, ``synchronous=FULL``, one connection in exclusive mode) with a row per
commit: the entries committed together, and a chain hash over all so far (``engine.live.log_chain``). What a chain
cannot see, that the end is missing, the high-water mark beside the file shows (``engine.live.high_water``).

1. ``append`` buffers, ``commit`` writes one group, waits for the disk and moves the mark.
2. Opening verifies before anything on disk is changed.
3. Closing in order folds SQLite's write-ahead log away and notes the hash of the whole file in the mark, so that
   from then on any flipped bit is seen, whether or not SQLite reads it.

Every error is final. After a failed ``fdatasync`` SQLite goes on committing as if nothing had been, while the kernel
may have dropped the pages: a log that failed once refuses everything until it is opened again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from engine.errors import RunError
from engine.live.disk import refuse_network_disk, sync_folder
from engine.live.high_water import HighWater, LogDamaged, Mark
from engine.live.log_chain import (
    LARGEST_PAYLOAD,
    Chain,
    Entry,
    begin,
    entries_of,
    file_digest,
    frame_of,
    groups,
    verify,
    writer,
)

__all__ = ["LARGEST_PAYLOAD", "DurableLog", "Entry", "LogDamaged"]

CHECKPOINT = 4 << 20  # bytes written to the write-ahead log before it is folded into the database


class DurableLog:
    """Entries on disk, in order. Open one with ``DurableLog.open``.

    One thread at a time may use it; which one may change.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, durable: bool = True) -> DurableLog:
        """Create a log, or recover one: every entry that was committed is there, or this raises.

        Parameters
        ----------
        path : path
            The database; ``<path>.mark`` and, while it is open or after a crash, ``<path>-wal`` lie beside it.
        durable : bool
            False does not wait for the disk: safe against a killed process, not against a power cut.

        Raises
        ------
        LogDamaged
            If an entry changed, or entries that had been committed are missing. Nothing on disk was changed then.
        RunError
            If the log is open elsewhere, lies on a network file system, or cannot be written.
        """
        path = Path(path)
        refuse_network_disk(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            high_water = HighWater(path.with_name(f"{path.name}.mark"))
        except OSError as error:
            raise RunError(f"{path}: cannot be opened ({error.strerror}); give this user write access there") from None
        try:
            return cls(path, high_water, durable)
        except (sqlite3.Error, OSError) as error:
            high_water.close()
            raise RunError(f"{path}: cannot be opened ({error}); check the disk and its permissions") from error
        except BaseException:
            high_water.close()
            raise

    def __init__(self, path: Path, high_water: HighWater, durable: bool) -> None:
        self.path = path
        self._high_water = high_water
        self._failure: str | None = None
        mark = high_water.mark or begin(path, high_water, durable)
        self.committed, self._chain = verify(path, mark)
        high_water.write(Mark(mark.count, mark.chain), to_disk=durable)  # from here on the file changes
        self._connection = writer(path, durable)
        # What a crash left behind the mark may not be on disk yet; folded away it is.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        high_water.write(Mark(self.committed, self._chain.digest()))
        self._heads: list[int] = []  # kind << 24 | length of each entry not yet committed
        self._payloads: list[bytes] = []
        self._unfolded = 0  # bytes since the last checkpoint
        self._durable = durable

    @property
    def appended(self) -> int:
        """Number of the last entry, committed or not."""
        return self.committed + len(self._heads)

    def append(self, kind: int, payload: bytes) -> int:
        """Add an entry to those that the next ``commit`` puts on disk; its number.

        Raises
        ------
        ValueError
            If ``kind`` is not in 0..255 or the payload is longer than ``LARGEST_PAYLOAD``.
        RunError
            If the log failed before.
        """
        if self._failure:
            raise RunError(self._failure)
        if not 0 <= kind <= 255 or len(payload) > LARGEST_PAYLOAD:
            raise ValueError(
                f"entry of kind {kind} with {len(payload)} bytes: kinds are 0..255, payloads at most "
                f"{LARGEST_PAYLOAD} bytes; split it"
            )
        self._heads.append(kind << 24 | len(payload))
        self._payloads.append(payload)
        return self.committed + len(self._heads)

    def commit(self) -> int:
        """Wait until all entries appended so far are on disk; the number of the last one.

        Raises
        ------
        RunError
            If that failed, now or before. The entries may or may not be there when the log is opened again.
        """
        if self._failure:
            raise RunError(self._failure)
        if not self._heads:
            return self.committed
        frame = frame_of(self.committed + 1, self._heads, self._payloads)
        self._chain.update(frame)
        mark = Mark(self.appended, self._chain.digest())
        try:
            self._connection.execute("INSERT INTO groups VALUES (?, ?, ?)", (mark.count, frame, mark.chain))
            self._high_water.write(mark)
            self._fold(len(frame))
        except BaseException as error:
            self._fail(error)
        self.committed = mark.count
        self._heads.clear()
        self._payloads.clear()
        return self.committed

    def _fold(self, written: int) -> None:
        """Copy the write-ahead log into the database now and then: ourselves, because SQLite hides its errors."""
        self._unfolded += written + 8192  # a group touches a leaf page and what overflows
        if self._unfolded >= CHECKPOINT:
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("the write-ahead log is in use by another connection")
            self._unfolded = 0

    def _fail(self, error: BaseException) -> NoReturn:
        self._failure = (
            f"{self.path}: entry {self.committed + 1} and later ones could not be committed ({error}); "
            "end this process, check the disk and its free space, then start again"
        )
        if isinstance(error, (sqlite3.Error, OSError)):
            raise RunError(self._failure) from error
        raise error

    def entries(self) -> Iterator[Entry]:
        """All committed entries in order, verified again as they are read.

        Raises
        ------
        LogDamaged
            If what is read now is not what was committed.
        """
        for _, frame in groups(self._connection, self.path, Chain(), self.committed):
            yield from entries_of(frame)

    def close(self) -> None:
        """End the log in order; entries that were not committed are dropped.

        Raises
        ------
        RunError
            If the disk failed on the way; all committed entries stay.
        """
        if self._high_water.is_closed:
            return
        try:
            if self._failure is None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()
            if self._failure is None:
                if self._durable:
                    sync_folder(self.path.parent)  # the write-ahead log is gone before the mark says so
                mark = Mark(self.committed, self._chain.digest(), file_digest(self.path))
                self._high_water.write(mark, to_disk=self._durable)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
        finally:
            self._failure = self._failure or f"{self.path} is closed"
            self._high_water.close()

    def __enter__(self) -> DurableLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
