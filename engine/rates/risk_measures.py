"""How good a history of trade returns is: the five measures of the short-gamma paper, and their benchmark.

With losses the returns below 0,

    (1) sharpe                 mean / standard deviation
    (2) sortino                mean / standard deviation of losses
    (3) nonparametric_sharpe   median / (75th - 25th percentile)
    (4) sterling               median / |median of losses|
    (5) drawdown_ratio         median / |5th percentile|
    benchmark                  (3 + 4 + 5) / 3

Beware: the benchmark rewards negative skew. A fair unhedged strangle earns nothing and scores far above 0, so the mean
and its error stand beside it, and a verdict needs the excess over the same rule in fair worlds.

A ratio without a value is NaN with a reason: (2) and (4) without losses, (5) when the 5th percentile is no loss or so
small beside the quartiles that the ratio explodes. Aggregate histories by median.

Source: Younger, Iglesias and Sarkar (2016), "Leap of faith", J.P. Morgan; percentiles are interpolated linearly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]

MEASURES = ("sharpe", "sortino", "nonparametric_sharpe", "sterling", "drawdown_ratio", "benchmark")
SMALLEST_DRAWDOWN = 0.01  # of the interquartile range: a 5th percentile nearer to 0 makes (5) a number without meaning


class RiskMeasures(msgspec.Struct, frozen=True):
    """The measures of one history; unitless but for ``mean`` and ``standard_error``, in the unit of the returns."""

    trades: int
    mean: float
    standard_error: float  # as if trades were independent: too small where they overlap, see ``block_bootstrap``
    sharpe: float
    sortino: float
    nonparametric_sharpe: float
    sterling: float
    drawdown_ratio: float
    benchmark: float
    reasons: Mapping[str, str]  # why a measure is NaN


def risk_measures(returns: ArrayLike) -> RiskMeasures:
    """All measures of ``returns``, float64[n], one for each trade; NaN is a trade not taken.

    Raises
    ------
    ConfigError
        If the returns are not one-dimensional, or one is infinite.
    """
    x = numbers("returns", returns)
    if x.ndim != 1:
        raise ConfigError(f"returns has shape {x.shape}, but a history has one dimension; use measure_table for many")
    row = measure_table(x[:, None])[0]
    taken = x[~np.isnan(x)]
    n = taken.size
    return RiskMeasures(
        trades=n,
        mean=float(taken.mean()) if n else math.nan,
        standard_error=float(taken.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan,
        **dict(zip(MEASURES, row.tolist(), strict=True)),
        reasons=_reasons(taken, row),
    )


def measure_table(returns: ArrayLike) -> Floats:
    """``MEASURES`` of each column of ``returns``, float64[n, r] with NaN for trades not taken: float64[r, 6].

    Raises
    ------
    ConfigError
        If a return is infinite.
    """
    x = np.sort(numbers("returns", returns), axis=0)  # NaN goes last
    refuse("returns", x, np.isinf(x), "be finite", "look for a premium of 0")
    counts = (~np.isnan(x)).sum(axis=0)
    table = np.full((x.shape[1], len(MEASURES)), math.nan)
    for r, n in enumerate(counts):
        if n > 1:
            table[r] = _measures(x[:n, r])
    return table


def rolling_measures(known: ArrayLike, returns: ArrayLike, *, years: int = 5) -> Floats:
    """``measure_table`` over the trades known in the ``years`` up to each date: float64[n, r, 6].

    Parameters
    ----------
    known : datetime64[D][n], ascending
        When each return became known: the expiry, not the sale, or a window would look ahead.
    returns : float64[n, r]
        NaN for trades not taken.
    years : int
        Length of a window in calendar years; rows before the first window is full are NaN.

    Raises
    ------
    ConfigError
        If the dates do not ascend or their number does not fit.
    """
    dates, x = np.asarray(known, "datetime64[D]"), numbers("returns", returns)
    if x.ndim != 2 or dates.shape != x.shape[:1]:
        raise ConfigError(f"known has shape {dates.shape} and returns {x.shape}; give one date for each row of returns")
    if (np.diff(dates.astype(np.int64)) < 0).any():
        raise ConfigError("known must ascend; sort the trades by expiry")
    starts = _years_before(dates, years)
    first, end = np.searchsorted(dates, starts, side="right"), np.searchsorted(dates, dates, side="right")
    table = np.full((*x.shape, len(MEASURES)), math.nan)
    for i in np.flatnonzero(starts >= dates[:1]):
        table[i] = measure_table(x[first[i] : end[i]])
    return table


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of cumulative P/L from an earlier high, which may be the start."""

    depth: float  # >= 0, in the unit of the P/L
    peak: int  # closes before the fall; 0 is the start
    trough: int  # closes up to its end
    recovered: int | None  # closes until the high is reached again; None if it never is


