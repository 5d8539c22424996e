"""Which bonds enter the fit of the par curve, and why the others do not.

Filters, in the order in which a bond's first reason is looked for:

1. ``structure``     not a plain coupon bond: TIPS, FRN, STRIPS, bill, callable
2. ``sector``        an original term that the rules leave out
3. ``unissued``      issued after settlement
4. ``short``         less than a year to maturity
5. ``newest``        on-the-run, old or double-old of its original term
6. ``special``       6-month repo 25 bp or more below 6-month GC
7. ``unpriced``      no price; only where the rules say so, otherwise it is refused

Source: J.P. Morgan, "The new and improved Treasury par curve model", 16 July 2018, for 1 and 4 to 6. It takes the
current 30-year out and keeps the old and the double-old. It does not know the 20-year, sold again since 2020, which is
treated like the 30-year here unless the rules say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.refusals import refuse

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]
Flags = NDArray[np.bool_]

PLAIN = ("NOTE", "BOND")
KINDS = (*PLAIN, "BILL", "TIPS", "FRN", "STRIPS", "CALLABLE")
TERMS = np.array([2, 3, 5, 7, 10, 20, 30])  # years: sectors that the Treasury sells
RANKS = ("on-the-run", "old", "double-old")
LARGEST_COUPON = 0.25  # above, it was meant in percent
LEAST_PRICE = 10.0  # of the median; below, prices were meant per 1 of face
SLACK = 0.5  # years between maturity less issue and a term: long and short first coupons
DAYS_A_YEAR = 365.25


class BondUniverse(NamedTuple):
    """All bonds of a day, one row each; ``check_universe`` says what holds."""

    isin: NDArray[np.str_]
    kind: NDArray[np.str_]  # one of KINDS
    issue: Dates  # datetime64[D]: first issue, which reopenings share
    maturity: Dates
    coupon: Floats  # a year, decimal
    clean_price: Floats  # per 100 of face
    term: Floats  # original term in years; NaN: told from issue and maturity
    repo_6m: Floats  # simple rate, decimal, as quoted; NaN: not known, so not special
    dated: Dates  # the day interest starts; NaT: every coupon left is a whole one
    first_coupon: Dates  # where it is not the first date of the grid after ``dated``; otherwise NaT

    def take(self, rows: NDArray) -> BondUniverse:
        """Some of the rows."""
        return self._make(column[rows] for column in self)


@dataclass(frozen=True)
class BasketRules:
    """What is left out; the defaults are the paper's, and ours for the 20-year."""

    newest_out: Mapping[int, int] = field(
        default_factory=lambda: {2: 3, 3: 3, 5: 3, 7: 3, 10: 3, 20: 1, 30: 1}
    )  # original term: how many of the latest issues
    terms_out: tuple[int, ...] = ()  # (20,): no bond of that original term
    special_bp: float = 25.0  # at or beyond, below 6-month GC
    least_years: float = 1.0
    without_unpriced: bool = False  # leave out what has no price, instead of refusing it


EVERY_PLAIN_BOND = BasketRules(newest_out={})  # issuers without an on-the-run premium, like most of the euro's


class Basket(NamedTuple):
    """The verdict on each bond of a universe."""

    in_fit: Flags
    reason: NDArray[np.str_]  # why not, one phrase; "" where it is in
    rank: NDArray[np.int64]  # 0 on-the-run, 1 old, 2 double-old, … of its term; -1: none
    hits: dict[str, Flags]  # filter: the bonds it takes out by itself, whatever the others do

    def counts(self) -> dict[str, int]:
        """Filter: how many bonds it took out of what those before it had left."""
        left, found = np.ones(self.in_fit.size, bool), {}
        for name, hit in self.hits.items():
            found[name] = int(np.sum(hit & left))
            left &= ~hit
        return found


def select_basket(
    universe: BondUniverse, settle: np.datetime64, gc_six_month: float, rules: BasketRules | None = None
) -> Basket:
    """Apply the filters to a universe as of a settlement date.

    Parameters
    ----------
    gc_six_month : float
        6-month GC repo, in the terms of ``universe.repo_6m``.

    Raises
    ------
    ConfigError
        If a row breaks a rule of ``check_universe``, or has no price where the rules want one.
    """
    rules = rules or BasketRules()
    check_universe(universe, settle)
    plain = np.isin(universe.kind, PLAIN)
    term = original_term(universe, plain)
    rank = auction_rank(universe, settle, plain, term)
    years = (universe.maturity - settle).astype(np.int64) / DAYS_A_YEAR
    special = (gc_six_month - universe.repo_6m) * 1e4
    newest = np.array([rules.newest_out.get(int(t), 0) for t in term])
    hits = {
        "structure": ~plain,
        "sector": np.isin(term, rules.terms_out) & plain,
        "unissued": universe.issue > settle,
        "short": years < rules.least_years,
        "newest": (rank >= 0) & (rank < newest),
        "special": special >= rules.special_bp - 1e-9,  # 25 bp to the last digit of a float; NaN is not special
    }
    unpriced = ~np.isfinite(universe.clean_price)
    wanted = ~np.any(list(hits.values()), axis=0)
    if not rules.without_unpriced:
        cure = "drop the row, or leave out bonds without a price"
        _refuse(universe, "clean_price", unpriced & wanted, "be > 0 per 100 of face", cure)
    hits["unpriced"] = unpriced
    reason = _reasons(hits, universe, term, rank, years, special)
    return Basket(~np.any(list(hits.values()), axis=0), reason, rank, hits)


