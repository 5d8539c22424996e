"""The strategies of least impact: the laws of the house, and the shape that they follow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_market import CLOSE, OPEN, small_market

from engine import KeptJournal, run
from engine.broker.impact import Market, Propagator
from engine.broker.models import BrokerConfig, Latency
from engine.errors import ConfigError
from engine.parent import ParentOrder
from engine.strategy import MILLISECOND, SECOND
from engine.testing.laws import StrategyLaws
from engine.volume_curve import ONE, VolumeCurve, us_equity_default
from feeds.replay import TapeFeed
from strategies.almgren_chriss import AlmgrenChriss
from strategies.follow_schedule import Instruction, Tactics
from strategies.impact_schedule import ImpactSchedule, volume_bins
from strategies.vwap_schedule import VwapSchedule

DAY = {symbol: Market(daily_volume=100_000, daily_volatility=0.02) for symbol in ("A", "X")}
QUICK = Tactics(every_ms=1, finish_s=0)
SLOW = BrokerConfig(
    latency=Latency(feed=50 * MILLISECOND, entry=300 * MILLISECOND, response=400 * MILLISECOND),
    impact=Propagator(market={"X": Market(daily_volume=1_000_000, daily_volatility=0.02)}),  # not from later rows
)


def generated(side="buy", shares=300):
    """An order for the laws' tapes, which have no sessions of their own length."""
    return Instruction(symbol="A", side=side, shares=shares)


@pytest.mark.slow
class TestImpactSchedule(StrategyLaws):
    def make_strategy(self):
        return ImpactSchedule(orders=(generated(),), market=DAY, risk_aversion=1e-4, tactics=QUICK)


@pytest.mark.slow  # the quick suite stays under three minutes
class TestAlmgrenChriss(StrategyLaws):
    def make_strategy(self):
        return AlmgrenChriss(orders=(generated("sell"),), market=DAY, risk_aversion=1e-3, tactics=QUICK)


ORDER = ParentOrder(symbol="X", side=1, size=10_000, start=OPEN, end=CLOSE)
SESSION = (OPEN, CLOSE)


def weights(strategy, order=ORDER):
    return np.diff(strategy.schedule(order, SESSION, 1).done_by)


def told(shares=1_000, side="buy"):
    return Instruction(symbol="X", side=side, shares=shares, start_after_open_s=5, end_before_close_s=5)


def test_the_impact_schedule_trades_more_than_volume_at_both_ends_and_less_between():
    u, volume = (weights(strategy) for strategy in (ImpactSchedule(orders=(), market=DAY), VwapSchedule(orders=())))
    part = u / volume
    assert part[0] > 1.2
    assert part[-1] > 1.2
    assert (part[10:-10] < 1).all()
    assert u.sum() == volume.sum() == ORDER.size


def test_almgren_chriss_without_risk_aversion_is_vwap():
    ac = weights(AlmgrenChriss(orders=(), market=DAY))
    assert np.abs(ac - weights(VwapSchedule(orders=()))).max() <= 1


@pytest.mark.parametrize("make", [ImpactSchedule, AlmgrenChriss])
def test_risk_aversion_brings_trading_forward(make):
    done = [np.cumsum(weights(make(orders=(), market=DAY, risk_aversion=r))) for r in (0.0, 1e-3, 1e-2)]
    assert (done[1] >= done[0] - 1).all()
    assert (done[2] >= done[1] - 1).all()
    assert done[2][20] > done[0][20] + 1_000


@given(start=st.integers(0, 110), length=st.integers(1, 10), lot=st.sampled_from([1, 100]))
def test_any_part_of_the_session_gets_all_of_the_order(start, length, lot):
    order = ParentOrder(
        symbol="X", side=-1, size=200, start=OPEN + start * SECOND, end=OPEN + (start + length) * SECOND
    )
    for make in (ImpactSchedule, AlmgrenChriss):
        schedule = make(orders=(), market=DAY, risk_aversion=1e-4).schedule(order, SESSION, lot)
        assert schedule.done_by[-1] == schedule.target(order.end) == 200
        assert (schedule.edges[0], schedule.edges[-1]) == (order.start, order.end)


def test_bins_without_volume_are_joined_to_their_neighbours():
    quarter = ONE // 4
    curve = VolumeCurve((0, quarter, 0, quarter, 2 * quarter, 0), "by hand")
    edges, volume = volume_bins(curve, ORDER, SESSION)
    assert volume == [quarter, quarter, 2 * quarter]
    step = (CLOSE - OPEN) // 6
    assert edges == [OPEN, OPEN + 3 * step, OPEN + 4 * step, CLOSE]


def test_an_order_where_no_volume_is_expected_is_refused():
    late = ParentOrder(symbol="X", side=1, size=1, start=CLOSE, end=CLOSE + SECOND)
    with pytest.raises(ConfigError, match="expects no volume"):
        volume_bins(us_equity_default(), late, SESSION)


def test_a_symbol_without_an_average_day_is_refused():
    with pytest.raises(ConfigError, match=r"give params\.market\.X"):
        ImpactSchedule(orders=(), market={}).schedule(ORDER, SESSION, 1)


STRATEGIES = {
    "impact schedule": lambda: ImpactSchedule(orders=(told(), told(500, "sell")), market=DAY),
    "almgren chriss": lambda: AlmgrenChriss(orders=(told(),), market=DAY, risk_aversion=1e-3),
}


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 10**6))
def test_on_a_market_with_halts_and_slow_reports_no_parent_is_overfilled(name, seed):
    journal = KeptJournal()
    result = run(STRATEGIES[name](), TapeFeed(small_market(seed)), broker=SLOW, seed=1, journal=journal)
    for parent in result.parents:
        assert 0 <= parent.done <= 1_000


@pytest.mark.parametrize("name", STRATEGIES)
def test_orders_without_a_limit_are_completed_on_a_market_that_trades(name):
    result = run(STRATEGIES[name](), TapeFeed(small_market(3, trouble=0.0)), broker=SLOW, seed=1)
    assert [parent.done for parent in result.parents] == [1_000, 500][: len(result.parents)]
