"""Virtual orders: what the market of a tape would have done to orders that were never in it.

They are placed in the engine's own venue, whose queue model decides; without impact, and so that none meets another:

1. orders are dealt to lanes, each a replay of its own: one level, and a buy and a sell at a time;
2. where the next pair of a lane is placed, the last one has ended. What it took it took at or through its price; a
   post-only order is placed where nothing of that is displayed, and of what is displayed no more nothing is remembered.
   So every order fills as it would alone in a plain replay, and the recorded market goes on undisturbed;
3. an order is large, and its fills are kept as the times by which each listed size was done. A smaller order would have
   had the first part of them: what an order fills at a moment is the lesser of its open size and what came to it, and
   what stands ahead of it does not depend on its size.

So one replay tells of hundreds of placements, each with all sizes and horizons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Fees, Latency, Queue, RiskConfig
from engine.broker.simulated import SimulatedBroker
from engine.errors import ConfigError, TapeError
from engine.fill_table import DEEPER, NEAR
from engine.journal import RecordKind
from engine.learning.fill_times import NEVER, when_done
from engine.orders import OrderFlag
from engine.run import KeptJournal
from engine.spelling import did_you_mean
from engine.strategy import SECOND
from engine.tape import Flag, Kind, Tape

POST_ONLY = int(OrderFlag.POST_ONLY)
NO_GATES = RiskConfig(
    stale_ns=0, max_size=0, max_notional=0, collar_ppm=0, max_open=0, max_open_account=0, self_trade="allow"
)

Ints = NDArray[np.int64]


class Placements(NamedTuple):
    """Virtual orders in order of time, then level, then side; arrays of one length but ``sizes``."""

    sizes: Ints  # [k] size units, rising: that were asked about
    ts: Ints  # [n] ns UTC, at which they are in the queue
    level: Ints  # [n] DEEPER or NEAR
    side: Ints  # [n] +1 buys
    price: Ints  # [n]
    own: Ints  # [n] displayed at the own side's best
    other: Ints  # [n] and at the other side's
    spread: Ints  # [n] price units
    done: Ints  # [n, k] when each size had filled; NEVER if not within the order's life

    def __len__(self) -> int:
        return len(self.ts)

    def some(self, rows: NDArray) -> Self:
        """Those of the placements."""
        return type(self)(self.sizes, *(column[rows] for column in self[1:]))

    @property
    def imbalance(self) -> NDArray[np.float64]:
        """(own - other) / (own + other) of the touch: -1 ... 1."""
        return (self.own - self.other) / (self.own + self.other)


def place_virtual_orders(
    tape: Tape,
    symbol: str,
    *,
    sizes: Sequence[int],
    every_s: float,
    life_s: float,
    queue: Queue | None = None,
    levels: Sequence[int] = (DEEPER, NEAR),
    seed: int = 0,
) -> Placements:
    """Place a buy and a sell on each level at each multiple of ``every_s``, and see what of them fills in ``life_s``.

    Parameters
    ----------
    tape : Tape
    symbol : str
        An instrument with a book.
    sizes : sequence of int
        Size units, multiples of the lot, rising; the largest is what is placed.
    every_s, life_s : float
        Seconds; the life is a multiple of the interval. Orders are placed where the touch is two-sided and not crossed
        or locked, whole lives before a session's end; those that the venue refuses (in a halt) are left out.
    queue : Queue
        The model; pessimistic by default. Draws of the probabilistic one belong to the order's number in its lane.
    levels : sequence of int

    Raises
    ------
    ConfigError
        If sizes, interval and life do not fit each other.
    TapeError
        If the tape has no such instrument, or no book of it.
    """
    i = _instrument(tape, symbol)
    every, life = round(every_s * SECOND), round(life_s * SECOND)
    _check(sizes, every, life, tape.instruments[i].lot)
    asked = np.array(sizes, np.int64)
    lanes = [
        _lane(_venue(tape, queue or Queue(), seed), tape, i, level, _stops(tape, every, life, phase), asked)
        for level in levels
        for phase in range(life // every)
    ]
    found = Placements(asked, *(np.concatenate(column) for column in zip(*(lane[1:] for lane in lanes), strict=True)))
    return found.some(np.lexsort((-found.side, found.level, found.ts)))


def mean_trade(tapes: Sequence[Tape], symbol: str) -> float:
    """The mean size of a trade, size units, auctions left out; the unit of sizes in tables.

    Raises
    ------
    TapeError
        If there is no trade.
    """
    total = count = 0
    for tape in tapes:
        rows = tape.rows
        traded = (rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.EXECUTE)
        traded &= (rows["instrument"] == _instrument(tape, symbol)) & (rows["flags"] & Flag.AUCTION == 0)
        total, count = total + int(rows["size"][traded].sum()), count + int(traded.sum())
    if not count:
        raise TapeError(f"{symbol} does not trade on these tapes, so sizes have no unit; give tapes with trades")
    return total / count


def _instrument(tape: Tape, symbol: str) -> int:
    symbols = [one.symbol for one in tape.instruments]
    if symbol not in symbols:
        raise TapeError(f"{symbol} is not on the tape; it has {', '.join(symbols)}{did_you_mean(symbol, symbols)}")
    if tape.instruments[symbols.index(symbol)].book == "NONE":
        raise TapeError(f"{symbol} has no book on this tape: orders need quotes or depth to be placed in")
    return symbols.index(symbol)


def _check(sizes: Sequence[int], every: int, life: int, lot: int) -> None:
    if not sizes or sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
        raise ConfigError(f"sizes are {list(sizes)}, but must rise from 1 or more")
    if any(size % lot for size in sizes):
        raise ConfigError(f"sizes {list(sizes)} are not all multiples of the lot, {lot}")
    if every < 1 or life % every:
        raise ConfigError(f"life_s is {life / SECOND:g}, but must be a multiple of every_s, {every / SECOND:g}")


def _venue(tape: Tape, queue: Queue, seed: int) -> SimulatedBroker:
    """Without delays, gates, fees or impact, and with nobody who wants to hear of anything."""
    config = BrokerConfig(
        latency=Latency(feed=0, entry=0, response=0),
        queue=queue,
        impact=NoImpact(),
        fees=Fees(maker_per_unit=0, taker_per_unit=0),
    )
    return SimulatedBroker(
        tape.instruments, sessions=tape.sessions, actions=tape.manifest.actions, config=config, risk=NO_GATES,
        seed=seed, wants=[(False, False)], journal=KeptJournal(),
    )  # fmt: skip


def _stops(tape: Tape, every: int, life: int, phase: int) -> list[tuple[int, bool]]:
    """When a lane's orders end and the next are placed, if any are: a life apart, from each session's open."""
    rows = tape.rows
    if not len(rows):
        return []
    first, last = int(rows["ts_event"][0]), int(rows["ts_event"][-1])
    found: list[tuple[int, bool]] = []
    for start, end in tape.sessions or [(first, last + 1)]:
        start = max(start, first)
        times = range(start - start % every + (phase + 1) * every, min(end, last + 1), life)
        found += [(ts, ts != times[-1]) for ts in times]
    return found


def _lane(
    venue: SimulatedBroker, tape: Tape, i: int, level: int, stops: Sequence[tuple[int, bool]], sizes: Ints
) -> Placements:
    """One level's orders, a pair at a time."""
    world, size, behind = venue.world, int(sizes[-1]), (NEAR - level) * tape.instruments[i].tick
    facts: list[tuple[int, ...]] = []
    venue.load(tape.rows)
    for ts, is_placed in stops:
        venue.wake_at(0, ts)
        if venue.next() is None:
            break
        venue.cancel_all(0, i)
        bid, ask, bid_size, ask_size = venue.quote(i)
        if is_placed and bid_size > 0 and ask_size > 0 and bid < ask:
            for side, best, own, other in ((1, bid, bid_size, ask_size), (-1, ask, ask_size, bid_size)):
                price = best - side * behind
                venue.send_limit(world, 0, i, side, POST_ONLY, price, size)
                facts.append((ts, level, side, price, own, other, ask - bid))
    venue.close()
    return _told(venue.journal.records, facts, sizes)  # type: ignore[attr-defined]


def _told(records: NDArray[np.void], facts: list[tuple[int, ...]], sizes: Ints) -> Placements:
    """What a lane's journal says of its orders, numbered from 1 in the order of ``facts``; refused ones left out."""
    ts, level, side, price, own, other, spread = np.ascontiguousarray(np.array(facts, np.int64).reshape(-1, 7).T)
    done = np.full((len(facts), len(sizes)), NEVER)
    filled = records[records["kind"] == RecordKind.FILL]
    when_done(*(filled[name].astype(np.int64) for name in ("order_no", "ts", "size")), sizes, done)
    accepted = records["order_no"][records["kind"] == RecordKind.ACCEPT] - 1
    return Placements(sizes, ts, level, side, price, own, other, spread, done).some(accepted)
