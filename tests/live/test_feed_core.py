"""The feed's core: what it publishes and answers is the tape, in time, whatever is asked in between."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.live import feed_core
from engine.live.feed_core import ASKED, HEARTBEAT_NS, MS, FeedCore
from engine.live.messages import (
    PROTOCOL,
    Batch,
    FeedRequest,
    Join,
    Market,
    PanelPart,
    Refused,
    WantPanel,
    WantRows,
    encode,
    feed_message,
    feed_reply,
    schema_digest,
)
from engine.live.panel_parts import PanelParts, shapes_of
from engine.live.role import Frame, Operator, Output, Send, Stop, Tick
from engine.live.sources import TapeSource
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.testing.generators import tapes

SECOND = 1_000_000_000


class Watcher:
    """A feed's core, its clock, and what was sent by it."""

    def __init__(self, tape: Tape, **options: Any) -> None:
        self.tape, self.now = tape, 5 * SECOND
        self.core = FeedCore(TapeSource(tape), stream="S", **{"epoch": 1, **options})
        self.batches: list[tuple[int, Batch]] = []
        self.panels: list[tuple[int, PanelPart]] = []  # with the number of the next row when it came
        self.replies: list[tuple[bytes, Market | Batch | PanelPart | Refused]] = []

    def tick(self, wait_ns: int | None = None) -> None:
        """Let time pass, or jump to when the core wants to be ticked."""
        self.now = max(self.now, self.core.next_tick) if wait_ns is None else self.now + wait_ns
        self.take(self.core.advance(self.now, Tick()))

    def ask(self, request: FeedRequest, peer: bytes = b"me", key: str = "") -> None:
        self.take(self.core.advance(self.now, Frame("recovery", peer, key, encode(request))))

    def take(self, outputs: list[Output]) -> None:
        for out in outputs:
            assert isinstance(out, Send)
            if out.link == "recovery":
                self.replies.append((out.peer, feed_reply(out.data)))
                continue
            message = feed_message(out.data)
            if isinstance(message, Batch):
                self.batches.append((self.now, message))
            else:
                self.panels.append((self.core.next_seq, message))

    def to_the_end(self, wait_ns: int | None = None) -> None:
        while not self.core.ended:
            self.tick(wait_ns)
        self.tick()

    @property
    def rows(self) -> NDArray[np.void]:
        """All that was published, CLOCK rows too, in order of sending."""
        return rows_of([batch for _, batch in self.batches])


def rows_of(batches: list[Batch]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(batch.rows for batch in batches), ROW)


def numbered(rows: NDArray[np.void]) -> NDArray[np.void]:
    return rows[rows["kind"] != Kind.CLOCK]


def quotes(times: list[int], *, clocks: list[int] | None = None) -> Tape:
    """Quotes at times in ns, CLOCK rows among them where they are asked for."""
    rows = np.zeros(len(times), ROW)
    rows["ts_event"] = rows["ts_recv"] = times
    rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
    rows["price"], rows["price2"], rows["size"], rows["size2"] = 100, 101, np.arange(len(times)) + 1, 1
    if clocks:
        rows["kind"][clocks] = Kind.CLOCK
    return Tape(rows, Manifest(instruments=[Instrument(symbol="XYZ", book="L1")]))


times = st.lists(st.integers(0, 400), max_size=60).map(lambda steps: np.cumsum([SECOND, *steps]) * MS)
requests = st.one_of(
    st.just(Join(PROTOCOL, schema_digest())),
    st.builds(WantRows, st.integers(0, 80), st.integers(1, 40)),
    st.builds(WantPanel, st.sampled_from(["A.x", "none"]), st.integers(-1, 3), st.integers(0, 2)),
)
steps = st.lists(st.one_of(st.none(), st.integers(0, 300 * MS), requests), max_size=40)


