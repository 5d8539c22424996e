"""The third law: a socket gives what a file gives, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from forgetful_path import forgetful, free_address
from in_threads import InThread
from small_rates_tape import CALENDAR, USD, small_rates_tape

from engine import run
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig
from engine.config import load, make_feed
from engine.errors import ConfigError, RunError
from engine.feed import Feed
from engine.live import silence, sockets
from engine.live.door import Door
from engine.live.feed_core import FeedCore
from engine.live.links import Links
from engine.live.role import Send
from engine.live.sources import TapeSource
from engine.rates.seller_programme import Programme
from engine.result import Result
from engine.shipped import shipped_tapes
from engine.tape import Tape
from feeds.replay import TapeFeed
from feeds.zmq_feed import ZmqFeed
from strategies.swaption_seller import SwaptionSeller
from strategies.touch_quoter import TouchQuoter

MARKET, RECOVERY = "inproc://market", "inproc://recovery"


class LossyLinks(Links):
    """Links that lose some of what is published, or double it, and some answers."""

    def __init__(self, links: dict[str, Any], seed: int, loss: float) -> None:
        super().__init__(links)
        self._chance, self._loss = random.Random(seed), loss

    def send(self, out: Send) -> None:
        fate = self._chance.random()
        if fate >= self._loss:
            super().send(out)
        if fate >= 1 - self._loss:
            super().send(out)


def start(
    context: zmq.Context[Any],
    tape: Tape,
    *,
    loss: float = 0.0,
    addresses: tuple[str, str] = (MARKET, RECOVERY),
    **how: Any,
) -> InThread:
    """A feed role in a thread."""
    links = {
        "market": sockets.publisher(context, addresses[0], plain=True),
        "recovery": Door(sockets.router(context, addresses[1], "recovery", plain=True), "recovery", None),
    }
    return InThread(FeedCore(TapeSource(tape), stream="main", epoch=1, **how), LossyLinks(links, 7, loss))


@contextmanager
def published(tape: Tape, **how: Any) -> Iterator[zmq.Context[Any]]:
    """While a feed role publishes: the context of its sockets."""
    with zmq.Context() as context:
        role = start(context, tape, **how)
        try:
            yield context
        finally:
            role.close()


def joined(context: zmq.Context[Any], **more: Any) -> ZmqFeed:
    return ZmqFeed(MARKET, RECOVERY, plain=True, context=context, **more)


def quoting(tape: Tape, feed: Feed) -> Result:
    return run(TouchQuoter(symbol=tape.instruments[0].symbol), feed, seed=3)


def selling(feed: Feed) -> Result:
    programme = Programme(calendar=CALENDAR, signals=("vol_carry",))
    return run(SwaptionSeller(symbol=USD, programme=programme), feed, broker=BrokerConfig(impact=NoImpact()))


@pytest.fixture(scope="module")
def demo_day() -> Tape:
    day = Tape.load(shipped_tapes()["demo_day"])
    return Tape(day.rows[:5_000], day.manifest)


@pytest.mark.parametrize(
    ("batch_rows", "loss"), [(64, 0.0), (1, 0.0), (64, 0.2)], ids=["batches", "rows", "with losses"]
)
def test_a_socket_gives_the_journal_that_the_file_gives(demo_day: Tape, batch_rows: int, loss: float) -> None:
    with published(demo_day, batch_rows=batch_rows, loss=loss) as context, joined(context) as feed:
        attached = quoting(demo_day, feed)
    replayed = quoting(demo_day, TapeFeed(demo_day))
    assert attached.orders
    assert attached.fingerprint == replayed.fingerprint
    assert (attached.rows, attached.balances, attached.holdings) == (
        replayed.rows,
        replayed.balances,
        replayed.holdings,
    )


@pytest.mark.parametrize(
    "loss", [pytest.param(0.0, id="good"), pytest.param(0.1, id="with losses", marks=pytest.mark.slow)]
)
def test_closes_come_with_their_panels_over_a_socket_too(loss: float) -> None:
    tape = small_rates_tape(3, 56)
    with published(tape, loss=loss) as context, joined(context) as feed:
        attached = selling(feed)
    replayed = selling(TapeFeed(tape))
    assert attached.records > 100
    assert attached.fingerprint == replayed.fingerprint


def test_a_paced_feeds_clock_rows_change_nothing(demo_day: Tape) -> None:
    hundred_times = 100_000
    tape = Tape(demo_day.rows[:600], demo_day.manifest)
    with published(tape, speed=hundred_times) as context, joined(context) as feed:
        attached = quoting(tape, feed)
    assert attached.fingerprint == quoting(tape, TapeFeed(tape)).fingerprint
    assert attached.rows >= len(tape)


def test_who_joins_late_gets_all_of_it(demo_day: Tape) -> None:
    with published(demo_day) as context:
        with joined(context) as early:
            exhaust(early)
        with joined(context) as late:
            assert quoting(demo_day, late).fingerprint == quoting(demo_day, TapeFeed(demo_day)).fingerprint


def test_a_feed_that_is_not_there_is_named() -> None:
    with zmq.Context() as nobody, pytest.raises(ConfigError, match=r"no feed answers at inproc://recovery for 0.05 s"):
        joined(nobody, patience_s=0.05)
    with pytest.raises(ConfigError, match="keys"):
        ZmqFeed(MARKET, RECOVERY, keys_folder="nowhere")


def test_a_feed_that_falls_silent_ends_the_run(demo_day: Tape) -> None:
    with zmq.Context() as context:
        role = start(context, demo_day, speed=1)
        with joined(context, patience_s=0.5) as feed:
            role.close()
            with pytest.raises(
                RunError, match=r"the feed at inproc://market has been silent for 0.5 s; start it again"
            ):
                exhaust(feed)


def exhaust(feed: ZmqFeed) -> None:
    while feed.read(until=0) is not None:
        pass


def test_a_config_names_it_like_any_feed(demo_day: Tape, tmp_path: Path) -> None:
    file = tmp_path / "attached.toml"
    file.write_text(
        'feed = "feeds.zmq_feed:ZmqFeed"\nstrategy = "strategies.touch_quoter:TouchQuoter"\n'
        f'[feed_params]\naddress = "{MARKET}"\nrecovery = "{RECOVERY}"\nplain = true\n[params]\nsymbol = "XYZ"\n'
    )
    config = load(file)
    with published(demo_day) as context:
        feed = make_feed(config, {"context": context})
        assert isinstance(feed, ZmqFeed)
        assert feed.params == {**config.feed_params, "name": "local", "patience_s": 10.0}
        assert feed.tape.instruments == demo_day.instruments
        feed.close()


def test_a_feed_whose_paths_were_forgotten_is_connected_to_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_NS", 1_000_000_000)  # more than a feed is ever silent for
    tape = Tape.load(shipped_tapes()["demo_day"])
    part = Tape(tape.rows[:2_000], tape.manifest)
    addresses = free_address(), free_address()
    with (
        published(part, addresses=addresses) as context,
        forgetful(*addresses) as (market, recovery),
        ZmqFeed(market, recovery, plain=True, context=context) as feed,
    ):
        count = 0
        while (rows := feed.read(until=0)) is not None:
            count += len(rows)
    assert count == len(part.rows)
