"""Schedules that cost least: under the linearised transient kernel, and after Almgren and Chriss.

Time is market volume in clock units, so a volume curve only stretches bins. A schedule is the part of the parent, x_j,
traded in each bin at constant participation; sum x = 1. With S[i, j] the mean of |t - s|^-omega over bins i and j,

    expected cost   f T / 2 x'Sx bp,    f the impulse of the constant participation over all T,
    its variance    s^2 integral of (remaining part)^2,    s the volatility in bp of a clock unit,

and the schedule minimises ``cost + risk_aversion variance``. Without risk aversion that is ``x ~ inverse(S) 1``: the U
shape. The true impulse is concave in participation; a free optimiser of it finds bursts and pauses that no market would
leave alone. So the optimum of the linearised cost only says which way to bend: between constant participation and that
optimum, ``plan`` takes the blend that costs least with the true impulse, and claims no more than the smaller of
the two gains.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.broker.impact import UNITS_A_DAY, AlmgrenChriss, Market, Parameters, check_parameters
from engine.errors import ConfigError
from engine.impact_path import double_integrals, impulse_bp, mean_cost_bp

Floats = NDArray[np.float64]

BLENDS = 20  # steps from constant participation to the linearised optimum


class Plan(msgspec.Struct, frozen=True):
    """A schedule and what it is expected to cost with the true impulse, in bp, spread left out."""

    weights: tuple[float, ...]  # of each bin, adding up to 1
    cost_bp: float
    flat_cost_bp: float  # of constant participation
    risk_bp: float  # standard deviation of the cost
    gain: float  # claimed part of the flat cost that is saved: the smaller of the true and the linearised


def plan(
    parameters: Parameters,
    market: Market,
    size: int,
    edges: ArrayLike,
    *,
    risk_aversion: float = 0.0,
    units_a_day: int = UNITS_A_DAY,
) -> Plan:
    """The schedule of a parent of ``size`` over bins of market volume between ``edges``, float64[n + 1], clock units.

    ``risk_aversion`` is in 1 / bp: bp of expected cost that one bp^2 of variance is worth.

    Raises
    ------
    ConfigError
        If the parameters are inadmissible, a bin has no volume, the parent is larger than the volume of its bins, or
        the risk aversion is negative.
    """
    check_parameters(parameters)
    t = np.asarray(edges, np.float64)
    length, widths = t[-1] - t[0], np.diff(t)
    participation = _participation(market, size, length, units_a_day)
    sigma = market.daily_volatility
    impulse = float(impulse_bp(parameters, participation, sigma))
    variance = sigma**2 * 1e8 / units_a_day  # bp^2 of a clock unit
    flat = widths / length

    def cost(x: Floats) -> float:
        rates = participation * x * length / widths
        return mean_cost_bp(parameters, rates, t, daily_volatility=sigma)

    def objective(x: Floats) -> float:
        return cost(x) + risk_aversion * variance * _risk(x, t)

    best = linear_optimum(t, parameters.omega, risk=risk_aversion * variance / (impulse * length))
    blends = [flat + k / BLENDS * (best - flat) for k in range(BLENDS + 1)]
    chosen = min(blends, key=objective)
    linear = 1 - linear_cost(chosen, t, parameters.omega) / linear_cost(flat, t, parameters.omega)
    true = 1 - cost(chosen) / cost(flat)
    return Plan(
        weights=tuple(chosen.tolist()),
        cost_bp=cost(chosen),
        flat_cost_bp=cost(flat),
        risk_bp=math.sqrt(variance * _risk(chosen, t)),
        gain=min(linear, true),
    )


def linear_optimum(edges: ArrayLike, omega: float, *, risk: float = 0.0) -> Floats:
    """Parts of the parent by bin, float64[n] >= 0 that add up to 1, that minimise ``x'Sx / 2 + risk x'Rx``.

    ``x'Rx`` is the integral of the squared remaining part. Bins that would trade backwards are left out one by one.

    Raises
    ------
    ConfigError
        If the edges do not increase, ``omega`` is not between 0 and 1, or ``risk`` is negative.
    """
    t = np.asarray(edges, np.float64)
    if t.ndim != 1 or t.size < 2 or not (np.diff(t) > 0).all():
        raise ConfigError("a schedule needs bins with market volume: edges in clock units that increase")
    if not 0 < omega < 1 or not (risk >= 0 and math.isfinite(risk)):
        raise ConfigError(f"needs 0 < omega < 1 and risk aversion >= 0, but got omega {omega} and risk {risk}")
    quadratic = _kernel_means(t, omega) + 2 * risk * _risk_matrix(t)
    used = np.arange(t.size - 1)
    while True:
        x = np.linalg.solve(quadratic[np.ix_(used, used)], np.ones(used.size))
        if (x >= 0).all():
            break
        used = np.delete(used, np.argmin(x))
    weights = np.zeros(t.size - 1)
    weights[used] = x / x.sum()
    return weights


def linear_cost(weights: ArrayLike, edges: ArrayLike, omega: float) -> float:
    """``x'Sx / 2``."""
    x = np.asarray(weights, np.float64)
    return float(x @ _kernel_means(np.asarray(edges, np.float64), omega) @ x) / 2


