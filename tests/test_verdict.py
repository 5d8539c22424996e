"""The data rules, one by one, and what a sealed tape may not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.tape import ROW, CorporateAction, Flag, Kind, Manifest, Tape
from engine.verdict import LARGEST, NOT_A_NUMBER, SECOND, check, clean, jumps, verdict

L1 = Instrument(symbol="A", tick=100, book="L1")
L2 = Instrument(symbol="A", tick=100, book="L2", levels=0)
L3 = Instrument(symbol="A", tick=100, book="L3", levels=0)
NONE = Instrument(symbol="A", tick=1, book="NONE", levels=0)
LAST = int(Flag.LAST)


def rows_of(*rows: dict[str, int]) -> np.ndarray:
    """Rows from dicts; one second apart, each a group of its own, where they do not say otherwise."""
    out = np.zeros(len(rows), ROW)
    for index, row in enumerate(rows):
        for name, value in {"ts_event": (index + 1) * SECOND, "flags": LAST, **row}.items():
            out[name][index] = value
    return out


def quote(bid: int = 10_000, ask: int = 10_100, bid_size: int = 5, ask_size: int = 5, **fields: int) -> dict[str, int]:
    return {"kind": Kind.QUOTE, "price": bid, "size": bid_size, "price2": ask, "size2": ask_size, **fields}


def trade(price: int = 10_000, size: int = 1, **fields: int) -> dict[str, int]:
    return {"kind": Kind.TRADE, "price": price, "size": size, **fields}


def clock(ts_event: int) -> dict[str, int]:
    return {"kind": Kind.CLOCK, "ts_event": ts_event, "ts_recv": ts_event}


def order(kind: Kind, order_id: int, price: int, size: int, side: int = 1, **fields: int) -> dict[str, int]:
    return {"kind": kind, "order_id": order_id, "price": price, "size": size, "side": side, **fields}


def bar(prices: tuple[int, int, int, int], volume: int = 10, **fields: int) -> dict[str, int]:
    opened, high, low, closed = prices
    return {
        "kind": Kind.BAR,
        "order_id": opened,
        "price": high,
        "price2": low,
        "size2": closed,
        "size": volume,
        **fields,
    }


BAD = [
    ("BAD_NUMBER", L1, quote(bid=NOT_A_NUMBER)),
    ("BAD_NUMBER", L1, trade(price=LARGEST + 1)),
    ("BAD_NUMBER", L1, trade(size=NOT_A_NUMBER)),
    ("BAD_NUMBER", L1, quote(ts_event=NOT_A_NUMBER)),
    ("BAD_NUMBER", NONE, bar((NOT_A_NUMBER, 12, 9, 11))),
    ("BAD_PRICE", L1, quote(bid=0)),
    ("BAD_PRICE", L1, quote(ask=-100)),
    ("BAD_PRICE", L1, trade(price=0)),
    ("BAD_PRICE", L1, trade(price=-5)),
    ("BAD_PRICE", NONE, bar((10, 12, 0, 11))),
    ("BAD_PRICE", NONE, bar((10, 12, 11, 11))),
    ("BAD_PRICE", NONE, bar((10, 12, 9, 13))),
    ("BAD_SIZE", L1, quote(bid_size=-1)),
    ("BAD_SIZE", L1, trade(size=0)),
    ("BAD_SIZE", L2, {"kind": Kind.DEPTH, "side": 1, "price": 100, "size": -1}),
    ("BAD_SIZE", L3, order(Kind.ADD, 1, 100, 0)),
    ("BAD_SIZE", NONE, bar((10, 12, 9, 11), volume=-1)),
    ("UNKNOWN_INST", L1, quote(instrument=1)),
    ("BOOK_DESYNC", L3, order(Kind.DELETE, 77, 10_000, 5)),
    ("BOOK_DESYNC", L3, order(Kind.REDUCE, 77, 10_000, 5)),
    ("BOOK_DESYNC", L3, order(Kind.EXECUTE, 77, 10_000, 5)),
]
GOOD = {"L1": quote(), "L2": {"kind": Kind.DEPTH, "side": 1, "price": 100, "size": 3}, "L3": order(Kind.ADD, 1, 100, 5)}


@pytest.mark.parametrize(("code", "instrument", "row"), BAD)
def test_a_bad_row_is_dropped_and_counted_under_its_code(code, instrument, row):
    good = GOOD.get(instrument.book, bar((10, 12, 9, 11)))
    rows, found = clean(rows_of(good, row), [instrument])
    assert len(rows) == 1
    assert rows["kind"][0] == good["kind"]
    assert found.dropped == {code: 1}
    assert found.counts == {code: 1}


FLAGGED = [
    ("OFF_TICK", L1, [quote(bid=9_950)], 0),
    ("OFF_TICK", L1, [quote(ask=10_150)], 0),
    ("CROSSED", L1, [quote(bid=10_200)], 0),
    ("LOCKED", L1, [quote(bid=10_100)], 0),
    ("OUTSIDE", L1, [quote(), trade(price=10_200)], 1),
    ("OUTSIDE", L1, [quote(), trade(price=9_900)], 1),
    ("TIME_FUTURE", L1, [quote(ts_event=5 * SECOND, ts_recv=4 * SECOND - 1)], 0),
    ("CROSSED", L3, [order(Kind.ADD, 1, 300, 1), order(Kind.ADD, 2, 200, 1, side=-1)], 1),
    ("LOCKED", L2, [{**GOOD["L2"], "side": side, "ts_event": at} for side, at in ((1, 1), (-1, 2))], 1),
]


@pytest.mark.parametrize(("code", "instrument", "rows", "at"), FLAGGED)
def test_a_doubtful_row_is_kept_flagged_and_counted(code, instrument, rows, at):
    kept, found = clean(rows_of(*rows), [instrument])
    assert len(kept) == len(rows)
    assert np.flatnonzero(kept["flags"] & int(Flag[code])).tolist() == [at]
    assert found.flagged == {code: 1}


@pytest.mark.parametrize(
    "rows",
    [
        [quote(bid=0, bid_size=0)],  # an empty side has no price
        [quote(), trade(price=10_000), trade(price=10_100)],  # at the quote is not outside it
        [quote(bid=10_200), trade(price=20_000)],  # a crossed quote judges nobody
        [quote(ts_event=5 * SECOND, ts_recv=4 * SECOND)],  # a second of clock skew is allowed
        [quote(), trade(price=20_000, flags=LAST | Flag.AUCTION)],  # an auction makes its own price
    ],
)
def test_what_is_in_order_is_not_flagged(rows):
    kept, found = clean(rows_of(*rows), [L1])
    assert not {"BAD_PRICE", "OUTSIDE", "TIME_FUTURE", "JUMP"} & set(found.counts)
    assert len(kept) == len(rows)


def test_an_instrument_may_allow_negative_prices():
    spread = Instrument(symbol="S", tick=1, book="L1", allows_negative_price=True)
    rows, found = clean(rows_of(quote(bid=-20, ask=-10)), [spread])
    assert len(rows) == 1
    assert not found.counts


def test_a_dropped_row_hands_its_last_to_what_is_left_of_its_group():
    rows = rows_of(quote(flags=0, ts_event=1), trade(flags=0, ts_event=1), trade(size=0, ts_event=1), quote(ts_event=2))
    kept, _ = clean(rows, [L1])
    assert kept["kind"].tolist() == [Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    assert (kept["flags"] & LAST).tolist() == [0, LAST, LAST]


def test_time_that_goes_back_is_clamped_and_flagged_beyond_a_second():
    times = [10 * SECOND, 20 * SECOND, 15 * SECOND, 21 * SECOND, 21 * SECOND - 5, 22 * SECOND]
    kept, found = clean(rows_of(*(quote(ts_event=at, ts_recv=at) for at in times)), [L1])
    assert kept["ts_event"].tolist() == [at * SECOND for at in (10, 20, 20, 21, 21, 22)]
    assert kept["ts_recv"].tolist() == kept["ts_event"].tolist()
    assert found.flagged == {"TIME_BACK": 1}
    assert found.noted == {"TIME_CLAMPED": 2}


def test_one_wild_time_ahead_does_not_move_the_rows_after_it():
    times = [1, 2, 600 * SECOND, 3, 4]
    kept, found = clean(rows_of(*(quote(ts_event=at) for at in times)), [L1])
    assert kept["ts_event"].tolist() == [1, 2, 3, 3, 4]
    assert found.noted["TIME_CLAMPED"] == 1
    assert found.flagged["TIME_BACK"] == 1


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_clamping_puts_time_in_order_and_moves_as_few_rows_as_can_be(times):
    rows = rows_of(*(quote(ts_event=at) for at in times))  # nanoseconds apart: nothing is refused
    kept, found = clean(rows, [L1])
    assert (np.diff(kept["ts_event"]) >= 0).all()
    longest = [1] * len(times)
    for i, at in enumerate(times):
        longest[i] = 1 + max((longest[j] for j in range(i) if times[j] <= at), default=0)
    assert found.noted.get("TIME_CLAMPED", 0) == len(times) - max(longest)


def test_a_file_that_is_not_sorted_is_refused():
    times = [at * SECOND * 10 for at in range(200, 0, -1)]
    with pytest.raises(TapeError, match=r"199 of 200 rows are out of the order of time .* sort the file by time"):
        clean(rows_of(*(quote(ts_event=at) for at in times)), [L1])


def test_the_same_number_and_content_again_is_dropped_and_a_hole_is_counted():
    rows = rows_of(*(quote(bid_size=size, ts_event=at) for at, size in ((1, 1), (2, 2), (2, 2), (9, 3))))
    kept, found = clean(rows, [L1], sequence=np.array([1, 2, 2, 5]))
    assert kept["size"].tolist() == [1, 2, 3]
    assert found.dropped == {"DUP": 1}
    assert found.noted == {"GAP": 2}


def test_without_numbers_equal_rows_are_kept():
    kept, found = clean(rows_of(trade(ts_event=1), trade(ts_event=1)), [NONE])
    assert len(kept) == 2
    assert not found.dropped


def test_rows_out_of_the_order_of_their_numbers_are_put_in_order():
    rows = rows_of(*(quote(bid_size=size, ts_event=size) for size in (1, 3, 2)))
    kept, found = clean(rows, [L1], sequence=np.array([1, 3, 2]))
    assert kept["size"].tolist() == [1, 2, 3]
    assert found.noted == {"REORDER": 1}


def test_the_same_number_with_other_content_is_refused():
    with pytest.raises(TapeError, match=r"rows 0 and 1 have the sequence number 7, .*DUP_CONFLICT"):
        clean(rows_of(quote(bid_size=1), quote(bid_size=2)), [L1], sequence=np.array([7, 7]))


def test_nothing_left_is_refused():
    with pytest.raises(TapeError, match="no row is left to import"):
        clean(rows_of(trade(size=0)), [L1])


def test_a_spike_is_a_jump_and_a_slow_drift_is_not():
    drift = 1_000_000 + np.arange(500) * 100
    assert not jumps(drift, 100).any()
    spiked = drift.copy()
    spiked[300] *= 2
    assert np.flatnonzero(jumps(spiked, 100)).tolist() == [300]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=120), st.integers(0, 120))
def test_a_jump_is_judged_from_the_past_alone(prices, cut):
    series = np.array(prices)
    assert jumps(series, 1)[:cut].tolist() == jumps(series[:cut], 1).tolist()


@given(st.lists(st.one_of(st.integers(90, 110), st.integers(1, 10**6)), min_size=1, max_size=120))
def test_jumps_follow_their_formula(prices):
    for i, price in enumerate(prices):
        past = sorted(prices[max(0, i - 50) : i])
        expected = False
        if len(past) >= 10:
            median = past[len(past) // 2]
            spread = sorted(abs(p - median) for p in past)[len(past) // 2]
            expected = abs(price - median) > 10 * max(spread, 1, median // 2000)
        assert jumps(np.array(prices), 1)[i] == expected


ANY_ROW = st.builds(
    lambda kind, side, price, size, price2, size2, gap, last: {
        "kind": kind, "side": side, "price": price, "size": size, "price2": price2, "size2": size2, "gap": gap,
        "flags": LAST * last,
    },
    st.sampled_from([Kind.QUOTE, Kind.TRADE]), st.integers(-1, 1), st.integers(-5, 300), st.integers(-1, 5),
    st.integers(-5, 300), st.integers(-1, 5), st.integers(-3, 3), st.booleans(),
)  # fmt: skip


@given(st.lists(ANY_ROW, min_size=1, max_size=30))
def test_cleaning_loses_nothing_uncounted_leaves_a_tape_in_order_and_twice_is_once(wild):
    at, rows = 10, []
    for index, row in enumerate(wild):
        at += row["gap"]
        rows.append({name: value for name, value in row.items() if name != "gap"} | {"ts_event": at, "flags": LAST})
        rows[-1]["order_id"] = index
    try:
        kept, found = clean(rows_of(*rows), [L1])
    except TapeError:  # nothing was left
        return
    assert len(kept) + sum(found.dropped.values()) == len(rows)
    assert sum(found.rows.values()) == len(kept)
    tape = Tape(kept, Manifest(instruments=[L1], verdict=found.counts))
    check(tape)
    again, second = clean(kept, [L1])
    assert again.tobytes() == kept.tobytes()
    assert not second.dropped
    assert verdict(tape).flagged == found.flagged
    assert verdict(tape).dropped == found.dropped


def test_the_verdict_reads_like_a_sentence():
    rows, found = clean(
        rows_of(quote(), quote(bid=10_100), trade(size=0), quote(ts_event=100 * SECOND)), [L1], noted={"REVEAL": 3}
    )
    assert str(found).splitlines() == [
        "rows      3 (QUOTE 3)",
        "span      1970-01-01 00:00:01.000 UTC to 1970-01-01 00:01:40.000 UTC",
        "dropped   BAD_SIZE 1",
        "flagged   LOCKED 1",
        "noted     REVEAL 3",
        "quiet     1 in session over 60 s, the longest 98.0 s from 1970-01-01 00:00:02.000 UTC",
    ]
    assert len(rows) == 3


def test_an_opening_book_is_a_state_and_messages_that_do_not_explain_the_book_are_told_with_their_share():
    opening = order(Kind.REVEAL, 0, 10_000, 5, flags=LAST | int(Flag.SNAPSHOT))
    noted = {"MESSAGES": 8, "UNEXPLAINED": 1, "REVEAL": 2}
    _, found = clean(rows_of(opening, *[order(Kind.REVEAL, 0, 10_000, 4)] * 2), [L3], noted=noted)
    lines = str(found).splitlines()
    assert lines[0] == "rows      3 (REVEAL 2, SNAPSHOT 1)"
    assert lines[4:6] == [
        "noted     nothing",
        "book      1 of 8 messages (12.5%) do not explain the book after them; 2 REVEAL rows do",
    ]
    assert found.counts["UNEXPLAINED"] == 1


def test_quiet_stretches_are_counted_in_session_only():
    rows = rows_of(quote(ts_event=10 * SECOND), quote(ts_event=500 * SECOND))
    _, found = clean(rows, [L1], sessions=[(0, 11 * SECOND), (499 * SECOND, 501 * SECOND)])
    assert found.quiet == 0
    assert found.longest_quiet_ns == 10 * SECOND


def test_a_tape_of_bars_is_quiet_only_where_more_than_two_are_missing():
    minutes = [1, 2, 3, 4, 8, 9]
    rows = rows_of(*(bar((10, 12, 9, 11), ts_event=minute * 60 * SECOND) for minute in minutes))
    _, found = clean(rows, [NONE])
    assert found.quiet_ns == 120 * SECOND
    assert (found.quiet, found.longest_quiet_at) == (1, 4 * 60 * SECOND)


REFUSED = [
    ("row 1 goes back in time", L1, [quote(ts_event=2), quote(ts_event=1)]),
    ("row 1 is not later than the CLOCK row before it", L1, [clock(5), quote(ts_event=5)]),
    ("row 3 is not later than the CLOCK row before it", L1, [quote(ts_event=5), clock(5), clock(5), trade(ts_event=5)]),
    ("row 0 is of an unknown kind", L1, [{"kind": 14}]),
    ("row 1 names an instrument beyond", L1, [quote(), quote(instrument=3)]),
    ("row 0 has no such side", L3, [order(Kind.ADD, 1, 100, 1, side=0)]),
    ("row 0 has no such side", L1, [trade(side=2)]),
    ("row 0 does not belong to the book", L3, [quote()]),
    ("row 0 does not belong to the book", L1, [order(Kind.ADD, 1, 100, 1)]),
    ("row 0 does not belong to the book", L2, [quote()]),
    ("row 0 names an unknown state", L1, [{"kind": Kind.STATUS, "level": 9}]),
    ("row 1 starts a new time inside a group", L1, [quote(flags=0), quote()]),
    ("row 0 is the end, but its group is not", L1, [quote(flags=0)]),
]


@pytest.mark.parametrize(("says", "instrument", "rows"), REFUSED)
def test_a_tape_that_breaks_a_rule_is_refused_with_its_row(says, instrument, rows):
    with pytest.raises(TapeError, match=says):
        check(Tape(rows_of(*rows), Manifest(instruments=[instrument])))


def test_a_clock_row_may_follow_rows_and_clock_rows_of_its_own_time():
    rows = rows_of(quote(ts_event=5), clock(5), clock(5), quote(ts_event=6))
    check(Tape(rows, Manifest(instruments=[L1])))


def test_sessions_and_actions_are_checked_too():
    rows = rows_of(quote())
    with pytest.raises(TapeError, match="empty or overlaps"):
        check(Tape(rows, Manifest(instruments=[L1], sessions=[(0, 10), (5, 20)])))
    split = CorporateAction(ts_event=0, symbol="B", kind="split", numerator=2)
    with pytest.raises(TapeError, match=r"corporate actions of \['B'\]"):
        check(Tape(rows, Manifest(instruments=[L1], actions=[split])))
    with pytest.raises(TapeError, match="points beyond the panels"):
        check(
            Tape(
                rows_of({"kind": Kind.CLOSE, "order_id": 2}), Manifest(instruments=[NONE]), {"curve": np.zeros((2, 3))}
            )
        )


def test_a_fault_across_two_parts_of_a_long_tape_is_found():
    n = (1 << 19) + 5
    rows = np.zeros(n, ROW)
    rows["kind"], rows["flags"], rows["ts_event"] = Kind.TRADE, LAST, np.arange(n)
    check(Tape(rows, Manifest(instruments=[NONE])))
    rows["ts_event"][1 << 19] = 0
    with pytest.raises(TapeError, match=f"row {1 << 19} goes back"):
        check(Tape(rows, Manifest(instruments=[NONE])))


class DictBook:
    """The plain book that the compiled one must match."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[int, int]] = {1: {}, -1: {}}

    def apply(self, row: np.void) -> None:
        levels = self.sides[int(row["side"])]
        price, size = int(row["price"]), int(row["size"])
        if row["kind"] == Kind.DEPTH:
            levels[price] = size
        else:
            levels[price] = max(0, levels.get(price, 0) + (size if row["kind"] == Kind.ADD else -size))
        if levels[price] == 0:
            del levels[price]

    def state(self) -> str:
        if not (self.sides[1] and self.sides[-1]):
            return ""
        bid, ask = max(self.sides[1]), min(self.sides[-1])
        return "CROSSED" if bid > ask else "LOCKED" if bid == ask else ""


CHANGE = st.tuples(
    st.sampled_from([Kind.DEPTH, Kind.ADD, Kind.REDUCE]),
    st.sampled_from([1, -1]),
    st.integers(1, 60),
    st.integers(1, 4),
)


@given(st.lists(CHANGE, min_size=1, max_size=150))
def test_crossed_and_locked_follow_a_plain_book(changes):
    # level-limited, so that reductions of what was never shown are legal
    shown = Instrument(symbol="A", tick=1, book="L3", levels=10)
    rows = rows_of(*({"kind": k, "side": s, "price": p, "size": z} for k, s, p, z in changes))
    kept, _ = clean(rows, [shown])
    book = DictBook()
    for row in kept:
        book.apply(row)
        flags = Flag(int(row["flags"]))
        assert (Flag.CROSSED in flags, Flag.LOCKED in flags) == (book.state() == "CROSSED", book.state() == "LOCKED")
