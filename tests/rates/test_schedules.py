"""Laws of schedules: coupon dates go back from maturity, swap dates go forward, months end where they end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracle import from_ql, ql, ql_date

from engine.rates.schedules import add_months, coupon_dates, is_month_end, periods_to_maturity, swap_dates

dates = st.integers(0, 15_000).map(lambda day: np.datetime64("1995-01-01") + day)
steps = st.sampled_from([1, 3, 6, 12])


@given(maturity=dates, ago=st.integers(1, 9_000), months=steps, end_of_month=st.booleans())
def test_coupon_dates_are_those_of_quantlib(maturity, ago, months, end_of_month):
    after = maturity - ago
    # QuantLib's rule also moves dates to the month's end from a maturity that is not; ours needs it to be one.
    theirs = ql.Schedule(
        ql_date(after),
        ql_date(maturity),
        ql.Period(months, ql.Months),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        end_of_month and bool(is_month_end(maturity)),
    )
    offsets, ours = coupon_dates(maturity, after, months=months, end_of_month=end_of_month)
    assert offsets.tolist() == [0, ours.size]
    assert ours.tolist() == [from_ql(date).item() for date in theirs][1:]


@given(rows=st.lists(st.tuples(dates, st.integers(-500, 9_000), steps), min_size=1, max_size=6))
def test_many_bonds_at_once_are_each_bond_alone(rows):
    maturity = np.array([row[0] for row in rows])
    after, months = maturity - np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    offsets, together = coupon_dates(maturity, after, months=months)
    for i in range(len(rows)):
        alone = coupon_dates(maturity[i], after[i], months=months[i]).dates
        assert np.array_equal(together[offsets[i] : offsets[i + 1]], alone)
        assert bool(alone.size) == (rows[i][1] > 0)


@given(maturity=dates, ago=st.integers(0, 9_000), months=steps)
def test_periods_to_maturity_count_coupons_and_fall_by_the_day(maturity, ago, months):
    day = maturity - ago
    periods = periods_to_maturity(maturity, day + np.array([0, 1]), months=months)
    assert periods[0] > periods[1]
    for k in range(4):
        on_the_grid = coupon_dates(maturity, add_months(maturity, -60), months=months).dates[-1 - k]
        assert periods_to_maturity(maturity, on_the_grid, months=months) == k


@given(start=dates, years=st.integers(1, 30), months=steps)
def test_swap_dates_are_those_of_quantlib(start, years, months):
    calendar = ql.TARGET()
    start = from_ql(calendar.adjust(ql_date(start)))
    theirs = ql.Schedule(
        ql_date(start),
        ql_date(add_months(start, 12 * years)),
        ql.Period(months, ql.Months),
        calendar,
        ql.ModifiedFollowing,
        ql.ModifiedFollowing,
        ql.DateGeneration.Forward,
        False,
    )
    ours = swap_dates(start, 12 * years, months=months, calendar="TARGET").dates
    assert ours.tolist() == [from_ql(date).item() for date in theirs]


def test_a_tenor_that_is_no_multiple_of_the_step_ends_with_a_short_period():
    offsets, found = swap_dates(["2024-01-15", "2024-02-15"], [9, 12], months=6)
    assert offsets.tolist() == [0, 3, 6]
    assert found.astype(str).tolist() == [
        *("2024-01-15", "2024-07-15", "2024-10-15"),
        *("2024-02-15", "2024-08-15", "2025-02-15"),
    ]


def test_calendar_arithmetic_is_numpys_on_every_day_of_eight_centuries():
    days = np.arange("1600-01-01", "2400-01-01", dtype="datetime64[D]")
    months = np.arange(days.size) % 2_401 - 1_200
    month = days.astype("datetime64[M]") + months
    lengths = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int)
    of_month = np.minimum((days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1, lengths)
    assert np.array_equal(add_months(days, months), month.astype("datetime64[D]") + of_month - 1)
    assert np.array_equal(add_months(days, months, to_month_end=True), month.astype("datetime64[D]") + lengths - 1)
    assert np.isnat(add_months("NaT", 1))


def test_months_end_where_they_end():
    assert str(add_months("2023-08-31", 6)) == "2024-02-29"
    assert str(add_months("2024-02-29", 6)) == "2024-08-29"
    assert str(add_months("2024-02-29", 6, to_month_end=True)) == "2024-08-31"
    treasury = coupon_dates("2025-02-28", "2023-02-28", months=6)
    assert treasury.dates.astype(str).tolist() == ["2023-08-31", "2024-02-29", "2024-08-31", "2025-02-28"]
    assert coupon_dates("2025-02-28", "2024-02-01", months=6, end_of_month=False).dates.astype(str).tolist() == [
        *("2024-02-28", "2024-08-28", "2025-02-28"),
    ]
