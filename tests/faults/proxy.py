"""Loopback ports that lead to others through a network that can be disturbed, in a process of its own.

What passes is encrypted, so nothing is changed, only cut, delayed, held up or swallowed. ``Proxy.set`` changes the
weather of some links; those who are connected then feel it at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

FORK = get_context("fork")
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
BLINK_S = 0.005
HELD = 64  # pieces on their way


@dataclass(frozen=True)
class Weather:
    """What a link is like; the default disturbs nothing."""

    is_cut: bool = False  # connections are reset, new ones too
    delay_s: float = 0.0  # each way
    is_stalled: bool = False  # nothing moves; afterwards everything comes
    is_half_open: bool = False  # connections that are there stay open, but nothing comes out of them any more
    piece: int = 65_536  # bytes of one write at most
    bytes_per_s: float = float("inf")  # each way, of each connection


class Proxy:
    """Ports that lead to ``targets`` (port by link). It must be opened before anything else runs in threads."""

    def __init__(self, targets: Mapping[str, int]) -> None:
        listening = {link: socket.create_server(("127.0.0.1", 0)) for link in targets}
        self.addresses = {link: f"tcp://127.0.0.1:{one.getsockname()[1]}" for link, one in listening.items()}
        self._told, heard = FORK.Pipe()
        arguments = (listening, dict(targets), heard)
        self._process = FORK.Process(target=lambda: asyncio.run(_serve(*arguments)), daemon=True)
        self._process.start()
        for one in listening.values():
            one.close()

    def set(self, weather: Weather, links: Iterable[str] = ()) -> int:
        """From now on, on these links (all if none); how many connections felt it."""
        self._told.send((weather, list(links) or list(self.addresses)))
        return self._told.recv()

    def close(self) -> None:
        """Cut all, for good."""
        self._process.kill()
        self._process.join()


@contextmanager
def proxy(targets: Mapping[str, int]) -> Iterator[Proxy]:
    """A proxy for a while."""
    one = Proxy(targets)
    try:
        yield one
    finally:
        one.close()


class _Link:
    """One port: its weather, and the connections that go through it."""

    def __init__(self, target: int) -> None:
        self.target, self.weather = target, Weather()
        self.connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.dead: set[asyncio.StreamWriter] = set()  # whatever is written there is swallowed

    def set(self, weather: Weather) -> int:
        self.weather = weather
        felt = len(self.connections)
        if weather.is_cut:
            for pair in list(self.connections):
                _reset(*pair)
        if weather.is_half_open:
            self.dead |= {writer for pair in self.connections for writer in pair}
        return felt

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather.is_cut:
            _reset(writer)
            return
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the server is being started
            _reset(writer)
            return
        pair = (writer, onward)
        self.connections.add(pair)
        ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, onward), (there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        _reset(*pair)
        self.connections.discard(pair)
        self.dead -= set(pair)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One way: what is read is written when its delay is over."""
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD)
        now = asyncio.get_running_loop().time

        async def write() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - now()))
                await self._write(writer, data)

        writing = asyncio.create_task(write())
        try:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    await held.put((now() + self.weather.delay_s, data))
        finally:
            writing.cancel()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        at = 0
        while at < len(data) and writer not in self.dead:
            if self.weather.is_stalled:
                await asyncio.sleep(BLINK_S)
                continue
            piece = data[at : at + self.weather.piece]
            at += len(piece)
            with suppress(OSError):
                writer.write(piece)
                await writer.drain()
            await asyncio.sleep(len(piece) / self.weather.bytes_per_s)


async def _serve(listening: dict[str, socket.socket], targets: dict[str, int], heard: Connection) -> None:
    links = {link: _Link(target) for link, target in targets.items()}
    servers = [await asyncio.start_server(links[link].connected, sock=one) for link, one in listening.items()]
    over = asyncio.Event()

    def hear() -> None:
        try:
            weather, names = heard.recv()
            heard.send(sum(links[name].set(weather) for name in names))
        except EOFError:
            over.set()

    asyncio.get_running_loop().add_reader(heard.fileno(), hear)
    await over.wait()
    for server in servers:
        server.close()


def _reset(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        writer.transport.abort()
