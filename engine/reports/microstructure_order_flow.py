"""Sections on order flow: signs of trades and of limit orders, where these are placed, how they end, what they move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.reports import microstructure_ages as ages
from engine.reports import microstructure_walk as w
from engine.reports.microstructure_errors import jackknife
from engine.reports.microstructure_lags import PRICED, LagSums, autocorrelation, response
from engine.reports.microstructure_result import Chart, Number, Section, curve, number
from engine.reports.microstructure_sight import (
    LEAST_IN_BIN,
    Estimate,
    at_lags,
    lagged,
    no_flow,
    no_signs,
    shown,
    sight,
    slope,
)
from engine.reports.microstructure_sums import DISTANCES, FARTHEST, Sums

FIT_TO = 100  # the longest lag of the decay exponent
AGES = {"1 ms": 1e-3, "100 ms": 0.1, "1 s": 1.0, "10 min": 600.0}


def trade_signs(s: Sums) -> Section:
    title = "Signed trades"
    if why := no_signs(s):
        return Section(title, missing=why)
    acf = jackknife(autocorrelation, s.trades.sums)
    bought = jackknife(lambda n: n[0] / n.sum(), s.sides)
    numbers = [number("share bought", bought), *_acf_numbers(s.trades, acf), _decay(s.trades, acf)]
    chart = Chart(
        "Autocorrelation of signed trades", "lag, trades", "autocorrelation", [lagged("trades", s.trades, acf)], True
    )
    return Section(title, numbers, [chart])


def limit_flow(s: Sums) -> Section:
    title = "Signed limit-order flow"
    if not s.flow.count:
        return Section(title, missing=no_flow(s))
    numbers: list[Number] = []
    curves = []
    for name, series in (("all", s.flow), ("placements", s.placements), ("removals", s.removals)):
        acf = jackknife(autocorrelation, series.sums)
        numbers += [Number(f"{name}: {n.name}", n.value, n.error, n.unit) for n in _acf_numbers(series, acf)]
        curves.append(lagged(name, series, acf))
    chart = Chart(
        "Autocorrelation of signed limit-order flow", "lag, events of the series", "autocorrelation", curves, True
    )
    return Section(title, numbers, [chart], sight(s))


def clustering(s: Sums) -> Section:
    title = "Where limit orders are placed"
    if not s.flow_total[:, w.PLACED].any():
        return Section(title, missing=no_flow(s))
    placed = s.by_distance[:, w.PLACED]
    orders = jackknife(lambda n: n[:, 0] / n[:, 0].sum(), placed)
    size = jackknife(lambda n: n[:, 1] / n[:, 1].sum(), placed)
    there = placed[..., 0].sum(axis=0) > 0
    inside = jackknife(lambda n: n[DISTANCES < 0, 0].sum() / n[:, 0].sum(), placed)
    digits = jackknife(lambda n: n / n.sum(), s.by_digit)
    numbers = [
        number("share inside the spread", inside),
        number("share at the best price", orders, at=FARTHEST),
        number("share 1 tick behind it", orders, at=FARTHEST + 1),
        number("share on multiples of 10 ticks (evenly: 0.1)", digits),
        number("share on multiples of 5 ticks (evenly: 0.2)", jackknife(lambda n: (n[0] + n[5]) / n.sum(), s.by_digit)),
    ]
    charts = [
        Chart(
            "Placements by distance from the best price of their side",
            f"ticks (negative: inside the spread; the outermost: {FARTHEST} and more)",
            "share",
            [curve("of orders", DISTANCES, orders, keep=there), curve("of size", DISTANCES, size, keep=there)],
        ),
        Chart(
            "Placements by the last digit of their price",
            "price in ticks, modulo 10",
            "share",
            [curve("orders", np.arange(10), digits)],
            bars=True,
        ),
    ]
    return Section(title, numbers, charts, sight(s))


def cancellations(s: Sums) -> Section:
    title = "Cancellations"
    if not s.flow.count:
        return Section(title, missing=no_flow(s))
    removed = s.by_distance[:, w.CANCELLED]
    at = jackknife(lambda n: n[:, 0] / n[:, 0].sum(), removed)
    per = jackknife(lambda n: n[w.CANCELLED, :, 0] / n[w.PLACED, :, 0], s.by_distance)
    enough = (s.by_distance[:, w.PLACED, :, 0].sum(axis=0) >= LEAST_IN_BIN) & (DISTANCES >= 0)
    totals = jackknife(lambda n: n[w.CANCELLED] / n[w.PLACED], s.flow_total)
    numbers = [
        number("removals per placement", totals),
        number("removed size per placed size", totals, at=1),
        number("share of removals at the best price", at, at=FARTHEST),
    ]
    charts = [
        Chart(
            "Removals by distance from the best price of their side",
            f"ticks (the outermost: {FARTHEST} and more)",
            "share of removals",
            [curve("removals", DISTANCES, at, keep=at[0] > 0)],
            bars=True,
        )
    ]
    if enough.sum() > 1:
        charts.append(
            Chart(
                "Removals per placement at the same distance",
                f"ticks (the outermost: {FARTHEST} and more)",
                "removals / placements",
                [curve("ratio", DISTANCES, per, keep=enough)],
            )
        )
    if np.count_nonzero(at[0]) == 1:  # all at the best price: no picture
        charts.pop(0)
    missing = sight(s)
    if s.ages is None or not s.ages.ends.any():
        missing += "; how long orders live is only seen where rows are order by order (L3)"
        return Section(title, numbers, charts, missing.removeprefix("; "))
    if s.instrument.levels:
        missing += ", and orders that end out of sight count as if they lived on"
    ends = s.ages.ends
    lives = jackknife(lambda n: np.concatenate(ages.incidence(n)), ends)
    half = len(lives[0]) // 2
    shares = {text: int(np.argmin(np.abs(ages.EDGES_S - age))) for text, age in AGES.items()}
    numbers += [
        number("median age when cancelled", jackknife(lambda n: _median_age(n[ages.CANCELLED]), ends), "s"),
        number("median age when filled", jackknife(lambda n: _median_age(n[ages.FILLED]), ends), "s"),
        *(number(f"cancelled within {text}", lives, at=i) for text, i in shares.items()),
        number("filled within 10 min", lives, at=half + shares["10 min"]),
    ]
    x = ages.EDGES_S
    longest = float((s.cells.end[-1] - s.cells.start[0]) / 1e9)
    parts = [
        curve(name, x, (lives[0][a:b], lives[1][a:b]), keep=x <= longest)
        for name, a, b in (("cancelled", 0, half), ("filled", half, 2 * half))
    ]
    charts.append(Chart("How orders end", "age, s", "share of orders that have ended so", parts, log_x=True))
    return Section(title, numbers, charts, missing)


def passive_bias(s: Sums) -> Section:
    title = "What moves the mid, and passive bias"
    if not s.causes.any():
        return Section(title, missing=no_flow(s) if not s.flow.count else "the mid never moves")
    names = {w.BY_TRADE: "a trade", w.PLACED: "a placement", w.CANCELLED: "a removal", w.BY_BOTH: "both at once"}
    share = jackknife(lambda n: n / n.sum(), s.causes)
    run = jackknife(lambda n: n[:, 1] / n[:, 0], s.runs)
    every = jackknife(lambda n: n[:, 1].sum() / n[:, 0].sum(), s.runs)
    numbers = [number(f"moves made by {name}", share, at=i) for i, name in names.items()]
    numbers.append(number("next move in the same direction", every))
    numbers += [
        number(f"the same, after {name}", run, at=i)
        for i, name in names.items()
        if s.runs[:, i, 0].sum() >= LEAST_IN_BIN
    ]
    curves = [
        lagged(name, series, jackknife(response, series.sums), PRICED)
        for name, series in zip(("after a placement", "after a removal"), s.touch, strict=True)
    ]
    chart = Chart(
        "Response of the mid to limit orders at the best price or inside",
        "lag, such events",
        "ticks in the direction of the event",
        curves,
        True,
    )
    return Section(title, numbers, [chart], sight(s))


def _acf_numbers(series: LagSums, acf: Estimate) -> list[Number]:
    return at_lags("autocorrelation", series, acf)


def _decay(series: LagSums, acf: Estimate) -> Number:
    """Minus the slope of log autocorrelation on log lag, over the first lags where it is above two errors."""
    clear = (acf[0] > 2 * acf[1]) & (series.lags <= FIT_TO) & shown(series)
    used = np.logical_and.accumulate(clear)
    if used.sum() < 3:
        return Number("decay exponent", float("nan"))
    name = f"decay exponent, lags 1 to {series.lags[used][-1]}"
    x = np.log(series.lags[used])
    fitted = jackknife(
        lambda n: -slope(x, np.log(np.maximum(autocorrelation(n)[used], 1e-6)), np.ones(len(x))), series.sums
    )
    return number(name, fitted)


def _median_age(counts: NDArray[np.float64]) -> float:
    """In seconds, interpolated on the logarithm within its bin."""
    total = counts.sum()
    if not total:
        return float("nan")
    edges = np.log(ages.EDGES_S)
    done = np.cumsum(counts) / total
    i = int(np.searchsorted(done, 0.5))
    if i == 0 or i >= len(edges):
        return float(ages.EDGES_S[min(i, len(edges) - 1)])
    part = (0.5 - done[i - 1]) / (done[i] - done[i - 1])
    return float(np.exp(edges[i - 1] + part * (edges[i] - edges[i - 1])))
