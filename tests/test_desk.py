"""The desk: what it refuses, and that it never rounds what it is given."""

import numpy as np
import pytest

from engine import Strategy, Wake
from engine.broker.simulated import SimulatedBroker
from engine.desk import Desk
from engine.errors import StrategyError
from engine.instruments import Instrument
from engine.journal import Journal
from engine.loop import wakeups, wants
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from feeds.replay import TapeFeed

SPY = Instrument(symbol="SPY", price_unit="1/10000", tick=100)


def quotes(n: int = 3) -> Tape:
    rows = np.zeros(n, ROW)
    rows["ts_event"] = 1_000_000_000 * np.arange(1, n + 1)
    rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
    rows["price"], rows["size"], rows["price2"], rows["size2"] = 5_000_000, 300, 5_000_100, 200
    return Tape(rows, Manifest(instruments=[SPY]))


@pytest.fixture
def desk() -> Desk:
    tape = quotes()
    return Desk(SimulatedBroker(tape.instruments, sessions=tape.sessions), 0, tape.sessions)


@pytest.mark.parametrize(
    "wrong", [{"shares": 5.7, "limit": 5_000_000}, {"shares": 5, "limit": 5_000_000.5}, {"shares": "5"}]
)
def test_a_size_or_price_that_is_no_int_is_refused_not_rounded(desk, wrong):
    with pytest.raises(StrategyError, match="sizes and prices are ints"):
        desk.buy("SPY", **wrong)


def test_an_unknown_symbol_names_those_that_trade(desk):
    with pytest.raises(StrategyError, match="unknown symbol 'SPX'; this run trades SPY"):
        desk.sell("SPX", shares=1, limit=1)


def test_an_order_without_a_size_says_how_to_give_one(desk):
    with pytest.raises(StrategyError, match=r"shares= .* or notional="):
        desk.buy("SPY", limit=5_000_000)


def test_numpy_integers_are_integers(desk):
    assert desk.buy("SPY", shares=np.int64(5), limit=np.int64(5_000_000)) == 1
    assert desk.orders()[0].leaves == 5


def test_orders_are_numbered_from_one_and_visible_at_once(desk):
    assert [desk.buy("SPY", shares=1, limit=5_000_000), desk.sell("SPY", shares=2)] == [1, 2]
    assert [(o.order_id, o.side, o.leaves) for o in desk.orders("SPY")] == [(1, 1, 1), (2, -1, 2)]


class BuysTwice(Strategy):
    """Buys what 100,000 of currency pay for, and again when the run is over."""

    wake = Wake(on_quote=True)
    sent = 0

    def on_quote(self, quote, desk):
        self.sent = self.sent or desk.buy("SPY", notional=100_000)

    def on_stop(self, desk):
        self.filled = desk.position("SPY")
        with pytest.raises(StrategyError, match="the run is over"):
            desk.buy("SPY", shares=1, limit=5_000_000)


def test_notional_buys_whole_units_and_on_stop_cannot_trade():
    tape, strategy = quotes(), BuysTwice()
    broker = SimulatedBroker(
        tape.instruments, sessions=tape.sessions, wakes=[strategy.wake], wants=[wants(strategy)], journal=Journal()
    )
    for _ in wakeups(strategy, TapeFeed(tape), broker):
        pass
    assert strategy.filled == 199  # 100,000 / 500.01, rounded down; 200 were offered
