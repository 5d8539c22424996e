"""The endless market: the same rows for the same seed, also of a block made again alone, and a tape of any length."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.live.endless import KEPT, EndlessSource
from engine.tape import Flag, Kind, State, Tape
from engine.verdict import check
from feeds.endless import EndlessMarket
from feeds.synthetic import VIEWS, MarketParams, Stock, View

QUIET = MarketParams(
    stocks=(
        Stock(symbol="A", price="40.00", daily_volatility=0.006, daily_volume=100_000),
        Stock(symbol="B", regime="large", price="8.00", daily_volatility=0.012, daily_volume=400_000),
    )
)


def source(view: View = "L1", **options) -> EndlessSource:
    return EndlessSource(EndlessMarket(seed=7, view=view, params=QUIET, date="2026-11-25"), **options)


def read(endless: EndlessSource, blocks: int) -> np.ndarray:
    parts, at = [], 0
    while at < endless.begins[-1].first or len(endless.begins) <= blocks:
        parts.append(endless.read(at, 10_000))
        at += len(parts[-1])
    return np.concatenate(parts)


@pytest.mark.parametrize("view", VIEWS)
def test_blocks_chain_into_a_tape_that_obeys_the_rules(view: View) -> None:
    endless = source(view)
    rows = read(endless, 22)  # a day of 13 half-hours, Thanksgiving, and an early close with 7
    check(Tape(rows, endless.manifest))
    closed = (rows["kind"] == Kind.STATUS) & (rows["level"] == State.CLOSED) & (rows["instrument"] == 0)
    assert [int(ts) for ts in rows["ts_event"][closed]] == [end for _, end in endless.manifest.sessions[:2]]
    assert not (rows["flags"] & Flag.CROSSED).any()


def test_a_block_is_the_same_in_whatever_order_it_is_read_and_memory_holds_few() -> None:
    rows = read(source(), 8)
    endless = source()
    endless.read(len(rows) - 1, 1)
    for first in (0, len(rows) // 2, 3, len(rows) - 9, 1_000):
        found = endless.read(first, 8)
        assert found.tobytes() == rows[first : first + len(found)].tobytes()
    assert len(endless._kept) <= KEPT


def test_a_restart_remembers_where_blocks_began_and_makes_none_before() -> None:
    before = source()
    rows = read(before, 6)
    after = source(begins=before.begins)
    assert after.read(len(rows) - 2, 5).tobytes() == rows[-2:].tobytes()
    assert len(after._kept) == 1


def test_the_price_goes_on_from_one_half_hour_to_the_next() -> None:
    endless = source()
    rows = read(endless, 5)
    traded = rows[(rows["kind"] == Kind.TRADE) & (rows["instrument"] == 0)]
    for begin in endless.begins[1:5]:
        ts = rows["ts_event"][begin.first] if begin.first < len(rows) else rows["ts_event"][-1] + 1
        assert begin.prices[0] == traded["price"][traded["ts_event"] < ts][-1]


def test_sessions_go_on_after_those_looked_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feeds.endless.SESSIONS", 2)
    endless = source()
    rows = read(endless, 13 + 7 + 2)
    assert str(rows["ts_event"][-1].astype("datetime64[ns]"))[:16] == "2026-11-30T15:29"


def test_average_days_are_those_that_the_market_is_made_from() -> None:
    average = source().average_days["A"]
    assert (average.daily_volume, average.daily_volatility) == (90_500, 0.006)


def test_another_seed_is_another_market_and_a_bad_one_is_refused() -> None:
    other = EndlessSource(EndlessMarket(seed=8, params=QUIET, date="2026-11-25"))
    assert other.read(0, 500).tobytes() != source().read(0, 500).tobytes()
    with pytest.raises(ConfigError, match="seed is -1"):
        EndlessMarket(seed=-1)
