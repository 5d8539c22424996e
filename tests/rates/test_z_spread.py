"""Laws of the spreads over a swap curve, and the paper's printed numbers."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import ql, ql_date

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows, street_yield
from engine.rates.curves import DiscountCurve, annuity
from engine.rates.schedules import add_months, is_month_end
from engine.rates.z_spread import (
    coupon_adjustment,
    matched_maturity_swap_spread,
    par_asset_swap_spread,
    price_at_z_spread,
    price_on_curve,
    z_spread,
)
from engine.rates.z_spread_proxies import (
    HIGH_COUPON,
    LOW_COUPON,
    Proxy,
    annual_flows,
    fair_z_spreads,
    mispricing,
)

NANO_BP = 1e-13  # 1e-9 bp
SETTLE = np.datetime64("2018-04-19")
proxies = st.builds(Proxy, st.floats(-0.01, 0.04), st.floats(0.0, 0.012))
shifts = st.floats(-0.01, 0.01)
coupons = st.floats(0, 0.12)
spreads = st.floats(-0.03, 0.3)


@st.composite
def bonds(draw):
    days = draw(st.lists(st.integers(20, 10_900), min_size=1, max_size=6))
    rates = draw(st.lists(coupons, min_size=len(days), max_size=len(days)))
    return Bonds(SETTLE + np.array(days), rates, frequency=draw(st.sampled_from([1, 2])))


@given(bonds=bonds(), swap=proxies)
def test_a_bond_priced_on_the_swap_curve_has_z_zero(bonds, swap):
    flows, curve = cash_flows(bonds, SETTLE), swap.curve()
    tolerance = np.maximum(NANO_BP, 4e-16 / flows.times[flows.offsets[1:] - 1])
    assert (np.abs(z_spread(flows, price_on_curve(flows, curve), curve)) <= tolerance).all()


@given(bonds=bonds(), swap=proxies, z=spreads)
def test_price_and_z_spread_undo_each_other(bonds, swap, z):
    flows, curve = cash_flows(bonds, SETTLE), swap.curve()
    prices = price_at_z_spread(flows, z, curve)
    assert z_spread(flows, prices, curve) == pytest.approx(z, abs=1e-12)


@given(swap=proxies, coupon=coupons, years=st.integers(1, 30), logarithm=st.floats(-4, 5))
def test_every_price_has_a_z_spread(swap, coupon, years, logarithm):
    flows, curve, price = annual_flows(coupon, years), swap.curve(), 10**logarithm
    found = z_spread(flows, price, curve)
    growth = 1 + curve.zero_rate(flows.times) + found
    assert growth.min() > 0
    assert np.sum(flows.amounts * growth**-flows.times) == pytest.approx(price, rel=1e-9)


@given(swap=proxies, s=shifts, rates=st.lists(coupons, min_size=1, max_size=5))
def test_a_government_curve_parallel_to_the_swap_curve_gives_its_distance_for_every_coupon(swap, s, rates):
    found = fair_z_spreads(swap.shifted(level=s).curve(), swap.curve(), rates)
    assert found == pytest.approx(s, abs=NANO_BP)


@given(government=proxies, swap=proxies, s=shifts)
def test_a_swap_level_shift_leaves_the_mispricing_unchanged(government, swap, s):
    before = mispricing(government.curve(), swap.curve())
    assert mispricing(government.curve(), swap.shifted(level=s).curve()) == pytest.approx(before, abs=NANO_BP)


@given(levels=st.tuples(shifts, shifts), f=st.floats(0, 0.012))
def test_equal_slopes_give_no_mispricing(levels, f):
    government, swap = (Proxy(level, f).curve() for level in levels)
    assert abs(mispricing(government, swap)) <= NANO_BP


@given(government=proxies, swap=proxies, more=st.floats(1e-4, 0.005))
def test_mispricing_rises_with_the_government_slope_over_the_swap_slope(government, swap, more):
    steeper = government._replace(f=government.f + more)
    assert mispricing(steeper.curve(), swap.curve()) > mispricing(government.curve(), swap.curve())


@given(curve=proxies, years=st.integers(1, 30))
def test_a_par_bond_prices_at_100(curve, years):
    par = curve.curve().par_rate(years)
    assume(par < 0.25)
    assert price_on_curve(annual_flows(par, years), curve.curve()) == pytest.approx(100, abs=1e-11)


@given(
    swap=proxies,
    days=st.integers(40, 9_000),
    coupon=coupons,
    frequency=st.sampled_from([1, 2]),
    z=st.floats(-0.01, 0.05),
)
def test_z_spreads_are_those_of_quantlib(swap, days, coupon, frequency, z):
    bond, clock = Bonds(SETTLE + days, coupon, frequency=frequency), ql.Actual36525()
    nodes = SETTLE + np.array([30, 200, 400, 1_000, 3_000, 9_100])
    times = (nodes - SETTLE).astype(int) / 365.25
    curve = DiscountCurve(times, swap.curve().discount_factor(times))
    flows = cash_flows(bond, SETTLE)
    clean = price_at_z_spread(flows, z, curve) - accrued(bond, SETTLE)
    assume(clean[0] > 1)
    dates = [ql_date(SETTLE), *map(ql_date, nodes)]
    theirs = ql.DiscountCurve(dates, [1.0, *map(float, curve.discount_factors)], clock)
    priced = ql.BondPrice(float(clean[0]), ql.BondPrice.Clean)
    ql.Settings.instance().evaluationDate = ql_date(SETTLE)
    schedule = ql.Schedule(
        ql_date(add_months(SETTLE + days, -12 * 40)),
        ql_date(SETTLE + days),
        ql.Period(12 // frequency, ql.Months),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        bool(is_month_end(SETTLE + days)),
    )
    same = ql.FixedRateBond(0, 100.0, schedule, [coupon], ql.ActualActual(ql.ActualActual.ISMA, schedule))
    found = ql.BondFunctions.zSpread(
        same, priced, theirs, clock, ql.Compounded, ql.Annual, ql_date(SETTLE), 1e-13, 1_000, 0.01
    )
    assert z_spread(flows, clean + accrued(bond, SETTLE), curve) == pytest.approx(found, abs=1e-11)


@given(swap=proxies, years=st.integers(1, 30))
def test_a_par_bond_on_the_swap_curve_has_no_spread_of_any_kind(swap, years):
    curve = swap.curve()
    par = curve.par_rate(years)
    assume(0 <= par < 0.25)
    flows = annual_flows(par, years)
    assert abs(par_asset_swap_spread(flows, 100.0, curve)) < 1e-13
    assert abs(matched_maturity_swap_spread(par, years, curve)) < 1e-13


@given(swap=proxies, s=st.floats(0, 0.02), coupon=coupons, years=st.integers(1, 30))
def test_a_par_asset_swap_pays_what_the_bond_is_cheap_by(swap, s, coupon, years):
    """Cheap and dear by the same amount have spreads of opposite sign: payer and receiver are each other's opposite."""
    curve, flows = swap.curve(), annual_flows(coupon, years)
    worth = price_on_curve(flows, curve)
    assume(worth[0] > 30)
    cheap, dear = (par_asset_swap_spread(flows, worth + sign * 100 * s, curve) for sign in (-1, 1))
    assert cheap == pytest.approx(-dear, abs=1e-14)
    worth_of_floating = annuity(curve, years, per_year=2) * 365.25 / 360
    assert cheap * worth_of_floating == pytest.approx(s, abs=1e-13)


