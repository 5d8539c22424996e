"""Spreads of bonds over a swap curve: z-spread, matched-maturity swap spread, par asset swap, and the coupon effect.

The z-spread z makes a bond's dirty price out of its flows on the swap curve: ``dirty = sum of amount
(1 + y(t) + z)^-t`` with y(t) the annually compounded zero rates. It looks through the shape of the swap curve, but not
through that of the government curve: where the government curve is steeper than the swap curve, fair bonds with low
coupons show the higher z-spread. ``coupon_adjustment`` takes that out; ``z_spread_proxies`` shows how large it is.

Spreads are decimals. Source: J.P. Morgan, "How much should we trust z-spreads in bond RV analysis?", 19 April 2018.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import ConfigError
from engine.rates.curves import Discounts, annuity, par_rate
from engine.rates.day_counts import Floats
from engine.rates.refusals import numbers, refuse, refuse_percent
from engine.rates.schedules import Ints
from engine.rates.z_spread_kernels import fill_prices, fill_z_spreads

MONEY_MARKET = 365.25 / 360  # years of 360 days in a year of the curves' clock


class HasFlows(Protocol):
    """Ragged flows: ``offsets[i]:offsets[i + 1]`` of times and amounts belong to bond i. ``bonds.CashFlows`` is one."""

    @property
    def offsets(self) -> Ints: ...
    @property
    def times(self) -> Floats: ...
    @property
    def amounts(self) -> Floats: ...


class CouponAdjustment(NamedTuple):
    """The coupon effect in z-spreads, ``z ~ 1 + T + T^2 + coupon`` by ordinary least squares."""

    beta: float  # z per 1.00 of coupon: -0.4 bp per 1 % is -0.004
    adjustment: Floats  # [n], -beta (coupon - mean coupon): add it to a z-spread
    curve_fit: Floats  # [n], the fit at the mean coupon: a smooth curve in maturity
    residual: Floats  # [n], what neither maturity nor coupon explains

    @property
    def residual_of_maturity(self) -> Floats:
        """z less the curve in maturity: what the paper's Exhibit 5 plots against the coupon."""
        return self.residual - self.adjustment


def z_spread(flows: HasFlows, dirty: ArrayLike, curve: Discounts) -> Floats:
    """The constant to add to annual zero rates of ``curve`` so that flows are worth their price, float64[n].

    Parameters
    ----------
    flows : CashFlows, or anything with offsets, times and amounts
        Amounts > 0 in the unit of the prices; times > 0 on the curve's clock.
    dirty : float64[n]
        Dirty prices, > 0.
    curve : anything with ``discount_factor(times)``
        The swap curve.

    Raises
    ------
    ConfigError
        If a price is missing or not positive, or the curve is shorter than the flows or gives a factor that is not > 0.
    """
    prices = _one_each("dirty", dirty, flows)
    refuse("dirty", prices, ~((prices > 0) & (prices < np.inf)), "be > 0", "drop bonds without a price")
    discounts, zeros = _zero_rates(flows, curve)
    out = np.empty(prices.size)
    fill_z_spreads(flows.offsets, flows.times, flows.amounts, discounts, zeros, prices, out)
    return out


def price_at_z_spread(flows: HasFlows, z: ArrayLike, curve: Discounts) -> Floats:
    """Dirty prices, float64[n], of flows discounted at the annual zero rates of ``curve`` plus ``z``, decimals.

    Raises
    ------
    ConfigError
        If z is missing, in percent, or takes a rate to -100 %; and as ``z_spread``.
    """
    spreads = _one_each("z", z, flows)
    refuse("z", spreads, ~np.isfinite(spreads), "be a number", "drop bonds without a z-spread")
    refuse_percent("z", np.abs(spreads))
    _, zeros = _zero_rates(flows, curve)
    lowest = np.minimum.reduceat(zeros, flows.offsets[:-1])
    refuse("z", spreads, spreads + lowest <= -1, "keep every rate above -100 %", "look for a wrong sign")
    out = np.empty(spreads.size)
    fill_prices(flows.offsets, flows.times, flows.amounts, zeros, spreads, out)
    return out


def matched_maturity_swap_spread(
    yields: ArrayLike, maturities: ArrayLike, curve: Discounts, *, per_year: int = 1
) -> Floats:
    """Bond yields minus the par swap rate of the same maturity, years, on ``curve``; decimals.

    ``per_year`` is how often the swap's fixed leg pays and the yield compounds: 1 in the euro area, 2 in the US.
    """
    rates, years = numbers("yields", yields), numbers("maturities", maturities)
    refuse("yields", rates, ~np.isfinite(rates), "be a number", "drop bonds without a yield")
    refuse_percent("yields", rates)
    return rates - par_rate(curve, years, per_year=per_year)


