"""Whatever a network does to a stream, what is taken from the receiver is the tape."""

from __future__ import annotations

import heapq
import random
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_feed import STREAM, TinyFeed, tiny_tape

from engine.live import panel_parts, receiver
from engine.live.messages import Batch, Join, Market, PanelShape, WantRows
from engine.live.receiver import ASK_AGAIN_NS, SILENT_NS, StreamBroken, StreamReceiver
from engine.live.recent_rows import RECENT_ROWS, RecentRows
from engine.live.row_rules import Block
from engine.tape import ROW, Kind, Tape
from engine.verdict import check

MS = 1_000_000
CONVERGES_WITHIN = 5_000 * MS


@dataclass(frozen=True)
class Weather:
    """What the network does until ``until``; afterwards it is good."""

    seed: int
    drop: float
    twice: float
    delay_ms: int  # longest; delays are drawn for each message, so order is lost
    restarts: int
    until: int = 1_500 * MS


weathers = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    drop=st.sampled_from([0.0, 0.05, 0.3, 0.7]),
    twice=st.sampled_from([0.0, 0.3]),
    delay_ms=st.sampled_from([0, 1, 20, 400]),
    restarts=st.integers(0, 2),
)


@dataclass
class Session:
    """A feed and a receiver with such a network between them, in virtual time."""

    feed: TinyFeed
    weather: Weather
    receiver: StreamReceiver = field(default_factory=StreamReceiver)
    taken: list[NDArray[Any]] = field(default_factory=list)
    asked: list[tuple[int, list[Any]]] = field(default_factory=list)  # when, what
    next_seq_at: dict[int, int] = field(default_factory=dict)
    joined_at: list[int] = field(default_factory=list)
    most_held: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.weather.seed)
        self.now, self.count = 0, 0
        self.queue: list[tuple[int, int, str, Any]] = []
        self.at(0, "publish", None)
        self.at(0, "beat", None)
        for _ in range(self.weather.restarts):
            self.at(self.chance.randrange(self.weather.until), "restart", None)

    def run(self) -> Session:
        self.ask()
        for _ in range(100_000):
            if self.receiver.ended:
                return self
            due = self.receiver.due
            if self.queue and self.queue[0][0] <= due:
                self.now, _, what, message = heapq.heappop(self.queue)
                getattr(self, what)(message)
            else:
                self.now = max(due, self.now)
            self.ask()
            assert self.now < self.weather.until + CONVERGES_WITHIN, self.receiver.counters
        raise AssertionError(f"goes round and round at {self.now}: {self.receiver.counters}")

    def at(self, when: int, what: str, message: Any) -> None:
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, what, message))

    def send(self, to: str, message: Any) -> None:
        bad, chance = self.now < self.weather.until, self.chance.random
        for _ in range(2 if bad and chance() < self.weather.twice else 1):
            if not bad or chance() >= self.weather.drop:
                self.at(self.now + (int(chance() * self.weather.delay_ms * MS) if bad else MS // 10), to, message)

    def publish(self, _: None) -> None:
        for message in self.feed.publish(self.chance.randint(1, 8)):
            self.send("hear", message)
        if not self.feed.ended:
            self.at(self.now + 10 * MS, "publish", None)

    def beat(self, _: None) -> None:
        self.send("hear", self.feed.heartbeat())
        self.at(self.now + 500 * MS, "beat", None)

    def restart(self, _: None) -> None:
        if not self.feed.ended:
            self.feed.start_again(back=self.chance.randint(0, 40))

    def serve(self, request: Any) -> None:
        self.send("hear", self.feed.answer(request))

    def hear(self, message: Any) -> None:
        if isinstance(message, Market):
            self.joined_at.append(self.now)
        self.receiver.hear(self.now, message)
        self.most_held = max(self.most_held, self.receiver.held)
        rows = self.receiver.take()
        for name in self.receiver.panels if len(rows) else ():
            if name.startswith("axis_"):
                assert (self.receiver.panels[name] == self.feed.panels[name]).all(), "rows before the axes of panels"
        for close in rows[rows["kind"] == Kind.CLOSE]:
            for name in ("level", "date"):
                day = close["order_id"]
                assert (self.receiver.panels[name][day] == self.feed.panels[name][day]).all(), "a close without its day"
        self.taken.append(rows)

    def ask(self) -> None:
        if wanted := self.receiver.wants(self.now):
            self.next_seq_at[self.now] = self.receiver.next_seq
            self.asked.append((self.now, wanted))
        for one in wanted:
            self.send("serve", one)

    @property
    def rows(self) -> NDArray[Any]:
        return np.concatenate(self.taken) if self.taken else np.zeros(0, ROW)


def numbered(rows: NDArray[Any]) -> bytes:
    return rows[rows["kind"] != Kind.CLOCK].tobytes()


def clocks(rows: NDArray[Any]) -> list[tuple[int, int]]:
    """(numbered rows before it, time) of each CLOCK row."""
    at = np.flatnonzero(rows["kind"] == Kind.CLOCK)
    return list(zip((at - np.arange(len(at))).tolist(), rows["ts_event"][at].tolist(), strict=True))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_parts, "PANEL_PART", 16)  # a day of three levels comes in two parts


@given(weather=weathers, seed=st.integers(0, 2**32), n=st.integers(1, 300))
def test_what_is_taken_is_the_tape_whatever_the_network_does(weather: Weather, seed: int, n: int) -> None:
    tape = tiny_tape(seed, n)
    session = Session(TinyFeed(tape), weather).run()
    assert numbered(session.rows) == numbered(tape.rows)
    assert session.receiver.held == 0
    told = clocks(session.rows)
    assert set(told) <= set(clocks(tape.rows))
    assert len(set(told)) == len(told)
    assert not session.receiver.counters.keys() & {"TIME_BACK", "CORRUPT", "UNKNOWN_INST"}
    check(Tape(session.rows, tape.manifest, tape.panels))  # no clock ahead of what it promises, no time that goes back
    for name, panel in session.receiver.panels.items():
        assert panel.dtype == tape.panels[name].dtype
        assert panel.tobytes() == tape.panels[name].tobytes()


@given(weather=weathers, seed=st.integers(0, 2**32))
def test_a_request_is_repeated_only_after_a_while_and_another_made_only_after_its_answer(weather, seed: int) -> None:
    session = Session(TinyFeed(tiny_tape(seed, 200)), weather).run()
    for (before, earlier), (then, later) in pairwise(session.asked):
        if then - before < ASK_AGAIN_NS:
            answered = type(earlier[0]) is Join and any(before <= at <= then for at in session.joined_at)
            assert answered or not {*map(subject, earlier)} & {*map(subject, later)}, "asked again too soon"
            assert type(earlier[0]) is not WantRows or session.next_seq_at[then] > earlier[0].first


@given(weather=weathers, seed=st.integers(0, 2**32))
def test_what_is_held_is_bounded(weather: Weather, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver, "HELD_ROWS", 20)
        patch.setattr(receiver, "BATCH_ROWS", 16)
        tape = tiny_tape(seed, 300)
        session = Session(TinyFeed(tape), weather).run()
    assert session.most_held < 2 * (20 + 16)  # early ones and those in order, each up to the bound and one message
    assert numbered(session.rows) == numbered(tape.rows)


@given(seed=st.integers(0, 2**32), cut=st.integers(0, 100))
def test_a_receiver_that_starts_with_rows_goes_on_behind_them(seed: int, cut: int) -> None:
    feed = TinyFeed(tiny_tape(seed, 100))
    before, feed.place = feed.tape.rows[:cut], cut
    session = Session(feed, Weather(seed, 0.3, 0.3, 20, 1), StreamReceiver(feed.next_seq, before)).run()
    assert numbered(np.concatenate([before, session.rows])) == numbered(feed.tape.rows)


@given(seed=st.integers(0, 2**32), n=st.integers(2, 60), data=st.data())
def test_a_row_that_comes_again_with_other_content_breaks_the_stream(seed: int, n: int, data: st.DataObject) -> None:
    feed = TinyFeed(tiny_tape(seed, n, days=False))
    told, batch = joined(feed), next(iter(feed.publish(n + 100)))
    assert isinstance(batch, Batch)
    told.batch(0, batch)
    first = data.draw(st.integers(0, batch.n - 1))
    again = feed.answer(WantRows(first, data.draw(st.integers(1, batch.n - first))))
    assert isinstance(again, Batch)
    told.hear(0, again)
    assert told.counters["DUP"] == again.n
    changed = bytearray(again.rows)
    changed[data.draw(st.integers(0, again.n - 1)) * 64 + data.draw(st.integers(16, 55))] ^= 1  # not time, not kind
    with pytest.raises(StreamBroken, match=r"came again with other content.*DUP_CONFLICT"):
        told.batch(0, msgspec.structs.replace(again, rows=bytes(changed)))


@given(lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=9), data=st.data())
def test_duplicates_are_compared_with_the_last_rows_however_they_came(lengths: list[int], data: st.DataObject) -> None:
    rows = np.zeros(sum(lengths), ROW)
    rows["kind"], rows["order_id"] = Kind.TRADE, np.arange(len(rows))
    recent, edges = RecentRows(0), np.concatenate([[0], np.cumsum(lengths)]).tolist()
    for begin, end in pairwise(edges):
        recent.add(Block(begin, end - begin, memoryview(rows[begin:end].tobytes()), rows[begin:end]))
    first = data.draw(st.integers(0, len(rows) - 1))
    again = rows[first : first + data.draw(st.integers(1, 9_000))].copy()
    assert recent.agrees(first, memoryview(again.tobytes()))
    at = data.draw(st.integers(0, len(again) - 1))
    again["price"][at] = 1
    assert recent.agrees(first, memoryview(again.tobytes())) == (first + at < len(rows) - RECENT_ROWS)


