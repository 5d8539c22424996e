"""Says every few seconds how a session on this machine comes along."""

from __future__ import annotations

from engine import clock
from engine.errors import TickwrightError
from engine.live.admin import Admin
from engine.live.standing import Standing
from engine.live.supervisor import Supervisor
from engine.live_config import Live
from engine.reports.formats import moment

EVERY_NS = 10_000_000_000
ANSWER_MS = 200  # the supervisor waits meanwhile


class Onlooker:
    """Called in each round of a supervisor.

    Parameters
    ----------
    live : Live
    rows : int
        That the session will see; 0 where there is no end.
    """

    def __init__(self, live: Live, rows: int) -> None:
        self._live, self._rows = live, rows
        self._next = clock.monotonic_ns() + EVERY_NS
        self._seen = 0  # rows, when it was last said

    def __call__(self, supervisor: Supervisor) -> None:
        if clock.monotonic_ns() < self._next:
            return
        try:
            with Admin(self._live, answer_ms=ANSWER_MS) as admin:
                standing = admin.standing()
        except TickwrightError:
            standing = None  # the broker is not there yet, or again
        self._next = clock.monotonic_ns() + EVERY_NS
        if standing is not None and standing.rows > self._seen:
            self._seen = standing.rows
            supervisor.say("", self.line(standing))

    def line(self, standing: Standing) -> str:
        """Where the market is, and what has been traded."""
        of = f" of {self._rows:,}" if self._rows else ""
        fills = sum(one.fills for one in standing.accounts)
        working = sum(one.open_orders for one in standing.accounts)
        second = standing.market_ts // 1_000_000_000 * 1_000_000_000
        return f"{moment(second)}: {standing.rows:,}{of} rows, {fills:,} fills, {working:,} orders open"