@given(tape=tapes(), batch_rows=st.integers(1, 7), steps=steps, speed=st.sampled_from([0, 1000, 10_000]))
def test_whatever_is_asked_in_between_what_is_published_is_the_tape(
    tape: Tape, batch_rows: int, steps: list, speed: int
) -> None:
    feed = Watcher(tape, batch_rows=batch_rows, speed=speed)
    for step in steps:
        if isinstance(step, msgspec.Struct):
            feed.ask(step)  # pyright: ignore[reportArgumentType]
        else:
            feed.tick(step)
    feed.to_the_end()
    assert numbered(feed.rows).tobytes() == numbered(tape.rows).tobytes()
    seq = 0
    for _, batch in feed.batches:
        assert batch.first == seq
        assert len(numbered(rows_of([batch]))) == max(0, batch.n) <= batch_rows
        seq += max(0, batch.n)
    assert feed.batches[-1][1].n == -1


@given(tape=tapes(), steps=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 50)), max_size=20))
def test_rows_again_are_those_of_the_tape_and_none_that_are_not_published(
    tape: Tape, steps: list[tuple[int, int]]
) -> None:
    feed = Watcher(tape, batch_rows=3, speed=1000)
    all_rows = numbered(tape.rows)
    for first, n in steps:
        feed.tick(50 * MS)
        published = feed.core.next_seq
        feed.ask(WantRows(first, n))
        feed.take(list(feed.core._answers()))
        _, batch = feed.replies[-1]
        assert isinstance(batch, Batch)
        assert batch.rows == all_rows[first : max(first, min(first + n, published))].tobytes()


@given(
    at=times,
    waits=st.lists(st.integers(1, 500 * MS), min_size=1, max_size=60),
    speed=st.sampled_from([500, 1000, 9000]),
)
def test_a_paced_row_is_never_published_before_its_time_nor_long_after_it(
    at: list[int], waits: list[int], speed: int
) -> None:
    feed = Watcher(quotes(list(at)), speed=speed, quiet_ns=0)
    began, last = feed.now, feed.now
    feed.tick(0)
    for wait in waits:
        last = feed.now
        feed.tick(wait)
        new = rows_of([batch for when, batch in feed.batches if when == feed.now])
        reached = at[0] + (feed.now - began) * speed // 1000
        before = at[0] + (last - began) * speed // 1000
        assert all(before < row["ts_event"] <= reached or row["kind"] == Kind.CLOCK for row in new)
    while not feed.core.ended:
        feed.tick()
        late = feed.now - began - (int(feed.core.market_time) - at[0]) * 1000 // speed
        assert late >= -1_000


@given(tape=tapes(), waits=st.lists(st.integers(1, 400 * MS), max_size=60), speed=st.sampled_from([1000, 60_000]))
def test_no_row_after_a_clock_row_is_at_or_before_its_time(tape: Tape, waits: list[int], speed: int) -> None:
    feed = Watcher(tape, speed=speed, batch_rows=2)
    with mock.patch.object(feed_core, "BURST_ROWS", 3):  # rows that are due may have to wait for the next tick
        for wait in waits:
            feed.tick(wait)
        feed.to_the_end()
    rows = feed.rows
    assert (np.diff(rows["ts_event"]) >= 0).all()
    for at in np.flatnonzero(rows["kind"] == Kind.CLOCK):
        after = numbered(rows[at + 1 :])
        assert len(after) == 0 or after["ts_event"][0] > rows["ts_event"][at]
        assert at == 0 or rows["flags"][at - 1] & Flag.LAST or rows["kind"][at - 1] == Kind.CLOCK


@given(tape=tapes(), stop=st.integers(0, 30), back=st.integers(0, 10), speed=st.sampled_from([0, 1000]))
def test_after_a_restart_it_goes_on_and_leaves_nothing_out(tape: Tape, stop: int, back: int, speed: int) -> None:
    first = Watcher(tape, batch_rows=1, speed=speed)
    for _ in range(stop):
        first.tick(20 * MS)
    known = max(0, first.core.next_seq - back)  # what the state on disk says may be a little old
    second = Watcher(tape, batch_rows=4, speed=speed, epoch=2, next_seq=known)
    second.to_the_end()
    assert numbered(second.rows).tobytes() == numbered(tape.rows)[known:].tobytes()
    assert {batch.epoch for _, batch in second.batches} == {2}


