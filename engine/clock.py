"""The only place that reads the time. Nothing that it says enters a decision or a hashed record."""

from __future__ import annotations

import datetime
import time


def utc_now() -> str:
    """The wall clock, ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def seconds() -> float:
    """A stopwatch: seconds since some moment, never going back."""
    return time.perf_counter()
