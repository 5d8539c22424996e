"""The z-spread paper's exhibits, computed: each function returns the rows or columns of one, in basis points.

| exhibit | function | needs |
|---|---|---|
| 1 | ``peripheral_spread`` | your 10-year yields of each country, and weights |
| 2 | ``relative_value``, ``coupon_neighbours`` | bonds with prices, a government and a swap curve |
| 3 | ``mispricing_table`` | nothing: our number beside the printed one, suspect cells marked |
| 4, 5 | ``optical_spreads`` | nothing, or your bonds and curves |
| 6 | ``adjusted_french_spreads`` | nothing |
| 7 | ``proxy_curves`` | nothing |

Source: J.P. Morgan, "How much should we trust z-spreads in bond RV analysis?", 19 April 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows, street_yield
from engine.rates.curves import Discounts, par_rate
from engine.rates.day_counts import Dates, Floats, as_dates
from engine.rates.refusals import numbers, refuse
from engine.rates.schedules import Ints
from engine.rates.z_spread import (
    coupon_adjustment,
    fair_coupon_adjustment,
    price_on_curve,
    z_spread,
)
from engine.rates.z_spread_exhibits import AS_OF, EXHIBIT_3_BP, EXHIBIT_6, ROWS, SUSPECT
from engine.rates.z_spread_proxies import PROXIES, YEARS, scenario_changes

BP = 1e4
QUARTER = 63  # business days
DAYS_A_YEAR = 252


class PeripheralSpread(NamedTuple):
    """Columns of Exhibit 1."""

    dates: Dates
    spread_bp: Floats  # weighted spread to the core country
    volatility_bp: Floats  # a year, delivered over the three months that follow; NaN in the last three


class RelativeValue(NamedTuple):
    """Columns of Exhibit 2, one row a bond."""

    years: Floats
    coupon: Floats
    street_yield: Floats
    swap_spread_bp: Floats  # yield less the par swap rate of its maturity
    fair_spread_bp: Floats  # the same for the yield at which it would be fair on the government curve
    cheapness_bp: Floats  # yield less fair yield: what is left when coupons and curve are seen through
    z_spread_bp: Floats
    adjusted_z_spread_bp: Floats


class Cell(NamedTuple):
    """One number of Exhibit 3."""

    country: str
    scenario: str
    ours_bp: float
    printed_bp: float
    agrees: bool  # to the printed decimal
    flips: bool  # the mispricing changes sign: the print's **
    doubt: str  # why the printed number cannot be right; empty for the others


class OpticalSpreads(NamedTuple):
    """Columns of Exhibits 4 and 5: bonds that are fair, and how cheap or dear their z-spreads make them look."""

    years: Floats
    coupon: Floats
    z_spread_bp: Floats
    residual_bp: Floats  # of the z-spread on a curve in maturity
    beta_bp: float  # per 1 % of coupon


class AdjustedBond(NamedTuple):
    """A row of Exhibit 6: printed market z-spread, printed and our adjustment."""

    maturity: str
    coupon_percent: float
    z_spread_bp: float
    adjustment_bp: float
    printed_adjustment_bp: float
    adjusted_bp: float
    swap_spread_bp: float


def peripheral_spread(
    dates: ArrayLike, yields: ArrayLike, core: ArrayLike, weights: ArrayLike, *, window: int = QUARTER
) -> PeripheralSpread:
    """Weighted spread to the core country, beside the volatility that it delivered in the months after each date.

    Parameters
    ----------
    dates : datetime64[D][d], ascending business days
    yields : float64[d, c]
        10-year yields of c countries, decimals.
    core : float64[d]
        10-year yield of the country that spreads are taken to.
    weights : float64[c]
        >= 0; scaled to add up to 1. The paper does not print its own: debt outstanding is a choice.
    window : int
        Business days over which volatility is delivered, and by which it is moved back.

    Raises
    ------
    ConfigError
        If shapes do not fit, a yield is missing, weights are no weights, or the history is not longer than the window.
    """
    days = as_dates("dates", dates)
    table, anchor, share = numbers("yields", yields), numbers("core", core), numbers("weights", weights)
    if table.shape != (days.size, share.size) or anchor.shape != days.shape:
        shapes = f"yields {table.shape} and core {anchor.shape}"
        raise ConfigError(f"{shapes} do not fit {days.size} days, {share.size} weights; give a weight a column")
    for name, values in (("yields", table), ("core", anchor)):
        refuse(name, values, ~np.isfinite(values), "be a number", "drop the day or fill the gap")
    refuse("weights", share, ~((share >= 0) & (share.sum() > 0)), "be >= 0, one of them > 0", "give debt outstanding")
    if days.size <= window:
        raise ConfigError(
            f"{days.size} days have no {window} days to follow; give a longer history or a shorter window"
        )
    spread = BP * (table @ (share / share.sum()) - anchor)
    moves = np.lib.stride_tricks.sliding_window_view(np.diff(spread), window)
    volatility = np.full(days.size, np.nan)
    volatility[: moves.shape[0]] = moves.std(axis=1, ddof=1) * np.sqrt(DAYS_A_YEAR)
    return PeripheralSpread(days, spread, volatility)


def relative_value(
    bonds: Bonds, settle: ArrayLike, clean: ArrayLike, government: Discounts, swap: Discounts
) -> RelativeValue:
    """Every measure of cheap and dear in the paper for bonds with clean prices; yields compound as the ICMA does.

    The coupon adjustment is that of the same bonds priced fair on ``government``: what z-spreads get wrong.
    """
    flows = cash_flows(bonds, settle)
    dirty = numbers("clean", clean) + accrued(bonds, settle)
    fair = price_on_curve(flows, government)
    found, fair_yield = (street_yield(bonds, settle, dirty=price, last_period="compound") for price in (dirty, fair))
    years = flows.times[flows.offsets[1:] - 1]
    swap_rate = np.empty(years.size)
    for per_year in np.unique(bonds.frequency):
        mine = bonds.frequency == per_year
        swap_rate[mine] = par_rate(swap, years[mine], per_year=int(per_year))
    z = z_spread(flows, dirty, swap)
    adjustment = fair_coupon_adjustment(flows, bonds.coupon, government, swap).adjustment
    return RelativeValue(
        years,
        bonds.coupon,
        found,
        BP * (found - swap_rate),
        BP * (fair_yield - swap_rate),
        BP * (found - fair_yield),
        BP * z,
        BP * (z + adjustment),
    )


def coupon_neighbours(
    years: ArrayLike, coupons: ArrayLike, *, within: float = 0.5, gap: float = 0.03
) -> tuple[Ints, Ints]:
    """Pairs of bonds that mature within ``within`` years of each other with coupons ``gap`` or more apart.

    Returns indices of the high and of the low coupons, in order of maturity of the high ones.
    """
    maturity, rate = numbers("years", years), numbers("coupons", coupons)
    near = np.abs(maturity[:, None] - maturity) <= within
    high, low = np.nonzero(near & (rate[:, None] - rate >= gap))
    order = np.lexsort((maturity[low], maturity[high]))
    return high[order], low[order]


def mispricing_table() -> list[Cell]:
    """Exhibit 3, our number beside the printed one."""
    cells = []
    for country, printed in EXHIBIT_3_BP.items():
        changes = scenario_changes(PROXIES[country], PROXIES["EUR swap"])
        for scenario, printed_bp in zip(ROWS, printed, strict=True):
            ours = BP * changes[scenario]
            flips = scenario != "Proxy" and changes["Proxy"] + changes[scenario] < 0
            agrees = abs(round(ours, 1) - printed_bp) < 0.05
            doubt = SUSPECT.get((country, scenario), "")
            cells.append(Cell(country, scenario, ours, printed_bp, agrees, flips, doubt))
    return cells


def french_bonds() -> Bonds:
    """The bonds of Exhibit 6."""
    return Bonds([bond.maturity for bond in EXHIBIT_6], [bond.coupon_percent / 100 for bond in EXHIBIT_6], frequency=1)


def optical_spreads(
    bonds: Bonds | None = None,
    settle: ArrayLike = AS_OF,
    government: Discounts | None = None,
    swap: Discounts | None = None,
) -> OpticalSpreads:
    """z-spreads of bonds that are fair on ``government``; by default the paper's French bonds and proxies."""
    bonds = french_bonds() if bonds is None else bonds
    government = PROXIES["France"].curve() if government is None else government
    swap = PROXIES["EUR swap"].curve() if swap is None else swap
    flows = cash_flows(bonds, settle)
    z = z_spread(flows, price_on_curve(flows, government), swap)
    years = flows.times[flows.offsets[1:] - 1]
    found = coupon_adjustment(z, years, bonds.coupon)
    return OpticalSpreads(years, bonds.coupon, BP * z, BP * found.residual_of_maturity, BP * found.beta / 100)


def adjusted_french_spreads() -> list[AdjustedBond]:
    """Exhibit 6: the printed market z-spreads with our adjustment from fair bonds."""
    bonds = french_bonds()
    proxies = PROXIES["France"].curve(), PROXIES["EUR swap"].curve()
    adjustment = BP * fair_coupon_adjustment(cash_flows(bonds, AS_OF), bonds.coupon, *proxies).adjustment
    return [
        AdjustedBond(
            bond.maturity,
            bond.coupon_percent,
            bond.z_spread_bp,
            float(ours),
            bond.adjustment_bp,
            bond.z_spread_bp + float(ours),
            bond.swap_spread_bp,
        )
        for bond, ours in zip(EXHIBIT_6, adjustment, strict=True)
    ]


def proxy_curves() -> dict[str, Floats]:
    """Exhibit 7: years, and the annual zero rates of each proxy in percent."""
    rates = {name: 100 * proxy.zero_rates() for name, proxy in PROXIES.items()}
    return {"years": np.arange(1.0, YEARS + 1), **rates}
