"""A broker that is a core and its runners' brokers, everything between them encoded and decoded again.

It has the face of the simulated broker, so whatever drives that one drives this one.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from engine import events
from engine.live import messages as m
from engine.live.broker_core import BrokerCore, Member
from engine.live.remote_broker import RemoteBroker
from engine.tape import ROW, Manifest, Tape


class OverTheWire:
    """Takes what ``SimulatedBroker`` takes; one ``RemoteBroker`` for each account."""

    def __init__(
        self, instruments: Any, *, sessions: Any, actions: Any, config: Any, risk: Any, seed: int, accounts: Any,
        wakes: Any, wants: Any, journal: Any, panels: Any = None, probes: Any = (),
    ) -> None:  # fmt: skip
        manifest = Manifest(instruments=instruments, sessions=list(sessions), actions=list(actions))
        tape = Tape(np.zeros(0, ROW), manifest, panels)
        probes = probes or [()] * len(accounts)
        members = [
            Member(*each, True, tuple(owned)) for *each, owned in zip(accounts, wakes, wants, probes, strict=True)
        ]
        self.core = BrokerCore(tape, members, broker=config, risk=risk, seed=seed)
        self.journal, self.account = journal, 0
        currencies = self.core.venue.currencies
        self.remotes = [
            RemoteBroker(instruments, currencies=currencies, panels=panels, otc=config.otc, probes=owned)
            for owned in probes
        ]
        self.told: deque[tuple[int, m.Watermark]] = deque()
        self.next_timer = 0
        self._answers = False
        self._hear(self.core.start())
        while self.told:
            account, wake = self.told.popleft()
            assert type(wake.event) is events.Started
            self.remotes[account].show(wake)
            self._hear(self.core.answer())

    def _hear(self, told: list[Any]) -> None:
        for account, message in told:
            self.told.append((account, m.broker_reply(m.encode(message))))

    def load(self, rows: Any) -> None:
        for remote in self.remotes:
            remote.load(rows)
        self._hear(self.core.take_rows(rows))

    def finish(self) -> None:
        self._hear(self.core.end())

    def next(self) -> Any:
        if self._answers:
            remote = self.remotes[self.account]
            requests = remote.take_requests()
            self.core.check(self.account, requests)
            answer = m.broker_request(m.encode(m.Progress(0, requests)))
            self._hear(self.core.answer(answer.requests))
            self._answers = False
        if not self.told:
            return None
        self.account, wake = self.told.popleft()
        self._answers = True
        self.remotes[self.account].push(wake)
        event = self.remotes[self.account].next()
        assert event is not None
        return event

    def close(self) -> None:
        self.journal.append(np.frombuffer(self.core.take_records(), self.core_records()))

    def core_records(self) -> Any:
        from engine.journal import RECORD

        return RECORD

    # what ``drive`` and programs ask, of the account woken last

    def now(self, account: int) -> int:
        return self.remotes[account].clock

    def submit(self, account: int, instrument: int, side: int, **terms: int) -> int:
        names = ("type", "tif", "flags", "price", "size", "stop", "display", "expire_ts")
        return self.remotes[account].send(account, instrument, side, *(terms.get(name, 0) for name in names))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.remotes[self.account], name)
