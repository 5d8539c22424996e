"""Exhibits 1, 2 and 4 of the short-gamma paper, which only a user's own data can fill: return series, a table of
convexity, market depth. Without it they name what is missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.block_bootstrap import SHORTEST_BLOCK, block_rows
from engine.rates.day_counts import Dates
from engine.rates.risk_measures import MEASURES, measure_table
from engine.reports.curve_page import Plot, Trace
from engine.reports.exhibits import Claim, Exhibit, Verdict, deviation, judge_draws, judge_exact, unjudged
from engine.reports.exhibits_depth import DailyDepth, trailing_mean

Floats = NDArray[np.float64]

YEARS = 5
DRAWS = 500
FEWEST = 12  # returns of a series
RATES = "rates"  # how the columns of rates begin
PRINTED_1 = {
    "Rates USD": 0.39, "Rates EUR": 0.44, "Rates JPY": 0.39, "Rates GBP": 0.27, "FX EUR": -0.11, "FX JPY": -0.10,
    "FX GBP": -0.10, "Equities USD": 0.33, "Equities EUR": 0.05, "Equities JPY": 0.23, "Equities GBP": 0.32,
    "Credit USD": 0.39, "Credit EUR": 0.23,
}  # fmt: skip
FINDING_1 = "Over five years, systematically short volatility in interest rates rivals that in equity and credit."
FINDING_2 = "The wind-down of GSE portfolios has more than halved the bid for gamma since 2009."
FINDING_4 = "Depth in 10-year Treasuries fell: the 1-year average is below the 5-year one."


class Series(NamedTuple):
    """A user's table: a date a row, a number a column; NaN where there is none."""

    dates: Dates
    columns: dict[str, Floats]


def exhibit_1(series: Series | None, ours: list[Verdict], rng: np.random.Generator) -> Exhibit:
    """Median over interquartile range of each series' last five years, beside the paper's; then our own premium."""
    claim = Claim("1", "short volatility in rates pays above the mean of the other series", "", "median / IQR")
    if series is None:
        why = "no --returns: a CSV with date and a column a series (Rates USD, Equities USD, …) of monthly returns"
        table = {"series": list(PRINTED_1), "printed": list(PRINTED_1.values())}
        verdicts = [unjudged(claim, "no return series given"), *ours]
        return Exhibit("1", "Risk-adjusted returns by market", FINDING_1, table, (), verdicts, (), why)
    names, values = list(series.columns), np.column_stack(list(series.columns.values()))
    recent = series.dates > _back(series.dates[-1], YEARS)
    values, dates = values[recent], series.dates[recent]
    if values.shape[0] < FEWEST:
        raise ConfigError(f"--returns has {values.shape[0]} rows in its last {YEARS} years; give at least {FEWEST}")
    block = _rows_of_a_block(dates)
    draws = np.array([_ratio(values[block_rows(len(values), block, rng)]) for _ in range(DRAWS)])
    ratios = _ratio(values)
    errors = [deviation(draws[:, k], above=bool(ratios[k] > 0)) for k in range(len(names))]
    rates = np.array([name.lower().startswith(RATES) for name in names])
    table = {
        "series": names,
        "median_over_iqr": ratios,
        "error": errors,
        "printed": [PRINTED_1.get(name, np.nan) for name in names],
    }
    if rates.all() or not rates.any():
        verdict = unjudged(claim, f"columns of rates begin with '{RATES}'; there must be some, and others")
    else:
        gap = draws[:, rates].mean(axis=1) - draws[:, ~rates].mean(axis=1)
        verdict = judge_draws(claim, float(ratios[rates].mean() - ratios[~rates].mean()), gap)
    points = [Trace("yours", names, ratios, True), Trace("printed", names, np.array(table["printed"]), True)]
    plots = [Plot("Median over interquartile range", "", "", points)]
    notes = [f"{dates[0]} to {dates[-1]}, blocks of {block} rows; returns are taken as they are"]
    return Exhibit("1", "Risk-adjusted returns by market", FINDING_1, table, plots, [verdict, *ours], notes)


