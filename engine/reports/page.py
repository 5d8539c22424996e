"""A run as one page to look at: offline, self-contained, read from the run folder.

For each account and instrument: price with our fills, position, profit; for each parent order, how far it had come
beside the market's volume. Needs the extra ``report``.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import numpy as np
import plotly
from numpy.typing import NDArray

from engine.broker.models import Account
from engine.config import make_feed
from engine.instruments import MICRO, Instrument
from engine.journal import RecordKind
from engine.reports.banner import banner
from engine.reports.summary import summary
from engine.result import Holding, ParentCost, rows_between
from engine.run_folder import SavedRun, read
from engine.tape import Kind

POINTS = 3_000  # of a line
LOOKED_AT = 300_000  # rows of the tape that a line is drawn from, so that a page takes no longer for a longer tape
CHARTS = 8
BUY, SELL, LINE, MARKET = "#1a7f5a", "#c2410c", "#1d4ed8", "#9aa3af"


def write_page(folder: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Raises
    ------
    RunError
        If the folder cannot be read.
    """
    saved = read(folder)
    result, records = saved.result, np.asarray(saved.records)
    tape = make_feed(saved.config).tape
    charted = [held for held in result.holdings if not held.contracts][:CHARTS]
    charts = [_holding_chart(held, tape.instruments, tape.rows, records, saved) for held in charted]
    charts += [_parent_chart(parent, tape.instruments, tape.rows, records, saved) for parent in result.parents[:CHARTS]]
    script = files(plotly).joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    template = files("engine.reports").joinpath("page.html").read_text(encoding="utf-8")
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(template)
        .render(
            name=result.name,
            partial=result.partial,
            synthetic=result.synthetic,
            summary=summary(result),
            banner=banner(saved.config, tape.manifest, len(tape.rows)),
            charts=[msgspec.json.encode(chart).decode().replace("</", "<\\/") for chart in charts],
            script=script,
        )
    )
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    return file


def _holding_chart(
    holding: Holding,
    instruments: list[Instrument],
    rows: NDArray[np.void],
    records: NDArray[np.void],
    saved: SavedRun,
) -> dict[str, Any]:
    number = next(i for i, instrument in enumerate(instruments) if instrument.symbol == holding.symbol)
    account = _account_number(saved, holding.account)
    mine = records[(records["account"] == account) & (records["instrument"] == number)]
    fills = mine[mine["kind"] == RecordKind.FILL]
    unit = instruments[number].quoted(1)
    times, prices = _market(rows, number)
    if not len(times):  # nothing was kept of the market: draw between our own fills
        times, prices = fills["ts"], fills["price"].astype(float)
    # position and cash after the last of our fills at or before each time
    at = np.searchsorted(fills["ts"], times, side="right")
    signed = (fills["side"].astype(np.int64) * fills["size"]).astype(float)
    position = np.concatenate([[0.0], np.cumsum(signed)])[at]
    per_unit = float(instruments[number].money) / MICRO
    cash = np.cumsum(-signed * fills["price"] * per_unit - fills["extra"] / MICRO)
    pnl = np.concatenate([[0.0], cash])[at] + position * prices * per_unit
    x = _ms(times)
    traces: list[dict[str, Any]] = [_line(x, prices * unit, "market", MARKET, "y")]
    for side, name, color in ((1, "bought", BUY), (-1, "sold", SELL)):
        ours = _thin(fills[fills["side"] == side])
        marker = {"color": color, "size": 7, "symbol": "triangle-up" if side > 0 else "triangle-down"}
        traces.append(
            _line(_ms(ours["ts"]), ours["price"] * unit, name, color, "y") | {"mode": "markers", "marker": marker}
        )
    traces.append(_line(x, position, "position", LINE, "y2") | {"line": {"color": LINE, "width": 1.5, "shape": "hv"}})
    traces.append(_line(x, pnl, f"P/L, {holding.currency}", LINE, "y3"))
    layout = {
        "title": {"text": f"{holding.account}: {holding.symbol}"},
        "yaxis": {"domain": [0.45, 1.0], "title": {"text": "price"}},
        "yaxis2": {"domain": [0.23, 0.40], "title": {"text": "position"}},
        "yaxis3": {"domain": [0.0, 0.18], "title": {"text": f"P/L {holding.currency}"}},
        "height": 620,
    }
    return {"data": traces, "layout": _layout(layout, "y3")}


