"""A server's socket as its role sees it: whole messages from keys that may send them now, and nothing else."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Literal

import zmq

from engine.live.authority import Authority
from engine.live.role import Frame

MOST_FAULTS = 3  # of a key, then it is banned
MOST_REMEMBERED = 4_096  # peers and keys at a time
MOST_DROPPED = 256  # messages in one call, so that a flood of bad ones does not keep the role from its other work
Sent = Literal["sent", "busy", "gone"]


class Door:
    """A bound ROUTER. Who sends is what the key of its handshake says, never a field or an identity it claims.

    Parameters
    ----------
    socket
        From ``engine.live.sockets.router``.
    link
        Its name, for frames and for the list of keys.
    authority
        None where the socket is plain.
    """

    def __init__(self, socket: zmq.Socket, link: str, authority: Authority | None) -> None:
        self.socket, self.link = socket, link
        self.counters: Counter[str] = Counter()  # messages dropped, by reason
        self._authority = authority
        self._faults = Faults()
        self._keys: OrderedDict[bytes, str] = OrderedDict()  # by peer, the last heard at the end
        self._banned: OrderedDict[str, None] = OrderedDict()  # peers of a plain socket

    def receive(self) -> Frame | None:
        """The next message of a peer that may send it; None if there is none now. It never waits."""
        for _ in range(MOST_DROPPED):
            try:
                peer = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return None
            frame, is_alone = _last_frame(self.socket)
            key = sender_key(frame)
            if not self._may_enter(peer, key):
                self.counters["not admitted"] += 1
            elif not is_alone:
                self.counters["frame count"] += 1
                self.fault(peer, key)
            else:
                _remember(self._keys, peer, key)
                return Frame(self.link, peer, key, frame.bytes)
        return None

    def send(self, peer: bytes, data: bytes) -> Sent:
        """Send to a peer that has been heard, unless its queue is full, or it or its key is gone."""
        key = self._keys.get(peer)
        if key is None or not self._may_enter(peer, key):
            return "gone"
        try:
            self.socket.send_multipart([peer, data], zmq.NOBLOCK)
        except zmq.Again:
            return "busy"
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            del self._keys[peer]
            return "gone"
        return "sent"

    def fault(self, peer: bytes, key: str) -> bool:
        """Count a message that breaks the protocol against its sender; whether it is banned now."""
        is_banned = self._faults.add(key or peer.hex())
        if is_banned and self._authority:
            self._authority.ban(key)
        elif is_banned:
            _remember(self._banned, peer.hex(), None)
        return is_banned

    def _may_enter(self, peer: bytes, key: str) -> bool:
        if self._authority:
            return self._authority.permit(self.link, key) is not None
        return peer.hex() not in self._banned


class Faults:
    """What each key did wrong, counted."""

    def __init__(self, most: int = MOST_FAULTS) -> None:
        self._most = most
        self._count: OrderedDict[str, int] = OrderedDict()

    def add(self, key: str) -> bool:
        """One more fault of a key; whether that is one too many."""
        _remember(self._count, key, self._count.get(key, 0) + 1)
        return self._count[key] >= self._most


def sender_key(frame: zmq.Frame) -> str:
    """The public key that the sender of a frame proved in its handshake; "" without encryption."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


def receive_one(socket: zmq.Socket) -> bytes | None:
    """The next message of a SUB or DEALER; None if there is none now. One of several frames is passed over."""
    for _ in range(MOST_DROPPED):
        try:
            frame, is_alone = _last_frame(socket)
        except zmq.Again:
            return None
        if is_alone:
            return frame.bytes
    return None


def _last_frame(socket: zmq.Socket) -> tuple[zmq.Frame, bool]:
    """The frame that ends the message, and whether it came alone; those before it are not kept: they may be many."""
    frame = socket.recv(zmq.NOBLOCK, copy=False)
    is_alone = not frame.more
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
    return frame, is_alone


def _remember(table: OrderedDict, key: object, value: object) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MOST_REMEMBERED:
        table.popitem(last=False)
