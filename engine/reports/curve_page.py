"""The par curve as one offline page: charts and tables of numbers that are handed in, nothing computed here.

Needs the extra ``report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from engine.reports.template import write_page

COLORS = "#1d4ed8", "#c2410c", "#1a7f5a", "#9aa3af", "#7c3aed", "#0891b2", "#be185d", "#4b5563"
HEIGHT = 360


class Trace(NamedTuple):
    """One line, or points where ``is_points``; ``y`` may have NaN for gaps."""

    name: str
    x: ArrayLike
    y: ArrayLike
    is_points: bool = False
    labels: Sequence[str] = ()


class Plot(NamedTuple):
    """A picture: what is on it and what its axes are."""

    title: str
    x: str
    y: str
    traces: Sequence[Trace]


class Grid(NamedTuple):
    """A table: rows of text, numbers to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_curve_page(
    file: Path, title: str, facts: Sequence[str], plots: Sequence[Plot], grids: Sequence[Grid]
) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    charts = [
        (f"c{k}", msgspec.json.encode(figure(plot)).decode().replace("</", "<\\/")) for k, plot in enumerate(plots)
    ]
    return write_page(file, "curve_page.html", title=title, facts=facts, charts=charts, grids=grids)


def figure(plot: Plot) -> dict[str, Any]:
    """A picture as plotly takes it."""
    layout = {
        "title": {"text": plot.title, "font": {"size": 14}, "x": 0.02, "xanchor": "left", "y": 0.97},
        "xaxis": {"title": {"text": plot.x}, "zeroline": False},
        "yaxis": {"title": {"text": plot.y}},
        "height": HEIGHT,
        "margin": {"l": 75, "r": 20, "t": 60, "b": 65},
        "legend": {"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom"},
        "hovermode": "closest",
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12},
    }
    return {"data": [_trace(one, color) for one, color in zip(plot.traces, COLORS, strict=False)], "layout": layout}


def _trace(one: Trace, color: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "x": np.asarray(one.x).tolist(),
        "y": np.asarray(one.y).tolist(),  # NaN becomes null: a gap
        "name": one.name,
        "type": "scatter",
    }
    if not one.is_points:
        return {**shown, "mode": "lines", "line": {"color": color, "width": 1.5}}
    return {**shown, "mode": "markers", "marker": {"color": color, "size": 5}, "text": list(one.labels)}
