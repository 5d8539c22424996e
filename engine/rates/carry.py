"""Carry and roll-down: what a position earns if nothing but time moves.

A bond bought at ``settle`` and funded in repo until ``horizon``, per 100 of face:

    forward dirty = dirty (1 + repo days / 360) - coupons paid, each grown at repo to the horizon
    carry     = clean - forward clean      earned if the clean price stands still: interest less funding
    roll-down = rolled clean - clean       earned on top if the curve stands still: the bond has moved along it
    total     = rolled clean - forward clean

The rolled price is that of the bond at the horizon on today's curve, at today's z-spread. The same in yield: carry is
forward yield less yield, roll-down yield less rolled yield. A swap needs no funding; with S(T) the par rate,

    carry     = forward rate from the horizon to T, less S(T)       for the receiver of fixed
    roll-down = S(T) - S(T - horizon)

in running rate over the time left; the payer earns the opposite.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engine.rates.bonds import CLOCK, Bonds, accrued, cash_flows, street_yield
from engine.rates.curves import Discounts, par_rate
from engine.rates.day_counts import Dates, Floats, as_dates, year_fraction
from engine.rates.refusals import numbers, refuse, refuse_percent
from engine.rates.z_spread import price_at_z_spread, z_spread


class BondCarry(NamedTuple):
    """Each float64[n]; prices per 100, yields decimals."""

    forward_clean: Floats  # price to deliver at the horizon that repo makes fair
    rolled_clean: Floats  # price at the horizon if the curve and the z-spread stand still
    carry: Floats
    roll_down: Floats
    carry_yield: Floats
    roll_down_yield: Floats


class SwapCarry(NamedTuple):
    """Each float64[n], decimals, for the receiver of fixed."""

    rate: Floats
    forward_rate: Floats
    carry: Floats
    roll_down: Floats


class ShiftedCurve(NamedTuple):
    """The forward curve from ``start``, years: ``d(start + t) / d(start)``."""

    curve: Discounts
    start: float

    def discount_factor(self, times: ArrayLike, /) -> Floats:
        """Worth at ``start``, locked in now, of 1 paid ``times`` years after it."""
        later = self.curve.discount_factor(self.start + np.asarray(times, np.float64))
        return later / self.curve.discount_factor(np.array([self.start]))[0]


def bond_carry(
    bonds: Bonds,
    settle: ArrayLike,
    clean: ArrayLike,
    horizon: ArrayLike,
    *,
    repo: ArrayLike,
    curve: Discounts,
    last_period: str = "simple",
) -> BondCarry:
    """Carry and roll-down of bonds from ``settle`` to ``horizon``, both datetime64[D].

    Parameters
    ----------
    clean : float64[n]
        Clean prices at settlement, per 100.
    repo : float64 or float64[n]
        Simple Act/360 repo rates for the time to the horizon, decimals.
    curve : anything with ``discount_factor(times)``
        The curve that bonds roll down: a government curve, or a swap curve.
    last_period : str
        As ``bonds.street_yield`` takes it.

    Raises
    ------
    ConfigError
        If the horizon is not after settlement, a bond matures by then, or a price or rate is missing or out of scale.
    """
    settle, horizon = as_dates("settle", settle), as_dates("horizon", horizon)
    refuse("horizon", horizon, ~(horizon > settle), f"be after settlement, {settle}", "give a later day")
    prices, rates = (np.broadcast_to(numbers(*column), len(bonds)) for column in (("clean", clean), ("repo", repo)))
    refuse("repo", rates, ~np.isfinite(rates), "be a number", "give a rate for every bond")
    refuse_percent("repo", rates)
    dirty = prices + accrued(bonds, settle)
    forward_clean = _forward_dirty(bonds, settle, dirty, horizon, rates) - accrued(bonds, horizon)
    rolled_clean = _rolled_dirty(bonds, settle, dirty, horizon, curve) - accrued(bonds, horizon)
    here = street_yield(bonds, settle, dirty=dirty, last_period=last_period)
    forward_yield, rolled_yield = (
        street_yield(bonds, horizon, clean=price, last_period=last_period) for price in (forward_clean, rolled_clean)
    )
    return BondCarry(
        forward_clean,
        rolled_clean,
        prices - forward_clean,
        rolled_clean - prices,
        forward_yield - here,
        here - rolled_yield,
    )


def swap_carry(curve: Discounts, maturities: ArrayLike, horizon: float, *, per_year: int = 2) -> SwapCarry:
    """Carry and roll-down of par swaps of ``maturities``, years, over ``horizon`` years, to the receiver of fixed.

    Raises
    ------
    ConfigError
        If the horizon is not positive, or a swap ends before it.
    """
    years = numbers("maturities", maturities)
    span = numbers("horizon", horizon)
    refuse("horizon", span, ~(span > 0), "be > 0", "give years, 0.25 for three months")
    refuse("maturities", years, ~(years > span), f"be beyond the horizon, {horizon}", "drop swaps that end by then")
    rate = par_rate(curve, years, per_year=per_year)
    forward = par_rate(ShiftedCurve(curve, float(horizon)), years - span, per_year=per_year)
    return SwapCarry(rate, forward, forward - rate, rate - par_rate(curve, years - span, per_year=per_year))


def _forward_dirty(bonds: Bonds, settle: Dates, dirty: Floats, horizon: Dates, repo: Floats) -> Floats:
    """Price for delivery at the horizon: what was borrowed, less the coupons that were paid off with."""
    cash_flows(bonds, horizon)  # refuses bonds that mature by then
    flows = cash_flows(bonds, settle)
    owner = np.repeat(np.arange(len(bonds)), np.diff(flows.offsets))
    paid = flows.dates <= np.broadcast_to(horizon, len(bonds))[owner]
    growth = 1 + repo[owner] * year_fraction(flows.dates, np.broadcast_to(horizon, len(bonds))[owner], "ACT/360")
    coupons = np.add.reduceat(np.where(paid, flows.amounts * growth, 0.0), flows.offsets[:-1])
    return dirty * (1 + repo * year_fraction(settle, horizon, "ACT/360")) - coupons


def _rolled_dirty(bonds: Bonds, settle: Dates, dirty: Floats, horizon: Dates, curve: Discounts) -> Floats:
    z = z_spread(cash_flows(bonds, settle, clock=CLOCK), dirty, curve)
    return price_at_z_spread(cash_flows(bonds, horizon, clock=CLOCK), z, curve)
