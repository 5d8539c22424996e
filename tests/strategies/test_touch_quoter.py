"""Laws of the touch quoter."""

from hypothesis import given
from hypothesis import strategies as st
from toy_market import ToyMarket

from engine import events
from engine.instruments import Instrument
from engine.strategy import SECOND
from strategies.touch_quoter import TouchQuoter


def market(seed=1, trouble=0.1):
    return ToyMarket(seed, (0, 60 * SECOND), Instrument(symbol="X", price_unit="0.01", tick=100), trouble=trouble)


@given(
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([0.0, 0.1, 0.5]),
    shares=st.integers(1, 100),
    max_position=st.integers(0, 300),
    every_ms=st.sampled_from([100, 300, 1_000]),
)
def test_inventory_stays_inside_its_limit_whatever_fills(seed, trouble, shares, max_position, every_ms):
    venue = market(seed, trouble)

    def check():
        assert abs(sum(order.side * size for _, order, _, size in venue.fills)) <= max_position

    quoter = TouchQuoter(symbol="X", shares=shares, max_position=max_position, every_ms=every_ms)
    venue.run(quoter, after_each_step=check)
    assert all(order.post_only for order in venue.sent)


def test_both_sides_are_quoted_at_the_touch():
    venue = market(trouble=0.0)
    TouchQuoter(symbol="X").on_timer(events.Timer(0), venue)
    quote = venue.quote("X")
    assert [(order.side, order.price, order.size) for order in venue.sent] == [
        (1, quote.bid, 100),
        (-1, quote.ask, 100),
    ]


def test_a_one_sided_book_is_not_quoted():
    venue = market(trouble=0.0)
    venue._sizes = [0, 100]
    TouchQuoter(symbol="X").on_timer(events.Timer(0), venue)
    assert not venue.sent
