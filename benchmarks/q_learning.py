"""What learning to place costs and is worth: ``python -m benchmarks.q_learning``, with ``--json FILE`` for the numbers.

On the solvable test problem at POV 5, 10 and 20 %, 20,000 episodes a ticker, policies graded exactly:

1. the network, five seeds at each POV, all in one batch: half-spreads above the optimum, the part of the way from TWAP
   to it, the margin over the best fixed rule, aggressive lots of the last third over those of the first two;
2. processor seconds a ticker in that batch, and of one ticker alone, one thread;
3. Algorithm 1 as printed, with its updates from the end, and eq 5, on tables; eq 5 with linear values.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from engine.learning.deep_q import TrainSettings, train
from engine.learning.exact_policy import exact_cost, fixed_rules, grade, traded
from engine.learning.linear_q import LinearSettings, train_linear
from engine.learning.placement_env import network_policy
from engine.learning.placement_problem import AGGRESSIVE, Problem, stack, test_problem
from engine.learning.q_learning import TableSettings, train_table
from engine.q_network import Weights

POVS, SEEDS = (0.05, 0.10, 0.20), (1, 2, 3, 4, 5)
LARGEST = 1000.0  # ratio of late to early aggression that is told; beyond it there is next to none early
TABLES = {
    "table, Algorithm 1 as printed": TableSettings(),
    "table, Algorithm 1 from the end": TableSettings(order="end"),
    "table, eq 5 as printed": TableSettings(rule="sarsa"),
    "table, eq 5 from the end": TableSettings(rule="sarsa", order="end"),
}
LINEAR = {"linear, Algorithm 1": LinearSettings(), "linear, eq 5": LinearSettings(rule="sarsa")}


def main() -> None:
    """Measure, print, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.q_learning", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    asked = parser.parse_args()
    settings = TrainSettings(device=asked.device)
    found: dict[str, Any] = {"machine": machine(), "load": round(os.getloadavg()[0], 2), "device": asked.device}
    train(stack([test_problem(0.1)]), TrainSettings(episodes=100, rounds=2, settle=0, steps=10))  # compiles
    found["alone_s"] = round(seconds(lambda: train(stack([test_problem(0.1)]), settings))[0], 1)
    found["network"], found["batch_s"] = network(settings)
    print(f"network: {found['alone_s']} s alone, {found['batch_s']} s a ticker in a batch of {len(POVS) * len(SEEDS)}")
    found["others"] = others()
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def network(settings: TrainSettings) -> tuple[list[dict[str, float]], float]:
    """Grades of every POV and seed, and processor seconds a ticker."""
    cases = [(pov, seed) for pov in POVS for seed in SEEDS]
    batch = stack([test_problem(pov) for pov, _ in cases])
    took, trained = seconds(lambda: train(batch, settings, seeds=[seed for _, seed in cases]))
    rows = []
    for i, (pov, seed) in enumerate(cases):
        problem = test_problem(pov)
        policy = network_policy(problem, Weights(*(array[i] for array in trained.weights)))
        rows.append({"pov": pov, "seed": seed, **graded(problem, policy)})
    for pov in POVS:
        some = [row for row in rows if row["pov"] == pov]
        print(
            f"POV {pov:.0%}: excess {mean(some, 'excess'):.4f} ("
            + ", ".join(f"{row['excess']:.4f}" for row in some)
            + "), "
            f"gap closed {mean(some, 'gap_closed'):.2%} ("
            + ", ".join(f"{row['gap_closed']:.2%}" for row in some)
            + "), "
            f"ahead of the best rule by {min(row['over_best_rule'] for row in some):.3f} or more, "
            f"aggression late / early {min(row['late_over_early'] for row in some):.1f} or more"
        )
    return rows, round(took / len(cases), 1)


def graded(problem: Problem, policy: np.ndarray) -> dict[str, float]:
    got = grade(problem, policy)
    best = min(exact_cost(problem, rule) for rule in fixed_rules(problem).values())
    crossed = traded(problem, policy, AGGRESSIVE)
    third = -(-2 * problem.steps // 3)
    early, late = crossed[:third].sum(), crossed[third:].sum()
    return {
        "cost": round(got.cost, 5),
        "excess": round(got.excess, 5),
        "gap_closed": round(got.gap_closed, 5),
        "over_best_rule": round(best - got.cost, 4),
        "late_over_early": round(min(float(late / max(early, 1e-9)), LARGEST), 1),
    }


def others() -> dict[str, list[float]]:
    """Part of the way closed by tables and linear values, mean of the seeds, at each POV."""
    problems = [test_problem(pov) for pov in POVS for _ in SEEDS]
    seeds, found = [*SEEDS] * len(POVS), {}
    policies: dict[str, Callable[[int], np.ndarray]] = {}
    for name, rule in TABLES.items():
        policies[name] = train_table(stack(problems), rule, seeds=seeds).policy
    for name, rule in LINEAR.items():
        linear = train_linear(stack(problems), rule, seeds=seeds)
        policies[name] = lambda i, linear=linear: linear.policy(problems[i], i)
    for name, policy in policies.items():
        closed = np.array([grade(problem, policy(i)).gap_closed for i, problem in enumerate(problems)])
        found[name] = closed.reshape(len(POVS), -1).mean(axis=1).round(3).tolist()
        print(f"{name:32}" + "".join(f"{one:9.1%}" for one in found[name]))
    return found


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """(processor seconds, result)"""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def mean(rows: list[dict[str, float]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def machine() -> str:
    """Processor, and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {version('torch')}"


if __name__ == "__main__":
    main()
