"""Laws of the bootstrap: quotes come back, swaps are worth nothing at their rate, days do not mix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import from_ql, ql, ql_date

from engine.errors import ConfigError
from engine.rates.bonds import CLOCK
from engine.rates.curves import INTERPOLATIONS
from engine.rates.day_counts import year_fraction
from engine.rates.swap_curve import (
    SwapMarket,
    bootstrap,
    bootstrap_days,
    forward_swap_rates,
    spot_swaps,
    swap_rates,
)

TENORS = np.array([1, 2, 3, 4, 5, 7, 10, 30])
markets = st.sampled_from(["USD 2016", "EUR", SwapMarket("TARGET", 0, 3, "ACT/360", "following")])
interpolations = st.sampled_from(INTERPOLATIONS)
days = st.integers(0, 9_000).map(lambda day: np.datetime64("2000-01-03") + day)


@st.composite
def quotes(draw):
    """Par rates of TENORS: a level, a slope and bumps."""
    level, slope = draw(st.floats(-0.005, 0.08)), draw(st.floats(-0.01, 0.03))
    bumps = draw(st.lists(st.floats(-0.001, 0.001), min_size=TENORS.size, max_size=TENORS.size))
    return level + slope * np.log(TENORS) / np.log(30) + np.array(bumps)


@given(day=days, rates=quotes(), market=markets, interpolation=interpolations)
def test_the_curve_reprices_its_quotes(day, rates, market, interpolation):
    curve = bootstrap(day, TENORS, rates, market=market, interpolation=interpolation)
    found = swap_rates(curve, day, spot_swaps(day, 12 * TENORS, market=market))
    assert found.rate == pytest.approx(rates, abs=1e-13)


@given(day=days, rates=quotes(), expiry=st.integers(0, 3_000), tenor=st.sampled_from([1, 2, 5, 10, 15]))
def test_forward_rates_and_annuities_are_those_of_quantlib(day, rates, expiry, tenor):
    curve = bootstrap(day, TENORS, rates)
    expires = day + expiry
    ours = forward_swap_rates(curve, day, expires, 12 * tenor)
    calendar = ql.UnitedStates(ql.UnitedStates.FederalReserve)
    start = calendar.advance(ql_date(expires), 2, ql.Days)
    schedule = ql.Schedule(
        start,
        start + ql.Period(tenor, ql.Years),
        ql.Period(ql.Semiannual),
        calendar,
        ql.ModifiedFollowing,
        ql.ModifiedFollowing,
        ql.DateGeneration.Forward,
        False,
    )
    accrual = ql.Thirty360(ql.Thirty360.BondBasis)
    dates = [from_ql(date) for date in schedule]
    factors = curve.discount_factor(year_fraction(day, np.array(dates), CLOCK))
    fractions = [accrual.yearFraction(a, b) for a, b in zip(list(schedule)[:-1], list(schedule)[1:], strict=True)]
    theirs = np.dot(fractions, factors[1:])
    assert ours.annuity == pytest.approx(theirs, rel=1e-13)
    assert ours.rate == pytest.approx((factors[0] - factors[-1]) / theirs, abs=1e-14)


@given(rows=st.lists(st.tuples(days, quotes()), min_size=1, max_size=4), interpolation=interpolations)
def test_many_days_at_once_are_each_day_alone(rows, interpolation):
    dates, rates = np.array([day for day, _ in rows]), np.array([rate for _, rate in rows])
    together = bootstrap_days(dates, TENORS, rates, interpolation=interpolation)
    for curve, day, quoted in zip(together, dates, rates, strict=True):
        alone = bootstrap(day, TENORS, quoted, interpolation=interpolation)
        assert np.array_equal(curve.times, alone.times)
        assert np.array_equal(curve.discount_factors, alone.discount_factors)


@given(day=days, rates=quotes(), first=st.integers(1, 12), second=st.integers(1, 12))
def test_a_swap_is_worth_its_pieces(day, rates, first, second):
    """Two forward swaps end to end earn what the long one does, where their dates agree."""
    market = SwapMarket("New York", 0, 6, "ACT/360", "unadjusted")
    curve = bootstrap(day, TENORS, rates, market=market)
    whole = spot_swaps(day, 12 * (first + second), market=market)
    near = spot_swaps(day, 12 * first, market=market)
    far = spot_swaps(near.end, 12 * second, market=market)
    if far.start != near.end or not np.array_equal(whole.pay, np.concatenate((near.pay, far.pay))):
        return  # a piece that starts on a holiday or a clipped February has dates of its own
    pieces = [swap_rates(curve, day, legs) for legs in (near, far)]
    total = swap_rates(curve, day, whole)
    assert sum(one.annuity for one in pieces) == pytest.approx(total.annuity, rel=1e-12)
    assert sum(one.annuity * one.rate for one in pieces) == pytest.approx(total.annuity * total.rate, abs=1e-13)


def test_sixteen_years_of_published_swap_rates_are_repriced(recorded_data):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/curves/usd_swap_rates_h15_2000_2016.parquet").dropna()
    table = table.iloc[::20]
    dates = table["date"].to_numpy("datetime64[D]")
    quoted = table[[f"DSWP{tenor}" for tenor in TENORS]].to_numpy() / 100
    for curve, day, rates in zip(bootstrap_days(dates, TENORS, quoted), dates, quoted, strict=True):
        assert swap_rates(curve, day, spot_swaps(day, 12 * TENORS)).rate == pytest.approx(rates, abs=1e-13)


def test_spot_is_two_business_days_away_and_payments_roll():
    legs = spot_swaps("2015-12-30", 12)
    assert [str(date) for date in (*legs.start, *legs.pay)] == ["2016-01-04", "2016-07-05", "2017-01-04"]
    assert legs.accrual == pytest.approx([181 / 360, 179 / 360])


RATES = np.full(8, 0.02)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: bootstrap("2016-01-04", TENORS, np.where(TENORS == 5, np.nan, RATES)),
            r"par_rates\[0, 4\], 5 years on 2016-01-04, is nan; drop the day or the tenor",
        ),
        (
            lambda: bootstrap("2016-01-04", TENORS, np.where(TENORS == 30, 0.2, 0.02)),
            r"par_rates\[0, 7\], 30 years at 0.2 on 2016-01-04, leaves no positive discount factor",
        ),
        (
            lambda: bootstrap("2016-01-04", TENORS, 100 * RATES),
            r"par_rates\[0, 0\] is 2.0, .* divide percentages",
        ),
        (lambda: bootstrap("2016-01-04", TENORS[:7], RATES), r"par_rates has shape \(1, 8\), but 1 days of 7 tenors"),
        (
            lambda: bootstrap("2016-01-04", TENORS[::-1], RATES),
            r"tenors\[1\] is 10.0, but must be whole months",
        ),
        (lambda: bootstrap("2016-01-04", TENORS, RATES, market="USD"), "swap market 'USD' is unknown; take one of USD"),
        (lambda: spot_swaps("2016-01-04", 120.5), "tenor_months is 120.5, but must be whole months > 0; give 120"),
        (
            lambda: swap_rates(bootstrap("2016-01-04", TENORS, RATES), "2016-01-04", spot_swaps("2015-06-01", 12)),
            r"start\[0\] is 2015-06-03, but must not be before 2016-01-04",
        ),
    ],
)
def test_what_leaves_no_curve_is_one_sentence(ask, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ask()
