"""What the sections share: curves over lags, and the sentences on what a tape cannot show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.reports import microstructure_walk as w
from engine.reports.microstructure_cells import BLOCKS
from engine.reports.microstructure_lags import PAIRS, LagSums
from engine.reports.microstructure_result import Curve, Number, curve, number
from engine.reports.microstructure_sums import Sums

Estimate = tuple[NDArray[np.float64], NDArray[np.float64]]  # values and their errors

LEAST_PAIRS = 50  # a lag with fewer is not shown
LEAST_IN_BIN = 30
BIN = "thirteenths of the session (US: half-hours)"
NO_BOOK = "the tape holds no quotes and no book of this instrument"
NO_TRADES = "the tape holds no continuous trading of this instrument"
NO_SIDES = "no trade has a side, and there is neither a quote nor a change of price to sign one by"
BARS = "bars do not show single trades or orders"
QUOTES = (
    "quotes show net changes at the best prices alone: orders behind them, or that come and go between quotes, "
    "are unseen"
)


def lagged(name: str, series: LagSums, of: Estimate, counted: int = PAIRS) -> Curve:
    return curve(name, series.lags, of, keep=shown(series, counted))


def shown(series: LagSums, counted: int = PAIRS) -> NDArray[np.bool_]:
    """Lags with enough pairs, and no longer than a block: the error of a longer one would be too small."""
    return (series.sums[..., counted].sum(axis=0) >= LEAST_PAIRS) & (series.lags * BLOCKS <= series.count)


def at_lags(name: str, series: LagSums, of: Estimate, unit: str = "", counted: int = PAIRS) -> list[Number]:
    there = shown(series, counted)
    at = [int(np.flatnonzero(series.lags == lag)[0]) for lag in (1, 10, 100)]
    return [number(f"{name}({series.lags[i]})", of, unit, i) for i in at if there[i]]


def slope(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Of the weighted least-squares line; NaN where a point is not finite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    return float(np.polyfit(x, y, 1, w=np.sqrt(weight))[0])  # polyfit squares its weights


def no_signs(s: Sums) -> str:
    if s.trades.count:
        return ""
    return BARS if s.kinds[w.BAR] else NO_SIDES if s.transactions else NO_TRADES


def no_book(s: Sums) -> str:
    return BARS if s.kinds[w.BAR] else NO_BOOK


def no_flow(s: Sums) -> str:
    """Why there is no limit-order flow."""
    return no_book(s) + ("" if s.kinds[w.BAR] else ": trades alone do not show limit orders")


def sight(s: Sums) -> str:
    """What of the orders is out of sight."""
    levels = s.instrument.levels
    if s.instrument.book == "L1":
        return QUOTES
    limited = f"only {levels} level{'s' * (levels > 1)} a side {'is' if levels == 1 else 'are'} seen" if levels else ""
    netted = "depth shows net changes of levels, not orders" if s.instrument.book == "L2" else ""
    return "; ".join(text for text in (limited, netted) if text)
