"""Bachelier and Black against fixed values, QuantLib and the laws of an option."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rates import bachelier, gaussian
from engine.rates.black import implied_black_vol, price_black
from engine.rates.swaptions import (
    PAYER,
    RECEIVER,
    STRADDLE,
    gamma_neutral_amount,
    implied_normal_vol,
    price_swaption,
    strike_for_delta,
)

MONTH = 1 / 12
rates = st.floats(-0.02, 0.12)
normal_vols = st.floats(1e-4, 0.03)
expiries = st.floats(1 / 365, 10)
annuities = st.floats(0.1, 30)
kinds = st.sampled_from([PAYER, RECEIVER, STRADDLE])


def test_the_at_the_money_straddle_has_the_fixed_values() -> None:
    straddle = price_swaption(0.018, 0.018, 0.008, MONTH, kind=STRADDLE)
    assert straddle.value * 1e4 == pytest.approx(18.426354638471, rel=0, abs=1e-12)
    assert straddle.gamma == pytest.approx(345.494149471336, rel=1e-14)
    assert straddle.vega == pytest.approx(0.230329432981, rel=0, abs=1e-12)
    assert straddle.delta == 0


def test_25_delta_strangles_have_the_fixed_strikes_and_amount() -> None:
    strikes = strike_for_delta(0.25, 0.018, 0.008, MONTH, kind=[PAYER, RECEIVER])
    assert (strikes - 0.018) * 1e4 == pytest.approx([15.576673553654, -15.576673553654], rel=0, abs=1e-12)
    assert price_swaption(0.018, strikes, 0.008, MONTH, kind=[PAYER, RECEIVER]).delta == pytest.approx([0.25, -0.25])
    assert gamma_neutral_amount(0.25) == pytest.approx(1.255417531355, rel=0, abs=1e-12)
    straddle = price_swaption(0.018, 0.018, 0.008, MONTH, kind=STRADDLE).gamma
    strangle = price_swaption(0.018, strikes, 0.008, MONTH, kind=[PAYER, RECEIVER]).gamma.sum()
    assert straddle / strangle == pytest.approx(gamma_neutral_amount(0.25), rel=1e-13)


def test_bachelier_agrees_with_quantlib() -> None:
    ql = pytest.importorskip("QuantLib")
    rng = np.random.Generator(np.random.Philox(1))
    n = 2000
    forward, expiry = rng.uniform(-0.01, 0.08, n), rng.uniform(1 / 365, 10, n)
    vol, annuity = rng.uniform(0.001, 0.02, n), rng.uniform(0.5, 20, n)
    strike = forward + rng.uniform(-4, 4, n) * vol * np.sqrt(expiry)
    kind = rng.choice([PAYER, RECEIVER], n)
    ours = price_swaption(forward, strike, vol, expiry, annuity=annuity, kind=kind)
    for i in range(n):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if kind[i] == PAYER else ql.Option.Put, strike[i])
        deviation = float(vol[i] * math.sqrt(expiry[i]))
        theirs = ql.BachelierCalculator(payoff, forward[i], deviation, annuity[i])
        assert ours.value[i] == pytest.approx(theirs.value(), rel=0, abs=1e-12)
        assert ours.delta[i] == pytest.approx(theirs.deltaForward(), rel=0, abs=1e-12)
        assert ours.gamma[i] == pytest.approx(theirs.gammaForward(), rel=1e-12)
        assert ours.vega[i] == pytest.approx(theirs.vega(expiry[i]), rel=1e-12)


def test_black_agrees_with_quantlib() -> None:
    ql = pytest.importorskip("QuantLib")
    rng = np.random.Generator(np.random.Philox(2))
    n = 1000
    forward, vol, expiry = rng.uniform(0.005, 0.08, n), rng.uniform(0.05, 0.8, n), rng.uniform(1 / 365, 10, n)
    strike = forward * np.exp(rng.uniform(-3, 3, n) * vol * np.sqrt(expiry))
    kind = rng.choice([PAYER, RECEIVER], n)
    ours = price_black(forward, strike, vol, expiry, annuity=5.0, kind=kind)
    for i in range(n):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if kind[i] == PAYER else ql.Option.Put, strike[i])
        theirs = ql.BlackCalculator(payoff, forward[i], float(vol[i] * math.sqrt(expiry[i])), 5.0)
        assert ours.value[i] == pytest.approx(theirs.value(), rel=0, abs=1e-12)
        assert ours.delta[i] == pytest.approx(theirs.deltaForward(), rel=0, abs=1e-12)
        assert ours.gamma[i] == pytest.approx(theirs.gammaForward(), rel=1e-10)
        assert ours.vega[i] == pytest.approx(theirs.vega(expiry[i]), rel=1e-10)


@given(forward=rates, strike=rates, vol=normal_vols, expiry=expiries, annuity=annuities)
def test_payer_minus_receiver_is_the_forward_swap(forward, strike, vol, expiry, annuity) -> None:
    legs = price_swaption(forward, strike, vol, expiry, annuity=annuity, kind=[PAYER, RECEIVER, STRADDLE])
    assert legs.value[0] - legs.value[1] == pytest.approx(annuity * (forward - strike), rel=1e-14, abs=1e-15)
    assert legs.delta[0] - legs.delta[1] == pytest.approx(annuity, rel=1e-14)
    for greek in legs:
        assert greek[0] + greek[1] == pytest.approx(greek[2], rel=1e-12, abs=1e-14)


@given(forward=rates, strike=rates, vol=normal_vols, expiry=expiries, annuity=annuities, kind=kinds)
def test_greeks_are_the_slopes_of_the_price_and_theta_pays_for_gamma(
    forward, strike, vol, expiry, annuity, kind
) -> None:
    deviation = vol * math.sqrt(expiry)
    h = 1e-3 * deviation

    def at(f: float = forward, v: float = vol, t: float = expiry):
        return price_swaption(f, strike, v, t, annuity=annuity, kind=kind)

    here, scale = at(), annuity * deviation
    assert here.gamma >= 0
    assert here.theta == pytest.approx(-0.5 * vol**2 * here.gamma, rel=1e-13)
    assert here.delta == pytest.approx((at(forward + h).value - at(forward - h).value) / (2 * h), abs=1e-5 * annuity)
    bend = (at(forward + h).delta - at(forward - h).delta) / (2 * h)
    assert here.gamma == pytest.approx(bend, abs=1e-4 * annuity / deviation)
    dv, dt = 1e-4 * vol, 1e-4 * expiry
    assert here.vega == pytest.approx((at(v=vol + dv).value - at(v=vol - dv).value) / (2 * dv), abs=1e-6 * scale / vol)
    slope = (at(t=expiry + dt).value - at(t=expiry - dt).value) / (2 * dt)
    assert here.theta == pytest.approx(-slope, abs=1e-6 * scale / expiry)


@given(forward=rates, distance=st.floats(-6, 6), vol=normal_vols, expiry=expiries, annuity=annuities, kind=kinds)
def test_implied_normal_vol_inverts_the_price(forward, distance, vol, expiry, annuity, kind) -> None:
    strike = forward + distance * vol * math.sqrt(expiry)
    price = price_swaption(forward, strike, vol, expiry, annuity=annuity, kind=kind)
    noise = 4e-16 * (price.value + abs(forward) * annuity) / price.vega  # what the price cannot tell
    assert implied_normal_vol(price.value, forward, strike, expiry, annuity=annuity, kind=kind) == pytest.approx(
        vol, rel=1e-12, abs=noise
    )


@given(forward=st.floats(0.001, 0.1), distance=st.floats(-4, 4), vol=st.floats(0.02, 1), expiry=expiries, kind=kinds)
def test_implied_black_vol_inverts_the_price(forward, distance, vol, expiry, kind) -> None:
    strike = forward * math.exp(distance * vol * math.sqrt(expiry))
    price = price_black(forward, strike, vol, expiry, kind=kind)
    noise = 1e-15 * (price.value + forward + strike) / price.vega
    found = implied_black_vol(price.value, forward, strike, expiry, kind=kind)
    assert found == pytest.approx(vol, rel=1e-11, abs=noise)


@given(x=st.floats(0.01, 36), deviation=st.floats(1e-5, 0.1))
def test_a_time_value_far_out_of_the_money_still_tells_its_vol(x, deviation) -> None:
    extra = bachelier.value_and_delta(-x * deviation, deviation, PAYER)[0]
    assert bachelier.implied_deviation(x * deviation, extra) == pytest.approx(deviation, rel=3e-13)


@given(moneyness=st.floats(-0.03, 0.03), deviation=st.one_of(st.just(0.0), st.floats(1e-6, 0.02)), kind=kinds)
def test_one_swaption_and_many_have_the_same_bits(moneyness, deviation, kind) -> None:
    level, slope = bachelier.value_and_delta(moneyness, deviation, kind)
    assert bachelier.delta(moneyness, deviation, kind) == slope
    if deviation:
        many = price_swaption(moneyness, [0.0, 0.0], deviation, 1.0, kind=kind)
        assert [*many.value, *many.delta] == [level, level, slope, slope]
        assert many.gamma[0] == bachelier.gamma(moneyness, deviation, kind)


@given(p=st.one_of(st.floats(1e-300, 0.5), st.floats(0.5, 1 - 1e-9)))
def test_the_quantile_inverts_the_normal_distribution(p) -> None:
    x = gaussian.quantile(p)
    assert gaussian.cumulative(x) == pytest.approx(p, rel=max(1e-15, 4e-16 * (1 + x * x)))
    assert x == pytest.approx(statistics.NormalDist().inv_cdf(p), rel=1e-12, abs=1e-12)


def test_an_expired_option_is_worth_its_exercise() -> None:
    expired = price_swaption([0.02, 0.01, 0.015], 0.015, 0.008, 0.0, annuity=8.0, kind=PAYER)
    assert list(expired.value) == [8.0 * (0.02 - 0.015), 0.0, 0.0]
    assert list(expired.delta) == [8.0, 0.0, 4.0]
    assert not np.any([expired.gamma, expired.vega, expired.theta])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward": [0.01, np.nan]}, r"forward\[1\] is nan, but must be a finite rate"),
        ({"normal_vol": [0.01, -0.01]}, r"normal_vol\[1\] is -0.01, but must be > 0 and finite"),
        ({"expiry": -0.1}, r"expiry is -0.1, but must be >= 0 years; leave out options that have expired"),
        ({"annuity": 0.0}, r"annuity is 0.0, but must be > 0"),
        ({"kind": 2}, r"kind is 2, but must be \+1, -1 or 0"),
        ({"forward": np.zeros(2), "strike": np.zeros(3)}, r"shapes do not broadcast: forward \(2,\), strike \(3,\)"),
        ({"strike": "high"}, r"strike must be numbers, but is 'high'"),
    ],
)
def test_bad_input_is_refused_with_its_place(arguments, message) -> None:
    good = {"forward": 0.01, "strike": 0.01, "normal_vol": 0.008, "expiry": 1.0, "annuity": 1.0, "kind": PAYER}
    with pytest.raises(ConfigError, match=message):
        price_swaption(**(good | arguments))


def test_prices_that_no_vol_gives_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"price\[1\] is 0.01, but must be above intrinsic value"):
        implied_normal_vol([0.02, 0.01], 0.03, 0.02, 1.0)
    with pytest.raises(ConfigError, match=r"price is 0.05, but must be between intrinsic value and its upper bound"):
        implied_black_vol(0.05, 0.03, 0.02, 1.0)
    with pytest.raises(ConfigError, match=r"strike is -0.02, but must be > 0 in Black's model; use price_swaption"):
        price_black(0.03, -0.02, 0.2, 1.0)
    with pytest.raises(ConfigError, match=r"delta is 25.0, but must be between 0 and 1; give 0.25 for a 25-delta"):
        strike_for_delta(25.0, 0.03, 0.008, 1.0)
