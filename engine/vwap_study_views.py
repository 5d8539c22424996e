"""What the study of parents says: costs by arm, differences to each baseline, and a sentence that a trader can use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.curve_views import Grid
from engine.learning.paired_effects import Effect, bootstrap, differences, spread_difference
from engine.learning.parent_study import Trial

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PARTS = ("spread_bp", "impact_bp", "timing_bp", "completion_bp")
ARM_HEAD = ("", "arm", "parents", "slippage", "sd", "5 %", "25 %", "50 %", "75 %", "95 %", "spread", "impact", "timing",
            "completion", "fees", "crossed", "not done")  # fmt: skip
VERSUS_HEAD = ("", "against", "windows", "slippage", "95 % interval", "detectable", "spread", "impact", "timing",
               "completion", "with fees", "95 % interval", "sd", "95 % interval")  # fmt: skip


class Part(NamedTuple):
    """Some of the parents, to be judged together."""

    label: str
    trials: list[Trial]
    block: int  # windows that the bootstrap keeps together
    is_whole: bool = False  # not of one size or side only: to be judged in a sentence


class Versus(NamedTuple):
    """The judged arm less another one; positive is dearer."""

    label: str
    base: str
    base_bp: float  # mean slippage of that arm's parents
    windows: int
    slippage: Effect
    parts: dict[str, Effect]  # of the slippage, by ``PARTS``
    cost: Effect  # fees included
    deviation: Effect  # of the standard deviation of slippage, over parents


def split(trials: Sequence[Trial], block: int, *, every_size: bool) -> list[Part]:
    """All of them where there are several stocks; and of each stock all, by size and by side."""
    symbols = sorted({trial.symbol for trial in trials})
    parts = [Part("all stocks", list(trials), block, is_whole=True)] if len(symbols) > 1 else []
    for symbol in symbols:
        own = [trial for trial in trials if trial.symbol == symbol]
        sizes = sorted({trial.shares for trial in own})
        fewer = block if every_size else max(1, block // len(sizes))  # a size is then in some windows only
        parts.append(Part(f"{symbol} all", own, block, is_whole=True))
        parts += [Part(f"{symbol} {size:,}", [t for t in own if t.shares == size], fewer) for size in sizes]
        parts += [
            Part(f"{symbol} {word}", [t for t in own if t.side == side], block)
            for side, word in ((1, "buy"), (-1, "sell"))
        ]
    return parts


def versus(part: Part, judged: str, arms: Sequence[str], *, seed: int, draws: int) -> list[Versus]:
    """The judged arm against each of the others, with the same draws for all."""

    def effect(base: str, cost_bp: Callable[[Trial], float]) -> tuple[Effect, int]:
        means = differences(part.trials, judged, base, cost_bp)
        rng = np.random.Generator(np.random.Philox(seed))
        found = bootstrap(means, block=part.block, rng=rng, draws=draws)
        return found, sum(len(one) for one in means.values())

    rows = []
    for base in arms:
        if base == judged:
            continue
        slippage, windows = effect(base, lambda t: t.slippage_bp)
        parts = {name: effect(base, lambda t, name=name: getattr(t, name))[0] for name in PARTS}
        mean = float(np.mean([t.slippage_bp for t in part.trials if t.arm == base]))
        cost = effect(base, lambda t: t.cost_bp)[0]
        deviation = spread_difference(
            part.trials, judged, base, lambda t: t.slippage_bp,
            block=part.block, rng=np.random.Generator(np.random.Philox(seed)), draws=draws,
        )  # fmt: skip
        rows.append(Versus(part.label, base, mean, windows, slippage, parts, cost, deviation))
    return rows


def arm_grid(parts: Sequence[Part], arms: Sequence[str]) -> Grid:
    """What each arm's parents cost, and how that spreads."""
    rows = []
    for part in parts:
        for arm in arms:
            own = [t for t in part.trials if t.arm == arm]
            slippage = np.array([t.slippage_bp for t in own])
            means = [float(np.mean([getattr(t, name) for t in own])) for name in (*PARTS, "fees_bp")]
            done = sum(t.done for t in own)
            rows.append([
                part.label, arm, f"{len(own):,}", f"{slippage.mean():+.2f}", f"{np.std(slippage, ddof=1):.2f}",
                *(f"{x:+.2f}" for x in np.quantile(slippage, QUANTILES)), *(f"{x:+.2f}" for x in means),
                f"{sum(t.taken for t in own) / done:.0%}" if done else "-", str(sum(t.done < t.shares for t in own)),
            ])  # fmt: skip
    return Grid("Slippage against the market's VWAP, bp of the parent; its parts, and fees beside it", ARM_HEAD, rows)


