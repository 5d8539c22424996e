"""The microstructure of a tape as tables for a terminal, and as one offline page with plots.

The page needs the extra ``report``; the tables do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.reports.formats import moment
from engine.reports.microstructure_result import Chart, Curve, Microstructure, Number
from engine.reports.template import write_page
from engine.tape import Manifest

COLORS = "#1d4ed8", "#c2410c", "#1a7f5a", "#9aa3af"
HEIGHT = 330


def tables(found: Sequence[Microstructure]) -> RenderableType:
    """The numbers of each instrument, section by section, with what is missing and why."""
    parts: list[RenderableType] = []
    for one in found:
        table = Table(title=f"{one.symbol}: {_facts(one)}", title_justify="left", title_style="bold", box=None)
        table.add_column("statistic", overflow="fold")
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("± 1 s.e.", no_wrap=True)
        table.add_column("unit", no_wrap=True)
        for section in one.sections.values():
            table.add_row(Text(section.title, style="bold"))
            for number in section.numbers:
                table.add_row(*(Text(text) for text in (f"  {number.name}", *_cells(number))))
            if section.missing:
                table.add_row(Text(f"  {section.missing}", style="dim italic"))
        parts += [table, Text()]
    return Group(*parts)


def write_stats_page(file: Path, found: Sequence[Microstructure], manifest: Manifest, rows: int) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    instruments = [
        {
            "symbol": one.symbol,
            "facts": _facts(one),
            "sections": [
                {
                    "title": section.title,
                    "missing": section.missing,
                    "rows": [(number.name, *_cells(number)) for number in section.numbers],
                    "charts": [
                        (f"c{n}-{name}-{k}", msgspec.json.encode(_figure(chart)).decode().replace("</", "<\\/"))
                        for k, chart in enumerate(section.charts)
                    ],
                }
                for name, section in one.sections.items()
            ],
        }
        for n, one in enumerate(found)
    ]
    return write_page(
        file,
        "stats_page.html",
        title=f"Microstructure of {manifest.name or 'a tape'}",
        facts=f"{rows:,} rows, {moment(manifest.ts_first)} to {moment(manifest.ts_last)} UTC. {manifest.source}",
        synthetic=manifest.synthetic,
        instruments=instruments,
    )


def _facts(one: Microstructure) -> str:
    book = {"NONE": "no book"}.get(one.book, one.book) + (f", {one.levels} levels" if one.levels > 1 else "")
    hours = f"{one.seconds / 3600:.3g} h in {one.sessions} session{'s' * (one.sessions > 1)}"
    signed = f", {one.signed_here:,} rows of trades signed by Lee and Ready" if one.signed_here else ""
    left = f", {one.unsigned:,} without a side" if one.unsigned else ""
    return f"{book}, tick {one.tick:g}, {one.rows:,} rows, {hours}, {one.transactions:,} transactions{signed}{left}"


def _cells(number: Number) -> tuple[str, str, str]:
    """Value, error, unit; the value to as many places as its error has with two figures."""
    value, error = number.value, number.error
    if not math.isfinite(value):
        return "-", "", number.unit
    if not (math.isfinite(error) and error > 0):
        return (f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"), "", number.unit
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{places}f}", f"± {error:,.{places}f}", number.unit


def _figure(chart: Chart) -> dict[str, Any]:
    layout = {
        "title": {"text": chart.title, "font": {"size": 14}, "x": 0.02, "xanchor": "left", "y": 0.97},
        "xaxis": {"title": {"text": chart.x}, "type": "log" if chart.log_x else "linear", "zeroline": False},
        "yaxis": {"title": {"text": chart.y}, "type": "log" if chart.log_y else "linear", "rangemode": "tozero"},
        "height": HEIGHT,
        "margin": {"l": 75, "r": 20, "t": 60, "b": 65},
        "legend": {"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom"},
        "showlegend": len(chart.curves) > 1,
        "hovermode": "x",
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12},
    }
    if chart.log_x:
        layout["xaxis"]["dtick"] = 1
    return {
        "data": [_trace(one, color, chart) for one, color in zip(chart.curves, COLORS, strict=False)],
        "layout": layout,
    }


def _trace(one: Curve, color: str, chart: Chart) -> dict[str, Any]:
    error = {
        "type": "data",
        "array": one.error,
        "thickness": 1,
        "width": 2,
        "color": "#4b5563" if chart.bars else color,
    }
    trace: dict[str, Any] = {"x": one.x, "y": one.y, "name": one.name, "error_y": error}
    if chart.bars:
        return {**trace, "type": "bar", "marker": {"color": color}}
    line, marker = {"color": color, "width": 1.3}, {"color": color, "size": 4}
    return {**trace, "type": "scatter", "mode": "lines+markers", "line": line, "marker": marker}
