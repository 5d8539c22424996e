"""A market whose best possible forecast is known: what a model may match but never beat.

A pressure s in -2 ... 2 is a Markov chain over ticks: it stays with probability ``STAY``, else it moves one step. At
each tick the mid rises by one price tick with probability ``RISE[s]``, falls with ``RISE[-s]``, and then s goes on.
A signal shows s exactly, several show it through noise, the rest are noise. So the distribution of the move over h
ticks, given s, is a finite sum that ``best_probabilities`` computes; whoever forecasts better looked ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.features import Samples
from engine.learning.labels import DOWN, FLAT, UP
from engine.model_file import Band
from engine.signals import NAMES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STAY = 0.9
RISE = np.array([0.02, 0.05, 0.12, 0.20, 0.30])  # by s = -2 ... 2
TICK = 100  # price units; a step of the mid is 200 half price units
SPREAD = 100
SHOWN = NAMES.index("queue_imbalance")
BLURRED = ("ofi_10", "ofi_50", "micro_minus_mid", "sign_mean_20", "momentum_10")
START = 1_767_623_400_000_000_000  # 2026-01-05 14:30 UTC
TICK_NS = 500_000_000


class Known(NamedTuple):
    """Samples, and the pressure that made them."""

    samples: Samples
    pressure: Ints  # [n] 0 ... 4


def known_process(n: int, rng: np.random.Generator) -> Known:
    """n ticks of one session, one sample each."""
    states = len(RISE)
    steps = rng.choice([-1, 1], n) * (rng.random(n) >= STAY)
    pressure = np.empty(n, np.int64)
    at = int(rng.integers(states))
    for i, step in enumerate(steps.tolist()):
        pressure[i] = at
        at = _reflected(at + step)
    draw = rng.random(n)
    rise, fall = RISE[pressure], RISE[states - 1 - pressure]
    move = (draw < rise).astype(np.int64) - (draw >= 1 - fall)
    mid2 = 2_000_000 + 2 * TICK * np.concatenate([[0], np.cumsum(move)[:-1]])  # sample i is before move i
    values = rng.normal(size=(n, len(NAMES)))
    values[:, SHOWN] = (pressure - 2 + rng.uniform(-0.5, 0.5, n)) / 2.5
    for name in BLURRED:
        values[:, NAMES.index(name)] += pressure - 2
    tick = np.arange(1, n + 1)
    spread, ready = np.full(n, SPREAD), np.ones(n, np.bool_)
    return Known(Samples(START + TICK_NS * tick, tick, tick, mid2, spread, values, ready), pressure)


def best_probabilities(pressure: Ints, horizon: int, band: Band) -> Floats:
    """P(down), P(flat), P(up) over ``horizon`` ticks given the pressure: float64[n, 3]."""
    states = len(RISE)
    chance = np.zeros((states, states, 2 * horizon + 1))  # [first s, s now, rises less falls + horizon]
    chance[np.arange(states), np.arange(states), horizon] = 1
    go_on = _transitions()
    rise, fall = RISE[:, None], RISE[::-1][:, None]
    for _ in range(horizon):
        moved = chance * (1 - rise - fall)
        moved[:, :, 1:] += (chance * rise)[:, :, :-1]
        moved[:, :, :-1] += (chance * fall)[:, :, 1:]
        chance = np.einsum("fsk,st->ftk", moved, go_on)
    by_move = chance.sum(axis=1)
    change = 2 * TICK * (np.arange(2 * horizon + 1) - horizon)
    reach = band.half_width + 2 * band.fraction * SPREAD
    out = np.empty((states, 3))
    out[:, DOWN], out[:, UP] = by_move[:, change < -reach].sum(axis=1), by_move[:, change > reach].sum(axis=1)
    out[:, FLAT] = 1 - out[:, DOWN] - out[:, UP]
    return out[pressure]


def _transitions() -> Floats:
    states = len(RISE)
    out = STAY * np.eye(states)
    for s in range(states):
        for step in (-1, 1):
            out[s, _reflected(s + step)] += (1 - STAY) / 2
    return out


def _reflected(s: int) -> int:
    return min(max(s, 0), len(RISE) - 1)
