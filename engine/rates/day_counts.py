"""Year fractions between dates: how a contract counts time.

| name | rule |
|---|---|
| ``ACT/360``, ``ACT/365F`` | days between, over 360 or 365 |
| ``ACT/365.25`` | days between, over 365.25: the clock of our discount curves |
| ``30/360`` | US bond basis: a 31st counts as a 30th at the start, and at the end if the start is a 30th or 31st |
| ``30E/360`` | eurobond basis: a 31st counts as a 30th at both ends |
| ``ACT/ACT ICMA`` | days between, over the days of the coupon period times coupons a year |

``30/360`` has no February rule, as in ISDA (2006) section 4.16(f); ``30E/360`` is 4.16(g). ``ACT/ACT ICMA`` is rule 251
of ICMA within one coupon period; ``bonds`` counts over several.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError

Dates = NDArray[np.datetime64]
Floats = NDArray[np.float64]

ACTUAL = {"ACT/360": 360.0, "ACT/365F": 365.0, "ACT/365.25": 365.25}
THIRTY = ("30/360", "30E/360")
ICMA = "ACT/ACT ICMA"


def year_fraction(
    start: ArrayLike,
    end: ArrayLike,
    convention: str,
    *,
    period: tuple[ArrayLike, ArrayLike] | None = None,
    frequency: ArrayLike | None = None,
) -> Floats:
    """Years from ``start`` to ``end``, negative where ``end`` is earlier.

    Parameters
    ----------
    start, end : datetime64[D], of shapes that broadcast
    convention : str
        A name from the table above.
    period : (datetime64[D], datetime64[D]), optional
        First and last day of the coupon period that holds both dates; ``ACT/ACT ICMA`` needs it.
    frequency : int, optional
        Coupons a year; ``ACT/ACT ICMA`` needs it.

    Returns
    -------
    float64 of the broadcast shape; NaN where a date is missing (NaT).

    Raises
    ------
    ConfigError
        If the convention is unknown, or ``ACT/ACT ICMA`` has no coupon period to count in.
    """
    start, end = as_dates("start", start), as_dates("end", end)
    if convention in ACTUAL:
        return days_between(start, end) / ACTUAL[convention]
    if convention in THIRTY:
        return thirty_days_between(start, end, convention) / 360.0
    if convention == ICMA:
        return _icma_fraction(start, end, period, frequency)
    raise ConfigError(f"day count {convention!r} is unknown; take one of {', '.join((*ACTUAL, *THIRTY, ICMA))}")


def as_dates(name: str, dates: ArrayLike) -> Dates:
    """``dates`` as datetime64[D], refused where they are no dates."""
    try:
        return np.asarray(dates, "datetime64[D]")
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be dates, but is {dates!r}; give datetime64[D] or 'YYYY-MM-DD'") from None


def days_between(start: Dates, end: Dates) -> Floats:
    """Calendar days, NaN where a date is missing."""
    days = np.asarray(end - start, "timedelta64[D]")
    return np.where(np.isnat(days), np.nan, days.astype(np.int64))


def thirty_days_between(start: Dates, end: Dates, convention: str) -> Floats:
    """Days by a 30/360 rule, NaN where a date is missing."""
    start, end = np.broadcast_arrays(start, end)
    first, last = day_of_month(start), day_of_month(end)
    last_is_30 = last == 31 if convention == "30E/360" else (last == 31) & (first >= 30)
    last = np.where(last_is_30, 30, last)
    first = np.minimum(first, 30)
    months = end.astype("datetime64[M]").astype(np.int64) - start.astype("datetime64[M]").astype(np.int64)
    missing = np.isnat(start) | np.isnat(end)
    return np.where(missing, np.nan, 30.0 * np.where(missing, 0, months) + (last - first))


def day_of_month(dates: Dates) -> NDArray[np.int64]:
    """1 to 31; of no meaning where a date is missing."""
    return (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1


def _icma_fraction(
    start: Dates, end: Dates, period: tuple[ArrayLike, ArrayLike] | None, frequency: ArrayLike | None
) -> Floats:
    if period is None or frequency is None:
        raise ConfigError(f"{ICMA} counts days within a coupon period; give period=(first day, last day) and frequency")
    length = days_between(as_dates("period[0]", period[0]), as_dates("period[1]", period[1]))
    if np.any(length <= 0):
        raise ConfigError("a coupon period must end after it starts; give period=(first day, last day)")
    return days_between(start, end) / (length * np.asarray(frequency, np.float64))
