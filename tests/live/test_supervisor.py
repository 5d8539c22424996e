from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import pytest

from engine.live import supervisor
from engine.live.supervisor import EX_INTERRUPTED, Child, Supervisor

FOREVER = (
    "import os, signal, time; [signal.signal(n, lambda *_: os._exit(0)) for n in (2, 15)]; print('here', flush=True)\n"
)
FOREVER += "while True: time.sleep(0.01)"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT_NS", 1_000_000)
    monkeypatch.setattr(supervisor, "ROUND_S", 0.005)


def child(name: str, code: str, **more: bool) -> Child:
    return Child(name, [sys.executable, "-S", "-c", code], **more)


def run(*children: Child, each_round=lambda one: None) -> tuple[int, str]:
    out = io.StringIO()
    code = Supervisor(children, out=out, each_round=each_round).run()
    return code, out.getvalue()


def test_it_is_over_when_all_that_must_finish_have_and_the_feed_is_told_to_end() -> None:
    feed = child("feed", FOREVER, must_finish=False)
    code, said = run(feed, child("broker", "print('sealed'); print('twice', end='')"))
    assert code == 0
    assert "broker | sealed\n" in said
    assert "broker | twice\n" in said
    assert feed.process is not None
    assert feed.process.returncode in (0, -signal.SIGTERM)  # told before it could listen


def test_who_still_waits_for_one_that_has_ended_the_session_is_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GOODBYE_NS", 100_000_000)
    runner = child("runner", FOREVER)  # killed after its last word, and started again
    code, said = run(child("broker", "pass", is_last=True), runner)
    assert code == 0
    assert "nothing to wait for" in said
    assert runner.process is not None
    assert runner.process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 9)", "os._exit(75)", "os._exit(74)", "os._exit(70)"])
def test_who_is_killed_or_too_slow_is_started_again(death: str, tmp_path: Path) -> None:
    mark = tmp_path / "was here"
    one = child("broker", f"import os\nif not os.path.exists('{mark}'): open('{mark}', 'w').close(); {death}")
    code, said = run(one)
    assert (code, one.restarts) == (0, 1)
    assert "broker | was killed by signal 9; starting" in said or "broker | ended with code 7" in said


@pytest.mark.parametrize("code", [78, 1, 3])
def test_what_a_restart_cannot_cure_ends_all_with_its_code(code: int) -> None:
    found, said = run(child("feed", FOREVER, must_finish=False), child("broker", f"raise SystemExit({code})"))
    assert found == code
    assert f"broker ended with code {code}; ending all" in said


def test_who_dies_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MOST_DEATHS", 3)
    one = child("broker", "raise SystemExit(75)")
    assert run(one)[0] == 75
    assert one.restarts == 3


def test_waits_double_up_to_five_seconds_and_start_small_after_a_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    one, waits, now = Child("x", []), [], 0
    for _ in range(8):
        waits.append(one.wait_before_next_start(now))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert one.wait_before_next_start(supervisor.SETTLED_NS) == 0.1


def test_ctrl_c_ends_the_broker_first_and_a_second_one_kills(tmp_path: Path) -> None:
    last_words = "open({!r}, 'w').write(str(time.monotonic_ns())), os._exit(0)"
    marks = {name: str(tmp_path / name) for name in ("broker", "feed")}
    broker, feed = (
        child(name, FOREVER.replace("os._exit(0)", f"({last_words.format(mark)})"), must_finish=name == "broker")
        for name, mark in marks.items()
    )
    heard, asked = io.StringIO(), []

    def ask(one: Supervisor) -> None:
        if heard.getvalue().count("here") == 2 and not asked:
            asked.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    assert Supervisor([feed, broker], out=heard, each_round=ask).run() == EX_INTERRUPTED
    ends = {name: int(Path(mark).read_text()) for name, mark in marks.items()}
    assert ends["broker"] < ends["feed"]
    stubborn = child("stubborn", FOREVER.replace("os._exit(0)", "None"))
    heard, asked = io.StringIO(), []

    def insist(one: Supervisor) -> None:
        if heard.getvalue().count("here") and len(asked) < 2:
            asked.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    assert Supervisor([stubborn], out=heard, each_round=insist).run() == EX_INTERRUPTED
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL
