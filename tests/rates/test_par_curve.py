"""The par curve: the fit against fixed values, other solvers and closed forms; what is read off it; what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows, measure, street_yield
from engine.rates.gc_repo import TENORS, GcRepo
from engine.rates.par_basket import BondUniverse
from engine.rates.par_curve import ParCurve
from engine.rates.par_day import EURO, TREASURY, DayFit, Issuer, fit_day
from engine.rates.par_fit import ParDesign, ParFit, fit_par_curve
from engine.rates.par_report import flow_value
from engine.rates.synthetic_treasuries import Svensson, treasury_bonds, treasury_day

SETTLE = "2018-07-17"
DAY = np.datetime64(SETTLE)
BONDS = treasury_bonds("1995-01", "2018-07", seed=1)
YEARS = np.linspace(1.0, 29.0, 300)
CASE0_REPO = GcRepo(0.0200117884738829, 0.0203534454601053, 0.0210282321537552, 0.0219658544126022)

seeds = st.integers(0, 2**32 - 1)


def fitted(seed: int = 2, **market: Any) -> DayFit:
    """A day of the synthetic market, fitted; without premiums it is a curve and noise."""
    return fit_day(*_priced(seed, **market), TREASURY)


def _priced(seed: int, **market: Any) -> tuple[BondUniverse, np.datetime64, GcRepo]:
    universe, repo = treasury_day(BONDS, SETTLE, seed=seed, **{"premium_bp": 0.0, **market})
    return universe, DAY, repo


def design_of(day: DayFit, keep: np.ndarray | None = None, **options) -> ParDesign:
    """The design of a day's bonds, or of some of them."""
    flows = cash_flows(day.priced.bonds if keep is None else day.priced.bonds[keep], day.settle)
    return ParDesign.of(flows.offsets, flows.times, flows.amounts, **options)


def refitted(day: DayFit, keep: np.ndarray, objective: str = "yield", **options) -> ParFit:
    design = design_of(day, keep, **options)
    price, duration = day.priced.dirty[keep], day.priced.duration[keep]
    return fit_par_curve(design, price, duration, day.enhanced.curve.repo, objective=objective)  # type: ignore[arg-type]


# fixed values and other solvers


@pytest.fixture(scope="module")
def case0(recorded_data: Path) -> list[dict[str, str]]:
    file = recorded_data.parent / "spec" / "treasury_case0.csv"
    if not file.is_file():
        pytest.skip(f"no {file}: the fixed values of one synthetic universe")
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_the_fixed_universe_gives_the_fixed_discount_factors_knots_and_condition(case0: list[dict[str, str]]) -> None:
    column = {name: np.array([row[name] for row in case0]) for name in case0[0]}
    bonds = Bonds(column["maturity"], column["coupon"].astype(float) / 100, end_of_month=column["eom"] == "1")
    dirty = column["dirty_price"].astype(float)
    yields = street_yield(bonds, DAY, dirty=dirty)
    duration = measure(bonds, DAY, yields).duration
    assert np.allclose(accrued(bonds, DAY), column["accrued"].astype(float), rtol=0, atol=1e-10)
    assert np.allclose(yields, column["ytm_sa"].astype(float), rtol=0, atol=2e-12)
    assert np.allclose(duration, column["mod_dur"].astype(float), rtol=0, atol=1e-11)

    flows = cash_flows(bonds, DAY)
    design = ParDesign.of(flows.offsets, flows.times, flows.amounts)
    fit = fit_par_curve(design, dirty, duration, CASE0_REPO, objective="yield")
    expected = [0.9891363870637748, 0.976964722067, 0.742466076521]
    assert np.allclose(fit.curve.discount_factor([0.5, 1.0, 10.0]), expected, rtol=0, atol=1e-9)
    knots = [1.64427496, 2.50591571, 3.58384668, 4.79749682, 6.69287181, 20.43922949]
    assert np.allclose(fit.curve.knots, knots, rtol=0, atol=1e-8)
    assert 0.85e-4 < fit.rmse < 1.12e-4
    assert 45 < np.linalg.cond(design.matrix[:, 1:] * fit.weighed.weights[:, None]) < 55


