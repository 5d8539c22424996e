"""What pictures of a forecast are made of: importance, surfaces, and the line through order flow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.learning.importance import permutation_importance
from engine.learning.order_flow_line import order_flow_line
from engine.learning.surfaces import surface

seeds = st.integers(0, 10_000)


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def by_first(x: np.ndarray) -> np.ndarray:
    """Looks at the first signal only."""
    up = 1 / (1 + np.exp(-x[:, 0]))
    return np.column_stack([0.8 * (1 - up), np.full(len(x), 0.2), 0.8 * up])


@given(seed=seeds)
def test_a_signal_that_is_not_looked_at_does_not_matter(seed: int) -> None:
    x = rng(seed).normal(size=(300, 4))
    y = np.where(x[:, 0] + rng(seed + 1).normal(size=300) > 0, 2, 0)
    found = permutation_importance(by_first, x, y, rng(seed), shuffles=3)
    assert found.fall[0] > 0.1
    assert np.abs(found.fall[1:]).max() == 0
    assert np.abs(found.error[1:]).max() == 0


@given(seed=seeds)
def test_a_surface_rises_along_what_the_forecast_rises_with_and_is_level_along_the_rest(seed: int) -> None:
    x = rng(seed).normal(size=(200, 4))
    found = surface(by_first, x, (0, 2), grid=7, rows=20)
    assert (np.diff(found.lean, axis=1) > 0).all()
    assert np.allclose(found.lean, found.lean[0])
    assert np.allclose(found.lean[0], 0.8 * np.tanh(found.first / 2))
    assert np.allclose([found.second[0], found.second[-1]], np.quantile(x[:, 2], [0.02, 0.98]))


@given(seed=seeds, slope=st.floats(-3, 3))
def test_the_line_is_the_one_that_was_put_in(seed: int, slope: float) -> None:
    flow = rng(seed).normal(size=2_000)
    move = 0.5 + slope * flow + rng(seed + 1).normal(size=2_000)
    line = order_flow_line(flow, move, 2, rng(seed), draws=30)
    assert line.slope == pytest.approx(slope, abs=0.15)
    assert line.intercept == pytest.approx(0.5, abs=0.15)
    assert line.r2 == pytest.approx(slope**2 / (slope**2 + 1), abs=0.1)
    assert 0.01 < line.slope_error < 0.06
    assert (np.diff(line.flow) > 0).all()


def test_flow_that_never_changes_gives_a_level_line() -> None:
    line = order_flow_line(np.ones(50), np.arange(50.0), 5, rng(1), draws=5)
    assert (line.slope, line.r2) == (0, 0)
    assert line.intercept == pytest.approx(24.5)
