"""Laws of carry: time alone earns nothing where funding is fair, and payer and receiver earn opposite amounts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ql, ql_date

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows, price_from_yield, street_yield
from engine.rates.carry import ShiftedCurve, bond_carry, swap_carry
from engine.rates.curves import DiscountCurve
from engine.rates.z_spread import price_on_curve
from engine.rates.z_spread_proxies import Proxy

SETTLE = np.datetime64("2018-04-19")
rates = st.floats(0.001, 0.1)
horizons = st.integers(1, 400)


@st.composite
def bonds(draw):
    days = draw(st.lists(st.integers(420, 10_000), min_size=1, max_size=5))
    coupons = draw(st.lists(st.floats(0, 0.12), min_size=len(days), max_size=len(days)))
    return Bonds(SETTLE + np.array(days), coupons, frequency=draw(st.sampled_from([1, 2])))


@given(bonds=bonds(), rate=rates, days=horizons)
def test_without_coupons_due_a_flat_curve_and_fair_repo_earn_nothing(bonds, rate, days):
    flows = cash_flows(bonds, SETTLE)
    before = flows.dates[flows.offsets[:-1]].min()  # the first coupon of all
    horizon = min(SETTLE + days, before - 1)
    if horizon <= SETTLE:
        return
    curve = DiscountCurve.from_zero_rates([1.0], [rate], beyond="flat")
    clean = price_on_curve(flows, curve) - accrued(bonds, SETTLE)
    span = (horizon - SETTLE).astype(int)
    repo = ((1 + rate) ** (span / 365.25) - 1) * 360 / span
    found = bond_carry(bonds, SETTLE, clean, horizon, repo=repo, curve=curve)
    assert found.carry + found.roll_down == pytest.approx(0, abs=1e-10)
    assert found.rolled_clean == pytest.approx(found.forward_clean, abs=1e-10)
    assert found.carry_yield + found.roll_down_yield == pytest.approx(0, abs=1e-12)


@given(bonds=bonds(), rate=rates, days=horizons, repo=st.floats(-0.01, 0.1))
def test_forward_prices_are_those_of_a_repo_account_kept_day_by_day(bonds, rate, days, repo):
    """The plain version: borrow the dirty price, and pay coupons in as they come; each accrues simple interest."""
    clean = price_from_yield(bonds, SETTLE, rate) - accrued(bonds, SETTLE)
    horizon = SETTLE + days
    curve = Proxy(0.01, 0.003).curve()
    found = bond_carry(bonds, SETTLE, clean, horizon, repo=repo, curve=curve)
    flows = cash_flows(bonds, SETTLE)
    for i in range(len(bonds)):
        owed = (clean[i] + accrued(bonds, SETTLE)[i]) * (1 + repo * days / 360)
        for j in range(flows.offsets[i], flows.offsets[i + 1]):
            if flows.dates[j] <= horizon:
                owed -= flows.amounts[j] * (1 + repo * (horizon - flows.dates[j]).astype(int) / 360)
        assert found.forward_clean[i] == pytest.approx(owed - accrued(bonds, horizon)[i], abs=1e-10)
    assert found.carry_yield == pytest.approx(
        street_yield(bonds, horizon, clean=found.forward_clean) - street_yield(bonds, SETTLE, clean=clean), abs=1e-14
    )


@given(coupon=st.floats(0.01, 0.1), days=st.integers(1, 170), repo=st.floats(0, 0.08))
def test_forward_price_without_a_coupon_is_quantlibs(coupon, days, repo):
    settle, maturity = np.datetime64("2018-05-16"), np.datetime64("2028-05-15")
    bond, clean = Bonds(maturity, coupon), 101.5
    found = bond_carry(bond, settle, clean, settle + days, repo=repo, curve=Proxy(0.01, 0.003).curve())
    schedule = ql.Schedule(
        ql.Date(15, 5, 2017),
        ql_date(maturity),
        ql.Period(ql.Semiannual),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        False,
    )
    theirs = ql.FixedRateBond(0, 100.0, schedule, [coupon], ql.ActualActual(ql.ActualActual.ISMA, schedule))
    dirty = clean + theirs.accruedAmount(ql_date(settle))
    loan = ql.InterestRate(repo, ql.Actual360(), ql.Simple, ql.Annual)
    forward = dirty * loan.compoundFactor(ql_date(settle), ql_date(settle + days))
    assert found.forward_clean == pytest.approx(forward - theirs.accruedAmount(ql_date(settle + days)), abs=1e-11)


@given(rate=rates, maturity=st.integers(2, 30), horizon=st.floats(0.01, 1.5))
def test_a_flat_curve_pays_a_swap_no_carry_and_no_roll(rate, maturity, horizon):
    curve = DiscountCurve.from_zero_rates([1.0], [rate], compounding="semi-annual", beyond="flat")
    found = swap_carry(curve, maturity, horizon)
    if (maturity - horizon) % 0.5 == 0:  # a stub's simple accrual is not the compounded one
        assert [found.carry, found.roll_down] == pytest.approx([0, 0], abs=1e-13)
    assert found.carry + found.roll_down == pytest.approx(0, abs=1e-12)


@given(y0=st.floats(0, 0.03), f=st.floats(1e-4, 0.01), maturity=st.integers(4, 30), horizon=st.sampled_from([1.0, 2.0]))
def test_on_a_rising_curve_the_receiver_earns_carry_and_roll(y0, f, maturity, horizon):
    found = swap_carry(Proxy(y0, f).curve(), maturity, horizon, per_year=1)
    assert found.carry > 0
    assert found.roll_down > 0


@given(proxy=st.builds(Proxy, st.floats(0, 0.03), st.floats(0, 0.01)), maturity=st.integers(3, 30))
def test_a_receiver_earns_its_carry_where_the_forward_curve_comes_true(proxy, maturity):
    """Locked in at the forward rate, a swap earns nothing if forwards are realised: payer minus receiver is zero."""
    curve, horizon = proxy.curve(), 1.0
    found = swap_carry(curve, maturity, horizon, per_year=1)
    then = DiscountCurve(
        np.arange(1.0, maturity), ShiftedCurve(curve, horizon).discount_factor(np.arange(1.0, maturity))
    )
    assert then.par_rate(maturity - horizon) == pytest.approx(found.rate + found.carry, abs=1e-13)


CURVE = Proxy(0.01, 0.003).curve()
BONDS = Bonds(["2018-09-01", "2028-05-15"], 0.02)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: bond_carry(BONDS, SETTLE, 100, SETTLE, repo=0.01, curve=CURVE),
            "horizon is 2018-04-19, but",
        ),
        (lambda: bond_carry(BONDS, SETTLE, 100, "2018-10-01", repo=0.01, curve=CURVE), r"maturity\[0\] is 2018-09-01"),
        (
            lambda: bond_carry(BONDS, SETTLE, 100, "2018-07-01", repo=1.9, curve=CURVE),
            r"repo\[0\] is 1.9, but must be",
        ),
        (lambda: bond_carry(BONDS, SETTLE, [99, np.nan], "2018-07-01", repo=0, curve=CURVE), r"dirty\[1\] is nan"),
        (lambda: swap_carry(CURVE, [10, 0.5], 1.0), r"maturities\[1\] is 0.5, but must be beyond the horizon, 1.0"),
        (lambda: swap_carry(CURVE, 10, 0.0), "horizon is 0.0, but must be > 0"),
    ],
)
def test_bad_questions_are_one_sentence(ask, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ask()
