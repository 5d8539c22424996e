"""Kills each role of a session once along its way, to see that nothing comes of it."""

from __future__ import annotations

import signal

from engine import clock
from engine.errors import TickwrightError
from engine.live.admin import Admin
from engine.live.supervisor import Child, Supervisor
from engine.live_config import Live

FIRST, LAST = 0.15, 0.85  # of the rows: when the first and the last role are killed
EVERY_NS = 100_000_000
ANSWER_MS = 300


class Chaos:
    """Called in each round of a supervisor.

    Parameters
    ----------
    live : Live
    rows : int
        That the session will see; 0: leave everybody alone.
    """

    def __init__(self, live: Live, rows: int) -> None:
        self._live, self._rows = live, rows
        self._admin: Admin | None = None
        self._left: list[Child] | None = None
        self._killed = 0
        self._next = 0

    def __call__(self, supervisor: Supervisor) -> None:
        now = clock.monotonic_ns()
        if not self._rows or now < self._next:
            return
        self._next = now + EVERY_NS
        if self._left is None:
            self._left = list(supervisor.children)
        if self._left and self._has_come_to(self._share(len(supervisor.children))):
            child = self._left.pop(0)
            supervisor.say("", f"kill -9 {child.name}")
            child.signal(signal.SIGKILL)
            self._killed += 1
        if not self._left and self._admin is not None:
            self._admin.__exit__()
            self._admin = None

    def _share(self, n: int) -> float:
        return FIRST + (LAST - FIRST) * self._killed / max(1, n - 1)

    def _has_come_to(self, share: float) -> bool:
        try:
            if self._admin is None:
                self._admin = Admin(self._live, answer_ms=ANSWER_MS).__enter__()
            return self._admin.standing().rows >= share * self._rows
        except TickwrightError:
            return False  # the broker is not there yet, or again
