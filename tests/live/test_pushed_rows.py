"""Rows that are pushed: one rule for each fault, on disk before anyone hears of them, each push once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError
from engine.instruments import Instrument
from engine.live.feed_core import CLOCK_NS, LATENESS_NS, MS, FeedCore
from engine.live.messages import Batch, Push, Pushed, Refused, encode, feed_message, feed_reply
from engine.live.pushed_rows import ASKED, PushedRows, Taken
from engine.live.role import Append, Committed, Frame, KeepRows, Operator, Send, Tick
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.verdict import check, clean

SECOND = 1_000_000_000
MARKET = Manifest(
    instruments=[Instrument(symbol="XYZ", tick=1, book="L1"), Instrument(symbol="ABC", tick=1, book="L3", levels=0)]
)


class Disk:
    """Rows and entries, and how many of them have reached the disk; the rest is lost in a crash."""

    def __init__(self) -> None:
        self.data, self.synced, self.entries, self.committed = b"", 0, [], 0

    @property
    def rows(self) -> int:
        return len(self.data) // 64

    def read(self, first: int, n: int) -> np.ndarray:
        return np.frombuffer(self.data[first * 64 : (first + n) * 64], ROW)

    def crash(self, rows_survive: bool) -> None:
        """What was not synced is lost; rows may be there without their entries, as they are written first."""
        self.data = self.data if rows_survive else self.data[: self.synced]
        self.entries = self.entries[: self.committed]


class Feed:
    """A core on a disk, told what it must hear."""

    def __init__(self, disk: Disk | None = None, *, now: int = 0, epoch: int = 1, next_seq: int = 0, **options) -> None:
        self.disk, self.now = disk or Disk(), now
        entries = list(self.disk.entries)
        source = PushedRows(MARKET, self.disk, entries, floor=options.pop("floor", 0))
        self.core = FeedCore(
            source, stream="S", epoch=epoch, next_seq=next_seq, entries=len(entries), batch_rows=4, **options
        )
        self.published: list[Batch] = []
        self.replies: list[Pushed | Refused] = []

    def give(self, input) -> None:
        for out in self.core.advance(self.now, input):
            match out:
                case KeepRows(rows=rows):
                    self.disk.data += rows
                case Append(payload=payload):
                    self.disk.entries.append(payload)
                case Send(link="market", data=data):
                    message = feed_message(data)
                    assert isinstance(message, Batch)
                    if message.rows:
                        self.published.append(message)
                case Send(data=data):
                    self.replies.append(feed_reply(data))

    def tick(self, wait_ns: int = 0) -> None:
        self.now += wait_ns
        self.give(Tick())

    def commit(self) -> None:
        self.disk.synced, self.disk.committed = len(self.disk.data), len(self.disk.entries)
        self.give(Committed(self.disk.committed))
        self.tick()

    def push(self, number: int, rows: np.ndarray, key: str = "k") -> None:
        self.give(Frame("recovery", b"p", key, encode(Push(number, rows.tobytes()))))
        self.tick()

    @property
    def rows(self) -> np.ndarray:
        rows = np.frombuffer(b"".join(batch.rows for batch in self.published), ROW)
        return rows[rows["kind"] != Kind.CLOCK]


def quote(
    ts: int, bid: int = 100, ask: int = 101, size: int = 5, instrument: int = 0, flags: int = Flag.LAST
) -> np.ndarray:
    row = np.zeros(1, ROW)
    row["ts_event"] = row["ts_recv"] = ts
    row["kind"], row["flags"], row["instrument"] = Kind.QUOTE, flags, instrument
    row["price"], row["size"], row["price2"], row["size2"] = bid, size, ask, size
    return row


def order(ts: int, kind: Kind, order_id: int, size: int = 1) -> np.ndarray:
    row = quote(ts, instrument=1)
    row["kind"], row["order_id"], row["side"], row["size"], row["price2"], row["size2"] = kind, order_id, 1, size, 0, 0
    return row


@pytest.mark.parametrize(
    ("row", "code", "is_dropped"),
    [
        (quote(9 * SECOND, bid=102), "CROSSED", False),
        (quote(9 * SECOND, bid=101), "LOCKED", False),
        (quote(9 * SECOND, bid=-1), "BAD_PRICE", True),
        (quote(9 * SECOND, size=-5), "BAD_SIZE", True),
        (quote(9 * SECOND, bid=2**60), "BAD_NUMBER", True),
        (quote(9 * SECOND, instrument=7), "UNKNOWN_INST", True),
        (quote(5 * SECOND), "TIME_BACK", False),
        (quote(8 * SECOND - 5), "TIME_CLAMPED", False),
        (order(9 * SECOND, Kind.DELETE, 77), "BOOK_DESYNC", True),
    ],
)
def test_a_faulty_row_is_published_or_dropped_by_its_one_rule_and_the_verdict_says_so(
    row: np.ndarray, code: str, is_dropped: bool
) -> None:
    feed = Feed()
    feed.push(0, quote(8 * SECOND))
    feed.push(1, row)
    feed.commit()
    _, answer = feed.replies
    assert isinstance(answer, Pushed)
    assert answer.verdict.get(code) == 1
    assert len(feed.rows) == answer.next_seq == 2 - is_dropped
    assert not is_dropped or set(answer.verdict) == {code}
    check(Tape(feed.rows, MARKET))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (quote(1, flags=0), "its group is not"),
        (quote(1, instrument=1), "does not belong to the book of its instrument"),
        (np.concatenate([quote(1)] * 2)[:1].view("V32")[:1], "are not whole rows"),
    ],
)
def test_rows_that_no_rule_can_mend_are_refused_and_leave_no_trace(rows: np.ndarray, says: str) -> None:
    feed = Feed()
    feed.push(0, rows)
    (refused,) = feed.replies
    assert isinstance(refused, Refused)
    assert refused.reason == "BAD_ROWS"
    assert says in refused.text
    feed.push(0, quote(1))
    feed.commit()
    assert feed.replies[1] == Pushed(0, 1, {})


def test_nothing_is_published_or_acknowledged_before_it_is_on_disk() -> None:
    feed = Feed()
    feed.push(0, quote(1))
    feed.tick(50 * MS)
    assert (len(feed.rows), feed.replies) == (0, [])
    feed.commit()
    assert (len(feed.rows), len(feed.replies)) == (1, 1)


def test_a_push_that_comes_again_is_answered_and_not_published_again() -> None:
    feed = Feed()
    feed.push(0, quote(1))
    feed.push(0, quote(1))  # still on its way to disk
    feed.commit()
    feed.push(0, quote(1))
    feed.push(0, quote(2))
    feed.push(5, quote(2))
    feed.push(0, quote(3)[:0])
    assert [getattr(reply, "reason", reply) for reply in feed.replies] == [
        Pushed(0, 1, {}),
        Pushed(0, 1, {}),
        "PUSH_CONFLICT",
        "PUSH_GAP",
        Pushed(1, 1, {ASKED: 1}),
    ]
    assert len(feed.rows) == 1


def test_who_may_not_push_is_told_how_and_a_tape_takes_no_rows() -> None:
    feed = Feed(may_push=lambda key: key == "good")
    feed.push(0, quote(1), key="bad")
    feed.push(0, quote(1), key="good")
    feed.commit()
    assert [type(reply) for reply in feed.replies] == [Refused, Pushed]
    assert "--role push" in feed.replies[0].text  # pyright: ignore[reportAttributeAccessIssue]


actions = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from("ab"), st.integers(1, 4), st.integers(-3, 900)),
        st.tuples(st.sampled_from(["commit", "crash", "again"]), st.just(""), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0), st.integers(0, 400)),
    ),
    max_size=25,
)


@given(actions=actions, speed=st.sampled_from([0, 1000]))
def test_whatever_crashes_each_push_is_published_once_in_order_and_no_clock_row_is_broken(
    actions: list, speed: int
) -> None:
    """Publishers push on until they are answered; the rows are those of all pushes, and their order never changes."""
    feed = Feed(speed=speed, now=10 * SECOND)
    wanted = {"a": [], "b": []}  # pushes by publisher, those not answered pushed again
    stream: dict[int, bytes] = {}
    size, answered = 0, {"a": 0, "b": 0}

    def drain() -> None:
        last = -1
        for batch in feed.published:
            at = batch.first
            for row in np.frombuffer(batch.rows, ROW):
                assert row["ts_event"] >= last - (row["kind"] == Kind.CLOCK)
                if row["kind"] == Kind.CLOCK:
                    last = int(row["ts_event"]) + 1
                    continue
                assert stream.setdefault(at, row.tobytes()) == row.tobytes()
                last, at = max(last, int(row["ts_event"])), at + 1

    for what, who, n, ms in actions:
        match what:
            case "push":
                size += 1
                rows = np.concatenate([quote(9 * SECOND + ms * MS, size=size * 10 + i) for i in range(n)])
                wanted[who].append(rows)
                feed.push(len(wanted[who]) - 1, rows, key=who)
            case "commit":
                feed.commit()
            case "again":
                for key, pushes in wanted.items():
                    for number in range(answered[key], len(pushes)):
                        feed.push(number, pushes[number], key=key)
            case "wait":
                feed.tick(ms * MS)
            case "crash":
                drain()
                feed.disk.crash(rows_survive=n == 1)
                floor = max(feed.core.market_time + 1, 0) if speed else 0
                known = feed.core.next_seq
                feed = Feed(feed.disk, now=feed.now, epoch=2, next_seq=max(0, known - 2), speed=speed, floor=floor)
                for key in wanted:
                    done = [msgspec.msgpack.decode(one, type=Taken) for one in feed.disk.entries]
                    answered[key] = sum(one.who == key for one in done)
                for key, pushes in wanted.items():
                    for number in range(answered[key], len(pushes)):
                        feed.push(number, pushes[number], key=key)
    feed.commit()
    feed.tick()
    drain()
    sizes = [int(np.frombuffer(stream[at], ROW)["size"][0]) for at in sorted(stream)]
    assert sorted(stream) == list(range(len(stream)))
    assert sorted(sizes) == sorted(int(size) for pushes in wanted.values() for rows in pushes for size in rows["size"])
    for pushes in wanted.values():
        mine = [int(size) for rows in pushes for size in rows["size"]]
        assert [size for size in sizes if size in set(mine)] == mine


def test_rows_that_a_crash_left_without_an_entry_are_never_published() -> None:
    feed = Feed()
    feed.push(0, quote(1, size=10))
    feed.commit()
    feed.push(1, quote(2, size=20))
    feed.disk.crash(rows_survive=True)
    after = Feed(feed.disk, epoch=2)
    after.push(0, quote(3, size=30), key="other")
    after.push(1, quote(2, size=20))
    after.commit()
    assert after.rows["size"].tolist() == [10, 30, 20]


def test_a_quiet_feed_writes_clock_rows_a_second_behind_and_a_later_row_keeps_the_promise() -> None:
    feed = Feed(speed=1000, now=100 * SECOND)
    feed.push(0, quote(98 * SECOND))
    feed.commit()
    for _ in range(5):
        feed.tick(CLOCK_NS)
    clocks = [batch for batch in feed.published if batch.n == 0]
    reached = int(np.frombuffer(clocks[-1].rows, ROW)["ts_event"][0])
    assert reached == feed.now - LATENESS_NS
    feed.push(1, quote(99 * SECOND))
    feed.commit()
    assert feed.rows["ts_event"][-1] == reached + 1
    assert feed.replies[-1].verdict == {"TIME_CLAMPED": 1}  # pyright: ignore[reportAttributeAccessIssue]


@given(cuts=st.lists(st.integers(1, 39), max_size=6))
def test_pushes_of_sound_rows_are_published_as_an_importer_would_keep_them(cuts: list[int]) -> None:
    rows = np.concatenate([quote(SECOND + at * MS, bid=100 + at % 3, ask=101 + at % 2) for at in range(40)])
    expected, _ = clean(rows, MARKET.instruments)
    feed = Feed()
    for number, piece in enumerate(np.split(rows, sorted(set(cuts)))):
        feed.push(number, piece)
    feed.commit()
    while feed.core.next_seq < 40:
        feed.tick()
    assert feed.rows.tobytes() == expected.tobytes()


def test_entries_of_rows_that_are_not_there_are_damage() -> None:
    feed = Feed()
    feed.push(0, quote(1))
    feed.commit()
    feed.disk.data = b""
    with pytest.raises(RunError, match="speaks of 1 rows, but 0 are kept"):
        Feed(feed.disk)


def test_shutting_down_a_feed_of_pushed_rows_is_an_end_in_order() -> None:
    assert Feed().core.advance(0, Operator("shutdown", ""))
