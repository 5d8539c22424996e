"""A path over TCP that forgets the first connection made through it, as a tunnel does, and carries all later ones."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

HOST = "127.0.0.1"
CHUNK = 1 << 16


def free_address() -> str:
    """An address of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return f"tcp://{HOST}:{one.getsockname()[1]}"


@contextmanager
def forgetful(*targets: str) -> Iterator[list[str]]:
    """Addresses that lead to each target, while it lasts."""
    with ExitStack() as stack:
        yield [stack.enter_context(_path(target)) for target in targets]


@contextmanager
def _path(target: str) -> Iterator[str]:
    server = socket.create_server((HOST, 0))
    ends: list[socket.socket] = []
    threads = [threading.Thread(target=_serve, args=(server, target, ends))]
    threads[0].start()
    try:
        yield f"tcp://{HOST}:{server.getsockname()[1]}"
    finally:
        for one in (server, *ends):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        threads[0].join()


def _serve(server: socket.socket, target: str, ends: list[socket.socket]) -> None:
    port = int(target.rpartition(":")[2])
    carriers: list[threading.Thread] = []
    with suppress(OSError):
        while True:
            near, _ = server.accept()
            ends.append(near)
            if len(ends) == 1:
                continue  # taken, and not a byte of it carried
            far = socket.create_connection((HOST, port))
            ends.append(far)
            for pair in ((near, far), (far, near)):
                carriers.append(threading.Thread(target=_carry, args=pair))
                carriers[-1].start()
    for one in carriers:
        one.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
