"""What a ticker of the universe costs: ``python -m benchmarks.farm``, with ``--json FILE`` for the numbers.

The first tickers of ``configs/training/vwap_universe.toml`` in its own batches, each from drawing its tape to its
graded agent, in s of processor time a ticker, in this process and on one thread; and what 700 would take by that. Who
waits for a GPU spends no processor time, so the time by the wall is told, too; with --device cuda it is what counts. A
short training before it compiles the kernels and is not counted; every other second is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import msgspec

from engine import clock
from engine.learning.farm import Farmer, OneByOne, chunks_of, run_farm
from engine.learning.farm_folder import gap_closed
from engine.learning.farm_learner import Learner
from engine.learning.vwap_config import VwapConfig, load_vwap_config
from engine.shipped import shipped_folder
from engine.vwap_command import prepare, sources_of

WHOLE, GOAL_S, GPU_GOAL_MIN = 700, 20.0, 10.0


def main() -> None:
    """Measure, print, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.farm", description=__doc__)
    parser.add_argument("--tickers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=0, help="trained together; as the config says by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    asked = parser.parse_args()
    config = load_vwap_config(shipped_folder("configs") / "training" / "vwap_universe.toml")
    if asked.batch:
        config = msgspec.structs.replace(config, batch=asked.batch)
    warm = msgspec.structs.replace(config.train, episodes=400, rounds=2, settle=1, steps=10, device=asked.device)
    farmed(msgspec.structs.replace(config, train=warm), 1)
    train = msgspec.structs.replace(config.train, device=asked.device)
    found = farmed(msgspec.structs.replace(config, train=train), asked.tickers)
    found |= {"machine": machine(), "load": round(os.getloadavg()[0], 2), "batch": config.batch, "device": asked.device}
    report(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def farmed(config: VwapConfig, count: int) -> dict[str, Any]:
    """The numbers of the first ``count`` tickers."""
    spent = {"making": 0.0}

    def prepared(terms: Any) -> Any:
        began = clock.cpu_seconds()
        try:
            return prepare(config, terms)
        finally:
            spent["making"] += clock.cpu_seconds() - began

    began, wall = clock.cpu_seconds(), clock.seconds()
    farmer = Farmer(prepared, Learner(config.train), clock.cpu_seconds)
    chunks = chunks_of(sources_of(config)[:count], size=config.batch)
    done = list(run_farm(chunks, farmer, OneByOne()))
    cpu = clock.cpu_seconds() - began
    runs = [run for one in done for run in one.runs]
    return {
        "tickers": count,
        "failed": {ticker: why for one in done for ticker, why in one.failed.items()},
        "ticker_s": round(cpu / count, 2),
        "making_s": round(spent["making"] / count, 2),
        "wall_s": round(clock.seconds() - wall, 1),
        "gap_closed": round(statistics.mean(gap_closed(run) for run in runs), 4),
        "excess": round(statistics.mean(run.cost - run.optimum for run in runs), 4),
        "beat_every_rule": round(sum(run.cost < run.best_rule for run in runs) / len(runs), 3),
    }


def report(found: dict[str, Any]) -> None:
    failed, whole_s = len(found["failed"]), WHOLE * found["wall_s"] / found["tickers"]
    print(
        f"{found['tickers']} tickers in batches of {found['batch']} on {found['device']}, {failed} failed\n"
        f"  a ticker, in all      {found['ticker_s']:8.2f} core s   goal {GOAL_S:g}\n"
        f"    its tape and problem{found['making_s']:8.2f} core s\n"
        f"  {WHOLE} tickers, by that {WHOLE * found['ticker_s'] / 3600:8.2f} core h   goal 4 (2 h on two cores)\n"
        f"  all of them, by the wall{found['wall_s']:7.1f} s\n"
        f"  {WHOLE} tickers, by that {whole_s / 60:8.1f} min      goal {GPU_GOAL_MIN:g} on one GPU\n"
        f"  gap from TWAP closed  {found['gap_closed']:8.1%}\n"
        f"  above the optimum     {found['excess']:8.3f} half-spreads\n"
        f"  beat every fixed rule {found['beat_every_rule']:8.1%}\n"
        f"{found['machine']}, load {found['load']}"
    )


def machine() -> str:
    """Processor, and versions."""
    from importlib.metadata import version

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    versions = f"Python {platform.python_version()}, torch {version('torch')}, numba {version('numba')}"
    return f"{name}, {os.cpu_count()} cores, {versions}"


if __name__ == "__main__":
    main()
