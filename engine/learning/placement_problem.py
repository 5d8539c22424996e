"""The placement problem: a parent order, a period cut into steps, and what each placement costs and may fill.

One parent of ``lots`` lots has ``steps`` steps. In each step it chooses a placement: wait, or a size on a level of the
book. The placement fills as a whole or not at all, and what it costs is counted in half-spreads of the parent's value:

1. with q the filled part of the parent, ``q spread_cost + impact q^2``;
2. ``drift alpha e + risk e^2``, e the exposure at the start of the step: the part of the parent that remains (arrival),
   or that less the part of the market's volume that remains (vwap: slippage against the market's own average);
3. a finish after t of T steps ``early ((T - t) / T)^2``; a part x left at the end ``leftover[0] x + leftover[1] x^2``.

``step`` is the only arithmetic of this in the project: environments, the dynamic programme and scores of replayed
episodes all call it or ``step_cost``. Source of the solvable case: docs/placement.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled, compiled_bare
from engine.errors import ConfigError

WAIT, DEEPER, NEAR, AGGRESSIVE = 0, 1, 2, 3
ARRIVAL, VWAP = 0, 1
COMMON, PER_PLACEMENT = 4, 3  # inputs of a network

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Problem(NamedTuple):
    """What kernels read: T steps, p placements, a states of alpha. A batch has one more axis in front of every field.

    Build one with ``make_problem``, which checks it; a tuple of arrays, so that kernels take it as it is.
    """

    lots: int  # of the parent
    steps: int  # T
    level: Ints  # [p] WAIT, DEEPER, NEAR or AGGRESSIVE
    size: Ints  # [p] lots; 0 to wait
    spread_cost: Floats  # [p] half-spreads for the whole parent; negative earns
    impact: Floats  # [p] half-spreads, times the square of the filled part
    fill: Floats  # [T, p, a] probability that the listed size fills in the step
    alpha: Floats  # [a] expected move against the parent, -1 ... 1
    alpha_start: Floats  # [a] probabilities
    alpha_move: Floats  # [a, a] probabilities of the next state (columns) by state
    volume: Floats  # [T] part of the period's market volume, summing to 1
    elapsed: Floats  # [T + 1] part of it before the step
    after: Floats  # [T, a] expected cost of the exposure after a finish in the step; 0 for ARRIVAL
    drift: float  # half-spreads that alpha = 1 adds to the price in a step
    risk: float  # half-spreads for a step of exposure 1: variance of a step's return times the aversion to it
    leftover: Floats  # [2] half-spreads, for a part x left at the end: x and x^2
    early: float  # half-spreads
    pov: float  # the parent as a part of the period's market volume
    objective: int  # ARRIVAL or VWAP


def make_problem(
    *,
    lots: int,
    level: ArrayLike,
    size: ArrayLike,
    spread_cost: ArrayLike,
    impact: ArrayLike,
    fill: ArrayLike,
    alpha: ArrayLike,
    alpha_start: ArrayLike,
    alpha_move: ArrayLike,
    volume: ArrayLike,
    drift: float,
    leftover: ArrayLike,
    early: float,
    pov: float,
    objective: int,
    risk: float = 0.0,
) -> Problem:
    """A checked problem, with ``steps``, ``elapsed`` and ``after`` worked out; ``fill`` may leave out the steps' axis.

    Raises
    ------
    ConfigError
        If shapes disagree, a probability is outside 0 ... 1, or probabilities or volumes do not add up to 1.
    """
    shares = _floats(volume)
    steps, p, a = len(shares), len(_floats(size)), len(_floats(alpha))
    problem = Problem(
        lots=int(lots),
        steps=steps,
        level=np.array(level, np.int64),
        size=np.array(size, np.int64),
        spread_cost=_floats(spread_cost),
        impact=_floats(impact),
        fill=np.array(np.broadcast_to(_floats(fill), (steps, p, a))),
        alpha=_floats(alpha),
        alpha_start=_floats(alpha_start),
        alpha_move=_floats(alpha_move),
        volume=shares,
        elapsed=np.concatenate([[0.0], np.cumsum(shares)[:-1], [1.0]]),
        after=np.zeros((steps, a)),
        drift=float(drift),
        risk=float(risk),
        leftover=_floats(leftover),
        early=float(early),
        pov=float(pov),
        objective=int(objective),
    )
    check(problem)
    return problem._replace(after=_after(problem))


def test_problem(pov: float) -> Problem:
    """The solvable problem: 20 lots, 40 steps, 3 states of alpha, 8 placements in the order of docs/placement.md.

    ``pov`` is the parent as a part of the market's volume: 0.05, 0.10 and 0.20 are the cases that are graded.
    """
    level = np.array([WAIT, NEAR, NEAR, DEEPER, DEEPER, AGGRESSIVE, AGGRESSIVE, AGGRESSIVE])
    size = np.array([0, 1, 2, 1, 2, 1, 2, 4])
    alpha = np.array([-1.0, 0.0, 1.0])
    touched = np.array([0.0, 0.18, 0.45, 0.0])[level] * np.exp(-0.25 * (size - 1))
    passive = np.minimum(touched[:, None] * (0.1 / pov) ** 0.3 * (1 - 0.35 * alpha), 0.95)
    return make_problem(
        lots=20,
        level=level,
        size=size,
        spread_cost=np.array([0.0, -0.9, -0.4, 1.0])[level],
        impact=np.array([0.0, 2.0, 2.0, 8.0])[level],
        fill=np.where((level == AGGRESSIVE)[:, None], 1.0, passive),
        alpha=alpha,
        alpha_start=np.full(3, 1 / 3),
        alpha_move=np.where(np.eye(3) > 0, 0.85, 0.075),
        volume=np.full(40, 1 / 40),
        drift=0.05,
        leftover=[2.0, 8.0],
        early=1.0,
        pov=pov,
        objective=ARRIVAL,
    )


def with_objective(problem: Problem, objective: int) -> Problem:
    """The same market and penalties, judged by ARRIVAL or VWAP.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    changed = problem._replace(objective=objective)
    check(changed)
    return changed._replace(after=_after(changed))


