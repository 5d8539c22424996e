"""Virtual orders fill as they would alone, and meet neither the market nor one another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency, Queue
from engine.broker.simulated import SimulatedBroker
from engine.errors import ConfigError, TapeError
from engine.fill_table import DEEPER, NEAR
from engine.instruments import Instrument
from engine.learning.fill_times import NEVER
from engine.learning.virtual_orders import NO_GATES, mean_trade, place_virtual_orders
from engine.run import run
from engine.strategy import SECOND, Strategy
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.testing.generators import busy_tapes
from feeds.replay import TapeFeed

EVERY, LIFE = 4_000, 12_000  # ns, in markets whose rows are a few to a few hundred ns apart
SIZES = (1, 3, 12, 60)  # lots


class Alone(Strategy):
    """One order, in a market of its own."""

    def __init__(self, symbol: str, ts: int, side: int, price: int, size: int, life: int) -> None:
        super().__init__()
        self.order, self.ts, self.life, self.fills = (symbol, side, price, size), ts, life, []

    def on_start(self, desk: Any) -> None:
        desk.wake_at(self.ts)
        desk.wake_at(self.ts + self.life)

    def on_timer(self, timer: Any, desk: Any) -> None:
        symbol, side, price, size = self.order
        if desk.now == self.ts:
            self.number = desk.trade(symbol, side, shares=size, limit=price, post_only=True)
        else:
            desk.cancel(self.number)

    def on_fill(self, fill: Any, desk: Any) -> None:
        self.fills.append((fill.ts_event, fill.size))


def done_alone(tape: Tape, symbol: str, one: Any, size: int, life: int, queue: Queue) -> int:
    """When an order has filled in a plain run without any other."""
    strategy = Alone(symbol, int(one.ts[0]), int(one.side[0]), int(one.price[0]), size, life)
    config = BrokerConfig(latency=Latency(feed=0, entry=0, response=0), queue=queue, impact=NoImpact())
    run(strategy, TapeFeed(tape), broker=config, risk=NO_GATES)
    filled = sum(size for _, size in strategy.fills)
    return strategy.fills[-1][0] if filled == size else NEVER


@given(
    tape=busy_tapes(n_moves=400),
    queue=st.sampled_from((Queue(model="pessimistic"), Queue(model="fifo"))),
    chosen=st.lists(st.integers(0, 2**32), min_size=2, max_size=2),
)
@settings(max_examples=5)
def test_a_virtual_order_fills_as_it_would_alone_in_a_plain_run(tape: Tape, queue: Queue, chosen: list[int]) -> None:
    unit = tape.instruments[0]
    sizes = [size * unit.lot for size in SIZES]
    placed = place_virtual_orders(
        tape, unit.symbol, sizes=sizes, every_s=EVERY / SECOND, life_s=LIFE / SECOND, queue=queue
    )
    for number in chosen if len(placed) else ():
        row = number % len(placed)
        one = placed.some(np.array([row]))
        alone = [done_alone(tape, unit.symbol, one, size, LIFE, queue) for size in sizes]
        assert one.done[0].tolist() == alone


@given(tape=busy_tapes(n_moves=400))
@settings(max_examples=8)
def test_orders_placed_more_often_fill_no_differently(tape: Tape) -> None:
    symbol, lot = tape.instruments[0].symbol, tape.instruments[0].lot
    few, many = (
        place_virtual_orders(tape, symbol, sizes=[lot, 20 * lot], every_s=every / SECOND, life_s=LIFE / SECOND)
        for every in (LIFE, EVERY)
    )
    where = {key: row for row, key in enumerate(zip(many.ts, many.level, many.side, strict=True))}
    for row, key in enumerate(zip(few.ts, few.level, few.side, strict=True)):
        if key in where:
            assert few.done[row].tolist() == many.done[where[key]].tolist()


@given(tape=busy_tapes(n_moves=400))
@settings(max_examples=8)
def test_what_fills_a_large_order_fills_a_smaller_one_no_later(tape: Tape) -> None:
    symbol, lot = tape.instruments[0].symbol, tape.instruments[0].lot
    placed = place_virtual_orders(
        tape, symbol, sizes=[size * lot for size in SIZES], every_s=EVERY / SECOND, life_s=LIFE / SECOND
    )
    for smaller, larger in pairwise(placed.done.T):
        assert (smaller <= larger).all()
    done = placed.done < NEVER
    waits = (placed.done - placed.ts[:, None])[done]
    assert ((waits >= 0) & (waits <= LIFE)).all()


def quoted(*rows: tuple[int, Kind, int, int, int, int, int]) -> Tape:
    """A tape of a share from (s, kind, side, price, size, price2, size2); prices in ticks of 1."""
    unit = Instrument(symbol="XYZ", price_unit="1/100", tick=1, book="L1", levels=1)
    array = np.zeros(len(rows), ROW)
    for row, (at, kind, side, price, size, price2, size2) in zip(array, rows, strict=True):
        row["ts_event"], row["kind"], row["side"], row["flags"] = at * SECOND, kind, side, Flag.LAST
        row["price"], row["size"], row["price2"], row["size2"] = price, size, price2, size2
    return Tape(array, Manifest(name="quoted", instruments=[unit], sessions=[(0, 100 * SECOND)], synthetic=True))


def test_what_one_order_took_is_there_for_the_next() -> None:
    """The ask comes down to the bid's old price and stays: both buys of the lane find all of it."""
    tape = quoted(
        (1, Kind.QUOTE, 0, 100, 10, 102, 10),
        (15, Kind.QUOTE, 0, 98, 10, 100, 7),
        (19, Kind.QUOTE, 0, 100, 10, 102, 10),
        (35, Kind.QUOTE, 0, 98, 10, 100, 7),
        (90, Kind.QUOTE, 0, 98, 10, 100, 7),
    )
    placed = place_virtual_orders(tape, "XYZ", sizes=[7, 8], every_s=10, life_s=10, levels=[NEAR])
    buys = placed.some(np.flatnonzero((placed.side > 0) & (placed.price == 100)))
    assert (buys.ts // SECOND).tolist() == [10, 20, 30]
    assert (buys.done[:, 0] // SECOND).tolist() == [15, NEVER // SECOND, 35]
    assert (buys.done[:, 1] == NEVER).all()


def test_a_trade_at_the_touch_fills_behind_what_was_displayed() -> None:
    tape = quoted(
        (1, Kind.QUOTE, 0, 100, 10, 101, 20),
        (12, Kind.TRADE, -1, 100, 14, 0, 0),
        (13, Kind.TRADE, -1, 100, 3, 0, 0),
        (60, Kind.QUOTE, 0, 100, 10, 101, 20),
    )
    placed = place_virtual_orders(tape, "XYZ", sizes=[4, 5, 8], every_s=10, life_s=10)
    near = placed.some(np.flatnonzero((placed.level == NEAR) & (placed.side > 0) & (placed.ts == 10 * SECOND)))
    assert near.done[0].tolist() == [12 * SECOND, 13 * SECOND, NEVER]
    assert near.imbalance.tolist() == [-1 / 3]
    assert (placed.done[placed.level == DEEPER] == NEVER).all()


def test_the_mean_trade_leaves_auctions_out() -> None:
    tape = quoted(
        (1, Kind.QUOTE, 0, 100, 10, 101, 20),
        (2, Kind.TRADE, -1, 100, 4, 0, 0),
        (3, Kind.TRADE, 1, 101, 6, 0, 0),
        (4, Kind.TRADE, 0, 101, 1_000, 0, 0),
    )
    tape.rows["flags"][3] |= Flag.AUCTION
    assert mean_trade([tape], "XYZ") == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sizes": [3, 2]}, r"sizes are \[3, 2\], but must rise"),
        ({"every_s": 4.0}, "life_s is 10, but must be a multiple of every_s, 4"),
        ({"symbol": "XY"}, "XY is not on the tape; it has XYZ; did you mean 'XYZ'"),
    ],
)
def test_what_cannot_be_placed_is_said(given: dict[str, Any], message: str) -> None:
    tape = quoted((1, Kind.QUOTE, 0, 100, 10, 101, 20))
    asked = {"symbol": "XYZ", "sizes": [1], "every_s": 10.0, "life_s": 10.0} | given
    with pytest.raises((ConfigError, TapeError), match=message):
        place_virtual_orders(tape, asked.pop("symbol"), **asked)


def test_the_next_order_of_a_lane_does_not_stand_behind_the_last() -> None:
    tape = quoted(
        (1, Kind.QUOTE, 0, 100, 10, 101, 20),
        (22, Kind.TRADE, -1, 100, 14, 0, 0),
        (60, Kind.QUOTE, 0, 100, 10, 101, 20),
    )
    placed = place_virtual_orders(tape, "XYZ", sizes=[4, 8], every_s=10, life_s=10, levels=[NEAR])
    buys = placed.some(np.flatnonzero(placed.side > 0))
    assert buys.done[:2].tolist() == [[NEVER, NEVER], [22 * SECOND, NEVER]]


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If orders outlived their time, the next would find the market used."""
    monkeypatch.setattr(SimulatedBroker, "cancel_all", lambda *asked: None)
    with pytest.raises(AssertionError):
        test_the_next_order_of_a_lane_does_not_stand_behind_the_last()
