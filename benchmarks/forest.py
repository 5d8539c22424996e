"""What forecasts cost: ``python -m benchmarks.forest``, with ``--json FILE`` for the numbers.

On ``engine.learning.known_process``, one core, 120 trees:

1. s of processor time to fit scikit-learn's forest to 40,000 samples of 18 signals, as ``ForestSettings`` grows it;
2. µs for one row's calibrated probabilities in our kernel, row after row as the walk asks for them, beside
   scikit-learn's ``predict_proba`` of one row and of many at once;
3. the largest difference of a probability between the two.
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

from engine.learning.dataset import Dataset
from engine.learning.flatten import flatten
from engine.learning.forest import ForestSettings, fit_forest
from engine.learning.known_process import known_process
from engine.learning.labels import band_of, classes

SAMPLES, ROWS, ROUNDS, HORIZON = 40_000, 20_000, 5, 10


def main() -> None:
    """Measure, print, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forest", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    asked = parser.parse_args()
    rng = np.random.Generator(np.random.Philox(1))
    data = Dataset.of([known_process(SAMPLES + ROWS + HORIZON, rng).samples], HORIZON)
    y = classes(data.change, data.spread, band_of("thirds", data.change))
    found: dict[str, Any] = {"machine": machine(), "load": round(os.getloadavg()[0], 2), "samples": SAMPLES}
    for name, settings in (
        ("as by default", ForestSettings()),
        ("whole samples", ForestSettings(sample=1.0)),
        ("deep", ForestSettings(depth=12, leaf=20)),
    ):
        found[name] = measured(data.x, y, settings)
        report(name, found[name])
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(x: np.ndarray, y: np.ndarray, settings: ForestSettings) -> dict[str, float]:
    """The numbers of one forest."""
    began = time.process_time()
    forest = fit_forest(x[:SAMPLES], y[:SAMPLES], settings, seed=1)
    fit_s = time.process_time() - began
    trees, rows = flatten(forest), np.ascontiguousarray(x[SAMPLES:])
    trees.probabilities(rows[:10])  # compiles
    some = rows[:50].astype(np.float32)
    return {
        "fit_s": round(fit_s, 2),
        "nodes": len(trees.nodes),
        "mean_depth": round(float(trees.depths.mean()), 1),
        "row_us": round(1e6 * best(lambda: trees.probabilities(rows)) / len(rows), 2),
        "theirs_alone_us": round(1e6 * best(lambda: [forest.predict_proba(row[None]) for row in some]) / len(some), 1),
        "theirs_together_us": round(1e6 * best(lambda: forest.predict_proba(rows)) / len(rows), 2),
        "difference": float(np.abs(trees.fractions(rows) - forest.predict_proba(rows)).max()),
    }


def best(work: Callable[[], object]) -> float:
    """Seconds of the quickest round: others were disturbed."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def report(name: str, found: dict[str, float]) -> None:
    print(
        f"{name}: {found['nodes']:,} nodes, mean depth {found['mean_depth']}\n"
        f"  fit                 {found['fit_s']:9.2f} s    goal 10\n"
        f"  a row, ours         {found['row_us']:9.2f} µs   goal 10\n"
        f"  a row, theirs       {found['theirs_alone_us']:9.2f} µs   ({found['theirs_together_us']} in {ROWS:,} rows)\n"
        f"  largest difference  {found['difference']:9.1e}"
    )


def machine() -> str:
    """Processor, and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, scikit-learn {version('scikit-learn')}"


if __name__ == "__main__":
    main()
