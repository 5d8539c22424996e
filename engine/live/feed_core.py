"""The feed: number rows, publish them in time, and answer whoever joins or has lost some.

1. What is due is published in batches: at full speed whatever there is, paced what market time has reached.
2. A paced feed writes a CLOCK row each 100 ms, so that quiet markets move on; each promises that no later row is at or
   before its time. Stretches without rows of more than a minute are skipped, unless that is turned off.
3. Panels are published ahead of the CLOSE row that makes their day known (``engine.live.told_panels``).
4. Rows that are pushed (``engine.live.pushed_rows``) are published and acknowledged once they are on disk; there, CLOCK
   rows follow the wall clock, ``LATENESS_NS`` behind it, and rows are not waited for.
5. Requests are answered from the source, some in each tick and one peer after the other: nobody who asks for much can
   hold up the others, or the publishing. What has not been published is not shown to anyone.

What is published is never waited for: who falls behind asks for it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.live.messages import (
    BATCH_ROWS,
    PROTOCOL,
    BadMessage,
    Batch,
    Join,
    Market,
    Push,
    Pushed,
    Refused,
    WantPanel,
    WantRows,
    disagreement,
    encode,
    feed_request,
    schema_digest,
)
from engine.live.pacing import Pace
from engine.live.panel_parts import shapes_of
from engine.live.pushed_rows import PUSH, Accepted, PushedRows
from engine.live.role import EX_OK, Append, Committed, Frame, Input, KeepRows, Operator, Output, Send, Stop, Tick
from engine.live.sources import Source
from engine.live.told_panels import ToldPanels
from engine.tape import ROW, Flag, Kind

MS = 1_000_000
HEARTBEAT_NS = 500 * MS
CLOCK_NS = 100 * MS
QUIET_NS = 60_000 * MS  # market time without rows that a paced feed skips
LATENESS_NS = 1_000 * MS  # how late a pushed row may come and still keep its time
GATHER_NS = MS  # a paced row waits so long at most for others to travel with: each batch costs every subscriber
BURST_ROWS = 4_096  # most rows published in a tick
ANSWER_ROWS = 4 * BATCH_ROWS  # most rows answered in a tick; other answers count as ``ANSWER_COST``
ANSWER_COST = 1_024
ASKED = 16  # requests of one peer that may wait; it asks again for what is not answered
PEERS = 1_024  # peers whose requests may wait
FAULTS = 3  # messages that are none, after which a key or peer is not heard any more

Request = Join | WantRows | WantPanel | Push


class FeedCore:
    """Publish a source.

    Parameters
    ----------
    source : Source
    stream : str
        Its name, up to 64 characters.
    epoch : int
        Greater at each start.
    next_seq : int
        Number of the first row to publish: all before it have been. Some may be published again, none left out.
    speed : int
        Thousandths of real time; 0 is as fast as it goes.
    batch_rows : int
        Most rows in one message that is published. A subscriber that stops keeps up to 8,192 of them in memory here.
    quiet_ns : int
        Longer stretches of market time without rows are skipped when paced; 0: none.
    wall_offset_ns : int
        Wall clock (ns UTC) minus monotonic clock: for ``ts_pub``, and for the CLOCK rows among pushed ones.
    entries : int
        In the log of pushed rows.
    may_push : callable
        Whether rows are taken from a key.
    """

    def __init__(
        self,
        source: Source,
        *,
        stream: str,
        epoch: int,
        next_seq: int = 0,
        speed: int = 0,
        batch_rows: int = 64,
        quiet_ns: int = QUIET_NS,
        wall_offset_ns: int = 0,
        entries: int = 0,
        may_push: Callable[[str], bool] = lambda key: True,
    ) -> None:
        assert speed >= 0
        assert 1 <= batch_rows <= BATCH_ROWS
        self._source = source
        self._pushed = source if isinstance(source, PushedRows) else None
        self._entries, self._may_push = entries, may_push
        self._unanswered: deque[tuple[int, bytes]] = deque()  # entries on their way to disk, and who pushed them
        self._stream, self._epoch, self._offset = stream, epoch, wall_offset_ns
        self._batch_rows, self._quiet_ns = batch_rows, quiet_ns
        self._pace = Pace(speed) if speed else None
        self._panels = ToldPanels(source.panels, source.manifest.instruments, stream=stream, epoch=epoch)
        self._market = _snapshot(source, stream, epoch, speed)
        self.next_seq = next_seq
        self.market_time = 0  # ts_event of the last row or CLOCK row published
        self._promised = -1  # ts_event of the last CLOCK row
        self.skipped_ns = 0  # market time without rows that was skipped
        self.subscribers = 0
        self.counters = {"published": 0, "answered": 0, "refused": 0, "dropped": 0}
        self._ahead = np.zeros(0, ROW)  # rows from next_seq on, read but not published
        self._asked: dict[bytes, deque[tuple[str, Request]]] = {}  # with their keys, in the order of their turns
        self._faults: dict[str | bytes, int] = {}
        self._started = False
        self._next_beat = self._next_clock = self.next_tick = 0
        self._recall(next_seq)

    @property
    def ended(self) -> bool:
        """Every row is published and none will follow."""
        return self.next_seq == self._source.total

    def advance(self, now: int, input: Input) -> list[Output]:
        """Take one input; what is to be sent."""
        match input:
            case Tick():
                out = [*self._answers(), *self._publish(now)]
                self.next_tick = now if self._asked else self._next_due(now)
                return out
            case Frame(link="recovery"):
                return self._hear(now, input)
            case Frame(link="market"):  # XPUB: 1 and 0 come before a topic
                self.subscribers = max(0, self.subscribers + (1 if input.data[:1] == b"\x01" else -1))
                return []
            case Committed(count=count):
                self.next_tick = now
                return list(self._acknowledged(count))
            case Operator(what="shutdown", why=why):
                return [Stop(EX_OK, why)]
            case _:
                return []

    # --- publishing ---

    def _publish(self, now: int) -> Iterator[Output]:
        if not self._started:
            yield from self._start(now)
        due = self._due(now)
        yield from self._panels_before(due)
        for start in range(0, len(due), self._batch_rows):
            yield self._batch(now, due[start : start + self._batch_rows])
        if self._pace and now >= self._next_clock:
            yield from self._clock(now, self._pace)
        if now >= self._next_beat or (len(due) and self.ended):
            yield self._say(now, -1 if self.ended else 0, b"")

    def _start(self, now: int) -> Iterator[Output]:
        self._started = True
        for part in self._panels.axes():
            yield Send("market", b"", encode(part))
        self._look_ahead()
        if self._pace and self._pushed:
            self._pace.set(now, now + self._offset - LATENESS_NS)
        elif self._pace and len(self._ahead):
            self._pace.set(now, int(self._ahead["ts_event"][0]))

    def _due(self, now: int) -> NDArray[np.void]:
        """The rows to publish now."""
        self._look_ahead()
        n = min(len(self._ahead), BURST_ROWS)
        if self._pace and not self._pushed:
            self._skip_quiet(now, self._pace)
            times = self._ahead["ts_event"][:n]
            n = int(np.searchsorted(times, self._pace.market(now), side="right"))
        due, self._ahead = self._ahead[:n], self._ahead[n:]
        return due

    def _look_ahead(self) -> None:
        if not len(self._ahead):
            self._ahead = self._source.read(self.next_seq, BATCH_ROWS)

    def _skip_quiet(self, now: int, pace: Pace) -> None:
        if not len(self._ahead) or not self._quiet_ns:
            return
        quiet = int(self._ahead["ts_event"][0]) - 1 - pace.market(now)
        if quiet >= self._quiet_ns:
            pace.set(now, pace.market(now) + quiet)
            self.skipped_ns += quiet
            self._next_clock = now  # a CLOCK row moves timers on over the stretch

    def _panels_before(self, rows: NDArray[np.void]) -> Iterator[Output]:
        if not self._source.panels:
            return
        for row in rows[rows["kind"] == Kind.CLOSE]:
            told = self._panels.close(int(row["instrument"]), int(row["order_id"]))
            for part in self._panels.days(told):
                yield Send("market", b"", encode(part))

    def _batch(self, now: int, rows: NDArray[np.void]) -> Output:
        batch = self._say(now, len(rows), rows.tobytes())
        self.next_seq += len(rows)
        self.market_time = int(rows["ts_event"][-1])
        self.counters["published"] += len(rows)
        return batch

    def _clock(self, now: int, pace: Pace) -> Iterator[Output]:
        """A CLOCK row at market time, or just before the next row; none between rows of one time."""
        self._next_clock = now + CLOCK_NS
        self._look_ahead()
        if self.ended or not self.next_seq:
            return
        ts = pace.market(now)
        ts = min(ts, int(self._ahead["ts_event"][0]) - 1) if len(self._ahead) else self._source.promise(ts)
        if ts < self.market_time or ts <= self._promised:
            return
        self.market_time = self._promised = ts
        yield self._say(now, 0, clock_row(ts))

    def _say(self, now: int, n: int, rows: bytes) -> Output:
        self._next_beat = now + HEARTBEAT_NS
        ts_pub = max(0, now + self._offset)
        return Send("market", b"", encode(Batch(self._stream, self._epoch, self.next_seq, n, ts_pub, rows)))

    def _next_due(self, now: int) -> int:
        """When there will be something to publish."""
        if self.ended:
            return self._next_beat
        self._look_ahead()
        if not len(self._ahead):
            return min(self._next_beat, self._next_clock) if self._pace else self._next_beat
        if not self._pace or self._pushed:
            return now
        row = self._pace.when(int(self._ahead["ts_event"][0]))
        return max(now + GATHER_NS, min(row, self._next_clock, self._next_beat))

    def _recall(self, next_seq: int) -> None:
        """What had been told of panels and of time before a restart."""
        for first in range(0, next_seq if self._source.panels else 0, BATCH_ROWS):
            rows = self._source.read(first, min(BATCH_ROWS, next_seq - first))
            for row in rows[rows["kind"] == Kind.CLOSE]:
                self._panels.close(int(row["instrument"]), int(row["order_id"]))
        if next_seq:
            last = self._source.read(next_seq - 1, 1)
            self.market_time = int(last["ts_event"][0])

    # --- answering ---

    def _hear(self, now: int, frame: Frame) -> list[Output]:
        """Put a request in line; one that is none is told so, for a while."""
        who = frame.key or frame.peer
        if self._faults.get(who, 0) >= FAULTS:
            return []
        try:
            request = feed_request(frame.data)
        except BadMessage as error:
            if len(self._faults) >= PEERS:
                self._faults.pop(next(iter(self._faults)))
            self._faults[who] = self._faults.get(who, 0) + 1
            self.counters["refused"] += 1
            return [Send("recovery", frame.peer, encode(Refused(error.reason, f"{error}")))]
        waiting = self._asked.get(frame.peer)
        if waiting is None and len(self._asked) < PEERS:
            waiting = self._asked[frame.peer] = deque()
        if waiting is None or len(waiting) >= ASKED:
            self.counters["dropped"] += 1
            return []
        waiting.append((frame.key, request))
        self.next_tick = min(self.next_tick, now)
        return []

    def _answers(self) -> Iterator[Output]:
        """One request of each peer in turn, up to what a tick may cost."""
        cost = 0
        while self._asked and cost < ANSWER_ROWS:
            peer, waiting = next(iter(self._asked.items()))
            del self._asked[peer]
            key, request = waiting.popleft()
            if waiting:
                self._asked[peer] = waiting
            cost += max(ANSWER_COST, request.n if isinstance(request, WantRows) else 0)
            yield from self._answer(peer, key, request)

    def _answer(self, peer: bytes, key: str, request: Request) -> Iterator[Output]:
        match request:
            case Join():
                reply = self._joined(request)
            case WantRows(first=first, n=n):
                reply = self._rows_again(first, n)
            case WantPanel(name=name, day=day, part=part):
                reply = self._panels.part(name, day, part)
            case Push():
                reply = self._take(key, request)
        if reply is None:
            return
        if isinstance(reply, Accepted):
            self._entries += 1
            self._unanswered.append((self._entries, peer))
            yield KeepRows(reply.rows)
            yield Append(PUSH, reply.entry)
            return
        if isinstance(reply, str):
            reply = Refused(reply, WHY[reply].format(next_seq=self.next_seq))
        self.counters["refused" if isinstance(reply, Refused) else "answered"] += 1
        yield Send("recovery", peer, encode(reply))

    def _take(self, key: str, push: Push) -> Accepted | Pushed | Refused | str | None:
        if self._pushed is None:
            return "NO_PUSH"
        return self._pushed.take(key, push) if self._may_push(key) else "MAY_NOT_PUSH"

    def _acknowledged(self, count: int) -> Iterator[Output]:
        """Pushes that are on disk now: their rows are there to be published, and their publishers are told."""
        while self._pushed and self._unanswered and self._unanswered[0][0] <= count:
            _, peer = self._unanswered.popleft()
            self.counters["answered"] += 1
            yield Send("recovery", peer, encode(self._pushed.committed()))

    def _joined(self, join: Join) -> Market | Refused:
        if why := disagreement(join.protocol, join.schema, strict=False):
            return Refused("PROTOCOL", why)
        return msgspec.structs.replace(self._market, next_seq=self.next_seq, ended=self.ended)

    def _rows_again(self, first: int, n: int) -> Batch:
        """Published rows; none where there is nothing from ``first`` on yet."""
        parts, at, end = [], first, min(first + n, self.next_seq)
        while at < end:  # days and blocks end somewhere
            rows = self._source.read(at, end - at)
            assert len(rows), f"row {at} was published, but is not in the source"
            parts.append(rows.tobytes())
            at += len(rows)
        over = self.ended and first == self.next_seq
        return Batch(self._stream, self._epoch, first, -1 if over else at - first, 0, b"".join(parts))


WHY = {
    "NO_PUSH": "this feed publishes a tape and takes no rows; start one with `tickwright publish --pushed`",
    "MAY_NOT_PUSH": "this key may read but not push; make one with `tickwright keys new NAME --role push`",
    "NO_PANEL": "there is no panel of that name; Market lists them",
    "NO_DAY": "the panel has no such day",
    "NO_PART": "the panel's day has no such part",
    "NOT_YET": "the panel's day has not closed yet: the next row is {next_seq}",
}


def clock_row(ts: int) -> bytes:
    """A CLOCK row: no later row is at or before ``ts``."""
    row = np.zeros(1, ROW)
    row["ts_event"] = row["ts_recv"] = ts
    row["kind"], row["flags"] = Kind.CLOCK, Flag.LAST
    return row.tobytes()


def _snapshot(source: Source, stream: str, epoch: int, speed: int) -> Market:
    """What a joiner is told; of rows nothing, so nothing that is still to come."""
    return Market(
        protocol=PROTOCOL,
        schema=schema_digest(),
        stream=stream,
        epoch=epoch,
        next_seq=0,
        ended=False,
        speed=speed,
        content=source.content,
        manifest=msgspec.json.encode(msgspec.structs.replace(source.manifest, rows=0, ts_first=0, ts_last=0)),
        average_days=msgspec.json.encode(source.average_days),
        panels=shapes_of(source.panels),
    )
