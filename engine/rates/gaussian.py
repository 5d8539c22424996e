"""The normal distribution in scalar ``math`` functions: their last bits do not depend on vector units."""

from __future__ import annotations

import math

from engine.compiled import compiled

INVERSE_SQRT_2PI = 0.3989422804014327
SQRT_2PI = 2.5066282746310002
SQRT_HALF = 0.7071067811865476


@compiled
def density(x):
    """phi(x)."""
    return INVERSE_SQRT_2PI * math.exp(-0.5 * x * x)


@compiled
def cumulative(x):
    """Phi(x), with full relative accuracy in the lower tail."""
    return 0.5 * math.erfc(-SQRT_HALF * x)


@compiled
def quantile(p):
    """x with ``Phi(x) = p``, 0 < p < 1, by Halley's method in the lower tail, where erfc keeps its accuracy.

    From ``-sqrt(-2 log 2p)`` eight steps reach the rounding of erfc for every p above 1e-300.
    """
    lower = min(p, 1.0 - p)
    x = -math.sqrt(max(-2.0 * math.log(2.0 * lower), 0.0))
    for _ in range(8):
        error = (cumulative(x) - lower) / density(x)
        step = error / (1.0 + 0.5 * error * x)
        x -= step
        if abs(step) <= 1e-16 * abs(x):
            break
    return x if p <= 0.5 else -x


@compiled
def fill_quantiles(p, out):
    """``quantile`` of each p."""
    for i in range(p.size):
        out[i] = quantile(p[i])
