"""LOBSTER days: the book of the tape is the book of the file, after every message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tapes import DictBook, lobster_market, shown, write_lobster_csv, write_lobster_parquet

from engine.errors import TapeError
from engine.tape import Flag, Kind, State, Tape
from engine.verdict import check, verdict
from feeds.lobster import LobsterFeed, at_previous_best, import_lobster, import_lobster_files, read_books, read_messages
from feeds.times import local_ns, utc_ns


def books_after_each_message(tape: Tape):
    """(index of the message, book, whether a REVEAL followed it) along the rows of a tape."""
    book, message, explained = DictBook(), -1, True
    names = ("kind", "side", "price", "size", "flags")
    for kind, side, price, size, flags in zip(*(tape.rows[name].tolist() for name in names), strict=True):
        if kind != Kind.REVEAL:
            if message >= 0:
                yield message, book, explained
            message, explained = message + 1, True
        elif not flags & Flag.SNAPSHOT:
            explained = False
        book.apply(kind, side, price, size, flags)
    yield message, book, explained


def assert_book_equals_file(tape: Tape, books: np.ndarray) -> int:
    """Compare after every message; how many were explained without a REVEAL."""
    levels = books.shape[1] // 4
    explained_messages = 0
    for message, book, explained in books_after_each_message(tape):
        for side in (1, -1):
            assert book.best(side, levels) == shown(books[message], side), f"after message {message}, side {side}"
        explained_messages += explained
    assert message == len(books) - 1
    return explained_messages


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_lobster_csv(tmp_path, *lobster_market(seed=3, n=200, levels=2), 2)


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 4))
@settings(max_examples=40)
def test_the_book_of_the_tape_is_the_book_of_the_file_after_every_message(tmp_path_factory, seed, levels):
    messages, rows = lobster_market(seed, 120, levels)
    folder = tmp_path_factory.mktemp("market")
    tape = import_lobster(*write_lobster_csv(folder, messages, rows, levels))
    check(tape)
    explained = assert_book_equals_file(tape, np.array(rows))
    assert len(rows) - explained == tape.manifest.verdict.get("UNEXPLAINED", 0)


def test_a_book_file_that_shows_every_level_needs_no_reveal(tmp_path):
    messages, rows = lobster_market(seed=5, n=150, levels=60)
    tape = import_lobster(*write_lobster_csv(tmp_path, messages, rows, 60))
    assert "REVEAL" not in tape.manifest.verdict
    assert len(tape) == len(messages)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_csv_and_parquet_give_the_same_rows(tmp_path_factory, seed):
    market = lobster_market(seed, 60, 3, step_ns=123_457)
    folder = tmp_path_factory.mktemp("market")
    one = import_lobster(*write_lobster_csv(folder, *market, 3))
    two = import_lobster(*write_lobster_parquet(folder, *market, 3))
    assert one.rows.tobytes() == two.rows.tobytes()
    assert one.instruments == two.instruments
    assert one.sessions == two.sessions


def test_messages_become_rows_in_their_order_with_their_terms(files):
    told, tape = read_messages(files[0]), import_lobster(*files)
    rows = tape.rows[tape.rows["kind"] != Kind.REVEAL]
    kinds = {1: Kind.ADD, 2: Kind.REDUCE, 3: Kind.DELETE, 4: Kind.EXECUTE, 5: Kind.EXECUTE}
    assert rows["kind"].tolist() == [kinds[kind] for kind in told["type"].tolist()]
    for ours, theirs in (("order_id", "order_id"), ("side", "direction"), ("price", "price"), ("size", "size")):
        assert rows[ours].tolist() == told[theirs].tolist()
    assert ((rows["flags"] & Flag.HIDDEN) != 0).tolist() == (told["type"] == 5).tolist()
    assert rows["ts_event"].tolist() == utc_ns(local_ns("2012-06-21") + told["time"], "America/New_York").tolist()


def test_a_timestamp_is_one_group(files):
    rows = import_lobster(*files).rows
    last = (rows["flags"] & Flag.LAST) != 0
    assert last.tolist() == [*(np.diff(rows["ts_event"]) != 0).tolist(), True]


def test_the_manifest_says_symbol_levels_and_the_session_of_the_day(files):
    tape = import_lobster(*files)
    (instrument,) = tape.instruments
    assert (instrument.symbol, instrument.book, instrument.levels, instrument.tick) == ("TEST", "L3", 2, 100)
    opened, closed = tape.sessions[0]
    assert (opened, closed - opened) == (1_340_285_400_000_000_000, 23_400_000_000_000)
    renamed = import_lobster(*files, symbol="XYZ", date="2013-01-02")
    assert renamed.instruments[0].symbol == "XYZ"
    assert renamed.sessions[0][0] == 1_357_137_000_000_000_000  # winter time


def test_halts_become_states_and_crosses_auction_prints(tmp_path):
    book = [[1_000_100, 5, 1_000_000, 5]] * 5
    halt = [(7, -1), (7, 0), (7, 1)]
    messages = [(34_200_000_000_000, 1, 1, 5, 1_000_000, 1)]
    messages += [(34_200_000_000_001 + i, kind, 0, 0, price, -1) for i, (kind, price) in enumerate(halt)]
    messages += [(34_200_000_000_009, 6, -1, 700, 1_000_050, -1)]
    rows = import_lobster(*write_lobster_csv(tmp_path, messages, book, 1)).rows
    states = rows[rows["kind"] == Kind.STATUS]
    assert states["level"].tolist() == [State.HALT, State.QUOTING, State.OPEN]
    (print_,) = rows[rows["kind"] == Kind.TRADE]
    assert (print_["price"], print_["size"], print_["side"]) == (1_000_050, 700, 0)
    assert print_["flags"] & Flag.AUCTION


BAD_LINES = [
    ("message", "34200.1,1,7,10,1000000,1,7", r"row 5: Expected 6 columns, got 7; mend that line"),
    ("message", "34200.1,1,7,10", r"row 5: Expected 6 columns, got 4"),
    ("message", "34200.1,one,7,10,1000000,1", r"row 5, column 2 \(type\): invalid value 'one'"),
    ("message", "noon,1,7,10,1000000,1", r"row 5, column 1 \(time\): .*'noon'"),
    ("message", "34200.0000000001,1,7,10,1000000,1", r"row 5, column 1 \(time\): .*would cause data loss"),
    ("message", "34200.1,1,7,nan,1000000,1", r"row 5, column 4 \(size\): .*nan"),
    ("message", "34200.1,1,7,,1000000,1", r"row 5: column size has no whole number"),
    ("message", ",1,7,1,1000000,1", r"row 5: column time is empty"),
    ("message", "34200.1,9,7,1,1000000,1", r"row 5: type is not one of 1 to 7 \(9\)"),
    ("message", "34200.1,1,7,1,1000000,0", r"row 5: direction is not 1 or -1 \(0\)"),
    ("message", "34200.1,1,7,-5,1000000,1", r"row 5: size is not positive \(-5\)"),
    ("message", "99999.1,1,7,5,1000000,1", r"row 5: time is not within a day"),
    ("orderbook", "1,x,3,4,5,6,7,8", r"row 5, column 2 \(ask_sz_1\): .*'x'"),
    ("orderbook", "1,nan,3,4,5,6,7,8", r"row 5, column 2 \(ask_sz_1\): .*nan"),
    ("orderbook", "1,2,3", r"row 5: Expected 8 columns, got 3"),
]
BAD_FILES = [
    ("message", lambda lines: [], r"the file is empty"),
    ("message", lambda lines: lines[:-1], r"200 rows, but .* has 199; each message has one book row"),
    ("orderbook", lambda lines: lines[:-1], r"199 rows, but .* has 200"),
    ("orderbook", lambda lines: [line.rsplit(",", 1)[0] for line in lines], r"7 columns, but a level has four"),
    ("orderbook", lambda lines: lines[::-1], r"executions of .* are at its best price; give the message and book file"),
]


@pytest.mark.parametrize(("which", "line", "says"), BAD_LINES)
def test_a_bad_line_is_refused_with_file_row_and_cure(files, which, line, says):
    assert_refused(files, which, lambda lines: [*lines[:4], line, *lines[5:]], says)


@pytest.mark.parametrize(("which", "spoil", "says"), BAD_FILES)
def test_a_bad_file_is_refused_with_a_cure(files, which, spoil, says):
    assert_refused(files, which, spoil, says)


def assert_refused(files, which, spoil, says) -> None:
    bad = next(file for file in files if which in file.name)
    lines = bad.read_text().splitlines()
    bad.write_text("".join(line + "\n" for line in spoil(lines)))
    with pytest.raises(TapeError, match=says) as caught:
        import_lobster(*files)
    assert str(bad.parent) in str(caught.value)


def test_a_missing_file_and_a_nameless_one_are_refused(files, tmp_path):
    with pytest.raises(TapeError, match=r"nowhere_2012-06-21_message\.csv: no such file"):
        import_lobster(tmp_path / "nowhere_2012-06-21_message.csv", files[1])
    plain = files[0].rename(tmp_path / "messages.csv")
    with pytest.raises(TapeError, match="give symbol and date"):
        import_lobster(plain, files[1])
    assert import_lobster(plain, files[1], symbol="TEST", date="20120621").instruments[0].symbol == "TEST"
    with pytest.raises(TapeError, match="2 message files, but 1 book files"):
        import_lobster_files([plain, plain], [files[1]])


def test_a_feed_of_files_is_imported_once_and_then_read_from_the_cache(files, tmp_path, capsys):
    cache = tmp_path / "cache"
    arguments = {"messages": [files[0].name], "books": [files[1].name], "root": tmp_path, "cache": cache}
    first = LobsterFeed(**arguments)
    assert f"to {cache}" in capsys.readouterr().err
    second = LobsterFeed(**arguments)
    assert capsys.readouterr().err == ""
    one, two = first.read(until=0), second.read(until=0)
    assert one is not None
    assert two is not None
    assert one.tobytes() == two.tobytes()
    files[0].write_text(files[0].read_text().replace("1000", "1001", 1))  # other content, another tape
    with pytest.raises(TapeError, match="3 message files"):
        LobsterFeed(messages=["a"] * 3, books=["b"])


def test_a_feed_finds_files_below_tickwright_data(files, tmp_path, monkeypatch):
    monkeypatch.setenv("TICKWRIGHT_DATA", str(tmp_path))
    feed = LobsterFeed(messages=[files[0].name], books=[files[1].name], root="/", cache=tmp_path / "cache")
    assert feed.tape.instruments[0].symbol == "TEST"
    monkeypatch.delenv("TICKWRIGHT_DATA")
    with pytest.raises(TapeError, match="set TICKWRIGHT_DATA"):
        LobsterFeed(messages=[files[0].name], books=[files[1].name], root="/", cache=tmp_path / "cache")


def test_two_symbols_of_one_day_are_one_tape(tmp_path):
    (tmp_path / "b").mkdir()
    one = write_lobster_csv(tmp_path, *lobster_market(1, 50, 1), 1)
    two = write_lobster_csv(tmp_path / "b", *lobster_market(2, 50, 1), 1)
    feed = LobsterFeed(messages=[one[0], two[0]], books=[one[1], two[1]], symbols=["ZZZ", "AAA"], cache=tmp_path / "c")
    assert [one.symbol for one in feed.tape.instruments] == ["AAA", "ZZZ"]
    check(feed.tape)


# --- facts of the recorded days ---

DAYS = [("AAPL", 1, 118_497, 23_658), ("AMZN", 5, 155_935, 8_974)]


def recorded(folder: Path, symbol: str, levels: int) -> tuple[Path, Path]:
    day = folder / "equities" / "lobster"
    return (
        day / f"{symbol}_2012-06-21_message_{levels}.parquet",
        day / f"{symbol}_2012-06-21_orderbook_{levels}.parquet",
    )


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "levels", "messages", "executions"), DAYS)
def test_a_recorded_day_gives_the_files_book_after_every_message(recorded_data, symbol, levels, messages, executions):
    files = recorded(recorded_data, symbol, levels)
    tape, books = import_lobster(*files), read_books(files[1])
    check(tape)
    assert tape.manifest.verdict["MESSAGES"] == len(books) == messages
    explained = assert_book_equals_file(tape, books)
    assert messages - explained == tape.manifest.verdict["UNEXPLAINED"] < messages // 4
    assert at_previous_best(read_messages(files[0]), books) == (executions, executions)
    assert not {"CROSSED", "LOCKED"} & set(verdict(tape).flagged)


def test_the_one_wild_time_of_a_recorded_day_moves_one_row(recorded_data):
    tape = import_lobster(*recorded(recorded_data, "AMZN", 5))
    assert tape.manifest.verdict["TIME_CLAMPED"] == tape.manifest.verdict["TIME_BACK"] == 1


@pytest.mark.slow
def test_explained_messages_alone_move_the_touch_as_the_file_does(recorded_data):
    """Between REVEAL rows the book follows from the messages: started from the file's book, it ends at the file's."""
    files = recorded(recorded_data, "AMZN", 5)
    tape, books = import_lobster(*files), read_books(files[1])
    rows = tape.rows[tape.rows["flags"] & Flag.SNAPSHOT == 0]
    message = np.cumsum(rows["kind"] != Kind.REVEAL) - 1
    needed = set(message[rows["kind"] == Kind.REVEAL].tolist())
    checked = 0
    for at, row in zip(message.tolist(), rows, strict=True):
        if at == 0 or at in needed or (row["kind"] == Kind.EXECUTE and row["flags"] & Flag.HIDDEN):
            continue
        book = DictBook()
        for side in (1, -1):
            book.levels[side] = dict(shown(books[at - 1], side))
        book.apply(*(int(row[name]) for name in ("kind", "side", "price", "size", "flags")))
        side = int(row["side"])
        ours, file = book.best(side, 5), shown(books[at], side)
        # a level that the message before did not show may only be the last one, come into view again as we knew it
        assert file[: len(ours)] == ours
        assert len(file) - len(ours) <= 1
        checked += 1
    assert checked > 130_000


def test_the_raw_form_of_a_recorded_day_agrees_with_the_parquet_form(recorded_data):
    day = recorded_data / "equities" / "lobster"
    raw = day / "AAPL_2012-06-21_message_10_first_rows.csv", day / "AAPL_2012-06-21_orderbook_10_first_rows.csv"
    ten, one = read_messages(raw[0]), read_messages(recorded(recorded_data, "AAPL", 1)[0])
    end = int(ten["time"][-1])
    inside = one["time"] < end
    names = list(one)
    seen = set(zip(*(ten[name].tolist() for name in names), strict=True))
    # each message of the one-level file before the ten-level file ends is in it, to the nanosecond
    missing = [row for row in zip(*(one[name][inside].tolist() for name in names), strict=True) if row not in seen]
    assert not missing
    assert np.count_nonzero(inside) > 100
    tape = import_lobster(*raw)
    assert_book_equals_file(tape, read_books(raw[1]))
    assert len(read_books(raw[1])) == 999