@pytest.mark.parametrize("objective", ["yield", "price"])
def test_the_fit_is_that_of_the_papers_powers_by_singular_values(objective: str) -> None:
    day = fitted()
    fit = day.enhanced if objective == "yield" else day.legacy
    flows, curve = day.priced.flows, fit.curve
    late = flows.times >= 0.5
    t = flows.times[late]
    columns = [((t - 0.5) / 10) ** i for i in (1, 2, 3)] + [(np.maximum(t - k, 0) / 10) ** 3 for k in curve.knots]
    owner = np.repeat(np.arange(day.rows.size), np.diff(flows.offsets))[late]
    matrix = np.stack([np.bincount(owner, flows.amounts[late] * c) for c in columns], axis=1)
    x0 = float(curve.discount_factor(0.5))
    fixed = design_of(day).short_value(curve.repo) + x0 * np.bincount(owner, flows.amounts[late])
    weights = fit.weighed.weights
    x = np.linalg.lstsq(matrix * weights[:, None], (day.priced.dirty - fixed) * weights, rcond=1e-15)[0]
    powers = x0 + sum(x[i] * ((YEARS - 0.5) / 10) ** (i + 1) for i in range(3))
    powers += sum(x[i + 3] * (np.maximum(YEARS - k, 0) / 10) ** 3 for i, k in enumerate(curve.knots))
    assert np.allclose(curve.discount_factor(YEARS), powers, rtol=0, atol=1e-9)
    assert np.allclose(curve.powers, x, rtol=1e-5, atol=1e-6)


@given(bends=st.lists(st.floats(-0.02, 0.02), min_size=9, max_size=9))
@settings(max_examples=25)
def test_prices_made_inside_the_spline_space_give_the_spline_back(bends: list[float]) -> None:
    day = fitted()
    curve = day.enhanced.curve
    true = ParCurve(curve.repo, curve.tau, curve.coefficients + np.concatenate([[0.0], bends]), curve.last)
    price = flow_value(true, day.priced.flows)
    for objective in ("yield", "price"):
        fit = fit_par_curve(design_of(day), price, day.priced.duration, curve.repo, objective=objective)  # type: ignore[arg-type]
        assert np.allclose(fit.curve.discount_factor(YEARS), true.discount_factor(YEARS), rtol=0, atol=1e-11)
        assert np.abs(fit.price_error).max() < 1e-9


def test_a_smooth_curve_without_noise_is_met_within_0_15_bp() -> None:
    found = fitted(noise_bp=0.0).enhanced.curve.zero_rate(YEARS, per_year=0)
    assert np.abs(found - Svensson().zero_rate(YEARS)).max() < 0.15e-4


# Zero yields of 1 to 30 years, continuous, percent: SVENY01 to SVENY30 of the Federal Reserve's published curve
# (feds200628), which is of Svensson's form (Gürkaynak, Sack and Wright 2007).
GSW = {
    "2026-01-30": "3.5368 3.5038 3.5712 3.6749 3.7903 3.907 4.0204 4.1284 4.23 4.325 4.4131 4.4947 4.5698 4.6387 "
    "4.7017 4.7591 4.8113 4.8584 4.9008 4.9388 4.9726 5.0025 5.0287 5.0515 5.0711 5.0876 5.1014 5.1126 5.1213 5.1277",
    "2026-03-06": "3.5756 3.554 3.5758 3.6294 3.7053 3.7961 3.8958 4.0 4.1049 4.2079 4.3069 4.4005 4.4874 4.5672 "
    "4.6392 4.7034 4.7596 4.8079 4.8486 4.882 4.9082 4.9278 4.941 4.9482 4.9499 4.9464 4.9382 4.9256 4.9089 4.8885",
}


