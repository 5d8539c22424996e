"""Black's model of a swaption: the forward swap rate moves lognormally, so forward and strike must be positive.

With ``s = sigma sqrt(T)``, ``d1 = log(F/K)/s + s/2`` and ``d2 = d1 - s``, per unit of annuity

    payer = F Phi(d1) - K Phi(d2)       receiver = K Phi(-d2) - F Phi(-d1)

The option out of the money is computed so and the other one by parity. Units and kinds are those of ``swaptions``.

Source: Black (1976), "The pricing of commodity contracts".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled
from engine.rates.gaussian import SQRT_2PI, cumulative, density
from engine.rates.refusals import numbers, refuse
from engine.rates.swaptions import PAYER, RECEIVER, Greeks, checked_market

Floats = NDArray[np.float64]


def price_black(
    forward: ArrayLike,
    strike: ArrayLike,
    lognormal_vol: ArrayLike,
    expiry: ArrayLike,
    *,
    annuity: ArrayLike = 1.0,
    kind: ArrayLike = PAYER,
) -> Greeks:
    """Value and greeks of bought swaptions; the annuity is held fixed in every derivative.

    ``theta = -lognormal_vol^2 forward^2 gamma / 2``.

    Raises
    ------
    ConfigError
        If shapes do not broadcast, a forward, strike, vol or annuity is not positive, or an expiry is negative.
    """
    inputs = _checked("lognormal_vol", forward, strike, lognormal_vol, expiry, annuity, kind)
    shape = inputs[0].shape
    out = np.empty((5, inputs[0].size))
    _fill_greeks(*(one.ravel() for one in inputs), out)
    return Greeks(*(row.reshape(shape)[()] for row in out))


def implied_black_vol(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry: ArrayLike,
    *,
    annuity: ArrayLike = 1.0,
    kind: ArrayLike = PAYER,
) -> Floats:
    """The lognormal vol that gives ``price`` (part of notional), by Newton's method inside a bracket.

    Raises
    ------
    ConfigError
        As ``price_black``; also if a price lies outside its bounds: intrinsic value, and annuity times forward
        (payer), strike (receiver) or both (straddle).
    """
    inputs = _checked("price", forward, strike, numbers("price", price), expiry, annuity, kind)
    refuse("expiry", inputs[3], inputs[3] == 0, "be > 0", "an expired option has no implied vol")
    out = np.empty(inputs[0].size)
    _fill_implied_vol(*(one.ravel() for one in inputs), out)
    vol = out.reshape(inputs[0].shape)
    cure = "check forward, strike, annuity and kind"
    refuse("price", inputs[2], np.isnan(vol), "be between intrinsic value and its upper bound", cure)
    return vol[()]


def _checked(name: str, forward: ArrayLike, strike: ArrayLike, vol: ArrayLike, *others: ArrayLike) -> list[NDArray]:
    for rate_name, rate in (("forward", numbers("forward", forward)), ("strike", numbers("strike", strike))):
        refuse(rate_name, rate, ~(rate > 0), "be > 0 in Black's model", "use price_swaption for rates near or below 0")
    return checked_market(forward, strike, vol, *others, vol_name=name)


@compiled
def _out_of_the_money(forward, strike, deviation):
    """Value per unit of annuity of the payer (F <= K) or of the receiver (F > K)."""
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    if forward <= strike:
        return max(forward * cumulative(d1) - strike * cumulative(d2), 0.0)
    return max(strike * cumulative(-d2) - forward * cumulative(-d1), 0.0)


@compiled
def _fill_greeks(forward, strike, vol, expiry, annuity, kind, out):
    for i in range(forward.size):
        f, k, sign = forward[i], strike[i], kind[i]
        root = math.sqrt(expiry[i])
        deviation = vol[i] * root
        extra, peak, curvature = 0.0, 0.0, 0.0
        upper = 0.5 if f == k else 1.0 * (f > k)
        lower = 1.0 - upper
        if deviation > 0.0:
            d1 = math.log(f / k) / deviation + 0.5 * deviation
            extra = _out_of_the_money(f, k, deviation)
            peak = f * density(d1)
            curvature = peak / (f * f * deviation)
            upper, lower = cumulative(d1), cumulative(-d1)
        legs = 1.0
        if sign == PAYER:
            level, slope = max(f - k, 0.0) + extra, upper
        elif sign == RECEIVER:
            level, slope = max(k - f, 0.0) + extra, -lower
        else:
            level, slope, legs = abs(f - k) + 2.0 * extra, upper - lower, 2.0
        curvature *= legs * annuity[i]
        out[0, i] = annuity[i] * level
        out[1, i] = annuity[i] * slope
        out[2, i] = curvature
        out[3, i] = annuity[i] * legs * root * peak
        out[4, i] = -0.5 * vol[i] * vol[i] * f * f * curvature


@compiled
def _implied_deviation(forward, strike, extra):
    """s whose value out of the money is ``extra``: Newton on its logarithm, bisection where that leaves the bracket."""
    bound = min(forward, strike)
    if not 0.0 < extra < bound:
        return math.nan
    low, high = 0.0, 80.0  # at 80 the value is its bound to rounding
    s = max(math.sqrt(2.0 * abs(math.log(forward / strike))), SQRT_2PI * extra / bound)
    for _ in range(200):
        here = _out_of_the_money(forward, strike, s)
        if here > extra:
            high = s
        else:
            low = s
        slope = forward * density(math.log(forward / strike) / s + 0.5 * s)
        step = math.log(extra / here) * here / slope if here > 0.0 and slope > 0.0 else math.inf
        following = s + step
        if not low < following < high:
            following = 0.5 * (low + high)
        if abs(following - s) <= 1e-15 * s:
            return following
        s = following
    return s


@compiled
def _fill_implied_vol(forward, strike, price, expiry, annuity, kind, out):
    for i in range(price.size):
        gap = forward[i] - strike[i]
        per_annuity = price[i] / annuity[i]
        if kind[i] == 0:
            extra = 0.5 * (per_annuity - abs(gap))
        else:
            extra = per_annuity - max(kind[i] * gap, 0.0)
        if extra <= 1e-15 * per_annuity:  # within the rounding of the price
            extra = 0.0
        out[i] = _implied_deviation(forward[i], strike[i], extra) / math.sqrt(expiry[i])