def check_universe(universe: BondUniverse, settle: np.datetime64) -> None:
    """Refuse rows that cannot be, each by one sentence with row and ISIN.

    ISINs are there once; kinds are known; dates are dates, and maturity is after settlement and issue; coupons are
    decimals from 0 to 0.25; prices are > 0 and per 100, or NaN.
    """
    size = universe.isin.size
    for name, column in universe._asdict().items():
        if np.shape(column) != (size,):
            raise ConfigError(f"{name} has shape {np.shape(column)} for {size} bonds; give one value a bond")
    if size == 0:
        raise ConfigError("the universe has no bond; give a row a bond")
    _refuse(universe, "isin", universe.isin == "", "be a name", "fill it in or drop the row")
    first = np.unique(universe.isin, return_index=True)[1]
    again = np.ones(size, bool)
    again[first] = False
    _refuse(universe, "isin", again, "be there once", "keep one row a bond; a reopening is not another bond")
    _refuse(universe, "kind", ~np.isin(universe.kind, KINDS), f"be one of {', '.join(KINDS)}", "rename it")
    for name in ("issue", "maturity"):
        _refuse(universe, name, np.isnat(getattr(universe, name)), "be a date", "write it as YYYY-MM-DD")
    late = universe.maturity <= settle
    _refuse(universe, "maturity", late, f"be after settlement, {settle}", "drop bonds that have matured")
    early = np.maximum(universe.issue, np.where(np.isnat(universe.dated), universe.issue, universe.dated))
    _refuse(universe, "maturity", universe.maturity <= early, "be after issue and dated", "look for swapped columns")
    wrong = ~((universe.coupon >= 0) & (universe.coupon <= LARGEST_COUPON))
    cure = "4.25 % a year is 0.0425"
    _refuse(universe, "coupon", wrong, f"be a decimal from 0 to {LARGEST_COUPON}", cure)
    _refuse(universe, "clean_price", universe.clean_price <= 0, "be > 0 per 100 of face", "drop the row")
    priced = universe.clean_price[np.isfinite(universe.clean_price)]
    if priced.size and np.median(priced) < LEAST_PRICE:
        raise ConfigError(
            f"clean_price has the median {np.median(priced):.4g}, but must be per 100 of face; multiply it by 100"
        )
    _refuse(universe, "repo_6m", np.abs(universe.repo_6m) > LARGEST_COUPON, "be a decimal", "2.1 % is 0.021")


def original_term(universe: BondUniverse, plain: Flags) -> NDArray[np.int64]:
    """Years between first issue and maturity, as the sector's round number; 0 where ``plain`` is false.

    A given term is kept. Otherwise it is the nearest of 2, 3, 5, 7, 10, 20 and 30 years where that is within half a
    year, and the nearest whole year where not: an old 15-year bond, or another issuer's.
    """
    years = (universe.maturity - universe.issue).astype(np.int64) / DAYS_A_YEAR
    near = TERMS[np.argmin(np.abs(years[:, None] - TERMS), axis=1)]
    told = np.where(np.abs(years - near) <= SLACK, near, np.rint(years))
    return np.where(plain, np.where(np.isnan(universe.term), told, np.nan_to_num(universe.term)), 0).astype(np.int64)


def auction_rank(
    universe: BondUniverse, settle: np.datetime64, plain: Flags, term: NDArray[np.int64]
) -> NDArray[np.int64]:
    """0 for the latest issue of its original term as of settlement, 1 for the one before, …; -1 where not issued.

    A reopening has the ISIN and the first issue date of its bond, and moves nothing. Two bonds of a term with one issue
    date are ordered by maturity, the longer one newer.
    """
    rank = np.full(universe.isin.size, -1)
    issued = plain & (universe.issue <= settle)
    order = np.lexsort((-universe.maturity.astype(np.int64), -universe.issue.astype(np.int64), term))
    order = order[issued[order]]
    starts = np.flatnonzero(np.diff(term[order], prepend=-1))
    rank[order] = np.arange(order.size) - np.repeat(starts, np.diff(starts, append=order.size))
    return rank


def _reasons(
    hits: dict[str, Flags],
    universe: BondUniverse,
    term: NDArray[np.int64],
    rank: NDArray[np.int64],
    years: Floats,
    special: Floats,
) -> NDArray[np.str_]:
    """The first filter that takes each bond out, in words."""
    words = {
        "structure": lambda i: universe.kind[i],
        "sector": lambda i: f"{term[i]}-year sector is left out",
        "unissued": lambda i: f"issued {universe.issue[i]}",
        "short": lambda i: f"{years[i]:.2f} years to maturity",
        "newest": lambda i: f"{RANKS[rank[i]] if rank[i] < len(RANKS) else f'number {rank[i]}'} {term[i]}-year",
        "special": lambda i: f"special, {special[i]:.1f} bp below GC",
        "unpriced": lambda i: "no price",
    }
    reason = np.full(universe.isin.size, "", "U40")
    for name in reversed(hits):
        for i in np.flatnonzero(hits[name]):
            reason[i] = words[name](i)
    return reason


def _refuse(universe: BondUniverse, name: str, bad: Flags, must: str, cure: str) -> None:
    if np.any(bad):
        row = int(np.argmax(bad))
        refuse(name, getattr(universe, name), bad, must, f"{cure} (bond {universe.isin[row]})")
