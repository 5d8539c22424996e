"""The exhibits of "How much should we trust z-spreads in bond RV analysis?", by its proxies and on a user's bonds.

Exhibits 3 to 7 need nothing: our numbers stand beside the printed ones, and cells that cannot be right are marked.
Exhibits 1 and 2, and 4 and 5 for other bonds, need data. Nothing here is drawn by chance, so no number has an error.

Source: J.P. Morgan, 19 April 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.errors import ConfigError
from engine.rates.bonds import Bonds
from engine.rates.curves import Discounts
from engine.rates.day_counts import Floats
from engine.rates.z_spread_exhibits import AS_OF
from engine.rates.z_spread_study import (
    Cell,
    PeripheralSpread,
    RelativeValue,
    adjusted_french_spreads,
    coupon_neighbours,
    mispricing_table,
    optical_spreads,
    proxy_curves,
    relative_value,
)
from engine.reports.curve_page import Plot, Trace
from engine.reports.exhibits import Claim, Exhibit, Verdict, judge_exact, unjudged

FINDINGS = {
    "1": "Volatility of intra-EMU spreads is low and likely to remain so.",
    "2": "Swap spreads of neighbours with high and low coupons mislead: by more than 10 bp for two Bunds of 2028.",
    "3": "z-spreads of fair bonds differ by coupon: most for Italy, little by level, much by the slope of the curves.",
    "4": "Fair French bonds look up to 1 bp cheap or dear by their z-spreads.",
    "5": "Every 1 % of coupon needs 0.4 bp of adjustment on the French curve.",
    "6": "With the adjustment the OAT October 2032 is cheaper than both its neighbours, and not dear.",
    "7": "Proxy curves with two parameters keep levels and slopes of the market's.",
}
TITLES = {
    "1": "Spread of the periphery, and the volatility that followed",
    "2": "Swap spread and fair value on the curve",
    "3": "Mispricing by z-spread under changes of level and slope, bp",
    "4": "z-spreads of bonds that are fair",
    "5": "What is left of z-spreads after maturity, by coupon",
    "6": "French bonds with and without the coupon adjustment",
    "7": "Proxy zero curves",
}
NEAR, APART, LEAST_BP = 0.5, 0.03, 10.0  # years between neighbours, their coupons, their swap spreads
OCTOBER, BEFORE, AFTER = "2032-10-25", "2031-05-25", "2034-05-25"


class BondMarket(NamedTuple):
    """Bonds of a day with clean prices, and the two curves that judge them."""

    name: str
    bonds: Bonds
    isin: list[str]
    settle: np.datetime64
    clean: Floats
    government: Discounts
    swap: Discounts


def z_spread_exhibits(
    market: BondMarket | None = None, peripheral: PeripheralSpread | None = None, *, why: str = ""
) -> list[Exhibit]:
    """Exhibits 1 to 7; ``why`` says what is missing for a market."""
    value = None if market is None else value_of(market)
    return [
        _exhibit_1(peripheral),
        _exhibit_2(market, value, why),
        _exhibit_3(mispricing_table()),
        *_exhibits_4_5(market),
        _exhibit_6(),
        _exhibit_7(),
    ]


def value_of(market: BondMarket) -> RelativeValue:
    """All measures of the market's bonds."""
    return relative_value(market.bonds, market.settle, market.clean, market.government, market.swap)


def _exhibit_1(found: PeripheralSpread | None) -> Exhibit:
    claim = Claim("1", "volatility at the end is below its median over the history", "", "last / median")
    if found is None:
        why = "no --yields: a CSV with date, core and a column a country of 10-year yields, decimals, and --weights"
        return Exhibit("1", TITLES["1"], FINDINGS["1"], verdicts=[unjudged(claim, "no yields given")], missing=why)
    dates = found.dates.astype(str)
    known = found.volatility_bp[np.isfinite(found.volatility_bp)]
    part = float(known[-1] / np.median(known))
    lines = [Trace("spread", dates.tolist(), found.spread_bp), Trace("volatility", dates.tolist(), found.volatility_bp)]
    table = {"date": dates, "spread_bp": found.spread_bp, "volatility_bp": found.volatility_bp}
    verdict = judge_exact(claim, part, is_true=part < 1, why="says what was, not what will be")
    return Exhibit("1", TITLES["1"], FINDINGS["1"], table, [Plot(TITLES["1"], "", "bp", lines)], [verdict])


