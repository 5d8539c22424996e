"""F28: rows with each fault of the data rules, alone and in all pairs, pushed into a feed: one reason code for each.

A pair goes in one push, once on one instrument and once on two. What the rules drop is not published; what they keep
is, in order of time. Faults of a stream's numbers (GAP, REORDER, DUP, DUP_CONFLICT) are no faults of rows: see
tests/live/test_receiver.py.
"""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray
from procedure import Trial, main

from engine.errors import RunError
from engine.instruments import Instrument
from engine.live import Publisher
from engine.live import messages as m
from engine.live.durable_log import DurableLog
from engine.live.feed_role import FeedRole, Pacing
from engine.live.feed_state import StateFile
from engine.live.pushed_rows import PushedRows
from engine.live.role_disk import RoleDisk
from engine.live.segments import Segments
from engine.live.session import wires
from engine.live_config import Live
from engine.tape import ROW, Flag, Kind, Manifest

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
SPAN = 60 * SECOND  # of one push
MIDDLE = 1_000_000  # price units
TICK, LOT = 100, 10
BOOKS = 16  # instruments of each kind, used in turn


class Case(NamedTuple):
    """Rows with one fault, and what is to be found."""

    rows: Callable[[int], list[NDArray[np.void]]]  # of a time
    found: dict[str, int]
    dropped: int = 0
    book: str = "L1"


def row(kind: Kind, ts: int, **fields: int) -> NDArray[np.void]:
    """A row of the first instrument."""
    made = np.zeros(1, ROW)
    made["kind"], made["flags"], made["ts_event"], made["ts_recv"] = kind, Flag.LAST, ts, ts
    for name, value in fields.items():
        made[name] = value
    return made


def quote(ts: int, bid: int = MIDDLE - TICK, ask: int = MIDDLE + TICK, **fields: int) -> NDArray[np.void]:
    return row(Kind.QUOTE, ts, **{"price": bid, "size": LOT, "price2": ask, "size2": LOT, **fields})


def trade(ts: int, price: int = MIDDLE, size: int = LOT, **fields: int) -> NDArray[np.void]:
    return row(Kind.TRADE, ts, price=price, size=size, side=1, **fields)


