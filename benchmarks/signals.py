"""What signals cost: ``python -m benchmarks.signals``; more tapes: ``--tape FOLDER``, may be repeated.

1. Million rows a second of ``engine.learning.features.samples`` on a whole tape, by clock.
2. The same of a replay that wakes a strategy ten times a second, with nothing measured, with a probe, and (``--model
   FOLDER``) with a probe that has a model.

CPU time, best and median; one round of each, which compiles and fills the page cache, is not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import tape
from benchmarks.engine_worker import STILL, Idle
from engine import kernel_cache
from engine.broker.models import BrokerConfig
from engine.instruments import Instrument
from engine.signals import Probe
from engine.tape import Manifest, Tape

LEAST = 5.0  # M rows/s
ROWS = 3_000_000


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tape", type=Path, action="append", default=[])
    parser.add_argument("--model", default="", help="of the clock `trade`, for all tapes")
    asked = parser.parse_args()
    kernel_cache.ensure()
    markets = {"synthetic L2": synthetic()} | {folder.name: Tape.load(folder) for folder in asked.tape}
    for name, market in markets.items():
        measure(market, name, asked.rounds, asked.model)
    print(f"to reach: samples at least {LEAST:.0f} M rows/s")


def synthetic() -> Tape:
    """The beginning of the other benchmarks' tape."""
    one = Instrument(symbol="S000", price_unit=tape.TICK, tick=1, book="L2", levels=0)
    return Tape(tape.generate(ROWS), Manifest(name="synthetic", instruments=[one], synthetic=True))


def measure(market: Tape, name: str, rounds: int, model: str) -> None:
    """All lines of one tape's first instrument."""
    from engine.learning.features import samples  # once the kernel cache has its place

    symbol, n = market.instruments[0].symbol, len(market)
    for clock in ("trade", "quote"):
        found = samples(market, symbol, clock=clock)
        line = timed(lambda clock=clock: samples(market, symbol, clock=clock), n, rounds)
        print(f"{name:24} samples {clock:5}   {line}   {len(found):,} of {n:,} rows give one")
    for what, probes in (
        ("replay", []),
        ("+ probe", [Probe(symbol=symbol)]),
        ("+ model", [Probe(symbol=symbol, model=model)]),
    ):
        if what != "+ model" or model:
            print(f"{name:24} {what:13}   {timed(lambda probes=probes: replay(market, probes), n, rounds)}")


def timed(work: Callable[[], Any], n: int, rounds: int) -> str:
    """M rows/s of CPU time."""
    taken = []
    for _ in range(rounds + 1):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return f"best {n / min(taken[1:]) / 1e6:6.1f}  median {n / median(taken[1:]) / 1e6:6.1f} M rows/s"


def replay(market: Tape, probes: list[Probe]) -> None:
    """To the end."""
    from engine.broker.simulated import SimulatedBroker
    from engine.loop import wakeups, wants
    from feeds.replay import TapeFeed

    strategy = Idle()
    broker = SimulatedBroker(
        market.instruments, sessions=market.sessions, config=BrokerConfig(impact=STILL), wakes=[strategy.wake],
        wants=[wants(strategy)], probes=[probes],
    )  # fmt: skip
    for _ in wakeups(strategy, TapeFeed(market), broker):
        pass


if __name__ == "__main__":
    main()
