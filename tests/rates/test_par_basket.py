"""Which bonds enter the fit, one filter at a time, and why the others do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rates.par_basket import (
    EVERY_PLAIN_BOND,
    BasketRules,
    BondUniverse,
    auction_rank,
    original_term,
    select_basket,
)
from engine.rates.synthetic_treasuries import treasury_bonds

SETTLE = np.datetime64("2018-07-17")
GC = 0.022


def market(first: str = "1993-01", settle: np.datetime64 = SETTLE) -> BondUniverse:
    """What is outstanding, all at 100 and on general collateral."""
    bonds = treasury_bonds(first, str(settle)[:7], seed=1)
    bonds = bonds.take((bonds.maturity > settle) & (bonds.issue <= settle))
    return bonds._replace(clean_price=np.full(bonds.isin.size, 100.0), repo_6m=np.full(bonds.isin.size, GC))


def with_row(universe: BondUniverse, row: int, **values: object) -> BondUniverse:
    """A copy in which one row says something else."""
    changed = {}
    for name, value in values.items():
        column = getattr(universe, name)
        changed[name] = column.astype("U40") if column.dtype.kind == "U" else column.copy()
        changed[name][row] = value
    return universe._replace(**changed)


def test_the_three_newest_notes_of_each_sector_are_out_but_only_the_current_30_year() -> None:
    universe = market()
    basket = select_basket(universe, SETTLE, GC)
    newest = sorted(reason for reason in basket.reason[basket.hits["newest"]] if "year" in reason)
    expected = [f"{rank} {term}-year" for term in (2, 3, 5, 7, 10) for rank in ("on-the-run", "old", "double-old")]
    assert newest == sorted([*expected, "on-the-run 30-year"])
    thirty = original_term(universe, universe.kind == "BOND") == 30
    assert basket.in_fit[thirty & (basket.rank == 1)].all()
    assert basket.in_fit[thirty & (basket.rank == 2)].all()


def test_the_20_year_sector_is_a_rule() -> None:
    settle = np.datetime64("2023-07-17")
    universe = market("2003-01", settle)
    twenty = original_term(universe, universe.kind == "BOND") == 20
    assert twenty.sum() == 13

    def inside(rules: BasketRules) -> int:
        return int(select_basket(universe, settle, GC, rules).in_fit[twenty].sum())

    assert inside(BasketRules()) == 12
    assert inside(BasketRules(newest_out={20: 3})) == 10
    assert inside(BasketRules(terms_out=(20,))) == 0
    assert inside(EVERY_PLAIN_BOND) == 13


@pytest.mark.parametrize(("below_bp", "is_in"), [(24.9, True), (25.0, False), (60.0, False), (np.nan, True)])
def test_a_bond_25_bp_special_is_out_and_one_without_a_repo_rate_is_not(below_bp: float, is_in: bool) -> None:
    universe = market()
    row = int(np.flatnonzero(select_basket(universe, SETTLE, GC).in_fit)[7])
    basket = select_basket(with_row(universe, row, repo_6m=GC - below_bp / 1e4), SETTLE, GC)
    assert basket.in_fit[row] == is_in
    assert ("special" in basket.reason[row]) != is_in


def test_a_year_to_maturity_is_in_and_a_day_less_is_out() -> None:
    universe = market()
    row = int(np.flatnonzero(select_basket(universe, SETTLE, GC).in_fit)[0])
    for days, is_in in ((366, True), (365, False)):  # a year is 365.25 days
        basket = select_basket(with_row(universe, row, maturity=SETTLE + days), SETTLE, GC)
        assert basket.in_fit[row] == is_in


@pytest.mark.parametrize("kind", ["TIPS", "FRN", "STRIPS", "CALLABLE", "BILL"])
def test_only_plain_coupon_bonds_are_in(kind: str) -> None:
    universe = market()
    row = int(np.flatnonzero(select_basket(universe, SETTLE, GC).in_fit)[5])
    basket = select_basket(with_row(universe, row, kind=kind), SETTLE, GC)
    assert not basket.in_fit[row]
    assert basket.reason[row] == kind


def test_a_bond_of_another_kind_does_not_push_a_note_down_the_order_of_auctions() -> None:
    universe = market()
    newest_ten = int(np.flatnonzero(select_basket(universe, SETTLE, GC).reason == "on-the-run 10-year")[0])
    basket = select_basket(with_row(universe, newest_ten, kind="TIPS"), SETTLE, GC)
    assert np.sum(basket.reason == "on-the-run 10-year") == 1
    assert basket.counts()["newest"] == select_basket(universe, SETTLE, GC).counts()["newest"]


def test_a_bond_that_is_not_issued_yet_is_out_and_is_not_on_the_run() -> None:
    universe = market()
    newest_two = int(np.flatnonzero(select_basket(universe, SETTLE, GC).reason == "on-the-run 2-year")[0])
    basket = select_basket(with_row(universe, newest_two, issue=SETTLE + 1), SETTLE, GC)
    assert basket.reason[newest_two] == "issued 2018-07-18"
    assert basket.rank[newest_two] == -1
    assert np.sum(basket.reason == "on-the-run 2-year") == 1


def test_every_exclusion_has_a_reason_and_the_filters_add_up() -> None:
    universe = market()
    basket = select_basket(universe, SETTLE, GC)
    assert np.array_equal(basket.reason == "", basket.in_fit)
    assert basket.in_fit.sum() + sum(basket.counts().values()) == universe.isin.size
    assert basket.in_fit.sum() > 200


@given(seed=st.integers(0, 2**32 - 1))
def test_the_basket_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    universe = market("2010-01")
    order = np.random.Generator(np.random.Philox(seed)).permutation(universe.isin.size)
    plain, shuffled = (select_basket(one, SETTLE, GC) for one in (universe, universe.take(order)))
    assert np.array_equal(plain.reason[order], shuffled.reason)
    assert np.array_equal(plain.rank[order], shuffled.rank)


@given(issues=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([2, 10])), min_size=1, max_size=30, unique=True))
def test_ranks_count_the_later_issues_of_a_term(issues: list[tuple[int, int]]) -> None:
    month, term = (np.array(column) for column in zip(*issues, strict=True))
    size, nothing = term.size, np.full(term.size, np.nan)
    issue = np.datetime64("2018-01-01") + 30 * month
    name, kind = np.arange(size).astype(str), np.full(size, "NOTE")
    universe = BondUniverse(
        name, kind, issue, issue + 366 * term, nothing, nothing, nothing, nothing, dated=issue, first_coupon=issue
    )
    settle = np.datetime64("2018-06-01")
    rank = auction_rank(universe, settle, np.full(size, True), term)
    for i in range(size):
        later = (issue > issue[i]) & (issue <= settle) & (term == term[i])
        assert rank[i] == (later.sum() if issue[i] <= settle else -1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"isin": market().isin[2]}, r"isin\[3\] is \S+, but must be there once; keep one row a bond"),
        ({"maturity": SETTLE}, r"maturity\[3\] is 2018-07-17, but must be after settlement"),
        ({"coupon": 2.75}, r"coupon\[3\] is 2.75, but must be a decimal from 0 to 0.25; 4.25 % a year is 0.0425"),
        ({"kind": "PERPETUAL"}, r"kind\[3\] is PERPETUAL, but must be one of NOTE, BOND"),
        ({"issue": np.datetime64("NaT")}, r"issue\[3\] is NaT, but must be a date"),
        ({"clean_price": -1.0}, r"clean_price\[3\] is -1.0, but must be > 0"),
        ({"repo_6m": 2.1}, r"repo_6m\[3\] is 2.1, but must be a decimal"),
        ({"issue": np.datetime64("2060-01-01")}, r"maturity\[3\] is \S+, but must be after issue and dated"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_row_and_cure(change: dict[str, object], sentence: str) -> None:
    universe = market()
    with pytest.raises(ConfigError, match=sentence):
        select_basket(with_row(universe, 3, **change), SETTLE, GC)


def test_a_missing_price_is_refused_unless_the_rules_leave_it_out() -> None:
    universe = market()
    row = int(np.flatnonzero(select_basket(universe, SETTLE, GC).in_fit)[3])
    holed = with_row(universe, row, clean_price=np.nan)
    with pytest.raises(ConfigError, match=rf"clean_price\[{row}\] is nan, .*leave out bonds without a price"):
        select_basket(holed, SETTLE, GC)
    assert select_basket(holed, SETTLE, GC, BasketRules(without_unpriced=True)).reason[row] == "no price"
    bill = int(np.flatnonzero(universe.kind == "BILL")[0])
    assert select_basket(with_row(universe, bill, clean_price=np.nan), SETTLE, GC).reason[bill] == "BILL"


def test_prices_per_1_of_face_are_refused() -> None:
    universe = market()
    with pytest.raises(ConfigError, match="median 1, but must be per 100 of face; multiply it by 100"):
        select_basket(universe._replace(clean_price=universe.clean_price / 100), SETTLE, GC)


def test_columns_of_other_lengths_and_no_rows_are_refused() -> None:
    universe = market()
    with pytest.raises(ConfigError, match=r"coupon has shape \(1,\) for"):
        select_basket(universe._replace(coupon=np.ones(1)), SETTLE, GC)
    with pytest.raises(ConfigError, match="no bond"):
        select_basket(universe.take(np.zeros(0, int)), SETTLE, GC)
