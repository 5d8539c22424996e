"""A contract's value at a close: dates, settlement, one and many, and an event-like ledger against the backtest."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.rates.contract_panel import Sales, contract_panel
from engine.rates.curves import DiscountCurve
from engine.rates.holidays import business_calendar
from engine.rates.short_gamma import Costs, Rule, Structure, backtest
from engine.rates.smile import strike_offset_for_delta
from engine.rates.swap_curve import bootstrap_days, forward_swap_rates
from engine.rates.swaption_contract import (
    Underlyings,
    contract_market,
    expiry_date,
    swaption_value,
    underlyings,
    underlyings_between,
)
from engine.rates.swaptions import PAYER, RECEIVER, STRADDLE
from engine.rates.vol_surface import VolSurface

COSTS = Costs(hedge_bp=0.2)


@cache
def history(interpolation: str = "log-linear discount") -> tuple[np.ndarray, list[DiscountCurve], VolSurface]:
    """Sixty closes of New York around a year's end, in which everything moves."""
    rng = np.random.Generator(np.random.Philox(1))
    days = np.arange("2015-11-20", "2016-03-01", dtype="datetime64[D]")
    days = days[np.is_busday(days, busdaycal=business_calendar("New York"))][:60]
    tenors = [1, 2, 5, 10, 30]
    moves = np.cumsum(rng.normal(0, 5e-4, (60, 1)) + rng.normal(0, 1e-4, (60, 5)), axis=0)
    par_rates = np.array([0.006, 0.009, 0.015, 0.02, 0.025]) + moves
    curves = bootstrap_days(days, tenors, par_rates, interpolation=interpolation)
    expiries, offsets = [1 / 12, 0.25], [-0.01, -0.0025, 0.0, 0.0025, 0.01]
    vols = 0.008 + rng.normal(0, 2e-4, (60, 1, 1, 1)) + rng.uniform(-2e-4, 2e-4, (60, 2, 1, 5))
    return days, curves, VolSurface(days, expiries, [10.0], offsets, vols)


@cache
def sales(*, is_cash_settled: bool = False) -> Sales:
    days, curves, surface = history()
    return contract_panel(days, curves, surface, is_cash_settled=is_cash_settled)


def one(contracts: Underlyings, i: int) -> Underlyings:
    legs = contracts.legs
    return underlyings_between(contracts.expiry[i], legs.start[i], legs.end[i])


def test_expiries_and_swaps_follow_the_market() -> None:
    assert expiry_date("2015-12-31", 1) == np.datetime64("2016-01-29")  # the 31st is a Sunday, and Monday is February
    assert expiry_date("2015-12-18", 1) == np.datetime64("2016-01-19")  # the 18th is King's birthday
    assert expiry_date("2016-02-25", 1) == np.datetime64("2016-03-25")  # Good Friday
    assert expiry_date("2016-02-25", 1, calendar="US government bond") == np.datetime64("2016-03-28")
    contracts = underlyings("2016-01-29", 120)
    assert contracts.legs.start[0] == np.datetime64("2016-02-02")
    assert contracts.legs.end[0] == np.datetime64("2026-02-02")
    assert contracts.legs.pay.size == 20
    assert contracts.legs.pay[0] == np.datetime64("2016-08-02")


def test_dates_of_an_order_give_the_same_swap_as_its_expiry() -> None:
    for contracts in (sales().contracts, underlyings(["2016-02-29", "2016-12-29"], [24, 120])):
        again = underlyings_between(contracts.expiry, contracts.legs.start, contracts.legs.end)
        for mine, theirs in zip(contracts.legs, again.legs, strict=True):
            assert np.array_equal(mine, theirs)
        assert np.array_equal(again.tenor_years, contracts.tenor_years)


@pytest.mark.parametrize("interpolation", ["log-linear discount", "linear zero"])
def test_forwards_and_annuities_are_those_of_the_swap_curve(interpolation) -> None:
    days, curves, surface = history(interpolation)
    expiry = days[5:25]
    found = contract_market(curves[4], surface, days[4], underlyings(expiry, 120))
    theirs = forward_swap_rates(curves[4], days[4], expiry, 120)
    assert found.forward == pytest.approx(theirs.rate, rel=0, abs=1e-15)
    assert found.annuity == pytest.approx(theirs.annuity, rel=1e-14)
    assert found.years == pytest.approx((expiry - days[4]).astype(int) / 365, rel=1e-15)


