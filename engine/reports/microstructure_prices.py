"""Sections on prices and liquidity: spread, depth, volume, response, impact, signature plot."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.reports import microstructure_walk as w
from engine.reports.microstructure_cells import BINS, BLOCKS
from engine.reports.microstructure_errors import jackknife
from engine.reports.microstructure_lags import PRICED, LagSums, volatility
from engine.reports.microstructure_lags import response as response_at
from engine.reports.microstructure_result import Chart, Curve, Number, Section, curve, number
from engine.reports.microstructure_sight import (
    BIN,
    LEAST_IN_BIN,
    LEAST_PAIRS,
    NO_TRADES,
    Estimate,
    at_lags,
    lagged,
    no_book,
    no_signs,
    slope,
)
from engine.reports.microstructure_sums import WINDOW, Sums

MINUTE = 60e9
GRID = (1, 2, 3, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1800)  # cells between samples of the signature plot


def spread(s: Sums) -> Section:
    title = "Spread"
    time = s.walk.spread
    if not time[:, : w.WIDEST + 1].any():
        return Section(title, missing=no_book(s))
    share = jackknife(lambda n: n[: w.WIDEST + 1] / n[: w.WIDEST + 1].sum(), time)
    mean = jackknife(lambda n: n[-1] / n[: w.WIDEST + 1].sum(), time)
    mids = np.abs(s.walk.mid[np.isfinite(s.walk.mid)])
    mid = mids.mean() / s.instrument.tick if mids.any() else np.nan
    numbers = [
        number("mean, by time", mean, "ticks"),
        number("the same, of the mid", (mean[0] / mid * 1e4, mean[1] / mid * 1e4), "bp"),
        number("share of time at 1 tick", share, at=1),
        number("locked", share),
        number("crossed (left out)", jackknife(lambda n: n[w.WIDEST + 1] / n[: w.WIDEST + 2].sum(), time)),
    ]
    if s.paid.any():
        numbers.append(number("effective, 2 side (price - mid)", jackknife(lambda n: n[1] / n[0], s.paid), "ticks"))
    most = int(np.searchsorted(np.cumsum(share[0]), 0.999)) + 1
    profile = jackknife(lambda n: n[:, 1] / n[:, 0], s.walk.shape)
    charts = [
        Chart(
            "Spread",
            "ticks",
            "share of time",
            [curve("spread", np.arange(most + 1), (share[0][: most + 1], share[1][: most + 1]))],
            bars=True,
        ),
        Chart("Spread over the session", BIN, "mean, ticks", [curve("spread", np.arange(1, BINS + 1), profile)]),
    ]
    return Section(title, numbers, charts)


def depth(s: Sums) -> Section:
    title = "Depth"
    time = s.walk.depth
    if not time.any():
        return Section(title, missing=no_book(s))
    seen = (
        time[..., 0].sum(axis=0) > 0.01 * time[..., 0].sum(axis=0).max()
    )  # levels that are nearly never there say little
    size = jackknife(lambda n: (n[..., 1] / n[..., 0]).ravel(), time)
    away = jackknife(lambda n: (n[..., 2] / n[..., 0]).ravel(), time)
    levels = np.arange(1, w.DEEPEST + 1)
    side = {"bid": slice(0, w.DEEPEST), "ask": slice(w.DEEPEST, None)}

    def both(of: Estimate) -> list[Curve]:
        return [
            curve(name, levels, (of[0][part], of[1][part]), keep=seen[i]) for i, (name, part) in enumerate(side.items())
        ]

    touch = jackknife(lambda n: n[:, 2] / n[:, 0], s.walk.shape)
    unit = "units of size"
    numbers = [number(f"mean size at the best {name}", size, unit, at=part.start) for name, part in side.items()]
    charts = [
        Chart("Depth by level", "level (1: best)", f"mean size while there, {unit}", both(size), bars=True),
        Chart("Size at the touch over the session", BIN, unit, [curve("touch", np.arange(1, BINS + 1), touch)]),
    ]
    if seen[:, 1:].any():
        charts.insert(
            1, Chart("How far away a level is", "level (1: best)", "mean distance from the best, ticks", both(away))
        )
    levels_seen = int(seen.sum(axis=1).max())
    few = levels_seen < w.DEEPEST
    missing = f"the tape shows {levels_seen} level{'s' * (levels_seen > 1)} a side" if few else ""
    return Section(title, numbers, charts, missing)


def volume_curve(s: Sums) -> Section:
    title = "Volume curve"
    if not s.walk.volume.any():
        return Section(title, missing=NO_TRADES)
    by_bin = np.zeros((s.cells.combs, BINS))
    np.add.at(by_bin, (s.cells.comb, s.cells.bin), s.walk.volume.astype(float))
    share = jackknife(lambda n: n / n.sum(), by_bin)
    numbers = [
        Number("volume, auctions left out", float(s.walk.volume.sum()), unit="units of size"),
        number("share of the first thirteenth", share),
        number("share of the middle one (evenly: 0.077)", share, at=BINS // 2),
        number("share of the last", share, at=BINS - 1),
    ]
    chart = Chart("Volume over the session", BIN, "share", [curve("volume", np.arange(1, BINS + 1), share)], bars=True)
    return Section(title, numbers, [chart])


def response(s: Sums) -> Section:
    title = "Response to trades"
    why = no_signs(s) or ("" if s.trades.sums[..., PRICED].any() else no_book(s))
    if why:
        return Section(title, missing=why)
    of = jackknife(response_at, s.trades.sums)
    numbers = at_lags("R", s.trades, of, "ticks", PRICED)
    chart = Chart(
        "Response: side x (mid before the l-th next trade - mid before this one)",
        "lag l, trades",
        "ticks",
        [lagged("R(l)", s.trades, of, PRICED)],
        True,
    )
    return Section(title, numbers, [chart])


def impact(s: Sums) -> Section:
    title = "Impact by size"
    why = no_signs(s) or ("" if s.by_size.any() else no_book(s))
    if why:
        return Section(title, missing=why)
    total = s.by_size.sum(axis=0)
    enough = total[:, 0] >= LEAST_IN_BIN
    size = total[:, 1] / np.maximum(total[:, 0], 1)
    mean = jackknife(lambda n: n[:, 2] / n[:, 0], s.by_size)
    used = enough & (total[:, 2] > 0)
    numbers = []
    if used.sum() >= 3:
        numbers.append(number("exponent x of impact ~ size^x", jackknife(lambda n: _exponent(n[used]), s.by_size)))
    charts = [
        Chart(
            "Impact of one trade: side x (mid before the next trade - mid before this one)",
            "size of the trade, units of size",
            "mean, ticks",
            [curve("impact", size, mean, keep=enough)],
            True,
        )
    ]
    windows = np.concatenate(s.windows, axis=1) if s.windows else np.zeros((3, 0))
    missing = ""
    if windows.shape[1] >= 10 * LEAST_IN_BIN:
        unit = total[:, 1].sum() / total[:, 0].sum()
        by_flow = _tenths(windows)
        n, flow, _ = by_flow.sum(axis=0).T  # where many windows have the same flow, a tenth may be empty
        x = flow / np.maximum(n, 1) / unit
        charts.append(
            Chart(
                f"Impact of the net flow of {WINDOW} trades, by tenths of flow",
                "bought - sold, in mean trades",
                "mean move of the mid, ticks",
                [curve("impact", x, jackknife(lambda n: n[:, 2] / n[:, 0], by_flow))],
            )
        )
        numbers.append(number("slope of outer over inner tenths of flow", jackknife(_concavity, by_flow)))
    else:
        missing = f"fewer than {10 * LEAST_IN_BIN} windows of {WINDOW} trades: no curve of the impact of net flow"
    return Section(title, numbers, charts, missing)


def signature(s: Sums) -> Section:
    title = "Signature plot"
    cells, step = s.cells, s.cells.step
    whole = cells.end - cells.start == step
    apart = step
    if s.kinds[w.BAR]:  # between the ends of bars there is no price
        at = np.flatnonzero(s.walk.volume)
        apart = step * int(np.median(np.diff(at))) if len(at) > 1 else step
    curves, numbers = [], []
    for name, prices in (("mid", s.walk.mid), ("trades" if not s.kinds[w.BAR] else "closes of bars", s.walk.price)):
        lags = np.array([k for k in GRID if k * step >= apart], np.int64)
        series = LagSums(BLOCKS, lags)
        series.add(np.ones(int(whole.sum())), prices[whole], cells.session[whole], cells.block[whole])
        n = series.sums[..., PRICED].sum(axis=0)
        good = n >= np.maximum(LEAST_PAIRS, BLOCKS * lags)  # no longer than a block
        if not good.any():
            continue
        scale = 1e4 * np.sqrt(MINUTE / (lags * step))
        value, error = jackknife(volatility, series.sums)
        of = value * scale, error * scale
        curves.append(curve(name, lags * step / 1e9, of, keep=good))
        ends = np.flatnonzero(good)[[0, -1]]
        numbers += [number(f"{name}, every {_span(int(lags[i]) * step)}", of, "bp/√min", i) for i in ends]
        ratio = jackknife(partial(_variance_ratio, lags=lags, ends=ends), series.sums)
        numbers.append(number(f"{name}: variance ratio, longest over shortest", ratio))
    if not curves:
        return Section(title, missing=f"too short, or without a price: {LEAST_PAIRS} cells of {_span(step)} are needed")
    chart = Chart("Signature plot", "sampled every ... s", "volatility, bp/√min", curves, True)
    return Section(title, numbers, [chart])


def _exponent(by_size: NDArray[np.float64]) -> float:
    """Slope of log mean impact on log mean size, bins weighted by their trades."""
    n, size, move = by_size.T
    return slope(np.log(size / n), np.log(np.maximum(move / n, 1e-6)), n)


def _tenths(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windows, net flow, move, by block and tenth of net flow."""
    block, flow, move = windows
    edges = np.quantile(flow, np.linspace(0, 1, 11)[1:-1])
    out = np.zeros((BLOCKS, 10, 3))
    np.add.at(
        out, (block.astype(int), np.searchsorted(edges, flow)), np.stack([np.ones(len(flow)), flow, move], axis=1)
    )
    return out


def _concavity(by_flow: NDArray[np.float64]) -> float:
    """Move per unit of flow between the two outermost tenths over that between the two around the middle."""
    n, flow, move = by_flow.T
    x, y = flow / n, move / n
    return float((y[9] - y[0]) / (x[9] - x[0]) / ((y[6] - y[3]) / (x[6] - x[3])))


def _variance_ratio(sums: NDArray[np.float64], lags: NDArray[np.int64], ends: NDArray[np.intp]) -> float:
    """Variance per unit of time at the longest lag over that at the shortest; 1 for a random walk."""
    short, long = (volatility(sums) ** 2 / lags)[ends]
    return long / short


def _span(ns: float) -> str:
    return f"{ns / MINUTE:g} min" if ns >= MINUTE else f"{ns / 1e9:g} s"
