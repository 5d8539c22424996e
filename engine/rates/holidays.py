"""Days on which rates markets do business, by rule, 1990 to 2199.

| calendar | closed on weekends and |
|---|---|
| ``US government bond`` | the holidays that SIFMA recommends for US Treasuries, and closings for a reason |
| ``New York`` | the holidays of the Federal Reserve Banks: the days on which a US dollar swap does not pay |
| ``TARGET`` | the closing days of the euro's payment system |

Good Friday closes the Treasury market, except since 1996 where the employment report is due on it: that is the first
Friday of April. A holiday on a Sunday moves to Monday; on a Saturday some move to Friday and some are lost. London,
where dollar Libor was fixed, is not modelled.

Sources: sifma.org (holiday schedule), federalreserve.gov (holidays observed), ecb.europa.eu (TARGET closing days).
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.day_counts import Dates, as_dates

FIRST_YEAR, LAST_YEAR = 1990, 2199
MONDAY, THURSDAY = 0, 3
Roll = Literal["following", "modifiedfollowing", "preceding"]
ROLLS: dict[str, Roll] = {
    "following": "following",
    "modified_following": "modifiedfollowing",
    "preceding": "preceding",
}
# Not to be had from a rule: 11 September and the day after, the mourning of Reagan and Bush, and hurricane Sandy.
US_CLOSED_ONCE = ("2001-09-11", "2001-09-12", "2004-06-11", "2012-10-30", "2018-12-05")
TARGET_CLOSED_ONCE = ("1998-12-31", "1999-12-31", "2001-12-31")


def is_business_day(dates: ArrayLike, calendar: str) -> NDArray[np.bool_]:
    """Whether the market of ``calendar`` is open, for datetime64[D] of any shape; a missing date is never open."""
    return np.is_busday(_within(dates), busdaycal=business_calendar(calendar))


def adjust(dates: ArrayLike, calendar: str, roll: str) -> Dates:
    """Each date moved to a business day.

    Parameters
    ----------
    dates : datetime64[D], any shape
    calendar : str
        See the table above.
    roll : "following", "modified_following", "preceding" or "unadjusted"
        The next business day; the next one unless it is in another month, then the one before; the one before; none.

    Raises
    ------
    ConfigError
        If the calendar or the roll is unknown, or a date lies outside the calendar's years.
    """
    if roll == "unadjusted":
        return as_dates("dates", dates)
    if roll not in ROLLS:
        raise ConfigError(f"roll {roll!r} is unknown; take one of {', '.join((*ROLLS, 'unadjusted'))}")
    return _offset(_within(dates), 0, calendar, ROLLS[roll])


def add_business_days(dates: ArrayLike, days: ArrayLike, calendar: str) -> Dates:
    """Each date ``days`` business days later, earlier where negative; with 0 days, the same or the following one.

    A date on which the market is closed counts as the business day before it on the way up, after it on the way down.
    """
    dates, days = np.broadcast_arrays(_within(dates), np.asarray(days, np.int64))
    up = _offset(dates, np.maximum(days, 0), calendar, "preceding")
    still_or_down = _offset(dates, np.minimum(days, 0), calendar, "following")
    return np.where(days > 0, up, still_or_down)


@functools.cache
def business_calendar(calendar: str) -> np.busdaycalendar:
    """The calendar for numpy's own business day functions.

    Raises
    ------
    ConfigError
        If the calendar is unknown.
    """
    if calendar not in HOLIDAYS:
        raise ConfigError(f"calendar {calendar!r} is unknown; take one of {', '.join(HOLIDAYS)}")
    return np.busdaycalendar(holidays=HOLIDAYS[calendar](np.arange(FIRST_YEAR, LAST_YEAR + 1)))


def easter_monday(years: NDArray[np.int64]) -> Dates:
    """Easter Monday by the Gregorian computus (Meeus, Astronomical Algorithms, chapter 8)."""
    golden, century, year = years % 19, years // 100, years % 100
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - correction + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (year // 4) - epact - year % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    days = epact + weekday - 7 * late + 114  # month and day of Easter Sunday: 31 month + day - 1
    return _day(years, days // 31, days % 31 + 1) + 1


def _us_government_bond(years: NDArray[np.int64]) -> Dates:
    good_friday = easter_monday(years) - 3
    report_due = (years >= 1996) & (good_friday < _day(years, 4, 8)) & (good_friday >= _day(years, 4, 1))
    return np.concatenate(
        (
            _us_mondays_and_thanksgiving(years),
            _sunday_to_monday(_day(years, 1, 1)),
            good_friday[~report_due],
            _to_nearest_weekday(_day(years[years >= 2022], 6, 19)),
            _to_nearest_weekday(_day(years, 7, 4)),
            _sunday_to_monday(_day(years, 11, 11)),
            _to_nearest_weekday(_day(years, 12, 25)),
            np.array(US_CLOSED_ONCE, "datetime64[D]"),
        )
    )


def _new_york(years: NDArray[np.int64]) -> Dates:
    fixed = [_day(years, *day) for day in ((1, 1), (7, 4), (11, 11), (12, 25))]
    juneteenth = _day(years[years >= 2022], 6, 19)
    moved = [_sunday_to_monday(days) for days in (*fixed, juneteenth)]
    return np.concatenate((_us_mondays_and_thanksgiving(years), *moved))


def _target(years: NDArray[np.int64]) -> Dates:
    since_2000 = years[years >= 2000]
    easter = easter_monday(since_2000)
    fixed = [_day(years, 1, 1), _day(years, 12, 25), _day(since_2000, 5, 1), _day(since_2000, 12, 26)]
    return np.concatenate((easter - 3, easter, *fixed, np.array(TARGET_CLOSED_ONCE, "datetime64[D]")))


HOLIDAYS = {"US government bond": _us_government_bond, "New York": _new_york, "TARGET": _target}


def _us_mondays_and_thanksgiving(years: NDArray[np.int64]) -> Dates:
    """King's and Washington's birthdays, Memorial, Labor and Columbus Day, and Thanksgiving."""
    memorial = _nth_weekday(years, 6, 1, MONDAY) - 7  # the last Monday of May
    rules = ((1, 3, MONDAY), (2, 3, MONDAY), (9, 1, MONDAY), (10, 2, MONDAY), (11, 4, THURSDAY))
    return np.concatenate((memorial, *(_nth_weekday(years, *rule) for rule in rules)))


def _day(years: NDArray[np.int64], month: ArrayLike, day: ArrayLike) -> Dates:
    months = (years - 1970) * 12 + np.asarray(month, np.int64) - 1
    first: Dates = months.astype("datetime64[M]").astype("datetime64[D]")
    return first + (np.asarray(day, np.int64) - 1).astype("timedelta64[D]")


def _weekday(days: Dates) -> NDArray[np.int64]:
    """0 on Monday to 6 on Sunday; 1970-01-01 was a Thursday."""
    return (days.astype(np.int64) + 3) % 7


def _nth_weekday(years: NDArray[np.int64], month: int, nth: int, weekday: int) -> Dates:
    first = _day(years, month, 1)
    return first + (weekday - _weekday(first)) % 7 + 7 * (nth - 1)


def _sunday_to_monday(days: Dates) -> Dates:
    return days + (_weekday(days) == 6)


def _to_nearest_weekday(days: Dates) -> Dates:
    return _sunday_to_monday(days) - (_weekday(days) == 5)


def _offset(dates: Dates, days: ArrayLike, calendar: str, roll: Roll) -> Dates:
    missing = np.isnat(dates)
    present = np.where(missing, np.datetime64("2000-01-03"), dates)  # numpy rolls a missing date to an error
    moved = np.busday_offset(present, np.asarray(days, np.int64), roll, busdaycal=business_calendar(calendar))
    return _within(np.where(missing, np.datetime64("NaT"), moved))


def _within(dates: ArrayLike) -> Dates:
    dates = as_dates("dates", dates)
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    outside = ~np.isnat(dates) & ((years < FIRST_YEAR) | (years > LAST_YEAR))
    if outside.any():
        raise ConfigError(
            f"{dates[outside][0] if dates.ndim else dates} lies outside the calendars' years "
            f"{FIRST_YEAR} to {LAST_YEAR}; leave such dates unadjusted"
        )
    return dates
