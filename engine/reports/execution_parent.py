"""One parent order in one world: its fills against its schedule and the market, and what they cost in whole money."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from engine.instruments import Instrument
from engine.journal import RecordKind
from engine.reports.execution_identity import Slippage, Terms, Trade, share_out, slippage
from engine.reports.execution_market import Benchmark, benchmark, closing_mark
from engine.reports.execution_replay import Sight, World
from engine.reports.execution_result import FILL_LINES, LINES, Split
from engine.reports.execution_split import Child, Fill, charged_line, children_of, fills_of
from engine.result import ParentCost
from engine.run_folder import SavedRun

RESIDUAL = 0  # instead of an order number


class Worked(NamedTuple):
    """A parent in one world, before it is told."""

    parent: ParentCost
    instrument: Instrument
    bench: Benchmark
    children: dict[int, Child]
    fills: list[Fill]  # the residual last, if there is one
    eq3: Slippage
    split: Split
    lines: dict[str, Fraction]  # exact money
    charged_to: str  # the line that holds what impact charges beside prices
    notes: list[str]


def work(parent: ParentCost, number: int, world: World, free: Sight, saved: SavedRun) -> Worked:
    """Measure a parent in one world; ``free`` is what was seen of its instrument without us."""
    instrument = world.setup.feed.tape.instruments[number]
    bench = benchmark(parent, number, world, free)
    notes = list(bench.notes)
    account = [one.name for one in world.setup.accounts].index(parent.account)
    mine = world.records[world.records["account"] == account]
    children = children_of(parent.children, mine)
    records = mine[(mine["kind"] == RecordKind.FILL) & np.isin(mine["order_no"], parent.children)]
    last = len(bench.bins) - 1
    bin_of = np.clip(np.searchsorted(bench.schedule.edges, records["ts"], side="right") - 1, 0, last)
    market = [one.market for one in bench.bins]
    fills, blind = fills_of(
        parent.side,
        children,
        records,
        bin_of,
        market,
        replayed=world.sights[number],
        undisturbed=free,
        instrument=instrument,
        broker=saved.config.broker,
    )
    if blind:
        notes.append(f"{blind} fills came when no two-sided quote had been seen; all they cost is told as timing")
    left = parent.size - sum(fill.size for fill in fills)
    mark, free_mark = closing_mark(world.sights[number], bench.session), closing_mark(free, bench.session)
    if left and (mark is None or free_mark is None):
        mark = free_mark = market[-1]
        notes.append("the session had no valid mid; the remainder counts at the last bin's market price")
    if left and mark is not None and free_mark is not None:
        notes.append(
            f"unfinished: {left:,} of {parent.size:,} were not traded and count as filled at the closing mark, "
            f"{instrument.quoted(1) * float(mark):,.6g}"
        )
        persisting = Fraction(parent.side * left) * (mark - free_mark)
        lines = tuple(persisting if name == "own_persisting" else Fraction(0) for name in FILL_LINES)
        fills.append(Fill(last, RESIDUAL, bench.session[1], mark, left, False, lines, 0, 0))
    if parent.size > sum(bench.volume):
        notes.append(
            f"the parent's {parent.size:,} are more than the market's {sum(bench.volume):,} between its start and end"
        )
    eq3 = slippage(parent.side, bench.bins, [Trade(fill.bin, fill.price, fill.size) for fill in fills])
    lines = _lines(parent.side, bench, fills, eq3.total, free_mark, instrument)
    to = charged_line(saved.config.broker)
    split = _split(eq3.total, lines, fills, instrument, to)
    return Worked(parent, instrument, bench, children, fills, eq3, split, lines, to, notes)


def _lines(
    side: int, bench: Benchmark, fills: list[Fill], terms: Terms, free_mark: Fraction | None, instrument: Instrument
) -> dict[str, Fraction]:
    """Every line but the fees, exact and in money; together T1 + T2 + T3.

    A perfect follower trades mu_j at Me_j: all it pays is T1. ``schedule`` is what trading at the same prices in other
    bins changed for the part that was filled, ``remainder`` what the part that was not would have cost more at the end.
    """
    size = sum(one.planned for one in bench.bins)
    left = sum(fill.size for fill in fills if fill.child == RESIDUAL)
    follower = sum((one.planned * one.market for one in bench.bins), Fraction(0))  # what it pays for all of it
    at_market = sum((fill.size * bench.bins[fill.bin].market for fill in fills if fill.child != RESIDUAL), Fraction(0))
    exact = {
        "volume_curve": terms.t1,
        "schedule": side * (at_market - follower * (size - left) / size),
        "remainder": side * (left * (free_mark or Fraction(0)) - follower * left / size),
    }
    for k, name in enumerate(FILL_LINES):
        exact[name] = sum((fill.lines[k] for fill in fills), Fraction(0))
    if sum(exact.values()) != terms.total:
        raise ArithmeticError(f"the lines add up to {sum(exact.values())}, but T1 + T2 + T3 is {terms.total}")
    return {name: value * instrument.money for name, value in exact.items()}


def _split(
    terms: Terms, lines: dict[str, Fraction], fills: list[Fill], instrument: Instrument, charged_to: str
) -> Split:
    """In whole money; what impact charged beside prices is in the line of that name, not a fee of the venue."""
    charge, fees = sum(fill.charge for fill in fills), sum(fill.fee for fill in fills)
    total = round(terms.total * instrument.money)  # half-even
    t1, t2, t3 = share_out(total, [term * instrument.money for term in terms])
    names = [name for name in LINES if name not in ("volume_curve", "fees")]
    whole = dict(zip(names, share_out(t2 + t3, [lines[name] for name in names]), strict=True))
    whole[charged_to] += charge
    split = Split(
        t1=t1,
        t2=t2,
        t3=t3,
        fees=fees + charge,
        total=total + fees + charge,
        lines={"volume_curve": t1, **whole, "fees": fees},
    )
    if not split.t1 + split.t2 + split.t3 + split.fees == split.total == sum(split.lines.values()):
        raise ArithmeticError(f"a split does not add up: {split}")
    return split


def quoted(instrument: Instrument, price: Fraction) -> float:
    """As people write it."""
    return float(price * Fraction(instrument.price_unit))
