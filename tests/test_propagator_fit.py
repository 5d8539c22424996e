"""The kernel's exponent comes back from signs and moves that were made with it."""

import functools

import msgspec
import numpy as np
import pytest

from engine.broker.impact import REGIONS
from engine.errors import ConfigError, TapeError
from engine.propagator_fit import fit_propagator, fit_signs
from feeds.synthetic import MarketParams, Stock, synthetic_market

N, SEEDS = 40_000, 8


@functools.cache
def planted(omega, seed, n=N):
    """Signs of hidden orders of Pareto lengths, five at a time, and the moves of a power-law propagator plus noise."""
    rng = np.random.default_rng(seed)
    lengths, signs = np.minimum(np.ceil(rng.pareto(1.5, n) + 1), 2_000), rng.choice((-1, 1), n)
    left, sign, out = np.zeros(5), np.ones(5, int), np.empty(n, int)
    for k, order in enumerate(rng.integers(0, 5, n)):
        if left[order] == 0:
            left[order], sign[order] = lengths[k], signs[k]
        left[order] -= 1
        out[k] = sign[order]
    lag, a = np.arange(1.0, n + 1), 1 - omega
    steps = np.diff(lag**a - (lag - 1) ** a, prepend=0)
    moves = np.fft.irfft(np.fft.rfft(steps, 2 * n) * np.fft.rfft(out, 2 * n), 2 * n)[:n]
    return out, moves + rng.normal(size=n)


@pytest.mark.parametrize("omega", [0.45, 0.607, 0.675])
def test_a_planted_exponent_is_recovered_within_two_standard_errors(omega):
    fits = [fit_signs(*planted(omega, seed)) for seed in range(SEEDS)]
    off = np.array([(fit.omega - omega) / fit.omega_error for fit in fits])
    assert (np.abs(off) <= 2).mean() >= 0.75  # 8 seeds: 95 % expected, 6 of 8 still likely
    assert np.abs(off).max() < 4
    assert all(fit.omega_error < 0.03 for fit in fits)


def test_the_planted_propagator_comes_back_lag_by_lag():
    fit = fit_signs(*planted(0.6, 1))
    for lag in (1, 2, 3, 5, 10):
        exact = lag**0.4 - (lag - 1) ** 0.4
        assert fit.propagator_bp[lag - 1] == pytest.approx(exact, abs=4 * fit.propagator_error[lag - 1])


def test_without_persistence_response_and_propagator_are_one():
    rng = np.random.default_rng(3)
    signs = rng.choice((-1, 1), N)
    fit = fit_signs(signs, 1.0 * signs + 0.1 * rng.normal(size=N), lags=20)
    assert fit.response_bp == pytest.approx(fit.propagator_bp, abs=0.15)


def test_selling_for_buying_gives_the_same_fit():
    signs, moves = planted(0.6, 2)
    assert fit_signs(-signs, -moves) == fit_signs(signs, moves)


def test_an_exponent_joins_other_parameters_only_where_they_do_not_permit_manipulation():
    fit = fit_signs(*planted(0.6, 1))
    assert fit.parameters(REGIONS["NA"]).omega == fit.omega
    with pytest.raises(ConfigError, match=r"propagator of 40000 transactions: omega .* is below 2 - log2"):
        fit_signs(*planted(0.25, 1)).parameters(msgspec.structs.replace(REGIONS["NA"], gamma=1.0))


def test_a_tape_gives_its_propagator():
    params = MarketParams(stocks=(Stock(symbol="S", daily_volume=1_000_000),))
    tape = synthetic_market(params, seed=1, date="2025-03-03", view="L3")[0]
    fit = fit_propagator(tape, "S", lags=50)
    assert min(fit.propagator_bp) > 0
    assert fit.propagator_bp[0] > fit.propagator_bp[-1]
    assert 0 < fit.omega < 1


@pytest.mark.parametrize(
    ("signs", "lags", "says"),
    [
        (np.ones(10_000), 100, "all transactions of the tape have one side"),
        (np.ones(3_999), 100, "3999 transactions with a side; 100 lags need 4000"),
        (np.where(np.arange(9_000) % 3, 1, -1), 20, "repeat exactly"),
        (np.random.default_rng(1).choice((-1, 1), 9_000), 20, "do not move its mid their own way"),
    ],
)
def test_a_tape_that_cannot_tell_is_refused(signs, lags, says):
    with pytest.raises(TapeError, match=says):
        fit_signs(signs, -signs.astype(float), lags=lags)


def test_too_few_lags_are_refused():
    with pytest.raises(ConfigError, match="at least 10 lags"):
        fit_signs(np.ones(9_000), np.ones(9_000), lags=5)
