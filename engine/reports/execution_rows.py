"""A parent's cost by bin and by child order: whole money that adds up to the parent's in each term and line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from engine.reports.execution_identity import Terms, add, share_out
from engine.reports.execution_parent import RESIDUAL, Worked, quoted
from engine.reports.execution_result import FILL_LINES, BinCost, ChildCost, Row
from engine.reports.execution_split import Fill

NO_FILL = -1  # instead of an order number
ROW_LINES = ("market", *FILL_LINES)


def costs_of_bins(worked: Worked) -> list[BinCost]:
    """Every piece of the schedule."""
    bench, fills = worked.bench, worked.fills
    rows = _rows(worked, [fill.bin for fill in fills], range(len(bench.bins)), empty_goes_to=None)
    value: defaultdict[int, Fraction] = defaultdict(Fraction)
    traded: defaultdict[int, int] = defaultdict(int)
    for fill in fills:
        value[fill.bin] += fill.price * fill.size
        traded[fill.bin] += fill.size
    edges, unit = bench.schedule.edges, worked.instrument
    return [
        BinCost(
            start=edges[j],
            end=edges[j + 1],
            planned=one.planned,
            traded=traded[j],
            market_volume=bench.volume[j],
            price=quoted(unit, value[j] / traded[j]) if traded[j] else None,
            market_price=quoted(unit, one.market),
            row=rows[j],
        )
        for j, one in enumerate(bench.bins)
    ]


def costs_of_children(worked: Worked) -> list[ChildCost]:
    """Those with fills, in order of their numbers, then what stands for the rest."""
    by_child: defaultdict[int, list[Fill]] = defaultdict(list)
    for fill in worked.fills:
        by_child[fill.child].append(fill)
    numbers = sorted(by_child, key=lambda number: (number == RESIDUAL, number))
    if any(worked.eq3.by_empty_bin):
        numbers.append(NO_FILL)
    rows = _rows(worked, [fill.child for fill in worked.fills], numbers, empty_goes_to=NO_FILL)
    found = []
    for number, row in zip(numbers, rows, strict=True):
        fills, child = by_child.get(number, []), worked.children.get(number)
        filled = sum(fill.size for fill in fills)
        value = sum((fill.price * fill.size for fill in fills), Fraction(0))
        found.append(
            ChildCost(
                number=number,
                sent=child.sent if child else 0,
                size=child.size if child else filled,
                filled=filled,
                maker=sum(fill.size for fill in fills if fill.maker),
                dark=child.dark if child else False,
                price=quoted(worked.instrument, value / filled) if filled else None,
                row=row,
            )
        )
    return found


def _rows(worked: Worked, keys: Sequence[int], groups: Sequence[int], *, empty_goes_to: int | None) -> list[Row]:
    """Terms and lines of each group of fills, in whole money that adds up to the parent's.

    ``keys`` is the group of each fill; a bin without fills is a group of its own, or goes to ``empty_goes_to``.
    """
    bench, split, money = worked.bench, worked.split, worked.instrument.money
    at = {group: k for k, group in enumerate(groups)}
    terms: list[list[Terms]] = [[] for _ in groups]
    lines = [dict.fromkeys(ROW_LINES, Fraction(0)) for _ in groups]
    fees, charges = [0] * len(groups), [0] * len(groups)
    for key, fill, part in zip(keys, worked.fills, worked.eq3.by_trade, strict=True):
        k = at[key]
        terms[k].append(part)
        for name, value in zip(FILL_LINES, fill.lines, strict=True):
            lines[k][name] += value * money
        paid = worked.parent.side * fill.size * (fill.price - bench.price)
        lines[k]["market"] += (paid - sum(fill.lines)) * money
        fees[k] += fill.fee
        charges[k] += fill.charge
    for j, part in enumerate(worked.eq3.by_empty_bin):
        if part is not None:
            terms[at[j if empty_goes_to is None else empty_goes_to]].append(part)
    sums = [add(parts) for parts in terms]
    whole_terms = [share_out(getattr(split, f"t{n + 1}"), [one[n] * money for one in sums]) for n in range(3)]
    totals = split.lines | {"market": sum(split.lines[name] for name in ("volume_curve", "schedule", "remainder"))}
    totals[worked.charged_to] -= sum(charges)
    whole = {name: share_out(totals[name], [one[name] for one in lines]) for name in ROW_LINES}
    whole[worked.charged_to] = [a + b for a, b in zip(whole[worked.charged_to], charges, strict=True)]
    whole["fees"] = fees
    return [
        Row(
            t1=whole_terms[0][k],
            t2=whole_terms[1][k],
            t3=whole_terms[2][k],
            lines={name: values[k] for name, values in whole.items()},
        )
        for k in range(len(groups))
    ]
