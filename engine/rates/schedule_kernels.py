"""Calendar arithmetic on days since 1970-01-01, compiled: numpy's casts between days and months cost thirty times more.

A year is counted from 1 March, so that the leap day comes last and the days before a month are a straight line in it:
``(153 k + 2) // 5`` for the k-th month. 400 years have 146,097 days. Months are counted from January 1970.

Source of the method: Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).
"""

from __future__ import annotations

from engine.compiled import compiled

MISSING = -(2**63)  # NaT
DAYS_TO_1970 = 719_468  # from 1 March of the year 0
FOUR_CENTURIES = 146_097


@compiled
def month_and_day(day):
    """Month, and day of the month from 1."""
    since = day + DAYS_TO_1970
    cycle = since // FOUR_CENTURIES
    rest = since - cycle * FOUR_CENTURIES
    year = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    of_year = rest - (365 * year + year // 4 - year // 100)
    k = (5 * of_year + 2) // 153
    return (400 * cycle + year - 1970) * 12 + k + 2, of_year - (153 * k + 2) // 5 + 1


@compiled
def first_day(month):
    """The first day of a month."""
    from_march = month + 1970 * 12 - 2
    year = from_march // 12
    k = from_march - 12 * year
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * k + 2) // 5 - DAYS_TO_1970


@compiled
def months_later(day, months, to_month_end):
    """The same day of the month, or the month's last one where it is shorter or ``to_month_end``."""
    month, of_month = month_and_day(day)
    month += months
    first = first_day(month)
    length = first_day(month + 1) - first
    return first + (length if to_month_end else min(of_month, length)) - 1


@compiled
def is_last_of_month(day):
    """Whether the next day starts a month."""
    return month_and_day(day + 1)[1] == 1


@compiled
def fill_months_later(days, months, to_month_end, out):
    """``months_later`` of each day; missing ones stay so."""
    for i in range(days.size):
        out[i] = MISSING if days[i] == MISSING else months_later(days[i], months[i], to_month_end[i])


@compiled
def fill_grid_dates(maturity, back, end_of_month, out):
    """The coupon date ``back`` months before each maturity."""
    for i in range(maturity.size):
        if maturity[i] == MISSING:
            out[i] = MISSING
        else:
            out[i] = months_later(maturity[i], -back[i], end_of_month[i] and is_last_of_month(maturity[i]))


@compiled
def fill_counts(maturity, after, months, end_of_month, out):
    """How many dates ``maturity - k months``, k >= 0, are later than ``after``; 0 where either is missing."""
    for i in range(maturity.size):
        if maturity[i] == MISSING or after[i] == MISSING:
            out[i] = 0
            continue
        # The k-th date back is the earliest that can be later: the one before it is in an earlier month.
        k = (month_and_day(maturity[i])[0] - month_and_day(after[i])[0]) // months[i]
        last_days = end_of_month[i] and is_last_of_month(maturity[i])
        later = months_later(maturity[i], -k * months[i], last_days) > after[i]
        out[i] = max(k + 1 if later else k, 0)
