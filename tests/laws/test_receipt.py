"""What a strategy sees is what has reached it: no row before its receive time, and none later than that."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scenarios import compiled

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency
from engine.instruments import Instrument
from engine.strategy import Wake
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.testing.drive import Scenario, drive


def _tape(steps: list[tuple[int, int]]) -> Tape:
    """Quotes whose bid counts them, from (ns since the last, ns until received)."""
    rows = np.zeros(len(steps), ROW)
    rows["ts_event"] = 1_000 + np.cumsum([gap for gap, _ in steps])
    rows["ts_recv"] = rows["ts_event"] + [late for _, late in steps]
    rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
    rows["price"], rows["price2"] = 100 + np.arange(len(steps)), 200 + np.arange(len(steps))
    rows["size"] = rows["size2"] = 5
    return Tape(rows, Manifest(instruments=[Instrument(symbol="A", tick=1)], sessions=[(0, 10**9)]))


RECORDED = Latency(feed="recorded", entry=0, response=0)
late = st.lists(st.tuples(st.integers(0, 60), st.integers(-5, 200)), min_size=1, max_size=60)
cuts = st.lists(st.integers(1, 59), max_size=5)


@given(late, cuts)
def test_with_recorded_latency_a_timer_sees_the_rows_received_by_then(steps, at) -> None:
    tape = _tape(steps)
    received = list(accumulate(np.maximum(tape.rows["ts_event"], tape.rows["ts_recv"]).tolist(), max))
    wakes = [Wake(every_ns=10)]
    sights = drive(
        compiled(),
        Scenario(
            tape, [[]], wakes, BrokerConfig(latency=Latency(feed="recorded", entry=0, response=0), impact=NoImpact())
        ),
        sorted({cut for cut in at if cut < len(steps)}),
    ).sights
    last = received[-1]
    assert [sight.now for sight in sights] == list(range((1_000 + steps[0][0]) // 10 * 10 + 10, last + 1, 10))
    for sight in sights:
        count = sum(ts <= sight.now for ts in received)
        assert sight.quotes == [(99 + count, 199 + count, 5, 5) if count else (0, 0, 0, 0)]


@given(late, cuts)
def test_with_recorded_latency_each_quote_wakes_when_it_is_received(steps, at) -> None:
    tape = _tape(steps)
    received = list(accumulate(np.maximum(tape.rows["ts_event"], tape.rows["ts_recv"]).tolist(), max))
    sights = drive(
        compiled(),
        Scenario(tape, [[]], [Wake(on_quote=True)], BrokerConfig(latency=RECORDED, impact=NoImpact())),
        sorted({cut for cut in at if cut < len(steps)}),
    ).sights
    assert [sight.now for sight in sights] == received
    assert [sight.event.ts_event for sight in sights] == tape.rows["ts_event"].tolist()
    assert [sight.quotes[0][0] for sight in sights] == tape.rows["price"].tolist()
