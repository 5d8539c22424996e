"""Street yield arithmetic, compiled: price, slope and curvature of ragged flows, and Newton's method on them.

With ``v = 1 / (1 + y / f)``, flows ``a_0..a_m`` and w periods to the first of them, ``P = v^w (a_0 + a_1 v + …)``: one
power a bond, the rest by Horner's rule. Price is convex and falls in yield, so Newton's method stays below the root
after its first step and climbs to it: no bracket is needed, only care that the first step does not cross y = -f.
Nothing is checked here; ``bonds`` is the face.
"""

from __future__ import annotations

from engine.compiled import compiled

MOST_STEPS = 100


@compiled
def price_and_slopes(periods, amounts, first, last, frequency, yld, simple):
    """P, dP/dy and d2P/dy2 of the flows ``first:last``."""
    if simple and last - first == 1:
        t = periods[first] / frequency
        v = 1.0 / (1.0 + t * yld)
        price = amounts[first] * v
        return price, -t * v * price, 2.0 * t * t * v * v * price
    v = 1.0 / (1.0 + yld / frequency)
    value = 0.0  # sum of a_k v^k, and the sums of k a_k v^k and k (k - 1) a_k v^k
    once = 0.0
    twice = 0.0
    for j in range(last - 1, first - 1, -1):
        twice = twice * v + 2.0 * once
        once = once * v + value
        value = value * v + amounts[j]
    once *= v
    twice *= v * v
    w = periods[first]
    scale = v**w
    step = v / frequency
    slope = -step * scale * (w * value + once)
    curvature = step * step * scale * (w * (w + 1.0) * value + 2.0 * (w + 1.0) * once + twice)
    return scale * value, slope, curvature


@compiled
def fill_measures(offsets, periods, amounts, frequency, yields, simple, out):
    """Price, slope and curvature of each bond into the rows of ``out``, float64[3, n]."""
    for i in range(offsets.size - 1):
        price, slope, curvature = price_and_slopes(
            periods, amounts, offsets[i], offsets[i + 1], frequency[i], yields[i], simple
        )
        out[0, i] = price
        out[1, i] = slope
        out[2, i] = curvature


@compiled
def fill_street_yields(offsets, periods, amounts, frequency, dirty, simple, out):
    """The yield at which each bond's flows are worth its ``dirty`` price."""
    for i in range(offsets.size - 1):
        first, last = offsets[i], offsets[i + 1]
        lowest = -float(frequency[i])
        if simple and last - first == 1:
            out[i] = (amounts[first] / dirty[i] - 1.0) * frequency[i] / periods[first]
            continue
        yld = 0.05
        for _ in range(MOST_STEPS):
            price, slope, _curvature = price_and_slopes(periods, amounts, first, last, frequency[i], yld, simple)
            following = yld - (price - dirty[i]) / slope
            if following <= lowest:
                following = 0.5 * (yld + lowest)
            change = following - yld
            yld = following
            if abs(change) <= 1e-15 * (1.0 + abs(yld)):
                break
        out[i] = yld
