"""The record of every decision and its outcome, and the fingerprint over it.

One record is 64 bytes, integers inside. ``cause`` is the sequence number, within ``source``, of the last row
that had been applied when it was written.

========  =============================================================================================
ORDER     ts = sent (the strategy's clock); price = limit, size, extra = expire_ts; type, tif, flags, side
TERMS     follows its ORDER where needed: price = stop price or peg offset, size = displayed size
ACCEPT    ts = arrival at the venue; price, size = open size
REPLACE   a replace took effect: price, size = open size
FILL      price, size, extra = fee (money), number = fill number of the order, flags = RecordFlag; side
REJECT    reason; type = the Op that was refused
CANCEL    size = what was still open, reason
EXPIRE    the same, where the order's time ended
MARK      at each session's end and the run's: price = mark, size = position, extra = cash of the instrument
ADJUST    extra = money in, size = units in: dividends, splits, borrow cost; number = Adjustment
CONTRACT  lists an over-the-counter contract: number = its number in the account, instrument = its market;
          type = ContractClass, side, tif, price, extra = ``engine.contracts.Packed``
========  =============================================================================================

Records about a contract have the flag OTC and ``number`` = the contract; prices, sizes and money are then those of
``engine.contracts``, and an ADJUST has its Adjustment in ``type``. A MARK with the flag CARRIED repeats the last mark,
because ``reason`` left nothing to mark at. Version 1 fixes the meaning of what it has; kinds, flags and Adjustments
that did not exist before may be added to it, since no earlier journal holds them.
"""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum, IntFlag
from io import FileIO
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engine.errors import RunError

JOURNAL_VERSION = 1
MANY = 4096  # records that are worth handing to a thread

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
    COUPON = 4  # of a bond, or the two legs of a swap netted
    SETTLEMENT = 5  # a contract ends (units out), or one that another settles into begins (units in)
    FUNDING = 6  # repo interest on what a bond position is worth


class RecordFlag(IntFlag):
    """Bits of ``flags``; the first two of an ORDER are ``OrderFlag`` instead."""

    MAKER = 1
    OTC = 4  # about a contract: ``number`` is its number in the account
    CARRIED = 8  # a MARK that nothing in the market supports today


class Journal:
    """Appends records to a file (or only hashes them) and keeps the fingerprint up to date.

    A few records are in the file when ``append`` returns. Many are copied, and a thread of the journal's hashes and
    writes them while the run goes on, one batch at a time; whatever the journal is asked next waits for it.

    Parameters
    ----------
    path : Path or None
        The file to write, or None to hash alone (a run that leaves no folder).
    """

    def __init__(self, path: Path | None = None) -> None:
        self._digest = hashlib.blake2b(f"tickwright journal {JOURNAL_VERSION}".encode(), digest_size=32)
        self._written = 0  # bytes
        self._writer: ThreadPoolExecutor | None = None
        self._batch: Future[None] | None = None  # what the writer does, or how it failed
        self._path = path
        self.count = 0
        try:
            self._file = path.open("wb", buffering=0) if path is not None else None
        except OSError as error:
            raise RunError(
                f"{path}: cannot write the journal ({error.strerror}); choose another --out folder"
            ) from None

    def append(self, records: NDArray[np.void]) -> None:
        """Take RECORD[n], whose memory may be used again at once.

        Raises
        ------
        RunError
            If these records or earlier ones could not be written. Nothing more is accepted then; what was written
            stays.
        """
        self._settle()
        self.count += len(records)
        if len(records) < MANY:
            self._write(memoryview(records).cast("B"))
        else:
            self._writer = self._writer or ThreadPoolExecutor(1, "journal")
            self._batch = self._writer.submit(self._write, memoryview(records.tobytes()), to_disk=True)

    def _settle(self) -> None:
        """Wait for the batch under way; one that failed says so every time."""
        if self._batch is not None:
            self._batch.result()
            self._batch = None

    def _write(self, data: memoryview, *, to_disk: bool = False) -> None:
        self._digest.update(data)
        if self._file is None:
            return
        try:
            while len(data):
                written = self._file.write(data)
                self._written += written
                data = data[written:]
            if to_disk:  # so that the end has little to wait for
                _flush(self._file)
        except OSError as error:
            raise RunError(
                f"{self._path}: the journal could not be written ({error.strerror}) after "
                f"{self._written // RECORD.itemsize} records; free space or choose another --out folder, then run again"
            ) from None

    def close(self) -> None:
        """Flush to disk; the fingerprint stays readable.

        Raises
        ------
        RunError
            If what was appended could not be written, or not be flushed.
        """
        try:
            self._settle()
            if self._file is not None:
                _flush(self._file)
        except OSError as error:
            cure = "check the disk, then run again"
            raise RunError(f"{self._path}: the journal could not be flushed ({error.strerror}); {cure}") from None
        finally:
            if self._writer is not None:
                self._writer.shutdown()
            if self._file is not None:
                self._file.close()
                self._file = None

    @property
    def path(self) -> Path | None:
        """The file, with all records so far in it."""
        self._settle()
        return self._path

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-256 of all records so far, as 64 hex digits."""
        self._settle()
        return self._digest.hexdigest()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _flush(file: FileIO) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno != errno.EINVAL:  # a pipe or device has no disk to flush to
            raise


def read_journal(path: Path) -> NDArray[np.void]:
    """All whole records of a journal file, memory-mapped; a torn last record is left out."""
    size = path.stat().st_size // RECORD.itemsize
    return np.memmap(path, RECORD, mode="r", shape=(size,)) if size else np.zeros(0, RECORD)
