"""Cheap and dear, carry and slide of each bond; the history of the fit and of special issues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, street_yield
from engine.rates.par_day import DayFit, Issuer, fit_day
from engine.rates.par_history import PAR_TERMS, Quote, SpecialBook, columns, fit_history
from engine.rates.par_report import relative_value
from engine.rates.synthetic_treasuries import Svensson, treasury_bonds, treasury_day

SETTLE = "2018-07-17"
DAY = np.datetime64(SETTLE)
BONDS = treasury_bonds("1995-01", "2018-07", seed=1)


def fitted(**market: Any) -> DayFit:
    universe, repo = treasury_day(BONDS, SETTLE, **{"seed": 2, **market})
    return fit_day(universe, DAY, repo)


def test_yield_errors_are_those_of_the_fit_to_first_order_and_exact_outside_it() -> None:
    day = fitted()
    report = relative_value(day)
    inside = report.reason == ""
    assert np.array_equal(report.rows[inside], day.rows)
    assert np.allclose(report.yield_error_bp[inside], day.enhanced.yield_error * 1e4, rtol=0, atol=0.02)
    assert np.allclose(report.left_out_bp[inside], day.enhanced.left_out_yield_error * 1e4, rtol=0, atol=0.02)
    assert np.array_equal(report.left_out_bp[~inside], report.yield_error_bp[~inside])


def test_the_newest_issues_are_as_dear_as_they_were_made() -> None:
    report = relative_value(fitted(noise_bp=0.0, premium_bp=6.0))
    on_the_run = np.isin(report.reason, [f"on-the-run {term}-year" for term in (5, 7, 10)])
    assert np.allclose(report.yield_error_bp[on_the_run], -6.0, rtol=0, atol=0.2)
    assert np.sum(on_the_run) == 3


@given(level=st.floats(0.002, 0.09), days=st.integers(1, 183))
@settings(max_examples=15)
def test_on_a_flat_curve_that_finances_itself_nothing_carries_and_nothing_slides(level: float, days: int) -> None:
    flat = Svensson(b0=level, b1=0.0, b2=0.0, b3=0.0)
    day = fitted(curve=flat, noise_bp=0.0, premium_bp=0.0)
    report = relative_value(day, horizon_days=days)
    plain = (report.special_bp < 1e-6) & (report.maturity > DAY + days + 365)
    # repo is simple over the horizon: 0.12 at 9 % for half a year
    assert np.abs(report.carry_and_slide_bp[plain]).max() < 0.15
    # one by one they may be off by what half years of 181 and of 184 days do to a street yield: 0.29 bp a percent
    assert np.abs(report.slide_bp[plain]).max() < 30 * level


def test_carry_is_the_forward_yield_less_the_yield_worked_out_for_one_bond() -> None:
    day = fitted()
    report = relative_value(day, horizon_days=91)
    i = int(np.flatnonzero((report.reason == "") & (report.maturity == np.datetime64("2024-02-15")))[0])
    bond = Bonds(report.maturity[[i]], report.coupon[[i]])
    now = street_yield(bond, DAY, clean=report.clean_price[[i]])
    horizon = DAY + 91
    price = report.clean_price[i] + 100 * report.coupon[i] / 2 * 152 / 181  # accrued from 15 February to 17 July
    repo = day.enhanced.curve.repo
    rate = repo.three_month + (91 / 365.25 - 0.25) / 0.25 * (repo.six_month - repo.three_month)
    if 91 / 365.25 < 0.25:
        rate = repo.one_month + (91 / 365.25 - 1 / 12) / (0.25 - 1 / 12) * (repo.three_month - repo.one_month)
    coupon_lent = 100 * report.coupon[i] / 2 * (1 + rate * 62 / 365.25)  # paid on 15 August
    forward = price * (1 + rate * 91 / 365.25) - coupon_lent
    later = street_yield(bond, horizon, dirty=[forward])
    assert report.carry_bp[i] == pytest.approx((later[0] - now[0]) * 1e4, abs=1e-6)


@given(special_bp=st.floats(1.0, 200.0), row=st.integers(0, 200))
@settings(max_examples=15)
def test_a_bond_that_is_special_in_repo_carries_better(special_bp: float, row: int) -> None:
    universe, repo = treasury_day(BONDS, SETTLE, seed=2)
    day = fit_day(universe, DAY, repo)
    report = relative_value(day)
    rate = universe.repo_6m.copy()
    rate[report.rows[row]] -= special_bp / 1e4
    cheaper = relative_value(fit_day(universe._replace(repo_6m=rate), DAY, repo))
    assert cheaper.carry_bp[row] > report.carry_bp[row]
    assert np.delete(cheaper.carry_bp, row) == pytest.approx(np.delete(report.carry_bp, row), abs=1e-12)


def test_repo_quoted_for_a_year_of_360_days_gives_the_same_report() -> None:
    universe, repo = treasury_day(BONDS, SETTLE, seed=2)
    plain = relative_value(fit_day(universe, DAY, repo))
    quoted = universe._replace(repo_6m=universe.repo_6m * 360 / 365.25)
    other = relative_value(fit_day(quoted, DAY, repo, Issuer(repo_basis=360.0)))
    assert np.allclose(other.carry_bp, plain.carry_bp, rtol=0, atol=1e-9)
    assert np.allclose(other.special_bp, plain.special_bp * 360 / 365.25, rtol=0, atol=1e-9)


def test_an_upward_curve_slides_down_and_carry_and_slide_add_up() -> None:
    report = relative_value(fitted(noise_bp=0.0, premium_bp=0.0), horizon_days=182)
    years = (report.maturity - DAY).astype(int) / 365.25
    assert report.slide_bp[(years > 1) & (years < 10)].min() > 0
    assert np.array_equal(report.carry_and_slide_bp, report.carry_bp + report.slide_bp)
    assert np.array_equal(report.is_beyond, report.reason == "on-the-run 30-year")


@pytest.mark.parametrize("days", [0, 184])
def test_a_horizon_that_repo_does_not_reach_is_refused(days: int) -> None:
    with pytest.raises(ConfigError, match=f"horizon_days is {days}, but must be from 1 to 183"):
        relative_value(fitted(), horizon_days=days)


def quotes(dates: list[str]) -> list[Quote]:
    found = []
    for k, date in enumerate(dates):
        universe, repo = treasury_day(BONDS, date, seed=k)
        found.append(Quote(np.datetime64(date), universe, repo))
    return found


def test_a_history_keeps_every_day_and_says_why_one_has_no_fit() -> None:
    days = quotes(["2018-07-17", "2018-07-18", "2018-07-19"])
    price = days[1].universe.clean_price.copy()
    price[:] = np.nan
    days[1] = days[1]._replace(universe=days[1].universe._replace(clean_price=price))
    rows = fit_history(days)
    assert [row.settle for row in rows] == [day.settle for day in days]
    assert "clean_price" in rows[1].refused
    assert np.isnan(rows[1].rmse_bp)
    assert 0.8 < rows[0].rmse_bp < 1.2
    assert rows[0].one_day_zero == pytest.approx(rows[0].overnight, abs=1e-12)
    table = columns(rows)
    assert all(len(column) == 3 for column in table.values())
    assert [name for name in table if name.startswith("par_")] == [f"par_{term:g}y" for term in PAR_TERMS]


def test_special_issues_are_followed_with_the_days_on_which_they_were_special() -> None:
    book = SpecialBook()
    days = np.arange("2018-07-01", "2018-07-07", dtype="datetime64[D]")
    ten_year = [30.0, 25.0, 10.0, np.nan, 40.0, 40.0]
    for day, value in zip(days, ten_year, strict=True):
        book.add(day, ["ten", "five"], np.array([value, 5.0]))
    (issue,) = book.issues()
    assert (issue.isin, issue.days, issue.special_days, issue.most_bp) == ("ten", 5, 4, 40.0)
    assert issue.mean_bp == pytest.approx(29.0)
    assert issue.spells == ((days[0], days[1]), (days[4], days[5]))
    with pytest.raises(ConfigError, match="2018-07-06 comes after 2018-07-06; give each day once, in order"):
        book.add(days[-1], ["ten"], np.array([1.0]))


def test_a_history_follows_the_issues_that_the_market_made_special() -> None:
    book = SpecialBook()
    fit_history(quotes(["2018-07-17", "2018-07-18"]), book=book)
    assert all(issue.special_days == 2 for issue in book.issues())
    assert len(book.issues()) == 11  # on-the-runs and olds of five sectors, and one old 10-year
