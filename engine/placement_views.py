"""Studies of own orders as tables for a terminal and sections of a page: results shown, nothing computed."""

from __future__ import annotations

import math

from engine.learning.own_orders import OwnOrders
from engine.learning.queue_fills import SAMPLES, QueueStudy
from engine.learning.survival import Estimate
from engine.reports.curve_page import Grid, Plot, Trace
from engine.reports.forest_page import Overlay, Section

SYNTHETIC = "SYNTHETIC: what signals foretell here is built into the market, and no evidence"
OVERLAPS = "THE MODEL WAS TRAINED ON TIMES OF THIS MARKET: what it foretells here it has partly seen"
GREY, BLUE, ORANGE = "#9aa3af", "#1d4ed8", "#c2410c"
READING = (
    "class A: the price is foretold to stay or to move away; class B: to come to the order, so that it fills "
    "(our reading of 'in our favour'); the most probable of three counts"
)


def own_orders_facts(found: OwnOrders) -> list[str]:
    """What was placed, where, and how numbers are to be read."""
    return [
        f"{found.name} on {found.market}",
        *([SYNTHETIC] if found.synthetic else []),
        *([OVERLAPS] if found.overlaps else []),
        f"{found.placements:,} placements of {found.shares} {found.symbol}, buy and sell by turns, replayed without "
        "orders and at five urgencies",
        f"moves are of the mid over {found.horizon} ticks, in price ticks, above 0 where a buyer pays more",
        "± is one standard error, drawing blocks of ten neighbouring placements again; * is told from 0 (two errors)",
    ]


def own_orders_grids(found: OwnOrders) -> list[Grid]:
    """Moves by probability, what orders changed, what became of them, and who survives."""
    bins = [
        [f"{p:.3f}", f"{lean:+.3f}", f"{n:,}"]
        for p, lean, n in zip(found.probability, found.lean, found.count, strict=True)
    ]
    head = ["P(our way)", "lean", "orders"]
    names = list(found.profiles)
    moves = [
        [*row, _told(found.unconditional[k]), *(_told(found.profiles[name].move[k]) for name in names)]
        for k, row in enumerate(bins)
    ]
    changes = [[*row, *(_told(found.profiles[name].change[k]) for name in names)] for k, row in enumerate(bins)]
    changes.append(["all", "", f"{found.placements:,}", *(_told(found.profiles[name].overall) for name in names)])
    return [
        Grid("Mean move by probability, without our orders and with them, ticks", [*head, "no orders", *names], moves),
        Grid("What our orders changed: the move with them less the move without, ticks", [*head, *names], changes),
        _profiles(found),
        _survivors(found),
    ]


def _profiles(found: OwnOrders) -> Grid:
    rows = [
        [
            name, f"{one.filled:.3f}", f"{one.rested:.3f}", _told(one.paid), f"{one.fee:+.3f}", _told(one.shortfall),
        ]
        for name, one in found.profiles.items()
    ]  # fmt: skip
    head = ["urgency", "filled", "of it rested", "paid over mid", "fee", "shortfall"]
    return Grid(
        "What became of them, ticks a share (shortfall: what was not filled is done at the horizon)", head, rows
    )


def _survivors(found: OwnOrders) -> Grid:
    rows = []
    for name, one in found.profiles.items():
        if one.survival is None:
            rows.append([name, "0", *5 * "-"])
            continue
        life = one.survival
        rows.append(
            [
                name,
                f"{life.ages}",
                *map(_finely, (life.all_orders, life.bias, life.foretold, life.left, life.displaced)),
            ]
        )
    head = ["urgency", "ages", "all orders", "bias of open ones", "foretold by fills", "left", "displaced by us"]
    return Grid("The signal over open orders, P(price leaves) - P(price comes): survivors are biased", head, rows)


def own_orders_verdicts(found: OwnOrders) -> list[str]:
    """What is told from 0, and what is not."""
    moved = [name for name, one in found.profiles.items() if one.overall.is_told()]
    first, last = found.unconditional[0], found.unconditional[-1]
    apart = Estimate(value=last.value - first.value, error=math.hypot(first.error, last.error))
    lives = {name: one.survival for name, one in found.profiles.items() if one.survival is not None}
    biased = [name for name, life in lives.items() if life.bias.is_told()]
    mended = [name for name in biased if abs(lives[name].left.value) < abs(lives[name].bias.value)]
    told = (
        "the signal orders moves" if apart.is_told() and apart.value > 0 else "NOT told from a signal without content"
    )
    return [
        f"without orders, most less least probable: {_told(apart)} ticks: {told}",
        f"orders move the price against themselves: {', '.join(moved) or 'at no urgency told from 0'}",
        f"survival bias told from 0: {', '.join(biased) or 'at no urgency'}; "
        f"smaller when corrected: {', '.join(mended) or 'none'}",
        f"fills were calibrated on the earlier {found.calibrated_on:,} placements; bias and correction are of the rest",
    ]


