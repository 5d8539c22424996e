"""The stress ladder: what it must show of any book, and a full revaluation on a shifted market."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rates_world import normal_world, random_world

from engine.errors import ConfigError
from engine.rates.contract_panel import contract_panel
from engine.rates.short_gamma import Rule, Structure, trace
from engine.rates.short_gamma_kernels import HEDGE, NOTIONAL, PAID, STRIKE
from engine.rates.stress import RATES_BP, VOLS, stress_ladder
from engine.rates.swap_curve import bootstrap_days
from engine.rates.swaption_contract import swaption_value
from engine.rates.vol_surface import VolSurface

STRADDLE, STRANGLE = Structure(), Structure(delta=0.25)
structures = st.sampled_from([STRADDLE, STRANGLE])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), structure=structures, beyond=st.sampled_from([0.0, 0.25, np.inf]))
def test_no_shock_costs_nothing_and_books_add_up(seed: int, structure: Structure, beyond: float) -> None:
    panel = random_world(seed, offsets=3, cash_settled=False)
    paths = trace(panel, structure, Rule(hedge_beyond=beyond))
    whole = stress_ladder(panel, structure, paths).pnl_bp
    assert np.abs(whole[:, RATES_BP.index(0.0), VOLS.index(0.0)]).max() == 0
    parts = [
        stress_ladder(panel, structure, paths, is_sold=np.arange(len(panel)) == n).pnl_bp for n in range(len(panel))
    ]
    np.testing.assert_allclose(sum(parts), whole, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), structure=structures)
def test_a_hedged_short_book_loses_on_both_sides_and_more_when_vol_rises(seed: int, structure: Structure) -> None:
    panel = normal_world(5, seed=seed)
    paths = trace(panel, structure, Rule(hedge_beyond=0.0))
    found = stress_ladder(panel, structure, paths)
    assert (found.pnl_bp[:, 0] + found.pnl_bp[:, -1] <= 0).all()
    assert (np.diff(found.pnl_bp, axis=2) <= 1e-9).all()
    assert found.margin_bp[found.worst_day] == found.margin_bp.max() > 0


def test_the_ladder_is_near_a_revaluation_on_shifted_quotes() -> None:
    days = np.array(["2016-03-01", "2016-03-02", "2016-04-01"], "datetime64[D]")
    rates = np.array([0.006, 0.009, 0.015, 0.02, 0.025])
    vols = np.full((3, 2, 1, 3), 0.009) + np.array([2e-4, 0.0, 4e-4])

    def market(shock: float, more_vol: float) -> tuple:
        curves = bootstrap_days(days, [1, 2, 5, 10, 30], np.tile(rates + shock, (3, 1)))
        return curves, VolSurface(days, [1 / 12, 0.25], [10.0], [-0.01, 0.0, 0.01], vols * (1 + more_vol))

    curves, surface = market(0.0, 0.0)
    sales = contract_panel(days, curves, surface)
    paths = trace(sales.panel, STRADDLE, Rule(hedge_beyond=0.0))
    found = stress_ladder(sales.panel, STRADDLE, paths)
    path = paths[0, 0, :, 1]  # after the second close

    def worth(shock: float, more_vol: float) -> float:
        curves, surface = market(shock, more_vol)
        value = swaption_value(curves[1], surface, days[1], sales.contracts, path[STRIKE], 0)
        hedged = value.annuity[0] * (path[HEDGE] * value.forward[0] - path[PAID])
        return float((hedged - path[NOTIONAL] * value.greeks.value[0]) * 1e4)

    for i, shock in enumerate(RATES_BP):
        for j, more_vol in enumerate(VOLS):
            revalued = worth(shock * 1e-4, more_vol) - worth(0.0, 0.0)
            assert found.pnl_bp[1, i, j] == pytest.approx(revalued, rel=0.03, abs=0.5)


def test_what_cannot_be_shocked_is_refused() -> None:
    panel = normal_world(2, seed=1)
    paths = trace(panel, STRADDLE, Rule())
    with pytest.raises(ConfigError, match="each must be above -1"):
        stress_ladder(panel, STRADDLE, paths, vols=(-1.0,))
    with pytest.raises(ConfigError, match="2 sales of 2 legs"):
        stress_ladder(panel, STRANGLE, paths)
