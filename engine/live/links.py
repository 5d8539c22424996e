"""A role's sockets by link name: frames in, frames out, nothing waits and nothing grows without bound.

A server knows its peers (``Door``), so what one of them does not take is kept for that peer alone, in order, up to
``KEPT`` bytes and ``STALE_NS``; then it is dropped and counted, as is what is for a peer that has gone, or what another
kind of socket does not take at once: nobody wants an order sent later. The protocols expect losses.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import zmq

from engine import clock
from engine.live.door import Door, Sent, receive_one
from engine.live.role import Fault, Frame, Send
from engine.live.silence import Silence

KEPT = 16 << 20  # bytes a peer
STALE_NS = 5_000_000_000  # older frames are of no use to a peer that takes none
RETRY_MS = 1  # while frames are kept


class _Kept(NamedTuple):
    since: int
    data: bytes


class Links:
    """Sockets, polled together.

    Parameters
    ----------
    sockets : mapping of link name to Door or Socket
        Doors of bound ROUTERs; DEALER, SUB and XPUB as they are.
    """

    def __init__(self, sockets: Mapping[str, Door | zmq.Socket[bytes]]) -> None:
        self._doors = {name: one for name, one in sockets.items() if isinstance(one, Door)}
        self._sockets = {name: one.socket if isinstance(one, Door) else one for name, one in sockets.items()}
        self._names = {socket: name for name, socket in self._sockets.items()}
        self._poller = zmq.Poller()
        for socket in self._sockets.values():
            self._poller.register(socket, zmq.POLLIN)
        self._kept: dict[tuple[str, bytes], deque[_Kept]] = {}
        self._kept_bytes: Counter[tuple[str, bytes]] = Counter()
        self.unsent: Counter[str] = Counter()  # frames dropped, by link
        self.silence = Silence(self._sockets.values())

    def wait(self, ms: int) -> list[str]:
        """Names of the links that have something to say, after at most ``ms`` milliseconds."""
        ready: list[tuple[Any, int]] = self._poller.poll(min(ms, RETRY_MS) if self._kept else ms)
        heard = [socket for socket, _ in ready]
        self.silence.mind(clock.monotonic_ns(), heard)
        return [self._names[socket] for socket in heard]

    def receive(self, link: str) -> Frame | None:
        """The next frame of a link; None when there is none."""
        if link in self._doors:
            return self._doors[link].receive()
        socket = self._sockets[link]
        data = receive_one(socket)
        return None if data is None else Frame(link, b"", "", data)

    def send(self, out: Send) -> None:
        """Send now, or keep for a peer that is slow, or drop and count."""
        at = (out.link, out.peer)
        if at in self._kept or self._try(at, out.data) == "busy":
            self._keep(at, out.data)

    def fault(self, out: Fault) -> None:
        """Count what a peer of a door did wrong."""
        if out.link in self._doors:
            self._doors[out.link].fault(out.peer, out.key)

    def flush(self) -> None:
        """Try again what was kept."""
        for at, kept in list(self._kept.items()):
            oldest = clock.monotonic_ns() - STALE_NS
            while kept:
                sent = self._try(at, kept[0].data)
                if sent == "busy" and kept[0].since > oldest:
                    break
                self._kept_bytes[at] -= len(kept.popleft().data)
                self.unsent[at[0]] += sent == "busy"
            if not kept:
                del self._kept[at], self._kept_bytes[at]

    def close(self, linger_ms: int = 0) -> None:
        """Give what was sent ``linger_ms`` to leave, then close."""
        until = clock.monotonic_ns() + linger_ms * 1_000_000
        while self._kept and clock.monotonic_ns() < until:
            self.flush()
        for socket in self._sockets.values():
            socket.close(linger=linger_ms)

    def _try(self, at: tuple[str, bytes], data: bytes) -> Sent:
        """Send if that is possible now; only a door's peer may be "busy"."""
        link, peer = at
        if link in self._doors:
            sent = self._doors[link].send(peer, data)
            self.unsent[link] += sent == "gone"
            return sent
        try:
            self._sockets[link].send(data, zmq.NOBLOCK)
            self.silence.asked(self._sockets[link], clock.monotonic_ns())
        except zmq.Again:
            self.unsent[link] += 1
        return "sent"

    def _keep(self, at: tuple[str, bytes], data: bytes) -> None:
        if self._kept_bytes[at] + len(data) > KEPT:
            self.unsent[at[0]] += 1
            return
        self._kept_bytes[at] += len(data)
        self._kept.setdefault(at, deque()).append(_Kept(clock.monotonic_ns(), data))
