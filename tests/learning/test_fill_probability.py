"""Estimates of fill probabilities against placements whose chances are known."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.fill_table import LEVELS
from engine.learning.fill_probability import (
    Counts,
    ForestSettings,
    axes_of,
    fills_within,
    fit,
    monotone,
    table_of,
    wilson_error,
)
from engine.learning.fill_scores import Blocks, Crossings, score_all
from engine.learning.fill_times import NEVER
from engine.learning.fills_study import within_day
from engine.learning.virtual_orders import Placements
from engine.strategy import SECOND

fits = pytest.mark.skipif(find_spec("sklearn") is None, reason="the extra `learn` is not installed")
HORIZONS = np.array([5.0, 20, 60])
SIZES = np.array([50, 100, 200])
QUICK = ForestSettings(trees=10, depth=8, leaf=50, most_samples=5_000)


def placements(n: int, seed: int, *, leans: float = 2.0) -> Placements:
    """Waits are exponential; their mean grows with size and falls where the imbalance leans to the other side."""
    rng = np.random.Generator(np.random.Philox(seed))
    own, other = (100 * rng.integers(1, 20, n) for _ in range(2))
    imbalance = (own - other) / (own + other)
    level = rng.integers(1, 3, n)
    mean = (60 / level)[:, None] * np.exp(leans * imbalance)[:, None] * SIZES / 100
    waited = (rng.exponential(size=n)[:, None] * mean * SECOND).astype(np.int64)
    ts = np.arange(n) * 5 * SECOND
    done = np.where(waited <= 60 * SECOND, ts[:, None] + waited, NEVER)
    side = np.where(np.arange(n) % 2, 1, -1)
    return Placements(SIZES, ts, level, side, np.full(n, 100), own, other, np.ones(n, np.int64), done)


def chances(some: Placements, leans: float = 2.0) -> np.ndarray:
    mean = (60 / some.level)[:, None] * np.exp(leans * some.imbalance)[:, None] * SIZES / 100
    return 1 - np.exp(-HORIZONS / mean[:, :, None])


@fits
def test_signals_that_say_something_are_worth_their_log_loss_and_none_beats_the_truth() -> None:
    train, test = placements(6_000, 1), placements(3_000, 2)
    axes = axes_of(train, 100.0, HORIZONS)
    fitted = fit(train, axes, settings=QUICK, seed=3)
    told = {name: predict(test) for name, predict in fitted.predict.items()}
    told["truth"] = np.clip(chances(test), 1e-3, 1 - 1e-3)
    blocks = Blocks(test.ts, 60 * SECOND, 200, 5)
    scores = score_all(told, fills_within(test, HORIZONS), test, blocks, LEVELS)
    truth = scores["truth"].log_loss.value
    for name in ("empirical", "logistic", "forest"):
        assert scores[name].gain.value > 3 * scores[name].gain.error
        assert scores[name].log_loss.value > truth - 1e-3
    assert scores["logistic"].log_loss.value < truth + 0.02
    assert scores["one rate"].log_loss.value > scores["no signals"].log_loss.value
    assert scores["logistic"].calibration_error < 0.03


@fits
def test_signals_that_say_nothing_are_worth_nothing() -> None:
    train, test = placements(6_000, 1, leans=0.0), placements(3_000, 2, leans=0.0)
    fitted = fit(train, axes_of(train, 100.0, HORIZONS), settings=QUICK, seed=3)
    told = {name: predict(test) for name, predict in fitted.predict.items()}
    scores = score_all(told, fills_within(test, HORIZONS), test, Blocks(test.ts, 60 * SECOND, 200, 5), LEVELS)
    assert all(scores[name].gain.value < 2 * scores[name].gain.error + 0.002 for name in scores)


@fits
def test_every_table_is_monotone_and_the_empirical_one_near_the_truth() -> None:
    train = placements(6_000, 1)
    axes = axes_of(train, 100.0, HORIZONS)
    fitted = fit(train, axes, settings=QUICK, seed=3)
    for estimator in ("empirical", "logistic", "forest"):
        p = table_of(fitted, estimator, train, every_s=5.0).probability
        assert (np.diff(p, axis=3) <= 1e-12).all()
        assert (np.diff(p, axis=4) >= -1e-12).all()
    table = table_of(fitted, "empirical", train, every_s=5.0)
    for level in (1, 2):
        own = train.some(np.flatnonzero(train.level == level))
        apart = np.abs(table.probability[level - 1, -1, -1] - chances(own).mean(axis=0))
        assert (apart < 4 * table.error[level - 1, -1, -1]).all()


@fits
def test_the_same_seed_gives_the_same_bits() -> None:
    train, test = placements(2_000, 1), placements(200, 2)
    axes = axes_of(train, 100.0, HORIZONS)
    one, two = (fit(train, axes, settings=QUICK, seed=3).predict for _ in range(2))
    assert all(np.array_equal(one[name](test), two[name](test)) for name in one)


@given(
    p=st.lists(st.floats(0, 1), min_size=12, max_size=12).map(lambda values: np.array(values).reshape(1, 3, 4)),
)
def test_monotone_takes_out_every_crossing_and_changes_nothing_that_has_none(p: np.ndarray) -> None:
    found = monotone(p)
    crossings = Crossings.of(found)
    assert crossings.size == crossings.horizon == 0
    assert np.array_equal(monotone(found), found)
    assert found.min() >= p.min()
    assert found.max() <= p.max()


@given(filled=st.integers(0, 50), more=st.integers(0, 50))
def test_wilsons_error_is_that_of_the_closed_form_and_never_nothing(filled: int, more: int) -> None:
    n = filled + more
    error = wilson_error(np.array(filled / max(n, 1)), np.array(float(n)))
    assert 0 < error <= 0.5
    if n:  # the interval's ends solve (p - rate)^2 = p (1 - p) / n
        rate = filled / n
        middle = (rate + 0.5 / n) / (1 + 1 / n)
        for p in (middle - error, middle + error):
            assert (p - rate) ** 2 == pytest.approx(p * (1 - p) / n, abs=1e-12)


def test_counts_of_a_cell_add_up_to_those_of_all() -> None:
    some = placements(500, 1)
    counts = Counts.of(some, axes_of(some, 100.0, HORIZONS))
    assert counts.placed[:, -1, -1].sum() == 500
    assert np.array_equal(counts.filled[:, :-1, :-1].sum(axis=(1, 2)), counts.filled[:, -1, -1])


def test_no_training_order_of_the_only_day_lives_to_see_the_test() -> None:
    some = placements(500, 1)
    train, test = within_day(some, 0.4, 60.0)
    assert train.ts.max() + 60 * SECOND <= test.ts.min()
    assert len(test) == pytest.approx(0.4 * 500, abs=2)


def test_too_short_a_test_says_so() -> None:
    with pytest.raises(ConfigError, match="give no errors; test on longer tapes"):
        Blocks(np.arange(3), 60 * SECOND, 10, 1)
