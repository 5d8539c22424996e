"""The five measures: fixed values of the fair straddle, NaN with a reason, errors of overlapping trades, deflation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from engine.errors import ConfigError
from engine.rates.block_bootstrap import block_bootstrap, block_rows, deflated_probability, expected_best
from engine.rates.fair_excess import fair_excess
from engine.rates.risk_measures import MEASURES, max_drawdown, measure_table, risk_measures, rolling_measures

returns = st.lists(st.integers(-1000, 1000), min_size=4, max_size=60).map(lambda x: np.array(x, float))


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def fair_straddles(n: int) -> np.ndarray:
    """Returns, in premiums, of straddles sold at fair value and never hedged, at n evenly spread normal moves."""
    moves = np.abs(ndtri((np.arange(n) + 0.5) / n))
    return 1 - moves / math.sqrt(2 / math.pi)


def test_the_fair_unhedged_straddle_has_the_fixed_values() -> None:
    fair = risk_measures(fair_straddles(400_000))
    assert fair.nonparametric_sharpe == pytest.approx(0.148363, abs=1e-5)
    assert fair.sterling == pytest.approx(0.274870, abs=1e-5)
    assert fair.drawdown_ratio == pytest.approx(0.106184, abs=1e-5)
    assert fair.benchmark == pytest.approx(0.176472, abs=1e-5)
    assert fair.sharpe == pytest.approx(0, abs=1e-5)
    assert fair.reasons == {}


def test_the_benchmark_rewards_a_fair_strangle_which_the_mean_does_not() -> None:
    moves, c = ndtri((np.arange(200_000) + 0.5) / 200_000), ndtri(0.75)
    payoff = np.maximum(np.abs(moves) - c, 0)
    strangle = risk_measures(1 - payoff / payoff.mean())
    assert strangle.mean == pytest.approx(0, abs=1e-9)
    assert strangle.benchmark > 2 * 0.176472


@given(x=returns, scale=st.sampled_from([0.01, 3.0, 1e4]))
def test_measures_are_unitless_and_agree_with_numpy(x, scale) -> None:
    here = risk_measures(x)
    rescaled = risk_measures(scale * x)
    assert rescaled.mean == pytest.approx(scale * here.mean, abs=1e-9 * scale)
    for name in MEASURES:
        assert getattr(rescaled, name) == pytest.approx(getattr(here, name), rel=1e-9, abs=1e-9, nan_ok=True)
        assert math.isnan(getattr(here, name)) == (name in here.reasons)
    quartiles = np.percentile(x, 75) - np.percentile(x, 25)
    if quartiles:
        assert here.nonparametric_sharpe == pytest.approx(np.median(x) / quartiles, rel=1e-12)
    if (x < 0).any():
        assert here.sterling == pytest.approx(np.median(x) / abs(np.median(x[x < 0])), rel=1e-12)
    if not math.isnan(here.drawdown_ratio):
        assert here.drawdown_ratio == pytest.approx(np.median(x) / abs(np.percentile(x, 5)), rel=1e-12)


def test_a_ratio_without_a_value_is_nan_with_a_reason() -> None:
    winner = risk_measures([1.0, 2.0, 3.0])
    assert math.isnan(winner.sterling)
    assert winner.reasons["sterling"] == "there are no losses"
    assert winner.reasons["sortino"] == "0 losses have no standard deviation"
    assert winner.reasons["drawdown_ratio"].startswith("the 5th percentile, 1.1, is no loss")
    assert "no value" in winner.reasons["benchmark"]
    assert winner.sharpe == 2

    nearly = risk_measures(np.r_[np.linspace(0, 10, 95), -0.001 * np.ones(5)])  # the 5th percentile is a hair below 0
    assert math.isnan(nearly.drawdown_ratio)
    assert risk_measures([]).reasons["benchmark"] == "0 trades are too few"
    assert risk_measures([1.0, 1.0]).reasons["sharpe"] == "all returns are equal"


def test_trades_not_taken_are_left_out() -> None:
    x = rng(1).normal(size=100)
    gaps = np.full(130, np.nan)
    gaps[rng(2).permutation(130)[:100]] = x
    assert risk_measures(gaps).trades == 100
    assert np.array_equal(measure_table(gaps[:, None]), measure_table(np.sort(x)[:, None]))


def test_an_infinite_return_is_refused() -> None:
    with pytest.raises(ConfigError, match="is inf, but must be finite; look for a premium of 0"):
        risk_measures([1.0, np.inf])


def test_rolling_measures_look_at_the_years_before_and_never_ahead() -> None:
    known = np.arange("2010-01-01", "2017-01-01", dtype="datetime64[D]")
    x = rng(3).normal(size=(known.size, 2))
    rolled = rolling_measures(known, x, years=5)
    day = int(np.flatnonzero(known == np.datetime64("2016-03-10"))[0])
    window = (known > np.datetime64("2011-03-10")) & (known <= known[day])
    assert np.array_equal(rolled[day], measure_table(x[window]))
    assert np.isnan(rolled[known < np.datetime64("2015-01-01")]).all()
    assert not np.isnan(rolled[known >= np.datetime64("2015-01-01")]).any()
    x[day + 1 :] += 5
    assert np.array_equal(rolling_measures(known, x, years=5)[: day + 1], rolled[: day + 1], equal_nan=True)


@given(x=returns)
def test_the_deepest_drawdown_is_that_of_a_plain_search(x) -> None:
    wealth = np.r_[0.0, np.cumsum(x)]
    falls = [wealth[i] - wealth[j] for j in range(wealth.size) for i in range(j + 1)]
    found = max_drawdown(x)
    assert found.depth == max(falls) == wealth[found.peak] - wealth[found.trough]
    assert found.recovered is None or wealth[found.recovered] >= wealth[found.peak]


def test_blocks_go_around_and_draw_every_trade_as_often() -> None:
    rows = block_rows(100, 50, rng(4))
    assert rows.size == 100
    assert np.array_equal(np.diff(rows[:50]) % 100, np.ones(49))
    counts = np.bincount(np.concatenate([block_rows(100, 50, rng(s)) for s in range(2000)]), minlength=100)
    assert abs(counts / 2000 - 1).max() < 0.15


def test_overlapping_trades_have_larger_errors_than_independent_ones() -> None:
    shocks = rng(5).normal(size=2520 + 20)
    overlapping = np.convolve(shocks, np.ones(21), "valid")[:, None]  # trades share 20 of 21 days
    found = block_bootstrap(overlapping, rng(6), draws=200)
    true_error = 21 / math.sqrt(2520)  # of a mean of moving sums: that of the sum of the shocks
    independent = risk_measures(overlapping[:, 0]).standard_error
    assert found.mean_errors[0] == pytest.approx(true_error, rel=0.35)
    assert found.mean_errors[0] > 3 * independent


def test_rules_are_drawn_in_pairs() -> None:
    x = rng(7).normal(size=(500, 1))
    paired = block_bootstrap(np.hstack([x, x + 0.1]), rng(8), draws=50)
    gap, error = paired.difference(1, 0)
    assert np.allclose(paired.mean_draws[:, 1] - paired.mean_draws[:, 0], 0.1)
    assert error[0] < 0.2 * paired.errors[0, 0]
    assert gap == pytest.approx(paired.measures[1] - paired.measures[0])
    again = block_bootstrap(np.hstack([x, x + 0.1]), rng(8), draws=50)
    assert np.array_equal(again.draws, paired.draws)


@pytest.mark.parametrize("block", [41, 51])
def test_blocks_that_are_too_short_or_too_long_are_refused(block) -> None:
    with pytest.raises(ConfigError, match=rf"block is {block}, but must be from 42 days, .* to half of the 100 rows"):
        block_bootstrap(np.zeros((100, 1)), rng(9), block=block)


def test_the_best_of_many_is_expected_near_what_it_is() -> None:
    for tried in (5, 20, 100):
        best = rng(10).normal(size=(20_000, tried)).max(axis=1).mean()
        assert expected_best(tried) == pytest.approx(best, abs=0.06)
    assert expected_best(1) == 0


def test_deflation_doubts_more_the_more_was_tried() -> None:
    chances = [float(deflated_probability(0.3, 0.1, tried)) for tried in (1, 10, 100, 1000)]
    assert chances[0] == pytest.approx(0.99865, abs=1e-5)
    assert chances == sorted(chances, reverse=True)
    assert math.isnan(deflated_probability(math.nan, 0.1, 10))
    with pytest.raises(ConfigError, match=r"error is 0.0, but must be > 0; give the error of block_bootstrap"):
        deflated_probability(0.3, 0.0, 1)
    with pytest.raises(ConfigError, match="tried is 0, but at least one rule was tried"):
        expected_best(0)


def test_what_a_fair_world_shows_too_is_no_excess() -> None:
    fair = rng(11).normal(0.5, 0.1, (400, 2, 6))
    fair[:, 1, 4] = math.nan  # a ratio that most fair worlds do not have
    found = fair_excess(np.full((2, 6), 0.5), np.full((2, 6), 0.03), fair)
    assert np.nanmax(np.abs(found.excess)) < 0.02
    assert np.isnan(found.excess[1, 4])
    assert found.error[0, 0] == pytest.approx(math.hypot(0.03, 0.1 * math.sqrt(math.pi / 2 / 400)), rel=0.05)
    with pytest.raises(ConfigError, match="199 fair worlds are too few to tell skill from skew; make at least 200"):
        fair_excess(np.zeros((2, 6)), np.ones((2, 6)), fair[:199])
    with pytest.raises(ConfigError, match="do not fit; give the fair ones one world a row"):
        fair_excess(np.zeros((3, 6)), np.ones((3, 6)), fair)
