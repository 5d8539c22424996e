"""An average day is measured from what a tape trades in session, and asked for where a tape cannot say."""

from __future__ import annotations

import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.average_day import measure, with_average_days
from engine.broker.impact import Market, NoImpact, Parameters, Propagator
from engine.broker.models import BrokerConfig
from engine.errors import ConfigError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from feeds.replay import TapeFeed

MINUTE = 60_000_000_000
START = 1_767_623_400_000_000_000


def _tape(prices: list[int], *, size: int = 100, step: int = MINUTE, **manifest) -> Tape:
    """A trade each ``step`` from the session's start on."""
    rows = np.zeros(len(prices), ROW)
    rows["ts_event"] = rows["ts_recv"] = START + step * np.arange(len(prices))
    rows["kind"], rows["flags"], rows["price"], rows["size"] = Kind.TRADE, Flag.LAST, prices, size
    day = (START, START + step * len(prices))
    return Tape(rows, Manifest(name="t", instruments=[Instrument(symbol="A")], sessions=[day], **manifest))


def test_volume_and_volatility_are_scaled_to_thirteen_half_hours() -> None:
    ups_and_downs = [1_000_000 + 1_000 * (n % 2) for n in range(391)]  # 10 bp each minute, back and forth
    found = measure([_tape(ups_and_downs, size=7).rows], _tape([]).instruments, [(START, START + 390 * MINUTE)], [0])
    assert found["A"].daily_volume == 391 * 7
    # seen each five minutes, an odd number of minutes: the same move each time
    assert found["A"].daily_volatility == pytest.approx(np.log(1.001) * np.sqrt(78), rel=1e-4)


def test_a_random_walk_gives_its_own_volatility() -> None:
    walk = np.exp(np.cumsum(np.random.Generator(np.random.Philox(3)).normal(0, 0.02 / np.sqrt(390 * 10), 39_000)))
    tape = _tape((1e8 * walk).astype(int).tolist(), step=MINUTE // 10)
    found = with_average_days(BrokerConfig(), TapeFeed(tape)).impact
    assert isinstance(found, Propagator)
    assert found.market["A"].daily_volatility == pytest.approx(0.02, rel=0.1)


@given(st.integers(1, 7))
def test_rows_cut_into_days_give_what_they_give_together(cut: int) -> None:
    tape = _tape([1_000_000 + n * n % 977 for n in range(400)])
    parts = np.split(tape.rows, [50 * cut])
    assert measure(parts, tape.instruments, tape.sessions, [0]) == measure(
        [tape.rows], tape.instruments, tape.sessions, [0]
    )


def test_what_is_given_stays_and_what_is_off_is_not_measured() -> None:
    feed = TapeFeed(_tape([1_000_000] * 3))
    given_day = {"A": Market(daily_volume=5, daily_volatility=0.5)}
    assert with_average_days(BrokerConfig(impact=Propagator(market=given_day)), feed).impact.market == given_day  # type: ignore[union-attr]
    assert with_average_days(BrokerConfig(impact=NoImpact()), feed).impact == NoImpact()


@pytest.mark.parametrize("prices", [[], [1_000_000], [1_000_000] * 400], ids=["no trade", "one", "no move"])
def test_a_tape_that_cannot_say_is_refused_with_the_cure(prices: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"average day of A .* give market\.A = .* or type = \"none\""):
        with_average_days(BrokerConfig(), TapeFeed(_tape(prices)))


def test_a_model_that_cannot_be_is_refused_before_a_run_starts() -> None:
    manipulable = Parameters(alpha=488.0, beta=0.9, gamma=0.2, omega=0.5, delta=0.1)
    day = {"A": Market(daily_volume=5, daily_volatility=0.5)}
    feed = TapeFeed(_tape([1_000_000] * 3))
    for impact in (Propagator(market=day, parameters=manipulable), Propagator(market=day, model="hfmi")):
        with pytest.raises(ConfigError, match=r"below 1|HFMI needs impulses"):
            with_average_days(BrokerConfig(impact=impact), feed)


def test_a_symbol_that_the_tape_does_not_have_is_refused() -> None:
    impact = Propagator(market={"AA": Market(daily_volume=5, daily_volatility=0.5)})
    with pytest.raises(ConfigError, match="the tape has no instrument 'AA'; did you mean 'A'"):
        with_average_days(BrokerConfig(impact=impact), TapeFeed(_tape([1_000_000] * 400)))


def test_what_has_no_book_needs_no_average_day() -> None:
    tape = _tape([])
    bars = Instrument(symbol="A", book="NONE")
    tape = Tape(tape.rows, msgspec.structs.replace(tape.manifest, instruments=[bars]))
    assert with_average_days(BrokerConfig(), TapeFeed(tape)).impact.market == {}  # type: ignore[union-attr]


def test_years_without_a_trade_take_no_memory() -> None:
    closes = _tape([100] * 2_500, step=1_440 * MINUTE).rows
    closes["kind"] = Kind.CLOSE
    tracemalloc.start()
    with pytest.raises(ConfigError, match="do not say what an average day of A is like"):
        measure([closes], _tape([]).instruments, [], [0])
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_feed_on_a_socket_tells_what_it_measured() -> None:
    tape = _tape([1_000_000 + 1_000 * (n % 2) for n in range(391)])
    replay = with_average_days(BrokerConfig(), TapeFeed(tape))
    feed = TapeFeed(Tape(tape.rows[:0], tape.manifest))
    feed.average_days = replay.impact.market  # type: ignore[attr-defined, union-attr]
    assert with_average_days(BrokerConfig(), feed) == replay