def svensson_through(times: np.ndarray, zero: np.ndarray) -> Svensson:
    """The curve of Svensson's form nearest to zero rates."""
    start = Svensson(b0=zero[-1], b1=zero[0] - zero[-1])
    found = least_squares(lambda x: Svensson(*x).zero_rate(times) - zero, start, x_scale=np.abs(start), xtol=1e-12)
    return Svensson(*found.x)


# the second bends more between 9 and 20 years, where there is no knot: 0.78 bp
@pytest.mark.parametrize(("date", "bound_bp"), [("2026-01-30", 0.5), ("2026-03-06", 1.0)])
def test_a_published_day_of_the_federal_reserves_curve_is_met(date: str, bound_bp: float) -> None:
    years, published = np.arange(1.0, 31.0), np.array(GSW[date].split(), float) / 100
    curve = svensson_through(years, published)
    assert np.abs(curve.zero_rate(years) - published).max() < 0.01e-4  # it is of that form
    found = fitted(noise_bp=0.0, curve=curve).enhanced.curve.zero_rate(YEARS, per_year=0)
    assert np.abs(found - curve.zero_rate(YEARS)).max() < bound_bp / 1e4


# the last bends where knots at equal counts are far apart: no knot between 9 and 20 years
@pytest.mark.parametrize(("month", "bound_bp"), [(199606, 0.5), (200607, 0.5), (201807, 0.5), (201201, 1.0)])
def test_a_recorded_day_smoothed_by_svenssons_form_is_met_within_a_basis_point(
    recorded_data: Path, month: int, bound_bp: float
) -> None:
    pandas = pytest.importorskip("pandas")
    file = recorded_data / "rates" / "curves" / "liu_wu_zero_yields_monthly.parquet"
    if not file.is_file():
        pytest.skip(f"no {file}")
    zero = pandas.read_parquet(file).set_index("yyyymm").loc[month].to_numpy() / 100
    times = np.arange(1, 361) / 12
    curve = svensson_through(times, zero)
    day = fitted(noise_bp=0.0, curve=curve)
    years = np.arange(1.0, 29.5)
    assert np.abs(day.enhanced.curve.zero_rate(years, per_year=0) - curve.zero_rate(years)).max() < bound_bp / 1e4


@pytest.mark.parametrize("seed", range(20))  # written down: one seed in a hundred is beyond these bounds by chance
def test_with_1_bp_of_noise_zero_rates_and_yield_errors_are_as_far_off_as_noise_allows(seed: int) -> None:
    day = fitted(seed)
    years = np.linspace(1.0, 29.4, 200)
    missed = day.enhanced.curve.zero_rate(years, per_year=0) - Svensson().zero_rate(years)
    assert np.sqrt(np.mean(missed**2)) < 0.7e-4
    assert 0.85e-4 < day.enhanced.rmse < 1.12e-4


# laws of the fit


@given(seed=seeds, noise_bp=st.floats(0.1, 30.0))
@settings(max_examples=25)
def test_each_objective_is_best_at_what_it_minimises(seed: int, noise_bp: float) -> None:
    day = fitted(seed, noise_bp=noise_bp)
    slack = 1 + 1e-12
    assert np.sum(day.enhanced.yield_error**2) <= slack * np.sum(day.legacy.yield_error**2)
    assert np.sum(day.legacy.price_error**2) <= slack * np.sum(day.enhanced.price_error**2)


@given(seed=seeds, row=st.integers(0, 230))
@settings(max_examples=25)
def test_the_error_of_a_left_out_bond_is_that_of_a_real_refit_without_it(seed: int, row: int) -> None:
    day = fitted(seed)
    others = np.arange(day.rows.size) != row
    without = refitted(day, others, knots=day.enhanced.curve.knots)
    model = flow_value(without.curve, cash_flows(day.priced.bonds[[row]], DAY))[0]
    error = (model - day.priced.dirty[row]) / (day.priced.dirty[row] * day.priced.duration[row])
    assert day.enhanced.left_out_yield_error[row] == pytest.approx(error, abs=1e-12)


