"""A feed in a process of its own: its core, two sockets, and the small file that it goes on from."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import zmq

from engine import clock
from engine.live import sockets
from engine.live.disk import disk_is_low
from engine.live.endless import EndlessSource
from engine.live.feed_core import QUIET_NS, FeedCore
from engine.live.feed_state import StateFile
from engine.live.links import Links
from engine.live.role_disk import RoleDisk
from engine.live.session import Wires
from engine.live.shell import Shell, say
from engine.live.sources import Source
from engine.reports.formats import duration, moment


@dataclass(frozen=True, kw_only=True)
class Pacing:
    """How a stream is published; see ``FeedCore``."""

    speed: int = 0  # thousandths of real time; 0: as fast as it goes
    batch_rows: int = 64
    quiet_ns: int = QUIET_NS


class FeedRole:
    """Publish a source until it is stopped.

    Parameters
    ----------
    source : Source
    file : StateFile
        Says where to go on, and is kept up to date each second.
    wires : Wires
        Addresses and keys.
    disk : RoleDisk, optional
        Where rows that are pushed are kept, after ``entries`` entries of its log.
    """

    def __init__(
        self,
        source: Source,
        file: StateFile,
        wires: Wires,
        pacing: Pacing,
        *,
        disk: RoleDisk | None = None,
        entries: int = 0,
    ) -> None:
        self._source, self._file, self._wires = source, file, wires
        state = file.state
        self.core = FeedCore(
            source,
            stream=state.stream,
            epoch=state.epoch,
            next_seq=state.next_seq,
            speed=pacing.speed,
            batch_rows=pacing.batch_rows,
            quiet_ns=pacing.quiet_ns,
            wall_offset_ns=clock.wall_ns() - clock.monotonic_ns(),
            entries=entries,
            may_push=self._may_push,
        )
        live = wires.live
        self._market = sockets.publisher(
            wires.context, live.feed, wires.authority, plain=live.plain, frame_bytes=64 * pacing.batch_rows
        )
        self._market.setsockopt(zmq.XPUB_VERBOSER, 1)  # one message for each that comes or goes, to count them
        self._links = Links({"market": self._market, "recovery": wires.door("recovery")})
        self.shell = Shell(
            self.core,
            self._links,
            disk=disk,
            is_disk_low=lambda: disk_is_low(file.folder),
            reload_keys=lambda: wires.reload(self._market),
            answers=wires.answers,
            each_second=self._each_second,
        )
        self._told = _Told(self.core)

    def run(self) -> int:
        """Until it is told to stop; the exit code."""
        code = self.shell.run()
        self._file.state.finished = self.core.ended
        self._remember(to_disk=True)
        return code

    def _each_second(self) -> None:
        self._remember(to_disk=False)
        self._told.look()

    def _remember(self, *, to_disk: bool) -> None:
        state = self._file.state
        state.next_seq, state.market_time = self.core.next_seq, self.core.market_time
        if isinstance(self._source, EndlessSource):
            state.begins = self._source.begins
        self._file.write(to_disk=to_disk)

    def _may_push(self, key: str) -> bool:
        authority = self._wires.authority
        if authority is None:
            return True
        permit = authority.permit("recovery", key)
        return permit is not None and permit.role == "push"


class _Told:
    """What a person may want to know: each second on a terminal, else only what changes."""

    def __init__(self, core: FeedCore) -> None:
        self._core, self._console = core, sys.stderr
        self._at, self._rows, self._skipped, self._ended = clock.seconds(), core.next_seq, 0, False

    def look(self) -> None:
        core, now = self._core, clock.seconds()
        speed = (core.next_seq - self._rows) / max(now - self._at, 1e-9)
        self._at, self._rows = now, core.next_seq
        if core.skipped_ns - self._skipped:
            self._say(f"skipped {duration(core.skipped_ns - self._skipped)} of market time without rows")
            self._skipped = core.skipped_ns
        if core.ended and not self._ended:
            self._ended = True
            self._say(f"the stream has ended after {core.next_seq:,} rows; still answering, Ctrl-C ends")
        if self._console.isatty() and not self._ended:
            at = moment(core.market_time // 1_000_000_000 * 1_000_000_000) if core.market_time else "not begun"
            line = f"{at}  {core.next_seq:,} rows  {speed:,.0f} rows/s  {core.subscribers} subscribers"
            print(f"\r{line}\x1b[K", end="", file=self._console, flush=True)

    def _say(self, text: str) -> None:
        if self._console.isatty():
            print("\r\x1b[K", end="", file=self._console)
        say(text)
