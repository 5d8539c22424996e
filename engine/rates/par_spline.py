"""The cubic spline of the Treasury par curve, in a basis that can be solved: B-splines from half a year on.

The paper writes the discount function with truncated powers,

    d(t) = x0 + sum_{i=1..3} x_i ((t - 0.5) / 10)^i + sum_{i>=4} x_i ((t - t_i) / 10)^3 [t >= t_i]

whose columns are nearly alike. The cubic B-splines on the same knots, four of them at 0.5 and four at the end, span the
same functions; only the first is not 0 at 0.5, so its coefficient is x0. ``powers`` goes back to the paper's numbers.

Source: J.P. Morgan, "The new and improved Treasury par curve model", 16 July 2018; de Boor, "A Practical Guide to
Splines" (1978), for the recursion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import ConfigError

Floats = NDArray[np.float64]

DEGREE = 3
SHORT_END = 0.5  # years: where repo ends and the spline begins
SCALE = 10.0  # years, the paper's unit of time in powers
CLOSEST = 1e-6  # years between two knots


def equal_count_knots(maturities: Floats, count: int) -> Floats:
    """``count`` knots with as many bonds between neighbours: quantiles i / (count + 1) of the maturities, in years.

    Raises
    ------
    ConfigError
        If two knots coincide, or one lies at the short end, because many bonds share a maturity.
    """
    knots = np.quantile(maturities, np.arange(1, count + 1) / (count + 1))
    return checked_knots(knots, float(maturities.max()))


def checked_knots(knots: Floats, last: float) -> Floats:
    """Inner knots that rise strictly from half a year to ``last``; one sentence about the first that does not."""
    stops = np.concatenate([[SHORT_END], knots, [last]])
    close = np.flatnonzero(~(np.diff(stops) > CLOSEST))
    if close.size:
        k = int(close[0])
        raise ConfigError(
            f"knots {stops[k]:.6g} and {stops[k + 1]:.6g} years (numbers {k} and {k + 1} of {knots.size}, with "
            f"{SHORT_END} before them and the last maturity after) do not rise; ask for fewer knots, or add bonds of "
            "other maturities"
        )
    return knots


def clamped(knots: Floats, last: float) -> Floats:
    """The knot vector: 0.5 four times, the inner knots, ``last`` four times."""
    return np.concatenate([np.full(DEGREE + 1, SHORT_END), knots, np.full(DEGREE + 1, last)])


def spline(times: Floats, tau: Floats, coefficients: Floats, derivative: int = 0) -> Floats:
    """The spline, or a derivative of it, at ``times`` >= 0.5 years; its last cubic goes on beyond the last knot."""
    degree, tau, coefficients = lowered(tau, coefficients, derivative)
    out = np.empty(times.shape)
    fill_spline(times, tau, degree, coefficients, out)
    return out


def lowered(tau: Floats, coefficients: Floats, derivative: int) -> tuple[int, Floats, Floats]:
    """Degree, knot vector and coefficients of a derivative."""
    degree = DEGREE
    for _ in range(derivative):
        coefficients = degree * np.diff(coefficients) / (tau[degree + 1 : -1] - tau[1 : -degree - 1])
        tau, degree = tau[1:-1], degree - 1
    return degree, tau, coefficients


def powers(tau: Floats, coefficients: Floats) -> Floats:
    """The paper's x1..x3, of the powers at 0.5, and x4.. of the knots, for t in years and the scale of ten."""
    start = np.array([SHORT_END])
    slopes = [float(spline(start, tau, coefficients, k)[0]) for k in (1, 2)]
    third = lowered(tau, coefficients, DEGREE)[2]  # constant between knots
    bend = np.diff(third, prepend=0.0) * SCALE**3 / 6
    return np.array([slopes[0] * SCALE, slopes[1] * SCALE**2 / 2, *bend])


@compiled
def piece(t, tau, degree):
    """Index k with ``tau[k] <= t < tau[k + 1]``, the last piece for what lies beyond."""
    low, high = degree, tau.size - degree - 2
    while low < high:
        middle = (low + high + 1) // 2
        if t >= tau[middle]:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def fill_basis(t, tau, degree, k, out):
    """The ``degree + 1`` B-splines that live on piece k, at t, by de Boor's recursion."""
    out[0] = 1.0
    for d in range(1, degree + 1):
        carried = 0.0
        for j in range(d):
            right, left = tau[k + j + 1], tau[k + 1 - d + j]
            part = out[j] / (right - left)
            out[j] = carried + (right - t) * part
            carried = (t - left) * part
        out[d] = carried


@compiled
def fill_spline(times, tau, degree, coefficients, out):
    """``sum_j coefficients[j] B_j(t)`` for every t."""
    basis = np.empty(degree + 1)
    for i in range(times.size):
        k = piece(times[i], tau, degree)
        fill_basis(times[i], tau, degree, k, basis)
        total = 0.0
        for j in range(degree + 1):
            total += coefficients[k - degree + j] * basis[j]
        out[i] = total


@compiled
def fill_design(offsets, times, amounts, tau, design):
    """``design[i, j] = sum of amounts * B_j`` over the flows of bond i from half a year on; zeroed before."""
    basis = np.empty(DEGREE + 1)
    for i in range(offsets.size - 1):
        for f in range(offsets[i], offsets[i + 1]):
            if times[f] >= SHORT_END:
                k = piece(times[f], tau, DEGREE)
                fill_basis(times[f], tau, DEGREE, k, basis)
                for j in range(DEGREE + 1):
                    design[i, k - DEGREE + j] += amounts[f] * basis[j]
