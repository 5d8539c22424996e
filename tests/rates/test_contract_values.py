"""Contracts at one close: closed forms, what they pay over their life, and that a missing quote is never made up."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from engine.contracts import TERMS, Bond, Contract, ForwardSwap, Swaption, as_row, pack
from engine.errors import ConfigError
from engine.panel_layout import BOND
from engine.rates.contract_values import ClosedMarket, open_market
from engine.rates.curves import DiscountCurve
from engine.rates.swap_curve import bootstrap, forward_swap_rates, spot_swaps, swap_rates
from engine.rates.swaptions import price_swaption

TODAY = 16_804  # Monday 2016-01-04
TENORS = np.array([1 / 12, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 20, 30])
RATES = np.array([0.005, 0.006, 0.008, 0.009, 0.012, 0.014, 0.017, 0.020, 0.022, 0.025, 0.026])
EXPIRIES, VOL_TENORS, OFFSETS = np.array([1 / 12, 0.5, 1.0]), np.array([2.0, 10.0]), np.array([-0.01, 0.0, 0.01])


def panels(date: int = TODAY, **changes: Any) -> dict[str, Any]:
    """One close; vols rise with expiry and away from the money."""
    vols = 0.007 + 0.001 * EXPIRIES[:, None, None] + 0.0005 * VOL_TENORS[:, None] / 10 + 0.1 * np.abs(OFFSETS) / 2
    return {
        "date": np.int32(date),
        "swap_rate": RATES,
        "axis_swap_tenor": TENORS,
        "normal_vol": vols,
        "axis_vol_expiry": EXPIRIES,
        "axis_vol_tenor": VOL_TENORS,
        "axis_vol_offset": OFFSETS,
    } | changes


def day(date: int) -> np.datetime64:
    return np.datetime64(date, "D")


def swap_from(expiry: int, months: int, rate: float) -> ForwardSwap:
    """What an option that expires then is a right to."""
    legs = spot_swaps(day(expiry), months)
    start, end = int(legs.start[0].astype(np.int64)), int(legs.end[0].astype(np.int64))
    return ForwardSwap(start=start, maturity=end, rate=rate)


def option(kind: Any, expiry: int, strike: float, months: int = 120, **more: Any) -> Swaption:
    swap = swap_from(expiry, months, strike)
    return Swaption(kind=kind, expiry=expiry, start=swap.start, maturity=swap.maturity, strike=strike, **more)


def rows(*contracts: Contract) -> np.ndarray:
    return np.array([as_row(pack(contract)) for contract in contracts], TERMS)


def values(market: ClosedMarket, *contracts: Contract) -> Any:
    return market.values(rows(*contracts), np.full(len(contracts), np.nan))


MARKET = open_market(panels(), "USD 2016")
CURVE = bootstrap(day(TODAY), TENORS, RATES)


@given(ahead=st.integers(1, 400), years=st.integers(1, 25), rate=st.floats(-0.02, 0.08))
def test_a_forward_swap_is_worth_its_annuity_times_what_its_rate_is_below_the_forward(
    ahead: int, years: int, rate: float
) -> None:
    found = values(MARKET, swap_from(TODAY + ahead, 12 * years, rate))
    forward = forward_swap_rates(CURVE, day(TODAY), day(TODAY + ahead), 12 * years)
    assert found.pv[0] == pytest.approx((forward.rate[0] - rate) * forward.annuity[0], abs=2e-13)
    assert found.dv01[0] == pytest.approx(forward.annuity[0] * 1e-4, rel=1e-12)


@given(ahead=st.integers(1, 365), strike=st.floats(-0.01, 0.06), months=st.integers(24, 120), cash=st.booleans())
def test_payer_minus_receiver_is_the_swap_on_the_annuity_that_the_option_pays_on(
    ahead: int, strike: float, months: int, cash: bool
) -> None:
    months -= months % 6
    settlement = "par_yield_cash" if cash else "physical"
    pair = [option(kind, TODAY + ahead, strike, months, settlement=settlement) for kind in ("payer", "receiver")]
    payer, receiver, swap = values(MARKET, *pair, pair[0].swap).pv
    if not cash:
        assert payer - receiver == pytest.approx(swap, abs=1e-13)
    assert np.sign(np.round(payer - receiver, 13)) in (0, np.sign(swap))
    assert min(payer, receiver) >= 0


def test_an_option_is_bachelier_at_the_vol_of_its_own_expiry_tenor_and_strike() -> None:
    expiry = TODAY + 365
    forward = forward_swap_rates(CURVE, day(TODAY), day(expiry), 120)
    strike = float(forward.rate[0]) + 0.01
    found = values(MARKET, option("payer", expiry, strike))
    vol = 0.007 + 0.001 + 0.0005 + 0.0005
    want = price_swaption(forward.rate, strike, vol, 1.0, annuity=forward.annuity)
    assert found.pv[0] == pytest.approx(want.value[0], rel=1e-11)
    assert found.vega[0] == pytest.approx(want.vega[0], rel=1e-11)


def test_a_cash_settled_option_pays_at_expiry_on_the_annuity_at_the_par_rate() -> None:
    strike = 0.01
    found = values(MARKET, option("payer", TODAY, strike, settlement="par_yield_cash"))
    rate = forward_swap_rates(CURVE, day(TODAY), day(TODAY), 120).rate[0]
    accrual = spot_swaps(day(TODAY), 120).accrual
    cash_annuity = (accrual * np.cumprod(1 / (1 + rate * accrual))).sum()
    settled = CURVE.discount_factor(2 / 365.25)
    assert found.pv[0] == pytest.approx((rate - strike) * cash_annuity * settled, rel=1e-12)


@given(data=st.data(), n=st.integers(1, 30))
def test_a_value_has_the_same_bits_alone_and_among_others(data: Any, n: int) -> None:
    contracts: list[Contract] = []
    for _ in range(n):
        expiry, rate = TODAY + data.draw(st.integers(1, 365)), data.draw(st.floats(-0.01, 0.06))
        swap = swap_from(expiry, 12 * data.draw(st.integers(2, 10)), rate)
        terms = {"expiry": expiry, "start": swap.start, "maturity": swap.maturity, "strike": rate}
        contracts.append(
            data.draw(st.sampled_from([swap, Swaption(kind="payer", **terms), Swaption(kind="receiver", **terms)]))
        )
    together = np.array(values(MARKET, *contracts))
    alone = np.concatenate([np.array(values(MARKET, contract)) for contract in contracts], axis=1)
    assert together.tobytes() == alone.tobytes()


@settings(max_examples=20)
@given(rate=st.floats(-0.01, 0.06), fixed=st.floats(0.0, 0.05), others=st.lists(st.integers(1, 720), max_size=5))
def test_what_a_swap_pays_over_its_life_is_worth_what_it_cost(rate: float, fixed: float, others: list[int]) -> None:
    """In a flat world that stays as it is, coupons so far and the rest, discounted, keep their worth."""
    swap, legs = swap_from(TODAY + 30, 24, fixed), spot_swaps(day(TODAY + 30), 24)
    events = {TODAY, swap.start, *legs.pay.astype(np.int64).tolist(), *(TODAY + other for other in others)}
    state, received, before, first = np.full(1, np.nan), 0.0, TODAY, None
    for date in sorted(date for date in events if date <= swap.maturity):
        market, discount = flat(date, rate), np.exp(-rate * (date - TODAY) / 365.25)
        flows = market.flows(rows(swap), state, np.full(1, np.nan), before)
        received += discount * flows.coupon[0]
        state, before = market.fixings(rows(swap), flows.state), date
        rest = discount * market.values(rows(swap), state).pv[0]
        first = rest if first is None else first
        assert received + rest == pytest.approx(first, abs=2e-12)
    assert flows.redeemed[0] == rest == 0.0


def test_a_coupon_fixed_late_is_that_of_the_whole_period() -> None:
    swap = swap_from(TODAY, 12, 0.02)
    fixed = [flat(swap.start + late, 0.03).fixings(rows(swap), np.full(1, np.nan))[0] for late in (0, 3)]
    assert fixed[0] == pytest.approx(fixed[1], rel=1e-12)


def flat(date: int, rate: float) -> ClosedMarket:
    """A close at which 1 in t years is worth exp(-rate t)."""
    curve = DiscountCurve([60.0], [np.exp(-60 * rate)])
    par = [swap_rates(curve, day(date), spot_swaps(day(date), months)).rate[0] for months in (6, 12, 60)]
    return open_market(panels(date, swap_rate=np.array(par), axis_swap_tenor=np.array([0.5, 1.0, 5.0])), "USD 2016")


def test_a_missing_quote_leaves_without_value_what_needs_it() -> None:
    expiry = TODAY + 30
    contracts = (swap_from(expiry, 120, 0.02), option("payer", expiry, 0.02), option("payer", expiry, 0.02, 24))
    no_tenor = open_market(panels(swap_rate=np.where(TENORS == 5, np.nan, RATES)), "USD 2016")
    assert np.isnan(values(no_tenor, *contracts).pv).all()
    vols = panels()["normal_vol"].copy()
    vols[0, 1, :] = np.nan  # one month into ten years
    no_vol = open_market(panels(normal_vol=vols), "USD 2016")
    assert np.isnan(values(no_vol, *contracts).pv).tolist() == [
        False,
        True,
        True,
    ]  # no surface with a hole is a surface
    assert np.isnan(values(open_market({"date": np.array(TODAY)}, "USD 2016"), *contracts).pv).all()


def test_beyond_the_curve_and_the_surface_there_is_no_value() -> None:
    contracts = (
        swap_from(TODAY + 400, 360, 0.02),
        option("payer", TODAY + 400, 0.02),
        option("payer", TODAY + 30, 0.02, 240),
    )
    assert np.isnan(values(MARKET, *contracts).pv).all()


def test_quotes_that_no_curve_can_pay_value_nothing() -> None:
    market = open_market(panels(swap_rate=np.where(TENORS == 30, 0.3, RATES)), "USD 2016")
    assert np.isnan(values(market, swap_from(TODAY + 30, 12, 0.02)).pv).all()


def test_unknown_conventions_say_where_to_set_them() -> None:
    with pytest.raises(ConfigError, match=r"conventions '' are unknown; set broker\.otc\.conventions"):
        open_market(panels(), "")


# --- bonds ----------------------------------------------------------------------------------------------------------

NOTE = Bond(isin="US0000000017")
MATURITY = 17_576  # 2018-02-14: coupons on 14 February and 14 August


def bond_panels(date: int, **changes: Any) -> dict[str, Any]:
    listed = np.zeros(2, BOND)
    listed["isin"], listed["dated"], listed["maturity"] = [b"XX", b"US0000000017"], 15_750, MATURITY
    listed["coupon"], listed["frequency"], listed["day_count"] = 0.03, 2, b"ACT/ACT ICMA"
    slots = {"bond": np.array([1, 65535], np.uint16), "bond_price": np.array([1.01, np.nan])}
    repo = {"gc_repo": np.array([0.002, 0.003]), "axis_repo_tenor": np.array([1 / 365.25, 0.5])}
    return (
        {"date": np.int32(date), "axis_bond": listed, "bond_repo": np.array([np.nan, np.nan])} | slots | repo | changes
    )


def test_a_bond_is_worth_its_clean_price_and_the_interest_to_settlement() -> None:
    date = int(np.datetime64("2016-02-18").astype(np.int64))  # a Thursday: settles on the Friday
    found = values(open_market(bond_panels(date), "USD 2016"), NOTE)
    assert found.pv[0] == pytest.approx(1.01 + 0.015 * 5 / 182, abs=1e-15)
    assert 1.5e-4 < found.dv01[0] < 2.1e-4  # two years


def test_a_bond_pays_each_coupon_once_is_funded_by_the_day_and_redeemed_at_par() -> None:
    first = int(np.datetime64("2016-02-01").astype(np.int64))
    dates = [date for date in range(first, MATURITY + 5) if np.is_busday(day(date))]
    coupons, funding, state, before = 0.0, 0.0, np.full(1, 0.002), dates[0]
    for date in dates[1:]:
        market = open_market(bond_panels(date), "USD 2016")
        flows = market.flows(rows(NOTE), state, np.array([1.01]), before)
        coupons, funding, before = coupons + flows.coupon[0], funding + flows.funding[0], date
        state = market.fixings(rows(NOTE), flows.state)
        if not np.isnan(flows.redeemed[0]):
            break
    assert coupons == pytest.approx(5 * 0.015, abs=1e-15)
    assert flows.redeemed[0] == 1.0
    assert funding == pytest.approx(-1.01 * 0.002 * (MATURITY - (first + 1)) / 365.25, rel=1e-12)


def test_a_bond_that_is_not_issued_yet_has_no_value() -> None:
    listed = bond_panels(TODAY)["axis_bond"].copy()
    listed["dated"] = TODAY + 2  # settlement is tomorrow
    assert np.isnan(values(open_market(bond_panels(TODAY, axis_bond=listed), "USD 2016"), NOTE).pv).all()


def test_a_bond_without_a_price_has_no_value_and_one_that_is_not_listed_cannot_be_dealt() -> None:
    market = open_market(bond_panels(TODAY, bond_price=np.full(2, np.nan)), "USD 2016")
    assert np.isnan(values(market, NOTE, Bond(isin="ZZ")).pv).all()
    assert market.lists(rows(NOTE, Bond(isin="ZZ"))).tolist() == [True, False]


def test_a_bond_is_funded_overnight_as_far_below_general_collateral_as_its_own_repo_is() -> None:
    special = open_market(bond_panels(TODAY, bond_repo=np.array([-0.01, np.nan])), "USD 2016")
    assert special.fixings(rows(NOTE), np.full(1, np.nan))[0] == pytest.approx(0.002 - 0.013)
    assert open_market(bond_panels(TODAY), "USD 2016").fixings(rows(NOTE), np.full(1, np.nan))[0] == 0.002
