"""What virtual orders cost: ``python -m benchmarks.fills``; more tapes: ``--tape FOLDER``, may be repeated.

Rows a second are those of all lanes together; orders a second count each placement once, whatever sizes and horizons it
answers for. CPU time, best of the rounds; one round, which compiles, is not counted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from engine import kernel_cache
from engine.shipped import shipped_folder
from engine.tape import Tape

MULTIPLES = (0.5, 1, 2, 4, 8, 16, 32)  # mean trades


def main() -> None:
    """Measure, and print a line for each tape."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=float, default=15.0)
    parser.add_argument("--life", type=float, default=180.0)
    parser.add_argument("--tape", type=Path, action="append", default=[])
    asked = parser.parse_args()
    kernel_cache.ensure()
    tapes = [Tape.load(folder) for folder in (shipped_folder("replay_data") / "demo_day", *asked.tape)]
    for tape in tapes:
        print(line(tape, asked.rounds, asked.every, asked.life))


def line(tape: Tape, rounds: int, every_s: float, life_s: float) -> str:
    """Of a tape's first instrument."""
    from engine.learning.virtual_orders import mean_trade, place_virtual_orders  # once the cache has its place

    symbol = tape.instruments[0].symbol
    unit = mean_trade([tape], symbol)
    sizes = sorted({max(1, round(unit * multiple)) for multiple in MULTIPLES})
    taken, placed = [], 0
    for _ in range(rounds + 1):
        start = time.process_time()
        placed = len(place_virtual_orders(tape, symbol, sizes=sizes, every_s=every_s, life_s=life_s))
        taken.append(time.process_time() - start)
    lanes, best = 2 * round(life_s / every_s), min(taken[1:])
    return (
        f"{tape.manifest.name:20} {placed:,} orders in {best:.3f} s of CPU: {placed / best:,.0f} orders/s, "
        f"{lanes * len(tape) / best / 1e6:.1f} M rows/s over {lanes} lanes of {len(tape):,} rows"
    )


if __name__ == "__main__":
    main()
