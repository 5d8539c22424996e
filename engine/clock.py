"""The only place that reads the time. Nothing that it says enters a decision or a hashed record."""

from __future__ import annotations

import datetime
import time


def utc_now() -> str:
    """The wall clock, ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def seconds_since(moment: str) -> float:
    """Seconds of the wall clock since what ``utc_now`` said; 0 for a moment that is none."""
    try:
        then = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.datetime.now(datetime.UTC) - then).total_seconds())


def seconds() -> float:
    """A stopwatch: seconds since some moment, never going back."""
    return time.perf_counter()


def monotonic_ns() -> int:
    """The system's clock that never goes back, in ns: for time-outs."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """The wall clock, ns since 1970 UTC: to measure how late something is."""
    return time.time_ns()


def cpu_seconds() -> float:
    """A stopwatch of processor time: seconds that this process has computed."""
    return time.process_time()
