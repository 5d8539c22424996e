"""The synthetic market: its stylised facts, its book laws, and that a seed is all there is to it."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feeds.synthetic as synthetic
from engine.errors import ConfigError
from engine.shipped import shipped_tapes
from engine.tape import Auction, Flag, Kind, State, Tape
from feeds.synthetic import MarketParams, Stock, SyntheticFeed, join, plan, sessions, synthetic_market
from feeds.synthetic_facts import ACCEPT, SEEDS, STOCKS, accept, facts, measure, session
from feeds.synthetic_orders import _parent_length, exponential, logarithm, normal, philox

DATE = "2026-03-02"
REGIMES = tuple(STOCKS)
MINUTES = MarketParams(window_minutes=(60, 70))  # ten quiet minutes, without auctions


def ten_minutes(regime: str, view: synthetic.View, seed: int = 7) -> Tape:
    params = msgspec.structs.replace(MINUTES, stocks=(STOCKS[regime],))
    return synthetic_market(params, seed=seed, date=DATE, view=view)[0]


def groups(rows):
    """Rows between one LAST and the next."""
    ends = np.flatnonzero(rows["flags"] & Flag.LAST) + 1
    return np.split(rows, ends[:-1])


# Seeds


@pytest.mark.parametrize("view", synthetic.VIEWS)
def test_the_same_seed_gives_the_same_bytes(view):
    assert ten_minutes("mid", view).rows.tobytes() == ten_minutes("mid", view).rows.tobytes()


def test_different_seeds_differ():
    assert len({ten_minutes("mid", "L3", seed).content_hash() for seed in range(5)}) == 5


def test_the_bytes_are_those_of_every_other_machine():
    hashes = {regime: ten_minutes(regime, "L3").content_hash()[:16] for regime in REGIMES}
    assert hashes == BYTES


BYTES = {"large": "8c57c94de47ebc30", "mid": "c99b0c9e1273d384", "small": "66ded97af637ac94"}


def test_a_day_of_the_same_seed_does_not_depend_on_how_many_days_follow():
    params = msgspec.structs.replace(MINUTES, stocks=(STOCKS["large"],))
    one = synthetic_market(params, seed=3, date=DATE, days=1)
    three = synthetic_market(params, seed=3, date=DATE, days=3)
    assert one[0].rows.tobytes() == three[0].rows.tobytes()
    assert len({tape.content_hash() for tape in three}) == 3


def test_the_manifest_tells_the_exact_call():
    tape = ten_minutes("small", "L1")
    again = eval(
        tape.manifest.recipe, {"feeds": __import__("feeds.synthetic"), "MarketParams": MarketParams, "Stock": Stock}
    )
    assert again.content_hash() == tape.content_hash()
    assert tape.manifest.synthetic
    assert tape.manifest.licence == "Apache-2.0"
    assert "synthetic" in tape.manifest.source


# Arithmetic of the kernels


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_the_logarithm_is_the_logarithm(x):
    assert logarithm(x) == pytest.approx(math.log(x), rel=2e-15, abs=2e-15)


@given(st.floats(min_value=-700.0, max_value=700.0))
def test_the_exponential_is_the_exponential(x):
    assert exponential(x) == pytest.approx(math.exp(x), rel=5e-15)


def test_the_normal_draws_have_mean_zero_and_variance_one():
    rng = philox(1, 2)
    draws = np.array([normal(rng) for _ in range(40_000)])
    assert abs(draws.mean()) < 0.02
    assert abs(draws.var() - 1) < 0.03


# The book


@pytest.mark.parametrize("regime", REGIMES)
def test_replaying_the_orders_in_a_plain_book_gives_the_depth_view_and_its_touch_the_quotes(regime):
    orders, levels, touch = (ten_minutes(regime, view).rows for view in ("L3", "L2", "L1"))
    changes = {
        g[-1]["ts_event"]: g
        for g in groups(levels)
        if g[0]["kind"] != Kind.STATUS and not g[0]["flags"] & Flag.SNAPSHOT
    }
    quoted = {int(row["ts_event"]): row for row in touch if row["kind"] == Kind.QUOTE}
    by_price = {+1: defaultdict(int), -1: defaultdict(int)}
    seen = {+1: {}, -1: {}}
    opening = next(g for g in groups(levels) if g[0]["flags"] & Flag.SNAPSHOT)
    shown = None
    for group in groups(orders):
        if group[0]["kind"] == Kind.STATUS:
            continue
        for row in group:
            change = int(row["size"]) if row["kind"] == Kind.ADD else -int(row["size"])
            by_price[row["side"]][int(row["price"])] += change
            assert by_price[row["side"]][int(row["price"])] >= 0
        for row in opening if group[0]["flags"] & Flag.SNAPSHOT else changes[group[-1]["ts_event"]]:
            if row["kind"] == Kind.DEPTH:
                seen[row["side"]][int(row["price"])] = int(row["size"])
        for side in (+1, -1):
            for price in {int(p) for p in group["price"]}:
                assert by_price[side].get(price, 0) == seen[side].get(price, 0)
        best = {
            side: max((p for p, size in by_price[side].items() if size), key=lambda p: side * p) for side in (+1, -1)
        }
        assert best[+1] < best[-1], "the book is crossed or locked"
        now = (best[+1], by_price[+1][best[+1]], best[-1], by_price[-1][best[-1]])
        if now != shown:
            row = quoted[int(group[-1]["ts_event"])]
            assert (row["price"], row["size"], row["price2"], row["size2"]) == now
            shown = now
        else:
            assert int(group[-1]["ts_event"]) not in quoted
    assert all(seen[side] == {p: s for p, s in by_price[side].items() if p in seen[side]} for side in (+1, -1))


@pytest.mark.parametrize("regime", REGIMES)
def test_an_execution_hits_the_oldest_order_at_the_best_price(regime):
    queues = {+1: defaultdict(OrderedDict), -1: defaultdict(OrderedDict)}
    executions = 0
    for row in ten_minutes(regime, "L3").rows:
        if row["kind"] == Kind.STATUS:
            continue
        side, price, size, order = (row[name].item() for name in ("side", "price", "size", "order_id"))
        assert size >= 1
        queue = queues[side][price]
        if row["kind"] == Kind.ADD:
            assert order not in queue
            queue[order] = size
            continue
        if row["kind"] == Kind.EXECUTE:
            executions += 1
            best = max((p for p, orders in queues[side].items() if orders), key=lambda p: side * p)
            assert (price, order) == (best, next(iter(queue)))
        if row["kind"] == Kind.DELETE:
            assert queue[order] == size
        queue[order] -= size
        assert queue[order] >= 0
        assert row["kind"] != Kind.REDUCE or queue[order] > 0
        if queue[order] == 0:
            del queue[order]
    assert executions > 20


@pytest.mark.parametrize("view", ["L3", "L2", "L1"])
def test_trades_add_up_to_the_same_volume_in_every_view_and_come_before_the_change_that_shows_them(view):
    rows = ten_minutes("mid", view).rows
    trades = rows[rows["kind"] == (Kind.EXECUTE if view == "L3" else Kind.TRADE)]
    orders = ten_minutes("mid", "L3").rows
    assert trades["size"].sum() == orders[orders["kind"] == Kind.EXECUTE]["size"].sum() > 0
    if view == "L3":
        return
    assert np.array_equal(trades["order_id"], np.arange(1, len(trades) + 1))
    for group in groups(rows):
        for k in np.flatnonzero(group["kind"] == Kind.TRADE):
            if view == "L2":  # the very next row is the level that was hit
                assert group[k + 1]["kind"] == Kind.DEPTH
                assert group[k + 1]["price"] == group[k]["price"]
                assert group[k + 1]["side"] == -group[k]["side"]
            else:
                assert group[-1]["kind"] == Kind.QUOTE


@settings(max_examples=15)
@given(seed=st.integers(0, 2**64 - 1), regime=st.sampled_from(REGIMES), view=st.sampled_from(["L3", "L2", "L1"]))
def test_rows_are_in_order_with_sizes_and_prices_that_can_be(seed, regime, view):
    tape = ten_minutes(regime, view, seed)
    rows = tape.rows
    assert rows[-1]["flags"] & Flag.LAST
    assert np.all(np.diff(rows["ts_event"]) >= 0)
    (ts_open, ts_close) = tape.sessions[0]
    assert rows[0]["ts_event"] == ts_open
    assert rows[-1]["ts_event"] < ts_close
    priced = rows[rows["kind"] != Kind.STATUS]
    gone = (priced["kind"] == Kind.DEPTH) & (priced["size"] == 0)
    assert np.all(priced["size"][~gone] >= 1)
    assert np.all(priced["price"] >= 1)
    assert np.all(priced["price"] % tape.instruments[0].tick == 0)
    quotes = priced[priced["kind"] == Kind.QUOTE]
    assert np.all(quotes["price"] < quotes["price2"])
    assert np.all(quotes["size2"] >= 1)
    within = rows[:-1][rows["flags"][:-1] & Flag.LAST == 0]
    after = rows[1:][rows["flags"][:-1] & Flag.LAST == 0]
    assert np.array_equal(within["ts_event"], after["ts_event"])  # a group has one time


# Days


def test_a_day_runs_from_before_the_open_through_both_auctions_to_closed():
    tape = synthetic_market(MarketParams(stocks=(STOCKS["small"],)), seed=7, date=DATE, view="L1")[0]
    ((ts_open, ts_close),) = tape.sessions
    rows = tape.rows
    assert (ts_close - ts_open) == 390 * 60 * 10**9
    states = rows[rows["kind"] == Kind.STATUS]
    assert [State(level) for level in states["level"]] == [
        State.PRE_OPEN, State.OPENING_AUCTION, State.OPEN, State.CLOSING_AUCTION, State.CLOSED,
    ]  # fmt: skip
    prints = rows[rows["flags"] & Flag.AUCTION != 0]
    assert prints["level"].tolist() == [Auction.OPENING, Auction.CLOSING]
    assert prints["ts_event"].tolist() == [ts_open, ts_close]
    assert rows[0]["kind"] == Kind.CLEAR
    opening = np.flatnonzero(rows["kind"] == Kind.QUOTE)[0]
    assert rows[opening]["flags"] & Flag.SNAPSHOT
    assert rows[opening]["ts_event"] == ts_open
    assert rows[opening + 1]["kind"] == Kind.STATUS
    assert rows[opening + 1]["level"] == State.OPEN


@pytest.mark.slow
def test_volatility_and_volume_are_those_that_were_asked_for():
    stock = Stock(symbol="X", regime="small", price="60.00", daily_volatility=0.012, daily_volume=900_000)
    tapes = synthetic_market(MarketParams(stocks=(stock,)), seed=5, date=DATE, days=30, view="BARS")
    shares = np.array([tape.rows["size"].sum() for tape in tapes])
    moves = np.array([math.log(tape.rows["size2"][-1] / tape.rows["order_id"][0]) for tape in tapes])
    assert shares.mean() == pytest.approx(900_000 * 0.905, rel=0.25)
    assert np.sqrt(np.mean(moves**2)) == pytest.approx(0.012, rel=0.35)  # 30 days: one standard error is 13 %


def test_prices_go_on_from_day_to_day_and_sessions_follow_the_calendar():
    params = MarketParams(stocks=(Stock(daily_volatility=0.005),))
    days = synthetic_market(params, seed=2, date="2026-07-02", days=2, view="L1")
    assert sessions(params, "2026-07-02", 2)[1][0] - sessions(params, "2026-07-02", 2)[0][0] == 4 * 86_400 * 10**9
    last, first = days[0].rows["price"][-2], days[1].rows["price"][2]
    assert abs(first / last - 1) < 0.02
    both = join(days)
    assert len(both) == len(days[0]) + len(days[1])
    assert both.sessions == [*days[0].sessions, *days[1].sessions]


def test_an_early_close_is_kept():
    ((ts_open, ts_close),) = sessions(MarketParams(), "2026-11-27", 1)
    assert ts_close - ts_open == 210 * 60 * 10**9
    tape = synthetic_market(
        MarketParams(stocks=(Stock(daily_volatility=0.004),)), seed=1, date="2026-11-27", view="L1"
    )[0]
    assert tape.rows[-1]["ts_event"] == ts_close


@pytest.mark.slow
def test_several_stocks_share_one_clock_and_their_slow_intensity():
    stocks = tuple(msgspec.structs.replace(STOCKS["small"], symbol=name, daily_volatility=0.0075) for name in "AB")

    def correlation(shared: float) -> float:
        found = []
        for seed in range(6):
            params = MarketParams(stocks=stocks, activity_correlation=shared, window_minutes=(60, 330))
            tape = synthetic_market(params, seed=seed, date=DATE, view="L1")[0]
            assert np.all(np.diff(tape.rows["ts_event"]) >= 0)
            minute = (tape.rows["ts_event"] - tape.sessions[0][0]) // (60 * 10**9)
            counts = [np.bincount(minute[tape.rows["instrument"] == i], minlength=270) for i in (0, 1)]
            found.append(np.corrcoef(*np.log(np.maximum(counts, 1)))[0, 1])
        return float(np.mean(found))

    assert correlation(1.0) > 0.6 > 0.3 > correlation(0.0)


def test_the_feed_hands_over_a_day_at_a_time_and_knows_its_sessions_before():
    feed = SyntheticFeed(seed=7, date=DATE, days=2, view="L1", params={"window_minutes": [0, 5]})
    tapes = synthetic_market(MarketParams(window_minutes=(0, 5)), seed=7, date=DATE, days=2, view="L1")
    assert feed.tape.sessions == [tape.sessions[0] for tape in tapes]
    assert feed.tape.manifest.synthetic
    assert len(feed.tape) == 0
    for tape in tapes:
        rows = feed.read(until=0)
        assert rows is not None
        assert rows.tobytes() == tape.rows.tobytes()
    assert feed.read(until=0) is None


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"date": "2026-03-01"}, "date 2026-03-01 is not a session of XNYS; the next one is 2026-03-02"),
        ({"date": "soon"}, "date 'soon'"),
        ({"days": 0}, "days is 0, but must be at least 1"),
        ({"seed": -1}, r"seed is -1, but must be in \[0, 2\*\*64\)"),
        ({"view": "L4"}, "view is 'L4', but must be one of L3, L2, L1, BARS"),
        ({"params": MarketParams(stocks=())}, "stocks is empty"),
        ({"params": MarketParams(stocks=(Stock(), Stock()))}, "each needs a symbol of its own"),
        (
            {"params": MarketParams(stocks=(Stock(price="80.00001"),))},
            "SYNM: price is 80.00001, but must be a positive multiple",
        ),
        ({"params": MarketParams(stocks=(Stock(tick="a cent"),))}, "SYNM: tick is 'a cent', but must be dollars"),
        (
            {"params": MarketParams(stocks=(Stock(price="9.00", tick="0.5"),))},
            "needs .* events a day in the 'mid' tick regime",
        ),
        ({"params": MarketParams(window_minutes=(60, 50))}, "window_minutes is"),
        ({"params": MarketParams(window_minutes=(380, 400))}, "has 390; end it earlier"),
        ({"params": MarketParams(activity_correlation=1.5)}, r"activity_correlation is 1.5, but must be in \[0, 1\]"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_with_its_cure(change, message):
    call = {"seed": 1, "date": DATE} | change
    with pytest.raises(ConfigError, match=message):
        synthetic_market(call.pop("params", None), **call)


def test_a_misspelt_field_of_the_feed_is_refused():
    with pytest.raises(ConfigError, match="unknown field `stock`"):
        SyntheticFeed(seed=1, date=DATE, params={"stock": []})


# Shipped tapes


@pytest.mark.parametrize("name", list(synthetic.REPLAY_DATA))
def test_the_shipped_tapes_come_again_byte_for_byte(name):
    tape = Tape.load(shipped_tapes()[name])
    assert tape.content_hash() == tape.manifest.content
    made = synthetic.REPLAY_DATA[name]()
    assert made.content_hash() == tape.manifest.content
    assert made.manifest.recipe == tape.manifest.recipe


def test_the_shipped_tapes_are_small():
    folders = [shipped_tapes()[name] for name in synthetic.REPLAY_DATA]
    assert sum(file.stat().st_size for folder in folders for file in Path(folder).rglob("*")) < 5_000_000


# Stylised facts

# What one day of one seed shows clearly enough; the rest needs the days of the slow tests.
QUICK = (
    "P(spread = 1 tick)",
    "imbalance acf, lag 10",
    "imbalance acf, lag 100",
    "P(up), least step to the next fifth",
    "Fano factor, 1 s",
    "Fano factor, 10 s",
    "response R(1), ticks",
    "response R(10) / R(1)",
    "impact ~ size^x, x",
)


@pytest.fixture(scope="module", params=REGIMES)
def one_day(request) -> tuple[str, dict[str, float]]:
    tape = synthetic_market(MarketParams(stocks=(STOCKS[request.param],)), seed=21, date=DATE, view="L3")[0]
    return request.param, facts([session(tape)])


@pytest.mark.parametrize("fact", QUICK)
def test_one_day_shows(one_day, fact):
    regime, found = one_day
    low, high = accept(regime)[fact]
    assert low < found[fact] < high or low == found[fact]


@pytest.fixture(scope="module", params=REGIMES)
def fresh_seeds(request) -> tuple[str, dict[str, float]]:
    found = measure(request.param, SEEDS, days=3)
    return request.param, {fact: float(np.mean([seed[fact] for seed in found])) for fact in ACCEPT}


@pytest.mark.slow
@pytest.mark.parametrize("fact", list(ACCEPT))
def test_five_fresh_seeds_show(fresh_seeds, fact):
    regime, found = fresh_seeds
    low, high = accept(regime)[fact]
    assert low <= found[fact] <= high


@pytest.mark.slow
def test_volume_by_half_hour_is_a_u_over_many_days():
    params = MarketParams(stocks=(STOCKS["large"],), bar_minutes=30)
    days = [
        tape for seed in range(201, 241) for tape in synthetic_market(params, seed=seed, date=DATE, days=3, view="BARS")
    ]
    volume = np.array([tape.rows["size"] / tape.rows["size"].mean() for tape in days]).mean(axis=0)
    for name, half_hour in (("first", volume[0]), ("middle", volume[6]), ("last", volume[-1])):
        low, high = ACCEPT[f"volume, {name} half-hour"]
        assert low < half_hour < high, name


@pytest.mark.slow
def test_without_the_lean_against_expected_signs_prices_trend(monkeypatch):
    found = broken(monkeypatch, "mid", lean=0.0)
    assert found["variance ratio 1000 / 100"] > ACCEPT["variance ratio 1000 / 100"][1]
    assert found["response R(100) / R(10)"] > ACCEPT["response R(100) / R(10)"][1]


@pytest.mark.slow
def test_market_orders_that_ignore_what_was_expected_leave_the_response_rising(monkeypatch):
    found = broken(monkeypatch, "mid", surprise=0.0)
    assert found["response R(100) / R(10)"] > ACCEPT["response R(100) / R(10)"][1]


def broken(monkeypatch, regime: str, **change: float) -> dict[str, float]:
    """Mean facts over SEEDS with one mechanism changed."""
    monkeypatch.setitem(synthetic.FLOWS, regime, synthetic.FLOWS[regime]._replace(**change))
    found = measure(regime, SEEDS, days=3)
    return {fact: float(np.mean([seed[fact] for seed in found])) for fact in ACCEPT}


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_daily_volatility_is_what_was_asked_and_no_day_is_a_trend(regime):
    params = MarketParams(stocks=(STOCKS[regime],))
    days = [
        tape.rows
        for seed in range(201, 231)
        for tape in synthetic_market(params, seed=seed, date=DATE, days=3, view="BARS")
    ]
    moves = (
        np.array([math.log(rows["size2"][-1] / rows["order_id"][0]) for rows in days]) / STOCKS[regime].daily_volatility
    )
    assert np.sqrt(np.mean(moves**2)) == pytest.approx(1, abs=0.15)
    assert np.abs(moves).max() < 4  # the largest of 90 normal draws is, in 99 samples of 100


def test_no_parent_order_is_longer_than_the_longest():
    flow, rng = synthetic.FLOWS["mid"]._replace(parent_exponent=0.5, parent_longest=50.0), philox(1, 3)
    lengths = [_parent_length(rng, flow) for _ in range(2_000)]
    assert min(lengths) == 1
    assert 45 <= max(lengths) <= 50


def test_the_plan_of_a_stock_meets_its_volume_and_volatility():
    for regime, stock in STOCKS.items():
        flow, tick, events, lot = plan(MarketParams(), stock)
        assert tick == 100, regime
        assert lot >= 1, regime
        assert flow.ticks_per_event * math.sqrt(events) == pytest.approx(
            stock.daily_volatility * float(stock.price) * 100
        )
        assert events * flow.lots_per_event * lot == pytest.approx(stock.daily_volume * 0.905, rel=0.05)
