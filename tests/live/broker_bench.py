"""A broker's role on a bench: its feed, its peers and its disk are the test."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig
from engine.config import Config, StrategyConfig
from engine.live import messages as m
from engine.live.broker_role import BrokerRole
from engine.live.role import Append, Committed, Frame, KeepRows, Operator, Send, Stop, Tick
from engine.live_config import Live
from engine.shipped import shipped_tapes
from engine.tape import ROW, Manifest, Tape

MS = 1_000_000


def small_day(rows: int = 600) -> Tape:
    """The first rows of the day that ships, in its first session."""
    day = Tape.load(shipped_tapes()["demo_day"])
    manifest = Manifest(name="few", instruments=day.instruments, sessions=day.sessions[:1])
    return Tape(np.array(day.rows[:rows]), manifest)


def config_of(*clients: str, strategies: int = 1) -> Config:
    entries = [
        StrategyConfig(strategy="strategies.twap:Twap", account=Account(name=f"main{n or ''}"))
        for n in range(strategies)
    ]
    live = Live(clients=tuple(Account(name=name) for name in clients))
    return Config(name="bench", strategies=entries, broker=BrokerConfig(impact=NoImpact()), live=live)


def hello(account: str = "main", *, every_ns: int = 1_000_000_000, **changes: Any) -> m.Hello:
    terms = m.WakeTerms(every_ns, False, False, False, False, False, False, 0, (), True, True)
    said = m.Hello(m.PROTOCOL, m.schema_digest(), account, terms, "source", -1, 0, True)
    return msgspec.structs.replace(said, **changes)


def buy(size: int = 100, price: int = 0) -> m.Order:
    """A market order, or a limit order at a price."""
    return m.Order(0, 1, 1 if price else 0, 0, 0, price, size, 0, 0, 0)


class Bench:
    """What a shell would do, by hand. ``disk`` keeps what a broker that starts again finds."""

    def __init__(self, config: Config, tape: Tape, disk: tuple[list[Any], list[bytes]] | None = None, **more: Any):
        self.config, self.tape = config, tape
        self.entries, self.kept = disk or ([], [])
        self.now, self.commits = 1, True
        self.said: list[tuple[bytes, Any]] = []
        self.asked: list[Any] = []
        self.obeyed: list[Any] = []
        self.stopped: Stop | None = None
        self.role = BrokerRole(
            config, log_entries=list(self.entries), rows=self._read, kept_rows=len(self._all()), **more
        )
        self.next_row = len(self._all())

    def _all(self) -> Any:
        return np.frombuffer(b"".join(self.kept), ROW)

    def _read(self, first: int, n: int) -> Any:
        return self._all()[first : first + n]

    def give(self, one: Any) -> list[Any]:
        """An input; what was said to peers because of it."""
        before = len(self.said)
        pending = [one]
        while pending:
            for out in self.role.advance(self.now, pending.pop(0)):
                if isinstance(out, Append):
                    self.entries.append((out.kind, out.payload))
                elif isinstance(out, KeepRows):
                    self.kept.append(out.rows)
                elif isinstance(out, Stop):
                    self.stopped = out
                elif isinstance(out, Send):
                    self._note(out)
            if self.commits and self.role.committed < len(self.entries) and self.stopped is None:
                pending.append(Committed(len(self.entries)))
        return [message for _, message in self.said[before:]]

    def _note(self, out: Send) -> None:
        if out.link == "orders":
            self.said.append((out.peer, m.broker_reply(out.data)))
        elif out.link == "admin":
            self.obeyed.append(m.admin_reply(out.data))
        else:
            self.asked.append(m.feed_request(out.data))

    def join(self, content: str = "tape", epoch: int = 1) -> list[Any]:
        manifest = msgspec.json.encode(self.tape.manifest)
        market = m.Market(m.PROTOCOL, m.schema_digest(), "s", epoch, 0, False, 0, content, manifest, b"{}", [])
        return self.give(Frame("recovery", b"", "", m.encode(market)))

    def rows(self, n: int, *, epoch: int = 1) -> list[Any]:
        """The next rows of the tape."""
        part = self.tape.rows[self.next_row : self.next_row + n]
        batch = m.Batch("s", epoch, self.next_row, len(part), 0, part.tobytes())
        self.next_row += len(part)
        return self.give(Frame("market", b"", "", m.encode(batch)))

    def end(self, *, epoch: int = 1) -> list[Any]:
        return self.give(Frame("market", b"", "", m.encode(m.Batch("s", epoch, self.next_row, -1, 0, b""))))

    def say(self, message: Any, peer: bytes = b"p", key: str = "") -> list[Any]:
        return self.give(Frame("orders", peer, key, m.encode(message)))

    def order(self, message: Any) -> Any:
        """An operator's request and its answer."""
        self.give(Frame("admin", b"a", "", m.encode(message)))
        return self.obeyed[-1]

    def wait(self, ms: int) -> list[Any]:
        self.now += ms * MS
        return self.give(Tick())

    def tell(self, what: str) -> list[Any]:
        return self.give(Operator(what, "a test"))

    def answer_all(self, requests: list[Any] | None = None, peer: bytes = b"p") -> list[Any]:
        """Answer every wake that was told, those that follow too; the first answer asks for ``requests``."""
        heard, at = [], 0
        pending = [one for to, one in self.said if to == peer and isinstance(one, m.Watermark)]
        answered: set[int] = getattr(self, "_answered", set())
        while at < len(pending):
            wake = pending[at].wake
            at += 1
            if wake in answered:
                continue
            answered.add(wake)
            new = self.say(m.Progress(wake, requests or []), peer)
            requests = None
            heard += new
            pending += [one for one in new if isinstance(one, m.Watermark)]
        self._answered = answered
        return heard

    def records(self) -> Any:
        assert self.role.core is not None
        return self.role.core.records.count, self.role.core.records.fingerprint
