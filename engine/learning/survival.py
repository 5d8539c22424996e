"""Signals over resting orders are not signals at random times: orders that the price runs away from live longer.

A signal is turned to its order's side, so that above 0 the price is foretold to leave the order. At each tick of an
order's possible life the mean over all orders says what the signal is like; the mean over those still open says what
one sees who looks at open orders. The difference is the bias of survival.

The correction takes it off again, from fill probabilities calibrated on earlier placements: the chance that an open
order fills between two ticks, by how far the mid has come or gone since the placement, whether it has never been
nearer, the age, and the signal. Along the market without orders these chances say who would be open still, and so what
the bias is. To weigh open orders by one over their chance to be open would not do: where the price has gone through an
order none is open, and nothing can stand for it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

GONE = np.array([-1.5, -0.75, -0.25, 0.25, 0.75, 1.5])  # price ticks of the mid since placement: classes between these
AGES = np.array([1, 3, 6, 12, 25])  # ticks where a class of age ends
FIFTHS = 5  # of the signal
STRENGTH = 5.0  # orders that the mean of a class counts for in a cell
FEW_OPEN = 20  # orders; ages that fewer reach are left out


class Lives(NamedTuple):
    """Orders by the ticks of their possible lives, arrays of one shape [n, ages]; age 0 is the placement."""

    away: Floats  # the signal without our orders
    shown: Floats  # the signal as our orders displaced the market
    gone: Floats  # the mid since the placement, price ticks, without our orders; above 0 away from the order
    possible: Bools  # the tick comes before the order would be given up
    is_open: Bools  # and it was open still
    filled: Bools  # and it was filled before the next tick

    def some(self, which: slice) -> Lives:
        """Of some placements."""
        return Lives(*(part[which] for part in self))  # pyright: ignore[reportArgumentType]


class FillTable(msgspec.Struct, frozen=True, eq=False):
    """The chance that an open order is filled before the next tick, by what the market does until then."""

    edges: Floats  # of the signal's fifths
    chance: Floats  # [gone, new low, age, fifth]

    @classmethod
    def calibrate(cls, lives: Lives) -> FillTable:
        """From historical placements; a cell with few is drawn to the mean of its place and of being a new low."""
        seen = lives.away[lives.is_open]
        edges = np.quantile(seen, np.arange(1, FIFTHS) / FIFTHS) if len(seen) else np.zeros(FIFTHS - 1)
        shape = len(GONE) + 1, 2, len(AGES) + 1, FIFTHS
        at = _cells(edges, lives)
        was_open, filled = lives.is_open[:, :-1], lives.filled[:, :-1]
        opened, ended = np.zeros(shape), np.zeros(shape)
        np.add.at(opened, tuple(cell[was_open] for cell in at), 1)
        np.add.at(ended, tuple(cell[was_open & filled] for cell in at), 1)
        whole = ended.sum() / max(opened.sum(), 1)
        mean = (ended.sum(axis=(2, 3)) + whole) / (opened.sum(axis=(2, 3)) + 1)
        return cls(edges, (ended + STRENGTH * mean[:, :, None, None]) / (opened + STRENGTH))

    def open_still(self, lives: Lives) -> Floats:
        """The chance to be open at each tick, along the market without our orders: float64[n, ages]."""
        chance = self.chance[_cells(self.edges, lives)]
        out = np.ones(lives.away.shape)
        np.cumprod(1 - chance, axis=1, out=out[:, 1:])
        return out


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number and its standard error."""

    value: float
    error: float

    def is_told(self, errors: float = 2.0) -> bool:
        """Whether it is surely not 0."""
        return bool(abs(self.value) > errors * self.error)


class Survival(msgspec.Struct, frozen=True, kw_only=True):
    """The signal over orders of one urgency: means over ages of the means at each age."""

    ages: int  # ticks that enough orders lived
    all_orders: Estimate  # the signal, whether the order was open or not
    bias: Estimate  # over open orders, less over all
    foretold: Estimate  # the bias that calibrated fills foretell
    left: Estimate  # of the bias, once that is taken off
    displaced: Estimate  # over open orders: the signal as our orders displaced it, less without them
    by_age: list[tuple[float, float, float]]  # over all, over open, corrected


def survival(lives: Lives, table: FillTable, counts: Floats) -> Survival | None:
    """Bias and correction on placements that the table was not calibrated on.

    Parameters
    ----------
    counts : float64[draws, n]
        How often each placement is drawn again, for the errors.

    Returns
    -------
    Survival or None
        None where orders do not live (no age beyond the placement that ``FEW_OPEN`` reach).
    """
    enough = np.flatnonzero(lives.is_open.sum(axis=0) >= FEW_OPEN)
    ages = enough[enough > 0]
    if not len(ages):
        return None
    away = lives.away[:, ages]
    possible, is_open = lives.possible[:, ages].astype(np.float64), lives.is_open[:, ages].astype(np.float64)
    drawn = np.vstack([np.ones((1, len(away))), counts])
    over_all, over_open = _mean(drawn, possible, away), _mean(drawn, is_open, away)
    foretold = _mean(drawn, possible * table.open_still(lives)[:, ages], away) - over_all
    return Survival(
        ages=len(ages),
        all_orders=_estimate(over_all),
        bias=_estimate(over_open - over_all),
        foretold=_estimate(foretold),
        left=_estimate(over_open - over_all - foretold),
        displaced=_estimate(_mean(drawn, is_open, lives.shown[:, ages]) - over_open),
        by_age=list(zip(over_all[0].tolist(), over_open[0].tolist(), (over_open - foretold)[0].tolist(), strict=True)),
    )


def _mean(drawn: Floats, weight: Floats, value: Floats) -> Floats:
    """Weighted means at each age: float64[1 + draws, ages]; 0 where a draw has none."""
    total = drawn @ weight
    return np.divide(drawn @ (weight * value), total, out=np.zeros_like(total), where=total > 0)


def _estimate(by_age: Floats) -> Estimate:
    over_ages = by_age.mean(axis=1)
    return Estimate(value=float(over_ages[0]), error=float(over_ages[1:].std()))


def _cells(edges: Floats, lives: Lives) -> tuple[Ints, Ints, Ints, Ints]:
    """Where in the table each step to the next tick is: four int64[n, ages - 1]."""
    gone = lives.gone[:, 1:]
    nearest = np.minimum.accumulate(lives.gone, axis=1)
    age = np.searchsorted(AGES, np.arange(gone.shape[1]), side="right")
    return (
        np.searchsorted(GONE, gone, side="right"),
        (gone < nearest[:, :-1]).astype(np.int64),
        np.broadcast_to(age, gone.shape),
        np.searchsorted(edges, lives.away[:, 1:], side="right"),
    )
