from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import zmq

from engine.live import links, role_disk, shell
from engine.live.door import MOST_FAULTS, Door
from engine.live.links import Links
from engine.live.role import (
    EX_SOFTWARE,
    Append,
    Committed,
    Fault,
    Frame,
    Input,
    KeepRows,
    Operator,
    Output,
    Send,
    Stop,
    Tick,
)
from engine.live.role_disk import GROUP, RoleDisk
from engine.live.shell import EX_INTERRUPTED, EX_IOERR, Shell

NEVER = 2**62


class Scripted:
    """A core that does what a function says, and remembers what it was given."""

    def __init__(self, respond: Callable[[Input], Sequence[Output]]) -> None:
        self._respond = respond
        self.given: list[Input] = []
        self.next_tick = 0

    def advance(self, now: int, input: Input) -> Sequence[Output]:
        self.given.append(input)
        if type(input) is Tick:
            self.next_tick = NEVER
        return self._respond(input)


class PaperLog:
    """A log that remembers what was committed when, and fails when told."""

    def __init__(self, events: list[str], fails: str = "") -> None:
        self.events, self.count, self._fails = events, 0, fails

    def append(self, kind: int, payload: bytes) -> int:
        self.count += 1
        self.events.append(f"append {self.count}")
        return self.count

    def commit(self) -> None:
        if self._fails:
            raise OSError(errno.EIO, self._fails)
        self.events.append(f"commit {self.count}")

    def close(self) -> None: ...


class PaperRows:
    def __init__(self, events: list[str]) -> None:
        self.events = events

    def append(self, rows: bytes) -> None:
        self.events.append(f"rows {len(rows)}")

    def sync(self) -> None:
        self.events.append("rows on disk")

    def close(self) -> None: ...