def test_leverages_add_up_to_the_nine_numbers_of_the_spline() -> None:
    assert fitted().enhanced.weighed.leverage.sum() == pytest.approx(9, abs=1e-10)


@given(seed=seeds, row=st.integers(0, 230), move=st.floats(0.01, 3.0))
@settings(max_examples=25)
def test_a_bond_whose_price_rises_gets_dearer_and_refit_says_the_same_as_a_fit_of_those_weights(
    seed: int, row: int, move: float
) -> None:
    day = fitted(seed)
    price = day.priced.dirty.copy()
    price[row] += move
    moved = day.enhanced.refit(price)
    assert moved.yield_error[row] < day.enhanced.yield_error[row]
    again = design_of(day).weighed(day.enhanced.weighed.weights).fit(price, moved.curve.repo, moved.price_value)
    assert np.allclose(moved.curve.coefficients, again.curve.coefficients, rtol=0, atol=1e-13)


def test_a_refit_at_the_same_prices_is_the_fit_and_takes_new_repo_and_durations() -> None:
    fit = fitted().enhanced
    same = fit.refit(fit.dirty_price)
    assert np.array_equal(same.curve.coefficients, fit.curve.coefficients)
    higher = fit.refit(fit.dirty_price, GcRepo(0.03, 0.03, 0.03, 0.03))
    assert higher.curve.discount_factor(0.5) == pytest.approx(1 / 1.015, abs=1e-15)
    longer = fit.refit(fit.dirty_price, modified_duration=2 * fit.price_value / fit.dirty_price)
    assert np.allclose(longer.yield_error, fit.yield_error / 2, rtol=1e-12)


# what is read off the curve


@given(t=st.floats(0.02, 29.0))
def test_a_bond_with_the_par_yield_as_coupon_has_a_clean_price_of_100(t: float) -> None:
    curve = CURVE
    coupon = curve.par_yield(t)
    due = t - np.arange(0, int(2 * t) + 2) / 2
    due = due[due > 1e-9]
    dirty = 100 * (coupon / 2 * curve.discount_factor(due).sum() + curve.discount_factor(t))
    interest = 100 * coupon / 2 * (1 - 2 * due.min())
    assert dirty - interest == pytest.approx(100, abs=1e-9)


@given(start=st.floats(0.0, 28.0), run=st.floats(0.05, 1.0), per_year=st.sampled_from([0, 1, 2]))
def test_zero_and_forward_rates_tell_the_same_discount_factors(start: float, run: float, per_year: int) -> None:
    curve, end = CURVE, start + run

    def grown(rate: Any, years: float) -> float:
        return np.exp(rate * years) if per_year == 0 else (1 + rate / per_year) ** (per_year * years)

    forward = curve.forward_rate(start, end, per_year=per_year)
    assert curve.discount_factor(end) * grown(forward, run) == pytest.approx(curve.discount_factor(start), rel=1e-12)
    zero = curve.zero_rate(end, per_year=per_year)
    assert grown(zero, end) * curve.discount_factor(end) == pytest.approx(1, rel=1e-12)


def test_the_instantaneous_forward_is_the_slope_of_the_discount_function() -> None:
    step = 1e-5
    d = CURVE.discount_factor
    slope = -(d(YEARS + step) - d(YEARS - step)) / (2 * step) / d(YEARS)
    assert np.allclose(CURVE.instantaneous_forward(YEARS), slope, rtol=0, atol=1e-8)


