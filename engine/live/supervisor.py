"""Starts the roles of a session on one machine, restarts those that die, and ends all when the work is done.

==========================  =================================================================================
exit code                   means
==========================  =================================================================================
0                           done; once all that must finish have, the others are told to end
75, 74, 70 or a signal      too slow, disk error, a fault of ours, killed: start again, after 0.1 s, 0.2 s, … 5 s
78                          what is on disk cannot be trusted: end all, a person must look
anything else               a config, a key, a strategy: end all, the message says what to do
==========================  =================================================================================

Ctrl-C ends the broker first, so that it seals the run while strategies can still say what they did, then the others; a
second one kills. Each line that a role prints comes out with the role's name before it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

from engine import clock
from engine.live.role import EX_OK, EX_SLOW, EX_SOFTWARE
from engine.live.shell import EX_INTERRUPTED, EX_IOERR, SUPERVISOR

AGAIN = {EX_SLOW, EX_IOERR, EX_SOFTWARE}
FIRST_WAIT_NS, LONGEST_WAIT_NS = 100_000_000, 5_000_000_000
SETTLED_NS = 10_000_000_000  # alive for so long: the next death is a first one again
MOST_DEATHS = 10  # in a row
PATIENCE_NS = 8_000_000_000  # for a role to end once it was told to
GOODBYE_NS = 12_000_000_000  # for roles to end by themselves once the last one has; a runner takes up to 10 s
ROUND_S = 0.05
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a polite kill, a terminal that was closed
COLOURS = ("36", "33", "32", "35", "34", "31")


class Child:
    """A role: how it is started, and how it fares.

    Parameters
    ----------
    name : str
    command : sequence of str
    must_finish : bool
        The session lasts until it has ended with 0; a feed goes on until it is told to end.
    is_last : bool
        Once it has ended with 0 there is nothing left for the others to do: a runner that was killed after its last
        word would wait for a broker that has sealed the run.
    """

    def __init__(self, name: str, command: Sequence[str], *, must_finish: bool = True, is_last: bool = False) -> None:
        self.name, self.command, self.must_finish, self.is_last = name, list(command), must_finish, is_last
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.is_done = False
        self._deaths = 0  # in a row
        self._started = self._start_at = 0
        self._rest = b""

    @property
    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    def is_due(self, now: int) -> bool:
        """Whether it should be started."""
        return self.process is None and not self.is_done and now >= self._start_at

    def start(self, now: int) -> IO[bytes]:
        """Start it; what it says comes from the pipe."""
        environment = {**os.environ, SUPERVISOR: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends all in order
        )
        self._started = now
        assert self.process.stdout is not None
        return self.process.stdout

    def wait_before_next_start(self, now: int) -> float:
        """It died: how many seconds until it is started again; -1: not any more."""
        self._deaths = 1 if now - self._started >= SETTLED_NS else self._deaths + 1
        if self._deaths > MOST_DEATHS:
            return -1.0
        wait = min(LONGEST_WAIT_NS, FIRST_WAIT_NS << (self._deaths - 1))
        self._start_at, self.process = now + wait, None
        self.restarts += 1
        return wait / 1e9

    def lines(self, data: bytes) -> Iterator[str]:
        """Whole lines out of what came; the rest once the role has ended (``data`` empty)."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.is_alive:
            assert self.process is not None
            self.process.send_signal(number)


