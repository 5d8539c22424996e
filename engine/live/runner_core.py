"""A runner's strategy: the one loop over rows from the feed and wakes from the broker."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.models import Account, Otc
from engine.desk import Desk
from engine.errors import RunError
from engine.live.broker_core import Inbox
from engine.live.messages import Request, Watermark
from engine.live.remote_broker import RemoteBroker
from engine.loop import wakeups
from engine.strategy import Strategy
from engine.tape import Tape


class Answer(NamedTuple):
    """What a strategy asked for at a wake."""

    wake: int
    requests: list[Request]


class RunnerCore:
    """A strategy that a broker elsewhere wakes.

    Parameters
    ----------
    tape : Tape
        What is published, without its rows; panels are filled as days close.
    strategy : Strategy
    accounts : sequence of Account
        All of the run: their currencies decide how cash is told.
    otc : Otc
    """

    def __init__(self, tape: Tape, strategy: Strategy, *, accounts: list[Account], otc: Otc | None = None) -> None:
        used = [one.currency for one in tape.instruments] + [c for account in accounts for c in account.cash]
        self.broker = RemoteBroker(
            tape.instruments, currencies=sorted(dict.fromkeys(used)), panels=tape.panels, otc=otc,
            probes=strategy.probes,
        )  # fmt: skip
        self.desk: Desk | None = None
        self.last = -1  # wake handled
        self.ended = False
        self._next = 0  # wake expected
        self._inbox = Inbox(tape)
        self._loop = wakeups(strategy, self._inbox, self.broker)  # type: ignore[arg-type]

    @property
    def next_wake(self) -> int:
        """The wake that comes next."""
        return self._next

    def take_rows(self, rows: NDArray[np.void]) -> list[Answer]:
        """ROW[n] that come next from the feed."""
        self._inbox.put(rows)
        return self._go() if self.desk is not None and self.broker.waits else []

    def wake(self, wake: Watermark) -> list[Answer]:
        """A wake from the broker; one that was told before is passed over.

        Raises
        ------
        RunError
            If one is missing before it.
        """
        if wake.wake < self._next:
            return []
        if wake.wake > self._next:
            raise RunError(f"the broker told of wake {wake.wake}, but {self._next} comes next")
        self._next += 1
        if self.desk is not None:
            self.broker.push(wake)
            return self._go()
        self.broker.show(wake)
        _, self.desk = next(self._loop)  # on_start
        self.last = 0
        return [Answer(0, self.broker.take_requests())]

    def end(self) -> None:
        """The broker has told everything: ``on_stop``."""
        if self.ended:
            return
        self._inbox.ended = True
        for event, _ in self._loop:
            if type(event) is not events.Idle:
                raise RunError("the broker ended the run while wakes were left")
        self.ended = True

    def _go(self) -> list[Answer]:
        answers: list[Answer] = []
        for event, _ in self._loop:
            if type(event) is events.Idle:
                break
            self.last += 1
            answers.append(Answer(self.last, self.broker.take_requests()))
        return answers
