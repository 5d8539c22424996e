"""The market that a parent order is measured against: bins of its schedule, their volume and price, the benchmark.

Prices are the tape's, as they would have been without us; so what own impact cost is not hidden in the benchmark.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import RunError
from engine.parent import ParentOrder
from engine.reports.execution_identity import Bin
from engine.reports.execution_replay import Sight, World
from engine.result import ParentCost, rows_between
from engine.schedule import Schedule
from engine.strategy import Strategy
from engine.tape import Kind

EVEN_BINS = 30  # where a strategy has no schedule
TRADED = (int(Kind.TRADE), int(Kind.EXECUTE))


class Benchmark(NamedTuple):
    """A parent's schedule and the market beside it."""

    schedule: Schedule
    session: tuple[int, int]  # from the open before its start to the close after its end
    days: Fraction  # parts of sessions between its start and end
    volume: list[int]  # of the market in each bin
    bins: list[Bin]
    price: Fraction  # Pe
    notes: list[str]


def benchmark(parent: ParentCost, number: int, world: World, undisturbed: Sight) -> Benchmark:
    """Bins of ``parent``, whose instrument is ``number``; ``undisturbed`` is what was seen of it without us.

    Raises
    ------
    RunError
        If nothing traded and nothing was quoted while the parent lived.
    """
    span = (parent.start, parent.end)
    sessions = [one for one in world.setup.feed.tape.sessions if one[0] < parent.end and parent.start < one[1]] or [
        span
    ]
    session = min(sessions[0][0], parent.start), sessions[-1][1]
    inside = [(min(parent.end, end) - max(parent.start, start), end - start) for start, end in sessions]
    days = sum((Fraction(*part) for part in inside), Fraction(0))
    schedule, notes = _schedule(parent, number, world, sessions[0])
    edges = np.array(schedule.edges)
    trades = market_trades(world.pieces, number, parent.start, parent.end)
    at = np.clip(np.searchsorted(edges, trades["ts_event"], side="right") - 1, 0, len(edges) - 2)
    volume = [0] * (len(edges) - 1)
    notional = [0] * (len(edges) - 1)
    for j, price, size in zip(at.tolist(), trades["price"].tolist(), trades["size"].tolist(), strict=True):
        volume[j] += size
        notional[j] += price * size
    # a bin's last moment is before its end
    twice_mids = undisturbed.twice_mid(edges[1:], before=True).tolist()
    if sum(volume):
        price = Fraction(sum(notional), sum(volume))
    elif any(twice_mids):
        price = Fraction(next(mid for mid in twice_mids if mid), 2)
        notes.append("the market did not trade while the parent lived; the benchmark is its first mid, not a VWAP")
    else:
        raise RunError(
            f"{parent.name}: {parent.symbol} neither traded nor was quoted between the parent's start and end, so "
            "there is nothing to measure its cost against; choose other times"
        )
    market, last = [], price
    for size, money, twice_mid in zip(volume, notional, twice_mids, strict=True):
        last = Fraction(money, size) if size else Fraction(twice_mid, 2) if twice_mid else last
        market.append(last)
    if empty := sum(not size for size in volume):
        notes.append(
            f"the market did not trade in {empty} of {len(volume)} bins; their market price is the mid at their end"
        )
    planned = np.diff(schedule.done_by).tolist()
    bins = [Bin(size, at, price) for size, at in zip(planned, market, strict=True)]
    return Benchmark(schedule, session, days, volume, bins, price, notes)


def market_trades(pieces: list[NDArray[np.void]], number: int, start: int, end: int) -> NDArray[np.void]:
    """ROW[n] of the market's trades of an instrument with ``start <= ts_event < end``, as recorded."""
    parts = [rows_between(rows, start, end) for rows in pieces]
    return np.concatenate([part[np.isin(part["kind"], TRADED) & (part["instrument"] == number)] for part in parts])


def closing_mark(sight: Sight, session: tuple[int, int]) -> Fraction | None:
    """The last valid mid of the session; None where there is none."""
    twice = int(sight.twice_mid(session[1], before=True))
    return Fraction(twice, 2) if twice else None


def _schedule(parent: ParentCost, number: int, world: World, session: tuple[int, int]) -> tuple[Schedule, list[str]]:
    """The strategy's own, where it has one: what ``schedule(order, session, lot)`` gives."""
    accounts = [account.name for account in world.setup.accounts]
    strategy: Strategy = world.setup.strategies[accounts.index(parent.account)]
    order = ParentOrder(
        symbol=parent.symbol,
        side=parent.side,
        size=parent.size,
        start=parent.start,
        end=parent.end,
        name=parent.name,
    )
    lot = world.setup.feed.tape.instruments[number].lot
    own = getattr(strategy, "schedule", None)
    found = own(order, session, lot) if callable(own) else None
    if isinstance(found, Schedule) and found.done_by[-1] == parent.size:
        return found, []
    count = min(EVEN_BINS, parent.end - parent.start)
    edges = [parent.start + (parent.end - parent.start) * k // count for k in range(count + 1)]
    note = f"{type(strategy).__name__} has no schedule(order, session, lot): its schedule is taken as even in time"
    return Schedule.over(parent.size, edges, [b - a for a, b in pairwise(edges)]), [note]