@given(seed=st.integers(0, 2**32), lost=st.integers(1, 8))
def test_a_heartbeat_shows_what_was_lost(seed: int, lost: int) -> None:
    feed = TinyFeed(tiny_tape(seed, 100, days=False))
    told = joined(feed)
    told.hear(0, *feed.publish(50))
    told.take()
    for _ in range(lost):
        list(feed.publish(2))
    assert told.wants(0) == []
    told.hear(500 * MS, feed.heartbeat())
    next_seq = told.next_seq
    wanted = [WantRows(next_seq, feed.next_seq - next_seq)] if feed.next_seq > next_seq else []
    assert told.wants(500 * MS) == wanted


def test_a_silent_feed_is_asked_how_far_it_has_come() -> None:
    feed = TinyFeed(tiny_tape(1, 20, days=False))
    told = joined(feed)
    list(feed.publish(5))
    assert told.due == SILENT_NS
    assert told.wants(SILENT_NS - 1) == []
    (request,) = told.wants(SILENT_NS)
    told.hear(SILENT_NS, feed.answer(request))
    assert told.wants(SILENT_NS) == [WantRows(0, feed.next_seq)]


def test_a_feed_that_starts_again_with_another_market_breaks_the_stream() -> None:
    feed, other = TinyFeed(tiny_tape(1, 20)), TinyFeed(tiny_tape(1, 20, days=False), epoch=1)
    told = joined(feed)
    with pytest.raises(StreamBroken, match="other instruments or panels from epoch 1 on"):
        told.hear(0, other.market())