def test_the_short_end_is_repo_and_joins_the_spline_at_half_a_year() -> None:
    curve, repo = CURVE, CURVE.repo
    assert np.allclose(curve.discount_factor(TENORS), 1 / (1 + np.array(repo) * TENORS), rtol=0, atol=1e-15)
    middle = (repo.three_month + repo.six_month) / 2
    assert curve.discount_factor(0.375) == pytest.approx(1 / (1 + middle * 0.375), abs=1e-15)
    assert curve.discount_factor(0.5 - 1e-12) == pytest.approx(curve.discount_factor(0.5), abs=1e-13)
    assert curve.discount_factor(0.0) == 1.0
    assert curve.one_day_zero() == pytest.approx(repo.overnight, abs=1e-12)
    step = 1e-6
    left = -np.log(curve.discount_factor(0.5) / curve.discount_factor(0.5 - step)) / step
    right = -np.log(curve.discount_factor(0.5 + step) / curve.discount_factor(0.5)) / step
    assert curve.short_end_gap() == pytest.approx(right - left, abs=1e-7)


def test_beyond_the_last_maturity_the_curve_refuses_leaves_a_gap_or_goes_on() -> None:
    late = CURVE.last + 0.25
    with pytest.raises(ConfigError, match=r"beyond the last maturity of the fit, 29\.\d+; the cubic would only go on"):
        CURVE.discount_factor([1.0, late])
    for read in (CURVE.discount_factor, CURVE.zero_rate, CURVE.par_yield, CURVE.instantaneous_forward):
        gap = read([1.0, late], beyond="nan")
        assert np.isfinite(gap[0])
        assert np.isnan(gap[1])
        assert np.isfinite(read([1.0, late], beyond="extrapolate")).all()
    assert CURVE.is_beyond([1.0, late]).tolist() == [False, True]
    t, knots, x = late, CURVE.knots, CURVE.powers
    cubic = CURVE.discount_factor(0.5) + sum(x[i] * ((t - 0.5) / 10) ** (i + 1) for i in range(3))
    cubic += sum(x[i + 3] * ((t - k) / 10) ** 3 for i, k in enumerate(knots))
    assert CURVE.discount_factor(t, beyond="extrapolate") == pytest.approx(cubic, abs=1e-12)


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda: CURVE.discount_factor(-1.0), "times is -1.0, but must be >= 0 years"),
        (lambda: CURVE.zero_rate(0.0), "times is 0.0, but must be > 0"),
        (lambda: CURVE.par_yield([1.0, 0.0]), r"times\[1\] is 0.0, but must be > 0"),
        (lambda: CURVE.forward_rate(2.0, 2.0), "end is 2.0, but must be after start"),
        (lambda: CURVE.instantaneous_forward(0.25), "times is 0.25, but must be >= 0.5"),
    ],
)
def test_a_time_that_cannot_be_is_refused(read, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read()


# annual coupons


def test_euro_governments_with_annual_coupons_fit_to_a_few_basis_points(recorded_data: Path) -> None:
    pandas = pytest.importorskip("pandas")
    file = recorded_data / "rates" / "bonds" / "eur_govbonds_snapshot.parquet"
    if not file.is_file():
        pytest.skip(f"no {file}")
    repo = GcRepo(0.0400, 0.0418, 0.0437, 0.0438)  # about what euro money cost that day
    for country, table in pandas.read_parquet(file).groupby("country"):
        table = table[table["isin"] != "DE0001135325"]  # in a long first coupon that the snapshot does not describe
        issue, maturity = (table[name].to_numpy().astype("datetime64[D]") for name in ("issue", "maturity"))
        coupon, price = (table[name].to_numpy(float) for name in ("coupon", "clean_price"))
        nothing, never = np.full(price.size, np.nan), np.full(price.size, np.datetime64("NaT"), "datetime64[D]")
        isin, kind = table["isin"].to_numpy(str), np.full(price.size, "BOND")
        universe = BondUniverse(isin, kind, issue, maturity, coupon, price, nothing, nothing, never, never)
        knots = 6 if country != "AUSTRIA" else 2
        issuer = Issuer(1, EURO.last_period, knots, EURO.rules)
        day = fit_day(universe, np.datetime64("2008-02-01"), repo, issuer)
        assert day.enhanced.rmse < 2.5e-4, country
        recorded = table["accrued"].to_numpy(float)[day.rows]
        assert np.median(np.abs(day.priced.accrued - recorded)) < 0.05


# what is refused


def few(count: int) -> np.ndarray:
    return np.linspace(0, fitted().rows.size - 1, count).astype(int)


def test_fewer_bonds_than_numbers_are_refused_and_fewer_knots_help() -> None:
    day = fitted()
    with pytest.raises(ConfigError, match=r"8 bonds cannot say 9 numbers .* ask for at most 5 knots"):
        refitted(day, few(8))
    assert refitted(day, few(8), knots=4).curve.knots.size == 4


def test_a_basket_that_leaves_the_spline_undecided_is_refused_with_the_gap() -> None:
    day = fitted()
    maturity = day.priced.bonds.maturity
    shared = [date for date in np.unique(maturity) if np.sum(maturity == date) >= 3]
    three = np.flatnonzero(np.isin(maturity, [shared[0], shared[4], shared[-1]]))
    last = (shared[-1] - DAY).astype(int) / 365.25
    sentence = r"leaves the spline undecided .* 3 maturities for 9 numbers, 0 bonds between .* ask for fewer knots"
    with pytest.raises(ConfigError, match=sentence):
        refitted(day, three, knots=np.linspace(0.8, last - 0.2, 6))


def test_knots_that_coincide_or_lie_outside_are_refused() -> None:
    day = fitted()
    same = np.full(12, 40)
    with pytest.raises(ConfigError, match="do not rise; ask for fewer knots"):
        refitted(day, same)
    with pytest.raises(ConfigError, match=r"knots 0\.5 and 0.4 years"):
        refitted(day, few(50), knots=[0.4, 2.0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dirty_price": np.nan}, r"dirty_price\[5\] is nan, but must be > 0 and finite; drop the bond"),
        ({"dirty_price": -3.0}, r"dirty_price\[5\] is -3.0, but must be > 0"),
        ({"modified_duration": 0.0}, r"modified_duration\[5\] is 0.0, but must be > 0"),
    ],
)
def test_a_price_or_duration_that_cannot_be_is_refused_by_row(change: dict[str, float], sentence: str) -> None:
    day = fitted()
    given = {"dirty_price": day.priced.dirty.copy(), "modified_duration": day.priced.duration.copy()}
    for name, value in change.items():
        given[name][5] = value
    with pytest.raises(ConfigError, match=sentence):
        fit_par_curve(design_of(day), **given, repo=day.enhanced.curve.repo, objective="yield")
    with pytest.raises(ConfigError, match=r"dirty_price has shape \(3,\) for \d+ bonds"):
        day.enhanced.refit(np.ones(3))


def test_repo_in_percent_and_a_price_of_the_wrong_scale_are_refused() -> None:
    universe, day, repo = _priced(1)
    with pytest.raises(ConfigError, match=r"GC repo overnight is 2\.0.*2\.1 % is 0.021"):
        fit_day(universe, day, repo._replace(overnight=2.0))
    price = universe.clean_price.copy()
    price[3:5] = 1.02, np.nan
    with pytest.raises(ConfigError, match=r"clean_price\[4\] is nan"):
        fit_day(universe._replace(clean_price=price, maturity=universe.maturity + 400), day, repo)
    row = int(fit_day(universe, day, repo).rows[7])
    price = universe.clean_price.copy()
    price[row] = 1.02
    with pytest.raises(ConfigError, match=rf"bond {universe.isin[row]}: the clean price 1.02 .* gives a yield of"):
        fit_day(universe._replace(clean_price=price), day, repo)


def test_flows_before_settlement_and_baskets_without_a_bond_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"times\[0\] is -0.1, but must be > 0 years"):
        ParDesign.of(np.array([0, 1]), np.array([-0.1]), np.array([100.0]))
    universe, day, repo = _priced(1)
    bills = universe.take(np.flatnonzero(universe.kind == "BILL"))
    with pytest.raises(ConfigError, match=r"no bond is left for the fit \(structure took out"):
        fit_day(bills, day, repo)


CURVE = fitted().enhanced.curve
