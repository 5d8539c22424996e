"""Sessions in processes of their own, as a newcomer starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import engine
from engine.run import run_config
from engine.run_folder import read
from engine.verify import verify

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}
MINE = '''
from engine import MILLISECOND, Strategy, Wake

class Mine(Strategy):
    """Quote both touches."""

    wake = Wake(every_ns=100 * MILLISECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote("XYZ")
        desk.cancel_all("XYZ")
        if quote.is_two_sided and abs(desk.position("XYZ")) < 1_000:
            desk.buy("XYZ", shares=100, limit=quote.bid)
            desk.sell("XYZ", shares=100, limit=quote.ask)

class Raises(Mine):
    def on_fill(self, fill, desk):
        raise ValueError("out of my depth")
'''


@pytest.fixture
def home(tmp_path: Path, small_tape: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(
        f'strategy = "mine.py:Mine"\nseed = 3\n[feed_params]\ntapes = ["{small_tape}"]\n'
        '[risk]\npreset = "replay"\n[broker.impact]\ntype = "none"\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paper(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine.cli", "paper", "mine.toml", "--quiet", *words]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, said = process.communicate(timeout=400)
    return process.returncode, out, said


def test_a_session_whose_roles_are_killed_once_each_has_the_fingerprint_of_the_replay(home: Path) -> None:
    plain = run_config("mine.toml", out=home / "replay")
    code, out, said = answer(paper("--chaos", "--json", "--out", "paper"))
    assert code == 0, said
    found = json.loads(out)
    assert found["restarts"] == {"feed": 1, "broker": 1, "runner": 1}, said
    assert found["result"]["fingerprint"] == plain.fingerprint
    assert verify("paper").matches
    assert {path.name for path in Path("paper").iterdir()}.isdisjoint({"session.toml", "segments", "ballast"})


def test_a_strategy_that_raises_ends_the_session_and_what_there_was_is_kept(home: Path) -> None:
    code, _, said = answer(paper("--set", "strategy=mine.py:Raises", "--out", "paper"))
    assert code == 3
    assert "ValueError: out of my depth" in said
    assert read(Path("paper")).manifest.partial.startswith("ended by SIGTERM")
    assert verify("paper").matches


def test_ctrl_c_seals_the_run(home: Path) -> None:
    process = paper("--speed", "20", "--out", "paper")
    until, rows = time.monotonic() + 300, Path("paper/segments/000000.open")
    while not rows.exists() or rows.stat().st_size < 64 * 300:
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    code, _, said = answer(process)
    assert code == 130, said
    assert read(Path("paper")).manifest.partial == "ended by Ctrl-C"
    assert verify("paper").matches
