"""Dates of coupons and of swap payments, for many contracts at once.

Contracts have different numbers of dates, so schedules are ragged: ``dates[offsets[i]:offsets[i + 1]]`` belong to
contract i. Bonds count back from maturity, so a first stub is where irregularity goes; swaps count forward from their
start. End of month: a bond that matures on a month's last day pays on the last day of each coupon month.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.rates.day_counts import Dates, Floats, as_dates, day_of_month, days_between
from engine.rates.holidays import adjust
from engine.rates.schedule_kernels import fill_counts, fill_grid_dates, fill_months_later

Ints = NDArray[np.int64]
DAY = np.timedelta64(1, "D")


class Schedule(NamedTuple):
    """Ragged dates: ``dates[offsets[i]:offsets[i + 1]]``, ascending, belong to contract i."""

    offsets: Ints  # [n + 1]
    dates: Dates  # [m]


def coupon_dates(
    maturity: ArrayLike, after: ArrayLike, *, months: ArrayLike, end_of_month: ArrayLike = True
) -> Schedule:
    """Every coupon date later than ``after``, up to maturity: ``maturity - k months``.

    Parameters
    ----------
    maturity, after : datetime64[D][n], or of shapes that broadcast to it
        A contract whose maturity is not later than ``after`` has no dates.
    months : int[n]
        Months between coupons: 6 for two coupons a year.
    end_of_month : bool[n]
        Whether a bond that matures on a month's last day pays on last days.
    """
    dates = as_dates("maturity", maturity), as_dates("after", after)
    maturity, after, months, end_of_month = np.atleast_1d(*np.broadcast_arrays(*dates, months, end_of_month))
    counts = count_coupon_dates(maturity, after, months=months, end_of_month=end_of_month)
    offsets, owner, position = ragged(counts)
    back = (counts[owner] - 1 - position) * months[owner]
    return Schedule(offsets, grid_date(maturity[owner], back, end_of_month=end_of_month[owner]))


def count_coupon_dates(maturity: Dates, after: Dates, *, months: Ints | int, end_of_month: ArrayLike = True) -> Ints:
    """How many dates ``maturity - k months``, k >= 0, are later than ``after``."""
    shape, columns = _columns(maturity, after, months, end_of_month)
    out = np.empty(columns[0].size, np.int64)
    fill_counts(*columns, out)
    return out.reshape(shape)


def periods_to_maturity(maturity: Dates, dates: Dates, *, months: Ints | int, end_of_month: ArrayLike = True) -> Floats:
    """Coupon periods from each date to maturity; within a period by calendar days, as ``ACT/ACT ICMA`` counts."""
    counts = count_coupon_dates(maturity, dates, months=months, end_of_month=end_of_month)
    start = grid_date(maturity, counts * months, end_of_month=end_of_month)
    end = grid_date(maturity, (counts - 1) * months, end_of_month=end_of_month)
    return counts - 1 + days_between(dates, end) / days_between(start, end)


def grid_date(maturity: Dates, months_before: ArrayLike, *, end_of_month: ArrayLike = True) -> Dates:
    """The coupon date ``months_before`` maturity."""
    shape, columns = _columns(maturity, months_before, end_of_month)
    out = np.empty(columns[0].size, np.int64)
    fill_grid_dates(*columns, out)
    return out.view("datetime64[D]").reshape(shape)


def swap_dates(
    start: ArrayLike,
    tenor_months: ArrayLike,
    *,
    months: int,
    calendar: str | None = None,
    roll: str = "modified_following",
    end_of_month: bool = False,
) -> Schedule:
    """Period ends of swaps, the start included as the first date: ``start + k months``, each moved to a business day.

    Parameters
    ----------
    start : datetime64[D][n]
        Effective dates.
    tenor_months : int[n]
        Length of each swap. If it is no multiple of ``months``, the last period is short.
    months : int
        Months between payments.
    calendar, roll : str
        As ``holidays.adjust`` takes them; no calendar leaves the dates as they are.
    end_of_month : bool
        Whether a swap that starts on a month's last day pays on last days.
    """
    start, tenor, step = np.atleast_1d(*np.broadcast_arrays(as_dates("start", start), tenor_months, months))
    offsets, owner, position = ragged(-(-tenor // step) + 1)
    later = np.minimum(position * step[owner], tenor[owner])
    dates = add_months(start[owner], later, to_month_end=is_month_end(start)[owner] & end_of_month)
    return Schedule(offsets, dates if calendar is None else adjust(dates, calendar, roll))


def add_months(dates: ArrayLike, months: ArrayLike, *, to_month_end: ArrayLike = False) -> Dates:
    """The same day of the month ``months`` later, or the month's last day if it is shorter or ``to_month_end``."""
    shape, columns = _columns(as_dates("dates", dates), months, to_month_end)
    out = np.empty(columns[0].size, np.int64)
    fill_months_later(*columns, out)
    return out.view("datetime64[D]").reshape(shape)[()]


def is_month_end(dates: Dates) -> NDArray[np.bool_]:
    """Whether each date is the last of its month."""
    return day_of_month(dates + DAY) == 1


def ragged(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Offsets [n + 1] of rows with ``counts`` elements, and for each element its row and its position in it."""
    offsets = np.concatenate(([0], np.cumsum(counts)))
    owner = np.repeat(np.arange(counts.size), counts)
    return offsets, owner, np.arange(offsets[-1]) - offsets[owner]


def _columns(*values: ArrayLike) -> tuple[tuple[int, ...], list[NDArray]]:
    """Their common shape, and each as a flat array of its own that kernels read: dates as days since 1970."""
    arrays = np.broadcast_arrays(*values)
    return arrays[0].shape, [_for_kernel(array) for array in arrays]


def _for_kernel(array: NDArray) -> NDArray:
    flat = np.array(array, order="C").ravel()
    if flat.dtype.kind == "M":
        return flat.view(np.int64)
    return flat if flat.dtype.kind == "b" else flat.astype(np.int64)
