"""Swaps on one close's curve, those that have started included, as a kernel; ``contract_values`` is the face.

Scalar arithmetic only: a swap's value has the same bits alone and among thousands, on any host.
"""

from __future__ import annotations

import math

from engine.compiled import compiled
from engine.rates.swap_kernels import discount_and_slope


@compiled
def fill_swaps(nodes, logs, start, offsets, pay, accrual, rate, floating, out):
    """Value to the payer of fixed, and annuity, of each swap i in ``out[0..1, i]``.

    Times are years from the close. ``floating[i]`` is the floating coupon under way; NaN, where none has been fixed,
    leaves a swap that has started without value.
    """
    k = nodes.size - 1
    for i in range(start.size):
        annuity, first, last = 0.0, -1.0, 0.0
        for j in range(offsets[i], offsets[i + 1]):
            if pay[j] > 0.0:
                last = discount_and_slope(pay[j], nodes, logs, k, False)[0]
                first = last if first < 0.0 else first
                annuity += accrual[j] * last
        floating_leg = (1.0 + floating[i]) * first - last
        if first < 0.0:  # all has been paid
            floating_leg = 0.0
        elif start[i] >= 0.0 and math.isnan(floating[i]):
            floating_leg = discount_and_slope(start[i], nodes, logs, k, False)[0] - last
        out[0, i] = floating_leg - rate[i] * annuity
        out[1, i] = annuity
