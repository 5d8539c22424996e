"""How far a file is known to have come: its high-water mark, kept in a small file beside it.

The content of a log can prove that nothing inside it changed, but not that its end is still there: SQLite drops the
tail of a write-ahead log behind one flipped bit without a word, and an older copy of a file is as valid as the file.
So after each commit the writer notes here how much there was and the chain hash at that point. The note is written
once the content is on disk, hence it never says more than the disk held; it is not synced itself, so after a power
cut it may say less. A log that ends before its mark, or has another hash there, is damaged.

The note is 104 bytes at the start of a file: one sector, which disks write whole or not at all. The file also holds
the lock that keeps a second writer out.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import NamedTuple

from engine.errors import RunError

MAGIC = b"TWMARK01"
LAYOUT = struct.Struct("<8sQ32s32s24s")
IN_USE = bytes(32)


class LogDamaged(RunError):
    """What is on disk is not what was written, so nothing may be decided on it: a role exits with ``EX_CORRUPT``."""


class Mark(NamedTuple):
    """How much was on disk, and what it hashed to."""

    count: int  # entries or rows
    chain: bytes  # BLAKE2b-256 of them
    closed: bytes = IN_USE  # BLAKE2b-256 of the whole file once it was closed in order


class HighWater:
    """The mark of one file, and the lock on it.

    Parameters
    ----------
    path : Path
        The file that keeps the mark; created if it is not there.

    Raises
    ------
    RunError
        If another process, or this one a second time, has it open.
    LogDamaged
        If the mark is not one that was written whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.mark = self._read()
        except BlockingIOError:
            self.close()
            raise RunError(f"{path.with_suffix('')} is open already; end the other process first") from None
        except BaseException:
            self.close()
            raise

    def _read(self) -> Mark | None:
        """The mark as it stands, None before the first one."""
        data = os.pread(self._file, 4096, 0)
        if not data:
            return None
        magic, count, chain, closed, check = (
            LAYOUT.unpack(data) if len(data) == LAYOUT.size else (b"", 0, b"", b"", b"")
        )
        if magic != MAGIC or check != _check(data):
            raise LogDamaged(f"{self.path}: the mark is damaged; recover from a copy, or start a new run")
        return Mark(count, chain, closed)

    def write(self, mark: Mark, *, to_disk: bool = False) -> None:
        """Put a mark in the place of the last one; ``to_disk`` waits until it is there."""
        data = LAYOUT.pack(MAGIC, *mark, b"")
        data = data[:-24] + _check(data)
        if os.pwrite(self._file, data, 0) != len(data):
            raise OSError(28, "No space left on device", str(self.path))
        if to_disk:
            os.fsync(self._file)
        self.mark = mark

    @property
    def is_closed(self) -> bool:
        """Whether the lock was let go."""
        return self._file < 0

    def close(self) -> None:
        """Let go of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data[:-24], digest_size=24).digest()
