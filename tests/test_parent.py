"""Laws of a parent order: whatever happens to its children, in whatever order it is told."""

from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import events
from engine.errors import StrategyError
from engine.parent import Parent, ParentOrder

ORDER = {"symbol": "X", "side": 1, "size": 1_000, "start": 100, "end": 200}


def quote(bid=99, ask=101):
    return events.Quote(0, "X", bid, ask, 10, 10)


def life(draw, order_id, size):
    """All the reports of one child, in the order of the venue: refused, or filled in parts and ended or not."""
    if draw(st.integers(0, 5)) == 0:
        return [events.Rejected(0, order_id, "X", "HALTED")], 0
    reports, left = [events.Accepted(0, order_id, "X")], size
    for part in draw(st.lists(st.integers(1, size), max_size=4)):
        if part <= left:
            left -= part
            reports.append(events.Filled(0, order_id, "X", 1, 100, part, left, True, 0))
    if draw(st.booleans()):
        if left:
            kind = draw(st.sampled_from([events.Cancelled, events.Expired]))
            reports.append(kind(0, order_id, "X", left, "REQUESTED"))
        if draw(st.booleans()):  # a cancel that came too late
            reports.append(events.Rejected(0, order_id, "X", "UNKNOWN_ORDER"))
        left = 0
    return reports, sum(report.size for report in reports if type(report) is events.Filled)


@given(data=st.data())
def test_a_parent_is_never_overfilled_in_whatever_order_reports_come(data):
    parent = Parent(ParentOrder(**ORDER))
    waiting, traded, numbers = [], 0, count(1)
    for _ in range(data.draw(st.integers(1, 30))):
        if parent.room() and data.draw(st.booleans()):
            size = data.draw(st.integers(1, parent.room()))
            order_id = next(numbers)
            parent.sent(order_id, size, price=None, is_passive=False)
            reports, filled = life(data.draw, order_id, size)
            traded += filled  # the venue's truth, long before we are told
            waiting += reports
        elif waiting:
            parent.observe(waiting.pop(data.draw(st.integers(0, len(waiting) - 1))))
        assert traded <= parent.done + parent.open <= parent.order.size
    for report in waiting:
        parent.observe(report)
    assert parent.done == traded
    assert parent.remaining == 1_000 - parent.done - parent.open
    assert parent.children == sorted(set(parent.children))


@given(data=st.data())
def test_done_and_open_never_pass_the_participation_cap(data):
    parent = Parent(ParentOrder(**ORDER, participation_ppm=data.draw(st.integers(1, 1_000_000))))
    volume, order_id = data.draw(st.integers(0, 10**6)), 0
    parent.look(100, quote(), volume)
    before_start = volume
    for _ in range(20):
        volume += data.draw(st.integers(0, 1_000))
        parent.look(150, quote(), volume)
        if parent.room():
            order_id += 1
            parent.sent(order_id, data.draw(st.integers(1, parent.room())), price=1, is_passive=True)
        own = parent.done + parent.open
        assert own * 1_000_000 <= parent.order.participation_ppm * (volume - before_start)
        assert own <= 1_000


def test_a_late_cancel_does_not_free_what_may_still_fill():
    parent = Parent(ParentOrder(**ORDER))
    parent.sent(1, 400, price=10, is_passive=True)
    parent.observe(events.Rejected(0, 1, "X", "UNKNOWN_ORDER"))
    assert parent.open == 400
    parent.observe(events.Filled(0, 1, "X", 1, 10, 400, 0, True, 0))
    assert (parent.open, parent.done, parent.average_price) == (0, 400, 10)


def test_a_refused_replace_leaves_the_child_open():
    parent = Parent(ParentOrder(**ORDER))
    parent.sent(1, 400, price=10, is_passive=True)
    parent.observe(events.Accepted(0, 1, "X"))
    parent.observe(events.Rejected(0, 1, "X", "COLLAR"))
    assert parent.open == 400


def test_reports_on_orders_of_others_are_passed_on():
    parent = Parent(ParentOrder(**ORDER))
    assert not parent.observe(events.Filled(0, 9, "X", 1, 10, 5, 0, True, 0))
    assert not parent.observe(quote())
    assert parent.done == 0


def test_the_arrival_price_is_the_first_two_sided_mid_at_or_after_the_start():
    parent = Parent(ParentOrder(**ORDER))
    parent.look(99, quote(), 0)
    assert parent.arrival_price is None
    parent.look(100, events.Quote(0, "X", 99, 0, 10, 0), 0)
    assert parent.arrival_price is None
    parent.look(101, quote(98, 101), 0)
    parent.look(102, quote(50, 51), 0)
    assert parent.arrival_price == 99.5


def test_market_volume_counts_from_the_start_and_goes_on_in_the_next_session():
    parent = Parent(ParentOrder(**ORDER))
    for now, volume in ((50, 500), (100, 1_000), (110, 1_300), (120, 40), (130, 50)):
        parent.look(now, quote(), volume)
    assert parent.market_volume == 300 + 40 + 10


@given(data=st.data())
def test_a_parent_survives_a_snapshot(data):
    parent = Parent(ParentOrder(**ORDER, limit=105, participation_ppm=200_000))
    parent.look(100, quote(), 10_000)
    parent.look(110, quote(), 20_000)
    for order_id in range(1, data.draw(st.integers(1, 5)) + 1):
        size = data.draw(st.integers(1, 100))
        parent.sent(order_id, size, price=100, is_passive=True)
        for report in life(data.draw, order_id, size)[0]:
            parent.observe(report)
    assert msgspec.json.decode(msgspec.json.encode(parent), type=Parent) == parent
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(parent), type=Parent) == parent


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"side": 0}, r"side is 0, but must be \+1 \(buy\) or -1 \(sell\)"),
        ({"size": 0}, "size is 0, but must be at least 1"),
        ({"end": 100}, "ends at 100, not after its start at 100; leave it time"),
        ({"participation_ppm": 2_000_000}, "participation_ppm is 2000000, but must be 0 to 1000000"),
    ],
)
def test_a_parent_that_means_nothing_says_why(change, says):
    with pytest.raises(StrategyError, match=says):
        ParentOrder(**(ORDER | change))