class Supervisor:
    """Runs children until those that must finish have.

    Parameters
    ----------
    children : sequence of Child
        In the order of their start.
    out : text stream
        Takes what they say.
    each_round : callable, optional
        Called with the supervisor about 20 times a second.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        out: IO[str] | None = None,
        each_round: Callable[[Supervisor], object] = lambda supervisor: None,
    ) -> None:
        self.children = list(children)
        self._out = sys.stderr if out is None else out
        self._each_round = each_round
        self._selector = selectors.DefaultSelector()
        self._width = max((len(child.name) for child in self.children), default=0)
        self._colours = self._out.isatty() and "NO_COLOR" not in os.environ
        self._code: int | None = None  # what this session ends with; None: it goes on
        self._asked = 0  # times that somebody wanted an end
        self._ending: list[str] = []  # roles that were told to end, and when
        self._told = 0
        self._last_ended: int | None = None  # when

    def run(self) -> int:
        """Until all is done; the exit code."""
        self.say("", f"starting {', '.join(child.name for child in self.children)}")
        try:
            with self._interruptible():
                while not self._is_over():
                    self._round()
        finally:
            for child in self.children:
                child.signal(signal.SIGKILL)
            self._drain()
        return self._code or EX_OK

    def say(self, who: str, text: str) -> None:
        """A line of somebody's."""
        head = f"{who:<{self._width}}"
        if self._colours:
            n = next((i for i, child in enumerate(self.children) if child.name == who), len(COLOURS) - 1)
            head = f"\x1b[{COLOURS[n % len(COLOURS)]}m{head}\x1b[0m"
        print(f"{head} | {text}", file=self._out, flush=True)

    # --- one round --------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        now = clock.monotonic_ns()
        for child in self.children:
            if self._code is None and child.is_due(now):
                self._selector.register(child.start(now), selectors.EVENT_READ, child)
        for key, _ in self._selector.select(ROUND_S):
            self._hear(key.fileobj, key.data)
        for child in self.children:
            if child.process is not None and not child.is_done and child.process.poll() is not None:
                self._bury(child)
        if self._asked and self._code is None:
            self._end(EX_INTERRUPTED, "interrupted: ending all, the broker first; once more kills")
        if self._code is None and all(child.is_done for child in self.children if child.must_finish):
            self._end(EX_OK, "")
        if self._code is None and any(child.is_last and child.is_done for child in self.children):
            self._last_ended = now if self._last_ended is None else self._last_ended
            if now - self._last_ended >= GOODBYE_NS:
                self._end(EX_OK, "the session has ended, and who is left has nothing to wait for; ending all")
        if self._code is not None:
            self._stop_all(clock.monotonic_ns())
        self._each_round(self)

    def _hear(self, pipe: Any, child: Child) -> None:
        data = os.read(pipe.fileno(), 65_536)
        for line in child.lines(data):
            self.say(child.name, line)
        if not data:
            self._selector.unregister(pipe)
            pipe.close()

    def _bury(self, child: Child) -> None:
        """What the death of a child means."""
        assert child.process is not None
        code = child.process.returncode
        if self._code is not None or code == EX_OK:
            child.is_done = True
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        wait = child.wait_before_next_start(clock.monotonic_ns()) if code < 0 or code in AGAIN else -1.0
        if wait >= 0:
            self.say(child.name, f"{how}; starting it again in {wait:g} s")
            return
        child.is_done = True
        self._end(abs(code) if code > 0 else EX_SOFTWARE, f"{child.name} {how}; ending all")

    def _end(self, code: int, why: str) -> None:
        self._code = code
        if why:
            self.say("", why)

    def _stop_all(self, now: int) -> None:
        """Those that must finish one after the other, then the rest; who takes too long is killed."""
        alive = [child for child in self.children if child.is_alive]
        for child in self.children:
            child.is_done = child.is_done or child.process is None
        first = next((child for child in alive if child.must_finish), None)
        ending = [first] if first is not None else alive
        names = [child.name for child in ending]
        is_new = not set(names) <= set(self._ending)
        if is_new:
            self._ending, self._told = names, now
        for child in ending:
            if self._asked > 1 or now - self._told > PATIENCE_NS:
                child.signal(signal.SIGKILL)
            elif is_new:
                child.signal(signal.SIGINT if self._asked else signal.SIGTERM)

    def _is_over(self) -> bool:
        return self._code is not None and not any(child.is_alive for child in self.children)

    def _drain(self) -> None:
        """Their last words."""
        for key in list(self._selector.get_map().values()):
            while not getattr(key.fileobj, "closed", True):
                self._hear(key.fileobj, key.data)
        for child in self.children:
            if child.process is not None:
                child.process.wait()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked += 1

        before = {number: signal.signal(number, ask) for number in ENDS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
