from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_walk import PlainWalk

from engine.reports import microstructure_walk as w
from engine.reports.microstructure_ages import CANCELLED, CENSORED, FILLED, OrderAges, incidence
from engine.reports.microstructure_cells import cells_of
from engine.tape import ROW, Kind, Tape
from engine.testing.generators import tapes

UNITS = st.sampled_from([1, 1_000, 100_000_000])  # ns: whole tapes within a cell, or across many


def measured(tape: Tape, number: int) -> tuple[w.Walk, np.ndarray, np.ndarray, np.ndarray]:
    rows = tape.rows[tape.rows["instrument"] == number]
    rows = np.array(rows[(rows["kind"] != Kind.CLOSE) & (rows["kind"] != Kind.CLOCK)])
    cells, instrument = cells_of(tape), tape.instruments[number]
    walk = w.new_walk(cells, 1, instrument.levels)
    walk, *written = w.walk_on(walk, rows, cells, tick=instrument.tick, explained=instrument.book == "L3")
    w.finish(walk, cells, instrument.tick)
    return walk, *written  # type: ignore[return-value]


@given(st.data())
def test_the_walk_follows_the_plain_rules_on_any_tape(data: st.DataObject) -> None:
    tape = data.draw(tapes(unit_ns=data.draw(UNITS)))
    if not len(tape) or not len(cells_of(tape).start):
        return
    for number in range(len(tape.instruments)):
        if not np.any(tape.rows["instrument"] == number):
            continue
        walk, trades, flow, moves = measured(tape, number)
        plain = PlainWalk(tape, number, cells_of(tape))

        def known(value: int | None) -> int:
            return w.UNKNOWN if value is None else value

        told = [(t["cell"], t["side"], t["size"], t["price"], known(t["mid"])) for t in plain.trades]
        assert [tuple(column) for column in trades.T.tolist()] == told
        assert [tuple(column) for column in flow.T.tolist()] == [
            (*f[:3], known(f[3]), *f[4:6], known(f[6])) for f in plain.flow
        ]
        assert [tuple(column) for column in moves.T.tolist()] == plain.moves
        assert walk.volume.sum() == plain.volume
        time = walk.spread.sum(axis=0)
        assert time[w.WIDEST + 1] == pytest.approx(plain.seconds.pop(-1, 0.0))
        capped = np.zeros(w.WIDEST + 1)
        for ticks, seconds in plain.seconds.items():
            capped[min(ticks, w.WIDEST)] += seconds
        assert time[: w.WIDEST + 1] == pytest.approx(capped)


def test_a_partial_execution_at_the_touch_is_no_cancellation_where_only_quotes_tell() -> None:
    """A print of 30 explains 30 of the 50 that leave the bid with the next quote; 20 were taken away."""
    rows = np.zeros(3, ROW)
    rows["ts_event"] = [0, 10, 20]
    rows["kind"] = [Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    rows["flags"] = 1
    rows["price"], rows["size"] = [100, 100, 100], [80, 30, 30]
    rows["price2"], rows["size2"], rows["side"] = [200, 0, 200], [80, 0, 80], [0, -1, 0]
    from engine.instruments import Instrument
    from engine.tape import Manifest

    _, trades, flow, _ = measured(Tape(rows, Manifest(instruments=[Instrument(symbol="A")])), 0)
    assert trades[w.T_SIDE].tolist() == [-1]
    assert flow[[w.F_SIDE, w.F_KIND, w.F_SIZE]].T.tolist() == [[-1, w.CANCELLED, 20]]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE]),
                  st.integers(1, 3), st.integers(0, 10**9)),
        max_size=80,
    ),
    spacing=st.sampled_from([1, 4096, 2**40]),
    cut=st.integers(0, 80),
)  # fmt: skip
def test_ages_of_orders_are_those_of_a_dict(steps: list, spacing: int, cut: int) -> None:
    rows = np.zeros(len(steps), ROW)
    live: dict[int, tuple[int, int]] = {}
    told = {CANCELLED: [], FILLED: [], CENSORED: []}
    now = 0
    for row, (order, kind, size, gap) in zip(rows, steps, strict=True):
        now += gap
        row["ts_event"], row["kind"], row["order_id"], row["size"] = now, kind, order * spacing, size
        if kind == Kind.ADD:
            live.setdefault(order, (now, size))
        elif order in live:
            born, left = live.pop(order)
            if left > size and kind != Kind.DELETE:
                live[order] = born, left - size
            else:
                told[FILLED if kind == Kind.EXECUTE else CANCELLED].append(now - born)
    told[CENSORED] = [now - born for born, _ in live.values()]
    ages = OrderAges(2)
    for part in (rows[:cut], rows[cut:]):
        ages.add(np.array(part), np.ones(len(part), np.int64))
    ages.finish(now)
    assert ages.ends[0].sum() == 0
    from engine.reports.microstructure_ages import BINS, EDGES_S

    for end, lives in told.items():
        expected = np.bincount(np.searchsorted(EDGES_S * 1e9, lives), minlength=BINS)
        assert ages.ends[1, end].tolist() == expected.tolist()


def test_incidence_without_censoring_is_the_share_that_ended() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    ends = np.zeros((3, 46))
    ends[:2] = rng.integers(0, 50, (2, 46))
    cancelled, filled = incidence(ends)
    assert cancelled == pytest.approx(np.cumsum(ends[0])[:-1] / ends.sum())
    assert filled == pytest.approx(np.cumsum(ends[1])[:-1] / ends.sum())


def test_incidence_sees_through_censoring_that_comes_before_the_end() -> None:
    """Exponential lives, cancelled at rate 1/s and filled at 0.5/s, half lost at a random age: 2/3 are cancelled."""
    rng = np.random.Generator(np.random.Philox(6))
    n = 200_000
    life, is_fill = rng.exponential(1 / 1.5, n), rng.random(n) < 1 / 3
    lost = np.where(rng.random(n) < 0.5, rng.exponential(0.5, n), np.inf)
    from engine.reports.microstructure_ages import BINS, EDGES_S

    ends = np.zeros((3, BINS))
    kind = np.where(lost < life, CENSORED, np.where(is_fill, FILLED, CANCELLED))
    np.add.at(ends, (kind, np.searchsorted(EDGES_S, np.minimum(life, lost))), 1)
    cancelled, filled = incidence(ends)
    at = int(np.argmin(np.abs(EDGES_S - 1.0)))
    assert cancelled[at] == pytest.approx(2 / 3 * (1 - np.exp(-1.5)), abs=0.01)
    assert filled[-1] == pytest.approx(1 / 3, abs=0.01)