def _parent_chart(
    parent: ParentCost,
    instruments: list[Instrument],
    rows: NDArray[np.void],
    records: NDArray[np.void],
    saved: SavedRun,
) -> dict[str, Any]:
    number = next(i for i, instrument in enumerate(instruments) if instrument.symbol == parent.symbol)
    account = _account_number(saved, parent.account)
    fills = records[(records["kind"] == RecordKind.FILL) & (records["account"] == account)]
    fills = fills[np.isin(fills["order_no"], parent.children)]
    done = np.cumsum(fills["size"]) / parent.size
    part = rows_between(rows, parent.start, parent.end)
    kinds = part["kind"]
    traded = part[((kinds == Kind.TRADE) | (kinds == Kind.EXECUTE)) & (part["instrument"] == number)]
    volume = np.cumsum(traded["size"].astype(float))
    thin = slice(None, None, max(1, len(volume) // POINTS))
    ends = np.array([parent.start, parent.end])
    traces = [_line(_ms(ends), np.array([0.0, 1.0]), "even in time", MARKET, "y")]
    traces[0]["line"]["dash"] = "dot"
    if len(volume):
        traces.append(_line(_ms(traded["ts_event"][thin]), volume[thin] / volume[-1], "market volume", MARKET, "y"))
    x = np.concatenate([[parent.start], fills["ts"], [parent.end]])
    y = np.concatenate([[0.0], done, done[-1:] if len(done) else [0.0]])
    traces.append(_line(_ms(x), y, "done", LINE, "y") | {"line": {"color": LINE, "width": 2, "shape": "hv"}})
    layout = {"title": {"text": parent.name}, "yaxis": {"title": {"text": "part of the order"}}, "height": 340}
    layout["yaxis"]["tickformat"] = ".0%"
    return {"data": traces, "layout": _layout(layout, "y")}


def _market(rows: NDArray[np.void], number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Times and prices: mids where there are quotes, otherwise trades and closes of bars."""
    looked = rows[:: max(1, len(rows) // LOOKED_AT)]
    looked = looked[looked["instrument"] == number]
    quotes = looked[(looked["kind"] == Kind.QUOTE) & (looked["size"] > 0) & (looked["size2"] > 0)]
    if len(quotes):
        quotes = _thin(quotes)
        return quotes["ts_event"], (quotes["price"] + quotes["price2"]) / 2
    kinds = looked["kind"]
    trades = _thin(looked[(kinds == Kind.TRADE) | (kinds == Kind.EXECUTE) | (kinds == Kind.BAR)])
    prices = np.where(trades["kind"] == Kind.BAR, trades["size2"], trades["price"])
    return trades["ts_event"], prices.astype(float)


def _thin(rows: NDArray[np.void]) -> NDArray[np.void]:
    return rows[:: max(1, -(-len(rows) // POINTS))]


def _line(x: list[float], y: NDArray[Any], name: str, color: str, axis: str) -> dict[str, Any]:
    style = {"type": "scatter", "mode": "lines", "line": {"color": color, "width": 1.2}}
    return {"x": x, "y": np.asarray(y, float).tolist(), "name": name, "yaxis": axis, **style}


def _layout(own: dict[str, Any], lowest: str) -> dict[str, Any]:
    common = {
        "xaxis": {"type": "date", "anchor": lowest, "title": {"text": "UTC"}},
        "margin": {"l": 70, "r": 20, "t": 80, "b": 50},
        # the title above, the legend right above the lines, both on the left: the toolbar is on the right
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
        "hovermode": "x",
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 13},
    }
    own["title"] |= {"x": 0, "xref": "paper", "xanchor": "left"}
    return {**common, **own}


def _ms(ts: NDArray[np.int64]) -> list[float]:
    return (np.asarray(ts) / 1e6).tolist()


def _account_number(saved: SavedRun, name: str) -> int:
    accounts: list[Account] = [entry.account for entry in saved.config.strategies]
    return next(n for n, account in enumerate(accounts) if account.name == name)
