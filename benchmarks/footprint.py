"""What our own footprint costs a replay: ``python -m benchmarks.footprint``.

The maker of ``engine_worker.py`` on ten million rows, with impact on and off in turn; one run of each, which compiles
and fills the page cache, is not measured. Million rows a second, best and median, of CPU time and of the wall.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from benchmarks import tape
from benchmarks.engine_worker import MOVING, STILL, Maker, replay
from benchmarks.engine_worker import tape as opened
from engine import kernel_cache

MOST, LEAST = 0.40, 20.0  # of the throughput that it may cost, and M rows/s that must be left
MODELS = {"off": STILL, "on": MOVING}


def main() -> None:
    """Measure, and print a line for each and what the footprint costs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tape", default="ten_million", help="below benchmarks/_data")
    asked = parser.parse_args()
    kernel_cache.ensure()
    tape.prepare()
    market = opened(asked.tape)
    cpu: dict[str, list[float]] = {name: [] for name in MODELS}
    wall: dict[str, list[float]] = {name: [] for name in MODELS}
    told: dict[str, dict[str, Any]] = {}
    for n in range(asked.rounds + 1):
        for name, impact in MODELS.items():
            start, began = time.process_time(), time.perf_counter()
            told[name] = replay(Maker(), market, impact=impact)
            taken, passed = time.process_time() - start, time.perf_counter() - began
            if n > 0:
                cpu[name].append(len(market) / taken / 1e6)
                wall[name].append(len(market) / passed / 1e6)
    for name in MODELS:
        rates = [f"{max(found):5.1f} / {median(found):5.1f}" for found in (cpu[name], wall[name])]
        print(f"footprint {name:4}CPU {rates[0]}   wall {rates[1]} M rows/s   {told[name]}")
    for what, pick in (("best", max), ("median", median)):
        on, off = pick(cpu["on"]), pick(cpu["off"])
        print(f"{what:9} costs {1 - on / off:4.0%} of CPU's {off:.1f}, leaves {on:.1f} M rows/s")
    print(f"to reach  at most {MOST:.0%}, at least {LEAST:.0f} M rows/s")


if __name__ == "__main__":
    main()
