"""The compiled broker does what the plain one does, record for record and at every wake."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenarios import assert_same, compiled, moving_scenarios, scenarios

from engine.testing.drive import drive
from engine.testing.generators import cuts
from engine.testing.reference import ReferenceBroker

BOOKS = ("L1", "L2", "L3", "any")


def _agree(data: st.DataObject, book: str) -> None:
    scenario = data.draw(scenarios(book, one_pass=data.draw(st.booleans())))
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(ReferenceBroker, scenario), drive(compiled(), scenario, at))


@pytest.mark.parametrize("book", BOOKS)
@given(data=st.data())
def test_the_compiled_broker_equals_the_reference_in_any_chunking(book: str, data: st.DataObject) -> None:
    _agree(data, book)


@given(moving_scenarios(), st.data())
def test_the_compiled_broker_equals_the_reference_while_we_move_the_market(scenario, data: st.DataObject) -> None:
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(ReferenceBroker, scenario), drive(compiled(), scenario, at))


@pytest.mark.slow
@pytest.mark.parametrize("book", BOOKS)
@settings(max_examples=500)
@given(data=st.data())
def test_the_compiled_broker_equals_the_reference_thousands_of_times(book: str, data: st.DataObject) -> None:
    _agree(data, book)


@given(scenarios())
@pytest.mark.slow
def test_one_pass_over_the_rows_gives_what_two_cursors_give(scenario) -> None:
    latency = scenario.config.latency
    assume(latency.entry != 0)  # an order that takes no time can meet an end of life at the very time it is sent
    assert_same(drive(ReferenceBroker, scenario), drive(ReferenceBroker, scenario, two_cursors=True))


@given(scenarios(one_pass=False), st.data())
def test_cutting_the_tape_changes_nothing_with_any_latency(scenario, data: st.DataObject) -> None:
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(compiled(), scenario), drive(compiled(), scenario, at))
