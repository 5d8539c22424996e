"""Run programs of orders on a broker without a desk, and write down everything that strategies could have seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.events import Event, Quote
from engine.journal import RECORD, Journal
from engine.signals import Probe
from engine.strategy import Wake
from engine.tape import Tape
from engine.testing.generators import Step, act, chunks_of


@dataclass(frozen=True)
class Scenario:
    """A tape, models, and for each account what wakes it and what it does at each wake."""

    tape: Tape
    programs: list[list[Step]]
    wakes: list[Wake]
    config: BrokerConfig = field(default_factory=lambda: BrokerConfig(impact=NoImpact()))
    risk: RiskConfig = field(default_factory=RiskConfig)
    seed: int = 0
    cash: int = 1_000_000_000
    wants: list[tuple[bool, bool]] = field(default_factory=list)
    probes: list[tuple[Probe, ...]] = field(default_factory=list)

    def broker(self, make: Any, journal: Journal, **more: Any) -> Any:
        """The broker that ``make`` builds for this scenario."""
        manifest, count = self.tape.manifest, len(self.programs)
        if self.probes:
            more["probes"] = self.probes
        return make(
            manifest.instruments,
            sessions=self.tape.sessions,
            actions=manifest.actions,
            config=self.config,
            risk=self.risk,
            seed=self.seed,
            accounts=[Account(name=f"a{n}", cash={"USD": self.cash, "EUR": self.cash}) for n in range(count)],
            wakes=self.wakes,
            wants=self.wants or [(True, True)] * count,
            journal=journal,
            **more,
        )


class Sight(NamedTuple):
    """One wake, and what the broker showed at it."""

    account: int
    now: int
    event: Event
    quotes: list[Any]
    levels: list[Any]
    volumes: list[int]
    positions: list[int]
    cash: list[int]
    open_orders: list[Any]
    signals: list[Any]
    next_timer: int


class Transcript(NamedTuple):
    """All wakes of a run and all its records."""

    sights: list[Sight]
    records: NDArray[np.void]


class _KeepingJournal(Journal):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[NDArray[np.void]] = []

    def append(self, records: NDArray[np.void]) -> None:
        super().append(records)
        self.parts.append(records.copy())


def drive(make: Any, scenario: Scenario, cuts: list[int] | None = None, **more: Any) -> Transcript:
    """Run a scenario on the broker that ``make`` builds, the tape cut into chunks at ``cuts``."""
    journal = _KeepingJournal()
    broker = scenario.broker(make, journal, **more)
    named, sights = scenario.tape.instruments, []
    done, sent = [0] * len(scenario.programs), [0] * len(scenario.programs)
    parts = chunks_of(scenario.tape.rows, cuts or [])
    for rows in [*parts, None]:
        if rows is None:
            broker.finish()
        else:
            broker.load(rows)
        while (event := broker.next()) is not None:
            account = broker.account
            sights.append(_look(broker, account, event, scenario))
            if done[account] < len(scenario.programs[account]):
                sent[account] = act(broker, account, scenario.programs[account][done[account]], named, sent[account])
                done[account] += 1
    if hasattr(broker, "close"):
        broker.close()
    return Transcript(sights, np.concatenate([np.zeros(0, RECORD), *journal.parts]))


def _look(broker: Any, account: int, event: Event, scenario: Scenario) -> Sight:
    named = scenario.tape.instruments
    every = range(len(named))
    return Sight(
        account,
        broker.now(account),
        _plain(event),
        [_touch(broker.quote(i)) for i in every],
        [broker.levels(i, side, 3) for i in every for side in (1, -1)],
        [broker.volume(i) for i in every],
        [broker.position(account, i) for i in every],
        [broker.cash(account, currency) for currency in ("EUR", "USD")],
        [tuple(order) for order in broker.open_orders(account)],
        [broker.signal(account, i) for i in every] if scenario.probes else [],
        broker.next_timer,
    )


def _plain(event: Event) -> Event:
    if type(event) is Quote:
        touch = _touch((event.bid, event.ask, event.bid_size, event.ask_size))
        return Quote(event.ts_event, event.symbol, *touch)
    return event


def _touch(quote: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The price of an empty side means nothing."""
    bid, ask, bid_size, ask_size = quote
    return bid if bid_size else 0, ask if ask_size else 0, bid_size, ask_size
