"""A desk's program pushes rows over real sockets into a feed on a real disk."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq

from engine.errors import ConfigError, RunError
from engine.instruments import Instrument
from engine.live import Publisher
from engine.live.durable_log import DurableLog
from engine.live.feed_role import FeedRole, Pacing
from engine.live.feed_state import StateFile
from engine.live.keys import new_keys
from engine.live.pushed_rows import PushedRows
from engine.live.role_disk import RoleDisk
from engine.live.segments import Segments
from engine.live.session import Wires
from engine.live_config import Live
from engine.tape import ROW, Flag, Kind, Manifest

SECOND = 1_000_000_000
MARKET = Manifest(instruments=[Instrument(symbol="XYZ", book="L1")])


@pytest.fixture
def live(tmp_path: Path) -> Live:
    (tmp_path / "s").mkdir(mode=0o700)
    return Live(feed=f"ipc://{tmp_path}/s/feed", recovery=f"ipc://{tmp_path}/s/recovery", plain=True)


@contextmanager
def feed(live: Live, folder: Path) -> Iterator[PushedRows]:
    """A feed of pushed rows in a thread; yields its source."""
    file, wires = StateFile(folder, stream="S", market="M"), Wires(live, "feed")
    log, kept = DurableLog.open(folder / "log.sqlite", durable=False), Segments(folder / "rows", durable=False)
    source = PushedRows(MARKET, kept, (entry.payload for entry in log.entries()))
    role = FeedRole(source, file, wires, Pacing(), disk=RoleDisk(log, kept), entries=log.committed)
    thread = threading.Thread(target=role.run)
    thread.start()
    try:
        yield source
    finally:
        role.shell._signals.append(signal.SIGTERM)
        thread.join()
        wires.close()
        log.close()
        kept.close()
        file.close()


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as made:
        yield made


def quotes(n: int, first_ts: int = SECOND) -> np.ndarray:
    rows = np.zeros(n, ROW)
    rows["ts_event"] = rows["ts_recv"] = first_ts + np.arange(n)
    rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
    rows["price"], rows["price2"], rows["size"], rows["size2"] = 100_0000, 100_0100, np.arange(n) + 1, 1
    return rows


def test_ten_lines_push_a_desks_rows_and_a_restart_of_either_loses_and_doubles_nothing(
    live: Live, tmp_path: Path, context: zmq.Context
) -> None:
    with feed(live, tmp_path / "f") as source, Publisher(live.recovery, plain=True, context=context) as desk:
        desk.quote("XYZ", bid="100.01", bid_size=300, ask=100.02, ask_size=200, ts=5 * SECOND)
        desk.quote("XYZ", bid="100.03", bid_size=300, ask="100.02", ask_size=200, ts=6 * SECOND)
        desk.trade("XYZ", price="101.00", size=100, side=1, ts=2 * SECOND)
        assert desk.push() == {"CROSSED": 1, "TIME_CLAMPED": 1, "TIME_BACK": 1}
        assert desk.push(quotes(20_000, 7 * SECOND)) == {}
        assert len(source.read(0, 8_192)) == 8_192
    with feed(live, tmp_path / "f") as source, Publisher(live.recovery, plain=True, context=context) as desk:
        desk.push(quotes(10, 8 * SECOND))
        assert desk.counts == {}
        rows = np.concatenate([source.read(at, 10_000) for at in (0, 10_000, 20_000)])
    assert len(rows) == 20_013
    assert rows[-10:].tobytes() == quotes(10, 8 * SECOND).tobytes()
    assert sorted(rows["price"][:3]) == [100_0100, 100_0300, 101_0000]


def test_with_keys_a_reader_may_not_push_and_a_publisher_may(
    live: Live, tmp_path: Path, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = new_keys(tmp_path / "keys")
    keys.add("push", "desk")
    secured = Live(feed=live.feed, recovery=live.recovery, keys_folder=str(keys.folder))
    with feed(secured, tmp_path / "f"):
        with Publisher(live.recovery, keys=keys, name="desk", context=context) as desk:
            assert desk.push(quotes(3)) == {}
        reader = keys.client("md")
        monkeypatch.setattr(type(keys), "client", lambda self, role, name: reader)
        with pytest.raises(RunError, match="may read but not push"):
            Publisher(live.recovery, keys=keys, context=context)


def test_what_the_feed_refuses_is_said_and_the_next_push_is_sound(
    live: Live, tmp_path: Path, context: zmq.Context
) -> None:
    with feed(live, tmp_path / "f"), Publisher(live.recovery, plain=True, context=context) as desk:
        open_group = quotes(1)
        open_group["flags"] = 0
        with pytest.raises(RunError, match=r"its group is not .*correct it and push again \(BAD_ROWS"):
            desk.push(open_group)
        assert desk.push(quotes(2)) == {}
        with pytest.raises(ConfigError, match="no instrument 'XYY'; did you mean 'XYZ'"):
            desk.quote("XYY")
        with pytest.raises(ConfigError, match="rows are float64"):
            desk.push(np.zeros(3))  # pyright: ignore[reportArgumentType]


def test_a_feed_that_does_not_answer_is_told_within_its_time(live: Live, context: zmq.Context) -> None:
    with pytest.raises(RunError, match=r"does not answer; see that `tickwright publish"):
        Publisher(live.recovery, plain=True, patience_s=0.1, context=context)