@pytest.fixture
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A ROUTER and a DEALER that calls itself ``me``."""
    with zmq.Context() as context:
        router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.SNDHWM, 10)
        dealer.setsockopt(zmq.RCVHWM, 10)
        dealer.setsockopt(zmq.IDENTITY, b"me")
        router.bind("inproc://orders")
        dealer.connect("inproc://orders")
        yield router, dealer
        router.close(linger=0)
        dealer.close(linger=0)


def run(core: Scripted, router: zmq.Socket[bytes] | None = None, **more: object) -> int:
    return Shell(core, Links({"orders": Door(router, "orders", None)} if router else {}), **more).run()  # type: ignore[arg-type]


def test_a_frame_reaches_the_core_and_what_it_says_reaches_the_peer_even_just_before_the_end(pair) -> None:
    router, dealer = pair
    core = Scripted(lambda one: [Send("orders", one.peer, b"heard"), Stop(7, "")] if isinstance(one, Frame) else [])
    dealer.send(b"hello")
    assert run(core, router) == 7
    assert Frame("orders", b"me", "", b"hello") in core.given
    assert dealer.recv() == b"heard"


def test_entries_are_on_disk_and_rows_before_them_when_the_core_is_told(pair) -> None:
    router, dealer = pair
    events: list[str] = []

    def respond(one: Input) -> list[Output]:
        if isinstance(one, Frame):
            return [KeepRows(b"rows"), Append(1, one.data)]
        if isinstance(one, Committed):
            events.append(f"told {one.count}")
            return [Stop(0, "")] if one.count == 3 * GROUP else []
        return []

    for i in range(3 * GROUP):
        dealer.send(b"%d" % i)
    disk = RoleDisk(PaperLog(events), PaperRows(events))
    assert run(Scripted(respond), router, disk=disk) == 0
    for i, event in enumerate(events):
        if event.startswith("told"):
            assert events[i - 2 : i] == ["rows on disk", event.replace("told", "commit")]
    groups = [int(event.split()[1]) for event in events if event.startswith("commit")]
    assert groups[-1] == 3 * GROUP
    assert max(b - a for a, b in zip([0, *groups], groups, strict=False)) <= GROUP


def test_what_was_appended_just_before_an_end_in_order_is_kept() -> None:
    events: list[str] = []
    assert run(Scripted(lambda one: [Append(1, b""), Stop(0, "")]), disk=RoleDisk(PaperLog(events))) == 0
    assert events == ["append 1", "commit 1"]


def test_after_a_failed_commit_nothing_is_told_and_nothing_is_committed_again(pair, capsys) -> None:
    router, dealer = pair
    events: list[str] = []
    disk = RoleDisk(PaperLog(events, fails="the disk is gone"))
    core = Scripted(lambda one: [Append(1, b""), Send("orders", b"me", b"?")] if isinstance(one, Frame) else [])
    dealer.send(b"hello")
    assert run(core, router, disk=disk) == EX_IOERR
    assert not any(isinstance(one, Committed) for one in core.given)
    assert "the disk is gone" in capsys.readouterr().err
    with pytest.raises(role_disk.JournalFailed, match="the disk is gone"):
        disk.append(1, b"")
    assert events == ["append 1"]


def test_a_kill_file_is_heard_once_and_again_when_it_comes_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shell, "LOOK_NS", 1_000_000)
    file, kills = tmp_path / "KILL", []

    def respond(one: Input) -> list[Output]:
        if isinstance(one, Operator):
            kills.append(one)
        return []

    core = Scripted(respond)
    ticks = iter([file.touch, lambda: None, file.unlink, lambda: None, file.touch, lambda: None])

    def each_second() -> None:
        next(ticks, lambda: core_stop(core))()

    monkeypatch.setattr(shell, "SECOND_NS", 1_000_000)
    assert run(core, kill_file=file, each_second=each_second) == 9
    assert kills == [Operator("kill", f"kill file {file}")] * 2


def core_stop(core: Scripted) -> None:
    core._respond = lambda one: [Stop(9, "")]
    core.next_tick = 0


def test_signals_kill_reload_and_end_and_a_second_one_ends_at_once() -> None:
    reloaded: list[int] = []
    signals = iter([signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM])

    def respond(one: Input) -> list[Output]:
        core.next_tick = 0
        if (number := next(signals, None)) is not None:
            os.kill(os.getpid(), number)
        return []

    core = Scripted(respond)
    assert run(core, reload_keys=lambda: reloaded.append(1)) == EX_INTERRUPTED
    told = [one for one in core.given if isinstance(one, Operator)]
    assert told == [Operator("kill", "SIGUSR1"), Operator("shutdown", "ended by SIGTERM")]
    assert reloaded == [1]


def test_a_core_that_does_not_end_when_told_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(shell, "PATIENCE_NS", 0)
    core = Scripted(lambda one: os.kill(os.getpid(), signal.SIGTERM) or [])
    assert run(core) == EX_INTERRUPTED


def test_low_disk_space_is_told_when_it_changes(monkeypatch) -> None:
    monkeypatch.setattr(shell, "SECOND_NS", 0)
    monkeypatch.setattr(shell, "LOOK_NS", 0)
    states = iter([False, True, True, False])
    core = Scripted(lambda one: [])
    run(core, is_disk_low=lambda: next(states, False), each_second=lambda: count_down(core))
    assert [one.what for one in core.given if isinstance(one, Operator)] == ["disk_low", "disk_ok"]


def test_a_role_whose_newcomers_get_no_answer_keeps_what_it_has_and_ends_to_be_started_again(
    monkeypatch, capsys
) -> None:
    monkeypatch.setattr(shell, "SECOND_NS", 0)
    monkeypatch.setattr(shell, "LOOK_NS", 0)
    answers = iter([True, True])
    events: list[str] = []
    disk = RoleDisk(PaperLog(events), PaperRows(events))
    core = Scripted(lambda one: [Append(1, b"")])
    assert run(core, disk=disk, answers=lambda: next(answers, False)) == EX_SOFTWARE
    assert "nobody answers for the keys" in capsys.readouterr().err
    assert events[-1] == f"commit {sum(event.startswith('append') for event in events)}"


def test_a_peer_whose_messages_are_none_is_told_so_three_times_and_not_heard_any_more(pair) -> None:
    router, dealer = pair

    def respond(one: Input) -> list[Output]:
        core.next_tick = 0
        if isinstance(one, Frame):
            return [Send("orders", one.peer, b"none"), Fault("orders", one.peer, one.key)]
        return [Stop(9, "")] if len(core.given) > 50 else []

    core = Scripted(respond)
    for _ in range(MOST_FAULTS + 2):
        dealer.send(b"garbage")
    assert run(core, router) == 9
    assert sum(isinstance(one, Frame) for one in core.given) == MOST_FAULTS
    assert [dealer.recv() for _ in range(MOST_FAULTS)] == [b"none"] * MOST_FAULTS
    assert not dealer.poll(0)


def count_down(core: Scripted, calls: list[int] = [0] * 5) -> None:
    if not calls:
        core_stop(core)
    else:
        calls.pop()


def test_what_a_slow_peer_does_not_take_is_kept_in_order_and_bounded(pair, monkeypatch) -> None:
    router, dealer = pair
    dealer.send(b"hello")
    monkeypatch.setattr(links, "KEPT", 4 * 1_000)
    both = Links({"orders": Door(router, "orders", None)})
    assert both.wait(1_000) == ["orders"]
    assert both.receive("orders") is not None
    for i in range(5_000):
        both.send(Send("orders", b"me", b"%04d" % i))
    assert both.unsent["orders"] > 0
    got: list[int] = []
    expected = list(range(5_000 - both.unsent["orders"]))
    for _ in range(20 * len(expected)):
        both.flush()
        if dealer.poll(2):
            got.append(int(dealer.recv()))
        elif got == expected:
            break
    assert got == expected


def test_a_peer_that_is_gone_costs_nothing_and_is_counted(pair) -> None:
    both = Links({"orders": Door(pair[0], "orders", None)})
    both.send(Send("orders", b"nobody", b"x"))
    assert both.unsent["orders"] == 1
