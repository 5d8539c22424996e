"""The normal distribution and Bachelier's option from exact operations: the same bits on every host.

``engine.rates.gaussian`` calls the C library, whose last bits differ between hosts. What is written into a tape comes
from here: only IEEE ``+ - * /``, ``sqrt`` and what ``feeds.synthetic_orders`` makes of them.
"""

from __future__ import annotations

import math

from engine.compiled import compiled
from feeds.synthetic_orders import exponential, logarithm

INVERSE_SQRT_2PI = 0.3989422804014327
FAR = 2.5  # beyond it the continued fraction, below it the series


@compiled
def draw_normal(rng):
    """A standard normal draw, by Marsaglia's polar method (1964); the second of each pair is thrown away."""
    while True:
        u = 2.0 * rng.random() - 1.0
        s = 2.0 * rng.random() - 1.0
        s = u * u + s * s
        if 0.0 < s < 1.0:
            return u * math.sqrt(-2.0 * logarithm(s) / s)


@compiled
def draw_exponential(rng):
    """An exponential draw with mean 1."""
    return -logarithm(1.0 - rng.random())


@compiled
def density(x):
    """phi(x)."""
    return INVERSE_SQRT_2PI * exponential(-0.5 * x * x)


@compiled
def upper_tail(x):
    """P(Z > x) for x >= 0, with relative accuracy: Laplace's continued fraction far out, Marsaglia's series near 0."""
    if x > FAR:
        below = x
        for k in range(_depth(x), 0, -1):
            below = x + k / below
        return density(x) / below
    term = total = x
    k = 1.0
    while term > 1e-17 * total:
        term *= x * x / (2.0 * k + 1.0)
        total += term
        k += 1.0
    return 0.5 - density(x) * total


@compiled
def _depth(x):
    """Levels of the continued fraction that leave nothing to a double."""
    return 12 + int(430.0 / (x * x))


@compiled
def time_value(distance, deviation):
    """Bachelier's out-of-the-money option per unit of annuity, for ``distance = |F - K|``."""
    x = distance / deviation
    if x > FAR:  # phi(x) - x Q(x), with the fraction that Q is: no cancellation in the tail
        below = x
        for k in range(_depth(x), 1, -1):
            below = x + k / below
        return deviation * density(x) / (1.0 + x * below)
    return deviation * (density(x) - x * upper_tail(x))


@compiled
def implied_deviation(distance, price, start):
    """The standard deviation at which an option is worth ``price``, by Newton's method on its logarithm."""
    if distance == 0.0:
        return price / INVERSE_SQRT_2PI
    deviation = start
    for _ in range(50):
        value = time_value(distance, deviation)
        slope = density(distance / deviation) / value  # of the logarithm
        step = logarithm(price / value) / slope
        step = max(-0.5 * deviation, min(step, 0.5 * deviation))
        deviation += step
        if abs(step) <= 1e-14 * deviation:
            break
    return deviation
