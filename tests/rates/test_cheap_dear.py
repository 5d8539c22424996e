"""Cheap and dear three ways: what is fair shows nothing, and only the unadjusted z-spread is fooled by coupons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rates.bonds import Bonds, accrued, cash_flows
from engine.rates.cheap_dear import OUTSIDE, _against_quadratic, agreed, cheap_dear
from engine.rates.gc_repo import GcRepo
from engine.rates.par_basket import EVERY_PLAIN_BOND, BondUniverse
from engine.rates.par_day import DayFit, Issuer, fit_day
from engine.rates.z_spread import price_on_curve

SETTLE = np.datetime64("2018-07-17")
N = 60
BUCKETS = (1.0, 5.0, 10.0, 20.0)


class Rising:
    """Zero rates that start at 2 % and rise, ever more slowly, by ``slope`` in the end."""

    def __init__(self, slope: float, level: float = 0.02) -> None:
        self.slope, self.level = slope, level

    def discount_factor(self, times, /):
        t = np.asarray(times, np.float64)
        return np.exp(-(self.level + self.slope * (1 - np.exp(-t / 10))) * t)


def day_of(government, error: float = 0.0, bond: int = 0, coupons=(0.01, 0.06)) -> DayFit:
    """Bonds that are fair on a curve, with low and high coupons in turn; one of them off by ``error`` of price."""
    maturity = SETTLE + (np.linspace(1.2, 19.8, N) * 365.25).astype(int)
    coupon = np.where(np.arange(N) % 2, *coupons)
    terms = Bonds(maturity, coupon, dated=SETTLE - 3_000)
    clean = price_on_curve(cash_flows(terms, SETTLE), government) - accrued(terms, SETTLE)
    clean[bond] += error
    nothing, dated = np.full(N, np.nan), np.full(N, SETTLE - 3_000)
    isin = np.array([f"B{i}" for i in range(N)])
    never = np.full(N, "NaT", "datetime64[D]")
    universe = BondUniverse(
        isin, np.full(N, "NOTE"), dated, maturity, coupon, clean, np.full(N, 15.0), nothing, dated, never
    )
    short = government.discount_factor(np.array([1 / 365.25, 1 / 12, 0.25, 0.5]))
    repo = GcRepo(*((1 / short - 1) / np.array([1 / 365.25, 1 / 12, 0.25, 0.5])).tolist())
    return fit_day(universe, SETTLE, repo, Issuer(rules=EVERY_PLAIN_BOND))


def test_bonds_on_a_curve_parallel_to_the_swap_curve_are_fair_by_every_measure():
    found = cheap_dear(day_of(Rising(0.01)), Rising(0.01, level=0.023), BUCKETS)
    for measure in found[2:]:
        assert np.abs(measure).max() < 0.15


def test_only_the_unadjusted_z_spread_is_fooled_by_coupons():
    found = cheap_dear(day_of(Rising(0.025)), Rising(0.005), BUCKETS)
    longest = found.bucket == 2
    low, high = (found.z_unadjusted_bp[longest & (np.arange(N) % 2 == odd)].mean() for odd in (1, 0))
    assert abs(low - high) > 3
    low, high = (found.z_adjusted_bp[longest & (np.arange(N) % 2 == odd)].mean() for odd in (1, 0))
    assert abs(low - high) < 0.2
    assert np.abs(found.par_curve_bp).max() < 0.3


@given(bond=st.integers(8, N - 8), error=st.sampled_from([-0.4, 0.4]))
def test_a_bond_below_its_price_is_cheap_by_every_measure(bond, error):
    found = cheap_dear(day_of(Rising(0.01), -error, bond), Rising(0.01), BUCKETS)
    for measure in found[2:]:
        assert np.sign(measure[bond]) == np.sign(error)
        assert np.argmax(np.abs(measure)) == bond


@given(seed=st.integers(0, 10**6), bond=st.integers(0, 11))
def test_left_out_is_the_error_of_a_quadratic_fitted_without_the_bond(seed, bond):
    rng = np.random.default_rng(seed)
    years, spread = np.sort(rng.uniform(1, 10, 12)), rng.normal(0, 1, 12)
    rest = np.arange(12) != bond
    expected = spread[bond] - np.polyval(np.polyfit(years[rest], spread[rest], 2), years[bond])
    assert _against_quadratic(spread[:, None], years, True)[bond, 0] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_without_swaps_or_enough_bonds_there_is_no_z_spread():
    day = day_of(Rising(0.01))
    for found in (cheap_dear(day, None, BUCKETS), cheap_dear(day, Rising(0.01), (1.0, 2.0, 3.0))):
        assert np.isnan(found.z_adjusted_bp).all()
        assert np.isfinite(found.par_curve_bp).all()
    assert (cheap_dear(day, None, (5.0, 10.0)).bucket[[0, -1]] == OUTSIDE).all()


def test_coupons_that_are_all_alike_tell_no_coupon_effect():
    found = cheap_dear(day_of(Rising(0.01), coupons=(0.03, 0.03)), Rising(0.01), BUCKETS)
    assert np.isnan(found.z_adjusted_bp).all()


def test_two_measures_agree_on_the_smaller_of_one_sign():
    found = agreed(np.array([3.0, -3.0, 3.0, np.nan, 0.0]), np.array([2.0, -5.0, -1.0, 1.0, 4.0]))
    assert np.array_equal(found, [2.0, -3.0, 0.0, np.nan, 0.0], equal_nan=True)
