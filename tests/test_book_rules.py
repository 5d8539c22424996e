"""The rules that look back: rows in pieces are judged as the same rows at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.book_rules import BookRules
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind
from engine.testing.generators import tapes
from engine.verdict import JUMP_LEAST, clean, in_time, reject

REASONS = ~np.uint16(int(Flag.OFF_TICK) - 1)


def in_pieces(rows: np.ndarray, instruments: list[Instrument], cuts: list[int]) -> tuple[np.ndarray, dict[str, int]]:
    """What the rules make of rows, some groups at a time."""
    ends = np.flatnonzero(rows["flags"] & Flag.LAST) + 1
    bounds = sorted({0, len(rows), *(int(ends[cut % len(ends)]) for cut in cuts if len(ends))})
    rules, lost, parts = BookRules(instruments), {}, []
    for start, end in pairwise(bounds):
        part = rules.in_book(rows[start:end].copy(), lost)
        rules.flag(part)
        parts.append(part)
    return np.concatenate([rows[:0], *parts]), lost


@given(tape=tapes(), cuts=st.lists(st.integers(0, 60), max_size=8), spoil=st.lists(st.integers(0, 80), max_size=6))
def test_rows_in_pieces_are_judged_as_rows_at_once(tape, cuts: list[int], spoil: list[int]) -> None:
    rows = tape.rows[tape.rows["kind"] != Kind.CLOCK].copy()
    rows["flags"] &= ~REASONS
    assume(len(rows))
    for at in spoil:  # crossed books, unknown orders, wild prices, odd ticks
        row = rows[at % len(rows)]
        row["order_id"], row["price"] = row["order_id"] + at % 3, row["price"] + (at % 5) * 7
    alone = in_time(reject(rows, tape.instruments, {}, "rows"), {}, "rows")
    pieces, lost = in_pieces(alone, tape.instruments, cuts)
    assume(len(pieces))
    once, found = clean(rows, tape.instruments)
    assert lost.get("BOOK_DESYNC", 0) == found.dropped.get("BOOK_DESYNC", 0)
    is_trade = np.isin(once["kind"], (Kind.TRADE, Kind.EXECUTE))
    for rows in (once, pieces):  # of other prices an importer judges jumps only where there is no trade at all
        rows["flags"][~is_trade] &= ~np.uint16(Flag.JUMP)
    assert once.tobytes() == pieces.tobytes()


def trade(price: int) -> np.ndarray:
    row = np.zeros(1, ROW)
    row["kind"], row["price"], row["size"], row["flags"] = Kind.TRADE, price, 1, Flag.LAST
    return row


def test_a_book_is_judged_where_its_group_ends_although_another_instrument_ends_it() -> None:
    rows = np.zeros(4, ROW)
    rows["kind"], rows["size"], rows["size2"] = Kind.QUOTE, 1, 1
    rows["kind"][:2], rows["order_id"][:2] = Kind.ADD, (1, 2)
    rows["side"][:2], rows["price"], rows["price2"] = (1, -1), (103, 102, 10, 103), (0, 0, 11, 0)
    rows["instrument"] = (0, 0, 1, 0)
    rows["kind"][3] = Kind.TRADE
    rows["flags"] = (0, 0, Flag.LAST, Flag.LAST)
    BookRules([Instrument(symbol="X", book="L3"), Instrument(symbol="Y", book="L1")]).flag(rows)
    assert [bool(flag & Flag.CROSSED) for flag in rows["flags"]] == [False, True, False, False]
    assert [bool(flag & Flag.LAST) for flag in rows["flags"]] == [False, False, True, True]


def test_a_jump_is_seen_although_each_trade_comes_alone() -> None:
    rules = BookRules([Instrument(symbol="X", book="L1")])
    flags = []
    for price in [10_000] * JUMP_LEAST + [20_000, 10_000]:
        row = trade(price)
        rules.flag(row)
        flags.append(int(row["flags"][0]))
    assert [bool(flag & Flag.JUMP) for flag in flags] == [False] * JUMP_LEAST + [True, False]


def test_a_trade_is_held_against_the_quote_of_an_earlier_piece() -> None:
    rules = BookRules([Instrument(symbol="X", book="L1")])
    quote = np.zeros(1, ROW)
    quote["kind"], quote["flags"] = Kind.QUOTE, Flag.LAST
    quote["price"], quote["price2"], quote["size"], quote["size2"] = 100, 102, 1, 1
    rules.flag(quote)
    inside, outside = trade(101), trade(103)
    rules.flag(inside)
    rules.flag(outside)
    assert not inside["flags"][0] & Flag.OUTSIDE
    assert outside["flags"][0] & Flag.OUTSIDE
