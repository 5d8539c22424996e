"""The laws that hold at every moment of a schedule, and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import busy_market
import numpy as np
from host import Broken

from engine.journal import RECORD, Journal, RecordKind
from engine.live import broker_log
from engine.tape import ROW, Kind, is_axis

if TYPE_CHECKING:
    from disk import Entry
    from host import Host


CLOCK, CLOSE, SIZE = int(Kind.CLOCK), int(Kind.CLOSE), ROW.itemsize


class RowsLaw:
    """Whoever takes rows takes 0, 1, 2, … of the tape, whole and in order, with CLOCK rows that keep their word."""

    def __init__(self, market: str, rows: int) -> None:
        self._tape = busy_market.tape_bytes(market, rows)
        self._panels = busy_market.tape(market, rows).panels
        self._taken = 0  # bytes
        self._last_ts = 0
        self._promised = 0  # no later row at or before this, said a CLOCK row

    @property
    def is_complete(self) -> bool:
        """All of the tape was taken."""
        return self._taken == len(self._tape)

    def take(self, who: str, rows: bytes) -> None:
        """ROW[n] that a role handed on."""
        if not rows:
            return
        table = np.frombuffer(rows, ROW)
        clocks = table["kind"] == CLOCK
        has_clocks = clocks.any()
        numbered = table[~clocks].tobytes() if has_clocks else rows
        at, end = self._taken, self._taken + len(numbered)
        if self._tape[at:end] != numbered:
            raise Broken("rows come as 0, 1, 2, …", f"{who}: not rows {at // SIZE} to {end // SIZE - 1} of the tape")
        self._taken = end
        times = table["ts_event"]
        if has_clocks or self._promised >= times[0] or self._last_ts > times[0]:  # else in order as the tape is
            self._check_times(who, times.tolist(), clocks.tolist())
        self._last_ts = int(times[-1])

    def check_future(self, who: str, published: int) -> None:
        """Nobody has rows that the feed has not published."""
        if self._taken > published * SIZE:
            raise Broken("no row is shown before it is published", f"{who} has {self._taken // SIZE} of {published}")

    def check_panels(self, who: str, rows: bytes, panels: Mapping[str, np.ndarray]) -> None:
        """Panels are there when their close is."""
        table = np.frombuffer(rows, ROW)
        for day in table["order_id"][table["kind"] == CLOSE]:
            for name, whole in self._panels.items():
                mine = panels[name]
                if not np.array_equal(mine if is_axis(name) else mine[day], whole if is_axis(name) else whole[day]):
                    raise Broken("panels come before their close", f"{who}: {name} of day {day}")

    def _check_times(self, who: str, times: list[int], clocks: list[bool]) -> None:
        last = self._last_ts
        for ts, is_clock in zip(times, clocks, strict=True):
            if ts < last:
                raise Broken("market time never goes back", f"{who}: {ts} after {last}")
            if not is_clock and ts <= self._promised:
                raise Broken("after a CLOCK row comes no row at or before it", f"{who}: {ts}")
            self._promised, last = (ts if is_clock else self._promised), ts


class Laws:
    """What is watched over a schedule."""

    def __init__(self, market: str, rows: int) -> None:
        self.market, self.rows = market, rows
        self.reached: Counter[str] = Counter()
        self.taken: dict[str, RowsLaw] = {}

    def rows_of(self, who: str) -> RowsLaw:
        """The rows that a role has taken in this life."""
        if who not in self.taken:
            self.taken[who] = RowsLaw(self.market, self.rows)
        return self.taken[who]

    def began(self, host: Host) -> None:
        """A role starts: what it took before is what it kept."""
        self.taken.pop(host.name, None)
        self.rows_of(host.name).take(host.name, bytes(host.disk.rows))

    def check_records(self, entries: Sequence[Entry], *, whole: bool) -> None:
        """The parity oracle: the broker's records are those of a plain replay of the same tape."""
        found, expected = records_of(entries), busy_market.replay(self.market, self.rows)
        if not (found == expected if whole else expected.startswith(found)):
            a, b = (np.frombuffer(records, RECORD) for records in (found, expected))
            n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            raise Broken(
                "the records are those of a plain replay",
                f"{len(a)} records against {len(b)}; number {n} is {a[n : n + 1]} against {b[n : n + 1]}",
            )

    def check_kills(self, entries: Sequence[Entry]) -> None:
        """After an account's kill is logged, none of its new orders is accepted."""
        killed: set[int] = set()
        new: set[tuple[int, int]] = set()
        for one in entries:
            body = broker_log.decode(one.payload)
            if one.kind == broker_log.Entry.KILL:
                killed.add(body.account)
            if one.kind != broker_log.Entry.RECORDS or not killed:
                continue
            for record in np.frombuffer(body.raw, RECORD):
                key = int(record["account"]), int(record["order_no"])
                if record["kind"] == RecordKind.ORDER and key[0] in killed:
                    new.add(key)
                elif record["kind"] in (RecordKind.ACCEPT, RecordKind.FILL) and key in new:
                    raise Broken("a killed account sends no order that is accepted", f"order {key[1]} of {key[0]}")


def records_of(entries: Sequence[Entry]) -> bytes:
    """RECORD[n] of a broker's log."""
    return b"".join(broker_log.decode(one.payload).raw for one in entries if one.kind == broker_log.Entry.RECORDS)


def fingerprint(records: bytes) -> str:
    """Of a journal that holds these."""
    journal = Journal()
    journal.append(np.frombuffer(records, RECORD))
    return journal.fingerprint
