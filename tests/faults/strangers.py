"""A crowd at a TCP port, as a process of its own: connections that say nothing, and connections that say garbage.

    python strangers.py ENDPOINT SILENT GARBAGE

Each comes again a second after the server hung up on it. At the end of standard input it says as JSON what came of it:
how many connections there were, the most bytes that one of them was told, and all bytes but those of the greeting.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "live"))

from bad_peers import garbage

GREETING = 64  # bytes that a ZMTP server tells anybody
AWAY_S = 1.0


def main() -> None:
    endpoint, silent, noisy = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd((host, int(port)))
    for n in range(silent + noisy):
        crowd.open(is_noisy=n >= silent)
    print("ready", flush=True)
    crowd.selector.register(sys.stdin, selectors.EVENT_READ)
    while crowd.listen():
        pass
    print(json.dumps({"connections": crowd.connections, "most": crowd.most, "beyond": crowd.beyond}))


class Crowd:
    """Connections, and what they were told."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.selector = selectors.DefaultSelector()
        self.connections = self.most = self.beyond = 0
        self._address = address
        self._told: dict[socket.socket, int] = {}
        self._away: deque[tuple[float, bool]] = deque()  # when each comes again

    def open(self, is_noisy: bool) -> None:
        one = socket.create_connection(self._address, timeout=10)
        self.connections += 1
        self._told[one] = 0
        if is_noisy:
            with suppress(ConnectionError):  # it need not hear us out
                one.sendall(garbage(self.connections))
        one.setblocking(False)
        self.selector.register(one, selectors.EVENT_READ, is_noisy)

    def listen(self) -> bool:
        """What is said now; False once standard input has ended."""
        while self._away and self._away[0][0] <= time.monotonic():
            self.open(self._away.popleft()[1])
        for key, _ in self.selector.select(0.05):
            if not isinstance(key.fileobj, socket.socket):
                return False
            self._hear(key.fileobj, key.data)
        return True

    def _hear(self, one: socket.socket, is_noisy: bool) -> None:
        try:
            told = one.recv(65_536)
        except ConnectionError:
            told = b""
        if told:
            self._told[one] += len(told)
            self.most = max(self.most, self._told[one])
            return
        self.beyond += max(0, self._told.pop(one) - GREETING)
        self.selector.unregister(one)
        one.close()
        self._away.append((time.monotonic() + AWAY_S, is_noisy))


if __name__ == "__main__":
    main()