def test_par_yield_settlement_pays_on_the_cash_annuity() -> None:
    days, curves, surface = history()
    contract = underlyings(days[30], 120)
    strike = 0.015
    at_expiry = swaption_value(curves[30], surface, days[30], contract, strike, PAYER, is_cash_settled=True)
    forward = float(at_expiry.forward[0])
    accrual = contract.legs.accrual
    flat = float((accrual / np.cumprod(1 + forward * accrual)).sum())
    assert flat == pytest.approx((1 - (1 + forward / 2) ** -20) / forward, rel=1e-3)  # of regular periods
    start = (contract.legs.start[0] - days[30]).astype(int) / 365.25
    due = max(forward - strike, 0) * flat * float(curves[30].discount_factor(start))
    assert due > 0
    assert at_expiry.greeks.value[0] == pytest.approx(due, rel=1e-12)


def test_physical_settlement_gives_the_swap() -> None:
    days, curves, surface = history()
    contract, strike = underlyings(days[30], 120), 0.03
    for kind in (PAYER, RECEIVER):
        found = swaption_value(curves[30], surface, days[30], contract, strike, kind)
        worth = kind * (found.forward - strike) * found.annuity
        assert found.greeks.value == pytest.approx(np.maximum(worth, 0), abs=1e-16)


@pytest.mark.parametrize("is_cash_settled", [False, True])
def test_one_contract_and_a_whole_panel_have_the_same_bits(is_cash_settled) -> None:
    days, curves, surface = history()
    panel, contracts, _ = sales(is_cash_settled=is_cash_settled)
    found = backtest(panel, [Structure()], [Rule()])
    for i in (0, 7, len(panel) - 1):
        strike = panel.forward[i, 0]
        for k in range(int(panel.last[i]) + 1):
            day = panel.sold[i] + k
            one_value = swaption_value(
                curves[day], surface, days[day], one(contracts, i), strike, STRADDLE, is_cash_settled=is_cash_settled
            )
            assert one_value.forward[0] == panel.forward[i, k]
            assert one_value.annuity[0] == panel.annuity[i, k]
            if k == 0:
                assert one_value.greeks.value[0] == found.premium[i, 0]
        assert found.gross[i, 0, 0] == found.premium[i, 0] - one_value.greeks.value[0]


@pytest.mark.parametrize("hedge_at", ["forward", "strike"])
@pytest.mark.parametrize(("structure", "hedge_beyond"), [(Structure(), 0.0), (Structure(delta=0.25), 0.5)])
def test_a_ledger_that_marks_contracts_at_each_close_agrees_with_the_backtest(
    structure, hedge_beyond, hedge_at
) -> None:
    """What an event-driven strategy does: swaps of their own, cash, and values from curve and surface alone."""
    days, curves, surface = history()
    panel, contracts, _ = sales()
    found = backtest(panel, [structure], [Rule(hedge_beyond=hedge_beyond, hedge_at=hedge_at)]).pnl_bp(COSTS)[:, 0, 0]
    for i in (0, 11, len(panel) - 1):
        total = 0.0
        legs = [STRADDLE] if structure.delta is None else [PAYER, RECEIVER]
        for kind in legs:
            market = contract_market(curves[panel.sold[i]], surface, days[panel.sold[i]], one(contracts, i))
            strike = float(market.forward[0])
            if structure.delta is not None:
                strike += _offset(surface, market, kind, structure)
            cash, swaps = 0.0, []
            for k in range(int(panel.last[i]) + 1):
                day = panel.sold[i] + k
                now = swaption_value(curves[day], surface, days[day], one(contracts, i), strike, kind)
                value, forward, annuity = now.greeks.value[0], now.forward[0], now.annuity[0]
                net = sum(size for size, _ in swaps)
                if k == 0:
                    cash += value
                elif k == panel.last[i]:
                    cash += sum(size * annuity * (forward - rate) for size, rate in swaps) - value
                    cash -= COSTS.hedge_bp * 1e-4 * abs(net) * annuity
                elif abs(net - now.greeks.delta[0] / annuity) > hedge_beyond + 1e-9:
                    size = now.greeks.delta[0] / annuity - net
                    rate = strike if hedge_at == "strike" else forward
                    swaps.append((size, rate))
                    cash -= size * annuity * (forward - rate) + COSTS.hedge_bp * 1e-4 * abs(size) * annuity
            total += cash
        assert total * 1e4 == pytest.approx(found[i], rel=0, abs=1e-9)


