"""A tape handed over in any pieces is the same tape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tapes import LAST, tapes

from engine.errors import ConfigError, TapeError
from engine.instruments import Instrument
from engine.tape import ROW, CorporateAction, Kind, Manifest, Tape
from feeds.replay import TapeFeed


def drain(feed: TapeFeed) -> list[np.ndarray]:
    pieces = []
    while (rows := feed.read(until=0)) is not None:
        assert len(rows)
        pieces.append(rows)
    assert feed.read(until=0) is None
    return pieces


def all_bytes(pieces: list[np.ndarray]) -> bytes:
    return b"".join(piece.tobytes() for piece in pieces)


def day(start: int, n: int = 3, symbol: str = "A", **manifest: object) -> Tape:
    rows = np.zeros(n, ROW)
    rows["ts_event"], rows["kind"], rows["flags"] = start + np.arange(n), Kind.TRADE, LAST
    return Tape(rows, Manifest(name=str(start), instruments=[Instrument(symbol=symbol, book="NONE")], **manifest))  # type: ignore[arg-type]


@given(tape=tapes(), data=st.data())
def test_cutting_the_tape_into_chunks_changes_nothing(tape, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tape)), max_size=6)))
    size = data.draw(st.integers(1, 7))
    whole = tape.rows.tobytes()
    for chunks in (None, 1, size, cuts, np.array(cuts, int), np.split(tape.rows, cuts)):
        assert all_bytes(drain(TapeFeed(tape, chunks=chunks))) == whole
    assert max((len(piece) for piece in drain(TapeFeed(tape, chunks=size))), default=0) <= size


@given(start=st.integers(-1, 12), end=st.integers(-1, 12), chunks=st.one_of(st.none(), st.integers(1, 4)))
def test_a_slice_holds_just_the_rows_of_its_time(start, end, chunks):
    days = [day(0, 4), day(5, 4)]
    got = [int(at) for piece in drain(TapeFeed(*days, start=start, end=end, chunks=chunks)) for at in piece["ts_event"]]
    assert got == [at for at in (0, 1, 2, 3, 5, 6, 7, 8) if start <= at < end]


def test_the_whole_tape_is_one_read_without_a_copy(tmp_path):
    folder = day(0).save(tmp_path / "one")
    feed = TapeFeed(folder)
    rows = feed.read(until=0)
    assert isinstance(rows, np.memmap)
    assert np.shares_memory(rows, feed.tape.rows)
    assert feed.read(until=0) is None


def test_each_day_is_one_read():
    assert [len(piece) for piece in drain(TapeFeed(day(0), day(5, 2), day(9, 4)))] == [3, 2, 4]
    assert [len(piece) for piece in drain(TapeFeed(day(0), day(5, 2), chunks=[1, 4]))] == [1, 2, 1, 1]


def test_sessions_and_actions_of_all_days_are_known_and_those_outside_are_left_out():
    action = CorporateAction(ts_event=5, symbol="A", kind="split", numerator=2)
    days = [day(0, sessions=[(0, 3)], verdict={"JUMP": 1}), day(5, actions=[action], verdict={"JUMP": 2})]
    feed = TapeFeed(*days)
    assert feed.tape.sessions == [(0, 3), (5, 8)]
    assert feed.tape.manifest.actions == [action]
    assert feed.tape.manifest.verdict == {"JUMP": 3}
    assert TapeFeed(*days, start=4).tape.sessions == [(5, 8)]
    assert TapeFeed(*days, end=5).tape.manifest.actions == []


def test_close_rows_of_later_days_point_into_the_joined_panels():
    def closes(start: int, value: float) -> Tape:
        tape = day(start, 2)
        tape.rows["kind"], tape.rows["order_id"] = Kind.CLOSE, [0, 1]
        return Tape(tape.rows, tape.manifest, {"curve": np.full((2, 3), value)})

    feed = TapeFeed(closes(0, 1.0), closes(5, 2.0))
    pieces = drain(feed)
    assert [int(row["order_id"]) for piece in pieces for row in piece] == [0, 1, 2, 3]
    assert feed.tape.panels["curve"][:, 0].tolist() == [1.0, 1.0, 2.0, 2.0]


REFUSED = [
    (lambda: TapeFeed(), TapeError, "TapeFeed has no tape"),
    (lambda: TapeFeed(day(0), day(5, symbol="B")), TapeError, "5 holds B, but 0 holds A: .* feeds.merge first"),
    (lambda: TapeFeed(day(5), day(0)), TapeError, "0 does not begin after 5 ends; give the tapes in order of time"),
    (lambda: TapeFeed("nowhere"), TapeError, "nowhere: not found at nowhere; check the path"),
    (lambda: TapeFeed(day(0), chunks=0), ConfigError, "chunks is 0, but must be >= 1"),
    (lambda: TapeFeed(day(0), chunks=[2, 1]), ConfigError, "must increase and lie within the 3 rows"),
    (lambda: TapeFeed(day(0), chunks=[4]), ConfigError, "must increase and lie within the 3 rows"),
    (lambda: TapeFeed(day(0), chunks=[day(0).rows[:1]]), ConfigError, "chunks hold 1 rows, but the tapes 3"),
]


@pytest.mark.parametrize(("make", "error", "says"), REFUSED)
def test_what_makes_no_feed_is_refused(make, error, says, monkeypatch):
    monkeypatch.setenv("TICKWRIGHT_DATA", "")
    with pytest.raises(error, match=says):
        make()


def test_a_relative_path_is_found_below_root_then_below_tickwright_data(tmp_path, monkeypatch):
    for place, n in (("config", 1), ("data", 2)):
        day(0, n).save(tmp_path / place / "tape")
    monkeypatch.setenv("TICKWRIGHT_DATA", str(tmp_path / "data"))
    assert len(TapeFeed("tape", root=tmp_path / "config")) == 1
    assert len(TapeFeed("tape", root=tmp_path)) == 2
