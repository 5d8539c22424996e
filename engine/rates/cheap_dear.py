"""How cheap or dear each bond of a day is, three ways: against the par curve, and by z-spread with or without coupon.

All in bp of yield or spread; positive is cheap.

* **par curve**: the yield error of the enhanced fit.
* **z-spread, adjusted**: the z-spread on the swap curve, less what the coupon does to it, against a quadratic in
  maturity of the bonds of the same bucket. The coupon effect is that of the same bonds priced fair on the par curve,
  measured bucket by bucket, because it grows with maturity.
* **z-spread, unadjusted**: the same with the coupon effect left in.

With ``left_out`` every bond is held against the others: ``e / (1 - leverage)``, knots, weights and coupon effect held.

Sources: J.P. Morgan, "The new and improved Treasury par curve model", 16 July 2018, and "How much should we trust
z-spreads in bond RV analysis?", 19 April 2018. Buckets are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.curves import Discounts
from engine.rates.par_day import DayFit
from engine.rates.par_fit import CERTAIN
from engine.rates.z_spread import coupon_adjustment, price_on_curve, z_spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BP = 1e4
LEAST_BONDS = 8  # of a bucket: a quadratic and a coupon effect take four numbers
OUTSIDE = -1  # bucket of a bond that is in none


class CheapDear(NamedTuple):
    """One row for each bond in the fit, in its order; NaN where a measure cannot be told."""

    years: Floats  # to maturity
    bucket: Ints
    par_curve_bp: Floats
    z_adjusted_bp: Floats
    z_unadjusted_bp: Floats


def cheap_dear(
    day: DayFit, swap: Discounts | None, buckets: Sequence[float] | Floats, *, left_out: bool = True
) -> CheapDear:
    """Every measure of a day.

    Parameters
    ----------
    day : DayFit
    swap : anything with ``discount_factor(times)``, times from settlement
        None: there is no swap curve today, and so no z-spread.
    buckets : float64[b + 1]
        Edges in years to maturity, ascending.
    left_out : bool
        Hold each bond against the others, not against a curve that it is part of.

    Raises
    ------
    ConfigError
        If the swap curve gives a discount factor that is not > 0.
    """
    flows, fit = day.priced.flows, day.enhanced
    years = flows.times[flows.offsets[1:] - 1]
    edges = np.asarray(buckets, np.float64)
    bucket = np.searchsorted(edges, years, side="right") - 1
    bucket[years >= edges[-1]] = OUTSIDE
    found = CheapDear(
        years,
        bucket,
        BP * (fit.left_out_yield_error if left_out else fit.yield_error),
        np.full(years.size, np.nan),
        np.full(years.size, np.nan),
    )
    if swap is not None:
        z = z_spread(flows, day.priced.dirty, swap)
        fair = z_spread(flows, price_on_curve(flows, fit.curve), swap)
        for b in range(edges.size - 1):
            _fill_bucket(found, np.flatnonzero(bucket == b), z, fair, day.priced.bonds.coupon, left_out)
    return found


def agreed(first: Floats, second: Floats) -> Floats:
    """The smaller of two measures where they agree on cheap or dear, 0 where they do not."""
    smaller = np.minimum(np.abs(first), np.abs(second))
    return np.where(np.isnan(first) | np.isnan(second), np.nan, np.sign(first) * smaller * (first * second > 0))


def _fill_bucket(found: CheapDear, here: Ints, z: Floats, fair: Floats, coupon: Floats, left_out: bool) -> None:
    years = found.years[here]
    if here.size < LEAST_BONDS:
        return
    try:
        adjustment = coupon_adjustment(fair[here], years, coupon[here]).adjustment
    except ConfigError:  # coupons that maturity explains: nobody can tell their effect
        return
    both = np.column_stack((z[here], z[here] + adjustment))
    found.z_unadjusted_bp[here], found.z_adjusted_bp[here] = BP * _against_quadratic(both, years, left_out).T


def _against_quadratic(spreads: Floats, years: Floats, left_out: bool) -> Floats:
    """Residuals of ``spread ~ 1 + T + T^2`` for each column, by orthogonal factors."""
    span = (years - years.mean()) / max(float(np.ptp(years)), 1e-9)
    q, _ = np.linalg.qr(np.column_stack((np.ones(years.size), span, span**2)))
    residual = spreads - q @ (q.T @ spreads)
    rest = 1 - np.einsum("ij,ij->i", q, q)
    if not left_out:
        return residual
    rest = np.where(rest > CERTAIN, rest, np.nan)  # NaN: the others do not say
    return residual / rest[:, None]
