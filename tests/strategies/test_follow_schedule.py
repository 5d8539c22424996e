"""Laws of the strategies that work a parent order, on a venue that does whatever it likes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_market import STEP, ToyMarket

from engine.errors import StrategyError
from engine.instruments import Instrument
from engine.orders import TimeInForce
from engine.strategy import SECOND
from strategies.follow_schedule import Instruction, Progress, Tactics, on_tick
from strategies.twap import Twap
from strategies.vwap_schedule import VwapSchedule

OPEN, CLOSE = 1_000 * SECOND, 1_120 * SECOND


@st.composite
def instructions(draw, lot=1, **fixed):
    instruction = {
        "symbol": "X",
        "side": draw(st.sampled_from(["buy", "sell"])),
        "shares": draw(st.integers(1, 50)) * lot,
        "start_after_open_s": draw(st.integers(0, 40)),
        "end_before_close_s": draw(st.integers(0, 40)),
        "limit": draw(st.none() | st.integers(95, 105).map(float)),
        "participation": draw(st.sampled_from([0.0, 0.01, 0.1, 1.0])),
    }
    return Instruction(**(instruction | fixed))


@st.composite
def runs(draw, lot=None, **fixed):
    """A market and a strategy, ready to run."""
    lot = draw(st.sampled_from([1, 100])) if lot is None else lot
    order = draw(instructions(lot=lot, **fixed))
    tactics = Tactics(
        every_ms=draw(st.sampled_from([100, 1_000, 5_000])),
        tolerance=draw(st.sampled_from([0.0, 0.05, 1.0])),
        completion=draw(st.sampled_from(["cross", "leave"])),
        finish_s=draw(st.integers(0, 30)),
    )
    make = draw(st.sampled_from([lambda: Twap(orders=(order,), slice_s=17, tactics=tactics),
                                 lambda: VwapSchedule(orders=(order,), tactics=tactics)]))  # fmt: skip
    instrument = Instrument(symbol="X", price_unit="0.01", tick=100, lot=lot)
    market = ToyMarket(
        seed=draw(st.integers(0, 2**32)),
        session=(OPEN, CLOSE),
        instrument_=instrument,
        trouble=draw(st.sampled_from([0.0, 0.1, 0.5])),
        scrambles=draw(st.booleans()),
    )
    return market, make


@given(run=runs())
def test_the_venue_never_fills_more_than_the_parent_and_progress_ends_up_true(run):
    market, make = run

    def check():
        parent = market.parents[0]
        filled = sum(size for _, _, _, size in market.fills)
        assert filled <= parent.done + parent.open <= parent.order.size

    market.run(make(), after_each_step=check)
    assert market.parents[0].done == sum(size for _, _, _, size in market.fills)
    assert market.parents[0].open == 0
    assert market.parents[0].children == [order.order_id for order in market.sent]


@given(run=runs())
def test_every_order_keeps_limit_window_lot_and_tick(run):
    market, make = run
    market.run(make())
    order = market.parents[0].order
    for child in market.sent:
        assert child.side == order.side
        assert order.start <= child.sent < order.end
        assert child.size % market.instrument_.lot == 0
        assert child.price % 100 == 0
        assert order.allows(child.price)
        assert child.tif is TimeInForce.IOC or (child.expire_ts == order.end and child.post_only)
    assert all(order.allows(price) for _, _, price, _ in market.fills)
    assert all(ts < order.end for ts, child, _, _ in market.fills if child.tif is not TimeInForce.IOC)


@given(run=runs(participation=0.05))
def test_own_volume_never_passes_the_participation_cap(run):
    market, make = run
    at_start = 0

    def check():
        nonlocal at_start
        if market.now < market.parents[0].order.start:
            at_start = market.volume("X")
        filled = sum(size for _, _, _, size in market.fills)
        assert filled <= 0.05 * (market.volume("X") - at_start)

    market.run(make(), after_each_step=check)


@given(run=runs())
def test_nothing_is_sent_while_the_instrument_is_halted(run):
    market, make = run
    known, halts = 0, []

    def check():
        nonlocal known
        if market.is_halted:
            halts.append(len(market.sent) - known)
        known = len(market.sent)

    market.run(make(), after_each_step=check)
    assert not any(halts)


@given(run=runs(lot=1, limit=None, participation=0.0))
def test_with_liquidity_and_no_limit_the_parent_is_completed_by_its_end(run):
    market, make = run
    market.trouble = 0.0
    strategy = make()
    # time enough to pull what rests and to cross, the venue's delays included
    in_time = msgspec.structs.replace(strategy.params.tactics, completion="cross", finish_s=30, every_ms=1_000)
    market.run(type(strategy)(msgspec.structs.replace(strategy.params, tactics=in_time)))
    assert market.parents[0].is_done


@given(run=runs(lot=1, limit=None, participation=0.0))
def test_the_order_is_not_far_behind_its_schedule_in_a_calm_and_liquid_market(run):
    market, make = run
    market.trouble, market.depth, market.moves = 0.0, 10_000, False
    strategy = make()
    brisk = msgspec.structs.replace(strategy.params.tactics, tolerance=0.1, every_ms=100)
    strategy = type(strategy)(msgspec.structs.replace(strategy.params, tactics=brisk))
    targets = []

    def check():
        parent = market.parents[0]
        targets.append(parent.target)
        # an order on its way, its cancel, the order that crosses: there and back, up to 4 steps each way, and looks
        before = targets[max(0, len(targets) - 28)]
        assert parent.order.start > market.now or parent.done >= before - 0.1 * parent.order.size - 1

    market.run(strategy, after_each_step=check)


@given(run=runs(), cut=st.integers(1, 1_000))
def test_a_strategy_restored_from_a_snapshot_goes_on_as_if_nothing_had_happened(run, cut):
    market, make = run
    market.run(make())

    again = ToyMarket(market.seed, market.session, market.instrument_, market.depth, market.trouble, market.scrambles)
    first = make()
    first.on_start(again)
    again.go_on(first, until=OPEN + cut * STEP)
    second = make()
    second.state = msgspec.json.decode(msgspec.json.encode(first.state), type=Progress)
    second.on_start(again)
    again.go_on(second)
    assert [(o.sent, o.size, o.price, o.tif) for o in again.sent] == [
        (o.sent, o.size, o.price, o.tif) for o in market.sent
    ]
    assert second.state.parents == market.parents


@given(price=st.integers(-(10**6), 10**6), tick=st.integers(1, 1_000))
def test_rounding_to_a_tick_goes_the_way_it_is_told(price, tick):
    up, down = on_tick(price, tick, 1), on_tick(price, tick, -1)
    assert down <= price <= up
    assert up % tick == down % tick == 0
    assert up - down in (0, tick)


def test_two_orders_are_worked_side_by_side():
    market = ToyMarket(3, (OPEN, CLOSE), Instrument(symbol="X", price_unit="0.01", tick=100), trouble=0.0)
    orders = (
        Instruction(symbol="X", side="buy", shares=40, end_before_close_s=20),
        Instruction(symbol="X", side="sell", shares=30, end_before_close_s=20, name="the other way"),
    )
    market.run(Twap(orders=orders, tactics=Tactics(finish_s=20)))
    assert [parent.order.name for parent in market.parents] == ["buy 40 X", "the other way"]
    assert [parent.is_done for parent in market.parents] == [True, True]


def test_a_size_that_is_no_multiple_of_the_lot_says_so():
    market = ToyMarket(1, (OPEN, CLOSE), Instrument(symbol="X", lot=100))
    with pytest.raises(StrategyError, match="size 150 is not a positive multiple of the lot, 100"):
        Twap(orders=(Instruction(symbol="X", side="buy", shares=150),)).on_start(market)


def test_a_window_that_is_no_window_says_so():
    market = ToyMarket(1, (OPEN, CLOSE), Instrument(symbol="X"))
    late = Instruction(symbol="X", side="buy", shares=100, start_after_open_s=90, end_before_close_s=60)
    with pytest.raises(StrategyError, match="buy 100 X: ends at"):
        Twap(orders=(late,)).on_start(market)
