"""A feed role's stream as a feed: rows as they arrive, for a run in this process.

Lost rows are asked for again, so a strategy sees what the published tape holds, and the run is the replay of it:
``engine.run(strategy, ZmqFeed())``, or ``feed = "feeds.zmq_feed:ZmqFeed"`` in a config. The broker is simulated here,
too; a strategy that shares a paper broker with others is attached to it (``tickwright attach``).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from engine import clock
from engine.broker.impact import Market
from engine.errors import ConfigError, RunError
from engine.live import messages, sockets
from engine.live.door import receive_one
from engine.live.keys import LOCAL, Keys
from engine.live.receiver import StreamReceiver
from engine.live.silence import Silence
from engine.live_config import Live
from engine.tape import ROW, Tape

BURST = 256  # frames of a socket before the other is heard, and rows are handed over
LONGEST_WAIT_MS = 100
CLOSED = "this feed is closed; make another one"


class ZmqFeed:
    """Join a feed, and hand over its rows from the first on.

    Parameters
    ----------
    address, recovery : str
        Where the feed publishes and answers.
    keys_folder : path, optional
        This program's keys; by default the user's own.
    name : str
        Of this program among the keys.
    plain : bool
        Without keys, where the feed runs so on this machine.
    patience_s : float
        How long the feed may be silent, at the start and later, before this gives up.
    context : zmq.Context, optional

    Attributes
    ----------
    tape : Tape
        What the rows mean; it has none itself. Its panels are filled in as days close.
    average_days : dict of symbol to Market
        What an impact model needs to know, as the feed measured it on its tape.

    Raises
    ------
    ConfigError
        If an address is unsafe, keys are missing, or nobody answers.
    StreamBroken
        If the feed speaks another protocol, or publishes no market that can be joined.
    """

    def __init__(
        self,
        address: str = Live().feed,
        recovery: str = Live().recovery,
        *,
        keys_folder: str | os.PathLike[str] | None = None,
        name: str = LOCAL,
        plain: bool = False,
        patience_s: float = 10.0,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self._sockets: list[zmq.Socket[Any]] = []  # recovery, market
        self.params = {"address": address, "recovery": recovery, "name": name, "plain": plain, "patience_s": patience_s}
        if keys_folder is not None:
            self.params["keys_folder"] = os.fspath(keys_folder)
        key = None if plain else Keys.load(os.fspath(keys_folder) if keys_folder else None).client("md", name)
        self._receiver = StreamReceiver()
        self._patience_ns = int(patience_s * 1e9)
        self._heard = clock.monotonic_ns()
        context = context or zmq.Context.instance()
        try:
            self._sockets.append(sockets.dealer(context, recovery, "recovery", key, plain=plain))
            self._sockets.append(sockets.subscriber(context, address, key, plain=plain))
            self._poller = zmq.Poller()
            for socket in self._sockets:
                self._poller.register(socket, zmq.POLLIN)
            self._silence = Silence(self._sockets)
            self._join()
        except BaseException:
            self.close()
            raise

    def read(self, *, until: int) -> NDArray[np.void] | None:
        """The rows that have arrived, at least one; None once the stream has ended.

        ``until`` means nothing here: a paced feed writes CLOCK rows, so time goes on by rows alone.

        Raises
        ------
        StreamBroken
            If the rows cannot be trusted any more.
        RunError
            If the feed has been silent for too long.
        """
        while not len(rows := self._receiver.take()):
            if self._receiver.ended:
                self.close()
                return None
            if not self._turn():
                silence = f"the feed at {self.params['address']} has been silent for {self.params['patience_s']:g} s"
                raise RunError(f"{silence}; start it again, and this run")
        return rows

    @property
    def counters(self) -> dict[str, int]:
        """What happened on the way: ``engine.live.receiver``."""
        return dict(self._receiver.counters)

    def close(self) -> None:
        """Leave the feed; nothing can be read afterwards."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._sockets = []

    def __enter__(self) -> ZmqFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # of a run that did not reach the end

    def _join(self) -> None:
        receiver = self._receiver
        while not receiver.is_joined:
            if not self._turn():
                raise ConfigError(
                    f"no feed answers at {self.params['recovery']} for {self.params['patience_s']:g} s; start one with "
                    "`tickwright publish`, with keys that this program has, or name its addresses"
                )
        assert receiver.market is not None
        assert receiver.manifest is not None
        self.tape = Tape(np.zeros(0, ROW), receiver.manifest, receiver.panels)
        self.average_days = msgspec.json.decode(receiver.market.average_days, type=dict[str, Market])

    def _turn(self) -> bool:
        """Ask what is to be asked, wait for something, hear it; False if the feed has been silent for too long."""
        if not self._sockets:
            raise RunError(CLOSED)
        now = clock.monotonic_ns()
        for want in self._receiver.wants(now):
            with suppress(zmq.Again):  # nobody is there: it will be asked again
                self._sockets[0].send(messages.encode(want), zmq.NOBLOCK)
            self._silence.asked(self._sockets[0], now)
        due_ms = (self._receiver.due - now) // 1_000_000 + 1
        heard: list[Any] = [socket for socket, _ in self._poller.poll(max(0, min(due_ms, LONGEST_WAIT_MS)))]
        for socket in heard:
            self._hear(socket)
        self._silence.mind(clock.monotonic_ns(), heard)
        return clock.monotonic_ns() - self._heard < self._patience_ns

    def _hear(self, socket: zmq.Socket[Any]) -> None:
        self._heard = now = clock.monotonic_ns()
        for _ in range(BURST):
            frame = receive_one(socket)
            if frame is None:
                break
            try:
                self._receiver.hear(now, messages.feed_reply(frame))
            except messages.BadMessage as error:
                self._receiver.counters[error.reason] += 1  # what it was will be missed, and come again
