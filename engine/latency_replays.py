"""Markets replayed again and again under one config with other latencies, and the money of each replay by unit.

Units pair replays: parent orders where there are ``FEW_UNITS`` or more (money against the mid at arrival, the rest of
an unfinished one at the mid after its end), else what equity changed in each block of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.models import Account
from engine.broker.probe_models import model_of
from engine.config import Config, make_feed, make_strategies
from engine.errors import ConfigError
from engine.feed import Feed
from engine.held_signals import hold_signals
from engine.instruments import MICRO, Instrument
from engine.journal import RecordKind
from engine.result import ParentCost, Result
from engine.run import KeptJournal, run
from engine.strategy import MINUTE, Strategy, Wake
from engine.tape import Tape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SignalKey = tuple[int, str]  # strategy, symbol
FEW_UNITS = 8  # with fewer, errors say little


class Pieces:
    """A feed read once, to be replayed many times."""

    def __init__(self, feed: Feed) -> None:
        self.tape: Tape = feed.tape
        self.parts: list[NDArray[np.void]] = []
        while (rows := feed.read(until=1 << 62)) is not None:
            if not len(rows):
                raise ConfigError("latency: the feed waits for a market that is still to come; replay a recorded one")
            self.parts.append(rows)
        self._next = iter(self.parts)

    def again(self) -> Pieces:
        """From the first row."""
        self._next = iter(self.parts)
        return self

    def read(self, *, until: int) -> NDArray[np.void] | None:
        return next(self._next, None)


class Marks(Strategy):
    """Notes the mids of all instruments, and trades nothing."""

    wake = Wake(every_ns=MINUTE)

    def on_start(self, desk: Any) -> None:
        self.seen: dict[str, list[tuple[int, float]]] = {symbol: [] for symbol in desk.symbols}

    def on_timer(self, timer: events.Timer, desk: Any) -> None:
        for symbol, seen in self.seen.items():
            quote = desk.quote(symbol)
            if quote.is_two_sided:
                seen.append((desk.now, quote.mid))


class Replay(NamedTuple):
    """What one replay left to be counted."""

    result: Result
    records: NDArray[np.void]
    marks: dict[str, list[tuple[int, float]]]


class Market:
    """Configs of the same strategies with their markets at hand: replays them, and counts money by unit."""

    def __init__(self, configs: Sequence[Config], block_ns: int) -> None:
        self.configs, self.block_ns = configs, block_ns
        self.feeds = [Pieces(make_feed(config)) for config in configs]
        self.instruments = {one.symbol: one for feed in self.feeds for one in feed.tape.instruments}
        currencies = {one.currency for one in self.instruments.values()}
        if len(currencies) > 1:
            raise ConfigError(f"latency: money of {', '.join(sorted(currencies))} does not add up; replay one currency")
        self.currency = currencies.pop()
        self.signals: dict[SignalKey, str] = {}
        self.cdf: dict[SignalKey, list[tuple[int, float]]] = {}
        for n, strategy in enumerate(make_strategies(configs[0])[0]):
            for probe in strategy.probes:
                model = model_of(probe)
                facts = f"{model.manifest.horizon} ticks" if model else "no model"
                self.signals[n, probe.symbol] = f"{probe.symbol} ({facts})"
                self.cdf[n, probe.symbol] = list(model.manifest.horizon_cdf) if model else []
        self.base = self.replay()
        self.by_parent = sum(len(one.result.parents) for one in self.base) >= FEW_UNITS
        if not self.by_parent and not all(any(one.marks.values()) for one in self.base):
            raise ConfigError("latency: no mid was seen at a whole minute; replay quotes or depth of a longer time")

    def replay(
        self, *, feed: int | None = None, order: int | None = None, held: dict[SignalKey, int | None] | None = None
    ) -> list[Replay]:
        """With other latencies (ns), and signals held back (None: for ever); one for each market."""
        changed = {name: ns for name, ns in (("feed", feed), ("entry", order)) if ns is not None}
        return [
            self._one(config, pieces, changed, held or {})
            for config, pieces in zip(self.configs, self.feeds, strict=True)
        ]

    def _one(
        self, config: Config, pieces: Pieces, changed: dict[str, int], held: dict[SignalKey, int | None]
    ) -> Replay:
        strategies, entries = make_strategies(config)
        for n in sorted({n for n, _ in held}):
            mine = {symbol: delay for (k, symbol), delay in held.items() if k == n}
            strategies[n] = hold_signals(strategies[n], mine)
        latency = msgspec.structs.replace(config.broker.latency, **changed)
        marks, journal = Marks(), KeptJournal()
        accounts = [entry.account for entry in entries]
        spectator = Account(name="_".join(account.name for account in accounts) + "_marks")
        result = run(
            [*strategies, marks],
            pieces.again(),
            accounts=[*accounts, spectator],
            broker=msgspec.structs.replace(config.broker, latency=latency),
            risk=config.risk,
            seed=config.seed,
            name=config.name,
            journal=journal,
        )
        if result.partial:
            raise KeyboardInterrupt
        return Replay(result, journal.records, marks.seen)

    def money(self, replays: Sequence[Replay]) -> Floats:
        """By unit, in currency; the markets one after another."""
        if not self.by_parent:
            return np.concatenate([np.diff(self._equity(one), prepend=0.0) for one in replays])
        return np.array(
            [
                self._of_parent(parent, first, one)
                for one, base in zip(replays, self.base, strict=True)
                for parent, first in zip(one.result.parents, base.result.parents, strict=True)
            ]
        )

    def _of_parent(self, parent: ParentCost, first: ParentCost, replay: Replay) -> float:
        """Against the price at arrival of the config's own latencies, one benchmark for all."""
        if (parent.symbol, parent.start, parent.side) != (first.symbol, first.start, first.side):
            raise ConfigError(f"latency: {parent.name} is another parent at another latency; nothing can be paired")
        unit = self.instruments[parent.symbol]
        arrival = first.arrival_price
        if arrival is None:
            return 0.0
        marks = replay.marks[parent.symbol]
        later = next((mid for ts, mid in marks if ts >= parent.end), marks[-1][1] if marks else None)
        left = parent.size - parent.done
        paid = 0.0 if parent.average_price is None else parent.side * (parent.average_price - arrival) * parent.done
        missed = 0.0 if later is None else parent.side * (unit.quoted(later) - arrival) * left
        return -(paid + missed) * _worth_of(unit) - (parent.fees + parent.impact_charged) / MICRO

    def _equity(self, replay: Replay) -> Floats:
        """At the end of each block of time; what came after the last mark belongs to the last."""
        ends = sorted(one for seen in replay.marks.values() for one, _ in seen)
        edges = np.unique([ts for ts in ends if ts % self.block_ns == 0 or ts == ends[-1]])
        until = np.append(edges[:-1], 1 << 62)
        total = np.zeros(len(edges))
        for n, (symbol, unit) in enumerate(self.instruments.items()):
            if seen := replay.marks[symbol]:
                times, mids = np.array([ts for ts, _ in seen]), np.array([mid for _, mid in seen])
                mark = mids[np.maximum(np.searchsorted(times, edges, side="right") - 1, 0)]
                cash, held = _cash_and_size(replay.records[replay.records["instrument"] == n], unit, until)
                total += cash + held * mark * float(unit.money)
        return total / MICRO


def _cash_and_size(records: NDArray[np.void], unit: Instrument, until: Ints) -> tuple[Floats, Ints]:
    """What fills and adjustments came to by some times: micro-units of money, and size units held."""
    is_fill = records["kind"] == RecordKind.FILL
    some = is_fill | (records["kind"] == RecordKind.ADJUST)
    moved, is_fill = records[some], is_fill[some]
    size = np.where(is_fill, moved["side"].astype(np.int64), 1) * moved["size"]
    paid = size * moved["price"].astype(np.float64) * float(unit.money)
    cash = np.where(is_fill, -paid - moved["extra"], moved["extra"])
    at = np.searchsorted(moved["ts"], until, side="right")
    return np.append(0.0, np.cumsum(cash))[at], np.append(0, np.cumsum(size))[at]


def _worth_of(unit: Instrument) -> float:
    """Currency of a quoted price of 1 and a size unit."""
    return float(unit.money) / MICRO / unit.quoted(1)
