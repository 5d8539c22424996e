from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning.dataset import Dataset
from engine.learning.features import Samples
from engine.learning.splits import Split, by_days, leave_one_day_out, thinned, within_day


def day(n: int, seed: int = 0) -> Samples:
    rng = np.random.Generator(np.random.Philox(seed))
    tick = np.cumsum(rng.integers(1, 3, n))
    return Samples(tick * 5, tick, tick, rng.integers(0, 9, n) * 2, tick * 0 + 2, np.zeros((n, 18)), tick > 0)


def places(data: Dataset, rows: np.ndarray) -> set[int]:
    """Every step from a sample to the next that a label looks at."""
    return {k for i in rows for k in range(data.start[i], data.end[i])}


def splits(data: Dataset, n_days: int) -> list[Split]:
    if n_days == 1:
        return [within_day(data)]
    return [by_days(data, [0], [n_days - 1]), *leave_one_day_out(data)]


@given(n_days=st.integers(1, 3), horizon=st.integers(1, 9), seed=st.integers(0, 99))
def test_no_two_parts_of_a_split_share_a_move(n_days: int, horizon: int, seed: int) -> None:
    data = Dataset.of([day(60, seed + k) for k in range(n_days)], horizon)
    for split in splits(data, n_days):
        seen = [places(data, rows) for rows in (split.fit, split.calibrate, split.test)]
        assert not any(a & b for a, b in pairwise([*seen, seen[0]]))


@given(horizon=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_chronological_split_is_in_order_and_drops_little_more_than_the_horizon(horizon: int, seed: int) -> None:
    data = Dataset.of([day(120, seed)], horizon)
    split = within_day(data)
    assert data.start[split.fit].max() < data.start[split.calibrate].min()
    assert data.start[split.calibrate].max() < data.start[split.test].min()
    dropped = len(data) - sum(len(rows) for rows in split[1:])
    assert dropped <= 2 * horizon


def test_leave_one_day_out_tests_each_day_once() -> None:
    data = Dataset.of([day(80, k) for k in range(3)], 4)
    tested = np.concatenate([split.test for split in leave_one_day_out(data)])
    assert np.array_equal(np.sort(tested), np.arange(len(data)))


@given(n=st.integers(1, 50), most=st.integers(2, 60))
def test_thinning_keeps_the_ends_and_the_order(n: int, most: int) -> None:
    rows = np.arange(n) * 3
    kept = thinned(rows, most)
    assert len(kept) == min(n, most)
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (rows[0], rows[-1])


def test_splits_that_cannot_be_are_refused() -> None:
    data = Dataset.of([day(60), day(60, 1)], 3)
    with pytest.raises(ConfigError, match="tests must be later"):
        by_days(data, [1], [0])
    with pytest.raises(ConfigError, match="no sample is left to fit on"):
        within_day(Dataset.of([day(12)], 9))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        within_day(data, test=1.0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        within_day(data, calibrate=0.0)
    with pytest.raises(ConfigError, match="only one day"):
        list(leave_one_day_out(Dataset.of([day(60)], 3)))
