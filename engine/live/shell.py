"""Runs a role's core: frames, disk, clock, signals and files in; what the core says, done in order.

1. Hear each link that has something to say, at most ``BURST`` frames of it, and give the core each frame.
2. Put the entries that the core appended on disk together, when there are ``GROUP`` of them, when the first has waited
   ``GROUP_NS``, or when nothing else is to be done; then tell the core, which now may speak of them.
3. Tick when the core wants it. Look at the kill file and at the supervisor each ``LOOK_NS``.

A signal is noted by its handler and heard in the next round, at most ``LOOK_NS`` later: SIGTERM and SIGINT end the role
in order (a second one at once), SIGUSR1 throws the kill switch, SIGHUP reads the keys again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from engine import clock
from engine.live.links import Links
from engine.live.role import (
    EX_OK,
    EX_SOFTWARE,
    Append,
    Committed,
    Core,
    Fault,
    Frame,
    Input,
    KeepRows,
    Operator,
    Send,
    Stop,
    Tick,
)
from engine.live.role_disk import JournalFailed, RoleDisk

EX_IOERR = 74  # the disk did not take what was to be kept
EX_INTERRUPTED = 130
BURST = 64  # frames of a link before the others are heard
LOOK_NS = 50_000_000
SECOND_NS = 1_000_000_000
PATIENCE_NS = 5 * SECOND_NS  # for a core to end in order once it was told to
LINGER_MS = 1_000  # for last words, after an end in order
DEAF = "nobody answers for the keys any more, so nobody new comes in; started again, it does"
SUPERVISOR = "TICKWRIGHT_SUPERVISOR"  # process number, set for those that `tickwright paper` starts

SIGNALS = {
    signal.SIGTERM: Operator("shutdown", "ended by SIGTERM"),
    signal.SIGINT: Operator("shutdown", "ended by Ctrl-C"),
    signal.SIGUSR1: Operator("kill", "SIGUSR1"),
}


def is_supervised() -> bool:
    """Whether `tickwright paper` started this process, and may start it again."""
    return SUPERVISOR in os.environ


class Shell:
    """One role in a process of its own, or in a thread of a test.

    Parameters
    ----------
    core : Core
    links : Links
        Closed when the role ends.
    disk : RoleDisk, optional
    kill_file : Path, optional
        The core hears "kill" when it is there, once each time that it comes.
    is_disk_low : callable, optional
        Asked each second; the core hears "disk_low" and "disk_ok" when that changes.
    reload_keys : callable, optional
        Called on SIGHUP.
    answers : callable, optional
        Asked each second; where newcomers get no answer any more, the role ends to be started again.
    each_second : callable, optional
        For metrics.
    """

    def __init__(
        self,
        core: Core,
        links: Links,
        *,
        disk: RoleDisk | None = None,
        kill_file: Path | None = None,
        is_disk_low: Callable[[], bool] = lambda: False,
        reload_keys: Callable[[], None] = lambda: None,
        answers: Callable[[], bool] = lambda: True,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        self._core, self._links = core, links
        self._disk = disk or RoleDisk()
        self._kill_file = kill_file
        self._kill_file_seen = False
        self._is_disk_low, self._disk_was_low = is_disk_low, False
        self._reload_keys, self._answers, self._each_second = reload_keys, answers, each_second
        self._signals: deque[int] = deque()
        self._next_look = self._next_second = 0
        self._give_up = 0  # when the core has had its time to end; 0: it was not told to
        self._stop: Stop | None = None
        supervisor = os.environ.get(SUPERVISOR)
        self._supervisor = int(supervisor) if supervisor else None

    def run(self) -> int:
        """Until the core says ``Stop``; the exit code."""
        try:
            with self._hearing_signals():
                while self._stop is None:
                    self._round()
        except JournalFailed as error:
            self._links.close()  # nothing that was not kept is told any more
            say(str(error))
            return EX_IOERR
        except BaseException:
            self._links.close()
            raise
        self._links.close(LINGER_MS if self._stop.code == EX_OK else 0)
        if self._stop.why:
            say(self._stop.why)
        return self._stop.code

    # --- one round --------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        now = clock.monotonic_ns()
        self._links.flush()
        for link in self._links.wait(self._patience_ms(now)):
            self._hear(link)
        if self._disk.has_entries and self._stop is None:
            self._commit()
        now = clock.monotonic_ns()
        while self._signals and self._stop is None:
            self._obey(now, self._signals.popleft())
        if now >= self._next_look:
            self._look(now)
        if now >= self._core.next_tick:
            self._give(Tick())
        if self._give_up and now >= self._give_up and self._stop is None:
            self._stop = Stop(EX_INTERRUPTED, "ended before its work was done")

    def _patience_ms(self, now: int) -> int:
        if self._disk.has_entries or self._signals:
            return 0
        until = min(self._core.next_tick, self._next_look)
        return max(0, -(-(until - now) // 1_000_000))

    def _hear(self, link: str) -> None:
        for _ in range(BURST):
            frame: Frame | None = None if self._stop is not None else self._links.receive(link)
            if frame is None:
                return
            self._give(frame)
            if self._disk.is_due(clock.monotonic_ns()):
                self._commit()

    def _commit(self) -> None:
        began = clock.monotonic_ns()
        count = self._disk.commit()
        self._give(Committed(count, clock.monotonic_ns() - began))

    def _give(self, one: Input) -> None:
        """An input to the core, and what comes of it."""
        if self._stop is not None:
            return
        for out in self._core.advance(clock.monotonic_ns(), one):
            if isinstance(out, Send):
                self._links.send(out)
            elif isinstance(out, Append):
                self._disk.append(out.kind, out.payload)
            elif isinstance(out, KeepRows):
                self._disk.keep_rows(out.rows)
            elif isinstance(out, Fault):
                self._links.fault(out)
            else:
                self._finish(out)
                return

    def _finish(self, stop: Stop) -> None:
        """What was appended before an end in order is kept, too."""
        if self._disk.has_entries:
            self._disk.commit()
        self._stop = stop

    # --- operators --------------------------------------------------------------------------------------------------

    def _look(self, now: int) -> None:
        self._next_look = now + LOOK_NS
        self._disk.sync_old_rows(now)
        if self._kill_file is not None and self._kill_file.exists() != self._kill_file_seen:
            self._kill_file_seen = not self._kill_file_seen
            if self._kill_file_seen:
                self._give(Operator("kill", f"kill file {self._kill_file}"))
        if self._supervisor is not None and os.getppid() != self._supervisor:
            self._supervisor = None
            self._shut_down(now, Operator("shutdown", "ended because its supervisor had"))
        if now >= self._next_second:
            self._next_second = now + SECOND_NS
            self._watch_disk()
            if not self._answers() and self._stop is None:
                self._finish(Stop(EX_SOFTWARE, DEAF))
            self._each_second()

    def _watch_disk(self) -> None:
        is_low = self._is_disk_low()
        if is_low != self._disk_was_low:
            self._disk_was_low = is_low
            self._give(Operator("disk_low" if is_low else "disk_ok", "free space"))

    def _obey(self, now: int, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload_keys()
        elif number == signal.SIGUSR1:
            self._give(SIGNALS[signal.SIGUSR1])
        elif self._give_up:
            self._stop = Stop(EX_INTERRUPTED, "ended at once")
        else:
            self._shut_down(now, SIGNALS[signal.Signals(number)])

    def _shut_down(self, now: int, told: Operator) -> None:
        self._give_up = now + PATIENCE_NS
        self._give(told)

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, note) for number in (*SIGNALS, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def say(text: str) -> None:
    """A sentence on standard error, if anybody still reads it."""
    with suppress(OSError):
        print(f"tickwright: {text}", file=sys.stderr, flush=True)
