"""Surfaces and styles of policies: laws of what they are made of, and the optimum of the solvable problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import problems, tables

from engine.learning.exact_policy import exact_cost, greedy, grid_inputs, solve, traded, twap
from engine.learning.placement_problem import AGGRESSIVE, Problem
from engine.learning.placement_problem import test_problem as solvable
from engine.learning.policy_style import fill_sweep, style, with_fill
from engine.learning.policy_surfaces import KINDS, alpha_spread, kind_of, network_values, surfaces
from engine.q_network import Weights, values

seeds = st.integers(0, 10_000)
some = settings(max_examples=settings().max_examples // 4)  # a problem is a hundred draws


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def random_weights(seed: int, inputs: int) -> Weights:
    draw = rng(seed)
    shapes = ((50, inputs), (50,), (50,), (1,))
    return Weights(*(draw.normal(size=shape).astype(np.float32) for shape in shapes))


def random_values(problem: Problem, seed: int) -> np.ndarray:
    shape = (problem.steps, problem.lots + 1, len(problem.alpha), len(problem.size))
    return rng(seed).normal(size=shape)


@pytest.mark.parametrize("inputs", [6, 7])
def test_a_surface_is_made_of_the_very_values_that_an_agent_would_compute(inputs: int) -> None:
    problem, weights = solvable(0.1), random_weights(5, inputs)
    found, x = network_values(problem, weights), grid_inputs(problem)
    for t, left, a in rng(6).integers(0, [40, 21, 3], (200, 3)):
        asked = values(weights, x[t, left, a, 0, 7 - inputs : 4], x[t, left, a, :, 4:])
        assert np.array_equal(found[t, left, a], asked)


@some
@given(problem=problems(), seed=seeds)
def test_what_a_state_is_worth_does_not_change_what_is_preferred_in_it(problem: Problem, seed: int) -> None:
    value = random_values(problem, seed)
    worth = rng(seed + 1).integers(-4, 5, value.shape[:-1])[..., None]
    for one, same in zip(surfaces(problem, value), surfaces(problem, value + worth), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-9)  # NaN, where nothing can rest, equals NaN


@some
@given(problem=problems(), seed=seeds)
def test_a_kind_that_is_always_chosen_is_preferred_and_one_that_never_is_is_not(problem: Problem, seed: int) -> None:
    found = surfaces(problem, random_values(problem, seed))
    np.testing.assert_allclose(found.chosen.sum(axis=-1), 1)
    crossing = found.chosen[..., list(KINDS).index("aggressive")]
    assert (found.aggressive[crossing > 1 - 1e-12] > 0).all()
    assert (found.aggressive[crossing < 1e-12] < 0).all()


@some
@given(problem=problems(), seed=seeds)
def test_alpha_is_spread_as_it_moves(problem: Problem, seed: int) -> None:
    spread = alpha_spread(problem)
    np.testing.assert_allclose(spread.sum(axis=1), 1)
    moved = np.linalg.matrix_power(problem.alpha_move, problem.steps - 1)
    np.testing.assert_allclose(spread[-1], problem.alpha_start @ moved, atol=1e-12)


@some
@given(problem=problems(), data=st.data())
def test_a_style_accounts_for_every_lot_and_for_the_cost(problem: Problem, data: st.DataObject) -> None:
    action = data.draw(tables(problem))
    found = style(problem, action)
    assert found.cost == exact_cost(problem, action)
    np.testing.assert_allclose(-np.diff(found.remaining), found.traded.sum(axis=1), atol=1e-12)
    assert found.completed + found.remaining[-1] == pytest.approx(1)
    assert found.first_two_thirds + found.last_third == pytest.approx(found.by_level[AGGRESSIVE])
    for level in range(4):
        np.testing.assert_allclose(found.traded[:, level] * problem.lots, traded(problem, action, level), atol=1e-12)
    told = np.isfinite(found.chosen).all(axis=1)
    np.testing.assert_allclose(found.chosen[told].sum(axis=1), 1)


def test_twap_is_half_aggressive_all_the_way() -> None:
    found = style(solvable(0.1), twap(solvable(0.1)))
    np.testing.assert_allclose(found.by_alpha, 0.5)
    assert (found.aggressive, found.completed, found.momentum) == pytest.approx((1, 1, 0))
    assert found.opening == pytest.approx(0.1)
    assert found.last_third / found.first_two_thirds == pytest.approx(7 / 13)


@some
@given(problem=problems(), factor=st.floats(0, 1), less=st.floats(0, 1))
def test_passive_orders_that_fill_more_often_are_never_worse_to_have(
    problem: Problem, factor: float, less: float
) -> None:
    """Who fills too often may wait now and then."""
    costs = [solve(with_fill(problem, one)).cost for one in (factor * less, factor, 1.0)]
    assert costs[0] >= costs[1] - 1e-12
    assert costs[1] >= costs[2] - 1e-12


@some
@given(problem=problems())
def test_fills_as_they_were_are_the_problem_as_it_was(problem: Problem) -> None:
    assert np.array_equal(with_fill(problem, 1.0).fill, problem.fill)
    assert np.array_equal(with_fill(problem, 2.0).fill[:, 1], problem.fill[:, 1])  # crossing always fills


@pytest.mark.parametrize("pov", [0.05, 0.1, 0.2])
def test_the_optimum_crosses_late_and_at_the_start_only_where_passive_orders_hardly_fill(pov: float) -> None:
    problem = solvable(pov)
    best = solve(problem)
    found = style(problem, best.action)
    assert found.last_third > 5 * found.first_two_thirds
    assert found.momentum > 0
    hardly, usual = fill_sweep(problem, lambda one: solve(one).action, [0.1, 1.0])
    assert hardly.opening > 0.05 > 100 * usual.opening
    seen = surfaces(problem, -best.value)
    assert (seen.aggressive[:20] < 0).all()
    assert (seen.aggressive[-1, 4:] > 0).all()
    assert np.array_equal(kind_of(problem)[greedy(-best.value)], kind_of(problem)[best.action])
