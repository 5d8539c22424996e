"""Rows that a desk's own programs push: under the data rules, on disk, then published.

A push is numbered by its publisher, 0, 1, 2, … An entry of the log says which rows it became: the rows are kept before
it, so rows without an entry were never acknowledged, and are not published. The same number again is answered as it was
the first time; a push without rows is a question, answered with the next number.

Time never goes back: a row earlier than the last one, or not later than a CLOCK row that was published, takes the
nearest time that is in order (TIME_CLAMPED), and is flagged if that moves it by more than a second (TIME_BACK).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market
from engine.errors import RunError, TapeError
from engine.live.messages import Push, Pushed, Refused
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.verdict import REASONS, SECOND, check, in_time, reject

REMEMBERED = 256  # last pushes of a publisher, whose answers are repeated
PUBLISHERS = 256
PUSH = 1  # kind of entry
ASKED = "ASKED"  # no reason code: nobody can take the answer to a question for that to a push


class Kept(Protocol):
    """``engine.live.segments.Segments``: the rows on disk, and those on their way there."""

    @property
    def rows(self) -> int: ...

    def read(self, first: int, n: int) -> NDArray[np.void]: ...


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """An entry: a push, and where its rows are."""

    who: str
    push: int
    digest: bytes
    at: int  # place of its first row among those kept
    n: int
    verdict: dict[str, int]


class Accepted(NamedTuple):
    """A push to be put on disk: its rows, then its entry."""

    rows: bytes
    entry: bytes


class PushedRows:
    """A source whose rows are pushed.

    Parameters
    ----------
    manifest : Manifest
        Instruments, sessions and corporate actions of the market.
    kept : Kept
        Is given the rows of each ``Accepted`` in order.
    entries : iterable of bytes
        Of the log.
    floor : int
        No row that is pushed from now on is earlier (ns UTC): after the last CLOCK row of an earlier life.

    Raises
    ------
    RunError
        If entries speak of rows that are not there.
    """

    content = ""
    total: int | None = None

    def __init__(self, manifest: Manifest, kept: Kept, entries: Iterable[bytes] = (), floor: int = 0) -> None:
        from engine.book_rules import BookRules  # compiled, so not before it is needed

        self.manifest = msgspec.structs.replace(manifest, rows=0, verdict={})
        self.panels: Mapping[str, NDArray[Any]] = {}
        self.average_days: dict[str, Market] = {}
        self.counts: dict[str, int] = {}  # what the data rules found, by reason code
        self._kept, self._place = kept, kept.rows
        self._rules = BookRules(manifest.instruments)
        self._runs: list[tuple[int, int]] = []  # (number, place) from which on both count on together
        self._total = 0
        self._available = 0  # published or to be published: on disk
        self._waiting: deque[tuple[Taken, int]] = deque()  # not on disk yet, and the time of their first row
        self._publishers: dict[str, _Publisher] = {}
        self._floor = floor
        for entry in entries:
            self._recall(msgspec.msgpack.decode(entry, type=Taken))
        self._available = self._total

    def read(self, first: int, n: int) -> NDArray[np.void]:
        n = min(n, self._available - first)
        if first < 0 or n <= 0:
            return np.zeros(0, ROW)
        at = bisect_right(self._runs, first, key=lambda run: run[0]) - 1
        if at + 1 < len(self._runs):
            n = min(n, self._runs[at + 1][0] - first)
        number, place = self._runs[at]
        return self._kept.read(place + first - number, n)

    def promise(self, ts: int) -> int:
        if self._waiting:
            ts = min(ts, self._waiting[0][1] - 1)
        self._floor = max(self._floor, ts + 1)
        return ts

    def take(self, who: str, push: Push) -> Accepted | Pushed | Refused | None:
        """A publisher's push; None: it is on its way to disk already."""
        if who not in self._publishers and len(self._publishers) >= PUBLISHERS:
            return Refused("PUBLISHERS", f"{PUBLISHERS} programs have pushed rows already; use the keys of one of them")
        publisher = self._publishers.setdefault(who, _Publisher())
        if not push.rows:
            return Pushed(publisher.next_push, self._total, {ASKED: 1})
        digest = hashlib.blake2b(push.rows, digest_size=16).digest()
        if push.push != publisher.next_push:
            return publisher.again(push.push, digest)
        if len(push.rows) % ROW.itemsize:
            return Refused("BAD_ROWS", f"{len(push.rows)} bytes are not whole rows of {ROW.itemsize} bytes")
        try:
            rows, found = self._cleaned(np.frombuffer(push.rows, ROW))
        except TapeError as error:
            fault, _, _ = str(error).partition("; ")  # what follows is a cure for tapes
            return Refused("BAD_ROWS", f"{fault[:900]}; nothing of the push was taken: correct it and push again")
        taken = Taken(who, push.push, digest, self._place, len(rows), found)
        self._add(taken)
        self._waiting.append((taken, int(rows["ts_event"][0]) if len(rows) else self._floor))
        if len(rows):
            self._floor = max(self._floor, int(rows["ts_event"][-1]))
        return Accepted(rows.tobytes(), msgspec.msgpack.encode(taken))

    def committed(self) -> Pushed:
        """The push accepted first is on disk now; its answer."""
        taken, _ = self._waiting.popleft()
        self._available += taken.n
        return self._publishers[taken.who].answer(taken, self._available)

    def _cleaned(self, rows: NDArray[np.void]) -> tuple[NDArray[np.void], dict[str, int]]:
        """The rows under the data rules, and what was found; nothing is remembered of rows that are refused."""
        lost: dict[str, int] = {}
        noted: dict[str, int] = {}
        where, named = "push", self.manifest.instruments
        rows = in_time(reject(rows[rows["kind"] != Kind.CLOCK], named, lost, where), noted, where)
        _not_before(self._floor, rows, noted)
        check(Tape(rows, Manifest(name=where, instruments=named)))
        rows = self._rules.in_book(rows, lost)
        self._rules.flag(rows)
        flagged = {flag.name or "": int(np.count_nonzero(rows["flags"] & flag)) for flag in REASONS}
        found = {code: count for code, count in {**lost, **noted, **flagged}.items() if count}
        return rows, found

    def _add(self, taken: Taken) -> None:
        if taken.n and (not self._runs or taken.at - self._runs[-1][1] != self._total - self._runs[-1][0]):
            self._runs.append((self._total, taken.at))
        self._total += taken.n
        self._place = taken.at + taken.n
        for code, count in taken.verdict.items():
            self.counts[code] = self.counts.get(code, 0) + count
        self._publishers.setdefault(taken.who, _Publisher()).add(taken)

    def _recall(self, taken: Taken) -> None:
        """An entry of an earlier life: its rows make the book again that later ones are judged by."""
        if taken.at + taken.n > self._kept.rows:
            raise RunError(
                f"the log speaks of {taken.at + taken.n} rows, but {self._kept.rows} are kept; "
                "restore the feed's folder, or begin with a new one"
            )
        self._add(taken)
        self._publishers[taken.who].answer(taken, self._total)
        rows = self._kept.read(taken.at, taken.n).copy()
        if len(rows):
            self._rules.in_book(rows, {})
            self._rules.flag(rows)
            self._floor = max(self._floor, int(rows["ts_event"][-1]))
        self._place = self._kept.rows  # what is kept after the last entry was never acknowledged


