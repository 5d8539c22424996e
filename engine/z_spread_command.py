"""What ``tickwright curve zspread`` does: z-spreads of your bonds over your curves, or the paper's exhibits 3 to 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.cli import OK, Output, say
from engine.curve_tables import as_date, read_columns
from engine.curve_views import grid_lines
from engine.errors import ConfigError
from engine.kernel_cache import ensure
from engine.rates.bonds import Bonds, accrued, cash_flows, street_yield
from engine.rates.curves import DiscountCurve
from engine.rates.swap_curve import bootstrap
from engine.rates.z_spread import CouponAdjustment, coupon_adjustment, fair_coupon_adjustment, z_spread
from engine.rates.z_spread import matched_maturity_swap_spread as swap_spread
from engine.rates.z_spread_exhibits import ROWS
from engine.rates.z_spread_study import adjusted_french_spreads, mispricing_table, optical_spreads
from engine.reports.curve_page import Grid, Plot, Trace, write_curve_page
from engine.reports.exhibits import plain
from engine.reports.exhibits_page import verdict_grid
from engine.reports.exhibits_z_spread import z_spread_exhibits

Floats = NDArray[np.float64]

BP = 1e4
BOND = {"isin": "text", "maturity": "date", "coupon": "number", "clean_price": "number"}
RATES = ("zero_rate", "discount_factor", "par_rate")  # a curve's file has one of them
MARKETS = {1: "EUR", 2: "USD 2016"}  # of par_rate, by coupons a year


class Values(NamedTuple):
    """One row a bond, in order of maturity."""

    isin: NDArray[np.str_]
    maturity: NDArray[np.datetime64]
    coupon: Floats
    clean_price: Floats
    street_yield: Floats  # decimal
    swap_spread_bp: Floats
    z_spread_bp: Floats
    coupon_adjustment_bp: Floats
    adjusted_z_spread_bp: Floats


def zspread_command(
    bonds: Path | None,
    swap: Path | None,
    government: Path | None,
    settle: str,
    coupons_a_year: int,
    html: Path | None,
    out: Path | None,
    output: Output,
) -> int:
    """A table of bonds where there are some, otherwise the paper's proxies."""
    ensure()
    if bonds is None:
        return _proxies(html, out, output)
    if swap is None or not settle:
        raise ConfigError("curve zspread with bonds needs --swap, a file of the swap curve, and --settle YYYY-MM-DD")
    day = as_date(settle)
    issuers = None if government is None else read_curve(government, day, coupons_a_year)
    swaps = read_curve(swap, day, coupons_a_year)
    values, beta = value(read_bonds(bonds, day), day, swaps, issuers, coupons_a_year)
    basis = "their own z-spreads, real cheapness included"
    if government is not None:
        basis = "the same bonds, fair on the government curve"
    facts = [
        f"settle    {day}, {values.isin.size} bonds, {coupons_a_year} coupon(s) a year",
        f"coupon    1 % more makes a bond {-beta:+.3f} bp richer by z-spread; from {basis}",
    ]
    rows = _rows(values)
    answer = {"settle": str(day), "beta_bp_per_percent": beta, "adjusted_by": basis, "bonds": rows}
    return _give("z-spreads", facts, [_grid(values)], [_plot(values, day)], answer, rows, html, out, output)


def read_bonds(file: Path, day: np.datetime64) -> dict[str, NDArray[Any]]:
    """The bonds of a file that settle on ``day``: all of them where it has no column date.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks a column or has no bond of the day.
    """
    table = read_columns(file, BOND, {"date": "date"})
    dates = table.pop("date", None)
    if dates is not None:
        table = {name: column[dates == day] for name, column in table.items()}
    if not table["isin"].size:
        raise ConfigError(f"{file}: has no bond of {day}; choose another --settle")
    order = np.argsort(table["maturity"], kind="stable")
    return {name: column[order] for name, column in table.items()}


def read_curve(file: Path, day: np.datetime64, coupons_a_year: int) -> DiscountCurve:
    """A curve of ``years`` and one of RATES: annual zero rates, discount factors from settlement, or par swap rates.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has not exactly one of the three columns.
    """
    table = read_columns(file, {"years": "number"}, {"date": "date", **dict.fromkeys(RATES, "number")})
    held = [name for name in RATES if name in table]
    if len(held) != 1:
        raise ConfigError(f"{file}: has {len(held)} of the columns {', '.join(RATES)}; give years and one of them")
    chosen = table["date"] == day if "date" in table else np.ones(table["years"].size, bool)
    if not chosen.any():
        raise ConfigError(f"{file}: has no row of {day}; choose another --settle")
    years, rates = table["years"][chosen], table[held[0]][chosen]
    try:
        if held[0] == "par_rate":
            return bootstrap(day, years, rates, market=MARKETS[coupons_a_year])
        if held[0] == "discount_factor":
            return DiscountCurve(years, rates)
        return DiscountCurve.from_zero_rates(years, rates, interpolation="linear zero", beyond="flat")
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def value(
    table: dict[str, NDArray[Any]],
    day: np.datetime64,
    swap: DiscountCurve,
    government: DiscountCurve | None,
    coupons_a_year: int,
) -> tuple[Values, float]:
    """Every bond's spreads, and the coupon's effect in bp per 1 %.

    The adjustment is that of the same bonds fair on ``government``; without it, of a regression of their own z-spreads.
    """
    bonds = Bonds(table["maturity"], table["coupon"], frequency=coupons_a_year)
    flows, clean = cash_flows(bonds, day), table["clean_price"]
    dirty = clean + accrued(bonds, day)
    years = flows.times[flows.offsets[1:] - 1]
    yields = street_yield(bonds, day, dirty=dirty, last_period="compound" if coupons_a_year == 1 else "simple")
    z = z_spread(flows, dirty, swap)
    found: CouponAdjustment = (
        coupon_adjustment(z, years, bonds.coupon)
        if government is None
        else fair_coupon_adjustment(flows, bonds.coupon, government, swap)
    )
    spread = swap_spread(yields, years, swap, per_year=coupons_a_year)
    names = table["isin"], table["maturity"], table["coupon"], clean
    spreads = (BP * x for x in (spread, z, found.adjustment, z + found.adjustment))
    return Values(*names, yields, *spreads), BP * found.beta / 100


