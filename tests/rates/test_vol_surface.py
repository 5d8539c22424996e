"""The vol surface: exact at nodes, as stated between them, silent nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rates.gaussian import quantile
from engine.rates.smile import smile_vol, strike_offset_for_delta
from engine.rates.swaptions import PAYER, RECEIVER, price_swaption
from engine.rates.vol_surface import VolSurface

DATES = np.array(["2016-05-02", "2016-05-03", "2016-05-05"], "datetime64[D]")
EXPIRIES, TENORS, OFFSETS = np.array([1 / 12, 0.25, 1.0]), np.array([5.0, 10.0]), np.array([-0.01, 0.0, 0.005, 0.01])


def surface(seed: int = 1) -> VolSurface:
    rng = np.random.Generator(np.random.Philox(seed))
    return VolSurface(DATES, EXPIRIES, TENORS, OFFSETS, rng.uniform(0.006, 0.012, (3, 3, 2, 4)))


def test_quotes_come_back_at_the_nodes() -> None:
    quoted = surface()
    grid = quoted.vol("2016-05-03", EXPIRIES[:, None, None], TENORS[:, None], OFFSETS)
    assert grid == pytest.approx(quoted.vols[1], rel=1e-15)


@given(expiry=st.floats(1 / 12, 1), tenor=st.floats(5, 10), offset=st.floats(-0.01, 0.01))
def test_between_nodes_total_variance_and_vol_run_straight(expiry, tenor, offset) -> None:
    quoted = surface()
    nodes = [
        np.sqrt(
            np.interp(
                expiry,
                EXPIRIES,
                [np.interp(tenor, TENORS, quoted.vols[0, e, :, j]) ** 2 * EXPIRIES[e] for e in range(3)],
            )
            / expiry
        )
        for j in range(4)
    ]
    found = quoted.vol("2016-05-02", expiry, tenor, offset)
    assert found == pytest.approx(np.interp(offset, OFFSETS, nodes), rel=1e-12)


def test_before_the_first_expiry_and_beyond_the_offsets_vol_is_flat() -> None:
    quoted = surface()
    assert quoted.vol("2016-05-02", [0.0, 1 / 365, 1 / 12], 10.0) == pytest.approx(quoted.vols[0, 0, 1, [1, 1, 1]])
    assert quoted.vol("2016-05-02", 1.0, 5.0, [-0.5, 0.5]) == pytest.approx(quoted.vols[0, 2, 0, [0, 3]])


@given(
    seed=st.integers(0, 10_000),
    delta=st.floats(0.02, 0.5),
    years=st.floats(1 / 252, 1),
    kind=st.sampled_from([PAYER, RECEIVER]),
)
def test_the_strike_of_a_delta_has_that_delta_at_its_own_vol(seed, delta, years, kind) -> None:
    smiles = np.random.Generator(np.random.Philox(seed)).uniform(0.007, 0.009, (1, 4))
    offset = strike_offset_for_delta(OFFSETS, smiles, 0, -kind * quantile(delta) * np.sqrt(years))
    vol = smile_vol(OFFSETS, smiles, 0, offset)
    assert vol == pytest.approx(np.interp(offset, OFFSETS, smiles[0]), rel=1e-14)
    assert abs(price_swaption(0.0, offset, vol, years, kind=kind).delta) == pytest.approx(delta, rel=1e-9)


def test_vols_that_are_missing_or_not_positive_are_refused() -> None:
    vols = np.full((3, 3, 2, 4), 0.008)
    vols[2, 1, 0, 3] = np.nan
    with pytest.raises(ConfigError, match=r"vols\[2, 1, 0, 3\] is nan, but must be > 0; leave out the closes"):
        VolSurface(DATES, EXPIRIES, TENORS, OFFSETS, vols)
    vols[2, 1, 0, 3] = 0
    with pytest.raises(ConfigError, match=r"vols\[2, 1, 0, 3\] is 0.0"):
        VolSurface(DATES, EXPIRIES, TENORS, OFFSETS, vols)
    with pytest.raises(ConfigError, match=r"vols\[0, 0, 0, 0\] is 80.0, but must be a decimal"):
        VolSurface(DATES, EXPIRIES, TENORS, OFFSETS, np.full((3, 3, 2, 4), 80.0))


def test_a_missing_node_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vols has shape \(3, 2, 2, 4\), but dates, .* make \(3, 3, 2, 4\)"):
        VolSurface(DATES, EXPIRIES, TENORS, OFFSETS, np.full((3, 2, 2, 4), 0.008))
    with pytest.raises(ConfigError, match=r"expiries\[1\] is 0.25, but must be above the one before; sort the nodes"):
        VolSurface(DATES, [0.5, 0.25, 1.0], TENORS, OFFSETS, np.full((3, 3, 2, 4), 0.008))
    with pytest.raises(ConfigError, match=r"expiry is 2.0, but must be from 0 to the last quoted expiry, 1.0 years"):
        surface().vol("2016-05-02", 2.0, 10.0)
    with pytest.raises(ConfigError, match=r"tenor is 30.0, but must be from 5.0 to 10.0 years"):
        surface().vol("2016-05-02", 1.0, 30.0)


def test_a_stale_surface_is_refused_unless_its_age_is_allowed() -> None:
    quoted = surface()
    with pytest.raises(ConfigError, match="on 2016-05-04 is of 2016-05-03, 1 days old, but at most 0 are allowed"):
        quoted.day("2016-05-04")
    assert quoted.day("2016-05-04", max_age_days=1) == 1
    with pytest.raises(ConfigError, match="no vol surface on or before 2016-05-01: the first is of 2016-05-02"):
        quoted.day("2016-05-01", max_age_days=9)
    with pytest.raises(ConfigError, match="dates of a vol surface must ascend"):
        VolSurface(DATES[::-1], EXPIRIES, TENORS, OFFSETS, np.full((3, 3, 2, 4), 0.008))