def stack(problems: Sequence[Problem]) -> Problem:
    """A batch: every field gets the problems' axis in front.

    Raises
    ------
    ConfigError
        If there is none, or they differ in steps, placements or states of alpha.
    """
    if not problems:
        raise ConfigError("a batch needs at least one problem; there is none")
    for i, one in enumerate(problems):
        if one.fill.shape != problems[0].fill.shape:
            raise ConfigError(
                f"problem {i} has (steps, placements, alphas) {one.fill.shape}, the first {problems[0].fill.shape}; "
                "batch only problems of one shape"
            )
    fields: list[Any] = [np.stack([np.asarray(value) for value in values]) for values in zip(*problems, strict=True)]
    return Problem(*fields)


@compiled
def nth(batch: Any, i: Any) -> Any:
    """Problem ``i`` of a batch, in kernels and outside."""
    return Problem(
        batch.lots[i],
        batch.steps[i],
        batch.level[i],
        batch.size[i],
        batch.spread_cost[i],
        batch.impact[i],
        batch.fill[i],
        batch.alpha[i],
        batch.alpha_start[i],
        batch.alpha_move[i],
        batch.volume[i],
        batch.elapsed[i],
        batch.after[i],
        batch.drift[i],
        batch.risk[i],
        batch.leftover[i],
        batch.early[i],
        batch.pov[i],
        batch.objective[i],
    )


@compiled_bare
def step(problem, t, remaining, alpha, action, fill_draw, move_draw):
    """(reward, remaining, alpha, is_done) after ``action`` in step ``t``, with two uniform draws in [0, 1).

    ``remaining`` is in lots, ``alpha`` an index; the next step is ``t + 1``.
    """
    filled = 0
    if fill_draw < problem.fill[t, action, alpha]:
        filled = min(problem.size[action], remaining)
    left = remaining - filled
    reward = -step_cost(problem, t, remaining, alpha, action, filled)
    return reward, left, pick(problem.alpha_move[alpha], move_draw), left == 0 or t + 1 == problem.steps


@compiled_bare
def step_cost(problem, t, remaining, alpha, action, filled):
    """Half-spreads of step ``t`` when ``filled`` lots of ``action`` trade in it, the penalties of an end included."""
    lots = problem.lots
    part = filled / lots
    cost = part * problem.spread_cost[action] + problem.impact[action] * part * part
    exposure = remaining / lots
    if problem.objective == VWAP:
        exposure -= 1.0 - problem.elapsed[t]
    cost += problem.drift * problem.alpha[alpha] * exposure + problem.risk * exposure * exposure
    left = (remaining - filled) / lots
    if remaining == filled:
        spared = (problem.steps - t - 1) / problem.steps
        cost += problem.early * spared * spared + problem.after[t, alpha]
    elif t + 1 == problem.steps:
        cost += problem.leftover[0] * left + problem.leftover[1] * left * left
    return cost


