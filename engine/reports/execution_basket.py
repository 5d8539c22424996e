"""Parents added up by currency, with a confidence interval over parents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.reports.execution_result import LINES, BasketCosts, Interval, ParentCosts, Split

RESAMPLES, LEVEL = 2_000, 0.95


def baskets(parents: Sequence[ParentCosts], seed: int) -> list[BasketCosts]:
    """One for each currency, in order of its name."""
    return [
        _basket(currency, [one for one in parents if one.currency == currency], seed)
        for currency in sorted({one.currency for one in parents})
    ]


def added(splits: Sequence[Split]) -> Split:
    """Term by term and line by line."""
    return Split(
        t1=sum(one.t1 for one in splits),
        t2=sum(one.t2 for one in splits),
        t3=sum(one.t3 for one in splits),
        fees=sum(one.fees for one in splits),
        total=sum(one.total for one in splits),
        lines={name: sum(one.lines[name] for one in splits) for name in LINES},
    )


def _basket(currency: str, parents: list[ParentCosts], seed: int) -> BasketCosts:
    notional = sum(one.notional for one in parents)
    split = added([one.split for one in parents])
    free = [one.without_impact for one in parents if one.without_impact is not None]
    without = added(free) if len(free) == len(parents) else None
    interval, why = _interval(parents, seed)
    return BasketCosts(
        currency=currency,
        parents=len(parents),
        notional=notional,
        split=split,
        total_bp=split.total / notional * 1e4,
        without_impact=without,
        without_impact_bp=without.total / notional * 1e4 if without else None,
        interval=interval,
        no_interval=why,
    )


def _interval(parents: list[ParentCosts], seed: int) -> tuple[Interval | None, str]:
    """Percentile bootstrap of the notional-weighted mean; parents are drawn whole."""
    n = len(parents)
    if n < 2:
        return None, "one parent says nothing about the spread of costs over parents; trade at least two"
    cost = np.array([one.split.total for one in parents], float)
    notional = np.array([one.notional for one in parents], float)
    drawn = np.random.Generator(np.random.Philox(key=[seed, n])).integers(0, n, (RESAMPLES, n))
    means = cost[drawn].sum(axis=1) / notional[drawn].sum(axis=1) * 1e4
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    note = f"only {n} parents, of one run: the interval says little" if n < 10 else ""
    return Interval(low_bp=float(low), high_bp=float(high), level=LEVEL, resamples=RESAMPLES), note
