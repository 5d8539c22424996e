"""Relative value along the par curve, bond by bond: cheap or dear, carry, and slide down the curve.

For a horizon of h years, in bp of yield; positive is good for the holder:

* **yield error**: street yield less the yield of the bond's price on the curve. Positive: cheap. ``left_out`` is the
  same against the curve of the other bonds; for a bond outside the basket the two are one.
* **carry**: forward yield less spot yield. The forward price is what the bond has cost at the horizon if bought now and
  financed by repo to then, coupons lent on at the same rate: ``P (1 + r h) - sum C (1 + r (h - t))``. The yield may
  rise by so much before the holder loses. r is GC for the term less what the bond is special by in 6-month repo.
* **slide** (roll): yield on the curve now less that of the same bond on the same curve when it is h older.

Source: J.P. Morgan, "The new and improved Treasury par curve model", 16 July 2018, which names these uses; the formulas
are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.bonds import CashFlows, cash_flows
from engine.rates.gc_repo import DAYS_A_YEAR, GcRepo
from engine.rates.par_basket import PLAIN
from engine.rates.par_curve import ParCurve
from engine.rates.par_day import DayFit, Issuer, Priced, price_rows, years_to, yields_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LONGEST_HORIZON = 183  # days: GC repo ends at half a year


class RelativeValue(NamedTuple):
    """One row for each plain bond with a price that outlives the horizon; float64[n] unless it says otherwise."""

    rows: NDArray[np.int64]  # of the universe
    isin: NDArray[np.str_]
    maturity: NDArray[np.datetime64]
    coupon: Floats  # decimal
    reason: NDArray[np.str_]  # why it is not in the fit; "" where it is
    clean_price: Floats
    street_yield: Floats  # decimal
    curve_yield: Floats  # decimal
    duration: Floats  # modified, years
    yield_error_bp: Floats
    left_out_bp: Floats
    special_bp: Floats  # 6-month GC less the bond's, as quoted; NaN: not known, and carry then takes 0
    carry_bp: Floats
    slide_bp: Floats
    is_beyond: Flags  # after the last maturity of the fit: the curve there only extrapolates

    @property
    def carry_and_slide_bp(self) -> Floats:
        """What the yield may rise by over the horizon if the bond rolls down an unchanged curve."""
        return self.carry_bp + self.slide_bp


def relative_value(day: DayFit, *, horizon_days: int = 91) -> RelativeValue:
    """The report of a day, against its enhanced fit.

    Parameters
    ----------
    horizon_days : int
        From 1 to 183 calendar days.

    Raises
    ------
    ConfigError
        If the horizon is not in that range.
    """
    if not 1 <= horizon_days <= LONGEST_HORIZON:
        raise ConfigError(
            f"horizon_days is {horizon_days}, but must be from 1 to {LONGEST_HORIZON}; GC repo ends there"
        )
    horizon = day.settle + horizon_days
    universe, curve = day.universe, day.enhanced.curve
    shown = np.isin(universe.kind, PLAIN) & np.isfinite(universe.clean_price) & (universe.maturity > horizon)
    rows = np.flatnonzero(shown & (universe.issue <= day.settle))
    bonds = universe.take(rows)
    priced = price_rows(bonds, day.settle, day.issuer)
    fair = flow_value(curve, priced.flows)
    curve_yield = yields_of(priced.bonds, priced.flows, fair, day.issuer)
    special = (day.issuer.quoted(curve.repo.six_month) - bonds.repo_6m) * 1e4
    error = (priced.street_yield - curve_yield) * 1e4
    return RelativeValue(
        rows,
        bonds.isin,
        bonds.maturity,
        bonds.coupon,
        day.basket.reason[rows],
        bonds.clean_price,
        priced.street_yield,
        curve_yield,
        priced.duration,
        error,
        _left_out_bp(day, rows, error),
        special,
        carry_bp(priced, day.settle, horizon, curve.repo, special, day.issuer),
        slide_bp(curve, priced, curve_yield, horizon, day.issuer),
        curve.is_beyond(years_to(bonds.maturity, day.settle)),
    )


def carry_bp(
    priced: Priced,
    settle: np.datetime64,
    horizon: np.datetime64,
    repo: GcRepo,
    special_bp: Floats,
    issuer: Issuer,
) -> Floats:
    """Forward yield less spot yield, float64[n]; specialness, as quoted, counts as 0 where it is NaN."""
    years = float((horizon - settle).astype(int)) / DAYS_A_YEAR
    rate = float(repo.rate(np.array(years))) - np.nan_to_num(special_bp) / 1e4 * (DAYS_A_YEAR / issuer.repo_basis)
    owner = np.repeat(np.arange(rate.size), np.diff(priced.flows.offsets))
    paid = priced.flows.dates <= horizon
    coupons = priced.flows.amounts * (1 + rate[owner] * (years - priced.flows.times)) * paid
    forward = priced.dirty * (1 + rate * years) - np.add.reduceat(coupons, priced.flows.offsets[:-1])
    later = cash_flows(priced.bonds, horizon)
    return (yields_of(priced.bonds, later, forward, issuer) - priced.street_yield) * 1e4


def slide_bp(curve: ParCurve, priced: Priced, curve_yield: Floats, horizon: np.datetime64, issuer: Issuer) -> Floats:
    """Yield on the curve now less that at the horizon, on the same curve, float64[n]."""
    later = cash_flows(priced.bonds, horizon)
    return (curve_yield - yields_of(priced.bonds, later, flow_value(curve, later), issuer)) * 1e4


def flow_value(curve: ParCurve, flows: CashFlows) -> Floats:
    """What each bond's flows are worth on the curve, dirty per 100; beyond the last maturity it extrapolates."""
    present = flows.amounts * curve.discount_factor(flows.times, beyond="extrapolate")
    return np.add.reduceat(present, flows.offsets[:-1])


def _left_out_bp(day: DayFit, rows: NDArray[np.int64], error: Floats) -> Floats:
    out = error.copy()
    place = np.searchsorted(day.rows, rows)
    inside = day.basket.in_fit[rows]
    out[inside] = day.enhanced.left_out_yield_error[place[inside]] * 1e4
    return out