def own_orders_sections(found: OwnOrders) -> list[Section]:
    """The page."""
    moves, changes, profiles, survivors = own_orders_grids(found)
    lines = [Trace("no orders", found.lean, [one.value for one in found.unconditional])]
    lines += [Trace(name, found.lean, [m.value for m in one.move]) for name, one in found.profiles.items()]
    differences = [Trace("no orders", found.lean, [0.0] * len(found.lean))]
    differences += [Trace(name, found.lean, [m.value for m in one.change]) for name, one in found.profiles.items()]
    title = f"{found.symbol}: move over {found.horizon} ticks"
    lean = "P(our way) - P(the other way) at placement"
    pictures = [Plot(title, lean, "ticks", lines), Plot("what our orders changed", lean, "ticks", differences)]
    ages = []
    for name, one in found.profiles.items():
        if one.survival is not None:
            x = list(range(1, len(one.survival.by_age) + 1))
            over = zip(("all orders", "open ones", "corrected"), zip(*one.survival.by_age, strict=True), strict=True)
            traces = [Trace(part, x, values) for part, values in over]
            ages.append(Plot(f"{name}: the signal by age", "ticks since placement", "P(leaves) - P(comes)", traces))
    return [
        Section("Moves by probability", own_orders_verdicts(found), pictures, [moves, changes]),
        Section("What became of the orders", grids=[profiles]),
        Section("Survival", pictures=ages, grids=[survivors]),
    ]


def queue_facts(found: QueueStudy) -> list[str]:
    """What was placed, where, and what the classes are."""
    return [
        f"{found.name} on {found.market}",
        *([SYNTHETIC] if found.synthetic else []),
        *([OVERLAPS] if found.overlaps else []),
        f"{found.shares} {found.symbol} a placement, buy and sell by turns, for {found.life_s:g} s at most; a model of "
        f"{found.horizon} ticks",
        READING,
        f"{SAMPLES:,} bootstrap means, in blocks of ten neighbouring placements; the same draws for all three",
    ]


def queue_grid(found: QueueStudy) -> Grid:
    """A row a level: mean quantity of all, A and B, and the test of the difference."""
    rows = []
    for name, one in found.levels.items():
        parts = (one.everything, one.a, one.b)
        means = [text for part in parts for text in (f"{part.count:,}", f"{part.mean:.2f} ± {part.error:.2f}")]
        test = f"{one.difference:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}", _p_value(one.p_value)
        rows.append([name, *means, *test])
    head = ["level", "all", "mean", "A", "mean", "B", "mean", "B - A", "95 %", "p"]
    return Grid("Passively filled quantity a placement, size units", head, rows)


def queue_verdicts(found: QueueStudy) -> list[str]:
    """Whether the classes differ."""
    lines = []
    for name, one in found.levels.items():
        apart = (
            f"B fills {'more' if one.difference > 0 else 'less'} than A" if one.is_told else "A and B not told apart"
        )
        test = f"B - A {one.difference:+.2f}, 95 % {one.low:+.2f} to {one.high:+.2f}, p {_p_value(one.p_value)}"
        lines.append(f"{name}: {apart} ({test})")
    return lines


def queue_sections(found: QueueStudy) -> list[Section]:
    """Two panels, three histograms each."""
    panels = [
        Overlay(
            f"{name}: bootstrapped mean of the filled quantity",
            "size units",
            one.edges,
            [("all", GREY, one.everything.samples), ("A", BLUE, one.a.samples), ("B", ORANGE, one.b.samples)],
        )
        for name, one in found.levels.items()
    ]
    return [Section("Filled quantity by class", queue_verdicts(found), panels, [queue_grid(found)])]


def _p_value(p: float) -> str:
    return f"< {2 / SAMPLES:g}" if p <= 2 / SAMPLES else f"{p:.3f}"


def _told(one: Estimate, digits: int = 3) -> str:
    return f"{one.value:+.{digits}f} ± {one.error:.{digits}f}{'*' if one.is_told() else ''}"


def _finely(one: Estimate) -> str:
    return _told(one, 4)