def almgren_chriss_remaining(at: ArrayLike, length: float, urgency: float) -> Floats:
    """The part of a parent that is still to trade: ``sinh(k (T - t)) / sinh(k T)``, a straight line for k = 0.

    Parameters
    ----------
    at : float64[n]
        Times t from 0 to ``length``, in any unit: clock units, or seconds.
    length : float
        T, > 0.
    urgency : float
        k >= 0, in 1 / unit of time: after 1 / k a long order has traded 1 - 1/e of itself.

    Source: Almgren and Chriss (2000), "Optimal execution of portfolio transactions", eq. 17 in continuous time.
    """
    t = np.asarray(at, np.float64)
    if not length > 0 or not (urgency >= 0 and math.isfinite(urgency)):
        raise ConfigError(f"needs a length > 0 and an urgency >= 0, but got {length} and {urgency}")
    if urgency * length < 1e-6:  # the curve is this close to its limit
        return 1 - t / length
    # exponentials of negative numbers only, so that a long order does not overflow
    fall = np.exp(-urgency * t) * np.expm1(-2 * urgency * (length - t))
    return fall / math.expm1(-2 * urgency * length)


def almgren_chriss_urgency(
    model: AlmgrenChriss, market: Market, size: int, risk_aversion: float, *, units_a_day: int = UNITS_A_DAY
) -> float:
    """k of ``almgren_chriss_remaining`` in 1 / clock unit: ``k^2 = risk_aversion variance / temporary cost``.

    The closed form is that of a temporary impact linear in participation; ``model.exponent`` must be 1.

    Raises
    ------
    ConfigError
        If the exponent is not 1, there is no temporary impact, or the average day or the size is not positive.
    """
    if model.exponent != 1:
        raise ConfigError(
            f"the Almgren-Chriss schedule needs a temporary impact that is linear, but exponent is {model.exponent}; "
            "set exponent = 1 and fit temporary to it"
        )
    _participation(market, size, float(units_a_day), units_a_day)
    if not model.temporary > 0 or not (risk_aversion >= 0 and math.isfinite(risk_aversion)):
        raise ConfigError(f"needs temporary > 0 and risk_aversion >= 0, but got {model.temporary} and {risk_aversion}")
    sigma_bp = market.daily_volatility * 1e4
    temporary = (
        model.temporary * sigma_bp * size * units_a_day / market.daily_volume
    )  # bp for the whole parent in a unit
    return math.sqrt(risk_aversion * sigma_bp**2 / units_a_day / temporary)


def _participation(market: Market, size: int, length: float, units_a_day: int) -> float:
    if market.daily_volume <= 0 or not market.daily_volatility > 0:
        raise ConfigError(f"a schedule needs daily_volume and daily_volatility > 0, but got {market}")
    volume = market.daily_volume * length / units_a_day
    if not 0 < size <= volume:
        raise ConfigError(
            f"a parent of {size} cannot trade in bins with {volume:.0f} of market volume; give it longer, or split it"
        )
    return size / volume


def _kernel_means(t: Floats, omega: float) -> Floats:
    """S: the mean of |t - s|^-omega over each pair of bins, [n, n]."""
    lower = double_integrals(t, omega)
    return (lower + lower.T) / np.outer(np.diff(t), np.diff(t))


def _risk(x: Floats, t: Floats) -> float:
    return float(x @ _risk_matrix(t) @ x)


def _risk_matrix(t: Floats) -> Floats:
    """R: x'Rx is the integral of the squared remaining part, which falls in a straight line within a bin."""
    n = t.size - 1
    after = np.tril(np.ones((n + 1, n)), -1)  # done at an edge, by bin
    left = 1 - after  # as sum x = 1: remaining at an edge is the sum of the bins after it
    a, b, width = left[:-1], left[1:], np.diff(t)[:, None]
    cross = (a * width).T @ b
    return ((a * width).T @ a + (b * width).T @ b + (cross + cross.T) / 2) / 3
