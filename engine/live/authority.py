"""Who may come in: libzmq asks at each handshake (ZAP, RFC 27), and a thread of ours answers from the key files.

CURVE alone proves only that a peer knows the server's public key. So every bound socket has a ZAP domain of its own
(its link's name), ``ZAP_ENFORCE_DOMAIN``, which refuses everybody while nobody answers, and a list of keys.

A handshake happens once: a key that is revoked later is refused per message by ``admits``, which doors ask, and cut off
from market data by binding that socket anew (``reload``).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import zmq
from zmq.utils import z85

from engine.errors import ConfigError
from engine.live.keys import Keys, Pair, Permit

ZAP = "inproc://zeromq.zap.01"
LINKS = {"market": ("md",), "recovery": ("md", "push"), "orders": ("orders",), "admin": ("admin",)}  # and who may come
_ADMITTED, _DENIED, _FAILED = b"200", b"400", b"300"  # a peer that got 300 tries again


class Authority:
    """The keys that may come in on each link of one server; one for a context.

    ``reload`` and ``ban`` belong to the thread of the sockets; handshakes are answered by a thread of its own.
    """

    def __init__(self, context: zmq.Context, keys: Keys, server: str) -> None:
        self.keys = keys
        self.server: Pair = keys.server(server)
        self.refusals: Counter[str] = Counter()  # handshakes refused, by link
        self._permits = _by_link(keys)  # replaced as a whole, never changed: the thread reads it
        self._banned: frozenset[str] = frozenset()
        self._probes: Mapping[str, str] = {}
        self._context = context
        self._stopping = False
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(ZAP)
        self._thread = threading.Thread(target=self._answer, name="zap", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether anybody answers; if not, all handshakes fail until the process is started again."""
        return self._thread.is_alive()

    def permit(self, link: str, key: str) -> Permit | None:
        """What a key may do on a link now; None: nothing."""
        return None if key in self._banned else self._permits.get(link, {}).get(key)

    def permitted(self, link: str) -> frozenset[str]:
        """The keys that may come in on a link now."""
        return frozenset(self._permits[link]) - self._banned

    def ban(self, key: str) -> None:
        """Refuse a key until this process ends."""
        self._banned |= {key}

    def reload(self) -> list[Permit]:
        """Read the key files again; those that may no longer come in. See ``sockets.reload_keys``.

        Raises
        ------
        ConfigError
            If a file is damaged or open to others. Nobody new comes in then, and nobody who was removed.
        """
        before = self._permits
        try:
            self._permits = _by_link(self.keys)
        except ConfigError:
            self._permits = {
                link: {key: permit for key, permit in permits.items() if self.keys.has(permit)}
                for link, permits in before.items()
            }
            raise
        now = {key for permits in self._permits.values() for key in permits}
        gone = {key: permit for permits in before.values() for key, permit in permits.items() if key not in now}
        return sorted(gone.values(), key=lambda permit: (permit.role, permit.name))

    def close(self) -> None:
        """Stop answering."""
        self._stopping = True
        if self.is_alive:
            with self._context.socket(zmq.REQ) as bell:
                bell.linger = 0
                bell.connect(ZAP)
                bell.send(b"")
                self._thread.join()

    @contextmanager
    def probing(self, link: str, key: str) -> Iterator[None]:
        """Let one more key in for the time of a self-test, to no more than the handshake."""
        self._probes = {**self._probes, link: key}
        try:
            yield
        finally:
            self._probes = {name: probe for name, probe in self._probes.items() if name != link}

    def _answer(self) -> None:
        """One request after the other, each answered; if this ends, the address goes with it and libzmq refuses."""
        try:
            while not self._stopping:
                request = self._zap.recv_multipart()
                self._zap.send_multipart(self._reply(request))
        except zmq.ZMQError:
            pass  # the context is gone
        finally:
            self._zap.close()

    def _reply(self, frames: list[bytes]) -> list[bytes]:
        if len(frames) != 7 or frames[0] != b"1.0":  # version, id, domain, address, routing id, mechanism, credentials
            return [b"1.0", b"", _FAILED, b"", b"", b""]
        _, request, domain, _, _, mechanism, credential = frames
        link = domain.decode(errors="replace")
        key = z85.encode(credential).decode() if mechanism == b"CURVE" and len(credential) == 32 else ""
        if not key or not (self.permit(link, key) or self._probes.get(link) == key):
            self.refusals[link if link in LINKS else "other"] += 1
            return [b"1.0", request, _DENIED, b"not on the list", b"", b""]
        return [b"1.0", request, _ADMITTED, b"", key.encode(), b""]


def _by_link(keys: Keys) -> dict[str, dict[str, Permit]]:
    permits = keys.permits()
    return {
        link: {key: permit for role in roles for key, permit in permits[role].items()} for link, roles in LINKS.items()
    }
