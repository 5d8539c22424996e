"""The normal vols that reproduce the conditional expected payoff in the synthetic rates world.

Given the path of the variance factor M, a forward swap rate is normal at expiry, N days ahead, with variance
``C I``, I = M summed over those days. What is known of I at a close is linear in the two parts of v; the rest, Z, comes
from shocks still to come and does not depend on them:

1. ``shocks_ahead`` finds the law of Z for each expiry once, on a grid, and gathers it into points, most of them of
   equal weight, the last ones of less and less: far strikes live on the tail;
2. C comes from the curve of each day: what a forward swap rate moves when X_k does, growing by exp(a_k h) a day as the
   option ages, with the weights of the swap held;
3. the option is worth the mean of Bachelier's price over the points, and its vol gives that price back.

What the market then asks has every standard deviation times ``(1 + premium) m``, m noise of mean 1: at the money a
price is proportional to it. Away from the money a price is convex in m, so it is brought back by its own mean over m.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from feeds.exact_normal import density, implied_deviation, time_value
from feeds.rates_path import FACTORS, STEP, SWAP, Motion, Path, discount, loading
from feeds.synthetic_orders import exponential

Floats = NDArray[np.float64]
BODY, TAIL = 40, 24  # points
TAIL_WEIGHT = 0.1
GRID = 4096
SPREAD = 14.0  # standard deviations of Z that the grid reaches beyond its mean


def _weights() -> Floats:
    """Of the points: each of the tail takes a third of what is left, the last one all of it."""
    left, weights = TAIL_WEIGHT, [(1.0 - TAIL_WEIGHT) / BODY] * BODY
    for _ in range(TAIL - 1):
        weights.append(left / 3.0)
        left -= left / 3.0
    return np.array([*weights, left])


WEIGHTS = _weights()


class Nodes(NamedTuple):
    """Where a surface is quoted."""

    days: NDArray[np.int64]  # [e] calendar days to expiry
    tenors: Floats  # [t] years, multiples of one half
    offsets: Floats  # [o] strike minus forward, decimals


def shocks_ahead(motion: Motion, days: int) -> Floats:
    """Z over the next ``days`` calendar days, as points of WEIGHTS, in days of mean variance."""
    out = np.empty(WEIGHTS.size)
    _shocks_ahead(motion, days, WEIGHTS, np.zeros(GRID), np.zeros(GRID), out)
    return out


class Asked(NamedTuple):
    """What options cost above their fair price."""

    premium: float  # part of the fair price at the money
    noise: Floats  # [n, e] m - 1
    noise_variance: float  # of m


def market_vols(motion: Motion, path: Path, known: Floats, on: NDArray[np.int64], nodes: Nodes, asked: Asked) -> Floats:
    """Normal vols at the closes ``on`` (calendar days of the path); fair ones where nothing more is asked.

    Parameters
    ----------
    known : float64[n, 2]
        What the market takes the two parts of v to be, at each close: the path's, or an older view of them.

    Returns
    -------
    float64[n, e, t, o]
        Decimals a year, for option time in calendar days over 365.
    """
    points = np.stack([shocks_ahead(motion, int(days)) for days in nodes.days])
    out = np.empty((on.size, nodes.days.size, nodes.tenors.size, nodes.offsets.size))
    _fill_vols(motion, path, known, on, nodes, WEIGHTS, points, asked, out)
    return out


@compiled
def _sum_kept(keep, days):
    """1 + keep + … over ``days`` terms."""
    total, term = 0.0, 1.0
    for _ in range(days):
        total += term
        term *= keep
    return total


@compiled
def _weight(motion, part, days_left):
    """What a shock of size 1 adds to I, when ``days_left`` days follow its own."""
    size = (1.0 - motion.keep[part]) * motion.share[part] / motion.arrival[part]
    weight = (1.0 - motion.jumps) * size * _sum_kept(motion.keep[part], days_left)
    return weight + motion.jumps / motion.arrival[0] if part == 0 else weight


@compiled
def _shocks_ahead(motion, days, weights, law, other, out):
    mean = variance = 0.0
    for part in range(2):
        q = motion.arrival[part]
        for left in range(days):
            w = _weight(motion, part, left)
            mean += q * w
            variance += (2.0 * q - q * q) * w * w
    if mean == 0.0:
        out[:] = 0.0
        return
    step = (mean + SPREAD * math.sqrt(variance)) / (law.size - 1)
    law[0] = 1.0
    for part in range(2):
        for left in range(days):
            _add_shock(law, other, motion.arrival[part], _weight(motion, part, left) / step)
    _gather(law, step, mean, weights, out)


@compiled
def _add_shock(law, other, arrival, mean):
    """The law of the sum with one more shock: with probability ``arrival``, geometric of that mean in grid steps."""
    if mean == 0.0:
        return
    ratio = mean / (1.0 + mean)
    carried = 0.0
    for i in range(law.size):
        carried = ratio * carried + (1.0 - ratio) * law[i]
        other[i] = (1.0 - arrival) * law[i] + arrival * carried
    law[:] = other


@compiled
def _gather(law, step, mean, weights, out):
    """Cut the law into parts of these probabilities; each is represented by its mean, and all together by ``mean``."""
    total = 0.0
    for i in range(law.size):
        total += law[i]
    at, room, moment = 0, weights[0] * total, 0.0
    for i in range(law.size):
        left = law[i]
        while left > room and at < out.size - 1:
            out[at] = (moment + room * i * step) / (weights[at] * total)
            left -= room
            at, room, moment = at + 1, weights[at + 1] * total, 0.0
        room -= left
        moment += left * i * step
    out[at] = moment / (weights[at] * total)
    found = 0.0
    for k in range(out.size):
        found += out[k] * weights[k]
    for k in range(out.size):
        out[k] *= mean / found  # what the end of the grid cut off


@compiled
def _swap_moves(motion, x, y, start, tenor, out):
    """``out[k]``: change of the forward swap rate from ``start`` years on, over ``tenor`` years, per unit of X_k."""
    first = discount(motion, x, y, SWAP, start)
    periods = int(2.0 * tenor + 0.5)
    annuity = 0.0
    fixed = np.zeros(SWAP)
    last = first
    for i in range(1, periods + 1):
        years = start + 0.5 * i
        last = discount(motion, x, y, SWAP, years)
        annuity += 0.5 * last
        for k in range(SWAP):
            fixed[k] += 0.5 * last * loading(motion.decay[k], years)
    rate = (first - last) / annuity
    for k in range(SWAP):
        ends = last * loading(motion.decay[k], start + tenor) - first * loading(motion.decay[k], start)
        out[k] = (ends + rate * fixed[k]) / annuity


@compiled
def _variance_ahead(motion, known, days, moves):
    """Known part of I over ``days``, and C times h: the variance of the rate for one day of mean M."""
    one = 1.0 - motion.share[0] - motion.share[1]
    fast, slow = known[0], known[1]
    rest = np.array([0.0, 0.0])  # mean of what shocks to come add
    spent = total = mean = 0.0
    for i in range(days):
        spent += (1.0 - motion.jumps) * (one + fast + slow)
        m = (1.0 - motion.jumps) * (one + fast + slow + rest[0] + rest[1]) + motion.jumps
        c = 0.0
        for k in range(SWAP):
            move = moves[k] * motion.vol[k] * exponential(motion.decay[k] * STEP * (i + 1))
            c += move * move
        total += m * c * STEP
        mean += m
        fast *= motion.keep[0]
        slow *= motion.keep[1]
        for part in range(2):
            rest[part] = motion.keep[part] * rest[part] + (1.0 - motion.keep[part]) * motion.share[part]
    return spent, total / mean


@compiled
def _fill_vols(motion, path, known, on, nodes, weights, points, asked, out):
    moves = np.zeros(FACTORS)
    deviations = np.empty(points.shape[1])
    for n in range(on.size):
        x, y = path.state[on[n]], path.convexity[on[n]]
        for e in range(nodes.days.size):
            days = nodes.days[e]
            for t in range(nodes.tenors.size):
                _swap_moves(motion, x, y, days * STEP, nodes.tenors[t], moves)
                spent, scale = _variance_ahead(motion, known[n], days, moves)
                for p in range(deviations.size):
                    deviations[p] = (1.0 + asked.premium) * math.sqrt(scale * (spent + points[e, p]))
                for o in range(nodes.offsets.size):
                    implied = _implied(
                        abs(nodes.offsets[o]), weights, deviations, asked.noise[n, e], asked.noise_variance
                    )
                    out[n, e, t, o] = implied / math.sqrt(days * STEP)


@compiled
def _implied(distance, weights, deviations, noise, noise_variance):
    """The standard deviation that gives the mean price over the points, all of them times ``1 + noise``."""
    mean = asked = price = convexity = 0.0
    for p in range(weights.size):
        s = deviations[p]
        mean += weights[p] * s * (1.0 + noise)
        if distance > 0.0:
            price += weights[p] * time_value(distance, s)
            asked += weights[p] * time_value(distance, s * (1.0 + noise)) if noise != 0.0 else 0.0
            convexity += weights[p] * s * (distance / s) * (distance / s) * density(distance / s)
    if distance == 0.0 or price == 0.0:  # at the money, or so far out that there is no price
        return mean
    if noise != 0.0:
        price *= asked / (price + 0.5 * noise_variance * convexity)
    return implied_deviation(distance, price, mean)
