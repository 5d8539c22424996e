"""Orders that keep their place: virtual orders seen again, step after step, while they rest where one would be placed.

A child that rests at the price of the chosen placement keeps its place (``engine.child_orders.place``), so most orders
of a policy are not new at a step's start. An order that was placed with nothing filled since, at a price that is still
its level's, is one that has waited so many steps. New and waiting orders together come in the proportions in which a
policy that stays on a level meets them: of a renewal process, ages are as frequent as lives that reach them.

Of an order that has filled in part the rest is not seen again: what is then sent beside it stands at the back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.virtual_orders import Placements
from engine.strategy import SECOND


def with_kept_places(orders: Placements, *, step_s: float, every_s: float, steps: int) -> Placements:
    """The orders, and each again after 1 ... ``steps`` steps for as long as it keeps its place.

    Parameters
    ----------
    orders : Placements
        Every ``every_s``, in order of time; followed for longer than ``steps`` steps.
    step_s, every_s : float
        Seconds.
    steps : int

    Returns
    -------
    Placements
        What is displayed and the spread are those of when it is seen again, where an order of its level and side was
        placed too; fills are counted from there.

    Raises
    ------
    ConfigError
        If orders are not placed at the steps' ends.
    """
    step, every = round(step_s * SECOND), round(every_s * SECOND)
    if step % every:
        raise ConfigError(
            f"virtual orders every {every_s:g} s do not meet steps of {step_s:g} s; every_s must divide them"
        )
    keys = _key(orders.ts, orders)
    found, rows = [orders], np.arange(len(orders))
    for age in range(1, steps + 1):
        ts = orders.ts[rows] + age * step
        wanted = _key(ts, orders.some(rows))
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        stays = (keys[at] == wanted) & (orders.price[at] == orders.price[rows]) & (orders.done[rows, 0] > ts)
        rows, at = rows[stays], at[stays]
        found.append(Placements(orders.sizes, *orders.some(at)[1:-1], orders.done[rows]))
    return Placements(
        orders.sizes, *(np.concatenate(column) for column in zip(*(one[1:] for one in found), strict=True))
    )


def _key(ts: NDArray[np.int64], orders: Placements) -> NDArray[np.int64]:
    """Rising in the order of placements: time, level, side."""
    return (ts << 3) + 2 * orders.level + (orders.side < 0)
