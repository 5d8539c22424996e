"""What the placement environment does in a second: ``python -m benchmarks.placement_env``, with ``--json FILE``.

On the solvable problem, POV 10 %, and networks of 50 hidden units drawn at random:

1. decisions with the network choosing in the kernel, 4,096 parents of one ticker and 16 of each of 700;
2. the same with two processes at once, which is what the goal of 5 M/s on two cores means;
3. decisions at random, which is the environment alone; steps with actions from outside; the vector environment's steps;
4. the dynamic programme: one solution.

Rates are of processor time, the best of five rounds, for others may use the machine; beside them those of the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forest import machine
from engine.learning.exact_policy import solve
from engine.learning.gym_env import PlacementVector
from engine.learning.placement_env import PlacementEnv
from engine.learning.placement_problem import stack, test_problem
from engine.q_network import Weights

ROUNDS, PARENTS, DECISIONS, TICKERS = 5, 4096, 200, 700


def main() -> None:
    """Measure, print, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placement_env", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "load": round(os.getloadavg()[0], 2)}
    found["one ticker, network"] = chosen(1, PARENTS)
    found["700 tickers, network"] = chosen(TICKERS, 16)
    with ProcessPoolExecutor(2) as pool:
        both = list(pool.map(chosen, (1, 1), (PARENTS, PARENTS)))
    found["two processes, network"] = {name: sum(one[name] for one in both) for name in both[0]}
    found["one ticker, at random"] = chosen(1, PARENTS, explore=1.0)
    found["one ticker, actions from outside"] = given()
    found["vector environment"] = vector()
    problem = test_problem(0.10)
    found["solution, ms"] = round(1e3 * best(lambda: solve(problem))[0], 2)
    for name, value in found.items():
        print(f"{name:<34}", *(f"{k} {v:.2f}" for k, v in value.items()) if isinstance(value, dict) else (value,))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def chosen(tickers: int, parents: int, explore: float = 0.0) -> dict[str, float]:
    """M decisions/s by the environment itself."""
    env = PlacementEnv(stack([test_problem(0.10)] * tickers), parents, seed=1)
    nets = networks(tickers)
    env.collect(nets, 1)  # compiles
    return rates(lambda: env.collect(nets, DECISIONS, explore=explore), tickers * parents * DECISIONS)


def given() -> dict[str, float]:
    """M decisions/s that come as arrays."""
    env = PlacementEnv(stack([test_problem(0.10)]), PARENTS, seed=1)
    action = np.full((1, PARENTS), 1)
    return rates(lambda: [env.step(action) for _ in range(50)], 50 * PARENTS)


def vector() -> dict[str, float]:
    """M steps/s of Gymnasium's vector environment, observations made."""
    env = PlacementVector(PARENTS, test_problem(0.10))
    env.reset(seed=1)
    action = np.full(PARENTS, 1)
    return rates(lambda: [env.step(action) for _ in range(50)], 50 * PARENTS)


def networks(tickers: int) -> Weights:
    """At random, with inputs scaled so that every placement is chosen somewhere."""
    rng = np.random.Generator(np.random.Philox(10))
    shapes = [(1, 50, 7), (1, 50), (1, 50), (1, 1)]
    w1, *rest = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    w1[:, :, [0, 1, 2, 3, 6]] *= 5
    return Weights(*(np.repeat(array, tickers, axis=0) for array in (w1, *rest)))


def rates(work: Callable[[], object], count: int) -> dict[str, float]:
    """Millions a second of the processor's time, and of the wall's."""
    cpu_s, wall_s = best(work)
    return {"M/s of processor time": count / cpu_s / 1e6, "M/s of wall time": count / wall_s / 1e6}


def best(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor and of the wall, each of its quickest round."""
    work()
    cpu_s, wall_s = [], []
    for _ in range(ROUNDS):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    return min(cpu_s), min(wall_s)


if __name__ == "__main__":
    main()