def max_drawdown(daily_pnl: ArrayLike) -> Drawdown:
    """The deepest drawdown of a float64[d] history of daily P/L.

    Raises
    ------
    ConfigError
        If a P/L is not finite.
    """
    pnl = numbers("daily_pnl", daily_pnl)
    refuse("daily_pnl", pnl, ~np.isfinite(pnl), "be finite", "give 0 for days without a position")
    wealth = np.concatenate(([0.0], np.cumsum(pnl)))
    highs = np.maximum.accumulate(wealth)
    trough = int(np.argmax(highs - wealth))
    peak = int(np.argmax(wealth[: trough + 1]))
    back = np.flatnonzero(wealth[trough:] >= wealth[peak])
    recovered = trough + int(back[0]) if back.size else None
    return Drawdown(float(wealth[peak] - wealth[trough]), peak, trough, recovered)


def _measures(x: Floats) -> tuple[float, ...]:
    """``MEASURES`` of two or more ascending returns."""
    mean, median = float(x.mean()), _percentile(x, 50)
    rounding = 1e-13 * max(-x[0], x[-1])  # the deviation of equal returns is not quite 0
    losses = x[: int(np.searchsorted(x, 0.0))]
    quartiles = _percentile(x, 75) - _percentile(x, 25)
    low = _percentile(x, 5)
    sortino = _ratio(mean, float(losses.std(ddof=1)), rounding) if losses.size > 1 else math.nan
    sterling = median / -_percentile(losses, 50) if losses.size else math.nan
    drawdown = median / -low if _is_a_loss(low, quartiles) else math.nan
    nonparametric = _ratio(median, quartiles, rounding)
    benchmark = (nonparametric + sterling + drawdown) / 3
    return _ratio(mean, float(x.std(ddof=1)), rounding), sortino, nonparametric, sterling, drawdown, benchmark


def _reasons(x: Floats, row: Floats) -> dict[str, str]:
    if x.size < 2:
        return dict.fromkeys(MEASURES, f"{x.size} trades are too few")
    losses = int((x < 0).sum())
    no_drawdown = (
        f"the 5th percentile, {np.percentile(x, 5):.4g}, is no loss, or below {SMALLEST_DRAWDOWN:.0%} of the "
        "interquartile range: the ratio would explode"
    )
    why: dict[str, Any] = {
        "sharpe": "all returns are equal",
        "sortino": f"{losses} losses have no standard deviation" if losses < 2 else "all losses are equal",
        "nonparametric_sharpe": "the quartiles are equal",
        "sterling": "there are no losses",
        "drawdown_ratio": no_drawdown,
        "benchmark": "one of its three ratios has no value",
    }
    return {name: why[name] for name, value in zip(MEASURES, row, strict=True) if math.isnan(value)}


def _is_a_loss(low: float, quartiles: float) -> bool:
    return low < 0 and -low >= SMALLEST_DRAWDOWN * quartiles


def _ratio(above: float, below: float, rounding: float) -> float:
    return above / below if below > rounding else math.nan


def _percentile(ascending: Floats, percent: float) -> float:
    """Linear between order statistics, as ``numpy.percentile`` does by default."""
    at = (ascending.size - 1) * percent / 100
    k = min(int(at), ascending.size - 2) if ascending.size > 1 else 0
    following = ascending[min(k + 1, ascending.size - 1)]
    return float(ascending[k] + (at - k) * (following - ascending[k]))


def _years_before(dates: NDArray[np.datetime64], years: int) -> NDArray[np.datetime64]:
    months = dates.astype("datetime64[M]")
    return (months - 12 * years).astype("datetime64[D]") + (dates - months.astype("datetime64[D]"))
