"""Bonds against QuantLib over generated ones, the laws of a price, and what bad terms are told."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import ql, ql_date

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows, measure, price_from_yield, street_yield
from engine.rates.day_counts import day_of_month
from engine.rates.holidays import add_business_days
from engine.rates.schedules import add_months, coupon_dates, is_month_end

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


def year_before(settle, maturity):
    """A date of the coupon grid a year or two before settlement."""
    return add_months(maturity, -12 * ((maturity - settle).astype(int) // 365 + 2))


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
    dated = year_before(settle, maturity)
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


@pytest.mark.parametrize("day_count", ["30/360", "30E/360"])
@given(data=st.data(), yld=yields)
def test_thirty_day_months_accrue_and_discount_as_in_quantlib(day_count, data, yld):
    settle, maturity, coupon, frequency = data.draw(regular(day_count))
    bond, schedule = quantlib_bond(year_before(settle, maturity), maturity, coupon, frequency, day_count)
    theirs = quantlib_numbers(bond, schedule, settle, yld, frequency, day_count)
    ours = Bonds(maturity, coupon, frequency=frequency, day_count=day_count)
    found = measure(ours, settle, yld, last_period="compound")
    assert accrued(ours, settle) == pytest.approx(theirs[0], abs=1e-12)
    assert found.dirty == pytest.approx(theirs[1], rel=1e-13)
    assert found.duration == pytest.approx(theirs[2], abs=1e-11)


@given(
    settle=settles, since=st.integers(0, 700), life=st.integers(1_500, 11_000), coupon=coupons, is_long=st.booleans()
)
def test_irregular_first_coupons_accrue_as_in_quantlib(settle, since, life, coupon, is_long):
    dated = settle - since
    maturity = dated + life
    assume(day_of_month(maturity) <= 28)  # QuantLib counts back from a clipped February, we always from maturity
    grid = coupon_dates(maturity, dated, months=6).dates
    first_coupon = grid[int(is_long)]
    bond, _ = quantlib_bond(dated, maturity, coupon, 2, first_coupon=first_coupon)
    given_first = {"first_coupon": first_coupon} if is_long else {}
    ours = Bonds(maturity, coupon, dated=dated, **given_first)
    assert accrued(ours, settle) == pytest.approx(bond.accruedAmount(ql_date(settle)), abs=1e-12)
    flows = cash_flows(ours, settle)
    theirs = [flow for flow in bond.cashflows() if flow.date() > ql_date(settle)]
    paid = [flow.amount() for flow in theirs[:-2]] + [theirs[-2].amount() + theirs[-1].amount()]
    assert flows.amounts == pytest.approx(paid, abs=1e-11)


@given(settle=settles, days=st.integers(1, 180), coupon=coupons, yld=yields)
def test_the_last_period_is_simple_interest_on_the_us_street(settle, days, coupon, yld):
    maturity = settle + days
    bond, schedule = quantlib_bond(add_months(maturity, -12), maturity, coupon, 2)
    ours = Bonds(maturity, coupon)
    assume(cash_flows(ours, settle).amounts.size == 1)
    rate = ql.InterestRate(yld, ql.ActualActual(ql.ActualActual.ISMA, schedule), ql.Simple, ql.Semiannual)
    theirs = ql.BondFunctions.cleanPrice(bond, rate, ql_date(settle)) + bond.accruedAmount(ql_date(settle))
    found = measure(ours, settle, yld)
    assert found.dirty == pytest.approx(theirs, rel=1e-13)
    assert street_yield(ours, settle, dirty=found.dirty) == pytest.approx(yld, abs=1e-11)


@given(terms=regular(), yld=st.floats(-0.3, 0.45), last_period=st.sampled_from(["simple", "compound"]))
def test_duration_and_convexity_are_the_slopes_of_the_price(terms, yld, last_period):
    settle, maturity, coupon, frequency = terms
    assume(maturity - settle > np.timedelta64(30, "D"))
    bond = Bonds(maturity, coupon, frequency=frequency)
    step = 1e-5
    low, here, high = (measure(bond, settle, yld + shift, last_period=last_period) for shift in (-step, 0.0, step))
    assert -(high.dirty - low.dirty) / (2 * step) / here.dirty == pytest.approx(here.duration, rel=1e-5)
    slopes = [-one.duration * one.dirty for one in (low, high)]
    assert (slopes[1] - slopes[0]) / (2 * step) / here.dirty == pytest.approx(here.convexity, rel=1e-5)
    assert here.dv01 == pytest.approx(here.duration * here.dirty / 1e4, rel=1e-13)


@given(terms=st.lists(regular(), min_size=1, max_size=5), yld=yields)
def test_many_bonds_at_once_are_each_bond_alone(terms, yld):
    settle, maturity, coupon, frequency = (np.array(column) for column in zip(*terms, strict=True))
    bonds = Bonds(maturity, coupon, frequency=frequency)
    together = measure(bonds, settle, yld)
    found = street_yield(bonds, settle, dirty=together.dirty)
    for i in range(len(bonds)):
        alone = measure(bonds[i : i + 1], settle[i], yld)
        assert [column[i] for column in together] == [column[0] for column in alone]
        assert street_yield(bonds[[i]], settle[i], dirty=alone.dirty)[0] == found[i]


@given(settle=settles, years=st.integers(1, 30), frequency=frequencies, coupon=coupons)
def test_a_par_bond_prices_at_100(settle, years, frequency, coupon):
    assume(settle.astype("datetime64[M]").astype("datetime64[D]") + 27 >= settle)
    bond = Bonds(add_months(settle, 12 * years), coupon, frequency=frequency)
    assert accrued(bond, settle) == 0
    assert price_from_yield(bond, settle, coupon) == pytest.approx(100, abs=1e-11)


@given(terms=regular(), price=st.floats(0.5, 1_000), clean=st.booleans())
def test_every_price_has_a_yield_and_the_yield_gives_the_price_back(terms, price, clean):
    settle, maturity, coupon, frequency = terms
    assume(maturity - settle > np.timedelta64(20, "D"))
    bond = Bonds(maturity, coupon, frequency=frequency)
    dirty = price + accrued(bond, settle) if clean else np.array([price])
    found = street_yield(bond, settle, clean=price) if clean else street_yield(bond, settle, dirty=price)
    assume(-frequency < found[0] < 0.5)  # more is refused as a percentage, and less is no rate
    assert price_from_yield(bond, settle, found) == pytest.approx(dirty, rel=1e-11)


def test_flows_fall_on_the_curves_clock_and_settlement_day_coupons_are_the_sellers():
    flows = cash_flows(Bonds("2020-02-29", 0.04), "2019-02-28")
    assert flows.dates.astype(str).tolist() == ["2019-08-31", "2020-02-29"]
    assert flows.times == pytest.approx(np.array([184, 366]) / 365.25, abs=1e-15)
    assert flows.periods.tolist() == [1.0, 2.0]
    assert flows.amounts.tolist() == [2.0, 102.0]


GOOD = {"maturity": ["2030-05-15", "2031-05-15"], "coupon": [0.02, 0.03]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coupon": [0.02, 3.0]}, r"coupon\[1\] is 3.0, but must be a decimal below 0.25; divide percentages by 100"),
        ({"coupon": [0.02, np.nan]}, r"coupon\[1\] is nan, but must be a number >= 0"),
        ({"coupon": [0.02, 0.03, 0.04]}, r"terms of bonds have shapes \(2,\), \(3,\)"),
        ({"maturity": ["2030-05-15", "NaT"]}, r"maturity\[1\] is NaT, but must be a date"),
        ({"frequency": [2, 5]}, r"frequency\[1\] is 5.0, but must be one of 1, 2, 3, 4, 6, 12"),
        ({"dated": "2031-01-01"}, r"dated\[0\] is 2031-01-01, but must be before maturity"),
        (
            {"first_coupon": "2025-05-16", "dated": "2025-01-01"},
            r"first_coupon\[0\] is 2025-05-16, but must be",
        ),
        ({"first_coupon": "2025-05-15"}, r"first_coupon\[0\] is 2025-05-15, .* give dated as well"),
        ({"isin": ["US1", "US1"]}, r"isin\[1\] is US1, but must occur only once; drop or merge the repeated rows"),
        (
            {"isin": list("ABBA"), "maturity": ["2030-05-15"] * 4, "coupon": 0.02},
            r"isin\[2\] is B, but must occur only once",
        ),
        ({"isin": ["US1"]}, r"1 ISINs for 2 bonds; give each bond its own"),
        ({"day_count": "ACT/360"}, "bonds cannot accrue by 'ACT/360'; take one of ACT/ACT ICMA, 30/360, 30E/360"),
    ],
)
def test_bad_terms_are_refused_with_the_row(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Bonds(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda bonds: cash_flows(bonds, "2030-05-15"), r"maturity\[0\] is 2030-05-15, but must be after settlement"),
        (lambda bonds: cash_flows(bonds, "NaT"), r"settle\[0\] is NaT, but must be a date"),
        (lambda bonds: cash_flows(bonds, ["2020-01-01"] * 3), r"settle has shape \(3,\) for 2 bonds"),
        (lambda bonds: street_yield(bonds, "2020-01-01", dirty=[99, -1]), r"dirty\[1\] is -1.0, but must be > 0"),
        (lambda bonds: street_yield(bonds, "2020-01-01", clean=[99, np.nan]), r"clean\[1\] is nan, but must be > 0"),
        (lambda bonds: street_yield(bonds, "2020-01-01"), "give one of the two"),
        (
            lambda bonds: measure(bonds, "2020-01-01", [0.04, 4.0]),
            r"yields\[1\] is 4.0, but must be a decimal",
        ),
        (lambda bonds: measure(bonds, "2020-01-01", [0.04, np.nan]), r"yields\[1\] is nan, but must be above"),
        (lambda bonds: measure(bonds, "2020-01-01", [0.04] * 3), r"yields has shape \(3,\) for 2 bonds"),
        (lambda bonds: measure(bonds, "2020-01-01", 0.04, last_period="ICMA"), "last_period 'ICMA' is unknown"),
    ],
)
def test_bad_questions_are_refused_with_the_row(ask, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ask(Bonds(**GOOD))


def test_a_bond_that_is_not_issued_yet_is_refused():
    with pytest.raises(ConfigError, match=r"settle\[0\] is 2020-01-01, but must not be before the dated date"):
        cash_flows(Bonds("2030-05-15", 0.02, dated="2020-05-15"), "2020-01-01")


def test_euro_government_bonds_pay_as_published(recorded_data):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/bonds/eur_govbonds_snapshot.parquet")
    paid = pandas.read_parquet(recorded_data / "rates/bonds/eur_govbonds_snapshot_cashflows.parquet")
    flows = cash_flows(euro_bonds(table), "2008-01-30")
    differ = []
    for i, isin in enumerate(table["isin"]):
        published = paid[paid["isin"] == isin].sort_values("date")
        mine = slice(flows.offsets[i], flows.offsets[i + 1])
        assert published["cf"].to_numpy() == pytest.approx(flows.amounts[mine], abs=1e-9)
        if not np.array_equal(published["date"].to_numpy("datetime64[D]"), flows.dates[mine]):
            differ.append(isin)
    assert differ == ["DE0001135341"]  # matures on the 4th; the published flows say the 14th


def test_german_bonds_accrue_as_published_for_settlement_in_two_target_days(recorded_data):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/bonds/de_bonds_panel.parquet")
    settle = add_business_days(table["as_of"].to_numpy("datetime64[D]"), 2, "TARGET")
    found = accrued(euro_bonds(table), settle)
    assert found == pytest.approx(table["accrued"].to_numpy(), abs=5.1e-5)  # four decimals are published


def euro_bonds(table):
    return Bonds(table["maturity"].to_numpy("datetime64[D]"), table["coupon"], frequency=1)
