"""Small markets for schedules, what trades in them, and what a plain replay makes of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scheduler import MILLISECOND

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig, Latency
from engine.config import Config, Risk, StrategyConfig
from engine.instruments import Instrument
from engine.live.sources import TapeSource
from engine.run import KeptJournal, run
from engine.strategy import Strategy, Wake
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from feeds.replay import TapeFeed

if TYPE_CHECKING:
    from engine.desk import Desk

OPENS = 1_767_623_400_000_000_000  # 2026-01-05 14:30 UTC
ROW_NS = 4 * MILLISECOND  # from row to row, on average
BROKER = BrokerConfig(
    latency=Latency(entry=3 * MILLISECOND, response=2 * MILLISECOND, feed=1 * MILLISECOND), impact=NoImpact()
)
RISK = Risk()
SEED = 1


class Restless(Strategy):
    """Do a little of everything that a desk can ask for, by what it sees, so that any difference soon shows."""

    def __init__(self, symbol: str) -> None:
        super().__init__()
        self.symbol = symbol
        self.wake = Wake(every_ns=50 * MILLISECOND)
        self.beats = 0

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        """Quote both sides, move an order, take, or clear up, in turn."""
        self.beats += 1
        quote, mine = desk.quote(self.symbol), desk.orders(self.symbol)
        if not quote.is_two_sided:
            return
        if self.beats % 5 == 0:
            desk.cancel_all(self.symbol)
        elif self.beats % 5 == 3 and mine:
            desk.replace(mine[0].order_id, limit=mine[0].price, shares=max(1, mine[0].leaves // 2))
        elif self.beats % 7 == 0:
            side = -1 if desk.position(self.symbol) > 0 else 1
            desk.trade(self.symbol, side, shares=1 + desk.volume(self.symbol) % 3)
        else:
            if self.beats % 4 == 0:
                desk.wake_at(desk.now + 7 * MILLISECOND)
            desk.buy(self.symbol, shares=2 + self.beats % 3, limit=quote.bid, post_only=True)
            desk.sell(self.symbol, shares=2 + desk.cash() % 3, limit=quote.ask, post_only=True)


class Jumpy(Restless):
    """As ``Restless``, and woken by far more."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.wake = Wake(every_ns=300 * MILLISECOND, on_trade=True, symbols=(symbol,))

    def on_trade(self, trade: events.Trade, desk: Desk) -> None:
        """Now and then join where it traded."""
        if trade.price % 3 == 0 and len(desk.orders(self.symbol)) < 6:
            desk.trade(self.symbol, -trade.side or 1, shares=1, limit=trade.price)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        """A fill in full is answered a little later, and where much is held at once with the other side."""
        if fill.leaves:
            return
        desk.wake_at(desk.now + 7 * MILLISECOND)
        if abs(desk.position(self.symbol)) > 4:
            desk.trade(self.symbol, -fill.side, shares=abs(desk.position(self.symbol)) // 2)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        """Pull some of what was accepted."""
        if isinstance(event, events.Accepted) and event.order_id % 11 == 0:
            desk.cancel(event.order_id)


class Market(NamedTuple):
    """A tape and who trades on it."""

    symbols: tuple[str, ...]
    panels: bool = False


MARKETS = {"one": Market(("ABC",)), "two": Market(("ABC", "XYZ")), "closes": Market(("ABC",), panels=True)}


def traders(market: str) -> dict[str, Restless]:
    """Fresh strategies by account."""
    kinds = (Restless, Jumpy)
    return {f"acct{i}": kinds[i](symbol) for i, symbol in enumerate(MARKETS[market].symbols)}


def accounts(market: str) -> list[Account]:
    """In the order of ``traders``."""
    return [Account(name=name) for name in traders(market)]


@cache
def config(market: str) -> Config:
    """Of a session; what trades is given to the runners, not named here."""
    entries = [StrategyConfig(strategy="busy_market:Restless", account=account) for account in accounts(market)]
    return Config(name="sim", seed=SEED, strategies=entries, broker=BROKER, risk=RISK)


@cache
def tape(market: str, rows: int) -> Tape:
    """``rows`` quotes and trades in bursts and with ties; the same for the same arguments."""
    rng = np.random.Generator(np.random.Philox(rows))
    symbols = MARKETS[market].symbols
    table = _quotes_and_trades(rng, rows, len(symbols))
    panels: dict[str, np.ndarray] = {}
    if MARKETS[market].panels:
        closes = np.linspace(rows // 4, rows - 2, 4).astype(int)
        for day, i in enumerate(closes):
            table[i] = (table[i]["ts_event"], table[i]["ts_event"], day, 0, 0, 0, 0, 0, Kind.CLOSE, 0, 0, Flag.LAST)
        panels = {
            f"ABC.{name}": rng.normal(size=(4, *shape)) for name, shape in (("level", (3,)), ("cube", (182, 181)))
        }
        panels["ABC.axis_tenor"] = np.array([1.0, 2.0, 5.0])
        panels["ABC.date"] = np.arange(20_000, 20_004, dtype=np.int32)
    instruments = [Instrument(symbol=symbol, tick=1) for symbol in symbols]
    session = (OPENS, OPENS + rows * ROW_NS)
    manifest = Manifest(name=f"{market} {rows}", instruments=instruments, sessions=[session], synthetic=True)
    made = Tape(table, manifest, panels)
    manifest.rows, manifest.ts_first, manifest.ts_last = rows, int(table[0]["ts_event"]), int(table[-1]["ts_event"])
    manifest.content = made.content_hash()
    return made


@cache
def source(market: str, rows: int) -> TapeSource:
    """What a feed publishes: it only reads, so all feeds share it."""
    return TapeSource(tape(market, rows))


@cache
def tape_bytes(market: str, rows: int) -> bytes:
    """The rows of ``tape``."""
    return tape(market, rows).rows.tobytes()


def _quotes_and_trades(rng: np.random.Generator, n: int, instruments: int) -> NDArray[np.void]:
    table = np.zeros(n, ROW)
    gaps = rng.choice([0, 1, 10, 30], n, p=[0.2, 0.4, 0.3, 0.1])
    table["ts_event"] = table["ts_recv"] = OPENS + np.cumsum(gaps) * (n * ROW_NS - 1) // max(1, gaps.sum())
    table["flags"] = Flag.LAST
    table["instrument"] = rng.integers(0, instruments, n)
    mids = 100_00 + np.cumsum(rng.integers(-1, 2, n))
    touch: dict[int, tuple[int, int]] = {}
    for i in range(n):
        book, mid = int(table[i]["instrument"]), int(mids[i])
        if book in touch and rng.random() < 0.25:
            side = int(rng.choice([-1, 1]))
            table[i]["kind"], table[i]["side"], table[i]["size"] = Kind.TRADE, side, rng.integers(1, 6)
            table[i]["price"] = touch[book][side > 0]
        else:
            touch[book] = mid - 1, mid + 1
            table[i]["kind"], table[i]["price"], table[i]["price2"] = Kind.QUOTE, mid - 1, mid + 1
            table[i]["size"], table[i]["size2"] = rng.integers(1, 9, 2)
    return table


@cache
def replay(market: str, rows: int) -> bytes:
    """The records of a plain replay, RECORD[n] as bytes: what every schedule must end with."""
    kept = KeptJournal()
    run(
        list(traders(market).values()), TapeFeed(tape(market, rows)), accounts=accounts(market), broker=BROKER,
        risk=RISK, seed=SEED, journal=kept,
    )  # fmt: skip
    return kept.records.tobytes()
