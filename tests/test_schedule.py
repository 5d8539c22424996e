"""Laws of sharing out: nothing lost, nothing invented, never backwards."""

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import StrategyError
from engine.schedule import Schedule, largest_remainder

weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any)


@given(total=st.integers(0, 10**12), weights=weights)
def test_shares_add_up_exactly_and_none_is_further_than_one_from_its_exact_value(total, weights):
    shares = largest_remainder(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total * weight, sum(weights))) < 1
        assert share == 0 or weight > 0


@given(total=st.integers(0, 10**6), weights=weights, factor=st.integers(1, 1000))
def test_shares_depend_on_proportions_alone(total, weights, factor):
    assert largest_remainder(total, weights) == largest_remainder(total, [factor * weight for weight in weights])


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [0, 0]), (1, [2, -1]), (1, [])])
def test_what_cannot_be_shared_is_refused(total, weights):
    with pytest.raises(ValueError, match=f"cannot share {total} out"):
        largest_remainder(total, weights)


@st.composite
def schedules(draw):
    shares = draw(weights)
    edges = [draw(st.integers(-(10**6), 10**6))]
    for _ in shares:
        edges.append(edges[-1] + draw(st.integers(1, 10**6)))
    lot = draw(st.integers(1, 100))
    return Schedule.over(draw(st.integers(1, 10**4)) * lot, edges, shares, lot=lot)


@given(size=st.integers(1, 10**4), shares=weights, lot=st.integers(1, 100))
def test_what_is_due_is_never_ahead_of_the_exact_schedule_and_never_a_lot_behind(size, shares, lot):
    due = Schedule.over(size * lot, range(len(shares) + 1), shares, lot=lot).done_by
    for done, passed in zip(due, accumulate(shares, initial=0), strict=True):
        assert 0 <= Fraction(size * lot * passed, sum(shares)) - done < lot


@given(schedule=schedules(), data=st.data())
def test_a_schedule_runs_from_nothing_to_all_in_whole_lots_and_never_back(schedule, data):
    first, last = schedule.edges[0], schedule.edges[-1]
    times = sorted(data.draw(st.lists(st.integers(first - 10, last + 10), min_size=2, max_size=20)))
    targets = [schedule.target(ts) for ts in times]
    assert all(a <= b for a, b in pairwise(targets))
    assert all(target % schedule.lot == 0 for target in targets)
    assert all(target <= schedule.due(ts) for ts, target in zip(times, targets, strict=True))
    assert schedule.target(first) == 0
    assert schedule.target(last) == schedule.due(last) == schedule.done_by[-1]
    assert schedule.target(last - 1) <= schedule.done_by[-1]


@given(schedule=schedules())
def test_at_each_edge_the_target_is_what_was_due(schedule):
    for k, edge in enumerate(schedule.edges):
        assert schedule.target(edge) == schedule.done_by[k]
        assert k == 0 or schedule.due(edge - 1) == schedule.done_by[k]


def test_half_a_lot_cannot_be_scheduled():
    with pytest.raises(StrategyError, match="size 150 is not a positive multiple of the lot, 100"):
        Schedule.over(150, [0, 1], [1], lot=100)


@pytest.mark.parametrize("shares", [[0, 0], [2, -1]])
def test_weights_that_give_no_schedule_are_refused(shares):
    with pytest.raises(ValueError, match="give no schedule"):
        Schedule.over(100, [0, 1, 2], shares)


def test_edges_must_increase():
    with pytest.raises(StrategyError, match="increasing edges"):
        Schedule.over(100, [0, 0], [1])
