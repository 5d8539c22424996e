"""The rows of a close-of-day market: one CLOSE each business day, at its close on the market's own clock."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind
from feeds.times import NEW_YORK, utc_ns

MINUTE_NS = 60_000_000_000


def close_rows(days: NDArray[np.datetime64], close: str = "15:00", zone: str = NEW_YORK) -> NDArray[np.void]:
    """ROW[d], the n-th of which points at panel day n.

    Parameters
    ----------
    days : datetime64[D][d], ascending
    close : str
        Like "15:00", on the clock of ``zone``, an IANA name.
    """
    hour, minute = close_clock(close)
    local = days.astype("datetime64[ns]").astype(np.int64) + (hour * 60 + minute) * MINUTE_NS
    rows = np.zeros(len(days), ROW)
    rows["ts_event"] = rows["ts_recv"] = utc_ns(local, zone, "closes")
    rows["kind"], rows["flags"], rows["order_id"] = Kind.CLOSE, Flag.LAST, np.arange(len(days))
    return rows


def close_clock(text: str) -> tuple[int, int]:
    """Hour and minute of a time like "15:00"; ConfigError if it is none."""
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if not found:
        raise ConfigError(f"close is {text!r}, but must be a time like '15:00'")
    return int(found[1]), int(found[2])


def close_instrument(symbol: str, currency: str = "USD") -> Instrument:
    """The market as the one instrument of its tape: its rates may be negative, and it has no book."""
    return Instrument(symbol=symbol, currency=currency, kind="rates", book="NONE", levels=0, allows_negative_price=True)