def test_coupon_adjustment_finds_a_planted_coupon_effect():
    rng = np.random.Generator(np.random.Philox(5))
    years, rates = rng.uniform(10, 30, 40), rng.uniform(0, 0.06, 40)
    curve = 1e-4 * (20 - 3 * years + 0.08 * years**2)
    found = coupon_adjustment(curve - 0.004 * rates, years, rates)
    assert found.beta == pytest.approx(-0.004, abs=1e-12)
    assert found.adjustment == pytest.approx(0.004 * (rates - rates.mean()), abs=1e-13)
    assert found.curve_fit == pytest.approx(curve - 0.004 * rates.mean(), abs=1e-13)
    assert np.abs(found.residual).max() < 1e-14


def test_a_government_curve_shaped_like_the_swap_curve_needs_no_coupon_adjustment():
    swap = Proxy(0.01, 0.006)
    bonds = Bonds(SETTLE + np.arange(3_700, 10_900, 600), np.tile([0.01, 0.055, 0.03], 4), frequency=1)
    flows = cash_flows(bonds, SETTLE)
    z = z_spread(flows, price_on_curve(flows, swap.shifted(level=0.004).curve()), swap.curve())
    found = coupon_adjustment(z, flows.times[flows.offsets[1:] - 1], bonds.coupon)
    assert np.abs(found.adjustment).max() < NANO_BP


