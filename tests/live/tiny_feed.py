"""A feed of fifty lines to try receivers against: it publishes a tape, answers requests, and can be started again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.live.messages import (
    PROTOCOL,
    Batch,
    FeedMessage,
    FeedReply,
    Join,
    Market,
    Refused,
    WantPanel,
    WantRows,
    schema_digest,
)
from engine.live.panel_parts import parts_of, shapes_of
from engine.tape import ROW, Flag, Kind, Manifest, Tape, is_axis

STREAM = "tiny"
A, USD = 0, 1  # instruments of ``tiny_tape``


class TinyFeed:
    """Publishes the rows of a tape, its CLOCK rows where they stand."""

    def __init__(self, tape: Tape, *, epoch: int = 0) -> None:
        self.tape = tape
        self.epoch = epoch
        self.place = 0  # rows published
        self.numbers = np.cumsum(tape.rows["kind"] != Kind.CLOCK)  # numbered rows up to and including each
        self.panels: dict[str, NDArray[Any]] = tape.panels

    @property
    def next_seq(self) -> int:
        return int(self.numbers[self.place - 1]) if self.place else 0

    @property
    def ended(self) -> bool:
        return self.place == len(self.tape)

    def publish(self, n: int) -> Iterator[FeedMessage]:
        """The next n rows, ahead of them the panels of days that close among them."""
        first, rows = self.next_seq, self.tape.rows[self.place : self.place + n]
        for day in rows["order_id"][rows["kind"] == Kind.CLOSE].tolist():
            for name in self.panels:
                if not is_axis(name):
                    yield from self.panel(name, day)
        self.place += len(rows)
        yield Batch(STREAM, self.epoch, first, self.next_seq - first, 0, rows.tobytes())

    def panel(self, name: str, day: int) -> Iterator[FeedMessage]:
        return parts_of(self.panels, name, day, stream=STREAM, epoch=self.epoch)

    def heartbeat(self) -> Batch:
        return Batch(STREAM, self.epoch, self.next_seq, -1 if self.ended else 0, 0, b"")

    def start_again(self, back: int = 0) -> None:
        """As a process that crashed: from up to ``back`` rows before."""
        self.epoch += 1
        self.place = max(0, self.place - back)

    def answer(self, request: object) -> FeedReply:
        match request:
            case Join():
                return self.market()
            case WantRows(first, n):
                rows = self.tape.rows[: self.place]
                rows = rows[rows["kind"] != Kind.CLOCK][first : first + n]
                return Batch(STREAM, self.epoch, first, len(rows), 0, rows.tobytes())
            case WantPanel(name, day, part):
                return [*self.panel(name, day)][part]  # type: ignore[return-value]
        return Refused("UNKNOWN", "no such request")

    def market(self) -> Market:
        return Market(
            PROTOCOL, schema_digest(), STREAM, self.epoch, self.next_seq, self.ended, 0, "",
            msgspec.json.encode(self.tape.manifest), json.dumps({}).encode(), shapes_of(self.panels),
        )  # fmt: skip


def tiny_tape(seed: int, n: int, *, days: bool = True) -> Tape:
    """About n rows: quotes, closes with panels, and CLOCK rows wherever they may stand."""
    rng = np.random.Generator(np.random.Philox(seed))
    rows = np.zeros(n, ROW)
    gap = rng.integers(0, 4, n)
    rows["ts_event"] = rows["ts_recv"] = 1_000 + np.cumsum(gap)
    rows["kind"], rows["flags"], rows["instrument"] = Kind.QUOTE, Flag.LAST, A
    rows["price"], rows["price2"] = 100 + rng.integers(0, 5, n), 110 + np.arange(n)
    rows["size"] = rows["size2"] = 5
    closes = np.flatnonzero(rng.random(n) < 0.1) if days else np.zeros(0, int)
    rows["kind"][closes], rows["instrument"][closes], rows["order_id"][closes] = Kind.CLOSE, USD, np.arange(len(closes))
    before = [(at, later) for at in range(n) for later in range(int(gap[at]), 0, -1) if rng.random() < 0.3]
    clocks, later = np.array(before, int).reshape(-1, 2).T  # some before a row, each later than the one before
    ticks = np.zeros(len(clocks), ROW)
    ticks["kind"], ticks["ts_event"] = Kind.CLOCK, rows["ts_event"][clocks] - later
    panels = {
        "level": rng.normal(size=(len(closes), 3)),
        "date": np.arange(len(closes), dtype="<i4"),
        "axis_tenor": np.array([1.0, 2.0, 5.0]),
        "axis_bond": np.array([(b"US1", 2030), (b"US2", 2040)], dtype=[("isin", "S12"), ("matures", "<i4")]),
    }
    named = [Instrument(symbol="A"), Instrument(symbol="USD.RATES", kind="rates", book="NONE", levels=0)]
    manifest = Manifest(name=STREAM, instruments=named, sessions=[(0, 10**9)], synthetic=True)
    return Tape(np.insert(rows, clocks, ticks), manifest, panels if len(closes) else {})
