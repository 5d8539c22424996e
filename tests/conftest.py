"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# No wall clock in a verdict: a busy machine must not fail a law.
settings.register_profile("tickwright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tickwright")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded market data ($TICKWRIGHT_DATA, or ../shared/data from the project's root)."""
    folder = Path(os.environ.get("TICKWRIGHT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set TICKWRIGHT_DATA to run this test")
    return folder
