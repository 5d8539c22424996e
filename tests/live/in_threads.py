"""A paper session inside a test: a feed and a broker, each in a thread on sockets of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from engine import clock
from engine.live import sockets
from engine.live.door import Door
from engine.live.feed_core import FeedCore
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
def session(tape: Tape, broker: Any, live: Live, *, speed: int = 0) -> Iterator[zmq.Context[Any]]:
    """Feed and broker, without keys; the context of their sockets."""
    context: zmq.Context[Any] = zmq.Context()
    feed = FeedCore(TapeSource(tape), stream="main", epoch=1, speed=speed)
    doors = {
        "market": sockets.publisher(context, live.feed, plain=True),
        "recovery": Door(sockets.router(context, live.recovery, "recovery", plain=True), "recovery", None),
    }
    roles = [InThread(feed, Links(doors))]
    try:
        roles.append(InThread(broker, Links(broker_sockets(context, live))))
        yield context
    finally:
        for role in roles:
            role.close()
        context.term()


def broker_sockets(context: zmq.Context[Any], live: Live) -> dict[str, Any]:
    return {
        "orders": Door(sockets.router(context, live.orders, "orders", plain=True), "orders", None),
        "market": sockets.subscriber(context, live.feed, plain=True),
        "recovery": sockets.dealer(context, live.recovery, "recovery", plain=True),
    }
