"""The z-spread solver, compiled; ``z_spread`` is the face.

With ``h(z) = log(P(z) / dirty)`` we look for its zero. Each flow's worth is log-convex in z, so h is convex and falls;
it is nearly straight, and two derivatives come for the price of one, so Halley's method (cubic) needs two or three
steps of one log and one exp a flow. At z = 0 the discount factors are known and nothing needs computing. Should Halley
wander, Newton's method takes over, which on a falling convex h climbs to the zero from its left.
"""

from __future__ import annotations

import math

from engine.compiled import compiled

HALLEY_STEPS, MOST_STEPS = 10, 200
ENOUGH = 1e-6  # a Halley step below this leaves an error of its cube


@compiled
def price_and_slopes(first, last, times, amounts, zeros, z):
    """P, dP/dz and d2P/dz2 at annual zero rates plus z."""
    price, slope, curvature = 0.0, 0.0, 0.0
    for j in range(first, last):
        t = times[j]
        growth = 1.0 + zeros[j] + z
        v = 1.0 / growth
        worth = amounts[j] * math.exp(-t * math.log(growth))
        price += worth
        worth *= t * v
        slope -= worth
        curvature += worth * (t + 1.0) * v
    return price, slope, curvature


@compiled
def known_price_and_slopes(first, last, times, amounts, discounts, zeros):
    """The same at z = 0, from discount factors that are known."""
    price, slope, curvature = 0.0, 0.0, 0.0
    for j in range(first, last):
        t = times[j]
        v = 1.0 / (1.0 + zeros[j])
        worth = amounts[j] * discounts[j]
        price += worth
        worth *= t * v
        slope -= worth
        curvature += worth * (t + 1.0) * v
    return price, slope, curvature


@compiled
def step_to_zero(price, slope, curvature, dirty, halley):
    """The step in z from the value and slopes of P, on h = log(P / dirty)."""
    h = math.log(price / dirty)
    h1 = slope / price
    newton = -h / h1
    if not halley:
        return newton
    h2 = curvature / price - h1 * h1
    return newton / max(1.0 + 0.5 * newton * h2 / h1, 0.5)


@compiled
def fill_z_spreads(offsets, times, amounts, discounts, zeros, dirty, out):
    """The z of each bond at which its flows are worth ``dirty``."""
    for i in range(offsets.size - 1):
        first, last = offsets[i], offsets[i + 1]
        lowest = zeros[first]
        for j in range(first, last):
            lowest = min(lowest, zeros[j])
        z = 0.0
        price, slope, curvature = known_price_and_slopes(first, last, times, amounts, discounts, zeros)
        for k in range(MOST_STEPS):
            step = step_to_zero(price, slope, curvature, dirty[i], k < HALLEY_STEPS)
            if z + step + lowest <= -1.0:
                step = 0.5 * (-1.0 - lowest - z)  # half way to where the price is infinite
            z += step
            if abs(step) <= (ENOUGH if k < HALLEY_STEPS else 1e-13):
                break
            price, slope, curvature = price_and_slopes(first, last, times, amounts, zeros, z)
        out[i] = z


@compiled
def fill_prices(offsets, times, amounts, zeros, z, out):
    """Price of each bond at annual zero rates plus its z."""
    for i in range(offsets.size - 1):
        out[i] = price_and_slopes(offsets[i], offsets[i + 1], times, amounts, zeros, z[i])[0]
