"""Results of a made-up training: networks of random hidden units, fitted to the exact values of ever more states.

No learner is needed to test what is shown of one: such a network has the shape of a trained one, is close to the
optimum where it saw many states, and says nothing sensible where it saw few.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.learning.exact_policy import exact_cost, fixed_rules, greedy, grid_inputs, solve, visits
from engine.learning.placement_problem import Problem, stack, with_objective
from engine.learning.placement_problem import test_problem as solvable
from engine.learning.policy_style import style
from engine.learning.policy_surfaces import network_values
from engine.learning.vwap_results import Kept, Learned, Run, VwapResults
from engine.q_network import Weights

HIDDEN = 50
EPISODES = np.array([100, 1_000, 5_000, 20_000])


def rng(*key: int) -> np.random.Generator:
    return np.random.Generator(
        np.random.Philox(key=np.array([sum(k * 1_000**i for i, k in enumerate(key)), 7], np.uint64))
    )


def fitted(problem: Problem, seed: int, n: int) -> Weights:
    """A network through the values of ``n`` states drawn from those that matter."""
    draw = rng(seed, n)
    best = solve(problem)
    x, q = grid_inputs(problem)[:, 1:], -best.value[:, 1:]
    met = visits(problem, best.action)[:-1, 1:] + 0.02
    states = draw.choice(met.size, size=n, p=(met / met.sum()).ravel())
    w1 = draw.normal(size=(HIDDEN, x.shape[-1])) * np.array([1, 3, 3, 0.5, 0.5, 2, 6])
    b1 = draw.normal(size=HIDDEN)
    rows = x.reshape(-1, *x.shape[3:])[states].reshape(-1, x.shape[-1])
    hidden = np.column_stack([np.maximum(rows @ w1.T + b1, 0), np.ones(len(rows))])
    ridge = hidden.T @ hidden + 1e-3 * np.eye(HIDDEN + 1)
    out = np.linalg.solve(ridge, hidden.T @ q.reshape(-1, q.shape[-1])[states].ravel())
    return Weights(*(np.ascontiguousarray(one, np.float32) for one in (w1, b1, out[:-1], out[-1:])))


def small_training(povs: tuple[float, ...] = (0.05, 0.2), seeds: int = 2, objectives: tuple[int, ...] = (0,)) -> Kept:
    """Runs of the solvable problem: each target, objective and seed."""
    rows, problems, runs = [], [], []
    for pov in povs:
        for objective in objectives:
            problem = with_objective(solvable(pov), objective)
            name: Literal["arrival", "vwap"] = "vwap" if objective else "arrival"
            for seed in range(seeds):
                row, run = _run(problem, pov, name, seed)
                rows.append(row)
                runs.append(run)
                problems.append(problem)
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    results = VwapResults(
        name="made-up training", is_synthetic=True, device="cpu, 1 thread", settings={"batch": 64}, runs=runs
    )
    return Kept(results, stack(problems), Learned(**arrays))


def _run(
    problem: Problem, pov: float, objective: Literal["arrival", "vwap"], seed: int
) -> tuple[dict[str, NDArray], Run]:
    networks = [fitted(problem, seed, n) for n in EPISODES // 20]
    policies = [greedy(network_values(problem, one)) for one in networks]
    styles = [style(problem, one) for one in policies]
    rules = {name: exact_cost(problem, action) for name, action in fixed_rules(problem).items()}
    best = min(rules, key=lambda name: rules[name])
    met = visits(problem, policies[-1])[:-1].sum(axis=2)
    row = dict(zip(Weights._fields, networks[-1], strict=True))
    row |= {f"snapshot_{name}": np.stack([getattr(one, name) for one in networks]) for name in Weights._fields}
    row |= {
        "visited": (20_000 * met).astype(np.int64),
        "episodes": EPISODES,
        "snapshot_episodes": EPISODES,
        "reward": np.array([-one.cost for one in styles]),
        "aggressive": np.array([one.aggressive for one in styles]),
        "completed": np.array([one.completed for one in styles]),
        "placed": np.array([np.bincount(one.ravel(), minlength=len(problem.size)) / one.size for one in policies]),
    }
    run = Run(
        ticker="test problem", pov=pov, objective=objective, seed=seed, episodes=20_000, seconds=1.0,
        cost=styles[-1].cost, optimum=solve(problem).cost, twap=rules["twap"], best_rule=rules[best],
        best_rule_name=best,
    )  # fmt: skip
    return row, run