@compiled_bare
def pick(probabilities, draw):
    """The index that a uniform draw in [0, 1) falls on."""
    passed = 0.0
    for i in range(probabilities.size - 1):
        passed += probabilities[i]
        if draw < passed:
            return i
    return probabilities.size - 1


@compiled_bare
def inputs(problem, t, remaining, alpha, common, per_placement):
    """Write a network's inputs: ``common``, float32[4], and ``per_placement``, float32[p, 3].

    An input vector is the one after the other. Of each placement: its spread cost, fill probability and size as a part
    of the parent. ``t`` may be T, when all is over.
    """
    common_inputs(problem, t, remaining, alpha, common)
    last = min(t, problem.steps - 1)
    for p in range(problem.size.size):
        per_placement[p, 0] = problem.spread_cost[p]
        per_placement[p, 1] = problem.fill[last, p, alpha]
        per_placement[p, 2] = problem.size[p] / problem.lots


@compiled_bare
def common_inputs(problem, t, remaining, alpha, common):
    """Write what all placements share: pov, progress (volume elapsed less part traded), elapsed and alpha."""
    elapsed = problem.elapsed[t]
    common[0] = problem.pov
    common[1] = elapsed - (1.0 - remaining / problem.lots)
    common[2] = elapsed
    common[3] = problem.alpha[alpha]


def check(problem: Problem) -> None:
    """Refuse what no kernel could make sense of (one problem, not a batch).

    Raises
    ------
    ConfigError
        One sentence: which field, its value, what it must be.
    """
    p, a = len(problem.size), len(problem.alpha)
    shapes = {"level": (p,), "spread_cost": (p,), "impact": (p,), "alpha_start": (a,), "alpha_move": (a, a)}
    shapes |= {"leftover": (2,)}
    for name, shape in shapes.items():
        _must(
            getattr(problem, name).shape == shape, f"{name} has shape {getattr(problem, name).shape}, but needs {shape}"
        )
    for name, value in problem._asdict().items():
        _must(bool(np.isfinite(value).all()), f"{name} holds a value that is not finite")
    _must(problem.lots > 0, f"lots is {problem.lots}, but must be > 0")
    _must(0 < problem.pov <= 1, f"pov is {problem.pov}, but must be above 0 and at most 1")
    _must(
        problem.objective in (ARRIVAL, VWAP), f"objective is {problem.objective}, but must be 0 (arrival) or 1 (vwap)"
    )
    _must(
        bool(((problem.size == 0) == (problem.level == WAIT)).all()), "size must be 0 where level is 0 (wait), else > 0"
    )
    _must(bool((problem.size >= 0).all()), f"size holds {problem.size.min()}, but must be >= 0")
    _must(bool((problem.fill[:, problem.size == 0] == 0).all()), "fill must be 0 where nothing is placed (size 0)")
    for name in ("fill", "alpha_start", "alpha_move", "volume"):
        values = getattr(problem, name)
        _must(bool(((values >= 0) & (values <= 1)).all()), f"{name} must lie in 0 ... 1")
    for name in ("alpha_start", "alpha_move", "volume"):
        sums = np.atleast_1d(getattr(problem, name).sum(axis=-1))
        _must(bool((abs(sums - 1) < 1e-9).all()), f"{name} adds up to {sums[np.argmax(abs(sums - 1))]}, but must to 1")


def _must(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(f"placement problem: {message}")


def _floats(values: ArrayLike) -> Floats:
    return np.array(values, np.float64)


def _after(problem: Problem) -> Floats:
    """Expected cost of what the market still trades after our finish: a vwap is not known before its period ends."""
    after = np.zeros((problem.steps, len(problem.alpha)))
    if problem.objective == ARRIVAL:
        return after
    for t in range(problem.steps - 2, -1, -1):
        exposure = -(1 - problem.elapsed[t + 1])
        cost = problem.drift * problem.alpha * exposure + problem.risk * exposure**2
        after[t] = problem.alpha_move @ (cost + after[t + 1])
    return after
