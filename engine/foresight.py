"""What the mid will do, read from the tape's own future: for studies that ask what a perfect forecast would be worth.

Nothing that a config can name makes one, and no command but the study of the placer hands one to a strategy: a run that
has one breaks the law that no decision depends on a later row, which its test shows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec


class Foresight(msgspec.Struct, frozen=True):
    """For each symbol times (ns UTC, ascending) and where the mid goes from then: -1 down, 0 nowhere, +1 up."""

    moves: dict[str, tuple[Sequence[int], Sequence[int]]]

    def direction(self, symbol: str, now: int) -> int:
        """Where the mid goes from ``now`` on; 0 before the first time, and where it was not told."""
        times, directions = self.moves.get(symbol, ((), ()))
        k = bisect_right(times, now) - 1
        return directions[k] if k >= 0 else 0
