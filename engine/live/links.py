"""A role's sockets by link name: frames in, frames out, nothing waits and nothing grows without bound.

A ROUTER knows its peers, so what one of them does not take is kept for that peer alone, in order, up to ``KEPT`` bytes
and ``STALE_NS``; then it is dropped and counted, as is what is for a peer that has gone, or what another kind of socket
does not take at once: nobody wants an order sent later. The protocols expect losses.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import zmq

from engine import clock
from engine.live.role import Frame, Send

KEPT = 16 << 20  # bytes a peer
STALE_NS = 5_000_000_000  # older frames are of no use to a peer that takes none
FAULTS = 3  # messages of a wrong number of frames after which a key is no longer heard
RETRY_MS = 1  # while frames are kept

IsAllowed = Callable[[str, str], bool]  # (link, public key): may it still speak there?


class _Kept(NamedTuple):
    since: int
    data: bytes


class Links:
    """Sockets, polled together.

    Parameters
    ----------
    sockets : mapping of link name to Socket
        Bound or connected; ROUTER, DEALER, SUB or XPUB.
    is_allowed : callable, optional
        Asked about the key of each message on a ROUTER: a handshake proves who it is, but not that it still may.
    key_of : callable, optional
        The public key that a frame's handshake proved; "" without encryption.
    """

    def __init__(
        self,
        sockets: Mapping[str, zmq.Socket[bytes]],
        *,
        is_allowed: IsAllowed | None = None,
        key_of: Callable[[zmq.Frame], str] = lambda frame: "",
    ) -> None:
        self._sockets = dict(sockets)
        self._is_allowed = is_allowed
        self._key_of = key_of
        self._names = {socket: name for name, socket in self._sockets.items()}
        self._poller = zmq.Poller()
        for socket in self._sockets.values():
            self._poller.register(socket, zmq.POLLIN)
        self._kept: dict[tuple[str, bytes], deque[_Kept]] = {}
        self._kept_bytes: Counter[tuple[str, bytes]] = Counter()
        self._faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # messages not handed on, by reason
        self.unsent: Counter[str] = Counter()  # frames dropped, by link

    def wait(self, ms: int) -> list[str]:
        """Names of the links that have something to say, after at most ``ms`` milliseconds."""
        ready: list[tuple[Any, int]] = self._poller.poll(min(ms, RETRY_MS) if self._kept else ms)
        return [self._names[socket] for socket, _ in ready]

    def receive(self, link: str) -> Frame | None:
        """The next frame of a link; None when there is none."""
        socket = self._sockets[link]
        while True:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK, copy=socket.type != zmq.ROUTER)
            except zmq.Again:
                return None
            frame = self._from_peer(link, parts) if socket.type == zmq.ROUTER else _from_only(link, socket, parts)
            if frame is not None:
                return frame

    def send(self, out: Send) -> None:
        """Send now, or keep for a peer that is slow, or drop and count."""
        at = (out.link, out.peer)
        if at in self._kept or self._is_taken(at, out.data) is False:
            self._keep(at, out.data)

    def flush(self) -> None:
        """Try again what was kept."""
        for at, kept in list(self._kept.items()):
            oldest = clock.monotonic_ns() - STALE_NS
            while kept:
                taken = self._is_taken(at, kept[0].data)
                if taken is False and kept[0].since > oldest:
                    break
                self._kept_bytes[at] -= len(kept.popleft().data)
                self.unsent[at[0]] += taken is False
            if not kept:
                del self._kept[at], self._kept_bytes[at]

    def close(self, linger_ms: int = 0) -> None:
        """Give what was sent ``linger_ms`` to leave, then close."""
        until = clock.monotonic_ns() + linger_ms * 1_000_000
        while self._kept and clock.monotonic_ns() < until:
            self.flush()
        for socket in self._sockets.values():
            socket.close(linger=linger_ms)

    def _from_peer(self, link: str, parts: Any) -> Frame | None:
        key = self._key_of(parts[-1])
        if self._faults[key] >= FAULTS or (self._is_allowed is not None and not self._is_allowed(link, key)):
            self.refused["NOT_ALLOWED"] += 1
            return None
        if len(parts) != 2:
            self._faults[key] += 1
            self.refused["FRAMES"] += 1
            return None
        return Frame(link, parts[0].bytes, key, parts[1].bytes)

    def _is_taken(self, at: tuple[str, bytes], data: bytes) -> bool | None:
        """True: on its way. None: dropped. False: not now."""
        link, peer = at
        socket = self._sockets[link]
        try:
            socket.send_multipart([peer, data] if socket.type == zmq.ROUTER else [data], zmq.NOBLOCK)
            return True
        except zmq.Again:
            if socket.type == zmq.ROUTER:
                return False
            self.unsent[link] += 1
            return None
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.unsent[link] += 1
            return None

    def _keep(self, at: tuple[str, bytes], data: bytes) -> None:
        if self._kept_bytes[at] + len(data) > KEPT:
            self.unsent[at[0]] += 1
            return
        self._kept_bytes[at] += len(data)
        self._kept.setdefault(at, deque()).append(_Kept(clock.monotonic_ns(), data))


def _from_only(link: str, socket: zmq.Socket[bytes], parts: Any) -> Frame | None:
    """Of a socket with one other side; what an XPUB hears is who listens, which no role asks."""
    if socket.type == zmq.XPUB or len(parts) != 1:
        return None
    return Frame(link, b"", "", parts[0])
