"""A paper session inside a test: a feed and a broker, each in a thread on sockets of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import zmq

from engine import clock
from engine.live import sockets
from engine.live.authority import Authority
from engine.live.door import Door
from engine.live.feed_core import FeedCore
from engine.live.keys import FOLLOWER, Keys
from engine.live.links import Links
from engine.live.role import Append, Committed, Core, Frame, Send, Tick
from engine.live.sources import TapeSource
from engine.live_config import Live
from engine.tape import Tape


class InThread:
    """Runs a core until it is closed: everything that is appended counts as on disk at once."""

    def __init__(self, core: Core, links: Links) -> None:
        self.core, self._links = core, links
        self._entries = 0
        self._over = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._links.close()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                for link in self._links.wait(1):
                    while (frame := self._links.receive(link)) is not None:
                        self._give(frame)
                if clock.monotonic_ns() >= self.core.next_tick:
                    self._give(Tick())
        except BaseException as error:
            self.failure = error

    def _give(self, input: Frame | Tick | Committed) -> None:
        before = self._entries
        for out in self.core.advance(clock.monotonic_ns(), input):
            if isinstance(out, Send):
                self._links.send(out)
            elif isinstance(out, Append):
                self._entries += 1
        if self._entries > before:
            self._give(Committed(self._entries))


@contextmanager
def session(
    tape: Tape, broker: Core, live: Live, *, speed: int = 0, keys: Keys | None = None
) -> Iterator[zmq.Context[Any]]:
    """Feed and broker, and the context for clients; with keys each of the three has its own, as processes have."""
    with ExitStack() as stack:
        context = stack.enter_context(_closed_last())
        feed = FeedCore(TapeSource(tape), stream="main", epoch=1, speed=speed)
        for core, make, server in ((feed, _feed_sockets, "feed"), (broker, _broker_sockets, "broker")):
            own = stack.enter_context(_closed_last()) if keys else context
            authority = Authority(own, keys, server) if keys else None
            if authority is not None:
                stack.callback(authority.close)
            role = InThread(core, Links(make(own, live, authority, keys)))
            stack.callback(role.close)
        yield context


@contextmanager
def _closed_last() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.term()


def _feed_sockets(context: Any, live: Live, authority: Authority | None, keys: Keys | None) -> dict[str, Any]:
    plain = authority is None
    router = sockets.router(context, live.recovery, "recovery", authority, plain=plain)
    return {
        "market": sockets.publisher(context, live.feed, authority, plain=plain),
        "recovery": Door(router, "recovery", authority),
    }


def _broker_sockets(context: Any, live: Live, authority: Authority | None, keys: Keys | None) -> dict[str, Any]:
    plain, key = authority is None, keys.client("md", FOLLOWER) if keys else None
    return {
        "orders": Door(sockets.router(context, live.orders, "orders", authority, plain=plain), "orders", authority),
        "market": sockets.subscriber(context, live.feed, key, plain=plain),
        "recovery": sockets.dealer(context, live.recovery, "recovery", key, plain=plain),
    }
