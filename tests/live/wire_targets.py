"""Who reads messages: each decoder, and the cores that take what it lets pass.

A reader is made new after so many messages, and after one that ended it in order (``StreamBroken``, ``Stop``).
Whatever else comes out of one is a fault. Most damaged messages would end at the first check, that of their number or
id; so where one decides, every other message is given the number that is expected next.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from sample_messages import MOMENT, SAMPLES
from tiny_feed import TinyFeed, tiny_tape

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig
from engine.config import Config, StrategyConfig
from engine.errors import RunError
from engine.live import messages as m
from engine.live.broker_role import BrokerRole
from engine.live.feed_core import FeedCore
from engine.live.order_entry import OrderEntry, Sent
from engine.live.receiver import StreamBroken, StreamReceiver
from engine.live.role import Committed, Frame, Stop, Tick
from engine.live.runner_role import EX_STRATEGY, RunnerRole
from engine.live.sources import TapeSource
from engine.live_config import Live
from engine.strategy import Strategy, Wake

MS = 1_000_001
LIFE = 400  # messages that one reader takes


tape = cache(tiny_tape)


class Reader(Protocol):
    """Takes messages until it has ended."""

    def take(self, frame: bytes, message: Any) -> bool:
        """False once it has ended in order."""
        ...


class Receiver:
    """A stream receiver that has joined and has had some rows."""

    def __init__(self) -> None:
        feed = TinyFeed(tape(1, 60))
        self._receiver, self._now = StreamReceiver(), 0
        self._receiver.join(0, feed.market())
        for message in feed.publish(10):
            self._receiver.hear(0, message)

    def take(self, frame: bytes, message: Any) -> bool:
        self._now += 10 * MS
        try:
            self._receiver.hear(self._now, message)
            self._receiver.take()
            self._receiver.wants(self._now)
        except StreamBroken:
            return False
        return True


class Feed:
    """A feed at full speed, with panels."""

    def __init__(self) -> None:
        self._core = FeedCore(TapeSource(tape(1, 60)), stream="tiny", epoch=0)
        self._now = 0

    def take(self, frame: bytes, message: Any) -> bool:
        self._now += MS
        peer = b"%d" % self._now
        self._core.advance(self._now, Frame("recovery", peer, "", frame))
        self._core.advance(self._now, Tick())
        return True


WAKES = m.WakeTerms(0, True, False, False, False, False, False, 0, (), True, True)
CONFIG = Config(
    name="fuzz",
    strategies=[StrategyConfig(strategy="unused", account=Account(name="maker"))],
    broker=BrokerConfig(impact=NoImpact()),
    live=Live(clients=(Account(name="desk"),)),
)
HELLOS = {
    b"maker": m.Hello(m.PROTOCOL, m.schema_digest(), "maker", WAKES, "", -1, 0, True),
    b"desk": m.Hello(m.PROTOCOL, m.schema_digest(), "desk", None, "", -1, 0, False),
}


class Broker:
    """A paper broker in the middle of a market, with a strategy and a program attached."""

    def __init__(self, link: str = "orders") -> None:
        self._link = link
        self._role = BrokerRole(CONFIG)
        self._now, self._entries, self._turn = 0, 0, 0
        self._feed = TinyFeed(tape(2, LIFE, days=False))
        self._give(Frame("recovery", b"", "", m.encode(self._feed.market())))
        for peer, hello in HELLOS.items():
            self._give(Frame("orders", peer, "", m.encode(hello)))

    def take(self, frame: bytes, message: Any) -> bool:
        self._turn += 1
        if isinstance(message, m.Progress) or self._turn % 4 == 0:
            self._go_on(isinstance(message, m.Progress))
        peer = b"maker" if isinstance(message, m.Progress) or self._turn % 3 == 0 else b"desk"
        return self._give(Frame(self._link, peer, "", self._aimed(message) or frame))

    def _go_on(self, is_answered: bool) -> None:
        """Rows come, and wakes are answered where the messages do not do so."""
        core = self._role.core
        if core is not None and core.waiting is not None and not is_answered:
            self._give(Frame("orders", b"maker", "", m.encode(m.Progress(core.numbers[0], []))))
        elif core is not None and core.waiting is None and not self._feed.ended:
            for batch in self._feed.publish(1 if is_answered else 4):
                self._give(Frame("market", b"", "", m.encode(batch)))

    def _aimed(self, message: Any) -> bytes | None:
        core = self._role.core
        if self._turn % 2 == 0 or core is None:
            return None
        match message:
            case m.Progress():
                return m.encode(replace(message, wake=max(0, core.numbers[0]), first=0, more=False))
            case m.Orders():
                return m.encode(replace(message, cid=f"{self._turn}", expire_ts=0))
        return None

    def _give(self, frame: Frame) -> bool:
        self._now += MS
        outputs = [*self._role.advance(self._now, frame)]
        outputs += self._role.advance(self._now, Committed(self._role.appended))
        return not any(isinstance(out, Stop) for out in outputs)


class Listener(Strategy):
    """Looks at what its desk shows at each wake."""

    wake = Wake(on_quote=True)

    def on_quote(self, quote: events.Quote, desk: Any) -> None:
        for look in (desk.orders, desk.cash, desk.contracts):
            look()
        for look in (desk.position, desk.book, desk.quote, desk.volume):
            look("A")

    def on_fill(self, fill: events.Filled, desk: Any) -> None: ...

    def on_order(self, event: events.OrderEvent, desk: Any) -> None: ...


class Runner:
    """A runner whose strategy has started."""

    def __init__(self) -> None:
        self._role = RunnerRole(CONFIG, "maker", strategy=Listener())
        self._now, self._turn = 0, 0
        feed = TinyFeed(tape(2, 60, days=False))
        self._give(Frame("recovery", b"", "", m.encode(feed.market())))
        self._give(Frame("orders", b"", "", m.encode(m.Welcome(m.PROTOCOL, "fuzz", 0, 0, 0, False))))
        for batch in feed.publish(30):
            self._give(Frame("market", b"", "", m.encode(batch)))
        started = m.Watermark(0, 0, 0, (0, -1), 0, events.Started(0), m.View())
        self._give(Frame("orders", b"", "", m.encode(started)))

    def take(self, frame: bytes, message: Any) -> bool:
        core, self._turn = self._role.core, self._turn + 1
        if isinstance(message, m.Watermark) and core is not None:
            wake = core.next_wake if self._turn % 4 else message.wake
            frame = m.encode(replace(message, wake=wake, seq=min(message.seq, 10)))  # more rows do not come
        return self._give(Frame("orders", b"", "", frame))

    def _give(self, frame: Frame) -> bool:
        self._now += MS
        outputs = self._role.advance(self._now, frame)
        stops = [out for out in outputs if isinstance(out, Stop)]
        if any(stop.code == EX_STRATEGY for stop in stops):
            raise AssertionError(f"a broker's message is blamed on the strategy: {stops[0].why}")
        return not stops


class Program:
    """A program's order entry with an order under way."""

    def __init__(self) -> None:
        self._entry, self._now = OrderEntry("desk"), 0
        self._entry.pass_time(1, MOMENT)
        self._entry.take(1, m.encode(m.Welcome(m.PROTOCOL, "fuzz", 0, 0, 0, False)))
        order = m.Order(0, 1, 1, 0, 0, 100, 10, 0, 0, 0)
        self._entry.ask("a1b2.1", [order], [Sent("a1b2.1", "XYZ", 1, 100, 10)])

    def take(self, frame: bytes, message: Any) -> bool:
        self._now += MS
        if isinstance(message, m.Report) and self._now & 1:
            frame = m.encode(replace(message, report=self._entry.heard + 1))
        try:
            self._entry.take(self._now, frame)
            self._entry.pass_time(self._now, MOMENT)
        except RunError:
            return False
        self._entry.outgoing.clear()
        self._entry.settled.clear()
        return True


