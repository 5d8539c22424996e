"""Newton's method for each node of a swap curve, compiled; ``swap_curve`` is the face.

The unknown of a node is what its curve interpolates: log of the discount factor, or the annual zero rate. With all
earlier nodes fixed, ``c sum of accrual d(pay) + d(end) - d(start)`` is nearly straight in it: a few steps do.
"""

from __future__ import annotations

import math

from engine.compiled import compiled

MOST_STEPS = 100
ENOUGH = 1e-12


@compiled
def factor_of(t, value, linear_zero):
    """The discount factor of an interpolated value; NaN where there is none."""
    if not linear_zero:
        return math.exp(value)
    return math.exp(-t * math.log(1.0 + value)) if value > -1.0 else math.nan


@compiled
def discount_and_slope(t, nodes, values, k, linear_zero):
    """d(t) on a curve that ends at node k, and how d(t) moves with that node's value."""
    j = 0
    while j < k and nodes[j] < t:
        j += 1
    left_t, left = 0.0, 0.0
    if j > 0:
        left_t, left = nodes[j - 1], values[j - 1]
    weight = 1.0 if j == 0 and linear_zero else (t - left_t) / (nodes[j] - left_t)  # a zero rate is flat at first
    value = left + weight * (values[j] - left)
    factor = factor_of(t, value, linear_zero)
    if j < k:
        return factor, 0.0
    return factor, -t * weight * factor / (1.0 + value) if linear_zero else weight * factor


@compiled
def swap_error(k, start, nodes, values, rate, first, last, pay, accrual, linear_zero):
    """``c annuity + d(end) - d(start)`` of the swap that ends at node k, and its slope in that node's value."""
    error, slope = 0.0, 0.0
    for j in range(first - 1, last + 1):  # the start counts -1, each payment its coupon, and the end 1 more
        if j < first:
            t, weight = start, -1.0
        elif j < last:
            t, weight = pay[j], rate * accrual[j]
        else:
            t, weight = pay[last - 1], 1.0
        factor, change = discount_and_slope(t, nodes, values, k, linear_zero)
        error += weight * factor
        slope += weight * change
    return error, slope


@compiled
def solve_node(k, start, nodes, values, rate, first, last, pay, accrual, linear_zero):
    """Set the value of node k, from the guess that it holds; NaN where no positive discount factor will do."""
    for _ in range(MOST_STEPS):
        error, slope = swap_error(k, start, nodes, values, rate, first, last, pay, accrual, linear_zero)
        if not abs(slope) > 0.0:
            break
        step = error / slope
        values[k] -= step
        if abs(step) <= ENOUGH:  # the error of the next step is its square
            return
    values[k] = math.nan


@compiled
def fill_discount_factors(starts, nodes, rates, offsets, pay, accrual, linear_zero, out):
    """Discount factors at the nodes of each day, float64[d, k]; NaN from the first node that has none."""
    tenors = nodes.shape[1]
    for day in range(nodes.shape[0]):
        values = out[day]
        for k in range(tenors):
            values[k] = rates[day, k] if linear_zero else -rates[day, k] * nodes[day, k]
            first, last = offsets[day * tenors + k], offsets[day * tenors + k + 1]
            solve_node(k, starts[day], nodes[day], values, rates[day, k], first, last, pay, accrual, linear_zero)
        for k in range(tenors):
            out[day, k] = factor_of(nodes[day, k], values[k], linear_zero)
