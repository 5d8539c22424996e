"""The numbers behind the impact kernels, made once before a run: no power and no exponential is left for the walk.

Volume is measured in cells of equal market volume. A cell of participation v adds the impulse f(v); seen ``lag`` whole
cells and the fraction u of a cell after that cell began, it displaces the price by f times (a = 1 - omega)

    integrated   (lag + u)^a - (lag + u - 1)^a       of MI.2 and HFMI: the power law integrated over the cell
    pointwise    (lag + u - 1/2)^-omega              of MI.1: the power law at the middle of the cell
    momentary    0                                   of a temporary impact that ends with its cell

For lag 0, the cell not yet ended, v still grows: what counts is our size over the market's so far, not over the whole
cell. Taken over at least ``LEAST`` of a cell, so that it is finite when a cell has just begun, with m = max(u, LEAST)
f(v) is multiplied by m^-exponent, and by m^a, 2^omega m^a and 1. So a constant rate displaces as the power law says
wherever it is looked at, and when the cell ends v is our size over the cell.

Lags 0 and 1, where the power law bends most, are tables of u; lags from 2 on are a sum of ``TERMS`` exponentials with
rates evenly spaced in their logarithm and weights found by least squares of the relative error over lags 2 to
``REACH``; weights are kept only where positive, so that the sum stays completely monotone. ``KERNEL_ERROR`` bounds the
relative error of all of it, up to ``REACH`` cells; beyond, the sum decays faster than the power law.

u is looked up on ``OCTAVES`` octaves below 1 of ``STEPS`` straight lines each, because lag 1 is steep at 0: the
relative error is the same in every octave. It holds for u >= 2^-24, so from the first share of any cell of up to 16
million.

Everything is computed with ``decimal``, whose exponential and logarithm are rounded correctly, and then rounded to
float64: machines agree to the last bit, whatever their mathematical library.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Decay = Literal["integrated", "pointwise", "momentary"]

TERMS = 16  # exponentials
REACH = 100_000  # cells that KERNEL_ERROR holds for
KERNEL_ERROR = 1e-3  # relative, of the displacement by one cell
SLOWEST, FASTEST = Decimal("1.5e-6"), Decimal(3)  # rates, per cell
OCTAVES, STEPS = 24, 32
NODES = 2 + OCTAVES * STEPS  # u = 0, then from 2^-24 to 1
COLUMNS = 2 + TERMS  # lag 0, lag 1, exponentials from lag 2 on
LEAST = Decimal("0.25")  # of a cell, over which participation is measured; a node
POWERS = 48  # decays over 2^0 .. 2^47 cells
MANTISSAS, EXPONENTS = 512, 128  # of the power of the participation
POWER_ERROR = 1e-6  # relative, of |v|^gamma

PRECISION = Context(prec=30)

TABLE = np.dtype(
    [
        ("kernel", "<f8", (NODES, COLUMNS)),
        ("decay", "<f8", (POWERS, TERMS)),
        ("mantissa", "<f8", (MANTISSAS + 1,)),  # of m^gamma, m from 1/2 to 1
        ("octave", "<f8", (EXPONENTS,)),  # 2^(gamma e), e from -64 to 63
        ("mean", "<f8"),  # 1 / (1 + gamma): the mean of v^gamma from 0 to v is that part of it
        ("psi", "<f8", (4, 15)),  # bp by kind of fill and state of the book
        ("by_state", "<i8"),  # impulses come from psi
        ("by_root", "<i8"),  # the lasting part grows with the square root of the net size
    ]
)


def power(base: float | Decimal, exponent: float | Decimal) -> Decimal:
    """``base ** exponent`` for base >= 0, to 30 digits."""
    base = Decimal(base)
    if not base:
        return Decimal(0 if exponent else 1)
    return PRECISION.exp(PRECISION.multiply(PRECISION.ln(base), Decimal(exponent)))


@functools.lru_cache(maxsize=16)
def kernel_tables(decay: Decay, omega: float, exponent: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Displacement by column at each node of u, float64[NODES, COLUMNS], and decays over 2^k cells [POWERS, TERMS]."""
    kernel, decays = np.zeros((NODES, COLUMNS)), np.zeros((POWERS, TERMS))
    with localcontext(PRECISION):
        kernel[:, 0] = [in_progress(decay, omega, exponent, u) for u in _nodes()]
        if decay == "momentary":
            return _frozen(kernel, decays)
        rates, weights = _exponentials(decay, omega)
        for row, u in zip(kernel, _nodes(), strict=True):
            row[1] = displacement(decay, omega, 1, u)
            row[2:] = [weight * (-rate * u).exp() for rate, weight in zip(rates, weights, strict=True)]
        for k in range(POWERS):
            decays[k] = [(-rate * 2**k).exp() for rate in rates]
    decays[decays < 1e-300] = 0.0  # no subnormal numbers in the walk
    return _frozen(kernel, decays)


