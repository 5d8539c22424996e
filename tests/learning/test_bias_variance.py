from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.learning.bias_variance import DEPTHS, LEAVES, TREES, Part, Problem, bias_variance, decompose

seeds = st.integers(0, 10_000)


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def problem(seed: int, n: int, *, known: bool) -> Problem:
    truth = rng(seed).dirichlet(np.ones(3), n)
    y = np.minimum((rng(seed + 1).random((n, 1)) > np.cumsum(truth, axis=1)).sum(axis=1), 2)
    x = np.log(truth)
    return Problem(x, y, x, y, 1, truth if known else None)


@given(seed=seeds, draws=st.integers(2, 6))
def test_the_parts_of_an_unknown_truth_add_up_to_the_score_exactly(seed: int, draws: int) -> None:
    p = rng(seed).dirichlet(np.ones(3), (draws, 30))
    part = decompose("trees", 1, p, problem(seed, 30, known=False))
    assert part.bias + part.variance == pytest.approx(part.brier)
    assert part.noise is None


def test_the_parts_of_a_known_truth_add_up_in_expectation() -> None:
    asked = problem(3, 100_000, known=True)
    p = asked.truth + rng(4).normal(size=(5, 100_000, 3)) * 0.1
    part = decompose("trees", 1, p, asked)
    assert part.variance == pytest.approx(3 * 0.01, rel=0.02)
    assert part.bias == pytest.approx(0, abs=2e-3)
    assert part.bias + part.variance + (part.noise or 0) == pytest.approx(part.brier, abs=5e-3)


def test_the_truth_itself_has_neither_bias_nor_variance() -> None:
    asked = problem(5, 50, known=True)
    part = decompose("trees", 1, np.array([asked.truth] * 3), asked)
    assert part.bias == pytest.approx(0, abs=1e-15)
    assert part.variance == pytest.approx(0, abs=1e-15)


@pytest.mark.slow
def test_more_trees_have_less_variance_and_shallow_ones_more_bias() -> None:
    pytest.importorskip("sklearn", reason="the extra `learn` is not installed")
    parts = bias_variance(problem(7, 1_200, known=True), rng(8), draws=3)
    by: dict[tuple[str, int], Part] = {(part.setting, part.value): part for part in parts}
    assert len(by) == len(TREES) + len(DEPTHS) + len(LEAVES)
    assert by["trees", 120].variance < by["trees", 10].variance < by["trees", 1].variance
    assert by["depth", 12].bias < by["depth", 2].bias
    assert by["leaf", 10].variance > by["leaf", 300].variance
