"""The par curve for people: what ``tickwright curve`` says, as lines, tables and pictures.

A ``Grid`` is printed and stands on the page; a ``Plot`` only on the page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.rates.par_day import DayFit, years_to
from engine.rates.par_history import HistoryRow, SpecialIssue
from engine.rates.par_report import RelativeValue
from engine.reports.curve_page import Grid, Plot, Trace

SHOWN_BONDS = 5  # cheapest, and as many dearest
SHOWN_DAYS = 10
DRAWN_DAYS = 1_500  # points of a line
NUMBER = re.compile(r"[+-]?[\d,]+(\.\d+)?%?|-")


def facts(day: DayFit, repo_basis: float) -> list[str]:
    """What was fitted to what, and how well."""
    fit, repo = day.enhanced, day.enhanced.curve.repo
    taken = ", ".join(f"{name} {count}" for name, count in day.basket.counts().items() if count)
    left_out = float(np.sqrt(np.nanmean(fit.left_out_yield_error**2))) * 1e4
    return [
        f"settle    {day.settle}, {day.issuer.coupons_a_year} coupon(s) a year",
        f"bonds     {day.rows.size} of {day.universe.isin.size} in the fit; left out: {taken or 'none'}",
        f"GC repo   {', '.join(_percent(rate) for rate in repo)} (O/N, 1m, 3m, 6m; act/365.25, quoted /"
        f"{repo_basis:g}); bonds meet it with a gap of {fit.curve.short_end_gap() * 1e4:+.1f} bp",
        f"RMSE      {fit.rmse * 1e4:.3f} bp of yield (each bond left out: {left_out:.3f}); "
        f"legacy fit {day.legacy.rmse * 1e4:.3f}",
        f"knots     {', '.join(f'{knot:.2f}' for knot in fit.curve.knots)} years; last maturity {fit.curve.last:.2f}",
    ]


def curve_grid(table: Mapping[str, NDArray]) -> Grid:
    """Rates and discount factors by maturity."""
    rows = [
        [f"{years:.2f}", *(_percent(rate) for rate in rates), f"{d:.8f}"]
        for years, *rates, d in zip(*table.values(), strict=True)
    ]
    return Grid("The curve", ["years", "par", "zero", "6m forward to", "discount factor"], rows)


def extremes_grid(report: RelativeValue) -> Grid:
    """Cheap and dear to the curve of the other bonds."""
    inside = np.flatnonzero((report.reason == "") & np.isfinite(report.left_out_bp))
    order = inside[np.argsort(-report.left_out_bp[inside], kind="stable")]
    few = min(SHOWN_BONDS, order.size // 2)
    chosen = [*order[:few], *order[order.size - few :]]
    rows = [
        [
            str(report.isin[i]),
            str(report.maturity[i]),
            f"{report.coupon[i] * 100:.3f}",
            f"{report.clean_price[i]:.3f}",
            *(f"{x[i]:+.2f}" for x in (report.yield_error_bp, report.left_out_bp)),
        ]
        for i in chosen
    ]
    head = ["isin", "maturity", "coupon", "price", "cheap bp", "to the others bp"]
    return Grid(f"The {few} cheapest and the {few} dearest of the basket", head, rows)


def left_out_grid(day: DayFit, *, every: bool) -> Grid:
    """The bonds that are not in the fit, and why: every one, or not those that are short or no plain bonds."""
    hits = day.basket.hits
    out = np.flatnonzero(~day.basket.in_fit & (every | ~(hits["structure"] | hits["short"])))
    rows = [[str(day.universe.isin[i]), str(day.universe.maturity[i]), str(day.basket.reason[i])] for i in out]
    title = "Not in the fit" if every else "Not in the fit, of the plain bonds of a year and more"
    return Grid(title, ["isin", "maturity", "why"], rows)


def report_grid(report: RelativeValue, horizon_days: int) -> Grid:
    order = np.lexsort((report.isin, report.maturity))
    rows = [
        [
            str(report.isin[i]),
            str(report.maturity[i]),
            f"{report.coupon[i] * 100:.3f}",
            f"{report.clean_price[i]:.3f}",
            _percent(float(report.street_yield[i])),
            *(f"{x[i]:+.2f}" for x in (report.yield_error_bp, report.left_out_bp)),
            *(
                "-" if math.isnan(x[i]) else f"{x[i]:.1f}"
                for x in (report.special_bp, report.carry_bp, report.slide_bp, report.carry_and_slide_bp)
            ),
            str(report.reason[i]) + (" (beyond the curve)" if report.is_beyond[i] else ""),
        ]
        for i in order
    ]
    head = ["isin", "maturity", "coupon", "price", "yield", "cheap bp", "to the others", "special", "carry", "slide"]
    return Grid(f"Relative value over {horizon_days} days, bp", [*head, "both", "not in the fit"], rows)


def history_facts(rows: Sequence[HistoryRow]) -> list[str]:
    """How many days were fitted and how well, and why the others were not."""
    rmse = np.array([row.rmse_bp for row in rows if not row.refused])
    return [
        f"days      {rmse.size:,} fitted, {rows[0].settle} to {rows[-1].settle}, {len(rows) - rmse.size} refused",
        f"RMSE      {np.median(rmse):.3g} bp in the middle, {rmse.min():.3g} to {rmse.max():.3g}",
        "O/N       the curve's 1-day zero is overnight GC by construction; the gap is where spline and repo meet",
        *(f"refused   {row.settle}: {row.refused}" for row in rows if row.refused),
    ]


def history_grid(rows: list[HistoryRow]) -> Grid:
    head = ["day", "bonds", "RMSE bp", "legacy", "left out", "O/N", "1-day zero", "gap bp", "2y", "10y"]
    shown = [
        [
            str(row.settle),
            str(row.bonds),
            f"{row.rmse_bp:.3f}",
            f"{row.legacy_rmse_bp:.3f}",
            f"{row.left_out_rmse_bp:.3f}",
            _percent(row.overnight),
            _percent(row.one_day_zero),
            f"{row.short_end_gap_bp:+.2f}",
            _percent(row.par_yields[0]),
            _percent(row.par_yields[4]),
        ]
        for row in rows[-SHOWN_DAYS:]
    ]
    return Grid(f"The last {len(shown)} days", head, shown)


def special_grid(issues: Sequence[SpecialIssue]) -> Grid:
    rows = [
        [
            issue.isin,
            f"{issue.special_days}",
            f"{issue.days}",
            f"{issue.mean_bp:.1f}",
            f"{issue.most_bp:.1f}",
            ", ".join(f"{first} to {last}" for first, last in issue.spells[-2:]),
        ]
        for issue in issues[: 2 * SHOWN_DAYS]
    ]
    title = f"Special in 6-month repo, the {len(rows)} most often of {len(issues)}"
    return Grid(title, ["isin", "days special", "of", "mean bp", "most bp", "last spells"], rows)


def curve_plot(day: DayFit) -> Plot:
    curve, freq = day.enhanced.curve, day.issuer.coupons_a_year
    years = np.linspace(0.1, curve.last, 300)
    late = np.linspace(0.5, curve.last, 300)
    lines = [
        Trace("par", years, curve.par_yield(years) * 100),
        Trace("zero", years, curve.zero_rate(years, per_year=freq) * 100),
        Trace("instantaneous forward", late, curve.instantaneous_forward(late) * 100),
    ]
    return Plot("Par, zero and forward curve", "years", "%", lines)


def errors_plot(day: DayFit, report: RelativeValue) -> Plot:
    years = years_to(report.maturity, day.settle)
    inside = report.reason == ""
    legacy = years_to(day.priced.bonds.maturity, day.settle)
    points = [
        Trace("enhanced", years[inside], report.yield_error_bp[inside], True, report.isin[inside].tolist()),
        Trace("legacy", legacy, day.legacy.yield_error * 1e4, True, day.universe.isin[day.rows].tolist()),
        Trace("not in the fit", years[~inside], report.yield_error_bp[~inside], True, _labels(report, ~inside)),
    ]
    return Plot("Yield less the curve's: above 0 is cheap", "years to maturity", "bp", points)


def carry_plot(report: RelativeValue, day: DayFit, horizon_days: int) -> Plot:
    years = years_to(report.maturity, day.settle)
    points = [
        Trace(name, years, values, True, report.isin.tolist())
        for name, values in (("carry", report.carry_bp), ("slide", report.slide_bp))
    ]
    return Plot(f"Carry and slide over {horizon_days} days", "years to maturity", "bp", points)


def history_plots(table: Mapping[str, NDArray]) -> list[Plot]:
    step = max(1, table["settle"].size // DRAWN_DAYS)
    thin = {name: column[::step] for name, column in table.items()}
    dates = thin["settle"].astype(str).tolist()
    rmse = [Trace(name, dates, thin[key]) for name, key in (("enhanced", "rmse_bp"), ("legacy", "legacy_rmse_bp"))]
    short = [
        Trace(name, dates, thin[key] * 100) for name, key in (("1-day zero", "one_day_zero"), ("O/N GC", "overnight"))
    ]
    par = [Trace(f"{term}-year", dates, thin[f"par_{term}y"] * 100) for term in (2, 5, 10, 20)]
    return [
        Plot("Root mean square yield error", "", "bp", rmse),
        Plot("1-day zero rate and overnight GC repo", "", "%", short),
        Plot(
            "Forward of the bonds less that of repo, at half a year",
            "",
            "bp",
            [Trace("gap", dates, thin["short_end_gap_bp"])],
        ),
        Plot("Par yields", "", "%", par),
    ]


def _labels(report: RelativeValue, chosen: NDArray[np.bool_]) -> list[str]:
    return [f"{isin}, {reason}" for isin, reason in zip(report.isin[chosen], report.reason[chosen], strict=True)]


def _percent(rate: np.floating | float) -> str:
    return "-" if math.isnan(rate) else f"{rate * 100:.4f}%"


def grid_lines(grid: Grid) -> list[str]:
    """A table for a terminal, words to the left and numbers to the right; nothing where it has no rows."""
    if not grid.rows:
        return []
    cells = [list(grid.head), *(list(row) for row in grid.rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(grid.head))]
    is_text = [not all(NUMBER.fullmatch(row[k]) for row in grid.rows) for k in range(len(widths))]
    return [
        "",
        grid.title,
        *(
            "  ".join(f"{c:<{w}}" if t else f"{c:>{w}}" for c, w, t in zip(row, widths, is_text, strict=True)).rstrip()
            for row in cells
        ),
    ]
