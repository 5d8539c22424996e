"""What the close-of-day panels of a rates market are called, what they hold and in which unit.

``engine.tape`` says what a panel is. Rates, prices and vols are decimals; years and days as named.

==============  ==================  ============================================================================
panel           shape               holds
==============  ==================  ============================================================================
date            [day]               int32, days since 1970 of the close
swap_rate       [day, tenor]        par swap rates
par_yield       [day, tenor]        yields of par government bonds, two coupons a year
gc_repo         [day, term]         general collateral repo, simple rates per 365.25 days
policy_rate     [day]               the central bank's overnight target
normal_vol      [day, e, t, o]      normal vols a year, by expiry, tenor and strike offset
bond            [day, slot]         uint16, row of ``axis_bond``; 65535: the slot is empty
bond_price      [day, slot]         int32, clean price in 1e-6 of par (par is 1)
bond_repo       [day, slot]         int16, 6-month repo in 1e-5, as ``gc_repo``; none: general collateral
==============  ==================  ============================================================================

Axes: ``axis_swap_tenor``, ``axis_par_tenor``, ``axis_repo_tenor``, ``axis_vol_expiry``, ``axis_vol_tenor`` in years,
``axis_vol_offset`` strike minus forward, ``axis_bond`` as ``BOND``, ``axis_auction`` as ``AUCTION``.

A panel of floats may replace one of integers and then holds decimals, NaN where there is none; ``decimals`` reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.tape import is_axis

BOND = np.dtype(
    [
        ("isin", "S12"),
        ("kind", "S8"),  # NOTE or BOND for what pays plain coupons
        ("dated", "<i4"),  # days since 1970
        ("maturity", "<i4"),
        ("coupon", "<f8"),  # a year, decimal
        ("term", "<f4"),  # years at issue
        ("frequency", "u1"),  # coupons a year
        ("day_count", "S16"),  # a name of engine.rates.day_counts
    ]
)
AUCTION = np.dtype([("date", "<i4"), ("bond", "<u2"), ("is_reopening", "?"), ("par_yield", "<f8")])

AXES = {
    "swap_rate": ("axis_swap_tenor",),
    "par_yield": ("axis_par_tenor",),
    "gc_repo": ("axis_repo_tenor",),
    "normal_vol": ("axis_vol_expiry", "axis_vol_tenor", "axis_vol_offset"),
}
SLOTS = ("bond", "bond_price", "bond_repo")
PER_UNIT = {"bond_price": 1_000_000, "bond_repo": 100_000}  # whole units in 1
NO_BOND = 65535
NONE = {"bond_price": np.int32(-(2**31)), "bond_repo": np.int16(-(2**15))}


def decimals(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """A panel, or a part of it, as float64 decimals with NaN where there is no value."""
    plain = name.rpartition(".")[2]
    if values.dtype.kind == "f" or plain not in PER_UNIT:
        return np.asarray(values, np.float64)
    return np.where(values == NONE[plain], np.nan, values / PER_UNIT[plain])


def check_panels(panels: Mapping[str, NDArray[Any]], where: str = "tape") -> None:
    """Refuse panels whose shapes do not fit each other.

    Raises
    ------
    TapeError
        Panels of different numbers of days, an axis that is missing or of another length, ages of another shape than
        their panel, dates that do not ascend, or a slot that names a bond beyond ``axis_bond``.
    """
    for name, panel in panels.items():
        market, dot, plain = name.rpartition(".")
        prefix = market + dot
        if is_axis(name):
            continue
        if plain.startswith("age_"):
            of = prefix + plain.removeprefix("age_")
            if of not in panels or panels[of].shape != panel.shape or panel.dtype != np.uint8:
                raise TapeError(f"{where}: panel {name} must be uint8 of the shape of {of}; import the tape again")
        for place, axis in enumerate(AXES.get(plain, ()), 1):
            _check_axis(panels, name, place, prefix + axis, where)
        if plain in SLOTS:
            _check_slots(panels, prefix, name, where)
    _check_days(panels, where)


def _check_axis(panels: Mapping[str, NDArray[Any]], name: str, place: int, axis: str, where: str) -> None:
    shape = panels[name].shape
    if axis not in panels:
        raise TapeError(f"{where}: panel {name} has no {axis}, which says what its columns are; import the tape again")
    if place >= len(shape) or shape[place] != len(panels[axis]):
        raise TapeError(f"{where}: panel {name} is {shape}, but {axis} has {len(panels[axis])}; import the tape again")


def _check_slots(panels: Mapping[str, NDArray[Any]], prefix: str, name: str, where: str) -> None:
    slots, bonds = panels.get(f"{prefix}bond"), panels.get(f"{prefix}axis_bond")
    if slots is None or bonds is None or slots.shape != panels[name].shape:
        raise TapeError(f"{where}: panel {name} needs {prefix}bond of its shape and {prefix}axis_bond; import it again")
    if name == f"{prefix}bond":
        beyond = np.flatnonzero(((slots >= len(bonds)) & (slots != NO_BOND)).any(axis=1))
        if len(beyond):
            raise TapeError(f"{where}: panel {name} names bonds beyond axis_bond on day {beyond[0]}; import it again")


def _check_days(panels: Mapping[str, NDArray[Any]], where: str) -> None:
    days = {name: len(panel) for name, panel in panels.items() if not is_axis(name)}
    if len(set(days.values())) > 1 and not any("." in name for name in days):
        told = ", ".join(f"{name} {count}" for name, count in days.items())
        raise TapeError(f"{where}: panels have different numbers of days ({told}); import the tape again")
    for name in days:
        if name.rpartition(".")[2] == "date":
            back = np.flatnonzero(np.diff(panels[name].astype(np.int64)) <= 0)
            if len(back):
                raise TapeError(f"{where}: panel {name} does not ascend at day {back[0] + 1}; import the tape again")
