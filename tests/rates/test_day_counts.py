"""Year fractions against QuantLib, and against the printed examples of the rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ql, ql_date

from engine.errors import ConfigError
from engine.rates.day_counts import year_fraction

days = st.integers(0, 40_000).map(lambda day: np.datetime64("1990-01-01") + day % 25_000)
ORACLES = {
    "ACT/360": lambda: ql.Actual360(),
    "ACT/365F": lambda: ql.Actual365Fixed(),
    "ACT/365.25": lambda: ql.Actual36525(),
    "30/360": lambda: ql.Thirty360(ql.Thirty360.BondBasis),
    "30E/360": lambda: ql.Thirty360(ql.Thirty360.EurobondBasis),
}


@pytest.mark.parametrize("convention", ORACLES)
@given(start=days, end=days)
def test_year_fractions_are_those_of_quantlib(convention, start, end):
    start, end = min(start, end), max(start, end)
    theirs = ORACLES[convention]().yearFraction(ql_date(start), ql_date(end))
    assert year_fraction(start, end, convention) == pytest.approx(theirs, abs=1e-14)


@given(start=days, end=days, length=st.sampled_from([181, 182, 184, 365]))
def test_a_whole_coupon_period_counts_one_over_the_frequency(start, end, length):
    period = (start, start + length)
    assert year_fraction(*period, "ACT/ACT ICMA", period=period, frequency=2) == 0.5
    part = year_fraction(start, end, "ACT/ACT ICMA", period=period, frequency=2)
    assert part == pytest.approx((end - start).astype(int) / length / 2, abs=1e-14)


def test_dates_broadcast_and_a_missing_date_gives_nan():
    starts = np.array(["2024-01-31", "NaT"], "datetime64[D]")
    fractions = year_fraction(starts, np.array([["2024-03-31"], ["2024-02-29"]], "datetime64[D]"), "30/360")
    assert np.array_equal(fractions, [[60 / 360, np.nan], [29 / 360, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("2024-01-01", "2025-01-01", "ACT/ACT"), "day count 'ACT/ACT' is unknown; take one of ACT/360"),
        (("soon", "2025-01-01", "ACT/360"), "start must be dates, but is 'soon'"),
        (("2024-01-01", "2025-01-01", "ACT/ACT ICMA"), "counts days within a coupon period; give period"),
    ],
)
def test_a_question_without_an_answer_is_one_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        year_fraction(*arguments)


def test_a_coupon_period_that_runs_backwards_is_refused():
    with pytest.raises(ConfigError, match="a coupon period must end after it starts"):
        year_fraction("2024-01-01", "2024-02-01", "ACT/ACT ICMA", period=("2024-03-01", "2024-01-01"), frequency=2)
