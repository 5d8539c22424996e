"""A paper session as a desk starts it, for procedures that trade at it: `tickwright paper` on a market without an end.

Its supervisor starts again what a procedure kills. Programs of a desk's own trade the accounts `desk` and `other`
beside a strategy that does nothing; everybody has keys.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from procedure import Trial

import engine
from engine.config import load
from engine.errors import TickwrightError
from engine.journal import read_journal
from engine.live import messages as m
from engine.live.admin import Admin, running_sessions
from engine.live.client import Client
from engine.live.session import SESSION
from engine.live.standing import Standing
from engine.verify import verify

PATIENCE_S = 60.0  # for a session to start: its roles may have to compile
SYMBOL = "SYNM"
IDLE = '''from engine import Strategy

class Idle(Strategy):
    """Nothing."""
'''
CONFIG = """strategy = "idle.py:Idle"
feed = "feeds.endless:EndlessMarket"
seed = 1
{top}
[feed_params]
seed = 5
view = "L1"

[broker.impact]
type = "none"

[risk]
preset = "live"
max_size = 10_000
max_notional = 10_000_000
max_position = 1_000_000
max_gross = 1_000_000_000
max_net = 1_000_000_000
daily_loss = {loss}
drawdown = 1_000_000
max_open = {most}
orders_per_second = {rate}
burst = {burst}
repeats = 0
fills_per_second = 0

[live]
speed = {speed}
hold = "forever"

[[live.clients]]
name = "desk"
cash = {{ USD = 100_000_000 }}

[[live.clients]]
name = "other"
cash = {{ USD = 100_000_000 }}
"""
DEFAULTS = {"top": "", "loss": 1_000_000, "most": 1_000, "rate": 0, "burst": 100, "speed": 20.0}


class Floor:
    """A session that is going on."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.process = folder, process
        until = time.monotonic() + PATIENCE_S
        while not (folder / SESSION).exists():
            assert process.poll() is None, f"the session ended with exit code {process.returncode}"
            assert time.monotonic() < until, "no session began"
            time.sleep(0.05)
        live = load(folder / SESSION).live
        assert live is not None
        self.live = live
        self.wait_for(lambda standing: standing.rows > 0)

    @property
    def broker(self) -> int:
        """The broker's process, 0 while there is none."""
        return next((one.pid for one in running_sessions() if one.folder == str(self.folder)), 0)

    def ask(self, request: m.AdminRequest) -> m.Standing | m.Obeyed:
        """As an operator."""
        with Admin(self.live) as admin:
            return admin.ask(request)

    def standing(self) -> Standing:
        """How the broker stands."""
        with Admin(self.live) as admin:
            return admin.standing()

    def wait_for(self, holds: Callable[[Standing], bool]) -> Standing:
        """Until the broker stands so."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with suppress(TickwrightError):
                if holds(standing := self.standing()):
                    return standing
            assert time.monotonic() < until, "the broker does not come so far"
            time.sleep(0.02)

    def client(self, account: str, **more: Any) -> Client:
        """A program that trades an account."""
        return Client(account, live=self.live, keys=self.live.keys_folder, **more)

    def kill_broker(self) -> None:
        """`kill -9`; it is started again by itself, and this returns when another one answers."""
        before = self.broker
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda _: self.broker not in (0, before))

    def end(self) -> NDArray[np.void]:
        """Seal the run, repeat it; RECORD[n]."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE_S) == 130, f"ended with exit code {self.process.returncode}"
        found = verify(self.folder)
        assert found.matches, f"the run does not repeat: {found}"
        return read_journal(self.folder / "journal.bin")


@contextmanager
def floor(trial: Trial, name: str = "floor", **terms: Any) -> Iterator[Floor]:
    """A session for a while; terms are those of ``DEFAULTS``."""
    home = trial.fresh(name)
    (home / "idle.py").write_text(IDLE)
    (home / "config.toml").write_text(CONFIG.format(**{**DEFAULTS, **terms}))
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}
    command = [sys.executable, "-m", "engine.cli", "paper", "config.toml", "--quiet", "--out", "run"]
    with (home / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=said, stderr=said)
    try:
        yield Floor(home / "run", process)
    except BaseException:
        print((home / "said").read_text(), file=sys.stderr)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
