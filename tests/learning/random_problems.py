"""Small placement problems that are valid by construction, and one's step in plain Python, written from the docs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.learning.placement_problem import AGGRESSIVE, ARRIVAL, NEAR, VWAP, WAIT, Problem, make_problem

parts = st.integers(0, 8).map(lambda eighths: eighths / 8)
costs = st.integers(-8, 8).map(lambda eighths: eighths / 8)


@st.composite
def distributions(draw: st.DrawFn, n: int) -> list[float]:
    weights = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n).filter(any))
    return [weight / sum(weights) for weight in weights]


@st.composite
def problems(draw: st.DrawFn, *, risk: bool = True) -> Problem:
    """Up to 5 lots, 4 steps, 3 states of alpha and 4 placements, of which the first waits and the second crosses."""
    lots, steps, a = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    more = draw(st.lists(st.sampled_from([NEAR, AGGRESSIVE]), max_size=2))
    level = [WAIT, AGGRESSIVE, *more]
    size = [0, 1, *(draw(st.integers(1, 3)) for _ in more)]
    rng = np.random.Generator(np.random.Philox(draw(st.integers(0, 10_000))))  # drawing each would take half the time
    fill = rng.integers(0, 9, (steps, len(level), a)) / 8
    fill[:, 0], fill[:, 1] = 0, 1
    return make_problem(
        lots=lots,
        level=level,
        size=size,
        spread_cost=[0, 1, *(draw(costs) for _ in more)],
        impact=[0, 2, *(draw(parts) for _ in more)],
        fill=fill,
        alpha=[draw(costs) for _ in range(a)],
        alpha_start=draw(distributions(a)),
        alpha_move=[draw(distributions(a)) for _ in range(a)],
        volume=draw(distributions(steps)),
        drift=draw(parts),
        risk=draw(parts) if risk else 0.0,
        leftover=[draw(parts), draw(parts)],
        early=draw(parts),
        pov=0.1,
        objective=draw(st.sampled_from([ARRIVAL, VWAP])),
    )


def tables(problem: Problem) -> st.SearchStrategy[np.ndarray]:
    """Policies at random."""
    shape = (problem.steps, problem.lots + 1, len(problem.alpha))

    def drawn(seed: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(seed)).integers(0, len(problem.size), shape)

    return st.integers(0, 10_000).map(drawn)


def plain_cost(problem: Problem, t: int, remaining: int, a: int, p: int, filled: int) -> float:
    """What a step costs, in plain Python."""
    q, x = filled / problem.lots, (remaining - filled) / problem.lots
    elapsed = float(sum(problem.volume[:t]))
    exposure = remaining / problem.lots - (1 - elapsed if problem.objective == VWAP else 0)
    cost = q * problem.spread_cost[p] + problem.impact[p] * q**2
    cost += problem.drift * problem.alpha[a] * exposure + problem.risk * exposure**2
    if x == 0:
        return cost + problem.early * ((problem.steps - (t + 1)) / problem.steps) ** 2 + plain_after(problem, t, a)
    if t + 1 == problem.steps:
        cost += problem.leftover[0] * x + problem.leftover[1] * x**2
    return float(cost)


def plain_after(problem: Problem, t: int, a: int) -> float:
    """Expected exposure to what the market still trades once we are finished, path by path."""
    if problem.objective == ARRIVAL or t + 1 >= problem.steps:
        return 0.0
    left = 1 - float(sum(problem.volume[: t + 1]))
    total = 0.0
    for b, chance in enumerate(problem.alpha_move[a]):
        if chance:
            cost = -problem.drift * problem.alpha[b] * left + problem.risk * left**2
            total += chance * (cost + plain_after(problem, t + 1, b))
    return total


def plain_optimum(problem: Problem, action: np.ndarray | None = None) -> float:
    """Expected cost of the best policy, or of a table, by recursion over what can happen."""
    known: dict[Any, float] = {}

    def to_go(t: int, remaining: int, a: int) -> float:
        if remaining == 0 or t == problem.steps:
            return 0.0
        if (t, remaining, a) not in known:
            choices = range(len(problem.size)) if action is None else [int(action[t, remaining, a])]
            known[t, remaining, a] = min(outcome(t, remaining, a, p) for p in choices)
        return known[t, remaining, a]

    def outcome(t: int, remaining: int, a: int, p: int) -> float:
        chance, size = float(problem.fill[t, p, a]), min(int(problem.size[p]), remaining)
        total = 0.0
        for happens, filled in ((chance, size), (1 - chance, 0)):
            if happens:
                later = sum(m * to_go(t + 1, remaining - filled, b) for b, m in enumerate(problem.alpha_move[a]) if m)
                total += happens * (plain_cost(problem, t, remaining, a, p, filled) + later)
        return total

    return sum(start * to_go(0, problem.lots, a) for a, start in enumerate(problem.alpha_start) if start)
