"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import engine
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape

ROOT = Path(__file__).resolve().parent.parent

# How often each law is tried, unless it says so itself; `make test-slow` gives --hypothesis-profile=thorough.
# No wall clock in a verdict: a busy machine must not fail a law. The quick suite tries the same examples each time, so
# that a change is what fails it; the thorough one draws new ones.
for profile, examples in (("quick", 20), ("thorough", 300)):
    settings.register_profile(
        profile,
        max_examples=examples,
        derandomize=profile == "quick",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("quick")

COMPILE = (
    "import engine.broker.simulated",
    """
from engine.verdict import clean
from feeds.synthetic import VIEWS, MarketParams, synthetic_market
for view in VIEWS:
    tape = synthetic_market(MarketParams(window_minutes=(60, 61)), seed=1, date="2026-03-02", view=view)[0]
clean(tape.rows, tape.instruments)
""",
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels once, before the worker processes start: each would do it for itself."""
    if hasattr(session.config, "workerinput") or not getattr(session.config.option, "numprocesses", None):
        return
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for code in COMPILE]
    for process in started:
        process.wait()  # what does not compile fails the tests that need it


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded market data ($TICKWRIGHT_DATA, or ../shared/data from the project's root)."""
    folder = Path(os.environ.get("TICKWRIGHT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set TICKWRIGHT_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def small_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of quotes and trades of one share, XYZ, a row each 100 ms, two days."""
    folder = tmp_path_factory.mktemp("tapes")
    for day in (0, 1):
        start = 1_767_623_400_000_000_000 + day * 86_400_000_000_000  # 2026-01-05 14:30 UTC
        rng = np.random.Generator(np.random.Philox(day))
        rows = np.zeros(6_000, ROW)
        rows["ts_event"] = rows["ts_recv"] = start + 100_000_000 * np.arange(6_000)
        rows["flags"] = Flag.LAST
        mid = 100_0000 + 100 * np.cumsum(rng.integers(-1, 2, 6_000))
        is_trade = rng.random(6_000) < 0.2
        is_trade[0] = False
        quoted = np.maximum.accumulate(np.where(is_trade, 0, np.arange(6_000)))  # a trade leaves the quote as it was
        rows["kind"] = np.where(is_trade, Kind.TRADE, Kind.QUOTE)
        rows["side"] = np.where(is_trade, rng.choice([-1, 1], 6_000), 0)
        bid, ask = mid[quoted] - 100, mid[quoted] + 100
        rows["price"] = np.where(is_trade, np.where(rows["side"] > 0, ask, bid), bid)
        rows["size"] = rng.integers(1, 6, 6_000) * 100
        rows["price2"] = np.where(is_trade, 0, ask)
        rows["size2"] = np.where(is_trade, 0, rng.integers(1, 6, 6_000) * 100)
        session = (start, start + 600_000_000_000)
        manifest = Manifest(
            name=f"day {day}", instruments=[Instrument(symbol="XYZ")], sessions=[session], synthetic=True
        )
        Tape(rows, manifest).save(folder / f"day{day}")
    return folder / "day0"