def exhibit_2(series: Series | None) -> Exhibit:
    """A user's table of negative convexity, drawn as it is; its total now against 2009."""
    claim = Claim("2", "total convexity at the end is below half of its mean in 2009", "below 0.5", "last / 2009")
    title = "Negative convexity of mortgage hedgers"
    if series is None:
        why = "no --convexity: a CSV with date and a column a holder, 10-year equivalents per 25 bp"
        return Exhibit("2", title, FINDING_2, verdicts=[unjudged(claim, "no table given")], missing=why)
    total = np.nansum(np.column_stack(list(series.columns.values())), axis=1)
    base = total[series.dates.astype("datetime64[Y]") == np.datetime64("2009", "Y")]
    dates = series.dates.astype(str).tolist()
    traces = [Trace(name, dates, values) for name, values in series.columns.items()]
    if base.size and base.mean() != 0:
        part = float(total[-1] / base.mean())
        verdict = judge_exact(claim, part, is_true=part < 0.5, why="your table, no error known")
    else:
        verdict = unjudged(claim, "the table has no row of 2009, or they add up to 0")
    table = {"date": dates, **series.columns}
    return Exhibit("2", title, FINDING_2, table, [Plot(title, "", "as given", traces)], [verdict])


def exhibit_4(depth: DailyDepth | None, rng: np.random.Generator) -> Exhibit:
    """Size of the three best levels, 8:30 to 10:30, and the ratio of its 1-year to its 5-year mean."""
    claim = Claim("4", "depth of the last year is below that of the last five", "", "1 - ratio")
    title = "Market depth, mean of the three best levels a side"
    if depth is None:
        why = "no --depth: tapes with depth between 8:30 and 10:30 New York, or a CSV with date and depth"
        return Exhibit("4", title, FINDING_4, verdicts=[unjudged(claim, "no depth given")], missing=why)
    ratio = trailing_mean(depth.dates, depth.size, 1) / trailing_mean(depth.dates, depth.size, YEARS)
    dates = depth.dates.astype(str).tolist()
    table = {"date": dates, "depth": depth.size, "ratio_1y_to_5y": ratio}
    plots = [
        Plot(title, "", "size", [Trace("depth", dates, depth.size)]),
        Plot("1-year over 5-year mean", "", "", [Trace("ratio", dates, ratio)]),
    ]
    if not np.isfinite(ratio[-1]):
        span = f"{depth.dates.size} days from {depth.dates[0]} to {depth.dates[-1]}"
        verdict = unjudged(claim, f"five years of depth are needed, but there are {span}")
    else:
        verdict = judge_draws(claim, float(1 - ratio[-1]), 1 - _ratio_draws(depth, rng))
    return Exhibit("4", title, FINDING_4, table, plots, [verdict])


def _ratio(values: Floats) -> Floats:
    return measure_table(values)[:, MEASURES.index("nonparametric_sharpe")]


def _ratio_draws(depth: DailyDepth, rng: np.random.Generator) -> Floats:
    """The last ratio anew: blocks of days within the last year and within the four before."""
    dates, size = depth.dates, depth.size
    year, five = size[dates > _back(dates[-1], 1)], size[dates > _back(dates[-1], YEARS)]
    before = five[: five.size - year.size]
    if year.size < 2 * SHORTEST_BLOCK:
        return np.full(DRAWS, np.nan)
    draws = []
    for _ in range(DRAWS):
        late = year[block_rows(year.size, SHORTEST_BLOCK, rng)]
        early = before[block_rows(before.size, SHORTEST_BLOCK, rng)]
        draws.append(late.mean() / np.concatenate([late, early]).mean())
    return np.array(draws)


def _rows_of_a_block(dates: Dates) -> int:
    """Rows that span 42 business days, at least 2."""
    step = float(np.median(np.diff(dates).astype(np.int64)))
    return max(2, int(np.ceil(SHORTEST_BLOCK * 1.4 / step)))


def _back(date: np.datetime64, years: int) -> np.datetime64:
    month = date.astype("datetime64[M]")
    return (month - 12 * years).astype("datetime64[D]") + (date - month.astype("datetime64[D]"))