class Nobody:
    """Decoding is all."""

    def take(self, frame: bytes, message: Any) -> bool:
        return True


READERS: dict[str, list[Callable[[], Reader]]] = {
    "feed_message": [Receiver],
    "feed_request": [Feed],
    "feed_reply": [Receiver],
    "broker_request": [Broker],
    "broker_reply": [Program, Runner],
    "admin_request": [lambda: Broker("admin")],
    "admin_reply": [Nobody],
}


@cache
def seeds() -> dict[tuple[str, str], list[bytes]]:
    """Messages to damage, by decoder and type: those of the golden file, and such as the readers take whole."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for decoder, samples in SAMPLES.items():
        for message in [*samples.values(), *_fitting(decoder)]:
            found.setdefault((decoder, type(message).__name__), []).append(m.encode(message))
    return found


def _fitting(decoder: str) -> list[Any]:
    feed = TinyFeed(tape(1, 60))
    published = [*feed.publish(10), *feed.publish(5), *feed.publish(20)]
    order = m.Order(0, 1, 1, 0, 0, 104, 10, 0, 0, 0)
    wakes = [
        m.Watermark(n, 10 * n, 1_000 + n, (0, n), 0, events.Quote(1_000, "A", 1, 2, 3, 4), m.View()) for n in (1, 2)
    ]
    table = np.array([[1, 0, 1, 104, 10]], "<i8").tobytes()
    view = m.View(positions=(0, 10), cash=(0, 5), volumes=(0, 7), shifts=(0, 1), orders=table)
    return {
        "feed_message": published,
        "feed_request": [m.Join(m.PROTOCOL, m.schema_digest()), m.WantRows(0, 8), m.WantPanel("level", 0, 0)],
        "feed_reply": [*published, feed.market()],
        "broker_request": [
            *HELLOS.values(),
            *(m.Progress(n, [order, m.Cancel(1), m.Replace(1, 105, 5)]) for n in range(8)),
            m.Orders("c", [order, m.Cancel(1), m.CancelAll(0), m.Replace(1, 105, 5)]),
        ],
        "broker_reply": [
            *wakes,
            m.Watermark(1, 5, 1_000, (0, 4), 0, events.Timer(1_000), view),
            m.Report(1, 1_000, events.Accepted(1_000, 1, "XYZ"), 0, 5),
            m.Received(-1, "a1b2.1", 1, False, False),
        ],
    }.get(decoder, [])
