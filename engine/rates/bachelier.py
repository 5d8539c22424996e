"""Bachelier's model of one swaption, as kernels: the forward swap rate moves normally.

With forward F, strike K, standard deviation ``s = sigma sqrt(T)`` to expiry and ``x = (F - K) / s``, per unit of
annuity

    payer      max(F - K, 0) + t       t = s (phi(x) - |x| Phi(-|x|)), the time value
    receiver   max(K - F, 0) + t
    straddle   |F - K| + 2 t

The time value is computed from the tail, so that an option far out of the money keeps its relative accuracy and payer
minus receiver is the forward swap to rounding. At expiry (s = 0) the value is intrinsic and only delta remains, one
half at the money. Nothing is checked here; ``swaptions`` is the face.

Source: Bachelier (1900), "Théorie de la spéculation", in the form that swaption markets quote.
"""

from __future__ import annotations

import math

from engine.compiled import compiled
from engine.rates.gaussian import SQRT_2PI, cumulative, density

PAYER, RECEIVER, STRADDLE = 1, -1, 0


@compiled
def value_and_delta(moneyness, deviation, kind):
    """Value per unit of annuity, and its change per unit of forward rate; ``moneyness = F - K``.

    Delta is Phi(x) for a payer, Phi(x) - 1 for a receiver, 2 Phi(x) - 1 for a straddle.
    """
    level, slope, _ = value_delta_and_density(moneyness, deviation, kind)
    return level, slope


@compiled
def value_delta_and_density(moneyness, deviation, kind):
    """``value_and_delta``, and phi(x) for the greeks that need it."""
    distance = abs(moneyness)
    extra, tail, peak = 0.0, 0.0 if distance > 0.0 else 0.5, 0.0
    if deviation > 0.0:
        x = distance / deviation
        tail, peak = cumulative(-x), density(x)
        extra = max(deviation * (peak - x * tail), 0.0)
    if kind == STRADDLE:
        slope = 1.0 - 2.0 * tail
        return distance + 2.0 * extra, slope if moneyness > 0.0 else -slope, peak
    level = max(kind * moneyness, 0.0) + extra
    return level, kind * (1.0 - tail if kind * moneyness > 0.0 else tail), peak


@compiled
def delta(moneyness, deviation, kind):
    """The delta of ``value_and_delta`` to the bit, at half its price."""
    distance = abs(moneyness)
    tail = 0.0 if distance > 0.0 else 0.5
    if deviation > 0.0:
        tail = cumulative(-(distance / deviation))
    if kind == STRADDLE:
        slope = 1.0 - 2.0 * tail
        return slope if moneyness > 0.0 else -slope
    return kind * (1.0 - tail if kind * moneyness > 0.0 else tail)


@compiled
def gamma(moneyness, deviation, kind):
    """Change of delta per unit of forward rate: ``phi(x) / s``, twice that for a straddle, 0 at expiry."""
    if deviation <= 0.0:
        return 0.0
    legs = 2.0 if kind == STRADDLE else 1.0
    return legs * density(moneyness / deviation) / deviation


@compiled
def fill_greeks(forward, strike, normal_vol, expiry, annuity, kind, out):
    """Value, delta, gamma, vega and theta of each swaption i in ``out[0..4, i]``."""
    for i in range(forward.size):
        root = math.sqrt(expiry[i])
        deviation = normal_vol[i] * root
        moneyness = forward[i] - strike[i]
        level, slope, peak = value_delta_and_density(moneyness, deviation, kind[i])
        if kind[i] == STRADDLE:
            peak *= 2.0
        curvature = annuity[i] * peak / deviation if deviation > 0.0 else 0.0
        out[0, i] = annuity[i] * level
        out[1, i] = annuity[i] * slope
        out[2, i] = curvature
        out[3, i] = annuity[i] * root * peak
        out[4, i] = -0.5 * normal_vol[i] * normal_vol[i] * curvature


@compiled
def implied_deviation(distance, extra):
    """s for a time value ``extra`` > 0 at ``distance = |F - K|``.

    ``extra / distance = phi(x)/x - Phi(-x)`` falls in x with slope ``-phi(x)/x^2``. Its logarithm is concave in log x,
    so that Newton's method there converges from every start.
    """
    if distance <= 1e-14 * extra:
        return SQRT_2PI * extra
    target = extra / distance
    # the two limits of the function give the start: x near 0, and x large
    y = math.log(math.sqrt(-2.0 * math.log(target))) if target < 0.1 else -math.log(SQRT_2PI * target)
    for _ in range(60):
        x = math.exp(y)
        peak = density(x)
        ratio = peak / x - cumulative(-x)
        if ratio <= 0.0:  # below the smallest number: back towards the money
            y -= 0.1
            continue
        step = math.log(ratio / target) * ratio * x / peak
        y += step
        if abs(step) < 1e-15:
            break
    return distance / math.exp(y)


@compiled
def fill_implied_vol(moneyness, price, expiry, kind, out):
    """The normal vol of each price per unit of annuity; NaN where its time value is within its rounding."""
    for i in range(price.size):
        m = moneyness[i]
        if kind[i] == STRADDLE:
            extra = 0.5 * (price[i] - abs(m))
        else:
            extra = price[i] - max(kind[i] * m, 0.0)
        out[i] = implied_deviation(abs(m), extra) / math.sqrt(expiry[i]) if extra > 1e-15 * price[i] else math.nan
