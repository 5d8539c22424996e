"""The short-gamma backtest: equal to a plain twin, exact where exactness is due, fair in a fair world."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_short_gamma import Leg, sell_and_hold
from small_rates_world import FIRST, as_dictionaries, normal_world, random_world, rng

from engine.errors import ConfigError
from engine.rates.gamma_profile import straddle_gamma, strangle_gamma
from engine.rates.option_panel import OptionPanel
from engine.rates.pnl_explain import explain, vol_premium
from engine.rates.risk_measures import risk_measures
from engine.rates.short_gamma import (
    Costs,
    Rule,
    Structure,
    backtest,
    daily_pnl_bp,
    net_wealth_bp,
    trace,
)
from engine.rates.swaptions import PAYER, RECEIVER, STRADDLE, price_swaption, strike_for_delta
from engine.rates.trading_signals import clustering, expiry_curve, is_on, vol_carry, vol_level

FREE = Costs(hedge_bp=0.0)
NEVER, DAILY = Rule(), Rule(hedge_beyond=0.0)
RULES = [Rule(hedge_beyond=x) for x in (0.0, 0.1, 0.25, 0.5, math.inf)]
STRADDLES, STRANGLES = Structure(), Structure(delta=0.25)

worlds = st.builds(random_world, st.integers(0, 2**32), offsets=st.sampled_from([1, 2, 5]), cash_settled=st.booleans())
rules = st.builds(
    Rule,
    hedge_beyond=st.sampled_from([0.0, 0.1, 0.25, 0.5, math.inf]),
    restrike_below=st.sampled_from([0.0, 0.1, 0.2, 0.9]),
    hedge_at=st.sampled_from(["forward", "strike"]),
)
structures = st.sampled_from([STRADDLES, STRANGLES, Structure(delta=0.1)])


def plain(panel: OptionPanel, sale: int, structure: Structure, rule: Rule) -> list[Leg]:
    legs = (
        [Leg("straddle", None)]
        if structure.delta is None
        else [Leg("payer", structure.delta), Leg("receiver", structure.delta)]
    )
    at_strike = rule.hedge_at == "strike"
    market = as_dictionaries(panel, sale)
    return [sell_and_hold(market, leg, rule.hedge_beyond, rule.restrike_below, at_strike) for leg in legs]


@given(panel=worlds, structure=structures, rule=rules)
def test_the_kernels_agree_with_the_plain_twin(panel, structure, rule) -> None:
    found = backtest(panel, [structure], [rule])
    wealth = net_wealth_bp(trace(panel, structure, rule), FREE)
    for sale in range(len(panel)):
        legs = plain(panel, sale, structure, rule)
        assert found.gross[sale, 0, 0] == pytest.approx(sum(leg.wealth[-1] for leg in legs), rel=0, abs=1e-13)
        assert found.hedged[sale, 0, 0] == pytest.approx(sum(leg.hedged for leg in legs), rel=1e-9, abs=1e-12)
        assert found.vega_traded[sale, 0, 0] == pytest.approx(sum(leg.vega_traded for leg in legs), rel=1e-9)
        assert found.hedges[sale, 0, 0] == sum(leg.hedges for leg in legs)
        closes = np.sum([leg.wealth for leg in legs], axis=0)
        assert wealth[sale, : closes.size] == pytest.approx(closes / 1e-4, rel=0, abs=1e-9)


@given(panel=worlds, structure=structures, rule=rules)
def test_totals_closes_and_days_add_up(panel, structure, rule) -> None:
    costs = Costs(hedge_bp=0.2, option_half_spread_bp=1.0)
    found = backtest(panel, [STRADDLES, structure], [NEVER, rule])
    wealth = net_wealth_bp(trace(panel, structure, rule), costs)
    assert wealth[:, -1] == pytest.approx(found.pnl_bp(costs)[:, 1, 1], rel=0, abs=1e-9)
    days = daily_pnl_bp(panel, wealth)
    assert days.sum() == pytest.approx(wealth[:, -1].sum(), rel=0, abs=1e-9)
    parts = explain(panel, structure, rule, costs)
    assert sum(parts[1:]) == pytest.approx(parts.total, rel=0, abs=1e-9)
    assert np.cumsum(parts.total, axis=1) == pytest.approx(wealth, rel=0, abs=1e-9)
    one = daily_pnl_bp(panel, wealth, is_sold=np.array([True, False, False]))
    assert one.sum() == pytest.approx(wealth[0, -1], rel=0, abs=1e-9)


@given(panel=worlds)
def test_an_unhedged_straddle_earns_its_premium_less_the_move_exactly(panel) -> None:
    found = backtest(panel, [STRADDLES], [NEVER])
    sales = np.arange(len(panel))
    move = np.abs(panel.forward[sales, panel.last] - panel.forward[:, 0])
    due = found.premium[:, 0] - move * panel.settlement[sales, panel.last]
    assert np.array_equal(found.gross[:, 0, 0], due)
    assert np.array_equal(found.pnl_bp(Costs(hedge_bp=5.0)), found.pnl_bp(FREE))


@given(panel=worlds, structure=structures, rule=rules, hedge_bp=st.floats(0, 10), option_bp=st.floats(0, 10))
def test_costs_are_linear_in_what_a_unit_costs(panel, structure, rule, hedge_bp, option_bp) -> None:
    found = backtest(panel, [structure], [rule])
    free = found.pnl_bp(FREE)
    once = found.pnl_bp(Costs(hedge_bp=hedge_bp, option_half_spread_bp=option_bp))
    twice = found.pnl_bp(Costs(hedge_bp=2 * hedge_bp, option_half_spread_bp=2 * option_bp))
    assert free - twice == pytest.approx(2 * (free - once), abs=1e-9)
    assert (once <= free).all()


@given(panel=worlds, structure=structures)
def test_the_premium_is_the_price_at_the_sale_and_the_strikes_have_their_delta(panel, structure) -> None:
    paths, found = trace(panel, structure, NEVER), backtest(panel, [structure], [NEVER])
    for sale in range(len(panel)):
        legs = zip(structure.legs, paths[sale, :, 3, 0], strict=True)
        market = panel.forward[sale, 0], panel.years[sale, 0], panel.settlement[sale, 0]
        total = 0.0
        for (kind, _), strike in legs:
            vol = np.interp(strike - market[0], panel.offsets, panel.smiles[sale, 0])
            option = price_swaption(market[0], strike, vol, market[1], annuity=market[2], kind=kind)
            total += float(option.value)
            if structure.delta is not None:
                assert abs(option.delta) == pytest.approx(structure.delta * market[2], rel=1e-9)
        assert found.premium[sale, 0] == pytest.approx(total, rel=1e-9)


def test_denser_hedging_lowers_the_variance_and_costs_more() -> None:
    panel = normal_world(4000, seed=1)
    found = backtest(panel, [STRADDLES, STRANGLES], RULES)
    deviation, cost = found.pnl_bp(FREE).std(axis=0), found.hedged.mean(axis=0)
    assert (np.diff(deviation, axis=1) > 0).all()  # from daily to never
    assert (np.diff(cost, axis=1) < 0).all()
    assert not cost[:, -1].any()


def test_unhedged_profits_are_capped_by_the_premium_and_skewed_to_losses() -> None:
    panel = normal_world(4000, seed=2)
    found = backtest(panel, [STRADDLES, STRANGLES], [NEVER])
    returns = found.percent_of_premium(FREE)[:, :, 0]
    assert (returns <= 100 + 1e-9).all()
    centred = returns - returns.mean(axis=0)
    assert ((centred**3).mean(axis=0) < 0).all()
    assert returns.max(axis=0) == pytest.approx([100, 100], abs=0.2)


@pytest.mark.slow
def test_a_fair_world_pays_nothing_under_any_rule() -> None:
    panel = normal_world(200_000, seed=3)
    rules = [Rule(hedge_beyond=x, restrike_below=y) for x in (0.0, 0.1, 0.25, 0.5, math.inf) for y in (0.0, 0.2)]
    pnl = backtest(panel, [STRADDLES, STRANGLES], rules).pnl_bp(FREE)
    error = pnl.std(axis=0, ddof=1) / math.sqrt(len(panel))
    assert (np.abs(pnl.mean(axis=0)) < 3 * error).all()


def test_a_premium_in_vol_is_earned_and_a_discount_is_lost() -> None:
    rich = backtest(normal_world(2000, seed=4, implied=0.0088), [STRADDLES, STRANGLES], RULES)
    cheap = backtest(normal_world(2000, seed=4, implied=0.0072), [STRADDLES, STRANGLES], RULES)
    assert (rich.gross.mean(axis=0) > 0).all()
    assert (cheap.gross.mean(axis=0) < 0).all()


def test_what_greeks_leave_unexplained_of_a_move_is_of_third_order() -> None:
    def left_over(move: float) -> float:
        forward, years = [[0.02, 0.02 + move, 0.02]], [[0.1, 0.1 - 1e-12, 0.0]]
        annuity, smiles = np.full((1, 3), 9.0), np.full((1, 3, 1), 0.008)
        panel = OptionPanel(FIRST + np.arange(3), [0], [2], forward, annuity, years, smiles)
        parts = explain(panel, Structure(delta=0.1), NEVER, FREE)
        assert parts.total[0, 1] != 0
        return float(parts.unexplained[0, 1])

    assert left_over(4e-5) == pytest.approx(16 * left_over(2e-5), rel=0.02)  # the third orders of two wings cancel


def test_explained_parts_have_the_signs_of_a_short_option() -> None:
    panel = normal_world(50, seed=6)
    parts = explain(panel, STRADDLES, DAILY, Costs())
    assert (parts.theta >= 0).all()
    assert (parts.gamma <= 0).all()
    assert (parts.hedge_cost <= 0).all()
    assert not np.any(parts.vega)
    assert not np.any(parts.curve_roll)
    assert parts.theta.sum() > 20 * abs(parts.unexplained[:, :-3].sum())


def test_premium_splits_into_daily_and_range_volatility() -> None:
    panel = normal_world(20_000, seed=7, implied=0.009)
    split = vol_premium(panel)
    assert split.implied == pytest.approx(np.full(20_000, 0.009))
    assert np.sqrt((split.daily**2).mean()) == pytest.approx(0.008, rel=0.01)
    assert split.ranged.mean() == pytest.approx(0.008, rel=0.02)
    unhedged = backtest(panel, [STRADDLES], [NEVER]).gross[:, 0, 0]
    scale = panel.annuity[:, 0] * np.sqrt(panel.years[:, 0]) * math.sqrt(2 / math.pi)
    assert unhedged == pytest.approx(scale * (split.implied - split.ranged), abs=1e-12)


def test_restriking_restores_the_first_gamma_at_the_money_and_never_on_the_last_day() -> None:
    panel = normal_world(300, seed=8)
    paths = trace(panel, STRADDLES, Rule(hedge_beyond=0.0, restrike_below=0.2))[:, 0]
    strikes, notionals = paths[:, 3], paths[:, 4]
    restruck = np.diff(strikes, axis=1) != 0
    assert restruck.any()
    assert not restruck[:, -1].any()
    sale, close = np.argwhere(restruck)[0] + [0, 1]
    assert strikes[sale, close] == panel.forward[sale, close]
    first = price_swaption(0.02, 0.02, 0.008, panel.years[sale, 0], annuity=9.0, kind=STRADDLE).gamma
    now = price_swaption(0.02, 0.02, 0.008, panel.years[sale, close], annuity=9.0, kind=STRADDLE).gamma
    assert notionals[sale, close] * now == pytest.approx(first)


def test_an_option_that_ends_on_the_next_close_is_never_hedged() -> None:
    panel = normal_world(5, seed=9, closes=1)
    found = backtest(panel, [STRADDLES, STRANGLES], [DAILY])
    assert not found.hedges.any()
    assert not found.hedged.any()


# exhibit 8 ------------------------------------------------------------------------------------------------------


def test_exhibit_8_has_the_fixed_values() -> None:
    deviation, aged = 0.008 * math.sqrt(1 / 12), (1 / 12) / (1 / 12 - 14 / 365)
    shocks = np.array([-20e-4, 0, 20e-4])
    percent = [
        100 * straddle_gamma(shocks, deviation=deviation),
        100 * straddle_gamma(shocks, deviation=deviation, aged=aged),
        100 * strangle_gamma(shocks, deviation=deviation),
        100 * strangle_gamma(shocks, deviation=deviation, aged=aged),
    ]
    fixed = [(68.7289, 100), (67.9465, 136.1173), (80.7914, 100), (92.0684, 112.1160)]
    for found, (away, centre) in zip(percent, fixed, strict=True):
        assert found == pytest.approx([away, centre, away], abs=5e-5)


@given(shock=st.floats(-0.005, 0.005), aged=st.floats(1, 20))
def test_exhibit_8_is_the_gamma_of_the_options_themselves(shock, aged) -> None:
    forward, vol, years = 0.018, 0.008, 1 / 12
    deviation = vol * math.sqrt(years)
    strikes = strike_for_delta(0.25, forward, vol, years, kind=[PAYER, RECEIVER])

    def gammas(f: float, t: float) -> tuple[float, float]:
        straddle = price_swaption(f, forward, vol, t, kind=STRADDLE).gamma
        return float(straddle), float(price_swaption(f, strikes, vol, t, kind=[PAYER, RECEIVER]).gamma.sum())

    (straddle, strangle), (first, first_strangle) = gammas(forward + shock, years / aged), gammas(forward, years)
    assert straddle_gamma(shock, deviation=deviation, aged=aged) == pytest.approx(straddle / first, rel=1e-9, abs=1e-12)
    found = strangle_gamma(shock, deviation=deviation, aged=aged)
    assert found == pytest.approx(strangle / first_strangle, rel=1e-9, abs=1e-12)


# signals --------------------------------------------------------------------------------------------------------


def test_clustering_reads_the_latest_trade_that_has_expired() -> None:
    panel = normal_world(60, seed=10, closes=5)
    pnl = np.arange(60.0)
    assert np.array_equal(clustering(panel, pnl), np.r_[np.full(5, np.nan), pnl[:55]], equal_nan=True)
    assert not is_on("clustering", clustering(panel, pnl))[:5].any()


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 299))
def test_no_signal_depends_on_a_later_close(seed, cut) -> None:
    implied = 0.008 * np.exp(rng(seed).normal(0, 0.1, 300))
    forward = 0.02 + np.cumsum(rng(seed + 1).normal(0, 5e-4, 300))
    spoiled, moved = implied.copy(), forward.copy()
    spoiled[cut + 1 :] *= 3
    moved[cut + 1 :] += 0.01
    for early, late in (
        (vol_carry(implied, forward), vol_carry(spoiled, moved)),
        (vol_level(implied), vol_level(spoiled)),
        (expiry_curve(implied, 1.1 * implied), expiry_curve(spoiled, 1.1 * spoiled)),
    ):
        assert np.array_equal(early[: cut + 1], late[: cut + 1], equal_nan=True)


def test_signals_follow_their_definitions_and_wait_for_a_full_window() -> None:
    implied = 0.008 + 0.001 * rng(11).normal(size=300)
    forward = 0.02 + np.cumsum(rng(12).normal(0, 5e-4, 300))
    carry, level = vol_carry(implied, forward), vol_level(implied)
    assert np.isnan(carry[:21]).all()
    realised = math.sqrt((np.diff(forward)[29:50] ** 2).mean() * 252)
    assert carry[50] == pytest.approx(implied[50] / realised)
    assert np.isnan(level[:251]).all()
    window = implied[9:261]
    assert level[260] == pytest.approx((window[-1] - window.mean()) / window.std(ddof=1))
    assert np.isnan(vol_level(np.full(300, 0.008))).all()
    assert not is_on("vol_carry", vol_carry(implied, np.full(300, 0.02))).any()
    assert is_on("vol_level", [0.5, 0.51, np.nan]).tolist() == [False, True, False]


# refusals -------------------------------------------------------------------------------------------------------


def spoiled(**changes) -> dict:
    panel = normal_world(3, seed=13, closes=4)
    names = ("dates", "sold", "last", "forward", "annuity", "years", "smiles")
    return {name: np.array(getattr(panel, name)) for name in names} | changes


def test_a_panel_says_which_number_is_wrong() -> None:
    forward = spoiled()["forward"]
    forward[1, 3] = np.nan
    with pytest.raises(ConfigError, match=r"forward\[1, 3\] is nan, but must be finite; leave that sale out"):
        OptionPanel(**spoiled(forward=forward))
    with pytest.raises(ConfigError, match=r"last\[2\] is 5, but must be from 1 to 4; give it more closes"):
        OptionPanel(**spoiled(last=np.array([4, 4, 5])))
    with pytest.raises(ConfigError, match=r"sold\[0\] is 6, but must be >= 0 and, with last, below 7"):
        OptionPanel(**spoiled(sold=np.array([6, 1, 2])))
    with pytest.raises(ConfigError, match=r"smiles\[0, 0, 0\] is 0.0, but must be > 0"):
        OptionPanel(**spoiled(smiles=np.zeros((3, 5, 1))))
    with pytest.raises(ConfigError, match=r"years\[0, 4\] is 0.1, but must be > 0 before expiry and 0 at it"):
        OptionPanel(**spoiled(years=np.full((3, 5), 0.1)))
    with pytest.raises(ConfigError, match=r"annuity has shape \(2, 5\), but 3 sales, 5 closes and 1 offsets need"):
        OptionPanel(**spoiled(annuity=np.ones((2, 5))))


def test_rules_and_structures_that_make_no_sense_are_refused() -> None:
    panel = normal_world(3, seed=14)
    with pytest.raises(ConfigError, match=r"hedge_beyond must be >= 0, but is -0.1; write 0 for daily"):
        Rule(hedge_beyond=-0.1)
    with pytest.raises(ConfigError, match="restrike_below must be from 0 to below 1, but is 20"):
        Rule(restrike_below=20)
    with pytest.raises(ConfigError, match="a strangle's delta must be between 0 and 1, but is 25"):
        Structure(delta=25)
    with pytest.raises(ConfigError, match="costs must be >= 0 and finite"):
        Costs(hedge_bp=-1)
    with pytest.raises(ConfigError, match="at least one structure"):
        backtest(panel, [], RULES)
    with pytest.raises(ConfigError, match="at least one rule"):
        backtest(panel, [STRADDLES], [])
    with pytest.raises(ConfigError, match="signal 'carry' is unknown; take one of clustering, vol_carry"):
        is_on("carry", 1.0)


def test_a_fair_unhedged_world_reaches_the_benchmark_of_theory() -> None:
    panel = normal_world(20_000, seed=15)
    straddles = backtest(panel, [STRADDLES], [NEVER]).percent_of_premium(FREE)[:, 0, 0]
    assert risk_measures(straddles).benchmark == pytest.approx(0.176472, abs=0.03)
