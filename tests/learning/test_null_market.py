"""The null market keeps what a day costs to trade and loses what could be known of its moves."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wandering_days import wandering

from engine.errors import TapeError
from engine.learning.features import samples
from engine.learning.labels import moves
from engine.learning.null_market import null_day
from engine.shipped import shipped_tapes
from engine.signals import NAMES
from engine.tape import Kind, Tape


def touches(tape: Tape) -> np.ndarray:
    return tape.rows[tape.rows["kind"] == Kind.QUOTE]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), drawn=st.integers(0, 10_000))
def test_times_spreads_sizes_and_the_sizes_of_moves_stay(seed, drawn):
    tape = wandering(seed)
    null = null_day(tape, np.random.default_rng(drawn))
    for name in ("ts_event", "ts_recv", "kind", "flags", "instrument"):
        assert np.array_equal(null.rows[name], tape.rows[name])
    old, new = touches(tape), touches(null)
    assert np.array_equal(new["price2"] - new["price"], old["price2"] - old["price"])
    assert np.array_equal(np.abs(np.diff(new["price"] + new["price2"])), np.abs(np.diff(old["price"] + old["price2"])))
    assert np.array_equal(new["size"] + new["size2"], old["size"] + old["size2"])
    assert not (np.concatenate([new["price"], new["price2"]]) % 100).any()
    trades, drawn_trades = (one.rows[one.rows["kind"] == Kind.TRADE] for one in (tape, null))
    assert np.array_equal(np.abs(drawn_trades["side"]), np.abs(trades["side"]))
    assert np.array_equal(drawn_trades["size"], trades["size"])


def test_trades_stay_where_they_were_in_the_touch():
    tape = wandering(5)
    null = null_day(tape, np.random.default_rng(1))

    def depth(one: Tape) -> list[int]:
        """Of each trade, how far beyond the mid it was, seen from its own side; twice price units."""
        found, mid2 = [], 0
        for row in one.rows:
            if row["kind"] == Kind.QUOTE:
                mid2 = int(row["price"] + row["price2"])
            elif mid2:
                found.append(int(row["side"]) * (2 * int(row["price"]) - mid2))
        return found

    assert depth(null) == depth(tape)


def test_signals_that_foretell_the_recorded_day_foretell_nothing_of_the_null_day():
    tape = Tape.load(shipped_tapes()["demo_day"])

    def link(day: Tape) -> tuple[float, float]:
        """The correlation of the touch's imbalance with the move over 20 changes of the touch, and its error."""
        seen = samples(day, day.instruments[0].symbol, clock="quote")
        found = moves(seen, 20)
        some = np.flatnonzero(found.known & seen.ready)[::20]  # moves that share nothing
        x, y = seen.values[some, NAMES.index("queue_imbalance")], np.sign(found.change[some])
        return float(np.corrcoef(x, y)[0, 1]), len(some) ** -0.5

    recorded, error = link(tape)
    assert recorded > 4 * error
    nulls = [link(null_day(tape, np.random.default_rng(seed))) for seed in range(4)]
    assert abs(np.mean([r for r, _ in nulls])) < 3 * error / 2


def test_books_of_orders_are_refused():
    tape = wandering(1)
    deep = msgspec.structs.replace(tape.instruments[0], book="L3")
    tape = Tape(tape.rows, msgspec.structs.replace(tape.manifest, instruments=[deep]))
    with pytest.raises(TapeError, match="DEMO: a null market is made of quotes and trades, but its book is L3"):
        null_day(tape, np.random.default_rng(1))
