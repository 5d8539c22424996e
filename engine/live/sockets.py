"""Sockets between the roles, with every option that is unsafe by default set: one function for each end of a link.

Servers bind (``publisher``, ``router``), clients connect (``subscriber``, ``dealer``). A bound socket has CURVE, a ZAP
domain that is enforced, and the key list of an ``Authority``; before it is handed over it has refused a peer without
keys and one with a key that nobody listed, and admitted one on the list. Without an authority only an address that no
other machine can reach is bound, and only for a caller who says ``plain=True``.

libzmq's own defaults: a dead host is never missed, a peer may send messages of any size, and 30 s to do nothing in a
handshake. ZMTP heartbeats would miss it, but libzmq up to 4.3.5 aborts the process when one is due on a connection
whose input waits for a full queue and whose peer has gone (zeromq/libzmq#4767, #3937): any client could end its server
by sending fast and leaving. So TCP itself looks for dead hosts, and the roles' own beats for stuck processes.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import sys
import time
from pathlib import Path

import zmq

from engine.errors import ConfigError
from engine.live import messages
from engine.live.authority import Authority
from engine.live.keys import ClientKey
from engine.live.self_test import self_test

HIGH_WATER = 8_192  # frames queued for a subscriber: 2.6 s of 50,000 messages a second in batches of 16
HELD_BYTES = 64 << 20  # and no more than this, where frames are large
ORDERS_HIGH_WATER = 1_000
LARGEST_SUBSCRIPTION = 1_024  # bytes: one to the whole stream has 1, but a handshake's commands must pass, too
CURVE_OVERHEAD = 64  # bytes of a frame's box, which libzmq counts as part of the message
LONGEST_IPC = 107  # bytes of a socket's path that the system takes
REBIND_S = 2.0
_TCP = re.compile(r"tcp://[^/]+:(\*|[0-9]{1,5})")
LARGEST = {  # bytes of one frame: (what the server takes, what its clients take)
    "market": (LARGEST_SUBSCRIPTION, messages.LARGEST_FEED_FRAME),
    "recovery": (messages.LARGEST_FEED_FRAME, messages.LARGEST_FEED_FRAME),
    "orders": (messages.LARGEST_ORDER_FRAME, messages.LARGEST_REPLY_FRAME),
    "admin": (messages.LARGEST_ORDER_FRAME, messages.LARGEST_REPLY_FRAME),
}


def publisher(
    context: zmq.Context,
    address: str,
    authority: Authority | None = None,
    *,
    plain: bool = False,
    frame_bytes: int = HELD_BYTES // HIGH_WATER,
) -> zmq.Socket:
    """The feed's end of market data: what a slow subscriber cannot take is dropped for it alone.

    Parameters
    ----------
    address
        ``tcp://ADDRESS:PORT`` (``*`` or 0 for any port) or ``ipc://PATH`` in a folder of mode 0700.
    authority
        Of the feed.
    plain
        Without keys or encryption, where no other machine can reach the address.
    frame_bytes
        Of a usual frame: larger ones are queued in smaller numbers, so that a slow subscriber costs 64 MiB at most.

    Raises
    ------
    ConfigError
        If the address cannot be bound, or may not be without keys, or admits whom it should not.
    """
    socket = context.socket(zmq.XPUB)
    socket.sndhwm = _high_water(frame_bytes)
    return _bind(context, socket, address, "market", authority, plain)


def router(
    context: zmq.Context, address: str, link: str, authority: Authority | None = None, *, plain: bool = False
) -> zmq.Socket:
    """A server's end of ``link`` (recovery, orders or admin); arguments and errors as of ``publisher``.

    It tells when a peer is gone or its queue full, and a second peer that claims the identity of one is not heard. Read
    and write it through a ``engine.live.door.Door``.
    """
    socket = context.socket(zmq.ROUTER)
    socket.router_mandatory = True
    socket.router_handover = False
    socket.sndhwm = socket.rcvhwm = ORDERS_HIGH_WATER
    return _bind(context, socket, address, link, authority, plain)


def subscriber(
    context: zmq.Context,
    address: str,
    key: ClientKey | None = None,
    *,
    plain: bool = False,
    frame_bytes: int = HELD_BYTES // HIGH_WATER,
) -> zmq.Socket:
    """A client's end of market data: the whole stream, since a part of it would have holes in its numbers."""
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = _high_water(frame_bytes)
    socket.subscribe(b"")
    return _connect(socket, address, "market", key, plain)


def dealer(
    context: zmq.Context, address: str, link: str, key: ClientKey | None = None, *, plain: bool = False
) -> zmq.Socket:
    """A client's end of ``link``: what cannot leave now raises ``zmq.Again`` and is never sent later.

    It claims no identity, so that after a cut it is a new peer to the server at once, not once the old one is missed.
    """
    socket = context.socket(zmq.DEALER)
    socket.immediate = True
    socket.sndhwm = socket.rcvhwm = ORDERS_HIGH_WATER
    socket.sndtimeo = 0
    return _connect(socket, address, link, key, plain)


