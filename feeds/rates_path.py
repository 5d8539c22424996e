"""How the curve of the synthetic rates world moves: all forward rates, free of arbitrage, a calendar day a step.

Discount factors at time t for a payment tau years later, K = 4 factors of which the last moves Treasuries alone:

    log D(tau) = -theta tau - sum_k [ X_k G_k(tau) + y_k G_k(tau)^2 / 2 ],    G_k(tau) = (1 - exp(-a_k tau)) / a_k
    X_k <- e_k (X_k + y_k G_k(h)) + s_k z_k,   y_k <- e_k^2 y_k + s_k^2,   e_k = exp(-a_k h),  h = 1/365

with z standard normal. Whatever is known of s_k, every D, in units of cash that rolls over at the day's own rate, is a
martingale: exactly, in discrete time. So each forward swap rate is a martingale under its annuity, and rolling down the
curve earns nothing. Reversion adds ``a_k h X_k(0) - kappa h (X_k - X_k(0))``: X then goes back to where it began, the
curve keeps its slope on average and rolling down it earns. No option or bond prices that.

The variance of a day is ``s_k^2 = sigma_k^2 h M``, M of mean 1:

    M = (1 - j) v + (j / q) E 1{shock},   v = 1 - f - g + c_f + c_g,   c <- exp(-h / life) c + m E 1{shock}

Shocks of the fast and of the slow part of v come on a day with probability q, their size E is exponential with mean 1.
A fast one brings a jump of rates: a normal draw of variance E, given which M is no longer small. Source of the form:
Heath, Jarrow and Morton (1992); Cheyette (1992) for the state; Barndorff-Nielsen and Shephard (2001) for v.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from feeds.exact_normal import draw_exponential, draw_normal
from feeds.synthetic_orders import exponential, philox

Floats = NDArray[np.float64]
STEP = 1.0 / 365.0  # years
FACTORS = 4
SWAP, TREASURY = 3, 4  # how many factors a curve has


class Motion(NamedTuple):
    """The constants of the model, per year where not said."""

    theta: float  # the forward rate for ever
    decay: Floats  # [4] a
    vol: Floats  # [4] sigma at M = 1, decimals
    start: Floats  # [4] X at the first day, and what reversion leads back to
    reversion: float  # kappa, 0 for none
    spread: float  # Treasury yields less swap rates where X_3 = 0
    share: Floats  # [2] f, g
    keep: Floats  # [2] exp(-h / life): what is left of c after a day
    arrival: Floats  # [2] q, a day
    jumps: float  # j, the part of the variance that comes in jumps


class Path(NamedTuple):
    """The state at the end of each calendar day, the first before any shock."""

    state: Floats  # [n, 4] X
    convexity: Floats  # [n, 4] y
    variance: Floats  # [n, 2] c


def simulate(motion: Motion, days: int, seed: int, stream: int) -> Path:
    """``days`` calendar days from the first on, all draws from one stream."""
    path = Path(np.zeros((days, FACTORS)), np.zeros((days, FACTORS)), np.zeros((days, 2)))
    _simulate(philox(seed, stream), motion, path)
    return path


@compiled
def loading(decay, years):
    """G."""
    return (1.0 - exponential(-decay * years)) / decay


@compiled
def log_discount(motion, state, convexity, curve, years):
    """log D of the SWAP or the TREASURY curve."""
    total = -motion.theta * years
    if curve == TREASURY:
        total -= motion.spread * years
    for k in range(curve):
        g = loading(motion.decay[k], years)
        total -= g * (state[k] + 0.5 * convexity[k] * g)
    return total


@compiled
def discount(motion, state, convexity, curve, years):
    """D."""
    return exponential(log_discount(motion, state, convexity, curve, years))


@compiled
def fill_discounts(motion, path, curve, day, offsets, until, out):
    """``out[j]``: D from the calendar day ``day[i]`` to the day ``until[j]``, for j of row i of ``offsets``."""
    for i in range(day.size):
        at = day[i]
        for j in range(offsets[i], offsets[i + 1]):
            out[j] = discount(motion, path.state[at], path.convexity[at], curve, (until[j] - at) * STEP)


@compiled
def par_yield(motion, state, convexity, years):
    """The rate of a semi-annual par bond on the Treasury curve; up to half a year, the one of a single payment."""
    last = discount(motion, state, convexity, TREASURY, years)
    if years <= 0.5:
        return (1.0 / last - 1.0) / years
    annuity = 0.0
    for k in range(int(2.0 * years + 0.5)):
        annuity += 0.5 * discount(motion, state, convexity, TREASURY, years - 0.5 * k)
    return (1.0 - last) / annuity


@compiled
def _simulate(rng, motion, path):
    x, y, c = motion.start.copy(), np.zeros(FACTORS), motion.share.copy()
    _settle(rng, motion, c)
    shock, added, moved = np.zeros(2), np.zeros(FACTORS), np.zeros(FACTORS)
    for day in range(path.state.shape[0]):
        path.state[day], path.convexity[day], path.variance[day] = x, y, c
        variance = 1.0 - motion.share[0] - motion.share[1] + c[0] + c[1]
        _shots(rng, motion, c, shock)
        variance = (1.0 - motion.jumps) * variance + motion.jumps / motion.arrival[0] * shock[0]
        for k in range(FACTORS):
            added[k] = motion.vol[k] * motion.vol[k] * STEP * (variance if k < SWAP else 1.0)
            moved[k] = math.sqrt(added[k]) * draw_normal(rng)
        advance(motion, x, y, added, moved)


@compiled
def advance(motion, x, y, added, moved):
    """X and y a day later, in place: ``moved[k]`` is the shock, drawn with variance ``added[k]``."""
    for k in range(FACTORS):
        kept = exponential(-motion.decay[k] * STEP)
        drift = 0.0
        if motion.reversion > 0.0:
            drift = (1.0 - kept) * motion.start[k] - motion.reversion * STEP * (x[k] - motion.start[k])
        x[k] = kept * (x[k] + y[k] * loading(motion.decay[k], STEP)) + drift + moved[k]
        y[k] = kept * kept * y[k] + added[k]


@compiled
def _settle(rng, motion, c):
    """Bring c from its mean to a draw of what it is like in the long run: some lives of its shots."""
    shock = np.zeros(2)
    for _ in range(2000):
        _shots(rng, motion, c, shock)


@compiled
def _shots(rng, motion, c, shock):
    """A day of both parts of v; ``shock`` holds their E, 0 on most days."""
    for i in range(2):
        shock[i] = draw_exponential(rng) if rng.random() < motion.arrival[i] else 0.0
        size = (1.0 - motion.keep[i]) * motion.share[i] / motion.arrival[i]
        c[i] = motion.keep[i] * c[i] + size * shock[i]
