"""Laws of a discount curve: rates undo discount factors, forwards chain, a par bond is worth par."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ql

from engine.errors import ConfigError
from engine.rates.curves import (
    COMPOUNDINGS,
    INTERPOLATIONS,
    DiscountCurve,
    annuity,
    discount_from_rate,
    rate_from_discount,
)

compoundings = st.sampled_from(COMPOUNDINGS)
rates = st.floats(-0.02, 0.2)
years = st.floats(0.01, 40)


@st.composite
def curves(draw):
    steps = draw(st.lists(st.floats(0.1, 5), min_size=1, max_size=8))
    zeros = draw(st.lists(st.floats(-0.01, 0.12), min_size=len(steps), max_size=len(steps)))
    interpolation = draw(st.sampled_from(INTERPOLATIONS))
    return DiscountCurve.from_zero_rates(np.cumsum(steps), zeros, interpolation=interpolation, beyond="flat")


@given(rate=rates, time=years, compounding=compoundings)
def test_a_rate_and_its_discount_factor_undo_each_other(rate, time, compounding):
    factor = discount_from_rate(rate, time, compounding=compounding)
    assert rate_from_discount(factor, time, compounding=compounding) == pytest.approx(rate, abs=1e-13)


@given(rate=rates, time=years, compounding=compoundings)
def test_compounding_is_that_of_quantlib(rate, time, compounding):
    names = {"annual": ql.Annual, "semi-annual": ql.Semiannual, "quarterly": ql.Quarterly, "monthly": ql.Monthly}
    kind = {"continuous": ql.Continuous, "simple": ql.Simple}.get(compounding, ql.Compounded)
    theirs = ql.InterestRate(rate, ql.Actual36525(), kind, names.get(compounding, ql.Annual)).discountFactor(time)
    assert discount_from_rate(rate, time, compounding=compounding) == pytest.approx(theirs, rel=1e-13)


@given(curve=curves())
def test_a_curve_goes_through_its_nodes_and_starts_at_one(curve):
    assert curve.discount_factor(curve.times) == pytest.approx(curve.discount_factors, rel=1e-13)
    assert curve.discount_factor(0.0) == 1


@given(curve=curves(), times=st.lists(st.floats(0.01, 45), min_size=3, max_size=3, unique=True))
def test_forwards_chain(curve, times):
    first, middle, last = sorted(times)
    legs = curve.forward_rate([first, middle], [middle, last], compounding="continuous")
    whole = curve.forward_rate(first, last, compounding="continuous")
    assert legs @ [middle - first, last - middle] == pytest.approx(whole * (last - first), abs=1e-12)
    zero = curve.zero_rate(last, compounding="semi-annual")
    assert discount_from_rate(zero, last, compounding="semi-annual") == pytest.approx(curve.discount_factor(last))


@given(curve=curves(), maturity=st.floats(0.01, 40), per_year=st.sampled_from([1, 2, 4]))
def test_a_bond_that_pays_the_par_rate_is_worth_par(curve, maturity, per_year):
    rate = curve.par_rate(maturity, per_year=per_year)
    final = curve.discount_factor(maturity)
    worth = rate * annuity(curve, maturity, per_year=per_year) + final
    assert worth == pytest.approx(1, abs=1e-12 * max(1, final))  # a wild curve grows far past its last node


@given(maturity=st.floats(0.01, 40), per_year=st.sampled_from([1, 2, 4, 12]))
def test_without_interest_an_annuity_is_worth_its_years(maturity, per_year):
    curve = DiscountCurve([1.0], [1.0], beyond="flat")
    assert annuity(curve, maturity, per_year=per_year) == pytest.approx(maturity, rel=1e-9)


@given(rate=st.floats(-0.02, 0.2), maturity=st.integers(1, 40))
def test_on_a_flat_curve_zero_par_and_forward_rates_are_the_same(rate, maturity):
    curve = DiscountCurve.from_zero_rates([1.0, 40.0], [rate, rate], beyond="flat")
    assert curve.par_rate(maturity) == pytest.approx(rate, abs=1e-12)
    assert curve.forward_rate(maturity, maturity + 3.7) == pytest.approx(rate, abs=1e-12)


def test_log_linear_forwards_are_steps_and_linear_zeros_are_lines():
    stepped = DiscountCurve([1.0, 3.0], [0.98, 0.90])
    forwards = stepped.forward_rate([1.0, 1.7, 2.9], [1.1, 2.6, 3.0], compounding="continuous")
    assert forwards == pytest.approx(np.log(0.98 / 0.90) / 2, abs=1e-12)
    straight = DiscountCurve.from_zero_rates([1.0, 3.0], [0.01, 0.03])
    assert straight.zero_rate([0.25, 1.0, 1.5, 2.0, 3.0]) == pytest.approx([0.01, 0.01, 0.015, 0.02, 0.03], abs=1e-14)


def test_past_the_last_node_a_curve_refuses_or_goes_on_flat():
    times, factors = [1.0, 3.0], [0.98, 0.90]
    with pytest.raises(ConfigError, match=r"times\[1\] is 3.5, but must not be beyond the curve's last node, 3.0"):
        DiscountCurve(times, factors).discount_factor([2.0, 3.5])
    flat = DiscountCurve(times, factors, beyond="flat")
    assert flat.forward_rate(3.0, 9.0, compounding="continuous") == pytest.approx(np.log(0.98 / 0.90) / 2)
    zeros = DiscountCurve.from_zero_rates(times, [0.01, 0.03], beyond="flat")
    assert zeros.zero_rate(7.0) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DiscountCurve([1, 2], [0.9, -0.1]), r"discount_factors\[1\] is -0.1, but must be > 0; look at"),
        (lambda: DiscountCurve([1, 2], [0.9, np.nan]), r"discount_factors\[1\] is nan, but must be > 0"),
        (lambda: DiscountCurve([2, 1], [0.9, 0.8]), r"times\[1\] is 1.0, but must be > 0 and after the one before"),
        (lambda: DiscountCurve([0, 1], [1.0, 0.8]), r"times\[0\] is 0.0, but must be > 0"),
        (lambda: DiscountCurve([1, 2], [0.9]), r"times \(2,\) and discount factors \(1,\)"),
        (lambda: DiscountCurve([1], [0.9], interpolation="cubic"), "interpolation 'cubic' is unknown"),
        (lambda: DiscountCurve([1], [0.9], beyond="nan"), "beyond 'nan' is unknown"),
        (lambda: DiscountCurve.from_zero_rates([1, 2], [0.02, 2.5]), r"zero_rates\[1\] is 2.5, .* divide percentages"),
        (
            lambda: DiscountCurve.from_zero_rates([1, 2], [0.02, np.nan]),
            r"zero_rates\[1\] is nan, but must be",
        ),
        (lambda: DiscountCurve([1], [0.9]).discount_factor(-1), "times is -1.0, but must be >= 0"),
        (lambda: DiscountCurve([1], [0.9]).zero_rate(0), "years is 0.0, but must be > 0"),
        (lambda: DiscountCurve([1], [0.9]).forward_rate(0.5, 0.5), "end is 0.5, but must be after start"),
        (lambda: DiscountCurve([1], [0.9]).par_rate(0), "maturities is 0.0, but must be > 0"),
        (
            lambda: discount_from_rate(0.02, 1, compounding="daily"),
            "compounding 'daily' is unknown; take one of",
        ),
        (lambda: discount_from_rate(-1.5, 1), "rates is -1.5, but must leave something of what was lent"),
    ],
)
def test_a_bad_curve_or_question_is_one_sentence(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()
