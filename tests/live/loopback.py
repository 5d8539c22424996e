"""Cores joined by queues: a feed, a broker and runners in one process, every frame delivered, every entry kept."""

from __future__ import annotations

from collections import deque
from typing import Any

from engine.live.role import Append, Committed, Core, Frame, Input, KeepRows, Operator, Send, Stop, Tick

LINKS = {"market": "feed", "recovery": "feed", "orders": "broker", "admin": "broker"}  # and whose they are


class Loopback:
    """Roles by name; "feed" and "broker" are the servers, any others are runners.

    Parameters
    ----------
    cores : dict of name to Core
    rows : optional
        Takes the broker's rows, like ``Segments``.
    """

    def __init__(self, cores: dict[str, Core], rows: Any = None) -> None:
        self.cores = cores
        self.entries: dict[str, list[tuple[int, bytes]]] = {name: [] for name in cores}
        self.stopped: dict[str, Stop] = {}
        self._rows = rows
        self._inputs: deque[tuple[str, Input]] = deque()
        self._now = 0

    def run(self, *, until: str = "broker", steps: int = 200_000) -> None:
        """Until a role has stopped."""
        for _ in range(steps):
            if until in self.stopped:
                return
            self.step()
        raise AssertionError(f"{until} did not stop")

    def step(self) -> None:
        """One frame or commit; with none under way, a tick of each and a millisecond."""
        if self._inputs:
            self.give(*self._inputs.popleft())
            return
        self._now += 1_000_000
        for name in self.cores:
            self.give(name, Tick())

    def give(self, name: str, one: Input) -> None:
        """An input for a role, and what comes of it."""
        if name in self.stopped:
            return
        for out in self.cores[name].advance(self._now, one):
            match out:
                case Send():
                    self._deliver(name, out)
                case Append(kind, payload):
                    self.entries[name].append((kind, payload))
                    self._inputs.append((name, Committed(len(self.entries[name]))))
                case KeepRows(rows):
                    if self._rows is not None:
                        self._rows.append(rows)
                case Stop():
                    self.stopped[name] = out
                    return

    def tell(self, name: str, what: str, why: str) -> None:
        """As an operator."""
        self.give(name, Operator(what, why))

    def _deliver(self, name: str, out: Send) -> None:
        server = LINKS[out.link]
        if name != server:
            self._inputs.append((server, Frame(out.link, name.encode(), "", out.data)))
        elif out.peer:
            self._inputs.append((out.peer.decode(), Frame(out.link, b"", "", out.data)))
        else:
            heard = [other for other in self.cores if other != server]
            self._inputs.extend((other, Frame(out.link, b"", "", out.data)) for other in heard)
