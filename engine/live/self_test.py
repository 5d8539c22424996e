"""What every bound socket proves before it is used: strangers are refused, and somebody on the list is not."""

from __future__ import annotations

import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from engine.errors import ConfigError
from engine.live.authority import Authority

WITHIN_S = 30.0  # a handshake takes about 1 ms; a machine that is busy, or stops for seconds, gets time
_REFUSED = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
}


def self_test(context: zmq.Context, authority: Authority, link: str, endpoint: str, kind: int) -> None:
    """Knock three times: without keys, with a key that nobody listed, and with one on the list for this moment only.

    No peer sends a message, so the owner of the socket notices nothing. ``kind`` is the type of the clients' sockets.

    Raises
    ------
    ConfigError
        If one of the three found the door otherwise than it should be.
    """
    address = endpoint.replace("tcp://0.0.0.0:", "tcp://127.0.0.1:").replace("tcp://[::]:", "tcp://[::1]:")
    stranger, listed = zmq.curve_keypair(), zmq.curve_keypair()
    server = authority.server.public.encode()
    cases = (("a peer without keys", None, False), ("an unknown key", stranger, False), ("a listed key", listed, True))
    with authority.probing(link, listed[0].decode()):
        for who, pair, is_welcome in cases:
            came_in = _knock(context, address, kind, pair, server)
            if came_in is not is_welcome:
                found = {True: "admitted", False: "refused", None: f"not answered within {WITHIN_S:.0f} s"}[came_in]
                raise ConfigError(
                    f"{link}: {endpoint}: at the self-test {who} was {found}; nothing is served like this"
                )


def _knock(
    context: zmq.Context, address: str, kind: int, pair: tuple[bytes, bytes] | None, server: bytes
) -> bool | None:
    """Whether the handshake succeeded; None: neither that nor the contrary was heard in time."""
    peer = context.socket(kind)
    peer.linger = 0
    if pair:
        peer.curve_publickey, peer.curve_secretkey = pair
        peer.curve_serverkey = server
    heard = peer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | sum(_REFUSED))
    try:
        peer.connect(address)
        until = time.monotonic() + WITHIN_S
        while (left := until - time.monotonic()) > 0:
            if heard.poll(1 + int(1_000 * left)):
                return recv_monitor_message(heard)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return None
    finally:
        peer.disable_monitor()
        heard.close()
        peer.close()
