"""Whether a tape knows when its rows were received."""

from __future__ import annotations

from engine.broker.models import BrokerConfig
from engine.errors import ConfigError
from engine.feed import Feed

AT_ONCE = 1_000_000  # rows looked at together


def check_receive_times(broker: BrokerConfig, feed: Feed) -> None:
    """Refuse ``latency.feed = "recorded"`` on a tape whose rows were all received when they happened.

    Raises
    ------
    ConfigError
        If so: importers write the event's time where a file has no other, and that would be a feed without latency.
    """
    if broker.latency.feed != "recorded":
        return
    parts = getattr(feed, "parts", [feed.tape.rows])
    for rows in parts:
        for start in range(0, len(rows), AT_ONCE):
            piece = rows[start : start + AT_ONCE]
            if (piece["ts_recv"] > piece["ts_event"]).any():
                return
    if any(len(rows) for rows in parts):
        raise ConfigError(
            '$.broker.latency.feed is "recorded", but no row of this tape was received later than it happened; '
            "give a latency in ns, or import the data with its receive times (time.recv of a column map)"
        )
