"""One segment of a live tape: a file of checksummed blocks of rows, whose layout ``engine.live.segments`` tells."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.live.high_water import LogDamaged
from engine.tape import ROW

ROW_BYTES = ROW.itemsize
BLOCK_ROWS = 1023  # 64 KiB with the block's head
MAGIC = b"TWROWS01"
HEADER = struct.Struct("<8sQ32s")
BLOCK = struct.Struct("<III")  # bytes of rows, CRC-32 of what follows, rows
TRAILER = struct.Struct("<Q32s")
CURE = "recover from a copy, or start a new run"


class Segment:
    """Where the rows of one file are, and the way to them; the last one also takes more."""

    def __init__(self, path: Path, first: int, previous: bytes) -> None:
        self.path = path
        self.first = first  # number of the first row
        self.rows = 0
        self._header = HEADER.pack(MAGIC, first, previous)
        self._hash = hashlib.blake2b(self._header, digest_size=32)
        self._starts = array("q")  # number of the first row of each block
        self._offsets = array("q", [HEADER.size])  # where each block begins, and the last one ends
        self._file = -1
        self.digest = b""  # once sealed

    @property
    def end(self) -> int:
        """Number of the row after the last one."""
        return self.first + self.rows

    # --- writing ---------------------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, path: Path, first: int, previous: bytes) -> Segment:
        """A new segment, open for writing."""
        segment = cls(path, first, previous)
        segment._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        _write(segment._file, segment._header)
        return segment

    def append(self, rows: bytes | bytearray) -> None:
        """Write one block."""
        block = _block(rows)
        _write(self._file, block)
        self._hash.update(block)
        self._index(len(rows) // ROW_BYTES)

    def _index(self, n: int) -> None:
        self._starts.append(self.end)
        self._offsets.append(self._offsets[-1] + BLOCK.size + n * ROW_BYTES)
        self.rows += n

    def sync(self) -> None:
        """Wait until the blocks are on disk."""
        os.fdatasync(self._file)

    @property
    def chain(self) -> bytes:
        """Hash of the header and the blocks so far."""
        return self._hash.digest()

    def seal(self, durable: bool) -> None:
        """Add the footer and take the name of a sealed segment."""
        counts = (np.diff(np.frombuffer(self._offsets, "<i8")) - BLOCK.size) // ROW_BYTES
        footer = counts.astype("<u4").tobytes() + TRAILER.pack(len(counts), b"")[:8]
        self._hash.update(footer)
        self.digest = self._hash.digest()
        _write(self._file, footer + self.digest)
        if durable:
            self.sync()
        self.close()
        sealed = self.path.with_suffix(".rows")
        self.path.rename(sealed)
        self.path = sealed

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, first: int, last: int) -> bytes:
        """Rows ``first`` up to but without ``last``, within this segment."""
        start, stop = bisect_right(self._starts, first) - 1, bisect_left(self._starts, last)
        begin, end = self._offsets[start], self._offsets[stop]
        with self.path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), end - begin, begin)
        parts = list(_blocks(memoryview(data)))
        if len(parts) != stop - start:
            row = self._starts[start + len(parts)]
            raise LogDamaged(f"{self.path}: the block of row {row} changed since it was written; {CURE}")
        skip = (first - self._starts[start]) * ROW_BYTES
        return b"".join(parts)[skip : skip + (last - first) * ROW_BYTES]

    def chain_at(self, end: int) -> bytes:
        """Hash of the header and the blocks before row ``end``; b"" if no block ends there."""
        block = bisect_left(self._starts, end)
        if end != (self.end if block == len(self._starts) else self._starts[block]):
            return b""
        with self.path.open("rb") as file:
            return hashlib.blake2b(file.read(self._offsets[block]), digest_size=32).digest()

    # --- recovering ------------------------------------------------------------------------------------------------

    @classmethod
    def sealed(cls, path: Path, first: int, previous: bytes) -> Segment:
        """A segment that was sealed, every byte of it checked."""
        segment, data = cls(path, first, previous), path.read_bytes()
        segment.digest = data[-32:]
        body = memoryview(data)[:-32]
        if hashlib.blake2b(body, digest_size=32).digest() != segment.digest:
            raise LogDamaged(f"{path} changed after it was sealed; {CURE}")
        if data[: HEADER.size] != segment._header:
            raise LogDamaged(f"{path} does not continue the segment before it at row {first}; {CURE}")
        (blocks, _) = TRAILER.unpack(data[-TRAILER.size :])
        counts = np.frombuffer(data, "<u4", blocks, len(data) - TRAILER.size - 4 * blocks).astype(np.int64)
        ends = np.cumsum(counts)
        segment.rows = int(ends[-1])
        segment._starts.frombytes((first + ends - counts).tobytes())
        segment._offsets.frombytes((HEADER.size + np.cumsum(BLOCK.size + counts * ROW_BYTES)).tobytes())
        return segment

    @classmethod
    def recover(cls, path: Path, first: int, previous: bytes, synced: int) -> Segment:
        """The open segment after a crash or a close, up to what was torn behind row ``synced``; changes nothing."""
        segment, data = cls(path, first, previous), path.read_bytes()
        if len(data) < HEADER.size and synced <= first:
            return segment  # the process ended as it began the file
        if data[: HEADER.size] != segment._header:
            raise LogDamaged(f"{path} does not continue the segment before it at row {first}; {CURE}")
        view = memoryview(data)
        for rows in _blocks(view[HEADER.size :]):
            segment._index(len(rows) // ROW_BYTES)
        good = segment._offsets[-1]
        if segment.end < synced:
            raise LogDamaged(
                f"{path}: byte {good}: rows {segment.end} to {synced - 1} were synced and are gone; {CURE}"
            )
        if any(True for _ in _later_blocks(view[good:])):
            raise LogDamaged(f"{path}: byte {good}: a bad block of row {segment.end} before good ones; {CURE}")
        segment._hash.update(view[HEADER.size : good])
        return segment

    def resume(self, synced: int) -> None:
        """Open a recovered segment for writing, without its torn tail.

        What lies behind row ``synced`` is written again: after a failed sync the kernel may show pages that are not on
        disk and that no later sync would write.
        """
        self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        end = self._offsets[-1]
        os.ftruncate(self._file, end)
        begin = self._offsets[bisect_left(self._starts, synced)] if self.first < synced else 0
        tail = os.pread(self._file, end - begin, begin) if self.rows else self._header
        os.lseek(self._file, begin, os.SEEK_SET)
        _write(self._file, tail)


def _block(rows: bytes | bytearray) -> bytes:
    n = (len(rows) // ROW_BYTES).to_bytes(4, "little")
    return BLOCK.pack(len(rows), zlib.crc32(rows, zlib.crc32(n)), len(rows) // ROW_BYTES) + rows


def _blocks(data: memoryview) -> Iterator[memoryview]:
    """The rows of each block, as far as the blocks are good."""
    at = 0
    while (rows := _good_block(data, at)) is not None:
        yield rows
        at += BLOCK.size + len(rows)


def _good_block(data: memoryview, at: int) -> memoryview | None:
    """The rows of the block at a byte, None if there is no whole one."""
    if len(data) - at < BLOCK.size:
        return None
    size, checksum, n = BLOCK.unpack_from(data, at)
    end = at + BLOCK.size + size
    if size != n * ROW_BYTES or not 0 < n <= BLOCK_ROWS or end > len(data):
        return None
    return data[at + BLOCK.size : end] if zlib.crc32(data[at + 8 : end]) == checksum else None


def _later_blocks(data: memoryview) -> Iterator[int]:
    """Where good blocks begin behind a bad one at byte 0; all lie at multiples of 4."""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.int64)
    likely = (words[:-2] == words[2:] * ROW_BYTES) & (words[2:] > 0) & (words[2:] <= BLOCK_ROWS)
    for word in np.flatnonzero(likely):
        if _good_block(data, 4 * int(word)) is not None:
            yield 4 * int(word)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
