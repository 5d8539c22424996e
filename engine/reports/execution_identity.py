"""Slippage against a schedule and a benchmark, split so that nothing is left over (slides eq. 3).

With weights mu_j of the schedule, fills of V_j in bin j at the average price P_j, a market price Me_j and a benchmark
price Pe_j of the bin, and V and mu as parts of the parent that both add up to 1,

    T1 = sum mu_j (Me_j - Pe_j)        the market where the schedule trades, against the benchmark
    T2 = sum mu_j (P_j - Me_j)         the price paid in a bin, against the market's
    T3 = sum (V_j - mu_j) P_j          traded in another bin than planned
    T1 + T2 + T3 = sum V_j P_j - sum mu_j Pe_j

for buys, and times -1 for sells. A bin without a fill has P_j = Me_j. All of it in rationals; sizes instead of parts,
so that amounts are price units times size units. ``share_out`` turns them into whole money that still adds up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

ROUNDED = (
    4  # money units that a total may differ from the sum of its exact parts, if it is itself a sum of rounded ones
)


class Bin(NamedTuple):
    """A piece of the schedule."""

    planned: int  # size, mu_j of the parent
    market: Fraction  # Me_j
    benchmark: Fraction  # Pe_j


class Trade(NamedTuple):
    """A fill, or what stands for one: the residual of an unfinished order at its closing mark."""

    bin: int
    price: Fraction
    size: int


class Terms(NamedTuple):
    """The three terms, positive where they cost money."""

    t1: Fraction
    t2: Fraction
    t3: Fraction

    @property
    def total(self) -> Fraction:
        return self.t1 + self.t2 + self.t3


class Slippage(NamedTuple):
    """Terms of each fill, and of each bin without one (None where a bin has fills)."""

    by_trade: list[Terms]
    by_empty_bin: list[Terms | None]

    @property
    def total(self) -> Terms:
        return add(self.by_trade + [terms for terms in self.by_empty_bin if terms is not None])


def slippage(side: int, bins: Sequence[Bin], trades: Sequence[Trade]) -> Slippage:
    """Eq. 3 of a parent, down to its fills: each carries the part of its bin's schedule that it is of the bin's size.

    Parameters
    ----------
    side : int
        +1 buys, -1 sells.
    bins : sequence of Bin
        Of the whole parent.
    trades : sequence of Trade
        With sizes that add up to what is planned.

    Raises
    ------
    ArithmeticError
        If sizes do not add up, or the identity does not hold, in all or in a bin.
    """
    traded: defaultdict[int, int] = defaultdict(int)
    for trade in trades:
        traded[trade.bin] += trade.size
    planned = sum(one.planned for one in bins)
    if sum(traded.values()) != planned:
        raise ArithmeticError(f"fills and residual are {sum(traded.values())} units, but {planned} were planned")
    by_trade = [_of_trade(side, bins[trade.bin], trade, traded[trade.bin]) for trade in trades]
    empty = [None if traded[j] else _of_empty_bin(side, one) for j, one in enumerate(bins)]
    found = Slippage(by_trade, empty)
    _check(side, bins, trades, found)
    return found


def add(terms: Sequence[Terms]) -> Terms:
    """Term by term."""
    return (
        Terms(*(sum(column, Fraction(0)) for column in zip(*terms, strict=True))) if terms else Terms(*[Fraction()] * 3)
    )


def share_out(total: int, parts: Sequence[Fraction]) -> list[int]:
    """Whole numbers near ``parts`` that add up to ``total``: largest remainder, also for negative parts.

    Each part is rounded down; what is left goes, one each, to the largest remainders, the earlier one first. Where
    ``total`` is the sum of ``parts`` rounded up or down, no share is a whole unit away from its part.

    Raises
    ------
    ArithmeticError
        If ``total`` is not the sum of ``parts``, but for the rounding of a few numbers.
    """
    if abs(total - sum(parts)) >= ROUNDED:
        raise ArithmeticError(f"{total:,} is not the sum of its parts, {float(sum(parts)):,.6f}")
    whole = [floor(part) for part in parts]
    each, rest = divmod(total - sum(whole), len(parts))
    order = sorted(range(len(parts)), key=lambda k: (whole[k] - parts[k], k))
    more = set(order[:rest])
    return [value + each + (k in more) for k, value in enumerate(whole)]


def _of_trade(side: int, one: Bin, trade: Trade, traded: int) -> Terms:
    due = Fraction(one.planned * trade.size, traded)
    return Terms(
        side * due * (one.market - one.benchmark),
        side * due * (trade.price - one.market),
        side * (trade.size - due) * trade.price,
    )


def _of_empty_bin(side: int, one: Bin) -> Terms:
    return Terms(side * one.planned * (one.market - one.benchmark), Fraction(0), -side * one.planned * one.market)


def _check(side: int, bins: Sequence[Bin], trades: Sequence[Trade], found: Slippage) -> None:
    """The identity, from fills and schedule alone, bin by bin; so also in all."""
    owed = [-side * one.planned * one.benchmark for one in bins]
    said = [terms.total if terms else Fraction(0) for terms in found.by_empty_bin]
    for trade, terms in zip(trades, found.by_trade, strict=True):
        owed[trade.bin] += side * trade.size * trade.price
        said[trade.bin] += terms.total
    for j, (left, right) in enumerate(zip(owed, said, strict=True)):
        if left != right:
            raise ArithmeticError(f"bin {j}: T1 + T2 + T3 is {right}, but its fills against its benchmark are {left}")
