"""The difference in how costs spread: the value is the textbook's, the interval finds what is planted and no more."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.learning.paired_effects import Effect, spread_difference


class Cost(NamedTuple):
    symbol: str
    day: str
    window: int
    side: int
    shares: int
    arm: str
    bp: float


def costs(arm: str, values: Any, symbol: str = "DEMO") -> list[Cost]:
    """A buyer's and a seller's parent in each window."""
    return [
        Cost(symbol, "2026-03-02", window, side, 100, arm, float(bp))
        for window, pair in enumerate(values)
        for side, bp in zip((1, -1), pair, strict=True)
    ]


def found(trials: list[Cost], draws: int = 400, seed: int = 7) -> Effect:
    rng = np.random.Generator(np.random.Philox(seed))
    return spread_difference(trials, "ours", "base", lambda t: t.bp, block=3, rng=rng, draws=draws)


@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0.1, 5.0))
def test_it_is_the_difference_of_the_two_standard_deviations_over_all_stocks(seed: int, n: int, wider: float) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    ours, base = {}, {}
    for symbol in ("A", "B"):
        ours[symbol], base[symbol] = rng.normal(2.0, wider, (n, 2)), rng.normal(0.0, 1.0, (n, 2))
    trials = [
        cost
        for symbol in ours
        for arm, values in (("ours", ours), ("base", base))
        for cost in costs(arm, values[symbol], symbol)
    ]
    exact = np.std(np.concatenate([*ours.values()]), ddof=1) - np.std(np.concatenate([*base.values()]), ddof=1)
    assert found(trials, draws=2).mean == pytest.approx(exact, abs=1e-9)


def test_one_law_is_told_from_itself_no_more_often_than_intervals_say_and_a_wider_one_is_found() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    same = wider = 0
    for _ in range(200):
        market, own = rng.normal(0.0, 3.0, (60, 2)), rng.normal(0.0, 1.0, (2, 60, 2))
        plain = found(costs("ours", market + own[0]) + costs("base", market + own[1]))
        spread = found(costs("ours", 1.5 * (market + own[0])) + costs("base", market + own[1]))
        same += not plain.low <= 0 <= plain.high
        wider += spread.low > 0
    assert same <= 25  # 10 were due; an interval by bootstrap is a little short
    assert wider >= 190


def test_an_arm_that_trades_as_the_other_does_spreads_as_it_does_in_every_draw() -> None:
    values = np.random.Generator(np.random.Philox(3)).normal(0.0, 2.0, (20, 2))
    one = found(costs("ours", values + 4.0) + costs("base", values))
    assert one == pytest.approx((0.0, 0.0, 0.0, 0.0), abs=1e-9)
