"""Signals of a whole tape: equal to plain Python's, nothing of a later row in them, and what strategies are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine import Strategy, Wake
from engine.broker.impact import Impact, NoImpact, SquareRoot
from engine.broker.impact import Market as AverageDay
from engine.broker.models import BrokerConfig, Latency, Lognormal, RiskConfig
from engine.errors import TapeError
from engine.events import Signal
from engine.learning.features import Samples, samples
from engine.run import run
from engine.signals import NAMES, Clock, Probe
from engine.tape import Flag, Manifest, Tape
from engine.testing import signal_twin
from engine.testing.generators import busy_tapes, cuts
from feeds.importers import IMPORTERS
from feeds.replay import TapeFeed

few = settings(max_examples=8)
CLOCKS = st.sampled_from(("trade", "quote"))


@pytest.mark.parametrize("book", ["L1", "L2", "L3"])
@few
@given(data=st.data())
def test_a_tapes_signals_are_those_of_the_plain_twin_bit_for_bit(book: str, data: st.DataObject) -> None:
    tape, clock = data.draw(busy_tapes(book, most=2)), data.draw(CLOCKS)
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


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["trade", "quote"])
def test_a_recorded_days_signals_are_those_of_the_plain_twin(recorded_data: Path, clock: Clock) -> None:
    files = [recorded_data / "equities" / "lobster" / f"AMZN_2012-06-21_{what}_5.parquet" for what in FILES]
    (day,) = IMPORTERS["lobster"](*files)
    tape = Tape(day.rows[:40_000], Manifest(instruments=day.instruments, sessions=day.sessions))
    assert_equal(samples(tape, "AMZN", clock=clock), signal_twin.samples(tape, "AMZN", clock=clock))


FILES = ("message", "orderbook")


# --- no look-ahead


@few
@given(tape=busy_tapes(), data=st.data())
def test_no_signal_depends_on_a_later_row(tape: Tape, data: st.DataObject) -> None:
    clock = data.draw(CLOCKS)
    ends = np.flatnonzero(tape.rows["flags"] & Flag.LAST)
    cut = 1 + int(ends[data.draw(st.integers(0, len(ends) - 1))])
    assert_nothing_later_matters(lambda one: samples(one, "A", clock=clock), tape, cut)


@few
@given(tape=busy_tapes())
def test_a_planted_look_ahead_is_caught(tape: Tape) -> None:
    honest = samples(tape, "A")
    moved = np.flatnonzero(np.diff(honest.mid2) != 0)
    assume(moved.size > 0)
    with pytest.raises(AssertionError):
        assert_nothing_later_matters(peeking, tape, 1 + int(honest.row[moved[-1]]))


def peeking(tape: Tape) -> Samples:
    """Its momentum knows the next tick."""
    found = samples(tape, "A")
    found.values[:-1, NAMES.index("momentum_10")] += np.diff(found.mid2)
    return found


def assert_nothing_later_matters(made: Callable[[Tape], Samples], tape: Tape, cut: int) -> None:
    """Samples up to a row stay the same whatever the rows after it say, or if there are none."""
    manifest = Manifest(instruments=tape.instruments, sessions=tape.sessions)
    changed = tape.rows.copy()
    changed["size"][cut:] += 3
    whole = made(tape)
    n = int((whole.row < cut).sum())
    for other in (made(Tape(tape.rows[:cut], manifest)), made(Tape(changed, manifest))):
        assert int((other.row < cut).sum()) == n
        for name, a, b in zip(Samples._fields, whole, other, strict=True):
            assert np.array_equal(a[:n], b[:n]), f"{name} differs before row {cut}"


# --- along the walk


class Watcher(Strategy):
    """Writes down every signal of "A" and the quote beside it; buys at every so many of them if told to."""

    class Params(Strategy.Params, frozen=True):
        clock: str = "trade"
        buys_every: int = 0

    wake = Wake(signal="any")

    def on_start(self, desk):
        self.seen: list[tuple[Signal, int]] = []

    def on_signal(self, signal, desk):
        assert desk.signal("A") == signal
        assert signal.age(desk.now) == desk.now - signal.ts_event
        self.seen.append((signal, desk.quote("A").bid))
        if self.params.buys_every and len(self.seen) % self.params.buys_every == 0:
            desk.buy("A", shares=10 * desk.instrument("A").lot)


def watch(tape: Tape, latency: Latency, impact: Impact | None = None, at: list[int] | None = None, **params) -> Watcher:
    watcher = Watcher(**params)
    watcher.probes = (Probe(symbol="A", clock=watcher.params.clock),)
    risk, config = RiskConfig(collar_ppm=0), BrokerConfig(latency=latency, impact=impact or NoImpact())
    run(watcher, TapeFeed(tape, chunks=at or None), broker=config, risk=risk)
    return watcher


@few
@given(tape=busy_tapes(), data=st.data())
def test_a_strategy_is_shown_the_tapes_signals_in_any_chunking_and_with_any_latency(
    tape: Tape, data: st.DataObject
) -> None:
    clock = data.draw(CLOCKS)
    feed = data.draw(st.sampled_from((0, 5, Lognormal(7, 0.8))))
    watcher = watch(tape, Latency(feed=feed, entry=1, response=9), at=data.draw(cuts(len(tape))), clock=clock)
    whole = samples(tape, "A", clock=clock)
    shown = [(signal.ts_event, signal.tick, signal.values) for signal, _ in watcher.seen]
    picked = zip(whole.ts.tolist(), whole.tick.tolist(), map(tuple, whole.values.tolist()), strict=True)
    assert shown == [sample for sample, is_ready in zip(picked, whole.ready.tolist(), strict=True) if is_ready]


THIN = SquareRoot(prefactor=0.5, market={"A": AverageDay(daily_volume=400, daily_volatility=0.5)})


@settings(max_examples=10)
@given(tape=busy_tapes(days=1), feed=st.sampled_from((0, Lognormal(3, 0.5))))
def test_signals_move_as_our_own_orders_displace_the_market(tape: Tape, feed: int | Lognormal) -> None:
    latency = Latency(feed=feed, entry=1, response=9)
    still, moved = (watch(tape, latency, THIN, buys_every=every) for every in (0, 20))
    tick, differs, shifts = tape.instruments[0].tick, False, dict[int, int]()
    for (a, bid), (b, moved_bid) in zip(still.seen, moved.seen, strict=True):
        assert (a.ts_event, a.tick) == (b.ts_event, b.tick)
        shifts[a.tick] = moved_bid - bid
        for name in ("queue_imbalance", "spread_ticks", "micro_minus_mid", "sign_mean_20", "sign_persistence_100"):
            assert a.value(name) == b.value(name)
        for window in (10, 50, 200):
            if a.tick - window in shifts:
                by = (shifts[a.tick] - shifts[a.tick - window]) / tick
                assert b.value(f"momentum_{window}") - a.value(f"momentum_{window}") == pytest.approx(by)
                differs |= by != 0
    assert still.seen[:20] == moved.seen[:20]
    assume(differs)  # else nothing was tried: where none ever differs, hypothesis complains


# --- what is refused


def test_what_has_no_signals_is_refused() -> None:
    tape = one_instrument("NONE")
    with pytest.raises(TapeError, match="B is not on the tape; it has A"):
        samples(tape, "B")
    with pytest.raises(TapeError, match="A has no book on this tape"):
        samples(tape, "A")


def one_instrument(book: str) -> Tape:
    from engine.instruments import Instrument
    from engine.tape import ROW

    return Tape(np.zeros(0, ROW), Manifest(instruments=[Instrument(symbol="A", book=book)]))


def test_a_tape_without_rows_has_no_signals() -> None:
    assert len(samples(one_instrument("L1"), "A")) == 0
