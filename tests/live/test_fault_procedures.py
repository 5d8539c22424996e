"""Fault procedures hold in their quick form; whole forms, and those of minutes, are for the night (`make faults`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parent.parent / "faults"
PATIENCE_S = 300  # one that hangs is a failure, too
LONG = ("f03", "f10", "f14", "f15", "f18", "f25", "f29", "f31")  # half a minute and more, also in their quick form
SCRIPTS = sorted(path.name for path in FAULTS.glob("f[0-9][0-9]_*.py") if not path.name.startswith(LONG))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_promise_holds_under_faults(script):
    command = [sys.executable, str(FAULTS / script), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
