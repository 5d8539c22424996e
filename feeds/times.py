"""Local time of a venue to nanoseconds since 1970-01-01 UTC, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import date as Date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import TapeError

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOT_A_TIME = -(2**63)
UNITS = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
EPOCH = Date(1970, 1, 1)
NEW_YORK = "America/New_York"
REGULAR_HOURS = ("09:30", "16:00")


def as_date(date: Date | str | int) -> Date:
    """A date from ``2012-06-21``, ``20120621`` or itself."""
    text = str(date)
    try:
        return date if type(date) is Date else Date.fromisoformat(text)
    except ValueError:
        raise TapeError(f"date is {text!r}, but must be like 2012-06-21 or 20120621") from None


def local_ns(date: Date | str | int) -> int:
    """Midnight that begins ``date``, in ns on the venue's own wall clock (no zone)."""
    return (as_date(date) - EPOCH).days * DAY


def utc_ns(local: NDArray[np.int64], zone: str, where: str = "times") -> NDArray[np.int64]:
    """ns on a wall clock to ns UTC.

    Parameters
    ----------
    local : int64[n]
        ns from 1970-01-01 on the wall clock of ``zone``; ``NOT_A_TIME`` stays.
    zone : str
        An IANA name like America/New_York; UTC changes nothing.

    Returns
    -------
    int64[n]

    Raises
    ------
    TapeError
        An unknown zone, or a wall time that does not exist or exists twice on the day the clocks change.
    """
    if zone == "UTC":
        return local.astype(np.int64)
    _zone(zone)
    try:
        times = pd.DatetimeIndex(local.astype(np.int64).view("M8[ns]")).tz_localize(zone)
    except ValueError as error:  # the zone libraries' errors for such times differ, all are ValueErrors
        raise TapeError(f"{where}: {error} on the clock of {zone}; give the times in UTC (zone UTC)") from None
    return times.asi8.copy()


def local_of(utc: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """ns UTC to ns on the wall clock of ``zone``: the inverse of ``utc_ns``."""
    if zone == "UTC":
        return utc.astype(np.int64)
    _zone(zone)
    times = pd.DatetimeIndex(utc.astype(np.int64).view("M8[ns]")).tz_localize("UTC").tz_convert(zone)
    return times.tz_localize(None).asi8.copy()


def session(date: Date | str | int, zone: str = NEW_YORK, hours: tuple[str, str] = REGULAR_HOURS) -> tuple[int, int]:
    """[open, close) of one day in ns UTC; a close at or before the open is on the next day."""
    day = as_date(date)
    opened, closed = (_clock(text) for text in hours)
    if closed <= opened:
        closed += timedelta(days=1)
    tz = _zone(zone)
    midnight = datetime(day.year, day.month, day.day)
    first, last = ((midnight + time).replace(tzinfo=tz).timestamp() for time in (opened, closed))
    return int(first) * SECOND, int(last) * SECOND


def _clock(text: str) -> timedelta:
    try:
        hour, minute = text.split(":")
        return timedelta(hours=int(hour), minutes=int(minute))
    except ValueError:
        raise TapeError(f"session hour is {text!r}, but must be like '09:30'") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TapeError(f"time zone {name!r} is not known; use an IANA name like America/New_York, or UTC") from None


def as_ns(time: int | str) -> int:
    """ns UTC from itself, or from ISO text like ``2012-06-21T14:00Z`` (without a zone: UTC)."""
    if isinstance(time, int):
        return time
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise TapeError(f"time is {time!r}, but must be ns or ISO text like 2012-06-21T14:00:00-04:00") from None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    since = parsed - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000
