"""The universe of synthetic tickers: its distribution is the one that is documented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning.universe import CORRELATION, FACTORS, MEDIANS, PARTS, PRICES, WIDTHS, draw_universe


@pytest.fixture(scope="module")
def many() -> list:
    return draw_universe(4_000, seed=11)


def test_medians_and_widths_are_as_documented(many: list) -> None:
    for name, of in (("volume", "daily_volume"), ("opening", "opening"), ("closing", "closing")):
        logs = np.log([getattr(one, of) for one in many])
        assert np.median(logs) == pytest.approx(np.log(MEDIANS[name]), abs=4 * 1.25 * WIDTHS[name] / np.sqrt(len(many)))
        assert logs.std() == pytest.approx(WIDTHS[name], rel=0.06)


def test_regimes_come_in_their_parts(many: list) -> None:
    for regime, part in PARTS.items():
        assert np.mean([one.regime == regime for one in many]) == pytest.approx(part, abs=0.03)


def test_correlations_are_as_documented_where_nothing_is_cut(many: list) -> None:
    uncut = [one for one in many if PRICES[0] < one.price < PRICES[1]]
    names = {"volume": "daily_volume", "depth": "depth", "volatility": "daily_volatility", "opening": "opening"}
    logs = {name: np.log([getattr(one, of) for one in uncut]) for name, of in names.items()}
    for i, one in enumerate(FACTORS):
        for j, other in enumerate(FACTORS):
            if i < j and one in logs and other in logs:
                found = np.corrcoef(logs[one], logs[other])[0, 1]
                assert found == pytest.approx(CORRELATION[i, j], abs=0.08), (one, other)


def test_the_correlation_matrix_is_one() -> None:
    assert np.array_equal(CORRELATION, CORRELATION.T)
    assert (np.diag(CORRELATION) == 1).all()
    assert np.linalg.eigvalsh(CORRELATION).min() > 0.1


@given(seed=st.integers(0, 2**63 - 1), count=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_a_smaller_universe_is_the_beginning_of_a_larger_one(seed: int, count: int) -> None:
    assert draw_universe(count, seed=seed) == draw_universe(20, seed=seed)[:count]


@given(steps=st.integers(1, 60), i=st.integers(0, 199))
@settings(max_examples=50, deadline=None)
def test_volume_shares_are_shares_and_half_hours_add_up_to_the_day(steps: int, i: int) -> None:
    import msgspec

    one = draw_universe(200, seed=3)[i] if steps % 7 == 0 else draw_universe(1, seed=i)[0]
    shares = one.volume_shares(steps)
    assert (shares > 0).all()
    assert shares.sum() == pytest.approx(1)
    day = sum(msgspec.structs.replace(one, half_hour=k).half_hour_volume for k in range(13))
    assert day == pytest.approx(one.daily_volume)


def test_a_universe_without_tickers_is_refused() -> None:
    with pytest.raises(ConfigError, match="a universe of 0 tickers"):
        draw_universe(0, seed=1)