def test_a_day_of_a_panel_that_comes_again_with_other_content_breaks_the_stream() -> None:
    feed = TinyFeed(tiny_tape(1, 50))
    told = joined(feed)
    for part in feed.panel("level", 0):
        told.hear(0, part)
    feed.panels = {**feed.panels, "level": feed.panels["level"] + 1}
    with pytest.raises(StreamBroken, match=r"day 0 of the panel level came again with other content \(DUP_CONFLICT\)"):
        told.hear(0, next(feed.panel("level", 0)))


def test_a_market_that_is_none_is_refused() -> None:
    market = TinyFeed(tiny_tape(1, 50)).market()
    for name, bad in [
        ("manifest", b"{"),
        ("panels", [PanelShape("x", "|O", (2,), 3)]),
        ("panels", [PanelShape("x", '[["a","|O"]]', (2,), 3)]),
        ("panels", [PanelShape("x", "<f8", (2**30,), 2**30)]),
    ]:
        with pytest.raises(StreamBroken, match="CORRUPT"):
            StreamReceiver().join(0, msgspec.structs.replace(market, **{name: bad}))
    with pytest.raises(StreamBroken, match=r"PROTOCOL"):
        StreamReceiver().join(0, msgspec.structs.replace(market, protocol=(99, 0)))


@given(st.binary(max_size=200), st.integers(-1, 4), st.integers(0, 30))
def test_bytes_that_are_no_rows_are_dropped_or_break_the_stream_and_nothing_else(noise, n: int, first: int) -> None:
    told = joined(TinyFeed(tiny_tape(1, 50)))
    for size in (len(noise), len(noise) // 64 * 64):
        with suppress(StreamBroken):
            told.batch(0, Batch(STREAM, 0, first, n, 0, noise[:size]))
            assert told.take().nbytes <= size
            assert told.next_seq <= told.known


def joined(feed: TinyFeed) -> StreamReceiver:
    """A receiver that knows the market and its axes."""
    told = StreamReceiver()
    while wanted := told.wants(0):
        for one in wanted:
            told.hear(0, feed.answer(one))
    return told


def subject(request: Any) -> tuple[Any, ...]:
    return (type(request), *([request.first] if isinstance(request, WantRows) else msgspec.structs.astuple(request)))
