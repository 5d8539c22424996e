"""How much a program may ask for: so many requests a second, a few at once. Beyond that it is refused, never queued.

Gate 8 limits orders in the market's time and leaves two records of each; this keeps a flood out of market, log and
memory, so that others are served. Cancels are counted apart: whoever has used up his orders can still take them back.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.live.messages import Cancel, CancelAll, Request

PER_SECOND = 1_000
AT_ONCE = 2_048  # two of the longest messages
REMEMBERED = 4_096  # refused ids: a second copy on its way must not act after the first was refused
EACH_NS = 1_000_000_000 // PER_SECOND


class Allowance:
    """What is left to one account; times are a monotonic clock in ns."""

    def __init__(self) -> None:
        self._full_at = {True: 0, False: 0}  # when nothing will have been used; of cancels, of other requests
        self._refused: dict[str, None] = {}

    def takes(self, now: int, cid: str, requests: Sequence[Request]) -> bool:
        """Whether these may be applied; what has been refused once stays refused."""
        if cid in self._refused:
            return False
        kind = all(isinstance(one, (Cancel, CancelAll)) for one in requests)
        full_at = max(self._full_at[kind], now) + max(1, len(requests)) * EACH_NS
        if full_at - now > AT_ONCE * EACH_NS:
            self.refuse(cid)
            return False
        self._full_at[kind] = full_at
        return True

    def refuse(self, cid: str) -> None:
        """Remember that these are refused, whatever the reason."""
        self._refused[cid] = None
        if len(self._refused) > REMEMBERED:
            del self._refused[next(iter(self._refused))]
