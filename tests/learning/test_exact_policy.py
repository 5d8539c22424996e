from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import plain_optimum, problems, tables

from engine.errors import ConfigError
from engine.learning import placement_problem as placement
from engine.learning.exact_policy import (
    cost_to_go,
    exact_cost,
    fixed_rules,
    grade,
    greedy,
    grid_inputs,
    solve,
    traded,
    twap,
    visits,
    vwap_schedule,
)
from engine.learning.placement_env import simulate
from engine.learning.placement_problem import AGGRESSIVE, DEEPER, NEAR, VWAP, Problem, step_cost, with_objective

POVS = (0.05, 0.10, 0.20)
some = settings(max_examples=settings().max_examples // 2)  # a problem is a hundred draws


@some
@given(problem=problems())
def test_the_optimum_is_that_of_plain_recursion(problem: Problem) -> None:
    assert solve(problem).cost == pytest.approx(plain_optimum(problem), abs=1e-12)


@some
@given(problem=problems(), data=st.data())
def test_no_policy_costs_less_than_the_optimum(problem: Problem, data: st.DataObject) -> None:
    best = solve(problem).cost
    tried = data.draw(tables(problem))
    assert exact_cost(problem, tried) == pytest.approx(plain_optimum(problem, tried), abs=1e-12)
    assert min(exact_cost(problem, one) for one in [tried, *fixed_rules(problem).values()]) >= best - 1e-12


@some
@given(problem=problems(), data=st.data())
def test_looking_ahead_and_looking_back_count_the_same_cost(problem: Problem, data: st.DataObject) -> None:
    """Half-spreads paid in each state, by how often it is met, are the expected cost: none is lost on the way."""
    action = data.draw(tables(problem))
    met, total = visits(problem, action), 0.0
    for t, remaining, a in np.argwhere(met[:-1, 1:] > 0):
        p = action[t, remaining + 1, a]
        chance, filled = problem.fill[t, p, a], min(problem.size[p], remaining + 1)
        paid = chance * step_cost(problem, t, remaining + 1, a, p, filled)
        total += met[t, remaining + 1, a] * (paid + (1 - chance) * step_cost(problem, t, remaining + 1, a, p, 0))
    assert total == pytest.approx(exact_cost(problem, action), abs=1e-12)


@some
@given(problem=problems(), data=st.data())
def test_every_lot_is_traded_or_left(problem: Problem, data: st.DataObject) -> None:
    action = data.draw(tables(problem))
    met = visits(problem, action)
    left = (met[-1].sum(axis=1) * np.arange(problem.lots + 1)).sum()
    bought = sum(traded(problem, action, level).sum() for level in (DEEPER, NEAR, AGGRESSIVE))
    assert left + bought == pytest.approx(problem.lots)
    running = met[:, 1:].sum(axis=(1, 2))
    assert running[0] == pytest.approx(1)
    assert (np.diff(running) <= 1e-12).all()


@some
@given(problem=problems(risk=False), data=st.data())
def test_vwap_and_arrival_differ_by_the_same_for_every_policy(problem: Problem, data: st.DataObject) -> None:
    """What the market pays does not depend on us, also after our finish. An aversion to risk would tell them apart."""
    one, other = data.draw(tables(problem)), data.draw(tables(problem))
    apart = [
        exact_cost(with_objective(problem, VWAP), each) - exact_cost(with_objective(problem, placement.ARRIVAL), each)
        for each in (one, other)
    ]
    assert apart[0] == pytest.approx(apart[1], abs=1e-12)


@settings(max_examples=15)
@given(problem=problems(), data=st.data())
def test_the_exact_cost_is_the_mean_of_many_episodes(problem: Problem, data: st.DataObject) -> None:
    action = data.draw(tables(problem))
    paid = simulate(problem, action, 20_000, seed=11)
    assert abs(paid.mean() - exact_cost(problem, action)) <= 5 * paid.std() / np.sqrt(len(paid)) + 1e-9


@pytest.mark.parametrize("pov", POVS)
def test_the_solvable_problem_is_solved(pov: float) -> None:
    problem = placement.test_problem(pov)
    found = solve(problem)
    assert exact_cost(problem, found.action) == pytest.approx(found.cost, abs=1e-12)
    paid = simulate(problem, found.action, 200_000, seed=3)
    assert abs(paid.mean() - found.cost) < 4 * paid.std() / np.sqrt(len(paid))
    for name, rule in fixed_rules(problem).items():
        assert exact_cost(problem, rule) > found.cost + 0.1, name
    crossed = traded(problem, found.action, AGGRESSIVE)
    assert crossed[27:].mean() > 5 * crossed[:27].mean()


def test_the_solvable_problems_optimum_is_that_of_plain_recursion() -> None:
    problem = placement.test_problem(0.10)
    assert plain_optimum(problem) == pytest.approx(solve(problem).cost, abs=1e-12)


def test_the_optimum_was_once_computed() -> None:
    costs = [solve(placement.test_problem(pov)).cost for pov in POVS]
    assert costs == pytest.approx([-0.32853848758357, -0.18904702897183, -0.01702040075394], abs=1e-12)


def test_rules_without_chance_have_their_closed_form() -> None:
    problem = placement.test_problem(0.10)  # alpha is symmetric: what it costs and earns cancels
    rules = fixed_rules(problem)
    impact, early = 8 * 20 / 20**2, (20 / 40) ** 2
    assert exact_cost(problem, rules["twap"]) == pytest.approx(1 + impact)
    assert exact_cost(problem, rules["always aggressive 1"]) == pytest.approx(1 + impact + early)
    assert exact_cost(problem, rules["always aggressive 4"]) == pytest.approx(1 + 4 * impact + (35 / 40) ** 2)
    waits = np.zeros_like(rules["twap"])
    assert exact_cost(problem, waits) == pytest.approx(2 + 8)


def test_twap_trades_one_lot_every_two_steps_and_the_schedule_follows_the_volume() -> None:
    problem = placement.test_problem(0.10)
    assert traded(problem, twap(problem), AGGRESSIVE) == pytest.approx([0, 1] * 20)
    volume = np.array([0.5, *[0.0] * 38, 0.5])
    busy = problem._replace(volume=volume, elapsed=np.concatenate([[0], np.cumsum(volume)]))
    crossed = traded(busy, vwap_schedule(busy), AGGRESSIVE)
    assert crossed[:3] == pytest.approx([4, 4, 2])  # four at most in a step
    assert crossed[3:39].sum() == 0


def test_a_grade_measures_from_twap_to_the_optimum() -> None:
    problem = placement.test_problem(0.10)
    best, schedule = grade(problem, solve(problem).action), grade(problem, twap(problem))
    assert (best.excess, best.gap_closed) == pytest.approx((0, 1))
    assert (schedule.excess, schedule.gap_closed) == pytest.approx((schedule.twap - schedule.optimum, 0))


def test_greedy_takes_the_lowest_of_equals() -> None:
    problem = placement.test_problem(0.10)
    assert np.array_equal(greedy(-solve(problem).value)[:, 1:], solve(problem).action[:, 1:])
    assert not greedy(np.zeros((2, 3, 1, 4))).any()


def test_the_grid_has_the_inputs_of_every_state() -> None:
    problem = placement.test_problem(0.10)
    grid = grid_inputs(problem)
    assert grid.shape == (40, 21, 3, 8, 7)
    assert grid[10, 15, 2, 4] == pytest.approx([0.10, 0, 0.25, 1, -0.9, problem.fill[10, 4, 2], 0.1], abs=1e-7)


def test_a_policys_table_must_fit() -> None:
    problem = placement.test_problem(0.10)
    with pytest.raises(ConfigError, match=r"shape \(2, 2\), but needs \(steps, lots \+ 1, alphas\) \(40, 21, 3\)"):
        cost_to_go(problem, np.zeros((2, 2), np.int64))
    with pytest.raises(ConfigError, match=r"names placements 8 \.\.\. 8; there are 0 \.\.\. 7"):
        exact_cost(problem, np.full((40, 21, 3), 8))
    no_cross = problem._replace(level=np.where(problem.level == AGGRESSIVE, NEAR, problem.level))
    with pytest.raises(ConfigError, match="a schedule needs an aggressive placement"):
        twap(no_cross)
