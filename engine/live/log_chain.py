"""What a durable log holds: groups of entries in an SQLite table, and the chain hash that proves them.

A *group* is what one commit put on disk, as one frame::

    number of the first entry u64 | entries n u32 | n times (kind << 24 | length) u32 | payloads

Beside it stands the chain up to here, BLAKE2b-256 over all frames so far. A frame tells its own length, so no two
sequences of groups have the same bytes: the chain pins every entry, its number and the place of each commit, and a
changed, missing, moved or inserted group shows at the first one whose hash differs.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from engine.live.disk import sync_folder
from engine.live.high_water import IN_USE, HighWater, LogDamaged, Mark

LARGEST_PAYLOAD = (1 << 24) - 1  # bytes
AT_ONCE = 512  # groups read at a time
START = struct.Struct("<QI")
TABLE = "CREATE TABLE IF NOT EXISTS groups(last INTEGER PRIMARY KEY, frame BLOB NOT NULL, chain BLOB NOT NULL)"
READ = "SELECT last, frame, chain FROM groups WHERE last > ? AND last <= ? ORDER BY last LIMIT ?"
CURE = "recover from a copy, or start a new run"


class Entry(NamedTuple):
    """One entry; numbers count from 1."""

    number: int
    kind: int
    payload: bytes


class Chain:
    """BLAKE2b-256 over the frames so far."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(b"tickwright log 1", digest_size=32)
        self.update = self._hash.update

    def digest(self) -> bytes:
        """The hash so far; more may follow."""
        return self._hash.digest()


def frame_of(first: int, heads: Sequence[int], payloads: Sequence[bytes]) -> bytes:
    """The frame of a group; ``heads`` are ``kind << 24 | length``."""
    n = len(heads)
    return b"".join((struct.pack(f"<QI{n}I", first, n, *heads), *payloads))


def entries_of(frame: bytes) -> Iterator[Entry]:
    """The entries of a frame whose hash was found right."""
    first, n = START.unpack_from(frame)
    start = START.size + 4 * n
    for number, head in enumerate(struct.unpack_from(f"<{n}I", frame, START.size), first):
        end = start + (head & LARGEST_PAYLOAD)
        yield Entry(number, head >> 24, frame[start:end])
        start = end


def groups(connection: sqlite3.Connection, path: Path, chain: Chain, until: int = 2**62) -> Iterator[tuple[int, bytes]]:
    """(number of the last entry, frame) of each group up to entry ``until``, verified; ``chain`` goes along.

    Raises
    ------
    LogDamaged
        At the first group that does not follow from those before it.
    """
    reached = 0
    while some := connection.execute(READ, (reached, until, AT_ONCE)).fetchall():
        for last, frame, expected in some:  # all in memory: no statement stays open across a yield
            if type(frame) is not bytes or len(frame) < START.size:
                raise LogDamaged(f"{path}: entry {reached + 1} is not a frame; {CURE}")
            first, n = START.unpack_from(frame)
            chain.update(frame)
            if first != reached + 1 or last != reached + n or chain.digest() != expected:
                raise LogDamaged(f"{path}: entry {reached + 1} or the {n - 1} after it changed; {CURE}")
            reached = last
            yield last, frame


def begin(path: Path, high_water: HighWater, durable: bool) -> Mark:
    """The first mark of a log that has nothing yet."""
    if path.exists() or write_ahead(path).exists():
        raise LogDamaged(f"{path}: its mark {high_water.path.name} is missing; put it back, or start a new run")
    mark = Mark(0, Chain().digest())
    high_water.write(mark, to_disk=durable)
    if durable:
        sync_folder(path.parent)
    return mark


def verify(path: Path, mark: Mark) -> tuple[int, Chain]:
    """Entries in the log and the chain over them, if it is whole up to ``mark`` or beyond. Changes nothing on disk.

    Raises
    ------
    LogDamaged
        If something changed, or what had been committed is not there.
    """
    if mark.closed != IN_USE:
        _check_closed(path, mark)
    chain = Chain()
    count, reached = 0, Mark(0, chain.digest())
    try:
        with closing(_reader(path)) as connection:
            if path.exists() and connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'groups'").fetchone():
                for count, _ in groups(connection, path, chain):
                    if count == mark.count:
                        reached = Mark(count, chain.digest())
    except (sqlite3.Error, ValueError, OverflowError, MemoryError) as error:  # damage shows as any of them
        raise LogDamaged(f"{path}: cannot be read ({error}); {CURE}") from error
    finally:
        _shared_memory(path).unlink(missing_ok=True)
    if reached != Mark(mark.count, mark.chain):
        raise LogDamaged(f"{path}: {mark.count} entries were committed, but only {count} of them are there; {CURE}")
    return count, chain


def _check_closed(path: Path, mark: Mark) -> None:
    """A log that was closed in order is, to the last bit, the file that was closed."""
    if not path.exists():
        raise LogDamaged(f"{path} is missing, and {mark.count} entries with it; {CURE}")
    if write_ahead(path).exists():
        raise LogDamaged(f"{write_ahead(path)} does not belong to {path.name}, which was closed; remove it")
    if file_digest(path) != mark.closed:
        raise LogDamaged(f"{path} changed after it was closed; {CURE}")


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that leaves the database and its write-ahead log as they are."""
    if not path.exists():
        return sqlite3.connect(":memory:")
    how = "mode=ro" if write_ahead(path).exists() else "immutable=1"
    _shared_memory(path).unlink(missing_ok=True)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def writer(path: Path, durable: bool) -> sqlite3.Connection:
    """The one connection that writes; nobody else can open the database while it is there."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError("no write-ahead log can be kept here")
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute(TABLE)
    return connection


def file_digest(path: Path) -> bytes:
    """BLAKE2b-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest()


def write_ahead(path: Path) -> Path:
    """SQLite's log beside a database."""
    return path.with_name(f"{path.name}-wal")


def _shared_memory(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")
