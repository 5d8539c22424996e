"""The record of every decision and its outcome, and the fingerprint over it.

One record is 64 bytes, integers inside. ``cause`` is the sequence number, within ``source``, of the last row
that had been applied when it was written.

========  =============================================================================================
ORDER     ts = sent (the strategy's clock); price = limit, size, extra = expire_ts; type, tif, flags, side
TERMS     follows its ORDER where needed: price = stop price or peg offset, size = displayed size
ACCEPT    ts = arrival at the venue; price, size = open size
REPLACE   a replace took effect: price, size = open size
FILL      price, size, extra = fee (money), number = fill number of the order, flags = 1 maker; side
REJECT    reason; type = the Op that was refused
CANCEL    size = what was still open, reason
EXPIRE    the same, where the order's time ended
MARK      at each session's end and the run's: price = mark, size = position, extra = cash of the instrument
ADJUST    extra = money in, size = units in: dividends, splits, borrow cost; number = Adjustment
CONTRACT  terms of an over-the-counter order (reserved)
========  =============================================================================================
"""

from __future__ import annotations

import errno
import hashlib
import os
from enum import IntEnum
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engine.errors import RunError

JOURNAL_VERSION = 1

RECORD = np.dtype(
    [
        ("ts", "<i8"),
        ("order_no", "<i8"),
        ("price", "<i8"),
        ("size", "<i8"),
        ("extra", "<i8"),
        ("cause", "<i8"),
        ("kind", "u1"),
        ("side", "i1"),
        ("type", "u1"),
        ("tif", "u1"),
        ("account", "<u2"),
        ("instrument", "<u2"),
        ("source", "<u2"),
        ("reason", "u1"),
        ("flags", "u1"),
        ("number", "<u4"),
    ]
)
assert RECORD.itemsize == 64


class RecordKind(IntEnum):
    """What a record says."""

    ORDER = 1
    TERMS = 2
    ACCEPT = 3
    REPLACE = 4
    FILL = 5
    REJECT = 6
    CANCEL = 7
    EXPIRE = 8
    MARK = 9
    ADJUST = 10
    CONTRACT = 11


class Adjustment(IntEnum):
    """Why money or units came without a trade."""

    DIVIDEND = 1
    SPLIT = 2
    BORROW = 3


class Journal:
    """Appends records to a file (or only hashes them) and keeps the fingerprint up to date.

    Parameters
    ----------
    path : Path or None
        The file to write, or None to hash alone (a run that leaves no folder).
    """

    def __init__(self, path: Path | None = None) -> None:
        self._digest = hashlib.blake2b(f"tickwright journal {JOURNAL_VERSION}".encode(), digest_size=32)
        self.path = path
        self.count = 0
        try:
            self._file = path.open("wb", buffering=0) if path is not None else None
        except OSError as error:
            raise RunError(
                f"{path}: cannot write the journal ({error.strerror}); choose another --out folder"
            ) from None

    def append(self, records: NDArray[np.void]) -> None:
        """Write RECORD[n]; on an error nothing more is accepted and what was written stays."""
        data = memoryview(records).cast("B")
        self._digest.update(data)
        self.count += len(records)
        if self._file is not None:
            try:
                while len(data):
                    data = data[self._file.write(data) :]
            except OSError as error:
                raise RunError(
                    f"{self.path}: the journal could not be written ({error.strerror}) after {self.count} records; "
                    "free space or choose another --out folder, then run again"
                ) from None

    def close(self) -> None:
        """Flush to disk; the fingerprint stays readable."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe or device has no disk to flush to
                cure = "check the disk, then run again"
                raise RunError(f"{self.path}: the journal could not be flushed ({error.strerror}); {cure}") from None
        finally:
            file.close()

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-256 of all records so far, as 64 hex digits."""
        return self._digest.hexdigest()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> NDArray[np.void]:
    """All whole records of a journal file, memory-mapped; a torn last record is left out."""
    size = path.stat().st_size // RECORD.itemsize
    return np.memmap(path, RECORD, mode="r", shape=(size,)) if size else np.zeros(0, RECORD)
