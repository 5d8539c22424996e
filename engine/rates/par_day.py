"""One day of the Treasury market, from clean prices to both fits of the par curve.

1. ``par_basket`` decides which bonds enter.
2. ``bonds`` gives their flows, accrued interest, street yields and modified durations.
3. ``par_fit`` fits the curve twice on one design: "yield" (enhanced) and "price" (legacy).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.bond_kernels import fill_measures, fill_street_yields
from engine.rates.bonds import Bonds, CashFlows, accrued, cash_flows
from engine.rates.day_counts import Dates
from engine.rates.gc_repo import DAYS_A_YEAR, GcRepo
from engine.rates.par_basket import EVERY_PLAIN_BOND, Basket, BasketRules, BondUniverse, select_basket
from engine.rates.par_fit import KNOTS, ParDesign, ParFit, fit_par_curve

Floats = NDArray[np.float64]
LastPeriod = Literal["simple", "compound"]

WILDEST = 0.5  # of a yield: beyond, the price or the terms are wrong


class Priced(NamedTuple):
    """Bonds with their prices and what follows from them, each float64[n]; prices per 100."""

    bonds: Bonds
    flows: CashFlows
    accrued: Floats
    dirty: Floats
    street_yield: Floats
    duration: Floats  # modified, years


@dataclass(frozen=True)
class Issuer:
    """How an issuer's bonds pay and which of them enter: ``TREASURY``, or ``EURO`` for annual coupons."""

    coupons_a_year: int = 2
    last_period: LastPeriod = "simple"  # with one flow left; "compound" is the ICMA rule
    knots: int | ArrayLike = KNOTS  # how many, or where (years)
    rules: BasketRules = field(default_factory=BasketRules)
    repo_basis: float = DAYS_A_YEAR  # days of the year that the bonds' own repo_6m is quoted for: often 360

    def quoted(self, rate: float) -> float:
        """A repo rate per year of 365.25 days, as ``repo_6m`` is quoted."""
        return rate * self.repo_basis / DAYS_A_YEAR


TREASURY = Issuer()
EURO = Issuer(coupons_a_year=1, last_period="compound", rules=EVERY_PLAIN_BOND)


@dataclass(frozen=True)
class DayFit:
    """Both fits of a day, and who was in them."""

    settle: np.datetime64
    issuer: Issuer
    universe: BondUniverse
    basket: Basket
    rows: NDArray[np.int64]  # of the universe, in the fit's order
    priced: Priced  # of those rows
    enhanced: ParFit
    legacy: ParFit


def fit_day(
    universe: BondUniverse,
    settle: np.datetime64,
    repo: GcRepo,
    issuer: Issuer = TREASURY,
) -> DayFit:
    """Choose the basket and fit the curve to it.

    Parameters
    ----------
    universe : BondUniverse
        All bonds of the day with their clean prices.
    repo : GcRepo
        General collateral rates per year of 365.25 days.

    Raises
    ------
    ConfigError
        If a row cannot be, the basket is too small or leaves the spline undecided, or a price gives a wild yield.
    """
    basket = select_basket(universe, settle, issuer.quoted(repo.check().six_month), issuer.rules)
    rows = np.flatnonzero(basket.in_fit)
    if rows.size == 0:
        most = max(basket.counts().items(), key=lambda item: item[1])
        raise ConfigError(f"no bond is left for the fit ({most[0]} took out {most[1]}); relax the rules or add bonds")
    priced = price_rows(universe.take(rows), settle, issuer)
    design = ParDesign.of(
        priced.flows.offsets,
        priced.flows.times,
        priced.flows.amounts,
        knots=issuer.knots,
        coupons_a_year=issuer.coupons_a_year,
    )
    enhanced, legacy = (
        fit_par_curve(design, priced.dirty, priced.duration, repo, objective=objective)
        for objective in ("yield", "price")
    )
    return DayFit(settle, issuer, universe, basket, rows, priced, enhanced, legacy)


def price_rows(universe: BondUniverse, settle: np.datetime64, issuer: Issuer) -> Priced:
    """Flows, accrued interest, street yields and durations of bonds that all have prices, from one set of flows."""
    bonds = Bonds(
        universe.maturity,
        universe.coupon,
        frequency=issuer.coupons_a_year,
        dated=universe.dated,
        first_coupon=universe.first_coupon,
    )
    flows, interest = cash_flows(bonds, settle), accrued(bonds, settle)
    dirty = universe.clean_price + interest
    yields = yields_of(bonds, flows, dirty, issuer)
    wild = np.flatnonzero(~(np.abs(yields) < WILDEST))
    if wild.size:
        i = int(wild[0])
        raise ConfigError(
            f"bond {universe.isin[i]}: the clean price {universe.clean_price[i]:g} with a coupon of "
            f"{universe.coupon[i]:g} to {universe.maturity[i]} gives a yield of {yields[i]:.4g}; check price, "
            "coupon and maturity, or drop the row"
        )
    return Priced(bonds, flows, interest, dirty, yields, durations(bonds, flows, yields, issuer))


def yields_of(bonds: Bonds, flows: CashFlows, dirty: Floats, issuer: Issuer) -> Floats:
    """Street yields of dirty prices on flows that are there already."""
    out = np.empty(len(bonds))
    is_simple = issuer.last_period == "simple"
    fill_street_yields(flows.offsets, flows.periods, flows.amounts, bonds.frequency, dirty, is_simple, out)
    return out


def durations(bonds: Bonds, flows: CashFlows, yields: Floats, issuer: Issuer) -> Floats:
    """Modified durations at street yields, years."""
    out = np.empty((3, len(bonds)))
    is_simple = issuer.last_period == "simple"
    fill_measures(flows.offsets, flows.periods, flows.amounts, bonds.frequency, yields, is_simple, out)
    return -out[1] / out[0]


def years_to(dates: Dates, settle: np.datetime64) -> Floats:
    """Years of 365.25 days from settlement."""
    return (dates - settle).astype(np.int64) / DAYS_A_YEAR
