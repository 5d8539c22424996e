"""Orders seen again: those that rest untouched where one would be placed now, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.fill_table import DEEPER, NEAR
from engine.learning.fill_times import NEVER
from engine.learning.kept_places import with_kept_places
from engine.learning.virtual_orders import Placements
from engine.strategy import SECOND

EVERY, STEP, KEPT = 5, 10, 3


def random_orders(seed: int, count: int = 40) -> Placements:
    """Two levels and two sides every 5 s, at prices that wander; a few were refused."""
    rng = np.random.default_rng(seed)
    mid = 1_000 + np.cumsum(rng.integers(-1, 2, count))
    keys = [
        (k, level, side) for k in range(count) for level in (DEEPER, NEAR) for side in (1, -1) if rng.random() < 0.9
    ]
    k, level, side = (np.array(column, np.int64) for column in zip(*keys, strict=True))
    ts = k * EVERY * SECOND
    waits = rng.exponential(20 * SECOND, (len(ts), 2)).astype(np.int64)
    done = ts[:, None] + np.cumsum(waits, axis=1)
    done[done > ts[:, None] + 50 * SECOND] = NEVER
    own, other = rng.integers(1, 100, (2, len(ts)))
    price, spread = mid[k] - side * (1 + NEAR - level), np.full(len(ts), 2)
    return Placements(np.array([1, 2]), ts, level, side, price, own, other, spread, done)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_an_order_is_seen_again_while_it_rests_untouched_at_its_levels_price(seed):
    orders = random_orders(seed)
    found = with_kept_places(orders, step_s=STEP, every_s=EVERY, steps=KEPT)
    now = {(int(orders.ts[i]), int(orders.level[i]), int(orders.side[i])): i for i in range(len(orders))}
    expected = []
    for age in range(KEPT + 1):
        for i in range(len(orders)):
            path = [
                now.get((int(orders.ts[i]) + n * STEP * SECOND, int(orders.level[i]), int(orders.side[i])))
                for n in range(age + 1)
            ]
            at = path[-1]
            if None in path or any(orders.price[n] != orders.price[i] for n in path):
                continue
            if age == 0 or orders.done[i, 0] > orders.ts[at]:
                expected.append(
                    (orders.ts[at], orders.level[i], orders.side[i], orders.price[i], orders.own[at], *orders.done[i])
                )
    columns = found.ts, found.level, found.side, found.price, found.own, *found.done.T
    assert list(zip(*columns, strict=True)) == expected


def test_ages_come_in_the_parts_of_a_renewal_process():
    """Fills by chance alone, at a price that stays: an order lives another step with probability 1 - p."""
    rng, p, count = np.random.default_rng(3), 0.4, 20_000
    ts = np.arange(count) * STEP * SECOND
    still = np.ones(count, np.int64)
    done = ts + rng.geometric(p, count) * STEP * SECOND - 1
    orders = Placements(np.array([1]), ts, NEAR * still, still, 100 * still, still, still, still, done[:, None])
    found = with_kept_places(orders, step_s=STEP, every_s=STEP, steps=KEPT)
    ages = len(found) / count
    assert ages == pytest.approx(sum((1 - p) ** age for age in range(KEPT + 1)), rel=0.02)
    assert np.mean(found.done[:, 0] <= found.ts + STEP * SECOND) == pytest.approx(p, abs=0.01)


def test_orders_that_do_not_meet_the_steps_are_refused():
    with pytest.raises(ConfigError, match="every 4 s do not meet steps of 10 s"):
        with_kept_places(random_orders(0), step_s=10, every_s=4, steps=1)
