from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from engine import KeptJournal, ParentOrder, Strategy, Wake, run
from engine.instruments import Instrument
from engine.journal import RECORD, RecordKind
from engine.orders import Reason
from engine.parent import Parent
from engine.result import count_orders, market_vwap, parent_cost, rows_between
from engine.strategy import SECOND
from engine.tape import ROW, Kind
from feeds.replay import TapeFeed

SHARE = Instrument(symbol="XYZ")


@st.composite
def markets(draw: st.DrawFn) -> np.ndarray:
    """Rows of two instruments in order of time, with ties."""
    rows = np.zeros(draw(st.integers(0, 30)), ROW)
    rows["ts_event"] = sorted(draw(st.lists(st.integers(0, 20), min_size=len(rows), max_size=len(rows))))
    for row in rows:
        row["kind"] = draw(st.sampled_from([Kind.TRADE, Kind.EXECUTE, Kind.QUOTE, Kind.ADD]))
        row["instrument"] = draw(st.integers(0, 1))
        row["price"] = draw(st.integers(1, 2**40))
        row["size"] = draw(st.integers(1, 2**40))
    return rows


times = st.integers(-1, 22)


@given(rows=markets(), start=times, end=times)
def test_bisection_finds_the_rows_that_a_mask_finds(rows: np.ndarray, start: int, end: int) -> None:
    mask = (rows["ts_event"] >= start) & (rows["ts_event"] < end)
    assert np.array_equal(rows_between(rows, start, end), rows[mask])


@given(rows=markets(), start=times, end=times, cut=st.integers(0, 30))
def test_the_markets_vwap_is_exact_and_does_not_depend_on_the_pieces(
    rows: np.ndarray, start: int, end: int, cut: int
) -> None:
    traded = [
        (int(row["price"]), int(row["size"]))
        for row in rows
        if row["kind"] in (Kind.TRADE, Kind.EXECUTE) and row["instrument"] == 1 and start <= row["ts_event"] < end
    ]
    size = sum(size for _, size in traded)
    exact = float(Fraction(sum(price * size for price, size in traded), size)) if size else None
    assert market_vwap([rows], 1, start, end) == exact
    assert market_vwap([rows[:cut], rows[cut:]], 1, start, end) == exact


@given(paid=st.integers(1, 10**6), arrival=st.integers(1, 10**6), side=st.sampled_from([1, -1]))
def test_what_a_buyer_loses_against_a_price_a_seller_gains(paid: int, arrival: int, side: int) -> None:
    def slippage(side: int) -> float:
        order = ParentOrder(symbol="XYZ", side=side, size=10, start=0, end=1)
        parent = Parent(order, done=10, notional=10 * paid, arrival_price=arrival)
        cost = parent_cost(parent, 0, "main", SHARE, np.zeros(0, RECORD), None)
        assert cost.slippage_arrival_bp is not None
        assert cost.slippage_vwap_bp is None
        return cost.slippage_arrival_bp

    assert slippage(side) == -slippage(-side)
    assert (slippage(1) > 0) == (paid > arrival)


def test_the_fees_of_a_parent_are_those_of_its_children_in_its_account() -> None:
    records = np.zeros(4, RECORD)
    records["kind"], records["extra"] = RecordKind.FILL, [1, 10, 100, 1_000]
    records["order_no"], records["account"] = [1, 2, 3, 2], [0, 0, 0, 1]
    parent = Parent(ParentOrder(symbol="XYZ", side=1, size=10, start=0, end=1), children=[1, 2])
    assert parent_cost(parent, 0, "main", SHARE, records, None).fees == 11


def test_every_reason_is_counted_by_its_name() -> None:
    records = np.zeros(5, RECORD)
    records["kind"] = [RecordKind.ORDER, RecordKind.REJECT, RecordKind.REJECT, RecordKind.CANCEL, RecordKind.EXPIRE]
    records["reason"] = [0, Reason.COLLAR, Reason.RATE, Reason.REQUESTED, Reason.RUN_END]
    counted = count_orders(records)
    assert counted.rejected == {"COLLAR": 1, "RATE": 1}
    assert (counted.sent, counted.cancelled, counted.expired) == (1, {"REQUESTED": 1}, {"RUN_END": 1})


class SecondDay(Strategy):
    """A parent order of the second day, of which one child is sent."""

    wake = Wake(every_ns=SECOND)

    def on_start(self, desk) -> None:  # type: ignore[no-untyped-def]
        start = 1_767_623_400_000_000_000 + 86_400 * SECOND
        self.parent = desk.parent(ParentOrder(symbol="XYZ", side=1, size=300, start=start, end=start + 60 * SECOND))

    def on_timer(self, timer: object, desk) -> None:  # type: ignore[no-untyped-def]
        self.parent.look(desk.now, desk.quote("XYZ"), desk.volume("XYZ"))
        if self.parent.order.start <= desk.now and not self.parent.children:
            self.parent.sent(desk.buy("XYZ", shares=200), 200, price=None, is_passive=False)

    def on_fill(self, fill, desk) -> None:  # type: ignore[no-untyped-def]
        self.parent.observe(fill)


@pytest.mark.parametrize("chunks", [None, 100])
def test_a_parent_on_the_second_of_two_tapes_is_held_against_that_days_market(
    small_tape: Path, chunks: int | None
) -> None:
    feed = TapeFeed(small_tape, small_tape.with_name("day1"), chunks=chunks)
    (cost,) = run(SecondDay(), feed, journal=KeptJournal()).parents
    assert cost.interval_vwap is not None
    assert cost.slippage_vwap_bp is not None
    assert 0 < cost.done <= 200
    assert cost.fees == cost.done * 3_000  # taken at three tenths of a cent
