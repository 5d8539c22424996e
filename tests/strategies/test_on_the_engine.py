"""The laws of the house, and of parent orders, for every shipped strategy on the engine itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_market import OPEN, small_market

from engine import KeptJournal, run
from engine.broker.impact import Market, Propagator
from engine.broker.models import BrokerConfig, Latency
from engine.journal import RecordKind
from engine.strategy import MILLISECOND, SECOND
from engine.tape import ROW, Kind, Tape
from feeds.replay import TapeFeed
from strategies.follow_schedule import Instruction, Tactics
from strategies.touch_quoter import TouchQuoter
from strategies.twap import Twap
from strategies.vwap_schedule import VwapSchedule

SLOW = BrokerConfig(
    latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND, response=400 * MILLISECOND),
    impact=Propagator(market={"X": Market(daily_volume=1_000_000, daily_volatility=0.02)}),  # not from later rows
)


def order(side="buy", shares=2_000, **terms):
    return Instruction(symbol="X", side=side, shares=shares, start_after_open_s=5, end_before_close_s=5, **terms)


STRATEGIES = {
    "twap": lambda: Twap(orders=(order(),), slice_s=10, tactics=Tactics(finish_s=10)),
    "vwap": lambda: VwapSchedule(orders=(order("sell"), order("buy", 500)), tactics=Tactics(every_ms=700)),
    "touch quoter": lambda: TouchQuoter(symbol="X", max_position=300),
}
shipped = pytest.mark.parametrize("name", STRATEGIES)
quick = settings(max_examples=15)


def replay(make, tape, **feed):
    journal = KeptJournal()
    result = run(make(), TapeFeed(tape, **feed), broker=SLOW, seed=1, journal=journal)
    return result, journal.records


@shipped
@given(seed=st.integers(0, 10**6), data=st.data())
@quick
def test_cutting_the_tape_into_chunks_changes_nothing(name, seed, data):
    tape = small_market(seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(tape) - 1), max_size=8)))
    whole, _ = replay(STRATEGIES[name], tape)
    cut, _ = replay(STRATEGIES[name], tape, chunks=cuts)
    assert cut.fingerprint == whole.fingerprint
    assert cut.parents == whole.parents


@shipped
@given(seed=st.integers(0, 10**6), cut=st.integers(50, 550))
@quick
def test_no_decision_depends_on_a_later_row(name, seed, cut):
    tape = small_market(seed)
    until = int(tape.rows["ts_event"][cut])
    _, whole = replay(STRATEGIES[name], tape)
    _, early = replay(STRATEGIES[name], Tape(tape.rows[: cut + 1], tape.manifest))
    before = [records[(records["kind"] == RecordKind.ORDER) & (records["ts"] < until)] for records in (whole, early)]
    for field in ("ts", "order_no", "side", "price", "size", "tif"):
        assert np.array_equal(before[0][field], before[1][field])


terms = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["buy", "sell"]),
        "shares": st.integers(1, 5_000),
        "limit": st.none() | st.sampled_from([0.98, 0.99, 1.0, 1.01, 1.02]),
        "participation": st.sampled_from([0.0, 0.02, 0.2]),
    }
)


@given(seed=st.integers(0, 10**6), terms=terms, make=st.sampled_from([Twap, VwapSchedule]))
def test_what_the_journal_says_keeps_the_parents_terms(seed, terms, make):
    tape = small_market(seed)
    told = order(**terms)
    result, records = replay(lambda: make(orders=(told,)), tape)
    fills = records[records["kind"] == RecordKind.FILL]
    parent = result.parents[0]
    assert parent.done == fills["size"].sum() <= told.shares
    assert (fills["side"] == (1 if told.side == "buy" else -1)).all()
    if told.limit is not None:
        worst = round(told.limit * 10_000)
        assert (fills["price"] <= worst).all() if told.side == "buy" else (fills["price"] >= worst).all()
    if told.participation:
        rows = tape.rows[tape.rows["kind"] == Kind.TRADE]
        start = OPEN + 5 * SECOND - SLOW.latency.feed  # on the strategy's clock a row is as old as its way to us
        for fill in fills:
            own = fills["size"][fills["ts"] <= fill["ts"]].sum()
            market = rows["size"][(rows["ts_event"] >= start) & (rows["ts_event"] <= fill["ts"])].sum()
            assert own <= told.participation * market


def test_an_order_without_limit_is_completed_on_a_market_that_trades():
    result, _ = replay(STRATEGIES["twap"], small_market(3, trouble=0.0))
    assert result.parents[0].done == 2_000
    assert result.parents[0].slippage_vwap_bp is not None


def test_a_market_that_never_opens_fills_nothing_and_ends_quietly():
    tape = small_market(4)
    empty = np.zeros(2, ROW)
    empty["ts_event"] = tape.rows["ts_event"][[0, -1]]
    empty["kind"], empty["flags"] = Kind.QUOTE, 1
    result, records = replay(STRATEGIES["vwap"], Tape(empty, tape.manifest))
    assert [parent.done for parent in result.parents] == [0, 0]
    assert len(records) == 0
