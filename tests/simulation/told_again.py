"""What a role has said, it says the same way for ever: over crashes, resends and restarts.

And it says nothing that it could forget: what an answer depends on is on its disk before it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from host import Broken

from engine.live import broker_log
from engine.live.broker_log import Entry
from engine.live.role import Append, Send
from engine.live.runner_role import decode_kept

if TYPE_CHECKING:
    from host import Host

Log = Sequence[tuple[int, bytes]]  # kind, payload
WAKE, RECEIVED, PROGRESS = b"K", b"R", b"P"


class _Head(msgspec.Struct, array_like=True, tag=None):
    """Tag and first field of a message on the order path."""

    kind: str
    wake: int


class _Asked(msgspec.Struct, array_like=True, tag=None):
    kind: str
    wake: int
    requests: list[Any]
    more: bool = False
    first: int = 0


_head = msgspec.msgpack.Decoder(_Head).decode
_asked = msgspec.msgpack.Decoder(_Asked).decode


class ToldAgain:
    """Listens to everything that broker and runners send and append."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], bytes] = {}  # (runner, wake) -> Watermark
        self._asked: dict[tuple[str, int, int], bytes] = {}  # (runner, wake, first request) -> Progress
        self._logged: dict[tuple[str, str, int], int] = {}  # (host, account's runner, wake) -> number of the entry
        self.wakes = 0
        self.again = 0

    def append(self, host: Host, output: Append) -> None:
        """Remember where an answer is logged."""
        number = len(host.disk.entries) + 1
        if host.name != "broker":
            self._logged[host.name, host.name, decode_kept(output.payload).wake] = number
        elif output.kind in (Entry.PROGRESS, Entry.ORDERS):
            body = broker_log.decode(output.payload)
            self._logged["broker", f"run{body.account}", body.wake] = number

    def send(self, host: Host, output: Send) -> None:
        """Hold what is said to what was said before, and to what is on disk."""
        kind = output.data[2:3]
        if host.name != "broker":
            if kind == PROGRESS:
                self._answer(host, output.data)
            return
        if kind == WAKE:
            runner, wake = output.peer.partition(b"=")[0].decode(), _head(output.data).wake
            self._same(self._told, (runner, wake), output.data, f"wake {wake} of {runner}")
            self._is_safe(host, runner, wake - 1)
        elif kind == RECEIVED and (wake := _head(output.data).wake) >= 0:
            self._is_safe(host, output.peer.partition(b"=")[0].decode(), wake, must=True)

    def _answer(self, host: Host, data: bytes) -> None:
        one = _asked(data)
        self._same(self._asked, (host.name, one.wake, one.first), data, f"the answer to wake {one.wake}")
        if one.requests:
            self._is_safe(host, host.name, one.wake, must=True)

    def _same(self, known: dict[Any, bytes], key: Any, data: bytes, what: str) -> None:
        if (before := known.setdefault(key, data)) is data:
            self.wakes += 1
        elif before != data:
            raise Broken("what was said is said again the same way", f"{what} is {data!r}, but was {before!r}"[:400])
        else:
            self.again += 1

    def _is_safe(self, host: Host, runner: str, wake: int, *, must: bool = False) -> None:
        number = self._logged.get((host.name, runner, wake))
        if number is None and not must:
            return
        if number is None or number > host.disk.safe_entries:
            raise Broken(
                "nothing is said that could be forgotten",
                f"{host.name} speaks of the answer to wake {wake} of {runner}, entry {number} of its log, while "
                f"{host.disk.safe_entries} are on disk",
            )

    def crashed(self, host: Host) -> None:
        """Entries that were lost will be logged again, elsewhere.

        A runner that starts anew knows the wakes up to the last answer in its log. What an earlier life saw after that
        left no trace in it, nor in the broker's log: if both have crashed, an operator may come before it this time.
        """
        safe = host.disk.safe_entries
        if host.name != "broker":
            last = max((decode_kept(payload).wake for _, payload in host.disk.entries[:safe]), default=-1)
            for said in (self._told, self._asked):
                for key in [key for key in said if key[0] == host.name and key[1] > last]:
                    del said[key]
        for key in [key for key, number in self._logged.items() if key[0] == host.name and number > safe]:
            del self._logged[key]

    def check_once(
        self, runners: Mapping[str, Sequence[tuple[int, bytes]]], broker: Sequence[tuple[int, bytes]]
    ) -> None:
        """At the end: what each runner asked for was applied, once, with just these requests; nothing else was."""
        law = "what is asked for is applied once"
        outboxes = [(name, decode_kept(payload)) for name, log in runners.items() for _, payload in log]
        asked = {(name, one.wake): one.requests for name, one in outboxes}
        if len(asked) < len(outboxes):
            raise Broken(law, "an outbox holds the same answer twice")
        for kind, payload in broker:
            if kind not in (Entry.PROGRESS, Entry.ORDERS):
                continue
            body = broker_log.decode(payload)
            key = f"run{body.account}", body.wake
            if asked.pop(key, None) != body.requests:
                raise Broken(law, f"the answer to wake {key[1]} of {key[0]} is applied as {body.requests}")
        if asked:
            raise Broken(law, f"never applied: the answers to {sorted(asked)[:5]}")
