"""What impact adds to each child of a parent that is worked evenly, by the very kernels of the broker.

A child meets two things (docs/simulation.md, section 12). **Standing**: whole ticks by which the market stands
displaced by earlier children; every child trades at displaced prices, whether it rests or takes. **Charge**: what a
taker moves the price by itself while it trades, and of the displacement what the rounding to ticks left out of its
price, so far as that is against it. Who rests is not charged.

Here a parent of equal children is traded evenly over the time of recorded periods, each from a market at rest; then
means over children, periods and where in a cell of the model it began.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import IMBALANCES, SPREADS, Impact, Market, NoImpact, prepare
from engine.broker.impact_kernels import displacement_ticks, met_by_fill, on_market_volume, on_own_fill
from engine.compiled import compiled

STARTS = 8  # places in a cell
ROWS = 8  # trades of the market in a step, after each of which it may move
TAKES = 0  # the kind of a fill that neither rests nor is dark


class OwnImpact(NamedTuple):
    """Of a child; price units, positive is a cost."""

    standing: float  # in the price of every child
    charge: float  # beside the price of one that takes


def own_impact(
    impact: Impact,
    market: Market,
    child: float,
    volume: NDArray[np.float64],
    *,
    children: int,
    mid: float,
    tick: int,
    spread: float,
) -> OwnImpact:
    """Work a parent of ``children`` takers of ``child`` size units in each period.

    Parameters
    ----------
    impact : Impact
        Its own ``market`` is not read.
    market : Market
        The average day.
    child : float
        Size units.
    volume : float64[n, T]
        What the market trades in each step of each period, ours excluded.
    children : int
        1 ... T, one at the start of every T / children-th step.
    mid, tick, spread : float
        Price units; the spread only matters to HFMI, which is told of a touch with as much on both sides.

    Raises
    ------
    ConfigError
        If the model and the day do not fit (``prepare``).
    """
    if isinstance(impact, NoImpact):
        return OwnImpact(0.0, 0.0)
    states, table = prepare(msgspec.structs.replace(impact, market={"": market}), [""])
    touch = (min(max(round(spread / tick), 1), SPREADS) - 1) * IMBALANCES + IMBALANCES // 2
    size, steps = max(1, round(child)), volume.shape[1]
    at = np.arange(children) * steps // children
    met = np.zeros(2)
    for start in range(STARTS):
        for period in volume:
            state = states.copy()
            state["volume"] = int(state["cell"][0]) * start // STARTS
            _work(state, table, size, at, period, round(2 * mid), tick, touch, met)
    standing, charge = met / (STARTS * len(volume) * children)
    return OwnImpact(float(standing), float(charge))


@compiled
def _work(states, table, size, at, volume, mid2, tick, touch, met):
    """Buy at the steps ``at``; add what each child meets to ``met``."""
    state, shift, k = states[0], 0.0, 0
    for t in range(volume.size):
        if k < at.size and at[k] == t:
            paid = met_by_fill(state, table[0], 1, size, TAKES, touch) * mid2 / 20_000.0
            met[0] += shift
            met[1] += max(0.0, paid - shift)
            on_own_fill(state, table[0], 1, size, TAKES, touch)
            k += 1
        passed = 0
        for row in range(ROWS):
            due = round(volume[t] * (row + 1) / ROWS)
            on_market_volume(state, table[0], due - passed)
            passed = due
        shift = tick * displacement_ticks(state, table[0], mid2, tick)
