"""Optimal schedules against their closed forms, and against every other schedule that hypothesis finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.impact import REGIONS, AlmgrenChriss, Market, Parameters
from engine.errors import ConfigError
from engine.impact_path import mean_cost_bp
from engine.optimal_schedule import (
    almgren_chriss_remaining,
    almgren_chriss_urgency,
    linear_cost,
    linear_optimum,
    plan,
)

MARKET = Market(daily_volume=1_000_000, daily_volatility=0.02)
omegas = st.floats(0.42, 0.95)
widths = st.lists(st.floats(0.05, 2), min_size=2, max_size=30)
law = settings(max_examples=60, deadline=None)


def edges_of(widths):
    return np.concatenate([[0.0], np.cumsum(widths)])


# ---- transient impact


@given(omega=omegas, n=st.integers(3, 60))
@law
def test_without_risk_the_optimum_is_symmetric_and_u_shaped(omega, n):
    x = linear_optimum(np.linspace(0, 13, n + 1), omega)
    assert x.sum() == pytest.approx(1)
    assert x == pytest.approx(x[::-1], rel=1e-6)
    half = x[: (n + 1) // 2]
    assert (np.diff(half) < 0).all()


@given(omega=omegas)
@settings(max_examples=20, deadline=None)
def test_the_optimum_is_near_the_closed_form_of_the_continuous_kernel(omega):
    """Trading rate ~ (t (T - t))^-((1 - omega) / 2): Gatheral, Schied and Slynko (2012)."""
    n = 100
    t = np.linspace(0, 1, n + 1)
    fine = np.linspace(0, 1, n * 50 + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    rate = (middle * (1 - middle)) ** ((omega - 1) / 2)
    exact = rate.reshape(n, 50).sum(1) / rate.sum()
    found = linear_optimum(t, omega)
    assert found[5:-5] == pytest.approx(exact[5:-5], rel=0.03)


@given(omega=omegas, w=widths, other=st.lists(st.floats(0, 1), min_size=30, max_size=30))
@law
def test_no_other_schedule_costs_less(omega, w, other):
    t = edges_of(w)
    best = linear_cost(linear_optimum(t, omega), t, omega)
    flat = np.array(w) / np.sum(w)  # VWAP
    twap = np.full(len(w), 1 / len(w))  # as if bins were equal in time
    tried = np.array(other[: len(w)]) + 1e-3
    for x in (flat, twap, tried / tried.sum()):
        assert best <= linear_cost(x, t, omega) * (1 + 1e-12)


@given(omega=omegas, w=widths, risk=st.floats(0, 100))
@law
def test_risk_aversion_trades_earlier_and_never_backwards(omega, w, risk):
    t = edges_of(w)
    calm, averse = (np.cumsum(linear_optimum(t, omega, risk=r)) for r in (risk, 2 * risk))
    assert (np.diff(averse, prepend=0) >= 0).all()

    # what it minimises can only move this way: less remains, squared and added up over time
    def remaining(done):
        left = np.concatenate([[1], 1 - done])
        return ((left[:-1] ** 2 + left[:-1] * left[1:] + left[1:] ** 2) / 3) @ np.diff(t)

    assert remaining(averse) <= remaining(calm) + 1e-9


@pytest.mark.parametrize("region", sorted(REGIONS))
@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.5])
def test_a_plan_costs_no_more_than_constant_participation_and_claims_no_more_than_it_saves(region, part):
    t = np.linspace(0, 13, 79)
    p = REGIONS[region]
    found = plan(p, MARKET, int(part * 1e6), t)
    assert found.cost_bp <= found.flat_cost_bp
    rates = part * np.array(found.weights) * 78
    assert found.cost_bp == pytest.approx(mean_cost_bp(p, rates, t, daily_volatility=0.02))
    optimum, flat = linear_optimum(t, p.omega), np.full(78, 1 / 78)
    linear = 1 - linear_cost(optimum, t, p.omega) / linear_cost(flat, t, p.omega)
    assert 0 < found.gain <= min(linear, 1 - found.cost_bp / found.flat_cost_bp) + 1e-12
    assert found.gain < 0.02  # so much for optimal schedules without a forecast


@given(w=widths)
@law
def test_a_bin_cut_in_two_trades_the_same_in_total(w):
    t = edges_of(w)
    whole = linear_cost(linear_optimum(t, 0.6), t, 0.6)
    finer = np.insert(t, 1, t[1] / 2)
    assert linear_cost(linear_optimum(finer, 0.6), finer, 0.6) <= whole * (1 + 1e-12)
    flat = np.diff(finer) / finer[-1]
    assert linear_cost(flat, finer, 0.6) == pytest.approx(linear_cost(np.diff(t) / t[-1], t, 0.6))


def test_a_linear_impulse_makes_the_plan_the_linear_optimum():
    t = edges_of([0.5, 1.0, 2.0, 1.0, 0.5])
    p = Parameters(alpha=100.0, beta=0.9, gamma=1.0, omega=0.6, delta=0.1)
    assert plan(p, MARKET, 10_000, t).weights == pytest.approx(linear_optimum(t, 0.6))


# ---- Almgren and Chriss


@given(length=st.floats(0.1, 100), at=st.floats(0, 1))
def test_without_risk_aversion_almgren_chriss_is_a_straight_line(length, at):
    assert almgren_chriss_remaining([at * length], length, 0.0)[0] == pytest.approx(1 - at)
    assert almgren_chriss_remaining([at * length], length, 1e-4 / length)[0] == pytest.approx(1 - at, abs=1e-8)


@given(length=st.floats(0.1, 100), urgency=st.floats(0.01, 5), at=st.floats(0, 1))
def test_almgren_chriss_is_a_ratio_of_hyperbolic_sines(length, urgency, at):
    t = at * length
    expected = np.sinh(urgency * (length - t)) / np.sinh(urgency * length)
    assert almgren_chriss_remaining([t], length, urgency)[0] == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_a_long_and_urgent_order_does_not_overflow():
    assert almgren_chriss_remaining([0.0, 1.0, 5_000.0], 5_000.0, 1.0) == pytest.approx([1, np.exp(-1), 0])


@given(aversion=st.floats(1e-5, 1e-2), size=st.integers(100, 500_000))
@settings(max_examples=20, deadline=None)
def test_almgren_chriss_costs_less_than_its_neighbours(aversion, size):
    """Temporary cost plus aversion times variance, minimised in 200 bins, has the closed form's optimum."""
    n, length, units = 200, 13.0, 13
    step = length / n
    model = AlmgrenChriss(exponent=1.0)
    eta = model.temporary * 200 * size * units / MARKET.daily_volume
    variance = aversion * 200**2 / units
    # remaining r: sum (r_k - r_k+1)^2 eta / step + variance r_k^2 step, r_0 = 1, r_n = 0: a tridiagonal system
    off = -eta / step
    matrix = np.diag(np.full(n - 1, 2 * eta / step + variance * step))
    matrix += np.diag(np.full(n - 2, off), 1) + np.diag(np.full(n - 2, off), -1)
    found = np.linalg.solve(matrix, np.concatenate([[-off], np.zeros(n - 2)]))
    urgency = almgren_chriss_urgency(model, MARKET, size, aversion)
    closed = almgren_chriss_remaining(np.linspace(0, length, n + 1)[1:-1], length, urgency)
    assert found == pytest.approx(closed, abs=2e-3 + 0.5 * (urgency * step) ** 2)


# ---- what is refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: linear_optimum([0, 1, 1], 0.5), "bins with market volume"),
        (lambda: linear_optimum([0, 1], 1.2), "0 < omega < 1"),
        (lambda: plan(REGIONS["NA"], MARKET, 10, [0, 1], risk_aversion=-1), "risk aversion >= 0"),
        (lambda: plan(REGIONS["NA"], MARKET, 10**6, [0, 1]), "cannot trade in bins with 76923"),
        (lambda: plan(REGIONS["NA"], Market(daily_volume=0, daily_volatility=0.1), 1, [0, 1]), "daily_volume"),
        (lambda: almgren_chriss_urgency(AlmgrenChriss(), MARKET, 10, 0.1), "exponent is 0.6"),
        (lambda: almgren_chriss_remaining([0], 0.0, 1.0), "length > 0"),
    ],
)
def test_what_has_no_schedule_is_refused_with_a_sentence(call, says):
    with pytest.raises(ConfigError, match=says):
        call()