def versus_grid(rows: Sequence[Versus], judged: str) -> Grid:
    """What the judged arm costs more than each other one."""
    cells = [
        [
            row.label, row.base, str(row.windows), f"{row.slippage.mean:+.2f}", _interval(row.slippage),
            f"{row.slippage.detectable:.2f}", *(_starred(row.parts[name]) for name in PARTS),
            f"{row.cost.mean:+.2f}", _interval(row.cost), f"{row.deviation.mean:+.2f}", _interval(row.deviation),
        ]
        for row in rows
    ]  # fmt: skip
    return Grid(
        f"{judged} less each other arm, bp; - is cheaper; * parts whose interval leaves out 0", VERSUS_HEAD, cells
    )


def verdict(label: str, judged: str, rows: Sequence[Versus]) -> str:
    """Whether the judged arm beats the best of the others by more than its interval, and if not, why."""
    what, best = label.removesuffix(" all"), min(rows, key=lambda row: row.base_bp)
    one = best.slippage
    seen = f"a true difference of {one.detectable:.2f} bp would be seen four times in five"
    fees = (
        f"with fees {best.cost.mean:+.2f} bp ({_interval(best.cost)}); "
        f"standard deviation {best.deviation.mean:+.2f} bp ({_interval(best.deviation)})"
    )
    if one.high < 0:
        return (
            f"{what}: {judged} beats the best baseline, {best.base}, by {-one.mean:.2f} bp of slippage against VWAP "
            f"(95 % interval of the difference {_interval(one)}); {fees}; {seen}"
        )
    more = (
        f"its parents cost {one.mean:.2f} bp MORE" if one.low > 0 else f"{one.mean:+.2f} bp, and 0 is in the interval"
    )
    return (
        f"{what}: {judged} does NOT beat the best baseline, {best.base}, by more than its interval: "
        f"{more} ({_interval(one)}); {fees}; {seen}. {_why(best)}"
    )


def null_verdict(label: str, judged: str, rows: Sequence[Versus]) -> str:
    """What is found where there is no alpha to be had: timing must be nothing."""
    what = label.removesuffix(" all")
    timing = {row.base: row.parts["timing_bp"] for row in rows}
    found = {base: one for base, one in timing.items() if one.high < 0 or one.low > 0}
    if not found:
        return f"{what}: no alpha, and none is found: timing is 0 within its interval against every arm"
    told = ", ".join(f"{base} {one.mean:+.2f} bp ({_interval(one)})" for base, one in found.items())
    return (
        f"{what}: no alpha, but {judged} shows timing against {len(found)} of {len(rows)} arms: {told}; "
        "one in twenty is chance; more is a mistake of the study"
    )


def days_of(trials: Sequence[Trial], symbol: str) -> str:
    """The held-out days of a stock, in words."""
    days = sorted({trial.day for trial in trials if trial.symbol == symbol})
    return f"{len(days)} held-out days, {days[0]} to {days[-1]}" if len(days) > 1 else f"one held-out day, {days[0]}"


def _why(best: Versus) -> str:
    """The parts of the difference, dearest first; those beyond their interval are named as the reason."""
    ordered = sorted(best.parts.items(), key=lambda item: -item[1].mean)
    told = ", ".join(f"{name.removesuffix('_bp')} {one.mean:+.2f} ({_interval(one)})" for name, one in ordered)
    dear = [name.removesuffix("_bp") for name, one in ordered if one.low > 0]
    cheap = [name.removesuffix("_bp") for name, one in ordered if one.high < 0]
    lost = f"it loses on {' and '.join(dear)}" if dear else "no part of it costs more beyond its interval"
    gained = f" and gains on {' and '.join(cheap)}" if cheap else ""
    return f"Of the difference: {told}; {lost}{gained}"


def _interval(one: Effect) -> str:
    return f"{one.low:+.2f} to {one.high:+.2f}"


def _starred(one: Effect) -> str:
    return f"{one.mean:+.2f}{'*' if one.low > 0 or one.high < 0 else ''}"
