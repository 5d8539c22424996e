"""Bonds against QuantLib over generated ones, the laws of a price, and what bad terms are told."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import ql, ql_date

from engine.rates.bonds import Bonds, accrued, measure, street_yield
from engine.rates.schedules import add_months, is_month_end

DAY_COUNTS = {
    "30/360": lambda _: ql.Thirty360(ql.Thirty360.BondBasis),
    "30E/360": lambda _: ql.Thirty360(ql.Thirty360.EurobondBasis),
    "ACT/ACT ICMA": lambda schedule: ql.ActualActual(ql.ActualActual.ISMA, schedule),
}
FREQUENCIES = {1: ql.Annual, 2: ql.Semiannual, 4: ql.Quarterly}

settles = st.integers(0, 11_000).map(lambda day: np.datetime64("1995-01-02") + day)
coupons = st.integers(0, 120).map(lambda eighths: eighths / 800)
yields = st.floats(-0.02, 0.18).map(lambda y: round(y, 6))
frequencies = st.sampled_from(sorted(FREQUENCIES))


@st.composite
def regular(draw, day_count="ACT/ACT ICMA"):
    """(settle, maturity, coupon, frequency) of a bond with at least a day to run."""
    settle = draw(settles)
    maturity = settle + draw(st.integers(1, 11_000))
    if day_count != "ACT/ACT ICMA":  # at a month's end 30/360 periods are no longer alike, and coupons stay so
        maturity = maturity.astype("datetime64[M]").astype("datetime64[D]") + draw(st.integers(0, 26))
        assume(maturity > settle)
    return settle, maturity, draw(coupons), draw(frequencies)


def quantlib_bond(dated, maturity, coupon, frequency, day_count="ACT/ACT ICMA", first_coupon=None):
    schedule = ql.Schedule(
        ql_date(dated),
        ql_date(maturity),
        ql.Period(FREQUENCIES[frequency]),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        bool(is_month_end(maturity)),
        ql_date(first_coupon) if first_coupon is not None else ql.Date(),
    )
    return ql.FixedRateBond(0, 100.0, schedule, [coupon], DAY_COUNTS[day_count](schedule)), schedule


def quantlib_numbers(bond, schedule, settle, yld, frequency, day_count="ACT/ACT ICMA"):
    """Accrued, dirty price, modified duration, convexity."""
    date = ql_date(settle)
    rate = ql.InterestRate(yld, DAY_COUNTS[day_count](schedule), ql.Compounded, FREQUENCIES[frequency])
    interest = bond.accruedAmount(date)
    return (
        interest,
        ql.BondFunctions.cleanPrice(bond, rate, date) + interest,
        ql.BondFunctions.duration(bond, rate, ql.Duration.Modified, date),
        ql.BondFunctions.convexity(bond, rate, date),
    )


@given(terms=regular(), yld=yields)
def test_price_duration_accrued_and_yield_are_those_of_quantlib(terms, yld):
    settle, maturity, coupon, frequency = terms
    years_before = (settle - np.datetime64("1990-01-01")).astype(int) // 365  # a date of the grid before settlement
    dated = add_months(maturity, -12 * ((maturity - settle).astype(int) // 365 + 2 + 0 * years_before))
    bond, schedule = quantlib_bond(dated, maturity, coupon, frequency)
    theirs = quantlib_numbers(bond, schedule, settle, yld, frequency)
    ours = Bonds(maturity, coupon, frequency=frequency)
    found = measure(ours, settle, yld, last_period="compound")
    assert accrued(ours, settle) == pytest.approx(theirs[0], abs=1e-12)
    assert found.dirty == pytest.approx(theirs[1], rel=1e-13)
    assert found.duration == pytest.approx(theirs[2], abs=1e-11)
    assert found.convexity == pytest.approx(theirs[3], rel=1e-11)
    back = street_yield(ours, settle, dirty=theirs[1], last_period="compound")
    assert back == pytest.approx(yld, abs=max(1e-12, 1e-14 / theirs[2]))  # a day to run: 1e-14 of price is more yield
