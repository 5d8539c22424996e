"""Market time against the monotonic clock: what is due now, and when the next row will be."""

from __future__ import annotations


class Pace:
    """Market time that runs ``speed`` thousandths as fast as the clock, from the first time it is given.

    It is set, never read: a jump over a quiet stretch sets it again.
    """

    def __init__(self, speed: int) -> None:
        self.speed = speed
        self._now = self._ts = 0

    def set(self, now: int, ts: int) -> None:
        """Market time is ``ts`` at ``now``."""
        self._now, self._ts = now, ts

    def market(self, now: int) -> int:
        """Market time in ns at a time of the clock, rounded down."""
        return self._ts + (now - self._now) * self.speed // 1000

    def when(self, ts: int) -> int:
        """The first time of the clock at which market time is at least ``ts``."""
        return self._now - (self._ts - ts) * 1000 // self.speed
