"""A broker's standing as Prometheus metrics on the loopback interface; needs the extra `ops`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import ConfigError
from engine.live.role_disk import RoleDisk
from engine.live.standing import AccountStanding, Standing

ADDRESS = "127.0.0.1"
MICRO = 1_000_000
Watch = Callable[[Callable[[], Standing], RoleDisk], None]

COUNTS = {
    "rows": "numbered rows taken",
    "recoveries": "requests to the feed for lost rows",
    "gaps": "gaps in the stream",
    "duplicates": "rows that came again",
    "records": "records of the journal",
    "entries": "entries of the durable log",
    "late_orders": "orders applied later than their cause",
    "skipped_wakes": "wakes that the market did not wait for",
}
ACCOUNT_COUNTS = {"wakes": "wakes given", "orders": "orders sent", "fills": "fills"}


class StandingCollector:
    """Tells Prometheus how the role stood when it was last looked at; the look is taken in the role's own thread."""

    def __init__(self) -> None:
        self.standing: Standing | None = None
        self.slowest_commit_ns = 0

    def collect(self) -> Iterator[Any]:
        """As ``prometheus_client.registry.Collector``."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        standing = self.standing
        if standing is None:
            return
        for name, text in COUNTS.items():
            yield CounterMetricFamily(f"tickwright_{name}", text, value=getattr(standing, name))
        refused = CounterMetricFamily("tickwright_refused", "messages refused", labels=["reason"])
        for reason, n in standing.refused.items():
            refused.add_metric([reason], n)
        yield refused
        yield GaugeMetricFamily("tickwright_market_time_seconds", "market time", value=standing.market_ts / 1e9)
        yield GaugeMetricFamily("tickwright_published_seconds", "feed's clock, last heard", value=standing.ts_pub / 1e9)
        behind = max(0, standing.next_seq - standing.rows)
        yield GaugeMetricFamily("tickwright_rows_behind", "rows published but not taken", value=behind)
        yield GaugeMetricFamily("tickwright_latches", "kill switches in force", value=len(standing.latches))
        yield GaugeMetricFamily(
            "tickwright_slowest_commit_seconds", "since the last look", value=self.slowest_commit_ns / 1e9
        )
        yield from _of_accounts(standing.accounts)


def _of_accounts(accounts: list[AccountStanding]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, text in ACCOUNT_COUNTS.items():
        counts = CounterMetricFamily(f"tickwright_{name}", text, labels=["account"])
        for one in accounts:
            counts.add_metric([one.name], getattr(one, name))
        yield counts
    attached = GaugeMetricFamily("tickwright_attached", "1: somebody acts for it", labels=["account"])
    working = GaugeMetricFamily("tickwright_open_orders", "working orders", labels=["account"])
    position = GaugeMetricFamily("tickwright_position", "units held", labels=["account", "symbol"])
    pnl = GaugeMetricFamily("tickwright_pnl", "currency, at the venue's marks", labels=["account", "currency"])
    for one in accounts:
        attached.add_metric([one.name], one.attached)
        working.add_metric([one.name], one.open_orders)
        for symbol, units in one.positions.items():
            position.add_metric([one.name, symbol], units)
        for currency, money in one.pnl.items():
            pnl.add_metric([one.name, currency], money / MICRO)
    yield from (attached, working, position, pnl)


@contextmanager
def metrics_of(port: int) -> Iterator[Watch]:
    """Serve metrics on a port for a while (0: none); what it yields is called each second with how to look.

    Raises
    ------
    ConfigError
        If prometheus-client is not installed, or the port is taken.
    """
    if not port:
        yield lambda look, disk: None
        return
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise ConfigError("$.live.metrics_port needs the extra `ops`: pip install 'tickwright[ops]'") from None
    collector, registry = StandingCollector(), CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(port, ADDRESS, registry)
    except OSError as error:
        raise ConfigError(f"$.live.metrics_port {port}: {error.strerror}; choose another port") from None

    def watch(look: Callable[[], Standing], disk: RoleDisk) -> None:
        collector.standing = look()
        collector.slowest_commit_ns, disk.slowest_commit_ns = disk.slowest_commit_ns, 0

    try:
        yield watch
    finally:
        threading.Thread(target=server.shutdown, daemon=True).start()  # 0.5 s, which a role may not have to end in
        server.server_close()
