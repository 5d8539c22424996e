"""Servers with keys, and the peers that must get nothing from them: for tests, and for the scripts in tests/faults."""

from __future__ import annotations

import ctypes
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import zmq
from zmq.utils.monitor import recv_monitor_message

from engine.live.authority import LINKS, Authority
from engine.live.door import Door, receive_one
from engine.live.keys import ROLES, ClientKey, Keys
from engine.live.role import Frame
from engine.live.sockets import dealer, publisher, router, subscriber

MARK = b"market data that only clients with keys may see"
ORDER = b"an order"
PATIENCE_MS = 5_000
HANDSHAKE_S = 2.0  # in which libzmq gives up on a peer that does not say who it is
_HANDSHAKES = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


@dataclass
class Served:
    """One bound socket with its authority, as a role has them."""

    link: str
    keys: Keys
    authority: Authority
    socket: zmq.Socket
    door: Door | None
    clients: zmq.Context = field(default_factory=zmq.Context)  # of everybody else
    opened: list[zmq.Socket] = field(default_factory=list)  # by them

    @property
    def endpoint(self) -> str:
        return self.socket.get_string(zmq.LAST_ENDPOINT)

    @property
    def role(self) -> str:
        return LINKS[self.link][0]

    def good_client(self, name: str = "local") -> zmq.Socket:
        """A client on the list, once it is let in."""
        key = self.keys.client(self.role, name)
        if self.link == "market":
            client = subscriber(self.clients, self.endpoint, key)
            self.opened.append(client)
            assert self.is_served(client, MARK)
            return client
        client = dealer(self.clients, self.endpoint, self.link, key)
        self.opened.append(client)
        assert client.poll(PATIENCE_MS, zmq.POLLOUT)
        return client

    def is_served(self, client: zmq.Socket, word: bytes = b"a good client's") -> bool:
        """Whether a message reaches who it is for: the market its client; or a client's the role, and the answer it."""
        if self.door:
            client.send(word)
            frame = self.heard()
            if frame is None or frame.data != word or self.door.send(frame.peer, word) != "sent":
                return False
        until = time.monotonic() + PATIENCE_MS / 1_000
        while time.monotonic() < until:
            if not self.door:
                self.socket.send(word)  # again and again: a subscription may be on its way
            while client.poll(10):
                if receive_one(client) == word:
                    return True
        return False

    def heard(self, patience_ms: int = PATIENCE_MS) -> Frame | None:
        """The next message that the role is given."""
        assert self.door
        until = time.monotonic() + patience_ms / 1_000
        while (left := until - time.monotonic()) > 0:
            if frame := self.door.receive():
                return frame
            self.socket.poll(1 + int(1_000 * left))
        return self.door.receive()

    def close(self) -> None:
        for opened in self.opened:
            opened.close(linger=0)
        self.clients.term()
        self.socket.close(linger=0)


@contextmanager
def served(link: str, keys: Keys, address: str = "tcp://127.0.0.1:*") -> Iterator[Served]:
    """The link's socket, bound and ready."""
    with zmq.Context() as context:
        authority = Authority(context, keys, ROLES[LINKS[link][0]])
        try:
            market = link == "market"
            bound = publisher(context, address, authority) if market else router(context, address, link, authority)
            one = Served(link, keys, authority, bound, None if market else Door(bound, link, authority))
            try:
                yield one
            finally:
                one.close()
        finally:
            authority.close()


class Peer:
    """A ZeroMQ peer made by hand, which asks for market data and sends orders whether or not anybody lets it."""

    def __init__(
        self, one: Served, *, pair: tuple[str, str] | None = None, server: str = "", identity: bytes = b""
    ) -> None:
        self.socket = one.clients.socket(zmq.SUB if one.link == "market" else zmq.DEALER)
        self.socket.linger = 0
        if pair:
            self.socket.curve_publickey, self.socket.curve_secretkey = pair[0].encode(), pair[1].encode()
            self.socket.curve_serverkey = (server or one.authority.server.public).encode()
        if identity:
            self.socket.routing_id = identity
        self._monitor = self.socket.get_monitor_socket(_HANDSHAKES)
        one.opened += [self.socket, self._monitor]
        self.socket.connect(one.endpoint)
        if one.link == "market":
            self.socket.subscribe(b"")
        else:
            self.socket.sndtimeo = 0
            with suppress(zmq.Again):  # who has been refused already has nowhere to send
                self.socket.send(ORDER)

    def came_in(self, patience_ms: int = PATIENCE_MS) -> bool | None:
        """Whether its handshake succeeded; None: nothing was heard of it."""
        if not self._monitor.poll(patience_ms):
            return None
        return recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def close(self) -> None:
        self.socket.close()
        self._monitor.close()


def plain(one: Served) -> Peer:
    return Peer(one)


def wrong_server_key(one: Served) -> Peer:
    own = one.keys.client(one.role)
    return Peer(one, pair=(own.public, own.secret), server=random_pair()[0])


def random_key(one: Served) -> Peer:
    return Peer(one, pair=random_pair())


def revoked_key(one: Served) -> Peer:
    one.keys.add(one.role, "revoked")
    own = one.keys.client(one.role, "revoked")
    one.authority.reload()
    one.keys.revoke(one.role, "revoked")
    one.authority.reload()
    return Peer(one, pair=(own.public, own.secret))


def key_of_another_domain(one: Served) -> Peer:
    other = next(role for role in ROLES if role not in LINKS[one.link])
    own = one.keys.client(other)
    return Peer(one, pair=(own.public, own.secret))


def while_zap_is_dead(one: Served) -> Peer:
    kill_zap(one.authority)
    own = one.keys.client(one.role)
    return Peer(one, pair=(own.public, own.secret))


ZMQ_PEERS: tuple[Callable[[Served], Peer], ...] = (
    plain,
    wrong_server_key,
    random_key,
    revoked_key,
    key_of_another_domain,
    while_zap_is_dead,
)


def random_pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def as_pair(key: ClientKey) -> tuple[str, str]:
    return key.public, key.secret


def kill_zap(authority: Authority) -> None:
    """End the thread as an error in it would: an exception where it stands, at its next request."""
    thread = authority._thread
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(zmq.ZMQError))
    with authority._context.socket(zmq.REQ) as bell:
        bell.linger = 0
        bell.connect("inproc://zeromq.zap.01")
        bell.send(b"")
        thread.join(5)
    assert not authority.is_alive


def raw_connection(endpoint: str) -> socket.socket:
    """A TCP connection without ZeroMQ at its other end."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def garbage(seed: int) -> bytes:
    """Random bytes, or the beginning of a ZMTP greeting (plain or CURVE) and random bytes after it."""
    rng = random.Random(seed)
    signature = b"\xff" + bytes(8) + b"\x7f"
    greeting = signature + b"\x03\x01" + (b"NULL", b"CURVE")[seed % 2].ljust(20, b"\0") + bytes(32)
    ready = b"\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
    head = (b"", signature, greeting, greeting + ready, b"GET / HTTP/1.1\r\n\r\n")[seed % 5]
    return head + rng.randbytes(rng.randrange(1, 4_096))


def answer_to(endpoint: str, data: bytes) -> bytes:
    """All that a server says to these bytes, until it hangs up."""
    with raw_connection(endpoint) as raw:
        with suppress(ConnectionError):  # it need not hear us out
            raw.sendall(data)
        return got_until_closed(raw)


def got_until_closed(raw: socket.socket) -> bytes:
    """All that the other side sends before it hangs up."""
    got = b""
    with suppress(ConnectionError):
        while more := raw.recv(65_536):
            got += more
    return got