def par_asset_swap_spread(
    flows: HasFlows, dirty: ArrayLike, curve: Discounts, *, per_year: int = 2, accrual: float = MONEY_MARKET
) -> Floats:
    """The spread over floating of a par asset swap: pay 100 for a bond, swap all its flows, receive floating + spread.

    ``(sum of amount d(t) - dirty) / (100 annuity)``, with the floating leg paid ``per_year`` times, back from maturity,
    and counted Act/360 unless ``accrual``, its years in a year of the curve's clock, says otherwise. Decimals.
    """
    prices = _one_each("dirty", dirty, flows)
    refuse("dirty", prices, ~((prices > 0) & (prices < np.inf)), "be > 0", "drop bonds without a price")
    worth = np.add.reduceat(flows.amounts * curve.discount_factor(flows.times), flows.offsets[:-1])
    maturities = flows.times[flows.offsets[1:] - 1]
    return (worth - prices) / (100 * accrual * annuity(curve, maturities, per_year=per_year))


def coupon_adjustment(z: ArrayLike, maturities: ArrayLike, coupons: ArrayLike) -> CouponAdjustment:
    """How much of the differences in z-spread is the coupon, by one joint regression on maturity and coupon.

    Fit it on z-spreads of bonds that are fair by construction, or on market ones; add ``adjustment`` to market ones.

    Parameters
    ----------
    z, maturities, coupons : float64[n]
        Decimals, years, decimals; at least five bonds with coupons that maturity does not explain.

    Raises
    ------
    ConfigError
        If bonds are too few, or their coupons differ only as a quadratic in maturity does.
    """
    spreads, years, rates = (
        np.atleast_1d(numbers(name, values))
        for name, values in (("z", z), ("maturities", maturities), ("coupons", coupons))
    )
    if not spreads.shape == years.shape == rates.shape or spreads.ndim != 1:
        raise ConfigError(f"z {spreads.shape}, maturities {years.shape} and coupons {rates.shape} must be one a bond")
    for name, values in (("z", spreads), ("maturities", years), ("coupons", rates)):
        refuse(name, values, ~np.isfinite(values), "be a number", "drop the bond")
    refuse_percent("coupons", rates)
    scaled = years / max(years.max(initial=0.0), 1e-9)  # a quadratic in years of up to 50 would cost digits
    design = np.column_stack((np.ones(years.size), scaled, scaled**2, rates - rates.mean() if rates.size else rates))
    solved, _, rank, _ = np.linalg.lstsq(design, spreads)
    if years.size < 5 or rank < 4:
        raise ConfigError(
            f"the coupons of {years.size} bonds cannot be told from their maturities; "
            "give five or more bonds with coupons that differ at like maturities"
        )
    adjustment = -solved[3] * design[:, 3]
    return CouponAdjustment(float(solved[3]), adjustment, design[:, :3] @ solved[:3], spreads - design @ solved)


def fair_coupon_adjustment(
    flows: HasFlows, coupons: ArrayLike, government: Discounts, swap: Discounts
) -> CouponAdjustment:
    """``coupon_adjustment`` of bonds that are fair on ``government`` by construction: the purely optical effect."""
    z = z_spread(flows, price_on_curve(flows, government), swap)
    return coupon_adjustment(z, flows.times[flows.offsets[1:] - 1], coupons)


def price_on_curve(flows: HasFlows, curve: Discounts) -> Floats:
    """Dirty prices, float64[n], at which flows are fair on ``curve``."""
    return np.add.reduceat(flows.amounts * curve.discount_factor(flows.times), flows.offsets[:-1])


def _zero_rates(flows: HasFlows, curve: Discounts) -> tuple[Floats, Floats]:
    """Discount factor and annual zero rate at each flow."""
    times = flows.times
    refuse("times", times, ~(times > 0), "be > 0", "leave out flows that are paid")
    factors = curve.discount_factor(times)
    refuse("discount factors", factors, ~(factors > 0), "be > 0", "look at the quotes that the curve was made from")
    return factors, np.expm1(-np.log(factors) / times)


def _one_each(name: str, values: ArrayLike, flows: HasFlows) -> Floats:
    each = numbers(name, values)
    bonds = flows.offsets.size - 1
    if each.shape not in ((), (bonds,)):
        raise ConfigError(f"{name} has shape {each.shape} for the flows of {bonds} bonds; give one number for each")
    return np.array(np.broadcast_to(each, bonds))
