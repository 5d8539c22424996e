"""Signals of a whole tape: equal to plain Python's, and nothing of a later row is in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.learning.features import Samples, samples
from engine.signals import NAMES
from engine.testing import signal_twin
from engine.testing.generators import busy_tapes

few = settings(max_examples=10)


@pytest.mark.parametrize("book", ["L1", "L2", "L3"])
@few
@given(data=st.data())
def test_a_tapes_signals_are_those_of_the_plain_twin_bit_for_bit(book: str, data: st.DataObject) -> None:
    tape = data.draw(busy_tapes(book, most=2))
    clock = data.draw(st.sampled_from(("trade", "quote")))
    symbol = data.draw(st.sampled_from([one.symbol for one in tape.instruments]))
    assert_equal(samples(tape, symbol, clock=clock), signal_twin.samples(tape, symbol, clock=clock))


def assert_equal(found: Samples, plain: list[tuple[int, signal_twin.Sample]]) -> None:
    assert len(found) == len(plain)
    for k, (row, sample) in enumerate(plain):
        facts = tuple(int(column[k]) for column in (found.row, found.ts, found.tick, found.mid2, found.spread))
        assert facts == (row, sample.ts, sample.tick, sample.mid2, sample.spread), f"sample {k}"
        assert found.ready[k] == sample.is_ready, f"sample {k}"
        for name, a, b in zip(NAMES, found.values[k].tolist(), sample.values, strict=True):
            assert a == b, f"sample {k} of row {row}, {name}: {a} against {b}"
