"""An execution cost analysis as lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from engine.reports.execution_result import LINES, MEANING, BasketCosts, Costs, ParentCosts, Split
from engine.reports.formats import moment, money

WIDTH = 46


def text(costs: Costs) -> list[str]:
    """Baskets first, then each parent, then what it came to in profit."""
    lines = [f"run         {costs.run}", f"impact      {costs.impact}"]
    if costs.synthetic:
        lines.append("            the market is synthetic: what works on it is no evidence of what works on a real one")
    lines += [f"note        {note}" for note in costs.notes]
    for basket in costs.baskets:
        lines += ["", *_basket(basket)]
    for parent in costs.parents:
        lines += ["", *_parent(parent)]
    lines.append("")
    for one in costs.profit:
        without = "" if one.without_impact is None else f"; without own impact {money(one.without_impact)}"
        lines.append(f"P/L         {one.account}: {money(one.pnl)} {one.currency}{without}")
    return lines


def _basket(basket: BasketCosts) -> list[str]:
    count = f"{basket.parents} parent{'s' * (basket.parents > 1)}"
    lines = [f"BASKET      {count}, {money(basket.notional)} {basket.currency} at the benchmark"]
    if basket.parents > 1:
        lines += _table(basket.split, basket.without_impact, basket.notional, basket.currency)
    found = basket.interval
    if found:
        lines.append(
            f"  {found.level:.0%} interval {found.low_bp:+.2f} to {found.high_bp:+.2f} bp "
            f"(bootstrap over parents, {found.resamples:,} resamples)"
        )
    return lines + (
        [f"  no interval: {basket.no_interval}" if not found else f"  {basket.no_interval}"]
        if basket.no_interval
        else []
    )


def _parent(parent: ParentCosts) -> list[str]:
    side = "buy" if parent.side > 0 else "sell"
    lines = [
        f"PARENT      {parent.name}: {side} {parent.size:,} {parent.symbol}, {parent.done:,} done, "
        f"{moment(parent.start)} to {moment(parent.end)} UTC",
        f"  benchmark {parent.benchmark:,.6g}, the recorded market's VWAP",
        *_table(parent.split, parent.without_impact, parent.notional, parent.currency),
    ]
    lines += [f"  note      {note}" for note in parent.notes]
    arrival = parent.arrival
    if arrival.shortfall is not None and arrival.shortfall_bp is not None and arrival.price is not None:
        lines.append(
            f"  arrival   {arrival.price:,.6g}: shortfall {money(arrival.shortfall)} {parent.currency}, "
            f"{arrival.shortfall_bp:+.2f} bp, fees and remainder included"
        )
    if parent.replayed_vwap_bp is not None:
        lines.append(
            f"  desk view {parent.replayed_vwap_bp:+.2f} bp against the VWAP of the market as we moved it, before fees"
        )
    told = parent.forecast
    if told.impact_bp is not None and told.size_of_day is not None:
        known = f"{told.size_of_day:.2%} of a day at a rate of {told.rate:.2%}, volatility {told.volatility:.2%}"
        lines.append(
            f"  forecast  impact {told.impact_bp:.2f} bp, realised {_or_none(told.realised_impact_bp)}; "
            f"spread {_or_none(told.spread_bp)}, realised {_or_none(told.realised_spread_bp)} "
            f"({known}, quoted spread {_or_none(told.quoted_spread_bp)} bp)"
        )
    share = "" if parent.participation is None else f"participation {parent.participation:.2%}; "
    lines.append(
        f"  schedule  {share}off it by {parent.mean_deviation:+.2%} on average, {parent.worst_deviation:.2%} at worst"
    )
    lines.append(f"  mark-outs {_markouts(parent)}")
    lines += _levels(parent)
    return lines


def _or_none(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(split: Split, without: Split | None, notional: int, currency: str) -> list[str]:
    """Eq. 3 and its lines, the two worlds side by side where there are two."""
    head = f"  {'':<{WIDTH}}{currency:>14}{'bp':>9}"
    lines = [head + ("" if without is None else f"{'no impact':>14}{'bp':>9}")]

    def row(name: str, amount: int, other: int | None) -> str:
        cells = f"{money(amount):>14}{round(amount / notional * 1e4, 2) + 0.0:>+9.2f}"
        if other is not None:
            cells += f"{money(other):>14}{round(other / notional * 1e4, 2) + 0.0:>+9.2f}"
        return f"  {name:<{WIDTH}}{cells}"

    names = {
        "t1": "T1 market against benchmark",
        "t2": "T2 price paid against the bin's market",
        "t3": "T3 traded in other bins than planned",
        "fees": "fees, and impact charged",
        "total": "TOTAL = T1 + T2 + T3 + fees",
    }
    lines += [
        row(label, getattr(split, key), getattr(without, key) if without else None) for key, label in names.items()
    ]
    lines.append(f"  {'made of':<{WIDTH}}")
    lines += [row(f"  {MEANING[name]}", split.lines[name], without.lines[name] if without else None) for name in LINES]
    left = split.total - sum(split.lines.values())
    other = None if without is None else without.total - sum(without.lines.values())
    lines.append(row("  not explained", left, other))
    return lines


def _markouts(parent: ParentCosts) -> str:
    def each(values: Iterable[tuple[str, float | None]]) -> str:
        return ", ".join(f"{name} {value:+.2f}" for name, value in values if value is not None)

    told = [
        f"{one.horizon_s} s: {each((('all', one.all_bp), ('maker', one.maker_bp), ('taker', one.taker_bp)))}"
        for one in parent.markouts
        if one.size
    ]
    return "bp after " + "; ".join(told) if told else "none: no fill, or the session ends before"


def _levels(parent: ParentCosts) -> list[str]:
    return [
        f"  {'filled' if n == 0 else '':<10}{one.rate:>7.1%} of {one.size:>9,} in {one.orders:>6,} orders, {one.level}"
        for n, one in enumerate(parent.fill_rates)
    ]
