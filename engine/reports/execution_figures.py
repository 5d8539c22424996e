"""The pictures as plotly figures: dictionaries of data and layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.reports.execution_result import MEANING, BasketCosts, ParentCosts, Picture, Split

BUY, SELL, BUY_DARK, SELL_DARK = "#3b82f6", "#ef4444", "#1e3a8a", "#7f1d1d"
LINE, MARKET, DARK, SHADE = "#1d4ed8", "#9aa3af", "#6d28d9", "rgba(34,197,94,.18)"
Column = list[float | None]


def figure(picture: Picture) -> dict[str, Any]:
    """Of one picture, by its kind."""
    tables = {table.name: table.columns for table in picture.tables}
    draw = {"impact accrual": _accrual, "basket profile": _basket, "path": _path}[picture.kind]
    return draw(tables, picture.title)


def bars(costs: ParentCosts | BasketCosts, title: str) -> dict[str, Any]:
    """The lines of a split in bp, both worlds."""
    names = [name for name in costs.split.lines if costs.split.lines[name] or _line(costs.without_impact, name)]
    traces = []
    for split, name, color in (
        (costs.split, "as run", LINE),
        (costs.without_impact, "without own impact", MARKET),
    ):
        if split is not None:
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "y": [MEANING[line] for line in names],
                    "x": [split.lines[line] / costs.notional * 1e4 for line in names],
                    "name": name,
                    "marker": {"color": color},
                }
            )
    layout = _layout(title, height=130 + 34 * len(names))
    layout |= {"xaxis": {"title": {"text": "bp of the parent; positive is lost"}, "zeroline": True}, "hovermode": "y"}
    layout["yaxis"] = {"autorange": "reversed", "automargin": True}
    return {"data": traces, "layout": layout}


def _line(split: Split | None, name: str) -> int:
    return split.lines[name] if split else 0


def _accrual(tables: Mapping[str, Mapping[str, Column]], title: str) -> dict[str, Any]:
    impact = tables["impact"]
    traces = [
        _trace(impact["volume"], impact["displaced_bp"], "market displaced, in ticks", MARKET, shape="hv"),
        _trace(impact["volume"], impact["impact_bp"], "own impact, as the model counts it", LINE),
    ]
    if not any(impact["displaced_bp"]):  # charged, or not told apart
        traces = traces[1:]
    reach = max([value for value in impact["volume"] if value is not None] + [1e-9])
    least = min([value for value in impact["volume"] if value is not None] + [reach])
    for name, color in (("lit", MARKET), ("dark", DARK)):
        fills = tables[name]
        if fills["volume"]:
            traces.append(
                _trace(fills["volume"], fills["impact_bp"], f"{name} executions", color, mode="markers")
                | {"marker": {"color": "#111827" if name == "lit" else DARK, "size": 6}}
            )
            traces.append(
                {
                    "type": "bar",
                    "x": fills["volume"],
                    "y": fills["size"],
                    "yaxis": "y2",
                    "width": (reach - least) / 250,
                    "marker": {"color": "#111827" if name == "lit" else DARK},
                    "showlegend": False,
                    "name": f"{name} size",
                }
            )
    layout: dict[str, Any] = _layout(title, height=430) | {"barmode": "overlay"}
    layout |= {
        "xaxis": {"title": {"text": "market volume since the order's start"}},
        "yaxis": {"title": {"text": "impact, bp"}, "domain": [0.32, 1.0], "zeroline": True},
        "yaxis2": {"title": {"text": "size"}, "domain": [0.0, 0.22], "zeroline": True},
    }
    layout["xaxis"]["anchor"] = "y2"
    return {"data": traces, "layout": layout}


def _basket(tables: Mapping[str, Mapping[str, Column]], title: str) -> dict[str, Any]:
    columns, span = tables["profile"], tables["span"]["minutes"]
    minutes, traces = columns["minutes"], []
    before = [k for k, minute in enumerate(minutes) if minute is not None and minute <= 0]
    both = [k for k in before if columns["buys_bp"][k] is not None and columns["sells_bp"][k] is not None]
    gap = [minutes[k] for k in both]
    if gap:  # an area between two lines: out along one, filled back to the other
        hidden = {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
        traces.append(_trace(gap, [columns["buys_bp"][k] for k in both], "", BUY) | hidden)
        shade = {"fill": "tonexty", "fillcolor": SHADE, "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(_trace(gap, [columns["sells_bp"][k] for k in both], "gap before arrival", BUY) | shade)
    for name, color, dark in (("buys", BUY, BUY_DARK), ("sells", SELL, SELL_DARK)):
        if any(value is not None for value in columns[f"{name}_bp"]):
            traces.append(_trace(minutes, columns[f"{name}_bp"], f"{name}, since arrival", color))
            own = _trace(minutes, columns[f"{name}_impact_bp"], f"{name}, estimated impact (right)", dark, axis="y2")
            own["line"]["width"] = 2
            traces.append(own)
        for venue, dash in (("lit", "solid"), ("dark", "dot")):
            if any(columns[f"{name}_{venue}"]):
                done = _trace(minutes, columns[f"{name}_{venue}"], f"{name} done, {venue}", color, axis="y3")
                done["line"]["dash"] = dash
                traces.append(done)
    impacts = [v for name in ("buys", "sells") for v in columns[f"{name}_impact_bp"] if v is not None]
    reach = 1.15 * max([abs(v) for v in impacts] + [1.0])
    moves = [v for name in ("buys", "sells") for v in columns[f"{name}_bp"] if v is not None]
    high = 1.1 * max([abs(v) for v in moves] + [1.0])
    layout = _layout(title, height=640)
    layout |= {
        "xaxis": {"title": {"text": "minutes since arrival"}, "anchor": "y3", "zeroline": False},
        "yaxis": {"title": {"text": "mid against arrival, bp"}, "domain": [0.36, 1.0], "range": [-high, high]},
        # zero at the same height on both sides
        "yaxis2": {
            "title": {"text": "estimated impact, bp"},
            "overlaying": "y",
            "side": "right",
            "range": [-reach, reach],
            "showgrid": False,
            "zeroline": False,
            "tickmode": "auto",
        },
        "yaxis3": {"title": {"text": "money done"}, "domain": [0.0, 0.27], "rangemode": "tozero"},
        "shapes": [
            {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}
            for at in span
        ],
    }
    layout["margin"]["r"] = 70
    return {"data": traces, "layout": layout}


def _path(tables: Mapping[str, Mapping[str, Column]], title: str) -> dict[str, Any]:
    path, trades, fills = tables["path"], tables["trades"], tables["fills"]
    x = path["time_ms"]
    small = {"mode": "markers"}
    traces = [
        _trace(trades["time_ms"], trades["price"], "market trades", MARKET)
        | small
        | {"marker": {"size": 3, "color": MARKET}},
        _trace(x, path["price"], "mid, as replayed", LINE),
        _trace(fills["time_ms"], fills["price"], "our fills", SELL)
        | small
        | {"marker": {"size": 4, "color": "#c2410c"}},
        _trace(x, path["market_net_traded"], "market's net volume", MARKET, axis="y2"),
        _trace(x, path["own_net_traded"], "our net volume", "#c2410c", axis="y2"),
        _trace(x, path["net_order_flow"], "net order flow of quotes (right)", DARK, axis="y4"),
        _trace(x, path["done"], "done", LINE, axis="y3", shape="hv"),
        _trace(x, path["target"], "target", "#111827", axis="y3"),
    ]
    traces[-1]["line"] |= {"dash": "dot", "width": 1}
    layout = _layout(title, height=700)
    layout |= {
        "xaxis": {"type": "date", "anchor": "y3", "title": {"text": "UTC"}},
        "yaxis": {"title": {"text": "price"}, "domain": [0.60, 1.0]},
        "yaxis2": {"title": {"text": "net volume"}, "domain": [0.30, 0.55]},
        "yaxis3": {"title": {"text": "size"}, "domain": [0.0, 0.25], "rangemode": "tozero"},
        "yaxis4": {
            "title": {"text": "net order flow"},
            "overlaying": "y2",
            "side": "right",
            "showgrid": False,
            "zeroline": False,
            "tickmode": "auto",
        },
    }
    layout["margin"]["r"] = 80
    return {"data": traces, "layout": layout}


def _trace(
    x: Column, y: Column, name: str, color: str, *, axis: str = "y", shape: str = "linear", mode: str = "lines"
) -> dict[str, Any]:
    line = {"color": color, "width": 1.4, "shape": shape}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, "name": name, "yaxis": axis, "line": line}


def _layout(title: str, *, height: int) -> dict[str, Any]:
    return {
        "title": {"text": title, "x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 15}},
        "height": height,
        "margin": {"l": 80, "r": 20, "t": 95 if height < 600 else 135, "b": 55},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        "hovermode": "x",
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12.5},
    }
