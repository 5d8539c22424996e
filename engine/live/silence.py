"""Clients that hear nothing for ``SILENT_NS`` connect anew.

What stands between a client and its server (a tunnel, a proxy) may have forgotten the connection without closing it,
and TCP, which gets its answers from there, sees nothing wrong. A subscriber always waits for a word, whoever asks from
the time that it asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import zmq

SILENT_NS = 5_000_000_000  # servers say something twice a second to who follows them, and answer who asks

Socket = zmq.Socket[Any]


class Silence:
    """Who of some connected sockets has heard nothing; others than clients over a network are left alone."""

    def __init__(self, sockets: Iterable[Socket]) -> None:
        self._servers = {one: address for one in sockets if (address := _server_of(one))}
        self._since: dict[Socket, int] = {}  # when they began to wait for a word
        self.connected_anew: Counter[Socket] = Counter()

    def asked(self, socket: Socket, now: int) -> None:
        """Something was sent that is answered."""
        if socket in self._servers:
            self._since.setdefault(socket, now)

    def mind(self, now: int, heard: Collection[Socket]) -> None:
        """Time has passed (monotonic ns), and these have heard something."""
        for socket, address in self._servers.items():
            if socket in heard:
                self._since.pop(socket, None)
            elif socket.type == zmq.SUB:
                self._since.setdefault(socket, now)
            if now - self._since.get(socket, now) >= SILENT_NS:
                socket.disconnect(address)
                socket.connect(address)
                self.connected_anew[socket] += 1
                del self._since[socket]


def _server_of(socket: Socket) -> str:
    """Where a client is connected to over a network; "" for servers, and where nothing stands in between."""
    address = socket.get_string(zmq.LAST_ENDPOINT) if socket.type in (zmq.SUB, zmq.DEALER) else ""
    return address if address.startswith("tcp://") else ""
