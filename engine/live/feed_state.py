"""What a feed remembers of its earlier lives: its epoch and how far it had published, in one small file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from engine import clock
from engine.errors import RunError
from engine.live.disk import refuse_network_disk, sync_folder
from engine.live.endless import Begin

VERSION = 1


class FeedState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``feed.json`` in a feed's folder. It may lag: rows after ``next_seq`` may have been published."""

    version: int = VERSION
    stream: str
    market: str  # content hash of the tape, else how its rows are made
    epoch: int = 0
    next_seq: int = 0
    market_time: int = 0  # of the last row or CLOCK row, ns UTC
    begun: int = 1  # the epoch in which this stream began with its first row; names what is kept of pushed rows
    finished: bool = False  # ended in order after its last row: the next start is from the first
    begins: list[Begin] = []  # of an endless market's blocks


class StateFile:
    """The file of one running feed; a second one is kept out.

    Raises
    ------
    RunError
        If another feed runs on this folder, its state is of another market, or cannot be read.
    """

    def __init__(self, folder: Path, *, stream: str, market: str, new: bool = False) -> None:
        self.folder, self._path = folder, folder / "feed.json"
        refuse_network_disk(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take_lock()
            self.state = self._read(stream, market, new)
            self.state.epoch += 1
            self.write(to_disk=True)  # before anything is published under the new epoch
        except BaseException:
            self.close()
            raise

    def write(self, *, to_disk: bool = False) -> None:
        """Replace the file, whole or not at all."""
        scratch = self._path.with_suffix(".new")
        with scratch.open("wb") as file:
            file.write(msgspec.json.encode(self.state))
            if to_disk:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(self._path)
        if to_disk:
            sync_folder(self.folder)

    def close(self) -> None:
        """Let another feed have the folder."""
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"{self.folder}: another feed runs on it; stop that one or name another --out") from None

    def _read(self, stream: str, market: str, new: bool) -> FeedState:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=FeedState)
        except FileNotFoundError:  # where it was lost, receivers know an epoch: a later clock is always beyond that
            first = clock.wall_ns() // 1_000_000_000
            return FeedState(stream=stream, market=market, epoch=first, begun=first + 1)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(f"{self._path}: {error}; remove the file, or name another --out") from None
        fresh = FeedState(stream=stream, market=market, epoch=found.epoch, begun=found.epoch + 1)
        if new or found.finished:
            return fresh
        if (found.stream, found.market) != (stream, market):
            raise RunError(
                f"{self._path}: is of the stream {found.stream} of another market; name another --out, or say --new "
                "to begin again here"
            )
        return found
