"""What ``tickwright curve …`` does: the par curve of a day, of many days, and relative value along it.

Each command is a function here. ``curve_tables`` reads files, ``curve_views`` says what was found, and
``reports.curve_page`` writes pages.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from engine.cli import OK, CurveOptions, Output, say
from engine.curve_tables import RepoRates, days, read_universe
from engine.curve_views import (
    carry_plot,
    curve_grid,
    curve_plot,
    errors_plot,
    extremes_grid,
    facts,
    grid_lines,
    history_facts,
    history_grid,
    history_plots,
    left_out_grid,
    report_grid,
    special_grid,
)
from engine.errors import ConfigError
from engine.kernel_cache import ensure
from engine.rates.par_basket import BasketRules
from engine.rates.par_day import DayFit, Issuer, fit_day
from engine.rates.par_history import SpecialBook, SpecialIssue, columns, fit_history
from engine.rates.par_report import RelativeValue, relative_value
from engine.rates.synthetic_treasuries import SAMPLE_DAY, sample_market
from engine.reports.curve_page import Grid, Plot, write_curve_page

SHOWN_YEARS = np.array([0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 25, 29, 30])
MOST_SAMPLE_DAYS = 2_600


class Found(NamedTuple):
    """What a command has to say: lines and tables to print, tables and pictures for a page, columns for a file."""

    title: str
    told: list[str]
    printed: list[Grid]
    on_page: list[Grid]
    plots: list[Plot]
    table: Mapping[str, NDArray]
    answer: dict[str, Any]


def fit_command(file: Path, options: CurveOptions, html: Path | None, out: Path | None, output: Output) -> int:
    """One day: both fits, the curve, who is not in it and why."""
    day = _one_day(file, options)
    report = relative_value(day)
    table = _curve_table(day)
    both = [curve_grid(table), extremes_grid(report)]
    found = Found(
        f"Par curve of {day.settle}",
        facts(day, options.repo_basis),
        [*both, left_out_grid(day, every=False)],
        [*both, left_out_grid(day, every=True)],
        [curve_plot(day), errors_plot(day, report)],
        table,
        {**_summary(day), "curve": _plain(table), "excluded": _excluded(day)},
    )
    return _give(found, html, out, output)


def history_command(file: Path, options: CurveOptions, html: Path | None, out: Path | None, output: Output) -> int:
    """Every day of a file: RMSE, the short end, par yields, and which issues were special when."""
    ensure()
    repo, book = RepoRates(options.repo, options.repo_basis), SpecialBook(options.special_bp)
    dated = list(days(read_universe(file), options.settle, file))
    console = Console(stderr=True)
    is_silent = output.quiet or output.json or not console.is_terminal
    watched = track(dated, "days", console=console, transient=True, disable=is_silent)
    rows = fit_history((repo.quote(date, universe) for date, universe in watched), _issuer(options), book=book)
    fitted = [row for row in rows if not row.refused]
    if not fitted:
        raise ConfigError(f"{file}: no day could be fitted; the first, {rows[0].settle}: {rows[0].refused}")
    issues, table = book.issues(), columns(rows)
    grids = [history_grid(fitted), *([special_grid(issues)] if issues else [])]
    answer = {
        "days": len(fitted),
        "refused": {str(row.settle): row.refused for row in rows if row.refused},
        "history": _plain(table),
        "special_issues": [_plain_issue(issue) for issue in issues],
    }
    title = "History of the par curve"
    found = Found(title, history_facts(rows), grids, grids, history_plots(table), table, answer)
    return _give(found, html, out, output)


def report_command(
    file: Path, options: CurveOptions, horizon_days: int, html: Path | None, out: Path | None, output: Output
) -> int:
    """Cheap and dear, carry and slide of every bond of a day."""
    day = _one_day(file, options)
    report = relative_value(day, horizon_days=horizon_days)
    table = {name: getattr(report, name) for name in RelativeValue._fields if name != "rows"}
    table["carry_and_slide_bp"] = report.carry_and_slide_bp
    grids = [report_grid(report, horizon_days)]
    found = Found(
        f"Relative value along the par curve, {day.settle}",
        facts(day, options.repo_basis),
        grids,
        grids,
        [errors_plot(day, report), carry_plot(report, day, horizon_days)],
        table,
        {**_summary(day), "horizon_days": horizon_days, "bonds": _rows(table)},
    )
    return _give(found, html, out, output)


def sample_command(folder: Path, count: int, output: Output) -> int:
    """A synthetic Treasury market as the files that the other commands read."""
    if folder.exists():
        raise ConfigError(f"{folder} exists; choose another folder")
    if not 1 <= count <= MOST_SAMPLE_DAYS:
        raise ConfigError(f"--days is {count}, but must be from 1 to {MOST_SAMPLE_DAYS}")
    ensure()
    universe, repo = sample_market(count)
    folder.mkdir(parents=True)
    write_csv(folder / "universe.csv", universe)
    write_csv(folder / "repo.csv", repo)
    lines = [
        f"wrote     {folder / 'universe.csv'}: {universe['isin'].size:,} rows; {folder / 'repo.csv'}: {count} days",
        "          SYNTHETIC: generated, no bond in it exists",
        f"try       tickwright curve fit {folder / 'universe.csv'} --repo {folder / 'repo.csv'} --settle {SAMPLE_DAY}",
    ]
    answer = {"folder": str(folder), "synthetic": True, "rows": int(universe["isin"].size), "days": count}
    say(output, answer, lines)
    return OK


def _give(found: Found, html: Path | None, out: Path | None, output: Output) -> int:
    """Print what was found, and write the files that were asked for."""
    lines = [*found.told, *(line for grid in found.printed for line in grid_lines(grid))]
    page = ""
    if out is not None:
        write_csv(out, found.table)
        lines += ["", f"wrote     {out}"]
    if html is not None:
        page = str(write_curve_page(html, found.title, found.told, found.plots, found.on_page))
        lines += ["", f"page      {page}"]
    say(output, {**found.answer, "page": page, "out": str(out or "")}, lines)
    return OK


def _curve_table(day: DayFit) -> dict[str, NDArray]:
    curve, per_year = day.enhanced.curve, day.issuer.coupons_a_year
    years = np.append(SHOWN_YEARS[curve.last > SHOWN_YEARS], curve.last)
    return {
        "years": years,
        "par_yield": curve.par_yield(years),
        "zero_rate": curve.zero_rate(years, per_year=per_year),
        "forward_rate_6m": curve.forward_rate(np.maximum(years - 0.5, 0), years, per_year=per_year),
        "discount_factor": curve.discount_factor(years),
    }


def _one_day(file: Path, options: CurveOptions) -> DayFit:
    ensure()
    found = list(days(read_universe(file), options.settle, file))
    if len(found) > 1:
        raise ConfigError(
            f"{file}: has {len(found)} days, {found[0][0]} to {found[-1][0]}; choose one with --settle, or take "
            "`tickwright curve history`"
        )
    quote = RepoRates(options.repo, options.repo_basis).quote(*found[0])
    return fit_day(quote.universe, quote.settle, quote.repo, _issuer(options))


def _issuer(options: CurveOptions) -> Issuer:
    newest = {} if options.keep_newest else BasketRules().newest_out
    rules = BasketRules(
        newest_out=newest,
        terms_out=(20,) if options.without_20y else (),
        special_bp=options.special_bp,
        without_unpriced=options.drop_unpriced,
    )
    return Issuer(
        coupons_a_year=options.coupons_a_year,
        last_period="simple" if options.coupons_a_year == 2 else "compound",
        knots=options.knots,
        rules=rules,
        repo_basis=options.repo_basis,
    )


def _summary(day: DayFit) -> dict[str, Any]:
    curve = day.enhanced.curve
    return {
        "settle": str(day.settle),
        "bonds": int(day.rows.size),
        "left_out": day.basket.counts(),
        "gc_repo": dict(zip(curve.repo._fields, curve.repo, strict=True)),
        "rmse_bp": day.enhanced.rmse * 1e4,
        "legacy_rmse_bp": day.legacy.rmse * 1e4,
        "short_end_gap_bp": curve.short_end_gap() * 1e4,
        "knots": curve.knots.tolist(),
        "x0": float(curve.coefficients[0]),
        "powers": curve.powers.tolist(),
        "last_maturity": curve.last,
    }


def _excluded(day: DayFit) -> dict[str, str]:
    out = np.flatnonzero(~day.basket.in_fit)
    return dict(zip(day.universe.isin[out].tolist(), day.basket.reason[out].tolist(), strict=True))


def _plain(table: Mapping[str, NDArray]) -> dict[str, list[Any]]:
    """Columns as JSON takes them."""
    return {
        name: (column.astype(str) if column.dtype.kind == "M" else column).tolist() for name, column in table.items()
    }


def _rows(table: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    plain = _plain(table)
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _plain_issue(issue: SpecialIssue) -> dict[str, Any]:
    return {
        "isin": issue.isin,
        "days": issue.days,
        "special_days": issue.special_days,
        "mean_bp": issue.mean_bp,
        "most_bp": issue.most_bp,
        "spells": [[str(first), str(last)] for first, last in issue.spells],
    }


def write_csv(out: Path, table: Mapping[str, NDArray]) -> None:
    """Columns as a new CSV file; refuses one that is there."""
    plain = _plain(table)
    try:
        with out.open("x", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(plain)
            writer.writerows(zip(*plain.values(), strict=True))
    except FileExistsError:
        raise ConfigError(f"{out} exists; choose another --out file") from None
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another --out file") from None
