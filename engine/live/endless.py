"""A source without an end: blocks that are made as they are needed, and made again for who asks late.

Memory holds the last few blocks, and of every block before only where it began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market
from engine.tape import Kind, Manifest

KEPT = 4  # blocks in memory


class Blocks(Protocol):
    """``feeds.endless.EndlessMarket``: the same number and prices always give the same rows."""

    manifest: Manifest
    average_days: dict[str, tuple[int, float]]
    first_prices: tuple[int, ...]

    def block(self, number: int, prices: tuple[int, ...]) -> tuple[NDArray[np.void], tuple[int, ...]]: ...


class Begin(msgspec.Struct, frozen=True, array_like=True):
    """Where a block begins."""

    first: int  # number of its first row
    prices: tuple[int, ...]


class EndlessSource:
    """Number the rows of blocks.

    Parameters
    ----------
    blocks : Blocks
    begins : sequence of Begin
        Of the blocks that were made before a restart, in order: they need not be made again to find the next one.
    """

    content = ""
    total: int | None = None

    def __init__(self, blocks: Blocks, begins: Sequence[Begin] = ()) -> None:
        self._blocks = blocks
        self.manifest = blocks.manifest
        self.panels: dict[str, NDArray[Any]] = {}
        self.average_days = {
            symbol: Market(daily_volume=volume, daily_volatility=volatility)
            for symbol, (volume, volatility) in blocks.average_days.items()
        }
        self.begins = list(begins) or [Begin(0, blocks.first_prices)]  # one more than blocks were made
        self._kept: dict[int, NDArray[np.void]] = {}  # the one used last at the end

    def read(self, first: int, n: int) -> NDArray[np.void]:
        """Rows of the block that holds ``first``, at most ``n``."""
        while self.begins[-1].first <= first:
            self._make(len(self.begins) - 1)
        number = bisect_right(self.begins, first, key=lambda begin: begin.first) - 1
        rows = self._kept.pop(number, None)
        if rows is None:
            rows = self._make(number)
        self._kept[number] = rows
        inside = first - self.begins[number].first
        return rows[inside : inside + n]

    def promise(self, ts: int) -> int:
        raise AssertionError("there is always a next row")

    def _make(self, number: int) -> NDArray[np.void]:
        begin = self.begins[number]
        rows, prices = self._blocks.block(number, begin.prices)
        assert len(rows)
        assert not (rows["kind"] == Kind.CLOCK).any()
        end = Begin(begin.first + len(rows), prices)
        if number + 1 == len(self.begins):
            self.begins.append(end)
        assert self.begins[number + 1] == end, "a block made again is another one: the state is of another market"
        self._kept[number] = rows
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return rows