def _proxies(html: Path | None, out: Path | None, output: Output) -> int:
    """Exhibits 3 to 6, our numbers beside the printed ones."""
    exhibits = z_spread_exhibits()[2:6]
    cells = {(cell.country, cell.scenario): cell for cell in mispricing_table()}
    countries = list(dict.fromkeys(country for country, _ in cells))
    told = [
        [
            row,
            *(
                f"{c.ours_bp:.2f} / {c.printed_bp:.1f}{'*' if c.doubt else ''}"
                for c in (cells[k, row] for k in countries)
            ),
        ]
        for row in ROWS
    ]
    french, optical = adjusted_french_spreads(), optical_spreads()
    bonds = [
        [
            bond.maturity, f"{bond.coupon_percent:.2f}", f"{z:.2f}", f"{left:+.2f}", f"{bond.z_spread_bp:.1f}",
            f"{bond.adjustment_bp:+.2f}", f"{bond.printed_adjustment_bp:+.1f}", f"{bond.adjusted_bp:.2f}",
            f"{bond.swap_spread_bp:.1f}",
        ]
        for bond, z, left in zip(french, optical.z_spread_bp, optical.residual_bp, strict=True)
    ]  # fmt: skip
    head = ["maturity", "coupon", "fair z", "residual", "market z", "adjust", "printed", "adjusted", "swap spread"]
    grids = [
        Grid(
            "Exhibit 3: mispricing by z-spread, bp, ours / printed; * the print cannot be right", ["", *countries], told
        ),
        Grid("Exhibits 4 to 6: French bonds, bp", head, bonds),
        verdict_grid(exhibits),
    ]
    facts = [
        "proxies   the paper's made-up curves; give bonds and --swap for your own market",
        f"coupon    1 % more makes a fair French bond {-optical.beta_bp:+.3f} bp richer by z-spread; printed 0.4",
        *(f"*         {c.country}, {c.scenario}: {c.doubt}" for c in cells.values() if c.doubt),
    ]
    rows = [cell._asdict() for cell in cells.values()]
    plots = [plot for one in exhibits for plot in one.plots]
    return _give("z-spreads by proxies", facts, grids, plots, {"exhibits": plain(exhibits)}, rows, html, out, output)


def _give(
    title: str,
    facts: list[str],
    grids: list[Grid],
    plots: list[Plot],
    answer: dict[str, Any],
    rows: list[dict[str, Any]],
    html: Path | None,
    out: Path | None,
    output: Output,
) -> int:
    from engine.curve_command import write_csv

    lines = [*facts, *(line for grid in grids for line in grid_lines(grid))]
    page = ""
    if out is not None:
        write_csv(out, {name: np.array([row[name] for row in rows]) for name in rows[0]})
        lines += ["", f"wrote     {out}"]
    if html is not None:
        page = str(write_curve_page(html, title, facts, plots, grids))
        lines += ["", f"page      {page}"]
    say(output, {**answer, "page": page, "out": str(out or "")}, lines)
    return OK


def _rows(values: Values) -> list[dict[str, Any]]:
    dates = values._replace(maturity=values.maturity.astype(str))
    return [dict(zip(Values._fields, row, strict=True)) for row in zip(*(c.tolist() for c in dates), strict=True)]


def _plot(values: Values, day: np.datetime64) -> Plot:
    years = (values.maturity - day).astype(int) / 365.25
    named = (("z", "z_spread_bp"), ("adjusted z", "adjusted_z_spread_bp"), ("swap spread", "swap_spread_bp"))
    points = [Trace(name, years, getattr(values, key), True, values.isin.tolist()) for name, key in named]
    return Plot("Spreads to the swap curve", "years to maturity", "bp", points)


def _grid(values: Values) -> Grid:
    head = ["isin", "maturity", "coupon", "price", "yield", "swap spread", "z", "adjust", "adjusted z"]
    rows = [
        [isin, str(maturity), f"{100 * coupon:.3f}", f"{clean:.3f}", f"{100 * y:.4f}%", *(f"{x:+.2f}" for x in spreads)]
        for isin, maturity, coupon, clean, y, *spreads in zip(*values, strict=True)
    ]
    return Grid("Spreads to the swap curve, bp", head, rows)