def jump(ts: int) -> list[NDArray[np.void]]:
    """Twenty trades at one price, then one far off, inside a quote as wide."""
    wide = quote(ts, bid=TICK, ask=2 * MIDDLE)
    return [wide, *(trade(ts + n) for n in range(20)), trade(ts + 20, price=MIDDLE + MIDDLE // 2)]


CASES = {
    "price beyond 2^53": Case(lambda ts: [quote(ts, bid=2**60)], {"BAD_NUMBER": 1}, 1),
    "size beyond 2^53": Case(lambda ts: [trade(ts, size=2**61)], {"BAD_NUMBER": 1}, 1),
    "negative price": Case(lambda ts: [quote(ts, bid=-TICK)], {"BAD_PRICE": 1}, 1),
    "price of zero": Case(lambda ts: [trade(ts, price=0)], {"BAD_PRICE": 1}, 1),
    "negative size": Case(lambda ts: [quote(ts, size=-LOT)], {"BAD_SIZE": 1}, 1),
    "trade of nothing": Case(lambda ts: [trade(ts, size=0)], {"BAD_SIZE": 1}, 1),
    "no such instrument": Case(lambda ts: [trade(ts, instrument=65_535)], {"UNKNOWN_INST": 1}, 1),
    "price off its tick": Case(lambda ts: [trade(ts, price=MIDDLE + 1)], {"OFF_TICK": 1}),
    "size off its lot": Case(lambda ts: [trade(ts, size=LOT + 1)], {"OFF_TICK": 1}),
    "crossed": Case(lambda ts: [quote(ts, bid=MIDDLE + 5 * TICK)], {"CROSSED": 1}),
    "locked": Case(lambda ts: [quote(ts, bid=MIDDLE + TICK)], {"LOCKED": 1}),
    "late by little": Case(lambda ts: [trade(ts + 9), trade(ts + 8), trade(ts + 10)], {"TIME_CLAMPED": 1}),
    "late by more than a second": Case(
        lambda ts: [trade(ts + 3 * SECOND), trade(ts), trade(ts + 3 * SECOND + 1)], {"TIME_CLAMPED": 1, "TIME_BACK": 1}
    ),
    "from the future": Case(lambda ts: [trade(ts, ts_recv=ts - 2 * SECOND)], {"TIME_FUTURE": 1}),
    "outside the quote": Case(lambda ts: [trade(ts, price=MIDDLE + 9 * TICK)], {"OUTSIDE": 1}),
    "jump": Case(jump, {"JUMP": 1}),
    "unknown order": Case(
        lambda ts: [row(Kind.DELETE, ts, order_id=77, side=1, price=MIDDLE, size=LOT)], {"BOOK_DESYNC": 1}, 1, "L3"
    ),
}


def bad_data(trial: Trial) -> str:
    instruments = [
        Instrument(symbol=f"{book}-{n}", book=book, tick=TICK, lot=LOT, levels=1 if book == "L1" else 0)
        for book in ("L1", "L3")
        for n in range(BOOKS)
    ]
    pushes = published = 0
    with (
        feed(trial.folder, Manifest(instruments=instruments)) as (source, live),
        zmq.Context() as context,
        Publisher(live.recovery, plain=True, context=context) as desk,
    ):
        for names in [*((name,) for name in CASES), *itertools.permutations(CASES, 2)]:
            for together in (True, False) if len(names) == 2 else (True,):
                published += try_push(names, pushes, desk, together=together)
                pushes += 1
        for fault in (b"x" * 63, np.full(1, 7, ROW).tobytes()):
            assert "BAD_ROWS" in refusal(desk, m.Push(pushes, fault)), "rows that are none were taken"
        check_published(source, published)
    return f"{pushes} pushes of {len(CASES)} faults, alone and in pairs, each with its reason code; garbage refused"


def try_push(names: tuple[str, ...], n: int, desk: Publisher, *, together: bool) -> int:
    """Push the faults, each after a quote that is in order, on one book or two; how many rows were kept."""
    expected, rows = Counter[str](), []
    for place, name in enumerate(names):
        case, ts = CASES[name], BEGIN + n * SPAN + place * SPAN // 2
        at = (n % BOOKS if together or not place else (n + BOOKS // 2) % BOOKS) + (BOOKS if case.book == "L3" else 0)
        for one in [*([quote(ts)] if case.book == "L1" else []), *case.rows(ts + 1)]:
            one["instrument"] = np.where(one["instrument"] == 0, at, one["instrument"])
            rows.append(one)
        expected.update(case.found)
    found = desk.push(np.concatenate(rows))
    assert found == expected, f"{' and '.join(names)}: found {found}, not {dict(expected)}"
    return len(rows) - sum(CASES[name].dropped for name in names)


def check_published(source: PushedRows, published: int) -> None:
    """All rows that are kept are in order of time, and none has a number that no price or size may be."""
    last, first = 0, 0
    while len(rows := source.read(first, 8_192)):
        times = rows["ts_event"]
        assert last <= times[0], "published out of order"
        assert (np.diff(times) >= 0).all(), "published out of order"
        assert (np.abs(rows["price"]) <= 2**53).all(), "a price that is none was published"
        assert (rows["size"] >= 0).all(), "a negative size was published"
        last, first = int(times[-1]), first + len(rows)
    assert first == published, f"{first} rows were published, {published} ought to be"


def refusal(desk: Publisher, push: m.Push) -> str:
    """Why a feed will not take a push, or ""."""
    try:
        desk._ask(push, lambda reply: isinstance(reply, m.Pushed))
    except RunError as error:
        return str(error)
    return ""


@contextmanager
def feed(folder: Path, market: Manifest) -> Iterator[tuple[PushedRows, Live]]:
    """A feed of pushed rows in a thread."""
    folder.chmod(0o700)
    live = Live(feed=f"ipc://{folder}/feed", recovery=f"ipc://{folder}/recovery", plain=True)
    with (
        closing(StateFile(folder / "state", stream="S", market="M")) as file,
        DurableLog.open(folder / "log.sqlite", durable=False) as log,
        Segments(folder / "rows", durable=False) as kept,
        wires(live, "feed") as made,
    ):
        source = PushedRows(market, kept)
        role = FeedRole(source, file, made, Pacing(), disk=RoleDisk(log, kept))
        thread = threading.Thread(target=role.run)
        thread.start()
        try:
            yield source, live
        finally:
            role.shell._signals.append(signal.SIGTERM)
            thread.join()


if __name__ == "__main__":
    main(bad_data)
