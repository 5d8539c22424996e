"""Virtual time: what happens when, in an order that depends on the seed alone."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any

MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000
MOST_EVENTS = 400_000  # a schedule that needs more goes round in circles


class Unsettled(AssertionError):
    """A schedule did not come to an end."""


class Scheduler:
    """A heap of (virtual ns, insertion number, call); ties go in the order in which they were asked for.

    ``digest`` covers every event that anyone ``note``\\ s: two runs that agree on it did the same.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.events = 0
        self.seed = seed
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self.trace: list[str] | None = None  # what happened, in words, when someone wants to read it

    def chance(self, purpose: str) -> random.Random:
        """Draws for one purpose: what another purpose draws changes nothing here (nor does PYTHONHASHSEED)."""
        return random.Random(f"{self.seed} {purpose}")

    def at(self, time: int, call: Callable[..., None], *args: Any) -> None:
        """Have ``call(*args)`` done at a time, or now if that is past."""
        self._number += 1
        heapq.heappush(self._heap, (max(time, self.now), self._number, call, args))

    def note(self, who: str, what: str, data: bytes = b"") -> None:
        """An event of the schedule, for its digest (and its trace)."""
        self._digest.update(f"{self.now} {who} {what} {len(data)} ".encode() + data)
        if self.trace is not None:
            self.trace.append(f"{self.now / SECOND:12.6f} {who:10} {what} {len(data) or ''}")

    def run(self, until: int, is_done: Callable[[], bool]) -> bool:
        """Go on until ``is_done`` (True), or until a time is reached or nothing is left to do (False)."""
        heap = self._heap
        while not is_done():
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return False
            self.now, _, call, args = heapq.heappop(heap)
            self.events += 1
            if self.events > MOST_EVENTS:
                raise Unsettled(f"still busy after {MOST_EVENTS:,} events, at {self.now / SECOND:.3f} s")
            call(*args)
        return True

    @property
    def digest(self) -> str:
        """Of everything noted so far."""
        return self._digest.hexdigest()
