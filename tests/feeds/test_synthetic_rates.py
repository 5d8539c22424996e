"""The synthetic rates world: a seed is all there is to it, nothing earns in the fair one, each switch does its part."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.errors import ConfigError
from engine.panel_layout import NO_BOND, check_panels, decimals
from engine.rates.bonds import Bonds, accrued, street_yield
from engine.rates.gc_repo import GcRepo
from engine.rates.holidays import add_business_days, adjust
from engine.rates.par_basket import BondUniverse
from engine.rates.par_day import fit_day
from engine.rates.schedules import add_months
from engine.rates.swap_curve import bootstrap_days, forward_swap_rates, spot_swaps
from engine.shipped import shipped_tapes
from engine.tape import Kind, Tape
from engine.verdict import check
from feeds.exact_normal import draw_normal, implied_deviation, time_value, upper_tail
from feeds.fair_vols import WEIGHTS, Asked, Nodes, market_vols, shocks_ahead
from feeds.rates_path import STEP, SWAP, advance, fill_discounts, log_discount
from feeds.synthetic_orders import philox
from feeds.synthetic_rates import (
    SEED,
    WORLD,
    RatesParams,
    SyntheticRatesFeed,
    World,
    make_world,
    params_from,
    synthetic_rates,
)

replace = msgspec.structs.replace
YEAR = RatesParams(years=1, vol_expiries=(30, 91), vol_tenors=(10.0,))
SWITCHED_ON = replace(WORLD, years=1, vol_expiries=(30, 91), vol_tenors=(10.0,))
BARE = replace(YEAR, vol_expiries=(30,), vol_offsets_bp=(0.0,), has_bonds=False)


@pytest.fixture(scope="module")
def fair() -> Tape:
    return synthetic_rates(YEAR, seed=7)


@pytest.fixture(scope="module")
def built_in() -> Tape:
    return synthetic_rates(SWITCHED_ON, seed=7)


# Seeds


@pytest.mark.slow
def test_the_bytes_are_those_of_every_other_machine(fair, built_in):
    assert (fair.content_hash()[:16], built_in.content_hash()[:16]) == BYTES


BYTES = ("fd3febe94af8cb68", "ce9eaea02a0c8183")


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(fair):
    assert synthetic_rates(YEAR, seed=7).content_hash() == fair.content_hash()
    assert synthetic_rates(YEAR, seed=8).content_hash() != fair.content_hash()


def test_the_recipe_is_the_exact_call(built_in):
    call = built_in.manifest.recipe.removeprefix("feeds.synthetic_rates.")
    assert eval(call).content_hash() == built_in.content_hash()


@pytest.mark.slow
def test_the_world_that_ships_is_what_its_recipe_makes():
    shipped = Tape.load(shipped_tapes()["rates_world"])
    again = synthetic_rates(WORLD, seed=SEED)
    assert again.content_hash() == shipped.content_hash() == shipped.manifest.content
    assert again.manifest.recipe == shipped.manifest.recipe


def test_the_world_that_ships_is_whole():
    shipped = Tape.load(shipped_tapes()["rates_world"])
    check(shipped)
    assert shipped.content_hash() == shipped.manifest.content
    assert shipped.manifest.synthetic
    assert shipped.panel_days == len(shipped) > 2500


# The tape


def test_every_business_day_closes_at_three_in_new_york(fair):
    check(fair)
    check_panels(fair.panels)
    assert (fair.rows["kind"] == Kind.CLOSE).all()
    assert fair.rows["order_id"].tolist() == list(range(len(fair)))
    hour = fair.rows["ts_event"] // 3_600_000_000_000 % 24
    assert set(hour.tolist()) == {19, 20}  # UTC, summer and winter
    days = fair.panels["date"].astype("datetime64[D]")
    assert np.isin(np.array(["2006-01-16", "2006-04-14", "2006-07-04"], "datetime64[D]"), days).sum() == 0


def test_a_config_names_it_as_a_feed(fair):
    feed = SyntheticRatesFeed(seed=7, params={"years": 1, "vol_expiries": [30, 91], "vol_tenors": [10.0]})
    assert feed.tape.content_hash() == fair.content_hash()
    rows = feed.read(until=0)
    assert rows is not None
    assert rows.tobytes() == fair.rows.tobytes()
    assert feed.read(until=0) is None
    assert SyntheticRatesFeed(**feed.params).tape.content_hash() == fair.content_hash()


# Exact functions


@given(st.floats(0.0, 30.0))
def test_tails_and_time_values_are_those_of_the_normal_distribution(x):
    assert upper_tail(x) == pytest.approx(stats.norm.sf(x), rel=1e-12)
    if x < 4.0:  # further out the plain formula cancels
        assert time_value(x, 1.0) == pytest.approx(stats.norm.pdf(x) - x * stats.norm.sf(x), rel=1e-10)


@given(st.floats(0.0, 0.01), st.floats(0.001, 0.02))
def test_the_implied_deviation_gives_the_price_back(distance, deviation):
    assert implied_deviation(distance, time_value(distance, deviation), 0.004) == pytest.approx(deviation, rel=1e-10)


def test_draws_are_standard_normal():
    rng = philox(3, 4)
    draws = np.array([draw_normal(rng) for _ in range(50_000)])
    assert stats.kstest(draws, "norm").pvalue > 0.001


# Curves


@given(st.integers(1, 300), st.floats(0.1, 30.0))
def test_without_shocks_a_later_curve_is_todays_forward_curve(day, years):
    still = make_world(replace(BARE, vol=(0.0, 0.0, 0.0, 0.0)), 1)
    motion, path = still.motion, still.path
    ahead = day * STEP
    forward = log_discount(motion, path.state[0], path.convexity[0], SWAP, ahead + years)
    forward -= log_discount(motion, path.state[0], path.convexity[0], SWAP, ahead)
    assert log_discount(motion, path.state[day], path.convexity[day], SWAP, years) == pytest.approx(forward, abs=1e-12)


@given(data=st.data(), factor=st.integers(0, 2), years=st.floats(0.1, 30.0))
def test_every_discount_factor_is_a_martingale_in_units_of_rolled_cash(data, factor, years):
    """Over one day, from any state, for a shock of any size: the mean by quadrature, so exactly."""
    motion = make_world(BARE, 1).motion
    x = np.array(data.draw(st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4)))
    y = np.array(data.draw(st.lists(st.floats(0.0, 0.005), min_size=4, max_size=4)))
    deviation = data.draw(st.floats(0.0, 0.02))
    forward = log_discount(motion, x, y, SWAP, years + STEP) - log_discount(motion, x, y, SWAP, STEP)
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    mean = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        later, convexity = x.copy(), y.copy()
        added, moved = np.zeros(4), np.zeros(4)
        added[factor], moved[factor] = deviation**2, deviation * node
        advance(motion, later, convexity, added, moved)
        mean += weight * np.exp(log_discount(motion, later, convexity, SWAP, years) - forward)
    assert mean == pytest.approx(1.0, abs=1e-12)


def test_the_swap_panel_gives_the_models_forward_rate_back(fair):
    world, days = make_world(YEAR, 7), fair.panels["date"].astype("datetime64[D]")[::20]
    curves = bootstrap_days(days, fair.panels["axis_swap_tenor"], fair.panels["swap_rate"][::20])
    for day, curve in zip(days, curves, strict=True):
        expiry = adjust(add_months(day, 1), "New York", "modified_following")
        told = forward_swap_rates(curve, day, expiry, 120).rate[0]
        assert told == pytest.approx(forward_swaps(world, world_day(world, day), expiry)[0][0], abs=0.1e-4)


# Vols


@pytest.mark.parametrize("jumps", [0.0, 0.2])
def test_options_price_the_law_of_the_variance_to_come(jumps):
    """Against a plain simulation of the shocks of the next 30 days."""
    motion, days, n = make_world(replace(BARE, jump_share=jumps), 1).motion, 30, 40_000
    rng, parts, total = np.random.default_rng(1), np.zeros((2, n)), np.zeros(n)
    for _ in range(days):
        shocks = (rng.random((2, n)) < motion.arrival[:, None]) * rng.exponential(size=(2, n))
        total += (1.0 - jumps) * parts.sum(axis=0) + jumps / motion.arrival[0] * shocks[0]
        size = (1.0 - motion.keep) * motion.share / motion.arrival
        parts = motion.keep[:, None] * parts + size[:, None] * shocks
    points, error = shocks_ahead(motion, days), total.std() / np.sqrt(n)
    assert points @ WEIGHTS == pytest.approx(total.mean(), abs=4 * error)
    known = 15.0
    assert np.sqrt(known + points) @ WEIGHTS == pytest.approx(np.sqrt(known + total).mean(), rel=0.004)
    spread = np.sqrt((points - points @ WEIGHTS) ** 2 @ WEIGHTS)
    assert spread == pytest.approx(total.std(), rel=0.03)


def test_the_premium_is_exactly_that_part_of_the_price_at_the_money(fair):
    dear = synthetic_rates(replace(YEAR, premium=0.06, has_bonds=False), seed=7).panels["normal_vol"]
    ratio = dear[..., 3] / fair.panels["normal_vol"][..., 3]
    assert ratio == pytest.approx(1.06, abs=4e-4)  # vols are rounded to 0.01 bp


def test_noise_is_mean_zero_in_price_at_every_strike():
    world = make_world(replace(BARE, years=1), 3)
    nodes = Nodes(np.array([30]), np.array([10.0]), np.array([0.0, 0.0025, 0.005]))
    draws = np.exp(0.05 * np.random.default_rng(0).normal(size=20_001) - 0.5 * 0.05**2)[:, None] - 1.0
    draws[0] = 0.0
    n = np.zeros(len(draws), np.int64)
    known = np.repeat(world.path.variance[:1], len(n), axis=0)
    vols = market_vols(world.motion, world.path, known, n, nodes, Asked(0.0, draws, np.expm1(0.05**2)))[:, 0, 0]
    for place, distance in enumerate(nodes.offsets.tolist()):
        prices = np.array([time_value(distance, vol * np.sqrt(30 * STEP)) for vol in vols[:, place].tolist()])
        error = prices[1:].std() / np.sqrt(len(prices)) / prices[0]
        assert prices[1:].mean() / prices[0] - 1.0 == pytest.approx(0.0, abs=3 * error + 1e-3 * (distance > 0.003))


def test_a_fair_smile_has_its_low_at_the_money_and_two_equal_sides(fair):
    vols = fair.panels["normal_vol"][:, 0, 0]
    assert (np.diff(vols[:, 3:], axis=1) > 0).all()
    assert vols == pytest.approx(vols[:, ::-1], abs=2e-6)


def test_lag_makes_implied_vol_follow_realised(fair):
    late = synthetic_rates(replace(YEAR, implied_lag_days=20.0, has_bonds=False), seed=7).panels["normal_vol"]
    prompt, late = fair.panels["normal_vol"][:, 0, 0, 3], late[:, 0, 0, 3]
    assert np.abs(np.diff(late)).max() < 0.5 * np.abs(np.diff(prompt)).max()
    now = np.corrcoef(late[10:], prompt[10:])[0, 1]
    assert np.corrcoef(late[10:], prompt[:-10])[0, 1] > now


# Bonds


def test_a_bond_keeps_one_slot_from_issue_to_maturity(fair):
    slots, static = fair.panels["bond"], fair.panels["axis_bond"]
    days = fair.panels["date"]
    for day in range(0, len(slots), 25):
        held = slots[day][slots[day] != NO_BOND]
        assert len(np.unique(held)) == len(held) > 200
        assert (static["maturity"][held] > days[day]).all()
        assert (static["dated"][held] <= days[day]).all()
    for bond in np.unique(slots[slots != NO_BOND]).tolist():
        when, where = np.nonzero(slots == bond)
        assert len(set(where.tolist())) == 1
        assert (np.diff(when) == 1).all()


def test_bonds_without_errors_yield_what_the_par_curve_says():
    tape = synthetic_rates(replace(YEAR, mispricing_bp=0.0, special=0.0), seed=7)
    panels, day = tape.panels, 100
    bonds, yields = yields_of(panels, day)
    term = bonds["term"].astype(float)
    newest = [np.flatnonzero(term == years)[np.argmax(bonds["dated"][term == years])] for years in (2, 5, 10, 30)]
    told = np.interp(term[newest], panels["axis_par_tenor"], panels["par_yield"][day])
    assert yields[newest] == pytest.approx(told, abs=4e-4)  # an issue is up to half a year older than its term
    assert np.abs(panels["axis_auction"]["par_yield"] - 0.035).max() < 0.03


def test_the_par_curve_fit_finds_the_yield_errors_that_were_put_in(built_in):
    panels, day = built_in.panels, 100
    held = panels["bond"][day] != NO_BOND
    static = panels["axis_bond"][panels["bond"][day][held]]
    dated, none = static["dated"].astype("datetime64[D]"), np.full(len(static), "NaT", "datetime64[D]")
    universe = BondUniverse(
        isin=static["isin"].astype(str),
        kind=static["kind"].astype(str),
        issue=dated,
        maturity=static["maturity"].astype("datetime64[D]"),
        coupon=static["coupon"].copy(),
        clean_price=100 * decimals("bond_price", panels["bond_price"][day][held]),
        term=static["term"].astype(float),
        repo_6m=decimals("bond_repo", panels["bond_repo"][day][held]),
        dated=dated,
        first_coupon=none,
    )
    settle = add_business_days(panels["date"][day].astype("datetime64[D]"), 1, "US government bond")
    fit = fit_day(universe, np.datetime64(str(settle), "D"), GcRepo(*panels["gc_repo"][day])).enhanced
    assert fit.rmse == pytest.approx(WORLD.mispricing_bp * 1e-4, rel=0.15)


def test_a_new_issue_is_auctioned_at_par_rounded_down_to_an_eighth(fair):
    static, auctions = fair.panels["axis_bond"], fair.panels["axis_auction"]
    new = auctions[~auctions["is_reopening"]]
    short = new["par_yield"] - static["coupon"][new["bond"]]
    assert (short >= 0).all()
    assert (short < 0.00125).all()
    assert (static["coupon"] == np.rint(static["coupon"] * 800) / 800).all()
    again = auctions[auctions["is_reopening"]]
    assert set(static["term"][again["bond"]].tolist()) == {10.0, 30.0}


def test_yield_errors_revert_where_that_is_built_in_and_stay_where_it_is_not(fair, built_in):
    for tape, expected in ((fair, 1.0), (built_in, 0.5 ** (200 / 5))):
        panels = tape.panels
        (bonds, early), (later, late) = yields_of(panels, 0), yields_of(panels, 140)
        both = np.isin(bonds["isin"], later["isin"]) & (bonds["term"] == 5.0)
        after = np.isin(later["isin"], bonds["isin"]) & (later["term"] == 5.0)
        rich = residual(bonds["maturity"][both], early[both])
        dear = residual(later["maturity"][after], late[after])
        keep = len(rich) - len(dear)
        assert np.corrcoef(rich[keep:], dear)[0, 1] == pytest.approx(expected, abs=0.35)


def test_an_error_that_lasts_is_made_up_for_by_repo(fair):
    panels = fair.panels
    held = panels["bond"][100] != NO_BOND
    (bonds, yields), static = yields_of(panels, 100), panels["axis_bond"][panels["bond"][100][held]]
    repo = decimals("bond_repo", panels["bond_repo"][100])[held] - panels["gc_repo"][100, 3]
    repo = repo[np.argsort(static["dated"], kind="stable")]
    old = (bonds["term"] == 5.0) & (np.abs(repo) < 0.001)  # no newest issue
    assert np.corrcoef(residual(bonds["maturity"][old], yields[old]), repo[old])[0, 1] > 0.9
    assert repo[old].std() == pytest.approx(2e-4, rel=0.3)


def test_what_is_special_is_dearer_and_costs_less_to_borrow(built_in):
    panels = built_in.panels
    repo = decimals("bond_repo", panels["bond_repo"][50])
    told = np.flatnonzero(~np.isnan(repo))
    assert len(told) == 6  # the newest of each term
    assert (repo[told] < panels["gc_repo"][50, 3]).all()
    plain = synthetic_rates(replace(SWITCHED_ON, special=0.0), seed=7).panels
    dearer = decimals("bond_price", panels["bond_price"][50]) - decimals("bond_price", plain["bond_price"][50])
    saved = 0.5 * (panels["gc_repo"][50, 3] - repo[told])  # what it is special by, over half a year
    assert dearer[told] == pytest.approx(saved, rel=0.1)
    assert np.nansum(np.abs(np.delete(dearer, told))) == 0.0
    static = panels["axis_bond"][panels["bond"][50][told]]
    assert sorted(static["term"].tolist()) == [2.0, 3.0, 5.0, 7.0, 10.0, 30.0]


# Refused


REFUSED = [
    ({"date": "2006-01-02"}, r"no business day of the US government bond calendar; the next one is 2006-01-03"),
    ({"date": "soon"}, "date is 'soon', but must be a day"),
    ({"close": "25:00"}, "close is '25:00', but must be a time like '15:00'"),
    ({"premium": -0.1}, "premium is -0.1, but must be >= 0; 0 turns it off"),
    ({"jump_share": 1.0}, "jump_share is 1.0, but must be < 1"),
    ({"fast_share": 0.9}, "must leave 0.05 of the variance"),
    ({"fast_shocks": 0.0}, "fast_shocks is 0.0, but must be > 0"),
    ({"vol_expiries": (91, 30)}, r"vol_expiries is \(91, 30\), but must be numbers > 0 that ascend"),
    ({"vol_tenors": (0.3,)}, "must be whole half-years"),
    ({"swap_tenors": (0.3,)}, "must be whole months"),
    ({"years": 0}, "years is 0, but must be from 1 to 50"),
]


@pytest.mark.parametrize(("changes", "says"), REFUSED)
def test_parameters_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        synthetic_rates(replace(RatesParams(), **changes), seed=1)


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"premum.*fields are premium, jump_share"):
        params_from({"premum": 0.1})
    with pytest.raises(ConfigError, match="seed is -1"):
        synthetic_rates(seed=-1)


# Nothing earns in the fair world


@pytest.mark.slow
def test_a_straddle_sold_daily_earns_nothing_in_the_fair_world_and_rolling_down_does_not_either():
    """1M10Y at the money, unhedged, held to expiry, in bp of the swap's annuity; 200 seeds of 10 years."""
    earned = np.array([np.mean(sold_straddles(replace(BARE, years=10), seed), axis=1) for seed in range(200)]) * 1e4
    mean, error = earned.mean(axis=0), earned.std(axis=0, ddof=1) / np.sqrt(len(earned))
    straddle, swap = zip(mean, error, strict=True)
    assert abs(straddle[0]) < 3 * straddle[1]
    assert abs(swap[0]) < 3 * swap[1]
    assert straddle[1] < 0.1  # of a premium of 19: the test would see one of 2 %


