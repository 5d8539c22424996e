"""What pushes the mid is told apart, its response is measured, and the fair mid knows more than the mid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from engine.broker.impact import Market, Propagator, prepare
from engine.broker.impact_kernels import book_state
from engine.errors import ConfigError, TapeError
from engine.flow_response import FairMid, book_states, fair_mids, fit_response
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.touch_flow import CANCEL, LIMIT, MARKET, flow_events
from feeds.synthetic import MarketParams, Stock, synthetic_market

PIVOT = 20_000  # prices are mirrored at half of it


def tape_of(*rows, book="L1"):
    """A tape of (kind, side, price, size, price2, size2, flags)."""
    out = np.zeros(len(rows), ROW)
    for k, (row, (kind, side, price, size, price2, size2, flags)) in enumerate(zip(out, rows, strict=True)):
        row["ts_event"] = row["ts_recv"] = k + 1
        row["kind"], row["side"], row["price"], row["size"] = kind, side, price, size
        row["price2"], row["size2"], row["flags"] = price2, size2, flags
    return Tape(out, Manifest(instruments=[Instrument(symbol="X", tick=100, book=book)]))


def quote(bid, bid_size, ask, ask_size, flags=Flag.LAST):
    return (Kind.QUOTE, 0, bid, bid_size, ask, ask_size, flags)


def trade(side, price, size, flags=Flag.LAST):
    return (Kind.TRADE, side, price, size, 0, 0, flags)


def row(kind, side, price, size, flags=Flag.LAST):
    return (kind, side, price, size, 0, 0, flags)


def told(tape):
    return [(int(e["flow"]), int(e["side"]), int(e["size"])) for e in flow_events(tape, "X")]


START = quote(9_900, 50, 10_000, 70)


@pytest.mark.parametrize(
    ("then", "is_told"),
    [
        ([quote(9_900, 80, 10_000, 70)], [(LIMIT, 1, 30)]),
        ([quote(9_900, 50, 10_000, 90)], [(LIMIT, -1, 20)]),
        ([quote(9_900, 20, 10_000, 70)], [(CANCEL, -1, 30)]),
        ([quote(9_900, 50, 10_000, 10)], [(CANCEL, 1, 60)]),
        ([quote(9_950, 5, 10_000, 70)], [(LIMIT, 1, 5)]),  # a better bid
        ([quote(9_800, 500, 10_000, 70)], [(CANCEL, -1, 50)]),  # the best bid left
        ([quote(9_800, 9, 10_100, 9)], [(CANCEL, -1, 50), (CANCEL, 1, 70)]),
        ([trade(1, 10_000, 30), quote(9_900, 50, 10_000, 40)], [(MARKET, 1, 30)]),  # shown once more
        ([trade(1, 10_000, 70), quote(9_900, 50, 10_100, 20)], [(MARKET, 1, 70)]),
        ([trade(-1, 9_900, 10), quote(9_900, 40, 10_000, 60)], [(MARKET, -1, 10), (CANCEL, 1, 10)]),
        ([trade(0, 10_000, 30)], [(MARKET, 1, 30)]),  # signed by the touch
        ([trade(1, 10_000, 5, 0), trade(-1, 9_900, 9)], [(MARKET, -1, 4)]),  # one group
    ],
)
def test_events_are_told_apart_by_what_they_do_to_the_touch(then, is_told):
    assert told(tape_of(START, *then)) == is_told


@pytest.mark.parametrize(
    "then",
    [
        [START],
        [trade(0, 9_950, 30)],  # nobody can say
        [trade(1, 10_000, 30, Flag.LAST | Flag.AUCTION)],
        [quote(9_900, 90, 10_000, 90, Flag.LAST | Flag.SNAPSHOT)],
    ],
)
def test_what_is_no_flow_is_left_out(then):
    with pytest.raises(TapeError, match="nothing on the tape pushes"):
        told(tape_of(START, *then))


def test_order_by_order_rows_say_the_same():
    book = [row(Kind.ADD, 1, 9_900, 50), row(Kind.ADD, -1, 10_000, 70)]
    then = [
        row(Kind.ADD, 1, 9_900, 30),
        row(Kind.DELETE, 1, 9_900, 30),
        row(Kind.EXECUTE, -1, 10_000, 20),
        row(Kind.EXECUTE, 1, 9_950, 20, Flag.LAST | Flag.HIDDEN),
        row(Kind.ADD, 1, 9_800, 30),  # behind the touch
    ]
    found = [(LIMIT, 1, 30), (CANCEL, -1, 30), (MARKET, 1, 20), (MARKET, -1, 20)]
    assert told(tape_of(*book, *then, book="L3")) == found


quotes = st.builds(
    lambda bid, spread, a, b: quote(bid, a, bid + spread, b),
    st.integers(9_000, 9_010),
    st.integers(1, 5),
    st.integers(1, 99),
    st.integers(1, 99),
)
trades = st.builds(trade, st.sampled_from((-1, 1)), st.integers(9_000, 9_015), st.integers(1, 50))


def mirrored(tape):
    rows = tape.rows.copy()
    is_quote = rows["kind"] == Kind.QUOTE
    rows["side"] *= -1
    for to, kept in (("price", "price2"), ("size", "size2")):
        rows[to][is_quote], rows[kept][is_quote] = tape.rows[kept][is_quote], tape.rows[to][is_quote]
    rows["price"] = PIVOT - rows["price"]
    rows["price2"][is_quote] = PIVOT - rows["price2"][is_quote]
    return Tape(rows, tape.manifest)


@given(rows=st.lists(quotes | trades, min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_buyers_and_sellers_are_told_apart_alike(rows):
    tape = tape_of(quote(9_005, 10, 9_006, 10), quote(9_005, 11, 9_006, 10), *rows)
    there, back = flow_events(tape, "X"), flow_events(mirrored(tape), "X")
    order = lambda events: sorted(zip(events["ts"], events["flow"], events["side"], events["size"], strict=True))  # noqa: E731
    back["side"] *= -1
    assert order(there) == order(back)
    back["side"] *= -1
    assert sorted(book_states(there, 1)) == sorted(book_states(back, 1))


def day(seed):
    params = MarketParams(stocks=(Stock(symbol="S", daily_volume=400_000),))
    return synthetic_market(params, seed=seed, date="2025-03-03", view="L3")[0]


@pytest.fixture(scope="module")
def days():
    return day(1), day(2)


def test_market_orders_move_the_mid_their_way_in_every_state_and_hfmi_takes_them(days):
    fit = fit_response(days[0], "S")
    market = np.array(fit.response[MARKET])
    assert (market > 0).all()
    assert np.mean(np.array(fit.error[MARKET])) < market.mean() / 2
    model = Propagator(
        model="hfmi", impulses=fit.impulses(), market={"S": Market(daily_volume=400_000, daily_volatility=0.02)}
    )
    _, table = prepare(model, ["S"])
    assert table["psi"][0, 0].tolist() == market.ravel().tolist()
    assert table["psi"][0, 2] == pytest.approx(0.5 * table["psi"][0, 0])


@njit
def _states(events, tick, out):
    for k in range(events.size):
        e = events[k]
        out[k] = book_state(e.side, e.bid, e.ask, e.bid_size, e.ask_size, tick)


def test_estimates_and_fills_name_the_states_of_the_book_alike(days):
    events = flow_events(days[0], "S")
    out = np.zeros(len(events), np.int64)
    _states(events, 100, out)
    assert np.array_equal(out, book_states(events, 100))
    assert len(set(out.tolist())) == 15


def test_the_response_counts_every_event_once(days):
    fit = fit_response(days[0], "S", after=20)
    assert np.sum(fit.count) == len(flow_events(days[0], "S")) - 20


def test_on_a_day_not_seen_the_fair_mid_is_nearer_to_the_later_mid_than_the_mid(days):
    fit, events = fit_response(days[0], "S"), flow_events(days[1], "S")
    mid, fair = events["mid2"] / 2, fair_mids(events, fit)
    later = mid[20:]
    assert fit.gain > 0
    assert np.mean((later - fair[:-20]) ** 2) < np.mean((later - mid[:-20]) ** 2)


def test_the_fair_mid_of_a_strategy_equals_the_arrays(days):
    fit, events = fit_response(days[0], "S"), flow_events(days[1], "S")[:2_000]
    one = FairMid(fit.keep, fit.gain)
    table = np.array(fit.response).reshape(3, 15)
    expected = events["side"] * table[events["flow"], book_states(events, fit.tick)]
    found = [
        one.observe(expected[k], (events["bid"][k] + events["ask"][k]) / 2, events["mid2"][k] / 2)
        for k in range(len(events))
    ]
    assert found == pytest.approx(fair_mids(events, fit).tolist(), rel=1e-12)


def test_what_cannot_be_measured_is_refused(days):
    with pytest.raises(TapeError, match="Y is not on the tape; it has S"):
        fit_response(days[0], "Y")
    with pytest.raises(TapeError, match="has 0 market events"):
        fit_response(tape_of(START, *[quote(9_900, 50 + k % 2, 10_000, 70) for k in range(300)]), "X")
    with pytest.raises(ConfigError, match="after is 0"):
        fit_response(days[0], "S", after=0)
    with pytest.raises(ConfigError, match=r"dark_part is 1\.5"):
        fit_response(days[0], "S").impulses(dark_part=1.5)
