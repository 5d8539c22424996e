"""Calendars against QuantLib's, day by day over seventy years, and against days on which Treasuries were quoted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import from_ql, ql, ql_date

from engine.errors import ConfigError
from engine.rates.holidays import US_CLOSED_ONCE, add_business_days, adjust, easter_monday, is_business_day

DAYS = np.arange("1990-01-01", "2061-01-01", dtype="datetime64[D]")
CALENDARS = {
    "US government bond": ql.UnitedStates(ql.UnitedStates.GovernmentBond),
    "New York": ql.UnitedStates(ql.UnitedStates.FederalReserve),
    "TARGET": ql.TARGET(),
}
ROLLS = {
    "following": ql.Following,
    "modified_following": ql.ModifiedFollowing,
    "preceding": ql.Preceding,
    "unadjusted": ql.Unadjusted,
}
names = st.sampled_from(sorted(CALENDARS))
days = st.integers(400, DAYS.size - 400).map(lambda k: DAYS[k])


@pytest.mark.parametrize("name", CALENDARS)
def test_every_day_of_seventy_years_is_open_or_closed_as_in_quantlib(name):
    theirs = np.array([CALENDARS[name].isBusinessDay(ql_date(day)) for day in DAYS])
    differ = DAYS[is_business_day(DAYS, name) != theirs]
    # After the attacks of 2001 Treasuries did not trade for two days; QuantLib leaves that out.
    assert {str(day) for day in differ} <= set(US_CLOSED_ONCE)


@given(name=names, day=days, roll=st.sampled_from(sorted(ROLLS)))
def test_dates_roll_as_in_quantlib(name, day, roll):
    if abs(day - np.datetime64("2001-09-11")).astype(int) > 5:
        assert adjust(day, name, roll) == from_ql(CALENDARS[name].adjust(ql_date(day), ROLLS[roll]))


@given(name=names, day=days, count=st.integers(-60, 60))
def test_business_days_add_as_in_quantlib(name, day, count):
    if abs(day - np.datetime64("2001-09-11")).astype(int) > 100:
        theirs = CALENDARS[name].advance(ql_date(day), count, ql.Days)
        assert add_business_days(day, count, name) == from_ql(theirs)


@given(name=names, day=days, count=st.integers(1, 60))
def test_going_forward_and_back_by_business_days_returns(name, day, count):
    start = adjust(day, name, "following")
    assert add_business_days(add_business_days(start, count, name), -count, name) == start


def test_easter_mondays_of_two_centuries_are_mondays_in_season():
    found = easter_monday(np.arange(1990, 2200))
    assert ((found.astype(int) + 3) % 7 == 0).all()
    assert {str(day) for day in found} >= {"2000-04-24", "2008-03-24", "2011-04-25", "2038-04-26"}


def test_treasuries_were_quoted_on_open_days_and_on_no_others(recorded_data):
    pandas = pytest.importorskip("pandas")
    curves = pandas.read_parquet(recorded_data / "rates/curves/ust_par_yields_1962_2026.parquet")
    curves = curves[curves["date"] >= "1990"]
    day = curves["date"].to_numpy("datetime64[D]")
    quoted = curves["DGS10"].notna().to_numpy()
    day, quoted = day[day <= day[quoted].max()], quoted[day <= day[quoted].max()]
    assert np.array_equal(is_business_day(day, "US government bond"), quoted)


def test_missing_dates_stay_missing():
    dates = np.array(["NaT", "2024-07-06"], "datetime64[D]")
    assert np.isnat(adjust(dates, "TARGET", "following")).tolist() == [True, False]
    assert is_business_day(dates, "TARGET").tolist() == [False, False]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("2024-01-01", "Paris", "following"), "calendar 'Paris' is unknown; take one of US government bond, New York"),
        (("2024-01-01", "TARGET", "next"), "roll 'next' is unknown; take one of following, modified_following"),
        (("1985-01-01", "TARGET", "following"), "1985-01-01 lies outside the calendars' years 1990 to 2199"),
    ],
)
def test_a_bad_question_is_one_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        adjust(*arguments)


def test_no_step_leaves_the_years_that_the_calendars_know():
    with pytest.raises(ConfigError, match="1989-12-29 lies outside the calendars' years"):
        add_business_days("1990-01-03", -2, "TARGET")
