"""An execution cost analysis as one offline page; needs the extra ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from engine.reports.execution_figures import bars, figure
from engine.reports.execution_result import LINES, MEANING, BasketCosts, ChildCost, Costs, ParentCosts, Picture, Split
from engine.reports.execution_rows import ROW_LINES
from engine.reports.formats import moment, money
from engine.reports.template import write_page

CHILDREN = 500  # of a parent that are listed; all of them are in the JSON


class Grid(msgspec.Struct, frozen=True):
    """A table as text."""

    head: list[str]
    rows: list[list[str]]


class Chart(msgspec.Struct, frozen=True):
    """A figure as JSON that may stand inside a script."""

    id: str
    json: str
    note: str = ""


def write_costs_page(file: Path, costs: Costs) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    pictures = [(f"picture-{n}", picture) for n, picture in enumerate(costs.pictures)]
    sections = [_basket(n, one, costs, pictures) for n, one in enumerate(costs.baskets)]
    sections += [_parent(n, one, pictures) for n, one in enumerate(costs.parents)]
    return write_page(
        file,
        "execution_page.html",
        title=f"What {costs.run} cost",
        synthetic=costs.synthetic,
        facts=[f"Impact: {costs.impact}. Fingerprint {costs.fingerprint}. docs/costs.md defines every number."]
        + [f"P/L {_profit(one)}" for one in costs.profit]
        + costs.notes,
        sections=sections,
    )


def _profit(one: Any) -> str:
    without = "" if one.without_impact is None else f"; without own impact {money(one.without_impact)}"
    return f"{one.account}: {money(one.pnl)} {one.currency}{without}"


def _basket(n: int, one: BasketCosts, costs: Costs, pictures: list[tuple[str, Picture]]) -> dict[str, Any]:
    facts = [f"{one.parents} parent{'s' * (one.parents > 1)}, {money(one.notional)} {one.currency} at the benchmark"]
    if found := one.interval:
        facts.append(
            f"{found.level:.0%} interval of the total over parents: {found.low_bp:+.2f} to {found.high_bp:+.2f} bp"
        )
    facts += [one.no_interval] * bool(one.no_interval)
    title = f"Basket in {one.currency}"
    mine = [pair for pair in pictures if pair[1].parent is None and pair[1].currency == one.currency]
    return {
        "title": title,
        "facts": facts,
        "notes": [],
        "tables": [_split_table(one.split, one.without_impact, one.notional, one.currency), _by_parent(one, costs)],
        "charts": [*map(_chart, mine)],
        "details": [],
    }


def _parent(n: int, one: ParentCosts, pictures: list[tuple[str, Picture]]) -> dict[str, Any]:
    facts = [
        f"{one.account} {'buys' if one.side > 0 else 'sells'} {one.size:,} {one.symbol}, {one.done:,} done, "
        f"{moment(one.start)} to {moment(one.end)} UTC; benchmark {one.benchmark:,.6g}, the recorded market's VWAP"
    ]
    mine = [pair for pair in pictures if pair[1].parent == n]
    return {
        "title": one.name,
        "facts": facts,
        "notes": one.notes,
        "tables": [
            _split_table(one.split, one.without_impact, one.notional, one.currency),
            _facts(one),
        ],
        "charts": [
            Chart(f"bars-{n}", _json(bars(one, "Where the cost came from"))),
            *map(_chart, mine),
        ],
        "details": [
            (f"{len(one.bins)} bins of the schedule", _bins(one)),
            (f"{len(one.children)} child orders with fills", _children(one)),
            ("Mark-outs", _markouts(one)),
            ("Fill rates by level", _levels(one)),
        ],
    }


def _split_table(split: Split, without: Split | None, notional: int, currency: str) -> Grid:
    names = {
        "T1 market against benchmark": "t1",
        "T2 price paid against the bin's market": "t2",
        "T3 traded in other bins than planned": "t3",
        "fees, and impact charged": "fees",
        "TOTAL": "total",
    }

    def cells(amount: int, other: int | None) -> list[str]:
        found = [money(amount), f"{round(amount / notional * 1e4, 2) + 0.0:+.2f}"]
        return found if other is None else [*found, money(other), f"{round(other / notional * 1e4, 2) + 0.0:+.2f}"]

    rows = [
        [label, *cells(getattr(split, key), getattr(without, key) if without else None)] for label, key in names.items()
    ]
    rows += [[MEANING[name], *cells(split.lines[name], without.lines[name] if without else None)] for name in LINES]
    rows.append(
        [
            "TOTAL of the lines",
            *cells(sum(split.lines.values()), sum(without.lines.values()) if without else None),
        ]
    )
    return Grid(["", currency, "bp"] + (["no impact", "bp"] if without else []), rows)


def _by_parent(basket: BasketCosts, costs: Costs) -> Grid:
    rows = [
        [one.name, f"{one.total_bp:+.2f}", _bp(one.without_impact_bp), _bp(one.arrival.shortfall_bp)]
        for one in costs.parents
        if one.currency == basket.currency
    ]
    return Grid(["parent", "VWAP cost, bp", "no impact", "arrival, bp"], rows)


def _facts(one: ParentCosts) -> Grid:
    told = one.forecast
    rows = [
        ["arrival shortfall, bp", _bp(one.arrival.shortfall_bp)],
        ["against the VWAP as we moved it, bp, before fees", _bp(one.replayed_vwap_bp)],
        ["own impact: forecast, realised, bp", f"{_bp(told.impact_bp)}, {_bp(told.realised_impact_bp)}"],
        ["spread: forecast, realised, bp", f"{_bp(told.spread_bp)}, {_bp(told.realised_spread_bp)}"],
        ["size, of an average day", _percent(told.size_of_day)],
        ["rate at which it was to be traded", _percent(told.rate)],
        ["daily volatility", _percent(told.volatility)],
        ["spread at arrival, bp", _bp(told.quoted_spread_bp)],
        ["participation", _percent(one.participation)],
        ["off schedule: average, worst", f"{one.mean_deviation:+.2%}, {one.worst_deviation:.2%}"],
    ]
    return Grid(["", ""], rows)


def _bins(one: ParentCosts) -> Grid:
    rows = [
        [
            moment(part.start)[11:],
            f"{part.planned:,}",
            f"{part.traded:,}",
            f"{part.market_volume:,}",
            _price(part.price),
            _price(part.market_price),
            *(money(value) for value in (part.row.t1, part.row.t2, part.row.t3)),
            *_row_lines(part.row.lines),
        ]
        for part in one.bins
    ]
    head = ["from", "planned", "traded", "market volume", "price", "market", "T1", "T2", "T3"]
    return Grid(head + _row_heads(), rows)


def _children(one: ParentCosts) -> Grid:
    rows = [
        [
            _called(child),
            moment(child.sent)[11:23] if child.sent else "",
            f"{child.filled:,}",
            f"{child.maker:,}",
            "yes" if child.dark else "",
            _price(child.price),
            *(money(value) for value in (child.row.t1, child.row.t2, child.row.t3)),
            *_row_lines(child.row.lines),
        ]
        for child in one.children[:CHILDREN]
    ]
    return Grid(["order", "sent", "filled", "as maker", "dark", "price", "T1", "T2", "T3", *_row_heads()], rows)


def _called(child: ChildCost) -> str:
    return {0: "residual", -1: "bins without a fill"}.get(child.number, str(child.number))


def _row_heads() -> list[str]:
    return [name.replace("_", " ") for name in (*ROW_LINES, "fees")]


def _row_lines(lines: dict[str, int]) -> list[str]:
    return [money(lines[name]) for name in (*ROW_LINES, "fees")]


def _markouts(one: ParentCosts) -> Grid:
    rows = [
        [f"{part.horizon_s} s", f"{part.size:,}", _bp(part.all_bp), _bp(part.maker_bp), _bp(part.taker_bp)]
        for part in one.markouts
    ]
    return Grid(["after", "size", "all, bp", "as maker", "as taker"], rows)


def _levels(one: ParentCosts) -> Grid:
    rows = [
        [part.level, f"{part.orders:,}", f"{part.size:,}", f"{part.filled:,}", f"{part.rate:.1%}"]
        for part in one.fill_rates
    ]
    return Grid(["placed", "orders", "size", "filled", "rate"], rows)


def _chart(pair: tuple[str, Picture]) -> Chart:
    return Chart(pair[0], _json(figure(pair[1])), pair[1].note)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode().replace("</", "<\\/")


def _bp(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _price(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4f}"