@pytest.mark.slow
def test_with_a_premium_the_same_sales_earn_it():
    dear = replace(BARE, years=10, premium=0.1)
    earned = np.array([np.mean(sold_straddles(dear, seed)[0]) for seed in range(60)]) * 1e4
    assert earned.mean() > 5 * earned.std(ddof=1) / np.sqrt(len(earned))


def sold_straddles(params: RatesParams, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Profit of each sale, and of buying the forward swap instead: in rate, of the annuity at the sale, at expiry."""
    world = make_world(params, seed)
    days = world.first + world.closes
    expiry = adjust(add_months(days, 1), "New York", "modified_following")
    ends = (expiry - world.first).astype(np.int64)
    kept = ends < len(world.path.state)
    sold, ends, expiry = world.closes[kept], ends[kept], expiry[kept]
    rate, annuity, to_expiry = forward_swaps(world, sold, expiry)
    settled, worth, _ = forward_swaps(world, ends, expiry)
    nodes = Nodes(np.array([30]), np.array([10.0]), np.array([0.0]))
    asked = Asked(params.premium, np.zeros((len(sold), 1)), 0.0)
    vol = market_vols(world.motion, world.path, world.path.variance[sold], sold, nodes, asked)[:, 0, 0, 0]
    premium = 2.0 * vol * np.sqrt((ends - sold) * STEP / (2.0 * np.pi))
    scale = worth * to_expiry / annuity
    return premium - scale * np.abs(settled - rate), scale * (settled - rate)


def forward_swaps(world: World, at: np.ndarray, expiry: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rate and annuity of the 10-year swaps that ``expiry`` exercises into, and D to expiry, on the model's curve."""
    legs = spot_swaps(expiry, 120)
    at = np.atleast_1d(at)

    def value(dates: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        out = np.empty(len(dates))
        until = (dates - world.first).astype(np.int64)
        fill_discounts(world.motion, world.path, SWAP, at, offsets, until, out)
        return out

    each = np.arange(len(at) + 1)
    annuity = np.add.reduceat(legs.accrual * value(legs.pay, legs.offsets), legs.offsets[:-1])
    rate = (value(legs.start, each) - value(legs.end, each)) / annuity
    return rate, annuity, value(np.atleast_1d(expiry), each)


def world_day(world: World, day: np.datetime64) -> np.ndarray:
    return np.array([(day - world.first).astype(np.int64)])


def yields_of(panels: dict, day: int) -> tuple[np.ndarray, np.ndarray]:
    """The bonds of a close and their street yields."""
    slots = panels["bond"][day]
    static = panels["axis_bond"][slots[slots != NO_BOND]]
    settle = add_business_days(panels["date"][day].astype("datetime64[D]"), 1, "US government bond")
    bonds = Bonds(
        static["maturity"].astype("datetime64[D]"),
        static["coupon"],
        frequency=2,
        dated=static["dated"].astype("datetime64[D]"),
    )
    clean = 100 * decimals("bond_price", panels["bond_price"][day][slots != NO_BOND])
    order = np.argsort(static["dated"], kind="stable")
    return static[order], street_yield(bonds, settle, dirty=clean + accrued(bonds, settle))[order]


def residual(maturity: np.ndarray, yields: np.ndarray) -> np.ndarray:
    """What a cubic in maturity leaves of yields."""
    years = (maturity - maturity[0]) / 365.25
    return yields - np.polyval(np.polyfit(years, yields, 4), years)