class _Publisher:
    """One publisher's pushes."""

    def __init__(self) -> None:
        self.next_push = 0
        self._last: OrderedDict[int, tuple[bytes, Pushed | None]] = OrderedDict()  # digest, answer once on disk

    def add(self, taken: Taken) -> None:
        self.next_push = taken.push + 1
        self._last[taken.push] = (taken.digest, None)
        while len(self._last) > REMEMBERED:
            self._last.popitem(last=False)

    def answer(self, taken: Taken, next_seq: int) -> Pushed:
        pushed = Pushed(taken.push, next_seq, taken.verdict)
        if taken.push in self._last:
            self._last[taken.push] = (taken.digest, pushed)
        return pushed

    def again(self, push: int, digest: bytes) -> Pushed | Refused | None:
        """The answer to a number that is not the next one."""
        if push > self.next_push:
            return Refused("PUSH_GAP", f"push {push} came before push {self.next_push}; send that one first")
        if push not in self._last:
            return Refused("PUSH_OLD", f"push {push} was taken long ago; the next one is {self.next_push}")
        before, pushed = self._last[push]
        if before != digest:
            return Refused(
                "PUSH_CONFLICT", f"push {push} was other rows; the next one is {self.next_push}: ask, then number on"
            )
        return pushed


def _not_before(floor: int, rows: NDArray[np.void], noted: dict[str, int]) -> None:
    """Move rows that are earlier than ``floor`` to it."""
    times = rows["ts_event"]
    late = times < floor
    if not late.any():
        return
    noted["TIME_CLAMPED"] = noted.get("TIME_CLAMPED", 0) + int(late.sum())
    rows["flags"][floor - times > SECOND] |= int(Flag.TIME_BACK)
    rows["ts_recv"][late & (rows["ts_recv"] == times)] = floor  # no receive time of its own: it follows
    rows["ts_event"][late] = floor