def _exhibit_2(market: BondMarket | None, value: RelativeValue | None, why: str) -> Exhibit:
    claim = Claim("2", f"two fair neighbours have swap spreads more than {LEAST_BP:g} bp apart", "> 10", "bp")
    if market is None or value is None:
        return Exhibit("2", TITLES["2"], FINDINGS["2"], verdicts=[unjudged(claim, why)], missing=why)
    table = {"isin": market.isin, **value._asdict()}
    points = [
        Trace("swap spread", value.years, value.swap_spread_bp, True, market.isin),
        Trace("fair on the curve, less swap", value.years, value.fair_spread_bp, True, market.isin),
    ]
    high, low = coupon_neighbours(value.years, value.coupon, within=NEAR, gap=APART)
    if not high.size:
        verdict = unjudged(claim, f"no two bonds within {NEAR:g} years have coupons {APART:.0%} apart")
    else:
        optical = value.fair_spread_bp[high] - value.fair_spread_bp[low]
        k = int(np.argmax(np.abs(optical)))
        pair = f"{market.isin[high[k]]} ({100 * value.coupon[high[k]]:g}%) and {market.isin[low[k]]}"
        gap = float(abs(optical[k]))
        verdict = judge_exact(claim, gap, is_true=gap > LEAST_BP, why=f"the widest of {high.size} pairs: {pair}")
    plots = [Plot(f"{market.name}, {market.settle}", "years", "bp", points)]
    return Exhibit("2", TITLES["2"], FINDINGS["2"], table, plots, [verdict])


def _exhibit_3(cells: list[Cell]) -> Exhibit:
    table = {
        name: [getattr(cell, name) for cell in cells]
        for name in ("country", "scenario", "ours_bp", "printed_bp", "agrees", "flips", "doubt")
    }
    ours = {(cell.country, cell.scenario): cell.ours_bp for cell in cells}
    proxy = {country: ours[country, "Proxy"] for country in ("Italy", "France", "Germany")}
    steps = [proxy["Italy"] - proxy["France"], proxy["France"] - proxy["Germany"]]
    level = max(abs(x) / proxy[c] for (c, s), x in ours.items() if "Govt level" in s)
    curve = [abs(x) for (_, s), x in ours.items() if "Govt curve" in s]
    agreed, marked = sum(cell.agrees for cell in cells), sum(bool(cell.doubt) for cell in cells)
    verdicts = [
        judge_exact(
            Claim("3", "mispricing is largest for Italy, then France, then Germany", "12.4, 3.0, 1.0", "bp"),
            min(steps), is_true=min(steps) > 0, why="the smaller of the two steps; parameters are read off the print",
        ),
        judge_exact(
            Claim("3", "100 bp of level move it by about 10 %", "roughly 10%", "% of mispricing"),
            100 * level, is_true=0.05 < level < 0.15, why="the largest of the six changes",
        ),
        judge_exact(
            Claim("3", "100 bp of the government's slope move it by 6 to 9 bp", "6 to 9", "bp"),
            max(curve), is_true=round(min(curve)) >= 6 and round(max(curve)) <= 9, why=f"from {min(curve):.2f}",
        ),
        judge_exact(
            Claim("3", "our numbers are the printed ones, to the printed decimal", f"{len(cells)} cells", "cells"),
            agreed, is_true=agreed + marked == len(cells), why=f"{marked} marked: they cannot be right",
        ),
    ]  # fmt: skip
    scenarios = list(dict.fromkeys(cell.scenario for cell in cells))
    points = [
        Trace(f"{country}, {what}", scenarios, [getattr(c, key) for c in cells if c.country == country], True)
        for country in proxy
        for what, key in (("ours", "ours_bp"), ("printed", "printed_bp"))
    ]
    notes = [
        f"{c.country}, {c.scenario}: ours {c.ours_bp:.2f}, printed {c.printed_bp}; {c.doubt}" for c in cells if c.doubt
    ]
    return Exhibit("3", TITLES["3"], FINDINGS["3"], table, [Plot(TITLES["3"], "", "bp", points)], verdicts, notes)


