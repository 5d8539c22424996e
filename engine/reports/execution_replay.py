"""The market as a run met it, and as it would have been: the run replayed with a spectator, with impact on and off.

A spectator is one more strategy with an account of its own, which looks at every quote and never trades; the replay's
journal must still be the recorded one, record for record. What it sees with impact on are the displaced quotes that the
run's orders met; with impact off, the tape's. The difference at any time is our own displacement of the market.
"""

from __future__ import annotations

from array import array
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import Account
from engine.config import Setup, build
from engine.desk import Desk
from engine.errors import RunError
from engine.feed import Feed
from engine.result import Result
from engine.run import KeptJournal, run
from engine.run_folder import SavedRun
from engine.strategy import Strategy, Wake

QUOTE = ("ts", "bid", "ask", "bid_size", "ask_size")


class Sight:
    """The touch of one instrument over time, at the venue: int64[n] each, in order of time."""

    def __init__(self, columns: NDArray[np.int64]) -> None:
        self.ts, self.bid, self.ask, self.bid_size, self.ask_size = columns

    @cached_property
    def valid(self) -> NDArray[np.intp]:
        """Where the book is two-sided and not crossed."""
        return np.flatnonzero((self.bid_size > 0) & (self.ask_size > 0) & (self.bid <= self.ask))

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """When a valid touch began."""
        return self.ts[self.valid]

    def index(self, ts: NDArray[np.int64] | int, *, before: bool = False) -> NDArray[np.intp]:
        """Of the last valid touch at ``ts`` (strictly before it), -1 where there is none yet."""
        found = np.searchsorted(self.times, ts, side="left" if before else "right") - 1
        return np.where(found >= 0, self.valid[found] if len(self.valid) else -1, -1)

    def twice_mid(self, ts: NDArray[np.int64] | int, *, before: bool = False) -> NDArray[np.int64]:
        """Bid + ask of that touch; 0 where there is none."""
        at = self.index(ts, before=before)
        return np.where(at >= 0, self.bid[at] + self.ask[at], 0) if len(self.ts) else np.zeros(np.shape(ts), np.int64)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One replay: what it did, and what there was to see."""

    setup: Setup
    result: Result
    records: NDArray[np.void]  # RECORD[n]
    sights: list[Sight]  # by instrument

    @property
    def pieces(self) -> list[NDArray[np.void]]:
        """The tape's rows, as recorded."""
        return pieces(self.setup.feed)


class Spectator(Strategy):
    """Notes every quote."""

    wake = Wake(on_quote=True)

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, tuple[array[int], ...]] = {}

    def on_quote(self, quote: events.Quote, desk: Desk) -> None:
        self.note(quote.symbol, (quote.ts_event, quote.bid, quote.ask, quote.bid_size, quote.ask_size))

    def note(self, symbol: str, values: tuple[int, ...]) -> None:
        """Add a row."""
        columns = self.seen.get(symbol)
        if columns is None:
            columns = self.seen[symbol] = tuple(array("q") for _ in QUOTE)
        for column, value in zip(columns, values, strict=True):
            column.append(value)

    def sight(self, symbol: str) -> Sight:
        """Of one instrument; without a row where nothing was seen."""
        columns = self.seen.get(symbol, tuple(array("q") for _ in QUOTE))
        return Sight(np.array([np.frombuffer(column, np.int64) for column in columns]))


class TradeSpectator(Spectator):
    """Where no book was recorded, the last trade or a bar's close stands for bid and ask."""

    wake = Wake(on_quote=True, on_trade=True, on_bar=True)

    def on_trade(self, trade: events.Trade, desk: Desk) -> None:
        if desk.instrument(trade.symbol).book == "NONE":
            self.note(trade.symbol, (trade.ts_event, trade.price, trade.price, trade.size, trade.size))

    def on_bar(self, bar: events.Bar, desk: Desk) -> None:
        if desk.instrument(bar.symbol).book == "NONE":
            self.note(bar.symbol, (bar.ts_event, bar.close, bar.close, 1, 1))


def replay(saved: SavedRun) -> World:
    """The run again, exactly, with a spectator.

    Raises
    ------
    RunError
        If the run was partial, or does not repeat.
    """
    if saved.manifest.partial:
        raise RunError(
            f"{saved.folder} is partial ({saved.manifest.partial}); run it to its end, then ask for its costs"
        )
    world = _replay(saved, impact_off=False)
    if not np.array_equal(world.records, saved.records):
        raise RunError(
            f"{saved.folder} does not repeat, so its costs cannot be told apart; `tickwright verify {saved.folder}` "
            "shows the first record that differs"
        )
    return world


def replay_without_impact(saved: SavedRun) -> World:
    """The same strategies on the same tape, moving nothing."""
    return _replay(saved, impact_off=True)


def pieces(feed: Feed) -> list[NDArray[np.void]]:
    """ROW[n] of each tape of a feed, in order of time."""
    return getattr(feed, "parts", [feed.tape.rows])


def _replay(saved: SavedRun, *, impact_off: bool) -> World:
    config = saved.config
    broker = msgspec.structs.replace(config.broker, impact=NoImpact()) if impact_off else config.broker
    setup = build(config)
    instruments = setup.feed.tape.instruments
    spectator = TradeSpectator() if any(one.book == "NONE" for one in instruments) else Spectator()
    taken = {account.name for account in setup.accounts}
    name = next(name for n in range(len(taken) + 1) if (name := f"spectator-{n}") not in taken)
    journal = KeptJournal()
    result = run(
        [*setup.strategies, spectator],
        setup.feed,
        accounts=[*setup.accounts, Account(name=name, cash={})],
        broker=broker,
        risk=config.risk,
        seed=config.seed,
        name=config.name,
        journal=journal,
    )
    sights = [spectator.sight(one.symbol) for one in instruments]
    return World(setup=setup, result=result, records=journal.records, sights=sights)
