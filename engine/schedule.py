"""How much of a parent order should be done by when: whole lots over bins of time, exact to the last lot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

import msgspec

from engine.errors import StrategyError


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Share ``total`` out in proportion to ``weights``, in whole numbers that add up to ``total`` exactly.

    Each share is its exact value rounded down; what is left goes, one each, to the largest remainders, the earlier
    share first where they are equal (Hamilton's method). No share is further than 1 from its exact value.

    Parameters
    ----------
    total : int
        Must be >= 0.
    weights : sequence of int
        Must be >= 0, with a sum > 0.

    Raises
    ------
    ValueError
        If ``total`` or a weight is negative, or all weights are 0.
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError(f"cannot share {total} out by weights {list(weights)[:5]}…: need all >= 0 and one weight > 0")
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda k: (-(total * weights[k] % whole), k))
    for k in by_remainder[: total - sum(shares)]:
        shares[k] += 1
    return shares


class Schedule(msgspec.Struct, frozen=True):
    """Cumulative size by time: within a bin it grows in a straight line, in whole lots.

    ``edges`` are ns UTC, increasing, one more than bins; ``done_by[k]`` is the size due at ``edges[k]``, from 0.
    """

    edges: tuple[int, ...]
    done_by: tuple[int, ...]
    lot: int = 1

    @classmethod
    def over(cls, size: int, edges: Sequence[int], weights: Sequence[int], *, lot: int = 1) -> Schedule:
        """Share ``size`` (a multiple of ``lot``) out over the bins between ``edges`` by ``weights``.

        At each edge the size due is the exact one rounded down to whole lots: never ahead, never a lot behind, also
        where there are fewer lots than bins.

        Raises
        ------
        StrategyError
            If ``size`` is not a whole number of lots, or the edges do not increase.
        ValueError
            If a weight is negative, or all are 0.
        """
        if size < 1 or size % lot:
            raise StrategyError(f"size {size} is not a positive multiple of the lot, {lot}; change the order's shares")
        if len(edges) != len(weights) + 1 or any(a >= b for a, b in pairwise(edges)):
            raise StrategyError(f"a schedule needs increasing edges, one more than its {len(weights)} weights: {edges}")
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError(f"weights {list(weights)[:5]}… give no schedule: need all >= 0 and one > 0")
        done_by = [size // lot * passed // whole * lot for passed in accumulate(weights, initial=0)]
        return cls(tuple(edges), tuple(done_by), lot)

    def target(self, ts: int) -> int:
        """Size that should be done at ``ts``: 0 before the first edge, all of it from the last."""
        k = self._bin(ts)
        if k < 0:
            return 0
        if k == len(self.edges) - 1:
            return self.done_by[-1]
        lots = (self.done_by[k + 1] - self.done_by[k]) // self.lot
        passed = lots * (ts - self.edges[k]) // (self.edges[k + 1] - self.edges[k])
        return self.done_by[k] + passed * self.lot

    def due(self, ts: int) -> int:
        """Size that should be done at the end of the bin that ``ts`` is in: what may rest in the book now."""
        return self.done_by[min(self._bin(ts) + 1, len(self.edges) - 1)]

    def _bin(self, ts: int) -> int:
        return min(bisect_right(self.edges, ts), len(self.edges)) - 1
