"""Merging tapes gives one total order, loses nothing, and can be undone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tapes import tapes

from engine.errors import TapeError
from engine.tape import Flag, Tape
from engine.verdict import check
from feeds.merge import merge, split, union

THREE = st.tuples(tapes("A"), tapes("B"), tapes("C", start=2))


@given(THREE)
def test_merging_then_splitting_gives_the_originals(three):
    for before, after in zip(three, split(merge(three)), strict=True):
        assert after.rows.tobytes() == before.rows.tobytes()
        assert after.instruments == before.instruments


@given(THREE)
def test_the_order_is_total_time_then_source_then_sequence(three):
    merged = merge(three)
    check(merged)
    keys = []
    for index, tape in enumerate(three):
        keys += [(int(at), index, number) for number, at in enumerate(tape.rows["ts_event"])]
    got = list(zip(merged.rows["ts_event"].tolist(), merged.rows["instrument"].tolist(), strict=True))
    assert got == [key[:2] for key in sorted(keys)]


@given(THREE)
def test_merge_is_associative(three):
    one, two, three_ = three
    left, right, flat = merge([merge([one, two]), three_]), merge([one, merge([two, three_])]), merge(three)
    assert left.rows.tobytes() == right.rows.tobytes() == flat.rows.tobytes()
    assert left.manifest == right.manifest == flat.manifest


@given(THREE)
def test_groups_stay_together(three):
    rows = merge(three).rows
    ends = np.flatnonzero(rows["flags"] & Flag.LAST)
    for group in np.split(rows, ends[:-1] + 1) if len(ends) else []:
        assert len(set(group["instrument"].tolist())) <= 1
        assert len(set(group["ts_event"].tolist())) <= 1


@given(tapes("A"))
def test_merging_one_tape_changes_nothing(tape):
    assert merge([tape]).rows.tobytes() == tape.rows.tobytes()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda one: (one[0], one[0] + one[1]))))
def test_the_union_of_sessions_covers_just_what_they_cover(sessions):
    joined = union(sessions)
    covered = {at for opened, closed in sessions for at in range(opened, closed)}
    assert {at for opened, closed in joined for at in range(opened, closed)} == covered
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(joined))


def test_merging_nothing_is_refused():
    with pytest.raises(TapeError, match="merge has no tape"):
        merge([])


@given(tapes("A"))
def test_a_symbol_in_two_tapes_is_refused(tape):
    with pytest.raises(TapeError, match="A in more than one tape; days of one instrument are a list"):
        merge([tape, tape])


@given(tapes("A"), tapes("B"))
def test_panels_in_two_tapes_are_refused(one, two):
    panels = {"curve": np.zeros((1, 2))}
    with pytest.raises(TapeError, match="panels in more than one tape"):
        merge([Tape(one.rows, one.manifest, panels), Tape(two.rows, two.manifest, panels)])
    assert merge([Tape(one.rows, one.manifest, panels), two]).panels.keys() == {"curve"}
