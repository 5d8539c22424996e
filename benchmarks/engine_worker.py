"""Our engine on our tapes: strategies in plain Python; gates, journal on disk and fingerprint inside the timer.

Models as for the peer: latencies of 200 us on all legs, the pessimistic queue, fees. The tape stays mapped between
runs, as the peer's arrays stay in memory; everything else is made anew inside the timer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import reference
from benchmarks.tape import DATA
from benchmarks.worker import Workload, serve
from engine import kernel_cache
from engine.broker.impact import Impact, Market, NoImpact, Propagator
from engine.broker.models import BrokerConfig
from engine.journal import Journal
from engine.strategy import MILLISECOND, Strategy, Wake
from engine.tape import Tape
from feeds.replay import TapeFeed

SYMBOL = "S000"
LOTS = 5
STILL = NoImpact()
# thin, so that what the maker trades moves the market by ticks
MOVING = Propagator(market={SYMBOL: Market(daily_volume=1_000_000, daily_volatility=0.015)})


class Idle(Strategy):
    """Is woken every 100 ms and does nothing."""

    wake = Wake(every_ns=100 * MILLISECOND)


class Watcher(Strategy):
    """Is woken on every row and does nothing."""

    wake = Wake(on_depth=True, on_trade=True)


class Maker(Strategy):
    """Every 100 ms replaces a bid and an ask of 5 lots at the mid, half a tick off and rounded outwards."""

    wake = Wake(every_ns=100 * MILLISECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote(SYMBOL)
        twice_mid = quote.bid + quote.ask
        desk.cancel_all(SYMBOL)
        desk.buy(SYMBOL, shares=LOTS, limit=(twice_mid - 1) // 2, post_only=True)
        desk.sell(SYMBOL, shares=LOTS, limit=(twice_mid + 2) // 2, post_only=True)


class Slicer(Strategy):
    """Each second rests 5 lots at the bid; half a second later sends what is left of them through the ask."""

    wake = Wake(every_ns=500 * MILLISECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote(SYMBOL)
        if timer.ts_event % 1_000_000_000 != 0:
            desk.buy(SYMBOL, shares=LOTS, limit=quote.bid, post_only=True)
            return
        for order in desk.orders(SYMBOL):
            desk.cancel(order.order_id)
            desk.buy(SYMBOL, shares=order.leaves, limit=quote.ask + 5)


@cache
def tape(name: str) -> Tape:
    """A tape, opened once."""
    return Tape.load(DATA / name)


def replay(strategy: Strategy, market: Tape, *, impact: Impact = STILL, stop_after: int = 0) -> dict[str, Any]:
    """Run a strategy over a tape; with ``stop_after`` leave after so many wakes."""
    from engine.broker.simulated import SimulatedBroker  # once the kernel cache has its place
    from engine.loop import wakeups, wants

    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.bin") as journal:
        broker = SimulatedBroker(
            market.instruments,
            sessions=market.sessions,
            config=BrokerConfig(impact=impact),
            wakes=[strategy.wake],
            wants=[wants(strategy)],
            journal=journal,
        )
        wakes = 0
        for _ in wakeups([strategy], TapeFeed(market), broker):
            wakes += 1
            if wakes == stop_after:
                break
        broker.close()
        return {"wakes": wakes, "records": journal.count, "fingerprint": journal.fingerprint[:16]}


def timed(make: Callable[[], Strategy], name: str, impact: Impact = STILL) -> Workload:
    """A workload of a strategy on a tape."""

    def prepare() -> tuple[Callable[[], Any], int]:
        market = tape(name)
        return lambda: replay(make(), market, impact=impact), len(market)

    return prepare


def open_tape() -> tuple[Callable[[], Any], int]:
    """From a folder's name to the first event: the strategy's first wake by the market."""
    return lambda: replay(Watcher(), Tape.load(DATA / "ten_million"), stop_after=2), 10_000_000


def reference_loop() -> tuple[Callable[[], Any], int]:
    """The machine's own speed."""
    rows = tape("ten_million").rows
    return lambda: reference.run(rows), len(rows)


WORKLOADS: dict[str, Workload] = {
    "wake": timed(Idle, "ten_million"),
    "maker": timed(Maker, "ten_million"),
    "maker_moves": timed(Maker, "ten_million", MOVING),
    "maker_1m": timed(Maker, "one_million"),
    "slicer": timed(Slicer, "ten_million"),
    "every_row": timed(Watcher, "one_million"),
    "hundred": timed(Idle, "hundred"),
    "open": open_tape,
    "reference": reference_loop,
}

if __name__ == "__main__":
    kernel_cache.ensure()
    serve(WORKLOADS)
