from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import plain_cost, problems

from engine.errors import ConfigError
from engine.learning import placement_problem as placement
from engine.learning.placement_problem import (
    AGGRESSIVE,
    ARRIVAL,
    DEEPER,
    NEAR,
    VWAP,
    WAIT,
    Problem,
    inputs,
    make_problem,
    nth,
    stack,
    step,
    step_cost,
    with_objective,
)

POVS = (0.05, 0.10, 0.20)
some = settings(max_examples=settings().max_examples // 2)
draws = st.floats(0, 1, exclude_max=True)


@some
@given(problem=problems(), data=st.data())
def test_a_step_is_what_the_docs_say_in_plain_python(problem: Problem, data: st.DataObject) -> None:
    t = data.draw(st.integers(0, problem.steps - 1))
    remaining = data.draw(st.integers(1, problem.lots))
    a = data.draw(st.integers(0, len(problem.alpha) - 1))
    p = data.draw(st.integers(0, len(problem.size) - 1))
    fill, move = data.draw(draws), data.draw(draws)
    reward, left, b, done = step(problem, t, remaining, a, p, fill, move)
    filled = min(int(problem.size[p]), remaining) if fill < problem.fill[t, p, a] else 0
    assert left == remaining - filled
    assert reward == pytest.approx(-plain_cost(problem, t, remaining, a, p, filled), abs=1e-12)
    assert done == (left == 0 or t == problem.steps - 1)
    assert problem.alpha_move[a, b] > 0
    assert problem.alpha_move[a, :b].sum() <= move + 1e-12


@some
@given(problem=problems(risk=False), seed=st.integers(0, 10_000))
def test_drift_is_what_the_price_went_against_every_lot(problem: Problem, seed: int) -> None:
    """Paid over the arrival price, lot by lot, and for a vwap less what the market paid: not step by step."""
    rng = np.random.Generator(np.random.Philox(seed))
    problem = problem._replace(early=0.0, leftover=np.zeros(2), spread_cost=problem.spread_cost * 0)
    problem = problem._replace(impact=problem.impact * 0)
    remaining, price, counted, paid, market = problem.lots, 0.0, 0.0, 0.0, 0.0
    for t in range(problem.steps):
        a = int(rng.integers(len(problem.alpha)))
        filled = int(rng.integers(0, remaining)) if t + 1 < problem.steps else remaining  # no finish before the end
        price += problem.drift * problem.alpha[a]
        counted += step_cost(problem, t, remaining, a, 1, filled)
        paid, market = paid + price * filled / problem.lots, market + price * problem.volume[t]
        remaining -= filled
    assert counted == pytest.approx(paid - (market if problem.objective == VWAP else 0), abs=1e-12)


@pytest.mark.parametrize("pov", POVS)
def test_the_solvable_problem_is_the_papers(pov: float) -> None:
    problem = placement.test_problem(pov)
    assert (problem.lots, problem.steps, problem.objective, problem.risk) == (20, 40, ARRIVAL, 0)
    assert list(zip(problem.level, problem.size, strict=True)) == [
        *[(WAIT, 0), (NEAR, 1), (NEAR, 2), (DEEPER, 1), (DEEPER, 2)],
        *[(AGGRESSIVE, 1), (AGGRESSIVE, 2), (AGGRESSIVE, 4)],
    ]
    for a, alpha in enumerate((-1, 0, 1)):
        for p, (touched, size) in enumerate([(0.45, 1), (0.45, 2), (0.18, 1), (0.18, 2)], start=1):
            chance = touched * math.exp(-0.25 * (size - 1)) * (0.1 / pov) ** 0.3 * (1 - 0.35 * alpha)
            assert problem.fill[7, p, a] == pytest.approx(min(chance, 0.95), abs=1e-15)
        assert problem.fill[7, 5:, a].tolist() == [1, 1, 1]
        assert problem.alpha_move[a].tolist() == [0.85 if b == a else 0.075 for b in range(3)]
    assert step_cost(problem, 39, 20, 2, 0, 0) == pytest.approx(0.05 + 2 + 8)
    assert step_cost(problem, 9, 3, 1, 7, 3) == pytest.approx(0.15 + 8 * 0.15**2 + 0.75**2)
    assert step_cost(problem, 9, 3, 0, 3, 1) == pytest.approx(-0.9 / 20 + 2 / 400 - 0.05 * 3 / 20)


def test_inputs_stand_in_the_networks_order() -> None:
    problem = placement.test_problem(0.10)
    common, each = np.empty(4, np.float32), np.empty((8, 3), np.float32)
    inputs(problem, 10, 15, 2, common, each)  # a quarter of the time, a quarter of the parent
    assert common == pytest.approx([0.10, 0, 0.25, 1], abs=1e-7)
    assert each[4] == pytest.approx([-0.9, problem.fill[10, 4, 2], 0.1])
    inputs(problem, 40, 1, 0, common, each)
    assert common == pytest.approx([0.10, 0.05, 1, -1])


@some
@given(problem=problems())
def test_a_batch_gives_back_its_problems(problem: Problem) -> None:
    batch = stack([problem, problem._replace(pov=0.3)])
    for field, ours, theirs in zip(Problem._fields, nth(batch, 0), problem, strict=True):
        assert np.array_equal(ours, theirs), field
    assert nth(batch, 1).pov == 0.3


def test_a_batch_is_of_one_shape() -> None:
    with pytest.raises(ConfigError, match="needs at least one problem"):
        stack([])
    one = placement.test_problem(0.1)
    other = one._replace(fill=one.fill[:30])
    with pytest.raises(ConfigError, match=r"problem 1 has .* \(30, 8, 3\), the first \(40, 8, 3\)"):
        stack([one, other])


def fields(**changed: Any) -> dict[str, Any]:
    plain = placement.test_problem(0.1)._asdict()
    for name in ("steps", "elapsed", "after"):
        del plain[name]
    return plain | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lots": 0}, "lots is 0, but must be > 0"),
        ({"pov": 1.5}, r"pov is 1.5, but must be above 0 and at most 1"),
        ({"objective": 2}, "objective is 2"),
        ({"fill": np.full((40, 8, 3), 1.2)}, "fill must be 0 where nothing is placed"),
        ({"fill": fields()["fill"] * 3}, r"fill must lie in 0 \.\.\. 1"),
        ({"volume": np.full(40, 0.03)}, r"volume adds up to 1.2\d*, but must to 1"),
        ({"alpha_move": np.eye(3) * 0.5}, "alpha_move adds up to 0.5"),
        ({"level": [0, 1]}, r"level has shape \(2,\), but needs \(8,\)"),
        ({"drift": math.nan}, "drift holds a value that is not finite"),
        ({"size": [1, 1, 2, 1, 2, 1, 2, 4]}, "size must be 0 where level is 0"),
    ],
)
def test_a_bad_problem_is_refused_in_one_sentence(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_problem(**fields(**changed))


def test_another_objective_is_checked_and_undone() -> None:
    problem = placement.test_problem(0.1)
    there_and_back = with_objective(with_objective(problem, VWAP), ARRIVAL)
    assert all(np.array_equal(a, b) for a, b in zip(there_and_back, problem, strict=True))
    with pytest.raises(ConfigError, match="objective is 3"):
        with_objective(problem, 3)