def _exhibits_4_5(market: BondMarket | None) -> list[Exhibit]:
    """By the paper's French bonds and proxies; a market's own bonds beside them."""
    french = optical_spreads()
    table = {"years": french.years, "coupon": french.coupon, "z_spread_bp": french.z_spread_bp}
    most = float(np.abs(french.residual_bp).max())
    told = [
        judge_exact(
            Claim("4", "fair French bonds look up to 1 bp cheap or dear", "±1", "bp"),
            most, is_true=0.5 < most < 1.5, why=f"{french.residual_bp.min():.2f} to {french.residual_bp.max():.2f}",
        ),
        judge_exact(
            Claim("5", "each 1 % of coupon makes a French bond 0.4 bp richer by z-spread", "0.4", "bp per 1 %"),
            -french.beta_bp, is_true=round(-french.beta_bp, 1) == 0.4, why="joint regression on T, T² and coupon",
        ),
    ]  # fmt: skip
    points = Trace("z", french.years, french.z_spread_bp, True)
    z_plots = [Plot("French bonds, fair by construction", "years", "bp", [points])]
    left = {"coupon": french.coupon, "residual_bp": french.residual_bp}
    points = Trace("residual", 100 * french.coupon, french.residual_bp, True)
    left_plots = [Plot("French bonds", "coupon, %", "bp", [points])]
    notes: list[str] = []
    if market is not None:
        mine, told_of_mine, notes = _own_optical(market, left_plots)
        told += told_of_mine
        if mine:
            z_plots.append(Plot(f"{market.name}, fair by construction", "years", "bp", mine))
    return [
        Exhibit("4", TITLES["4"], FINDINGS["4"], table, z_plots, told[:1]),
        Exhibit("5", TITLES["5"], FINDINGS["5"], left, left_plots, told[1:], notes),
    ]


def _own_optical(market: BondMarket, plots: list[Plot]) -> tuple[list[Trace], list[Verdict], list[str]]:
    claim = Claim("5", f"{market.name}: the steeper government curve decides which coupon looks rich", "", "bp per 1 %")
    try:
        found = optical_spreads(market.bonds, market.settle, market.government, market.swap)
    except ConfigError as error:
        return [], [unjudged(claim, str(error))], []
    points = Trace("residual", 100 * found.coupon, found.residual_bp, True, market.isin)
    plots.append(Plot(market.name, "coupon, %", "bp", [points]))
    last = float(found.years.max())
    steeper = _slope(market.government, last) - _slope(market.swap, last)
    why = f"government less swap slope from 1 to {last:.0f} years {1e4 * steeper:+.0f} bp; one day, {market.settle}"
    verdict = judge_exact(claim, -found.beta_bp, is_true=(found.beta_bp < 0) == (steeper > 0), why=why)
    least, most = found.residual_bp.min(), found.residual_bp.max()
    note = f"{market.name}: fair bonds look {least:.2f} to {most:.2f} bp cheap or dear"
    return [Trace("z", found.years, found.z_spread_bp, True, market.isin)], [verdict], [note]


def _slope(curve: Discounts, years: float) -> float:
    """Annual zero rate of ``years`` less that of one year."""
    long, short = (curve.discount_factor(np.array([t]))[0] ** (-1 / t) - 1 for t in (years, 1.0))
    return float(long - short)


def _exhibit_6() -> Exhibit:
    bonds = adjusted_french_spreads()
    table = {name: [getattr(bond, name) for bond in bonds] for name in bonds[0]._fields}
    by_date = {bond.maturity: bond.adjusted_bp for bond in bonds}
    gap = min(by_date[OCTOBER] - by_date[BEFORE], by_date[OCTOBER] - by_date[AFTER])
    off = max(abs(bond.adjustment_bp - bond.printed_adjustment_bp) for bond in bonds)
    verdicts = [
        judge_exact(
            Claim("6", "adjusted, the OAT Oct32 is cheaper than May31 and May34", "0.2", "bp"),
            gap, is_true=gap > 0, why="the smaller of the two gaps; market z-spreads are the printed ones",
        )
    ]  # fmt: skip
    dates = [bond.maturity for bond in bonds]
    lines = [
        Trace("market", dates, [bond.z_spread_bp for bond in bonds], True),
        Trace("adjusted", dates, [bond.adjusted_bp for bond in bonds], True),
        Trace("swap spread", dates, [bond.swap_spread_bp for bond in bonds], True),
    ]
    notes = [f"adjustments differ from the printed column by at most {off:.2f} bp; as of {AS_OF}"]
    return Exhibit("6", TITLES["6"], FINDINGS["6"], table, [Plot(TITLES["6"], "", "bp", lines)], verdicts, notes)


def _exhibit_7() -> Exhibit:
    table = proxy_curves()
    lines = [Trace(name, table["years"], rates) for name, rates in table.items() if name != "years"]
    note = "the printed chart is lost: parameters reproduce exhibit 3, which pins only differences of slopes"
    claim = Claim("7", "1-year and 30-year proxy rates are close to market levels")
    verdicts = [unjudged(claim, "the market levels of the print are lost")]
    return Exhibit("7", TITLES["7"], FINDINGS["7"], table, [Plot(TITLES["7"], "years", "%", lines)], verdicts, [note])
