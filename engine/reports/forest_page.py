"""Forecasts of direction as one offline page: tables and pictures of numbers that are handed in.

Needs the extra ``report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.reports.curve_page import COLORS, Grid, Plot, figure
from engine.reports.template import write_page

LARGEST_DOT = 11  # pixels, of the most probable


class Dots(NamedTuple):
    """Points of one kind; the larger and darker, the more probable."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    size: Sequence[float]  # probabilities
    color: str


class Cloud(NamedTuple):
    """A scatter of several kinds of points."""

    title: str
    x: str
    y: str
    dots: Sequence[Dots]


class Heat(NamedTuple):
    """Colours over two axes, symmetric about 0."""

    title: str
    x: str
    y: str
    across: Sequence[float]
    up: Sequence[float]
    value: Sequence[Sequence[float]]  # [up][across]


class Bars(NamedTuple):
    """A bar a name."""

    title: str
    x: str
    names: Sequence[str]
    length: Sequence[float]
    error: Sequence[float] = ()


class LogPlot(NamedTuple):
    """Lines over a logarithmic axis."""

    plot: Plot


class Overlay(NamedTuple):
    """Histograms on the same bins, over one another."""

    title: str
    x: str
    edges: Sequence[float]
    parts: Sequence[tuple[str, str, Sequence[int]]]  # name, colour, counts


Picture = Plot | LogPlot | Cloud | Heat | Bars | Overlay


class Section(NamedTuple):
    """A heading with what belongs below it."""

    title: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    grids: Sequence[Grid] = ()


def write_forest_page(file: Path, title: str, facts: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    shown = [
        {
            "title": one.title,
            "notes": one.notes,
            "grids": one.grids,
            "charts": [(f"s{s}-{k}", _chart(picture)) for k, picture in enumerate(one.pictures)],
        }
        for s, one in enumerate(sections)
    ]
    return write_page(file, "forest_page.html", title=title, facts=facts, sections=shown)


def _chart(picture: Picture) -> str:
    match picture:
        case Plot():
            drawn = figure(picture)
        case LogPlot():
            drawn = figure(picture.plot)
            drawn["layout"]["xaxis"]["type"] = "log"
        case Cloud():
            drawn = {"data": [_dots(one) for one in picture.dots], "layout": _layout(picture)}
        case Heat():
            drawn = {"data": [_heat(picture)], "layout": _layout(picture)}
        case Bars():
            drawn = _bars(picture)
        case Overlay():
            drawn = _overlay(picture)
    return msgspec.json.encode(drawn).decode().replace("</", "<\\/")


def _layout(picture: Cloud | Heat) -> dict[str, Any]:
    return figure(Plot(picture.title, picture.x, picture.y, ()))["layout"]


def _dots(one: Dots) -> dict[str, Any]:
    marker = {
        "color": one.color,
        "size": [2 + (LARGEST_DOT - 2) * p for p in one.size],
        "opacity": [0.15 + 0.6 * p for p in one.size],
    }
    return {
        "type": "scatter", "mode": "markers", "name": one.name, "x": list(one.x), "y": list(one.y), "marker": marker,
    }  # fmt: skip


def _heat(picture: Heat) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "x": list(picture.across),
        "y": list(picture.up),
        "z": [list(row) for row in picture.value],
        "zmid": 0,
        "colorscale": "RdBu",
        "reversescale": True,
    }


def _bars(picture: Bars) -> dict[str, Any]:
    layout = figure(Plot(picture.title, picture.x, "", ()))["layout"]
    layout |= {"margin": {**layout["margin"], "l": 170}, "height": 120 + 16 * len(picture.names)}
    layout["yaxis"] = {"autorange": "reversed"}
    bar = {"type": "bar", "orientation": "h", "x": list(picture.length), "y": list(picture.names)}
    if picture.error:
        bar["error_x"] = {"type": "data", "array": list(picture.error), "thickness": 1, "width": 2, "color": "#4b5563"}
    return {"data": [{**bar, "marker": {"color": COLORS[0]}}], "layout": layout}


def _overlay(picture: Overlay) -> dict[str, Any]:
    middle = [(low + high) / 2 for low, high in pairwise(picture.edges)]
    width = picture.edges[1] - picture.edges[0]
    bars = [
        {"type": "bar", "name": name, "x": middle, "y": list(counts), "width": width, "marker": {"color": color}}
        for name, color, counts in picture.parts
    ]
    layout = figure(Plot(picture.title, picture.x, "samples", ()))["layout"]
    return {"data": [{**bar, "opacity": 0.6} for bar in bars], "layout": layout | {"barmode": "overlay"}}
