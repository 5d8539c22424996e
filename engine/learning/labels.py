"""What a forecast of direction is held against: the mid's move over a number of ticks, as down, flat or up.

A move is in half price units, because the mid is half of bid plus ask; so it stays a whole number. The label of a
sample looks ahead to the first sample with ``horizon`` more ticks of the same session, and is unknown where there is
none, or where either is not ready.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.features import Samples
from engine.model_file import Band

Ints = NDArray[np.int64]

DOWN, FLAT, UP = 0, 1, 2
STALE_AT = 0.9  # part of the moves that have happened when a signal is too old
QUANTILES = np.arange(1, 41) / 40  # of the horizon's distribution

Rule = Literal["move", "spread", "thirds"]


class Moves(NamedTuple):
    """The mid's move after each of n samples."""

    change: Ints  # [n] half price units; 0 where unknown
    end: Ints  # [n] the sample whose mid it was; the sample itself where unknown
    known: NDArray[np.bool_]  # [n]


def moves(samples: Samples, horizon: int) -> Moves:
    """The mid ``horizon`` ticks later, less the mid now."""
    if horizon < 1:
        raise ConfigError(f"the horizon is {horizon} ticks, but must be at least 1")
    n = len(samples.tick)
    session = _sessions(samples.tick)
    place = session * (1 << 40) + samples.tick
    end = np.searchsorted(place, place + horizon, side="left")
    within = np.minimum(end, max(n - 1, 0))
    known = (end < n) & (session[within] == session) & samples.ready & samples.ready[within]
    end = np.where(known, within, np.arange(n))
    return Moves(samples.mid2[end] - samples.mid2, end, known)


def band_of(rule: Rule, change: Ints, *, fraction: float = 0.5) -> Band:
    """Which moves are flat.

    Parameters
    ----------
    rule : "move", "spread" or "thirds"
        Only none; at most ``fraction`` of the spread at the forecast; or the third of the smallest moves, as nearly as
        the price grid allows, alike on both sides so that a trend of the training days is not built in.
    change : int64[n]
        Moves of the training part, half price units; for "thirds".
    fraction : float
        For "spread".
    """
    if rule == "move":
        return Band(rule=rule)
    if rule == "spread":
        if not 0 <= fraction < 1e6:
            raise ConfigError(f"the band is {fraction} of the spread, but must be from 0 up")
        return Band(rule=rule, fraction=fraction)
    if not len(change):
        raise ConfigError("no training sample has a known move; train on more ticks than the horizon")
    sizes, counts = np.unique(np.abs(change), return_counts=True)
    flat = np.cumsum(counts) / len(change)
    return Band(rule=rule, half_width=int(sizes[np.argmin(np.abs(flat - 1 / 3))]))


def classes(change: Ints, spread: Ints, band: Band) -> Ints:
    """DOWN, FLAT or UP of each move; ``spread`` in price units, at the forecast."""
    reach = band.half_width + 2 * band.fraction * spread
    return FLAT + (change > reach).astype(np.int64) - (change < -reach).astype(np.int64)


def times_to_move(samples: Samples, found: Moves, band: Band) -> Ints:
    """How long after each sample with an up or down label the mid was first beyond the band on that side: int64[m] ns.

    That is no later than the label's end.
    """
    side = classes(found.change, samples.spread, band) - FLAT
    at = np.flatnonzero(found.known & (side != 0))
    reach = (band.half_width + 2 * band.fraction * samples.spread)[at]
    later, waits = at.copy(), np.full(len(at), -1, np.int64)
    while (open_ := np.flatnonzero(waits < 0)).size:
        later[open_] += 1
        i, j = at[open_], later[open_]
        there = samples.ready[j] & ((samples.mid2[j] - samples.mid2[i]) * side[i] > reach[open_])
        waits[open_[there]] = (samples.ts[j] - samples.ts[i])[there]
    return waits


def horizon_cdf(waits: Ints) -> list[tuple[int, float]]:
    """(ns, part of the moves that have happened by then), both rising, to 1."""
    if not len(waits):
        return []
    times = np.quantile(waits, QUANTILES, method="inverted_cdf").astype(np.int64)
    last = np.append(np.diff(times) > 0, True)  # at equal times the highest part
    return [(int(ns), float(part)) for ns, part in zip(times[last], QUANTILES[last], strict=True)]


def stale_ns(cdf: list[tuple[int, float]]) -> int:
    """The age at which ``STALE_AT`` of the moves have happened; at least 1 ns."""
    return max(1, next((ns for ns, part in cdf if part >= STALE_AT), 1))


def _sessions(tick: Ints) -> Ints:
    """Which session each sample is in: ticks begin anew."""
    return np.concatenate([np.zeros(min(1, len(tick)), np.int64), np.cumsum(np.diff(tick) < 0, dtype=np.int64)])
