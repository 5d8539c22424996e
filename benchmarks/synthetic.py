"""How fast the synthetic market is made: events per second with every order recorded, and per view.

``python -m benchmarks.synthetic`` prints one line per tick regime and view: best and median of 5 runs, in CPU time.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import numba
import numpy as np

from engine.tape import Flag
from feeds.synthetic import MarketParams, plan, synthetic_market
from feeds.synthetic_facts import STOCKS
from feeds.synthetic_orders import arrival_times, order_flow

RUNS = 5
EVENTS = 1_000_000


def seconds(task: Callable[[], object]) -> list[float]:
    """CPU time of RUNS runs, after one that compiles: other work on the machine does not count."""
    task()
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        task()
        found.append(time.process_time() - start)
    return found


def main() -> None:
    versions = f"Python {platform.python_version()}, numba {numba.__version__}, numpy {np.__version__}"
    print(f"{platform.machine()}, one core, {versions}; best / median of {RUNS}")
    for regime, stock in STOCKS.items():
        flow = plan(MarketParams(), stock).flow
        times = arrival_times((1, 0), flow, np.ones(390), EVENTS / 390)
        start = round(float(stock.price) / float(stock.tick))

        def book(flow=flow, start=start) -> None:
            made = arrival_times((1, 0), flow, np.ones(390), EVENTS / 390)
            order_flow((1, 1), flow, made, start=start, ts_open=10**18, tick=100, lot=100)

        line(f"{regime:6} clock and book, L3 rows recorded", len(times), seconds(book))
        for view in ("L3", "L2", "L1"):
            params = MarketParams(stocks=(stock,))
            rows = synthetic_market(params, seed=1, date="2026-03-02", view="L3")[0].rows
            events = int(np.count_nonzero(rows["flags"] & Flag.LAST))
            line(
                f"{regime:6} whole tape, {view}",
                events,
                seconds(lambda v=view, p=params: synthetic_market(p, seed=1, date="2026-03-02", view=v)),
            )


def line(what: str, events: int, found: list[float]) -> None:
    best, median = events / min(found) / 1e6, events / statistics.median(found) / 1e6
    print(f"{what:45} {events:>9,} events {best:6.2f} / {median:5.2f} M events/s")


if __name__ == "__main__":
    main()
