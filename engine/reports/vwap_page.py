"""Learned placement as one offline page: tables and pictures of numbers that are handed in.

Needs the extra ``report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from engine.reports.curve_page import Grid, Plot, figure
from engine.reports.template import write_page

GREY = "#9aa3af"
HEIGHT = 270


class Curve(NamedTuple):
    """A line, and a band of one standard error around it where ``error`` is told."""

    name: str
    x: ArrayLike
    y: ArrayLike
    error: ArrayLike = ()
    color: str = GREY
    is_dashed: bool = False
    is_stepped: bool = False


class Curves(NamedTuple):
    """Curves over an axis, logarithmic where ``is_log``."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    is_log: bool = False


class Stack(NamedTuple):
    """Parts that lie on one another, filled."""

    title: str
    x: str
    y: str
    across: ArrayLike
    parts: Sequence[tuple[str, str, ArrayLike]]  # name, colour, height


class Surface(NamedTuple):
    """Colours over two axes, red above 0 and blue below, to ±``reach``; NaN stays grey."""

    title: str
    x: str
    y: str
    across: ArrayLike
    up: ArrayLike
    value: ArrayLike  # [up, across]
    reach: float


class Columns(NamedTuple):
    """Bars side by side, by name, with errors."""

    title: str
    y: str
    names: Sequence[str]
    parts: Sequence[tuple[str, str, ArrayLike, ArrayLike]]  # name, colour, height, error


Picture = Curves | Stack | Surface | Columns


class Claim(NamedTuple):
    """A sentence of the slides and what was measured of it."""

    claim: str
    verdict: str  # "holds", "does not hold", "holds in 2 of 3"
    measured: Sequence[str]


class Section(NamedTuple):
    """A heading with what belongs below it."""

    title: str
    notes: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()
    claims: Sequence[Claim] = ()


def write_vwap_page(file: Path, title: str, facts: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    shown = [
        {
            **one._asdict(),
            "charts": [
                (f"s{s}-{k}", picture.title, _chart(picture), _key(picture)) for k, picture in enumerate(one.pictures)
            ],
        }
        for s, one in enumerate(sections)
    ]
    return write_page(file, "vwap_page.html", title=title, facts=facts, sections=shown)


def _chart(picture: Picture) -> str:
    match picture:
        case Curves():
            drawn = _curves(picture)
        case Stack():
            drawn = _stack(picture)
        case Surface():
            drawn = _surface(picture)
        case Columns():
            drawn = _columns(picture)
    return msgspec.json.encode(drawn).decode().replace("</", "<\\/")


def _key(picture: Picture) -> list[tuple[str, str, bool]]:
    """Name, colour and whether it is dashed: written below the picture, where it wraps as the page does."""
    match picture:
        case Curves():
            return [(one.name, one.color, one.is_dashed) for one in picture.curves]
        case Stack() | Columns():
            return [(part[0], part[1], False) for part in picture.parts]
        case Surface():
            return []


def _layout(x: str, y: str) -> dict[str, Any]:
    layout = figure(Plot("", x, y, ()))["layout"]
    return layout | {"height": HEIGHT, "margin": {"l": 60, "r": 12, "t": 8, "b": 46}, "showlegend": False}


def _curves(picture: Curves) -> dict[str, Any]:
    layout = _layout(picture.x, picture.y)
    if picture.is_log:
        layout["xaxis"]["type"] = "log"
    return {"data": [part for one in picture.curves for part in _curve(one)], "layout": layout}


def _curve(one: Curve) -> list[dict[str, Any]]:
    x, y, error = (np.asarray(values, np.float64) for values in (one.x, one.y, one.error))
    line = {"color": one.color, "width": 2, "dash": "dash" if one.is_dashed else "solid"}
    if one.is_stepped:
        line["shape"] = "hv"
    shown = {"type": "scatter", "mode": "lines", "name": one.name, "x": x.tolist(), "y": y.tolist(), "line": line}
    if not error.size or not np.isfinite(error).any():
        return [shown]
    edge = {"x": [*x.tolist(), *x[::-1].tolist()], "y": [*(y + error).tolist(), *(y - error)[::-1].tolist()]}
    band = {"type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": one.color, "opacity": 0.18}
    return [{**band, **edge, "line": {"width": 0}, "hoverinfo": "skip"}, shown]


def _stack(picture: Stack) -> dict[str, Any]:
    x = np.asarray(picture.across, np.float64).tolist()
    data = [
        {
            "type": "scatter", "mode": "lines", "stackgroup": "one", "name": name, "x": x,
            "y": np.asarray(height, np.float64).tolist(), "line": {"width": 0.5, "color": color}, "fillcolor": color,
        }
        for name, color, height in picture.parts
    ]  # fmt: skip
    return {"data": data, "layout": _layout(picture.x, picture.y)}


def _surface(picture: Surface) -> dict[str, Any]:
    heat = {
        "type": "heatmap",
        "x": np.asarray(picture.across, np.float64).tolist(),
        "y": np.asarray(picture.up, np.float64).tolist(),
        "z": np.asarray(picture.value, np.float64).tolist(),  # NaN becomes null: not drawn
        "zmin": -picture.reach,
        "zmax": picture.reach,
        "colorscale": [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]],
        "hoverongaps": False,
        "colorbar": {"thickness": 10, "len": 0.9, "tickfont": {"size": 10}},
    }
    layout: dict[str, Any] = {**_layout(picture.x, picture.y), "plot_bgcolor": "#d1d5db"}
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"showgrid": False, "zeroline": False}
    return {"data": [heat], "layout": layout}


def _columns(picture: Columns) -> dict[str, Any]:
    data = []
    for name, color, height, error in picture.parts:
        bar = {"type": "bar", "name": name, "x": list(picture.names), "y": np.asarray(height, np.float64).tolist()}
        errors = np.nan_to_num(np.asarray(error, np.float64)).tolist()
        bars = {"type": "data", "array": errors, "thickness": 1, "width": 3, "color": "#374151"}
        data.append({**bar, "marker": {"color": color}, "error_y": bars})
    return {"data": data, "layout": _layout("", picture.y) | {"barmode": "group"}}