def reload_keys(authority: Authority, market: zmq.Socket | None = None) -> list[str]:
    """What a role does on SIGHUP: read the key files again; sentences about what changed, or why nothing did.

    Doors ask at each message who may come in. Subscribers send none, so where one of them may no longer read,
    ``market`` is bound anew, which cuts off all.
    """
    readers = authority.permitted("market")
    try:
        said = [f"{permit.name} may no longer come in as {permit.role}" for permit in authority.reload()]
    except ConfigError as error:
        said = [f"the keys were not all read: {error}"]
    if market is not None and readers - authority.permitted("market"):
        rebind(market)
    return said


def rebind(socket: zmq.Socket) -> None:
    """Cut off everybody; those on the list come back within 50 to 100 ms, and find a gap in the numbers.

    Raises
    ------
    ConfigError
        If somebody else took the address meanwhile.
    """
    endpoint = _endpoint(socket)
    socket.unbind(endpoint)
    until = time.monotonic() + REBIND_S
    while True:
        try:
            socket.bind(endpoint)
            return
        except zmq.ZMQError as error:  # the I/O thread has not closed it yet: a few ms
            if error.errno != zmq.EADDRINUSE or time.monotonic() > until:
                raise ConfigError(f"{endpoint}: cannot be bound again ({_why(error)}); start the role again") from None
            time.sleep(0.002)


def is_local(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address.startswith(("ipc://", "inproc://")):
        return True
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, an interface or *
        return False


def _bind(
    context: zmq.Context, socket: zmq.Socket, address: str, link: str, authority: Authority | None, plain: bool
) -> zmq.Socket:
    try:
        _refuse_unsafe(address, bool(authority), plain, "bind")
        _make_ready(address)
        _set_common(socket, LARGEST[link][0])
        socket.backlog = 1_024  # a flood of connections that say nothing must not shut others out
        if authority:
            socket.curve_server = True
            socket.curve_secretkey = authority.server.secret.encode()
            socket.zap_domain = link.encode()
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        _bind_once(socket, address)
        if authority:
            self_test(context, authority, link, _endpoint(socket), zmq.SUB if link == "market" else zmq.DEALER)
        elif not address.startswith("inproc://"):
            print(f"{link}: {address} has no keys: every program on this machine can use it", file=sys.stderr)
    except BaseException:
        socket.close(linger=0)
        raise
    return socket


def _connect(socket: zmq.Socket, address: str, link: str, key: ClientKey | None, plain: bool) -> zmq.Socket:
    try:
        _refuse_unsafe(address, bool(key), plain, "connect to")
        _set_common(socket, LARGEST[link][1])
        if key:
            socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
            socket.curve_serverkey = key.server.encode()
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise ConfigError(f"{address}: {_why(error)}; write tcp://ADDRESS:PORT or ipc://PATH") from None
    except BaseException:
        socket.close(linger=0)
        raise
    return socket


def _set_common(socket: zmq.Socket, largest: int) -> None:
    socket.linger = 0
    socket.tcp_keepalive, socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 1, 1, 1, 2
    socket.tcp_maxrt = 3_000  # ms that sent bytes may go without an answer
    socket.handshake_ivl = 2_000
    socket.maxmsgsize = largest + CURVE_OVERHEAD
    socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 2_000


def _high_water(frame_bytes: int) -> int:
    return max(16, min(HIGH_WATER, HELD_BYTES // frame_bytes))


def _refuse_unsafe(address: str, has_keys: bool, plain: bool, verb: str) -> None:
    port = _TCP.fullmatch(address)
    if not (address.startswith(("ipc://", "inproc://")) or (port and (port[1] == "*" or int(port[1]) < 65_536))):
        raise ConfigError(f"'{address}' is no address; write tcp://ADDRESS:PORT or ipc://PATH")
    if has_keys and (plain or address.startswith("inproc://")):
        raise ConfigError(f"{address}: has keys and is to be plain; leave one of them out")
    if not has_keys and not is_local(address):
        raise ConfigError(
            f"will not {verb} {address} without keys, since other machines can reach it; make keys with "
            "`tickwright keys new`, or use tcp://127.0.0.1:PORT"
        )
    if not has_keys and not plain:
        raise ConfigError(
            f"will not {verb} {address} without keys; make them with `tickwright keys new`, or say plain if every "
            "program on this machine may use it"
        )


def _make_ready(address: str) -> None:
    """The folder of an ``ipc`` socket, which nobody else may enter."""
    if not address.startswith("ipc://"):
        return
    path = Path(address.removeprefix("ipc://"))
    if not path.is_absolute() or len(str(path).encode()) > LONGEST_IPC:
        raise ConfigError(f"{address}: name an absolute path of at most {LONGEST_IPC} bytes, like ipc:///tmp/desk/feed")
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
    found = path.parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"{address}: others can enter {path.parent} (user {found.st_uid}, mode {mode:04o}); put the socket into a "
            "folder of your own with mode 0700"
        )


def _bind_once(socket: zmq.Socket, address: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        raise ConfigError(
            f"{address}: {_why(error)}; stop what has it (`ss -lptn` says who), or choose another address"
        ) from None


def _endpoint(socket: zmq.Socket) -> str:
    return socket.get_string(zmq.LAST_ENDPOINT)


def _why(error: zmq.ZMQError) -> str:
    return zmq.strerror(error.errno or 0)  # error.strerror repeats the address
