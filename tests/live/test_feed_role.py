"""The feed in a thread of its own over real sockets: who joins late has it all, and a restart goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq

from engine import clock
from engine.errors import ConfigError, RunError, TapeError
from engine.live import feed_state
from engine.live.endless import Begin, EndlessSource
from engine.live.feed_command import of_name, publish_command
from engine.live.feed_role import FeedRole, Pacing
from engine.live.feed_state import StateFile
from engine.live.messages import encode, feed_reply
from engine.live.receiver import StreamReceiver
from engine.live.session import Wires
from engine.live.sources import Source, TapeSource
from engine.live_config import Live
from engine.tape import Tape
from feeds.endless import EndlessMarket
from feeds.synthetic import MarketParams, Stock

SECOND = 1_000_000_000
PATIENCE_NS = 20 * SECOND


@pytest.fixture
def live(tmp_path: Path) -> Live:
    (tmp_path / "s").mkdir(mode=0o700)
    return Live(feed=f"ipc://{tmp_path}/s/feed", recovery=f"ipc://{tmp_path}/s/recovery", plain=True, speed="max")


@contextmanager
def feed(source: Source, live: Live, folder: Path, pacing: Pacing | None = None, **options: bool) -> Iterator[FeedRole]:
    """A feed for a while; stopped in order."""
    file = StateFile(folder, stream="S", market="M", **options)
    wires = Wires(live, "feed")
    role = FeedRole(source, file, wires, pacing or Pacing())
    thread = threading.Thread(target=role.run)
    thread.start()
    try:
        yield role
    finally:
        role.shell._signals.append(signal.SIGTERM)  # as its handler does in a process
        thread.join()
        wires.close()
        file.close()


def receive(
    live: Live, until: int | None = None, receiver: StreamReceiver | None = None
) -> tuple[np.ndarray, StreamReceiver]:
    """What a receiver takes until the end, or until it has so many rows."""
    wires, receiver, parts = Wires(live), receiver or StreamReceiver(), []
    market, recovery = wires.client("market"), wires.client("recovery")
    poller = zmq.Poller()
    poller.register(market, zmq.POLLIN)
    poller.register(recovery, zmq.POLLIN)
    give_up = clock.monotonic_ns() + PATIENCE_NS
    while not receiver.ended and (until is None or receiver.next_seq < until):
        now = clock.monotonic_ns()
        assert now < give_up
        for want in receiver.wants(now):
            try:
                recovery.send(encode(want), zmq.NOBLOCK)
            except zmq.Again:
                break
        for socket, _ in poller.poll(20):
            receiver.hear(clock.monotonic_ns(), feed_reply(socket.recv()))
        while len(rows := receiver.take()):
            parts.append(rows)
    market.close()
    recovery.close()
    wires.close()
    return np.concatenate(parts), receiver


@pytest.fixture
def tape(small_tape: Path) -> Tape:
    return Tape.load(small_tape)


def test_who_joins_after_the_end_still_receives_the_whole_tape(tape: Tape, live: Live, tmp_path: Path) -> None:
    with feed(TapeSource(tape), live, tmp_path / "f") as role:
        rows, receiver = receive(live)
        assert role.core.ended
    assert rows.tobytes() == tape.rows.tobytes()
    assert receiver.market is not None
    assert receiver.market.content == tape.manifest.content


def test_a_restarted_feed_has_a_higher_epoch_and_its_receiver_misses_nothing(
    tape: Tape, live: Live, tmp_path: Path
) -> None:
    paced = Pacing(speed=300_000)  # ten minutes in two seconds
    with feed(TapeSource(tape), live, tmp_path / "f", paced):
        before, receiver = receive(live, until=1_000)
        epoch = receiver.epoch
    with feed(TapeSource(tape), live, tmp_path / "f", paced) as role:
        assert role.core.next_seq >= 1_000
        after, receiver = receive(live, receiver=receiver)
    assert receiver.epoch == epoch + 1
    rows = np.concatenate([before, after])
    assert rows[rows["kind"] != 13].tobytes() == tape.rows.tobytes()
    assert (rows["kind"] == 13).any()


def test_a_stream_that_ended_in_order_begins_again_and_one_that_did_not_goes_on(tmp_path: Path) -> None:
    file = StateFile(tmp_path, stream="S", market="M")
    epoch = file.state.epoch
    file.state.next_seq, file.state.begins = 70, [Begin(0, (1,)), Begin(50, (2,))]
    file.write()
    file.close()
    file = StateFile(tmp_path, stream="S", market="M")
    assert (file.state.epoch, file.state.next_seq, file.state.begins[1].first) == (epoch + 1, 70, 50)
    file.state.finished = True
    file.write()
    file.close()
    file = StateFile(tmp_path, stream="S", market="M")
    assert (file.state.epoch, file.state.next_seq, file.state.begins) == (epoch + 2, 0, [])
    file.close()


def test_a_feed_that_lost_its_state_has_a_higher_epoch_than_any_before(tmp_path: Path) -> None:
    file = StateFile(tmp_path, stream="S", market="M")
    file.close()
    (tmp_path / "feed.json").unlink()
    with pytest.MonkeyPatch.context() as later:
        later.setattr(feed_state.clock, "wall_ns", lambda: (file.state.epoch + 5) * 1_000_000_000)
        again = StateFile(tmp_path, stream="S", market="M")
    assert again.state.epoch > file.state.epoch
    assert again.state.begun == again.state.epoch
    again.close()


def test_a_folder_serves_one_feed_of_one_market_at_a_time(tmp_path: Path) -> None:
    file = StateFile(tmp_path, stream="S", market="M")
    with pytest.raises(RunError, match="another feed runs on it"):
        StateFile(tmp_path, stream="S", market="M")
    file.close()
    with pytest.raises(RunError, match="of another market; name another --out, or say --new"):
        StateFile(tmp_path, stream="S", market="other")
    StateFile(tmp_path, stream="S", market="other", new=True).close()
    (tmp_path / "feed.json").write_text("{")
    with pytest.raises(RunError, match="remove the file, or name another --out"):
        StateFile(tmp_path, stream="S", market="M")


def test_days_in_one_folder_are_one_stream(small_tape: Path) -> None:
    published = of_name(str(small_tape.parent), False, {})
    source = TapeSource(published.feed.tape, published.feed.parts)
    assert source.total == 12_000
    assert len(source.manifest.sessions) == 2


@pytest.mark.parametrize(
    ("what", "options", "says"),
    [
        ("synthetic", {}, "this market has no end; say --endless"),
        ("demo_day", {"endless": True}, "a tape has an end"),
        ("demo_dya", {}, "did you mean 'demo_day'"),
        ("demo_day", {"speed": "fast"}, "--speed is 'fast'; write a factor"),
        ("demo_day", {"speed": "nan"}, "--speed is 'nan'; write a factor"),
        ("demo_day", {"session": "x.toml"}, "and not both"),
        ("demo_day", {"batch_rows": 0}, "--batch is 0"),
    ],
)
def test_what_cannot_be_published_is_refused_with_what_to_write(what: str, options: dict, says: str) -> None:
    usual = {"session": "", "speed": "", "endless": False, "options": {}, "addresses": {}, "out": None, "new": False}
    usual |= {"batch_rows": 64, "keep_quiet": False}
    with pytest.raises((ConfigError, TapeError), match=says):
        publish_command(what, **{**usual, **options})


def test_an_endless_market_goes_on_after_a_restart_where_it_was(live: Live, tmp_path: Path) -> None:
    params = MarketParams(stocks=(Stock(symbol="A", price="40.00", daily_volatility=0.006, daily_volume=100_000),))

    def endless(begins: list[Begin]) -> EndlessSource:
        return EndlessSource(EndlessMarket(seed=1, params=params), begins)

    with feed(endless([]), live, tmp_path / "f"):
        before, receiver = receive(live, until=3_000)
    file = StateFile(tmp_path / "f", stream="S", market="M")
    begins, published = file.state.begins, file.state.next_seq
    file.close()
    assert begins[-1].first > published >= 3_000
    with feed(endless(begins), live, tmp_path / "f"):
        after, _ = receive(live, until=published + 1_000, receiver=receiver)
    rows = np.concatenate([before, after])
    source, expected = endless([]), []
    while (at := sum(map(len, expected))) < len(rows):
        expected.append(source.read(at, len(rows) - at))
    assert rows.tobytes() == np.concatenate(expected).tobytes()