def displacement(decay: Decay, omega: float, lag: int, u: Decimal) -> Decimal:
    """What a cell of impulse 1 displaces, ``lag`` >= 1 cells and the fraction ``u`` after it began; to 30 digits."""
    y = lag + u
    if decay == "integrated":
        a = 1 - Decimal(omega)
        return power(y, a) - power(y - 1, a)
    return power(y - Decimal("0.5"), -Decimal(omega)) if decay == "pointwise" else Decimal(0)


def in_progress(decay: Decay, omega: float, exponent: float, u: Decimal) -> Decimal:
    """What an impulse of 1, our size over a whole cell, displaces when the fraction ``u`` of its cell has passed."""
    m = max(u, LEAST)
    if decay == "momentary":
        return power(m, -Decimal(exponent))
    over = power(m, 1 - Decimal(omega) - Decimal(exponent))
    return over * power(2, Decimal(omega)) if decay == "pointwise" else over


@functools.lru_cache(maxsize=16)
def power_tables(exponent: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m^exponent for m from 1/2 to 1, and 2^(exponent e) for e from -64 to 63."""
    mantissa = [float(power(Decimal(MANTISSAS + k) / (2 * MANTISSAS), exponent)) for k in range(MANTISSAS + 1)]
    octave = [float(power(2, Decimal(exponent) * (e - EXPONENTS // 2))) for e in range(EXPONENTS)]
    return _frozen(np.array(mantissa), np.array(octave))


def _nodes() -> list[Decimal]:
    steps = [Decimal(STEPS + k) / (2 * STEPS) for k in range(STEPS)]
    return [Decimal(0), *(step * Decimal(2) ** (e - OCTAVES + 1) for e in range(OCTAVES) for step in steps), Decimal(1)]


def _exponentials(decay: Decay, omega: float) -> tuple[list[Decimal], list[Decimal]]:
    """Rates per cell and positive weights of the sum that stands for lags from 2 on."""
    ratio = power(FASTEST / SLOWEST, 1 / Decimal(TERMS - 1))
    rates = [SLOWEST * ratio**k for k in range(TERMS)]
    samples = 6 * TERMS
    step = power(Decimal(REACH) / 2, 1 / Decimal(samples - 1))
    lags = [2 * step**k for k in range(samples)]
    exact = [displacement(decay, omega, 2, lag - 2) for lag in lags]
    relative = [[(-rate * (lag - 2)).exp() / goal for rate in rates] for lag, goal in zip(lags, exact, strict=True)]
    used = list(range(TERMS))
    while True:
        found = _least_squares([[row[k] for k in used] for row in relative])
        if min(found) > 0:
            weights = dict(zip(used, found, strict=True))
            return rates, [weights.get(k, Decimal(0)) for k in range(TERMS)]
        used.remove(used[found.index(min(found))])


def _least_squares(rows: Sequence[Sequence[Decimal]]) -> list[Decimal]:
    """The combination of columns nearest to a column of ones: normal equations, by elimination in 30 digits."""
    columns = list(zip(*rows, strict=True))
    system = [[*(sum(map(Decimal.__mul__, a, b)) for b in columns), sum(a)] for a in columns]
    n = len(system)
    for k in range(n):  # positive definite: no pivoting
        for i in range(k + 1, n):
            factor = system[i][k] / system[k][k]
            system[i] = [x - factor * y for x, y in zip(system[i], system[k], strict=True)]
    solution = [Decimal(0)] * n
    for k in reversed(range(n)):
        known = sum((system[k][j] * solution[j] for j in range(k + 1, n)), Decimal(0))
        solution[k] = (system[k][n] - known) / system[k][k]
    return solution


def _frozen(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one.flags.writeable = other.flags.writeable = False
    return one, other
