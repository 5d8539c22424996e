"""How times, amounts and counts are written for people."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from engine.config import EPOCH
from engine.instruments import MICRO, half_even


def money(micro: int, places: int = 2) -> str:
    """Micro-units as currency, ``-1,234.56``; rounded half-even."""
    scaled = half_even(micro * 10**places, MICRO)
    sign = "-" if scaled < 0 else ""
    whole, part = divmod(abs(scaled), 10**places)
    return f"{sign}{whole:,}.{part:0{places}d}" if places else f"{sign}{whole:,}"


def moment(ts: int) -> str:
    """ns since 1970 as ``2026-01-05 14:30:00.123456789``, without needless zeros; UTC."""
    whole, part = divmod(ts, 1_000_000_000)
    text = (EPOCH + datetime.timedelta(seconds=whole)).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{part:09d}".rstrip("0").rstrip(".") if part else text


def duration(ns: int) -> str:
    """``200 µs``, ``1.5 s``: the largest unit that leaves at least one."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if abs(ns) >= size:
            return f"{ns / size:,.12g} {unit}"
    return f"{ns} ns"


def counts(found: Mapping[str, int]) -> str:
    """``COLLAR 2, RATE 1``."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(found.items()))