def test_heartbeats_come_each_half_second_and_carry_the_next_number() -> None:
    feed = Watcher(quotes([SECOND]))
    for _ in range(4):
        feed.tick()
    assert [(now - 5 * SECOND, batch.first, batch.n) for now, batch in feed.batches] == [
        (0, 0, 1),
        (0, 1, -1),
        (HEARTBEAT_NS, 1, -1),
        (2 * HEARTBEAT_NS, 1, -1),
        (3 * HEARTBEAT_NS, 1, -1),
    ]


def test_a_quiet_market_moves_on_by_clock_rows_each_100_ms() -> None:
    feed = Watcher(quotes([SECOND, 2 * SECOND]), speed=1000)
    feed.to_the_end()
    clock = [int(ts) for ts in feed.rows["ts_event"][feed.rows["kind"] == Kind.CLOCK]]
    assert clock == [SECOND, *range(SECOND + 100 * MS, 2 * SECOND, 100 * MS)]


def test_an_hour_without_rows_is_skipped_and_counted() -> None:
    feed = Watcher(quotes([SECOND, 3_601 * SECOND]), speed=1000)
    feed.to_the_end()
    assert feed.now < 6 * SECOND
    assert feed.core.skipped_ns == 3_600 * SECOND - 100 * MS - 1  # what is left of it at the first look
    clock = feed.rows["ts_event"][feed.rows["kind"] == Kind.CLOCK]
    assert clock[-1] == 3_601 * SECOND - 1


def test_clock_rows_of_a_sealed_tape_are_stripped_and_take_no_number() -> None:
    tape = quotes([1, 2, 3, 4, 5, 6], clocks=[0, 2, 3, 5])
    feed = Watcher(tape)
    feed.to_the_end()
    assert feed.core.next_seq == 2
    assert feed.rows.tobytes() == tape.rows[[1, 4]].tobytes()
    source = TapeSource(tape)
    assert [source.read(first, 5)["ts_event"].tolist() for first in range(3)] == [[2, 5], [5], []]


def closes(days: int, bytes_a_day: int) -> Tape:
    rows = np.zeros(days, ROW)
    rows["ts_event"] = rows["ts_recv"] = SECOND * np.arange(1, days + 1)
    rows["kind"], rows["flags"], rows["order_id"] = Kind.CLOSE, Flag.LAST, np.arange(days)
    rng = np.random.Generator(np.random.Philox(3))
    panels = {"A.x": rng.integers(0, 255, (days, bytes_a_day), np.uint8), "axis_x": np.arange(3.0)}
    return Tape(rows, Manifest(instruments=[Instrument(symbol="A", kind="rates", book="NONE")]), panels)


def test_a_panels_day_is_published_before_its_close_and_not_shown_sooner() -> None:
    tape = closes(3, 300_000)
    feed = Watcher(tape, speed=1000)
    feed.tick(0)
    assert [(part.name, part.day, part.part) for _, part in feed.panels] == [
        ("axis_x", -1, 0),
        ("A.x", 0, 0),
        ("A.x", 0, 1),
    ]
    feed.ask(WantPanel("A.x", 1, 0))
    feed.ask(WantPanel("A.x", 0, 1))
    feed.tick(0)
    refused, again = (reply for _, reply in feed.replies)
    assert isinstance(refused, Refused)
    assert refused.reason == "NOT_YET"
    assert again == feed.panels[2][1]
    feed.to_the_end()
    assert all(part.day <= seq for seq, part in feed.panels)
    received = PanelParts(shapes_of(tape.panels))
    assert all(received.add(part) for _, part in feed.panels)
    assert all((received.arrays[name] == panel).all() for name, panel in tape.panels.items())


