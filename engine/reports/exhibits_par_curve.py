"""The exhibits of "The new and improved Treasury par curve model" on a tape's own bonds.

Source: J.P. Morgan, 16 July 2018. Both fits of each day come from ``par_day``; numbers about days get their errors from
500 histories drawn in blocks of 42 closes or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.block_bootstrap import SHORTEST_BLOCK, block_rows
from engine.rates.par_day import EURO, TREASURY, DayFit, Issuer, fit_day, years_to
from engine.rates.par_history import HistoryRow, Quote, columns, history_row
from engine.reports.curve_page import Plot, Trace
from engine.reports.exhibits import Claim, Exhibit, judge_draws, judge_exact, unjudged
from engine.reports.exhibits_tape import Panels, bond_days, coupons_a_year, days_of, lacks

Floats = NDArray[np.float64]

DRAWS = 500
FRONT_YEARS = 3.0
SHORT_TERM, LONG_TERM = 2.0, 10.0  # of exhibit 1
DRAWN_DAYS = 1_500
PAR, BONDS = ("par_yield", "axis_par_tenor"), ("bond", "bond_price", "axis_bond", "gc_repo", "axis_repo_tenor")
FINDINGS = {
    "1": "Longer bonds move more in price than shorter ones, so equal weights in price are not equal weights in yield.",
    "2": "Yield errors are mostly lower in the new model, above all at the front end.",
    "3": "The root mean square error of the new model is more stable.",
    "4": "The 1-day zero rate follows overnight GC repo.",
}
TITLES = {
    "1": "Daily price changes of 2-year and 10-year par bonds",
    "2": "Yield errors of the new and the legacy model",
    "3": "Root mean square yield error by day",
    "4": "1-day zero rate and overnight GC repo",
}
CLAIMS = {
    "1": (Claim("1", "10-year prices vary more than 2-year ones", "", "log of the ratio of deviations"),),
    "2": (
        Claim("2", f"errors of bonds up to {FRONT_YEARS:g} years are smaller in the new model", "", "bp"),
        Claim("2", "errors of all bonds are smaller in the new model", "", "bp"),
    ),
    "3": (Claim("3", "the error of the new model varies less from day to day", "", "bp"),),
    "4": (Claim("4", "the 1-day zero rate is overnight GC", "", "largest gap, bp"),),
}


class FittedDays(NamedTuple):
    """What is kept of the fits of a history, and the last of them."""

    rows: list[HistoryRow]
    front_bp: Floats  # [d, 2], root mean square yield error up to FRONT_YEARS: enhanced, legacy
    last: DayFit
    refused: int


def par_curve_exhibits(
    panels: Panels,
    rng: np.random.Generator,
    *,
    every: int = 1,
    knots: int = 6,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda days, count: days,
) -> list[Exhibit]:
    """Exhibits 1 to 4; what the tape lacks is named.

    Parameters
    ----------
    every : int
        Fit every such close.
    knots : int
        Of the spline; fewer where there are few bonds.
    watch : callable
        Wraps the days that are fitted and their number, to show progress.
    """
    fitted, why = None, lacks(panels, *BONDS)
    if not why:
        issuer = replace(TREASURY if coupons_a_year(panels) == 2 else EURO, knots=knots)
        fitted = fit_days(watch(bond_days(panels, every), -(-len(panels["date"]) // every)), issuer)
    return [_exhibit_1(panels, rng), *_fitted_exhibits(fitted, why, rng)]


def fit_days(quotes: Iterable[Quote], issuer: Issuer) -> FittedDays:
    """Fit each day; those that are refused are counted."""
    rows, front, last, refused, first_reason = [], [], None, 0, ""
    for quote in quotes:
        try:
            last = fit_day(quote.universe, quote.settle, quote.repo, issuer)
        except ConfigError as error:
            refused, first_reason = refused + 1, first_reason or f"{quote.settle}: {error}"
            continue
        rows.append(history_row(last))
        near = years_to(last.priced.bonds.maturity, last.settle) <= FRONT_YEARS
        errors = (fit.yield_error[near] for fit in (last.enhanced, last.legacy))
        front.append([float(np.sqrt(np.mean(e**2))) * 1e4 if near.any() else math.nan for e in errors])
    if last is None:
        raise ConfigError(f"no day could be fitted; {first_reason or 'gc_repo has no day with all its rates'}")
    return FittedDays(rows, np.array(front), last, refused)


def _exhibit_1(panels: Panels, rng: np.random.Generator) -> Exhibit:
    """Each day's change of a bond that was at par the day before, repriced at the day's yield of its tenor."""
    claim = CLAIMS["1"][0]
    why = lacks(panels, *PAR)
    if not why:
        tenors = np.asarray(panels["axis_par_tenor"])
        gone = [years for years in (SHORT_TERM, LONG_TERM) if not np.isclose(tenors, years).any()]
        why = f"par_yield has no {gone[0]:g}-year tenor" if gone else ""
    if why:
        return Exhibit("1", TITLES["1"], FINDINGS["1"], verdicts=[unjudged(claim, why)], missing=why)
    at = [int(np.flatnonzero(np.isclose(tenors, years))[0]) for years in (SHORT_TERM, LONG_TERM)]
    yields, dates = np.asarray(panels["par_yield"], np.float64)[:, at], days_of(panels)
    full = np.isfinite(yields).all(axis=1)
    yields, dates = yields[full], dates[full]
    moves = np.column_stack([_price_changes(yields[:, k], years) for k, years in enumerate((SHORT_TERM, LONG_TERM))])
    number = _log_ratio(moves)
    drawn = _draw(moves, _log_ratio, rng)
    verdicts = [judge_draws(claim, number, drawn)]
    table = {"date": dates[1:].astype(str), "two_year_points": moves[:, 0], "ten_year_points": moves[:, 1]}
    lines = [
        Trace(name, _thin(table["date"]), _thin(m)) for name, m in (("10-year", moves[:, 1]), ("2-year", moves[:, 0]))
    ]
    sds = moves.std(axis=0, ddof=1)
    notes = [f"standard deviation {sds[0]:.3f} and {sds[1]:.3f} points a day, {dates[0]} to {dates[-1]}"]
    return Exhibit("1", TITLES["1"], FINDINGS["1"], table, [Plot(TITLES["1"], "", "points", lines)], verdicts, notes)


def _fitted_exhibits(fitted: FittedDays | None, why: str, rng: np.random.Generator) -> list[Exhibit]:
    if fitted is None:
        return [
            Exhibit(n, TITLES[n], FINDINGS[n], verdicts=[unjudged(c, why) for c in CLAIMS[n]], missing=why)
            for n in ("2", "3", "4")
        ]
    history = columns(fitted.rows)
    told = f"{len(fitted.rows):,} days fitted, {fitted.rows[0].settle} to {fitted.rows[-1].settle}"
    note = f"{told}, {fitted.refused} refused; {fitted.last.rows.size} bonds on the last"
    both = np.column_stack([history["rmse_bp"], history["legacy_rmse_bp"]])
    return [_exhibit_2(fitted, both, note, rng), _exhibit_3(history, both, note, rng), _exhibit_4(history, note)]


def _exhibit_2(fitted: FittedDays, both: Floats, note: str, rng: np.random.Generator) -> Exhibit:
    day = fitted.last
    years = years_to(day.priced.bonds.maturity, day.settle)
    errors = {"enhanced_bp": day.enhanced.yield_error * 1e4, "legacy_bp": day.legacy.yield_error * 1e4}
    table = {"isin": day.universe.isin[day.rows], "years": years, **errors}
    points = [Trace(name.removesuffix("_bp"), years, e, True, table["isin"].tolist()) for name, e in errors.items()]
    verdicts = []
    for claim, values in zip(CLAIMS["2"], (fitted.front_bp, both), strict=True):
        pairs = values[np.isfinite(values).all(axis=1)]
        verdicts.append(judge_draws(claim, _gap_of_means(pairs), _draw(pairs, _gap_of_means, rng)))
    notes = [note, "over all bonds the new model's error can hardly be larger: it is what its fit makes least"]
    plots = [Plot(f"Yield errors on {day.settle}", "years to maturity", "bp", points)]
    return Exhibit("2", TITLES["2"], FINDINGS["2"], table, plots, verdicts, notes)


def _exhibit_3(history: Any, both: Floats, note: str, rng: np.random.Generator) -> Exhibit:
    def calmer(x: Floats) -> float:
        return float(x[:, 1].std(ddof=1) - x[:, 0].std(ddof=1)) if len(x) > 1 else math.nan

    dates = history["settle"].astype(str)
    lines = [Trace(name, _thin(dates), _thin(both[:, k])) for k, name in enumerate(("enhanced", "legacy"))]
    table = {"settle": dates, "rmse_bp": both[:, 0], "legacy_rmse_bp": both[:, 1]}
    verdicts = [judge_draws(CLAIMS["3"][0], calmer(both), _draw(both, calmer, rng))]
    return Exhibit("3", TITLES["3"], FINDINGS["3"], table, [Plot(TITLES["3"], "", "bp", lines)], verdicts, [note])


def _exhibit_4(history: Any, note: str) -> Exhibit:
    dates, zero, overnight = history["settle"].astype(str), history["one_day_zero"], history["overnight"]
    lines = [Trace(n, _thin(dates), 100 * _thin(x)) for n, x in (("1-day zero", zero), ("overnight GC", overnight))]
    table = {
        "settle": dates,
        "one_day_zero": zero,
        "overnight": overnight,
        "gap_at_half_a_year_bp": history["short_end_gap_bp"],
    }
    gap = float(np.abs(zero - overnight).max() * 1e4)
    verdict = judge_exact(CLAIMS["4"][0], gap, is_true=gap < 0.01, why="so by construction, here as in the paper")
    return Exhibit("4", TITLES["4"], FINDINGS["4"], table, [Plot(TITLES["4"], "", "%", lines)], [verdict], [note])


def _price_changes(yields: Floats, years: float) -> Floats:
    """Points: 100 of a bond with yesterday's yield as its coupon, two a year, at today's yield; float64[d - 1]."""
    coupon, half = yields[:-1], yields[1:] / 2
    periods = 2 * years
    discount = (1 + half) ** -periods
    annuity = np.where(np.abs(half) < 1e-12, periods, (1 - discount) / np.where(half == 0, 1, half))
    return 100 * (coupon / 2 * annuity + discount - 1)


def _log_ratio(moves: Floats) -> float:
    return float(np.log(moves[:, 1].std(ddof=1) / moves[:, 0].std(ddof=1))) if len(moves) > 1 else math.nan


def _gap_of_means(pairs: Floats) -> float:
    """Legacy less enhanced."""
    return float((pairs[:, 1] - pairs[:, 0]).mean()) if len(pairs) else math.nan


def _draw(values: Floats, number: Callable[[Floats], float], rng: np.random.Generator) -> Floats:
    """The number of 500 histories of whole blocks; all NaN where two blocks do not fit."""
    n = len(values)
    if n < 2 * SHORTEST_BLOCK:
        return np.full(DRAWS, math.nan)
    return np.array([number(values[block_rows(n, SHORTEST_BLOCK, rng)]) for _ in range(DRAWS)])


def _thin(values: Any) -> Any:
    return values[:: max(1, len(values) // DRAWN_DAYS)]
