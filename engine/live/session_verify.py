"""A paper session once more, from its tape and its log: each input where it was applied."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.broker.models import Account
from engine.config import Config
from engine.errors import RunError
from engine.journal import RECORD, Journal
from engine.live import messages
from engine.live.broker_core import Applied, BrokerCore, apply_logged, bring_to
from engine.live.broker_log import APPLIED, Body, Entry, decode, members_of, with_days
from engine.live.durable_log import DurableLog
from engine.tape import Tape

OUTSIDE = {
    Entry.SKIP: "wakes that the market did not wait for",
    Entry.ORDERS: "orders from outside or late",
    Entry.KILL: "kills",
    Entry.REARM: "releases of a kill",
    Entry.GONE: "cancels for want of a program",
}


def inputs_from_outside(folder: Path) -> str:
    """What the log holds besides answers of strategies that came in time, counted; "" if nothing."""
    found = Counter(kind for kind, _ in _entries(folder) if kind in OUTSIDE)
    return ", ".join(f"{count} {OUTSIDE[Entry(kind)]}" for kind, count in sorted(found.items()))


def repeat(folder: Path, config: Config, tape: Tape, journal: Journal) -> list[Account]:
    """Repeat the session of a run folder into a journal; returns its accounts, the strategies' first.

    Raises
    ------
    RunError
        If the log and the tape do not belong together.
    """
    entries = [(kind, decode(payload)) for kind, payload in _entries(folder)]
    market = next((messages.feed_reply(body.raw) for kind, body in entries if kind == Entry.MARKET), None)
    if market is None:
        raise RunError(f"{folder / 'log.sqlite'}: says of no market; the session never began")
    joined = {body.account: messages.broker_request(body.raw) for kind, body in entries if kind == Entry.JOIN}
    accounts = [*(entry.account for entry in config.strategies), *(config.live.clients if config.live else ())]
    core = BrokerCore(
        Tape(tape.rows[:0], tape.manifest, tape.panels),
        members_of(accounts, joined, config.strategies),
        broker=with_days(config.broker, market),
        risk=config.risk,
        seed=config.seed,
    )
    core.start()
    for kind, body in entries:
        _apply(core, kind, body, tape.rows)
        journal.append(np.frombuffer(core.take_records(), RECORD))
    return accounts


def _apply(core: BrokerCore, kind: int, body: Body, rows: NDArray[np.void]) -> None:
    if kind in APPLIED or kind == Entry.RECORDS:
        bring_to(core, body.stamp, lambda first, n: rows[first : first + n])
    if kind in APPLIED:
        apply_logged(core, Applied(body.stamp, body.account, APPLIED[Entry(kind)], body.requests))


def _entries(folder: Path) -> list[tuple[int, bytes]]:
    with DurableLog.open(folder / "log.sqlite") as log:
        return [(entry.kind, entry.payload) for entry in log.entries()]
