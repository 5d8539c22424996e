"""The tape of a live run while it is being written: append-only files of checksummed blocks of rows.

A folder holds numbered segments, sealed ones (``000000.rows``) and after them the open one (``000001.open``)::

    segment  header, blocks, and once sealed: rows of each block u32[blocks], blocks u64, BLAKE2b-256 of all before it
    header   magic, number of the first row u64, BLAKE2b-256 of the segment before: no file can be left out or swapped
    block    length of the rows in bytes u32 | CRC-32 of what follows u32 | rows n u32 | rows, 64 bytes each

1. ``append`` fills a block in memory, ``sync`` writes it, waits for the disk and moves the high-water mark
   (``engine.live.high_water``), which knows the hash of the open segment up to there.
2. Opening checks every byte. What stands behind the mark and is not whole was being written when the process ended,
   and is cut off; a bad block before a good one, or before the mark, is damage.
3. ``seal`` makes a tape of it all.

Every error of the disk is final until the folder is opened again, as in ``engine.live.durable_log``.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from engine.errors import RunError
from engine.live.disk import refuse_network_disk, sync_folder
from engine.live.high_water import HighWater, LogDamaged, Mark
from engine.live.segment_file import BLOCK_ROWS, ROW_BYTES, Segment
from engine.tape import ROW, Manifest, Tape

SEGMENT_ROWS = 1 << 18  # 16 MiB
NO_SEGMENT = bytes(32)  # the hash before the first segment


class Segments:
    """Rows on disk, in order, CLOCK rows among them.

    One thread at a time may use it; which one may change.

    Parameters
    ----------
    folder : path
        Created, or recovered as it was at the last ``sync`` or after.
    durable : bool
        False does not wait for the disk: safe against a killed process, not against a power cut.

    Raises
    ------
    LogDamaged
        If rows that were synced changed or are missing. Nothing on disk was changed then.
    RunError
        If the folder is open elsewhere, lies on a network file system, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, durable: bool = True) -> None:
        self.folder = Path(folder)
        self._durable = durable
        self._failure: str | None = None
        self._block = bytearray()  # rows not yet written
        self._segments: list[Segment] = []
        refuse_network_disk(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._high_water = HighWater(self.folder / "segments.mark")
            try:
                self._recover(self._high_water.mark)
            except BaseException:
                self._high_water.close()
                raise
        except OSError as error:
            cure = "check the disk and its permissions"
            raise RunError(f"{self.folder}: cannot be opened ({error.strerror}); {cure}") from error

    @property
    def rows(self) -> int:
        """How many there are, CLOCK rows and rows not yet synced included."""
        return self._segments[-1].end + len(self._block) // ROW_BYTES

    def append(self, rows: bytes | bytearray | memoryview) -> None:
        """Add rows, as the bytes of ROW[n].

        Raises
        ------
        ValueError
            If the bytes are not whole rows.
        RunError
            If the disk failed, now or before.
        """
        self._refuse_after_failure()
        data = memoryview(rows).cast("B")
        if len(data) % ROW_BYTES:
            raise ValueError(f"{len(data)} bytes are not whole rows of {ROW_BYTES} bytes; append whole rows")
        try:
            while data:
                room = BLOCK_ROWS * ROW_BYTES - len(self._block)
                self._block += data[:room]
                data = data[room:]
                if len(self._block) == BLOCK_ROWS * ROW_BYTES:
                    self._write_block()
        except BaseException as error:
            self._fail(error)

    def sync(self) -> int:
        """Wait until all rows appended so far are on disk; how many there are.

        Raises
        ------
        RunError
            If that failed, now or before.
        """
        self._refuse_after_failure()
        try:
            if self._block:
                self._write_block()
            self._settle()
        except BaseException as error:
            self._fail(error)
        return self.rows

    def _write_block(self) -> None:
        last = self._segments[-1]
        last.append(self._block)
        self._block.clear()
        if last.rows >= SEGMENT_ROWS:
            self._settle()
            last.seal(self._durable)
            self._begin_segment()

    def _settle(self) -> None:
        """Put what was written on disk and move the mark; it is in the segment of the last row, if there is one."""
        last = self._segments[-1]
        if last.rows and self._high_water.mark != (mark := Mark(last.end, last.chain)):
            if self._durable:
                last.sync()
            self._high_water.write(mark)

    def _begin_segment(self) -> None:
        last = self._segments[-1] if self._segments else None
        path = self.folder / f"{len(self._segments):06}.open"
        first, previous = (last.end, last.digest) if last else (0, NO_SEGMENT)
        self._segments.append(Segment.begin(path, first, previous))
        if self._durable:
            sync_folder(self.folder)

    def read(self, first: int, n: int) -> NDArray[np.void]:
        """Rows from number ``first`` (from 0, CLOCK rows count), at most ``n``, fewer at the end; read-only.

        Raises
        ------
        LogDamaged
            If a block is not what was written.
        """
        if first < 0 or n < 0:
            raise ValueError(f"{n} rows from row {first}: both must be at least 0")
        last = min(first + n, self.rows)
        parts: list[bytes | bytearray] = []
        at = max(0, bisect_right(self._segments, first, key=lambda segment: segment.first) - 1)
        for segment in self._segments[at:]:
            begin, end = max(first, segment.first), min(last, segment.end)
            if begin < end:
                parts.append(segment.read(begin, end))
        written = self._segments[-1].end
        if first < last and written < last:
            parts.append(self._block[max(0, first - written) * ROW_BYTES : (last - written) * ROW_BYTES])
        return np.frombuffer(b"".join(parts), ROW)

    def seal(
        self,
        folder: str | os.PathLike[str],
        manifest: Manifest,
        panels: Mapping[str, NDArray[Any]] | None = None,
    ) -> Tape:
        """End the segments and write a tape of all rows; the segments stay until somebody removes them.

        Raises
        ------
        TapeError
            If the tape's folder exists, or the rows break a rule of ``engine.verdict.check``.
        RunError
            If the disk failed.
        """
        self.sync()
        try:
            if self._segments[-1].rows:
                self._segments[-1].seal(self._durable)
                self._begin_segment()
            Path(folder).absolute().parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=Path(folder).absolute().parent) as file:  # a tape may not fit in memory
                for first in range(0, self.rows, SEGMENT_ROWS):
                    file.write(self.read(first, SEGMENT_ROWS))
                file.flush()
                rows = np.memmap(file, ROW, mode="r", shape=(self.rows,)) if self.rows else np.zeros(0, ROW)
                return Tape.load(Tape(rows, manifest, panels).save(folder))
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Sync and let go of the folder.

        Raises
        ------
        RunError
            If the disk failed on the way; what was synced before stays.
        """
        if self._high_water.is_closed:
            return
        try:
            if self._failure is None:
                self.sync()
        finally:
            self._failure = self._failure or f"{self.folder} is closed"
            self._segments[-1].close()
            self._high_water.close()

    def __enter__(self) -> Segments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- recovering and failing ------------------------------------------------------------------------------------

    def _recover(self, mark: Mark | None) -> None:
        sealed = sorted(self.folder.glob("*.rows"))
        if mark is None:
            if sealed or any(self.folder.glob("*.open")):
                raise LogDamaged(f"{self.folder}: segments.mark is missing; put it back, or start a new run")
            mark = Mark(0, NO_SEGMENT)
            self._high_water.write(mark, to_disk=self._durable)
        end, previous = 0, NO_SEGMENT
        for number, path in enumerate(sealed):
            if path.stem != f"{number:06}":
                raise LogDamaged(f"{self.folder}: segment {number:06}.rows is missing; recover from a copy")
            self._segments.append(Segment.sealed(path, end, previous))
            end, previous = self._segments[-1].end, self._segments[-1].digest
        path = self.folder / f"{len(sealed):06}.open"
        if path.exists():
            self._segments.append(Segment.recover(path, end, previous, mark.count))
        elif mark.count > end:
            raise LogDamaged(f"{path} is missing, and rows {end} to {mark.count - 1} with it; recover from a copy")
        self._check(mark)
        if path.exists():
            self._segments[-1].resume(mark.count)
            self._settle()
        else:
            self._begin_segment()

    def _check(self, mark: Mark) -> None:
        """See that the row of the mark ends a segment's block with the hash that was noted."""
        for segment in self._segments:
            if segment.first < mark.count <= segment.end and segment.chain_at(mark.count) != mark.chain:
                raise LogDamaged(f"{segment.path}: rows before {mark.count} changed since they were synced")

    def _refuse_after_failure(self) -> None:
        if self._failure:
            raise RunError(self._failure)

    def _fail(self, error: BaseException) -> NoReturn:
        self._failure = (
            f"{self.folder}: rows from {self._high_water.mark.count if self._high_water.mark else 0} on could not be "
            f"kept ({error}); end this process, check the disk and its free space, then start again"
        )
        if isinstance(error, OSError):
            raise RunError(self._failure) from error
        raise error
