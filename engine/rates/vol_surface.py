"""One close's normal vols by expiry, tenor and strike offset.

Between nodes: total variance ``vol^2 T`` is linear in expiry, vol is linear in tenor and in strike offset. Before the
first expiry the vol is that of the first (an ageing option must be marked); beyond the outer offsets it is flat. Past
the last expiry and outside the tenors there is nothing to go by, and the surface refuses. A surface with one offset is
flat in strike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.rates.refusals import numbers, refuse, refuse_percent
from engine.rates.smile import fill_smile_vols, smile_vol

Floats = NDArray[np.float64]


class VolSurface:
    """Quoted normal vols of one day, or of many days on the same nodes.

    Parameters
    ----------
    dates : datetime64[D][d], ascending
        The closes.
    expiries : float64[e], ascending
        Years (Act/365) to expiry, > 0.
    tenors : float64[t], ascending
        Years of the underlying swap, > 0.
    offsets : float64[j], ascending
        Strike minus forward, decimals; ``[0.0]`` where only at-the-money vols are known.
    vols : float64[d, e, t, j]
        Normal vols a year, decimals. Each must be > 0: a missing quote is no quote, and is refused.

    Raises
    ------
    ConfigError
        If shapes do not fit, nodes do not ascend, or a vol is missing or not positive; the sentence says where.
    """

    def __init__(
        self, dates: ArrayLike, expiries: ArrayLike, tenors: ArrayLike, offsets: ArrayLike, vols: ArrayLike
    ) -> None:
        self.dates = np.atleast_1d(np.asarray(dates, "datetime64[D]"))
        self.expiries = _nodes("expiries", expiries, above=0.0)
        self.tenors = _nodes("tenors", tenors, above=0.0)
        self.offsets = _nodes("offsets", offsets, above=-math.inf)
        self.vols = np.require(numbers("vols", vols), requirements=("C", "W"))
        shape = (self.dates.size, self.expiries.size, self.tenors.size, self.offsets.size)
        if self.vols.shape != shape:
            raise ConfigError(f"vols has shape {self.vols.shape}, but dates, expiries, tenors, offsets make {shape}")
        if (np.diff(self.dates.astype(np.int64)) <= 0).any():
            raise ConfigError("dates of a vol surface must ascend; sort the closes and drop repeated ones")
        bad = ~((self.vols > 0) & (self.vols < np.inf))
        refuse("vols", self.vols, bad, "be > 0", "leave out the closes, or the nodes, that are not quoted")
        refuse_percent("vols", self.vols)

    def day(self, date: Any, *, max_age_days: int = 0) -> int:
        """The index of the surface of ``date``, or of the latest one not more than ``max_age_days`` older.

        Raises
        ------
        ConfigError
            If the latest surface is older than that: a stale mark is no mark.
        """
        wanted = np.datetime64(date, "D")
        k = int(np.searchsorted(self.dates, wanted, side="right")) - 1
        if k < 0:
            raise ConfigError(f"no vol surface on or before {wanted}: the first is of {self.dates[0]}; start later")
        age = int((wanted - self.dates[k]).astype(np.int64))
        if age > max_age_days:
            raise ConfigError(
                f"the latest vol surface on {wanted} is of {self.dates[k]}, {age} days old, but at most {max_age_days} "
                "are allowed; give that close's vols, or leave the day out"
            )
        return k

    def vol(self, date: Any, expiry: ArrayLike, tenor: ArrayLike, offset: ArrayLike = 0.0) -> Floats:
        """Normal vols on ``date`` for expiries and tenors in years and strike offsets, which broadcast."""
        day = self.day(date)
        years, swap_years, away = np.broadcast_arrays(
            numbers("expiry", expiry), numbers("tenor", tenor), numbers("offset", offset)
        )
        self.check_inside(years, swap_years)
        smile = np.empty((1, self.offsets.size))
        out = np.empty(years.shape)
        for index in np.ndindex(years.shape):
            at = float(years[index]), float(swap_years[index])
            fill_smile(self.expiries, self.tenors, self.vols[day], *at, smile[0])
            out[index] = smile_vol(self.offsets, smile, 0, float(away[index]))
        return out[()]

    def vols_at(self, smiles: Floats, offset: Floats) -> Floats:
        """The vol of each row of ``smiles[n, j]``, given at the surface's offsets, at its ``offset[n]``."""
        out = np.empty(offset.shape)
        fill_smile_vols(self.offsets, smiles, np.ascontiguousarray(offset), out)
        return out

    def check_inside(self, expiry: Floats, tenor: Floats) -> None:
        """Refuse expiries and tenors that the nodes do not reach."""
        refuse(
            "expiry",
            expiry,
            ~((expiry >= 0) & (expiry <= self.expiries[-1])),
            f"be from 0 to the last quoted expiry, {self.expiries[-1]} years",
            "add a longer expiry to the surface",
        )
        first, last = self.tenors[0], self.tenors[-1]
        outside = ~((tenor >= first) & (tenor <= last))
        refuse("tenor", tenor, outside, f"be from {first} to {last} years", "add that tenor to the surface")


@compiled
def fill_smile(expiries, tenors, vols, expiry, tenor, out):
    """The smile at ``expiry`` and ``tenor`` years from one day's ``vols[e, t, j]``, into ``out[j]``."""
    t, across = _bracket(tenors, tenor)
    e, along = _bracket(expiries, expiry)
    for j in range(out.size):
        near = vols[e, t, j] + across * (vols[e, min(t + 1, tenors.size - 1), j] - vols[e, t, j])
        if along == 0.0:
            out[j] = near
        else:
            far = vols[e + 1, t, j] + across * (vols[e + 1, min(t + 1, tenors.size - 1), j] - vols[e + 1, t, j])
            first = near * near * expiries[e]
            out[j] = math.sqrt((first + along * (far * far * expiries[e + 1] - first)) / expiry)


@compiled
def _bracket(nodes, x):
    """(k, weight) with x between nodes k and k + 1; the first or last node with weight 0 outside them."""
    if x <= nodes[0]:
        return 0, 0.0
    last = nodes.size - 1
    if x >= nodes[last]:
        return last, 0.0
    k = 0
    while nodes[k + 1] <= x:
        k += 1
    return k, (x - nodes[k]) / (nodes[k + 1] - nodes[k])


def _nodes(name: str, values: ArrayLike, *, above: float) -> Floats:
    nodes = np.atleast_1d(numbers(name, values)).copy()
    refuse(name, nodes, ~((nodes > above) & (nodes < np.inf)), f"be > {above} and finite", "drop that node")
    refuse(name, nodes, np.r_[False, np.diff(nodes) <= 0], "be above the one before", "sort the nodes")
    return nodes
