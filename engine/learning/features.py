"""The signals of a whole tape: what a probe measures along the walk, by the same kernels (``engine.signals``)."""

# numba types its decorators too narrowly
# pyright: reportCallIssue=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import from_dtype, int64, njit, types
from numpy.typing import NDArray

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency
from engine.broker.probes import measure, note_row
from engine.broker.rows import apply_row
from engine.broker.signal_kernels import feature_values, is_ready
from engine.broker.simulated import SimulatedBroker
from engine.broker.state import WORLD, books_of, features_of, rows_of
from engine.errors import TapeError
from engine.signals import NAMES, Clock, Probe
from engine.spelling import did_you_mean
from engine.tape import Flag, Kind, Tape

CLOCK, LAST = int(Kind.CLOCK), int(Flag.LAST)
PART = 65_536  # samples at a time
FACTS = 6  # ts, row, tick, mid2, spread, ready


class Samples(NamedTuple):
    """The signals after each group of rows in which a tick happened; arrays of one length."""

    ts: NDArray[np.int64]  # [n] ns UTC at the venue
    row: NDArray[np.int64]  # [n] the group's last row on the tape: nothing later is in the sample
    tick: NDArray[np.int64]  # [n] its newest tick, counted in its session from 1
    mid2: NDArray[np.int64]  # [n] bid + ask, price units
    spread: NDArray[np.int64]  # [n] price units
    values: NDArray[np.float64]  # [n, 18], in the order of ``engine.signals.NAMES``; 0 where not ready
    ready: NDArray[np.bool_]  # [n] whether all windows are full and the touch is valid

    def __len__(self) -> int:
        return len(self.ts)


def samples(tape: Tape, symbol: str, *, clock: Clock = "trade") -> Samples:
    """The signals of one instrument, all along a tape.

    Parameters
    ----------
    tape : Tape
    symbol : str
    clock : "trade" or "quote"
        What a tick is.

    Raises
    ------
    TapeError
        If the tape has no such instrument, or no book of it.
    """
    symbols = [one.symbol for one in tape.instruments]
    if symbol not in symbols:
        raise TapeError(f"{symbol} is not on the tape; it has {', '.join(symbols)}{did_you_mean(symbol, symbols)}")
    i = symbols.index(symbol)
    if tape.instruments[i].book == "NONE":
        raise TapeError(f"{symbol} has no book on this tape: signals need quotes or depth")
    venue = SimulatedBroker(
        tape.instruments, sessions=tape.sessions, probes=[[Probe(symbol=symbol, clock=clock)]],
        config=BrokerConfig(latency=Latency(feed=0, entry=0, response=0), impact=NoImpact()),
    )  # fmt: skip
    venue.load(tape.rows)
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    while venue.world["row"][0] < venue.world["n_rows"][0]:
        facts, values = np.empty((PART, FACTS), np.int64), np.zeros((PART, len(NAMES)))
        found = _collect(venue.world, i, facts, values)
        parts.append((facts[:found], values[:found]))
        venue.make_room()
    facts, values = (np.concatenate(some) for some in zip(*parts, strict=True)) if parts else _nothing()
    ts, row, tick, mid2, spread, ready = np.ascontiguousarray(facts.T)
    return Samples(ts, row, tick, mid2, spread, values, ready == 1)


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.empty((0, FACTS), np.int64), np.empty((0, len(NAMES)))


_SIGNATURE = int64(
    types.Array(from_dtype(WORLD), 1, "C"), int64, types.Array(int64, 2, "C"), types.Array(types.float64, 2, "C")
)


@njit([_SIGNATURE], cache=True, error_model="numpy", no_cfunc_wrapper=True)
def _collect(world, book, facts, values):
    """Samples of the first probe into ``facts`` [n, 6] and ``values`` [n, 18]; stops where they or a table are full."""
    w = world[0]
    rows, b = rows_of(w), books_of(w)[book]
    state = features_of(w)[0]
    i, found = w.row, 0
    while i < w.n_rows and found < facts.shape[0] and w.need == 0:
        r = rows[i]
        i += 1
        if r.instrument == book and r.kind != CLOCK:
            apply_row(w, r, book)
            note_row(w, r, b)
        if r.flags & LAST and b.touched:
            b.touched = w.n_touched = 0
            if measure(w, book, 0, r.ts_event):
                ready = is_ready(state)
                if ready:
                    feature_values(state, values[found])
                facts[found, 0], facts[found, 1], facts[found, 2] = r.ts_event, i - 1, state.ticks
                facts[found, 3], facts[found, 4] = state.bid + state.ask, state.ask - state.bid
                facts[found, 5] = ready
                found += 1
    w.row = i
    return found