FLOWS = annual_flows([LOW_COUPON, HIGH_COUPON])
CURVE = Proxy(0.01, 0.005).curve()


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: z_spread(FLOWS, [90, -90], CURVE),
            r"dirty\[1\] is -90.0, but must be > 0; drop bonds",
        ),
        (lambda: z_spread(FLOWS, [90, np.nan], CURVE), r"dirty\[1\] is nan, but must be > 0"),
        (lambda: z_spread(FLOWS, [90, 90, 90], CURVE), r"dirty has shape \(3,\) for the flows of 2 bonds"),
        (
            lambda: z_spread(FLOWS, 90, DiscountCurve([1], [0.9])),
            r"times\[1\] is 2.0, but must not be beyond",
        ),
        (lambda: price_at_z_spread(FLOWS, [0.01, 35], CURVE), r"z\[1\] is 35.0, .* divide percentages by 100"),
        (lambda: price_at_z_spread(FLOWS, np.nan, CURVE), r"z\[0\] is nan, but must be a number"),
        (lambda: matched_maturity_swap_spread(3.0, 10, CURVE), "yields is 3.0, .* divide percentages by 100"),
        (lambda: matched_maturity_swap_spread(0.03, -1, CURVE), "times is -1.0, but must be >= 0"),
        (lambda: par_asset_swap_spread(FLOWS, 0, CURVE), r"dirty\[0\] is 0.0, but must be > 0"),
        (lambda: coupon_adjustment([0.001] * 6, range(6), [0.03] * 6), "the coupons of 6 bonds cannot be told from"),
        (lambda: coupon_adjustment([0.001] * 4, range(4), [0.01, 0.03, 0.01, 0.02]), "the coupons of 4 bonds cannot"),
        (lambda: coupon_adjustment([0.001] * 6, range(6), [0.03] * 5), r"coupons \(5,\) must be one a bond"),
    ],
)
def test_bad_input_is_refused_with_the_row(ask, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ask()


def test_non_positive_discount_factors_are_refused():
    class Broken:
        def discount_factor(self, times):
            return 1 - 0.1 * times

    with pytest.raises(ConfigError, match=r"discount factors\[9\] is 0.0, but must be > 0; look at the quotes"):
        z_spread(FLOWS, 90, Broken())


def test_german_bonds_of_2008_have_small_spreads_over_the_euro_areas_best_rated_curve(recorded_data):
    """A sanity check on real prices; the anchor is the ECB's curve of AAA governments, as no swap curve is at hand."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/bonds/eur_govbonds_snapshot.parquet")
    table = table[(table["country"] == "GERMANY") & table["maturity"].between("2009-02-15", "2037-12-31")]
    curves = pandas.read_parquet(recorded_data / "rates/curves/eur_usd_gbp_curves_fx_1999_2024.parquet")
    day = curves[(curves["CURRENCY"] == "EUR") & (curves["DATE"] == "2008-01-30")].sort_values("MONTHS")
    curve = DiscountCurve.from_zero_rates(
        day["MONTHS"] / 12, day["VALUE"], compounding="continuous", interpolation="linear zero"
    )
    bonds = Bonds(table["maturity"].to_numpy("datetime64[D]"), table["coupon"], frequency=1)
    settle = "2008-02-01"
    flows = cash_flows(bonds, settle)
    dirty = table["clean_price"].to_numpy() + accrued(bonds, settle)
    z = z_spread(flows, dirty, curve)
    years = flows.times[flows.offsets[1:] - 1]
    swap_spread = matched_maturity_swap_spread(street_yield(bonds, settle, dirty=dirty), years, curve)
    asset_swap = par_asset_swap_spread(flows, dirty, curve)
    for spread in (z, swap_spread, asset_swap):
        assert np.abs(spread).max() < 40e-4
        assert np.abs(np.median(spread)) < 15e-4
