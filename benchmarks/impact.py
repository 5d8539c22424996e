"""What impact costs: ``python -m benchmarks.impact``.

1. ns for each print of the market with the displacement in ticks looked up after it, while our trades still decay;
   one print in fifty is followed by a fill of ours, one in a hundred ends its cell.
2. ms for 100,000 cells, each with a fill of ours and an end.
3. ms to prepare the tables, once for each exponent.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from engine.broker.impact import IMPACT, Market, Propagator, prepare
from engine.broker.impact_tables import TABLE, kernel_tables

ROUNDS = 9
EVENTS, CELLS = 5_000_000, 100_000


def kernels() -> tuple[Any, Any]:
    """The two loops, compiled: prints of a size in a row, and cells with a fill each."""
    from numba import from_dtype, int64, njit, types

    from engine.broker.impact_kernels import displacement, displacement_ticks, on_market_volume, on_own_fill

    states, tables = (types.Array(from_dtype(dtype), 1, "C") for dtype in (IMPACT, TABLE))

    @njit([int64(states, tables, int64, int64, int64)], error_model="numpy")
    def prints(states, tables, n, size, every):
        state, table, total = states[0], tables[0], 0
        for k in range(n):
            on_market_volume(state, table, size)
            total += displacement_ticks(state, table, 400_000, 1)
            if k % every == 0:
                on_own_fill(state, table, 1, size, 0, 0)
        return total

    @njit([types.float64(states, tables, int64)], error_model="numpy")
    def cells(states, tables, n):
        state, table, total = states[0], tables[0], 0.0
        for k in range(n):
            on_own_fill(state, table, 1 - 2 * (k & 1), 1 + k % 100, 0, 0)
            on_market_volume(state, table, state.cell)
            total += displacement(state, table)
        return total

    return prints, cells


def main() -> None:
    """Measure and print medians and the best of several rounds."""
    model = Propagator(market={"A": Market(daily_volume=3_900_000, daily_volatility=0.02)})
    states, table = prepare(model, ["A"])
    prints, cells = kernels()

    def seconds(loop: Any, *arguments: int) -> float:
        state = states.copy()
        start = time.perf_counter()
        loop(state, table, *arguments)
        return time.perf_counter() - start

    taken = [seconds(prints, EVENTS, 100, 50) / EVENTS * 1e9 for _ in range(ROUNDS)]
    print(f"a print with its displacement   {statistics.median(taken):7.1f} ns   best {min(taken):.1f}   goal 200")
    quiet = [seconds(prints, EVENTS, 100, EVENTS + 1) / EVENTS * 1e9 for _ in range(ROUNDS)]
    print(f"the same after one fill         {statistics.median(quiet):7.1f} ns   best {min(quiet):.1f}")
    taken = [seconds(cells, CELLS) * 1e3 for _ in range(ROUNDS)]
    print(f"100,000 cells                   {statistics.median(taken):7.1f} ms   best {min(taken):.1f}   goal 50")
    start = time.perf_counter()
    for omega in np.linspace(0.5, 0.9, 5):
        kernel_tables("integrated", float(omega))
    print(f"tables of one exponent          {(time.perf_counter() - start) / 5 * 1e3:7.1f} ms")


if __name__ == "__main__":
    main()