def _offset(surface: VolSurface, market, kind: int, structure: Structure) -> float:
    quantile = dict(structure.legs)[kind]
    return strike_offset_for_delta(surface.offsets, market.smiles, 0, -kind * quantile * math.sqrt(market.years[0]))


def test_sales_that_cannot_be_settled_are_left_out_with_a_reason() -> None:
    days, curves, surface = history()
    panel, _, left_out = sales()
    assert len(panel) + len(left_out) == days.size
    assert left_out[-1] == (days[-1], f"it expires on {expiry_date(days[-1], 1)}, after the last close, {days[-1]}")
    settled = expiry_date(days[3], 1)
    kept = days != settled
    fewer = VolSurface(days[kept], surface.expiries, surface.tenors, surface.offsets, surface.vols[kept])
    _, _, missing = contract_panel(days[kept], [c for c, k in zip(curves, kept, strict=True) if k], fewer)
    assert (days[3], f"it expires on {settled}, on which there is no close") in missing


def test_what_cannot_be_valued_is_refused() -> None:
    days, curves, surface = history()
    with pytest.raises(ConfigError, match=r"expiry\[0\] is 2015-11-20, but must not be before 2015-11-24"):
        swaption_value(curves[2], surface, days[2], underlyings(days[0], 120), 0.02, PAYER)
    with pytest.raises(ConfigError, match="lies beyond the curve of 2015-11-20, whose last node is at 30"):
        contract_market(curves[0], surface, days[0], underlyings(days[20], 360))
    with pytest.raises(ConfigError, match=r"maturity.* must be start plus whole months on a business day"):
        underlyings_between("2016-01-29", "2016-02-02", "2026-02-05")
    with pytest.raises(ConfigError, match=r"59 curves for dates of shape \(60,\); give one for each"):
        contract_panel(days, curves[:-1], surface)
    with pytest.raises(ConfigError, match=r"no option can be settled: it expires on .* after the last close"):
        contract_panel(days[:5], curves[:5], surface)


@pytest.mark.slow
def test_sixteen_years_of_published_swap_rates_show_what_must_come_out(recorded_data) -> None:
    """Implied vol is a stand-in that says nothing about a premium: what the last quarter realised."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/curves/usd_swap_rates_h15_2000_2016.parquet").dropna()
    days = table["date"].to_numpy().astype("datetime64[D]")
    tenors = [int(name.removeprefix("DSWP")) for name in table.columns[1:]]
    rates = table.iloc[:, 1:].to_numpy() / 100
    curves = bootstrap_days(days, tenors, rates)
    moves = np.lib.stride_tricks.sliding_window_view(np.diff(rates[:, tenors.index(10)]) ** 2, 63)
    vols = np.broadcast_to(np.sqrt(252 * moves.mean(axis=1))[:, None, None, None], (days.size - 63, 2, 1, 1))
    surface = VolSurface(days[63:], [1 / 12, 0.25], [10.0], [0.0], vols)
    found = contract_panel(days[63:], curves[63:], surface)
    assert len(found.panel) + len(found.left_out) == days.size - 63
    assert len(found.left_out) < 0.02 * days.size
    thresholds = (0.0, 0.1, 0.25, 0.5, math.inf)
    pnl = backtest(found.panel, [Structure(), Structure(delta=0.25)], [Rule(hedge_beyond=x) for x in thresholds])
    free, net = pnl.pnl_bp(Costs(hedge_bp=0)), pnl.pnl_bp(Costs())
    assert (np.diff(free.std(axis=0), axis=1) > 0).all()
    assert (np.diff((free - net).mean(axis=0), axis=1) < 0).all()
    centred = free[:, :, -1] - free[:, :, -1].mean(axis=0)
    assert ((centred**3).mean(axis=0) < 0).all()
    assert (free[:, :, -1] <= pnl.premium * 1e4 + 1e-9).all()