def test_a_restarted_feed_still_answers_for_days_that_it_told_before() -> None:
    feed = Watcher(closes(3, 10), speed=1000, next_seq=2, epoch=2)
    for day in (0, 1, 2):
        feed.ask(WantPanel("A.x", day, 0))
    feed.take(list(feed.core._answers()))
    assert [type(reply) for _, reply in feed.replies] == [PanelPart, PanelPart, Refused]


def test_joining_tells_what_is_published_and_nothing_of_what_is_to_come(small_tape) -> None:
    tape = Tape.load(small_tape)
    feed = Watcher(tape, speed=10_000)
    feed.tick(0)
    feed.ask(Join(PROTOCOL, schema_digest()))
    feed.tick(0)
    _, market = feed.replies[-1]
    assert isinstance(market, Market)
    assert (market.next_seq, market.ended, market.speed, market.epoch) == (1, False, 10_000, 1)
    assert market.content == tape.manifest.content
    manifest = msgspec.json.decode(market.manifest, type=Manifest)
    assert (manifest.rows, manifest.ts_last) == (0, 0)
    assert manifest.instruments == tape.instruments
    assert manifest.sessions == tape.sessions
    assert set(msgspec.json.decode(market.average_days)) == {"XYZ"}


def test_another_major_version_is_refused_and_a_newer_minor_one_is_not() -> None:
    feed = Watcher(quotes([SECOND]))
    for version in ((PROTOCOL[0] + 1, 0), (PROTOCOL[0], PROTOCOL[1] + 1), PROTOCOL):
        feed.ask(Join(version, b"x" * 16))
    feed.tick()
    assert [type(reply) for _, reply in feed.replies] == [Refused, Market, Refused]


def test_a_flood_of_requests_neither_starves_the_publishing_nor_another_peer() -> None:
    feed = Watcher(quotes([SECOND] * 200_000), batch_rows=64)
    feed.tick()
    for tick in range(20):
        for _ in range(200):
            feed.ask(WantRows(0, 8_192), peer=b"flood")
        if tick == 10:
            feed.ask(WantRows(5, 10), peer=b"good")
        before = feed.core.next_seq
        feed.tick(0)
        assert feed.core.next_seq - before == feed_core.BURST_ROWS
        assert len(feed.replies) <= feed_core.ANSWER_ROWS // 8_192 * (tick + 1) + 1
        if tick == 10:
            assert any(peer == b"good" for peer, _ in feed.replies)
    answered = feed_core.ANSWER_ROWS // 8_192  # of the flood, in each tick
    assert feed.core.counters["dropped"] == 20 * 200 - ASKED - 19 * answered


def test_a_peer_that_sends_garbage_is_told_three_times_and_then_not_heard() -> None:
    feed = Watcher(quotes([SECOND]))
    for n in range(5):
        feed.take(feed.core.advance(feed.now, Frame("recovery", b"%d" % n, "key", b"\xc1")))
    assert [reply.reason for _, reply in feed.replies if isinstance(reply, Refused)] == ["MALFORMED"] * 3
    feed.ask(WantRows(0, 1), key="key")
    feed.ask(WantRows(0, 1), peer=b"other", key="other")
    feed.tick()
    assert [peer for peer, _ in feed.replies[3:]] == [b"other"]


def test_shutting_down_is_an_end_in_order() -> None:
    core = FeedCore(TapeSource(quotes([SECOND])), stream="S", epoch=1)
    assert core.advance(0, Operator("shutdown", "why")) == [Stop(0, "why")]


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_several_days_are_one_stream_with_the_content_of_the_joined_tape(cut: int) -> None:
    tape = quotes([1, 2, 3, 4], clocks=[2])
    source = TapeSource(tape, [tape.rows[:cut], tape.rows[cut:]])
    assert source.total == 3
    assert source.content == tape.content_hash()
    found = b"".join(source.read(at, 1).tobytes() for at in range(3))
    assert found == numbered(tape.rows).tobytes()
