"""The government bonds of the synthetic rates world: who is auctioned when and at which coupon, and what they cost.

An issue is dated the 15th or the last day of its month, pays twice a year and matures ``term`` years later; between new
issues it may be reopened. Its coupon is the par yield of its auction, rounded down to 1/8 %, at least 1/8 %. Bonds of
before the first day get theirs from a level of rates that wanders backwards from it.

A bond is worth its flows on the Treasury curve, each times ``exp(-e tau)``, e its yield error; the newest issue of a
term is dearer by what its special repo saves until the next one, and so earns nothing by being so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.panel_layout import AUCTION, BOND
from engine.rates.day_counts import Dates
from engine.rates.holidays import add_business_days, adjust
from engine.rates.schedules import DAY, coupon_dates, grid_date
from feeds.exact_normal import draw_normal
from feeds.rates_path import STEP, TREASURY, Motion, Path, log_discount, par_yield
from feeds.synthetic_orders import exponential, philox

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CALENDAR = "US government bond"
EIGHTHS = 800  # of a percent, in 1
AUCTION_BEFORE_ISSUE = 4  # business days
PAST_MOVE, PAST_KEEP = 0.0025, 0.99  # of the level of rates before the first day, a month


class Issue(NamedTuple):
    """When one term is sold."""

    term: int  # years
    every: int  # months from one new issue to the next
    day: int  # 15, or 0 for the month's last
    month: int = 0  # months after January of the first new issue of a year
    reopened: bool = False  # in the months between


PROGRAMME = (
    Issue(2, 1, 0),
    Issue(3, 1, 15),
    Issue(5, 1, 0),
    Issue(7, 3, 0, month=1),
    Issue(10, 3, 15, month=1, reopened=True),
    Issue(30, 6, 15, month=1, reopened=True),
)


class Treasuries(NamedTuple):
    """All bonds that live in the days of a path, by date of issue; days count from the first one."""

    static: NDArray[np.void]  # BOND[b]
    issued: Ints  # [b] the first day on which it is quoted
    replaced: Ints  # [b] the day on which the next of its term is issued
    auctions: NDArray[np.void]  # AUCTION[a]


class _Sales(NamedTuple):
    """New issues, one row each."""

    term: Ints
    dated: Dates
    maturity: Dates
    issued: Dates
    replaced: Dates

    def take(self, rows: NDArray[Any]) -> _Sales:
        return _Sales(self.term[rows], *(dates[rows] for dates in self[1:]))  # type: ignore[arg-type]


def issue(
    programme: tuple[Issue, ...], motion: Motion, path: Path, first: np.datetime64, seed: int, stream: int
) -> Treasuries:
    """The bonds that live in the days of ``path``, the first of which is ``first``."""
    last = first + np.timedelta64(len(path.state) - 1, "D")
    parts = [_sales(one, first, last) for one in programme]
    every = _Sales(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    sales = every.take(np.lexsort((every.term, every.issued)))
    sales = sales.take((sales.maturity > first) & (sales.issued <= last))
    auctioned = add_business_days(np.maximum(sales.issued, first), -AUCTION_BEFORE_ISSUE, CALENDAR)
    yields = _auction_yields(motion, path, sales, auctioned, first, philox(seed, stream))
    static = _static(sales, yields)
    new = np.flatnonzero(auctioned >= first)
    auctions = np.zeros(new.size, AUCTION)
    auctions["date"], auctions["bond"], auctions["par_yield"] = auctioned[new].astype(np.int64), new, yields[new]
    again = [_reopenings(one, sales, motion, path, first, last) for one in programme if one.reopened]
    auctions = np.concatenate([auctions, *again])
    auctions["par_yield"] = np.rint(auctions["par_yield"] * 1e8) / 1e8
    auctions = auctions[np.lexsort((auctions["bond"], auctions["date"]))]
    return Treasuries(static, _since(sales.issued, first), _since(sales.replaced, first), auctions)


def _sales(one: Issue, first: np.datetime64, last: np.datetime64) -> _Sales:
    """All new issues of one term that may live between two days, and the one after them."""
    months = np.arange(_month(first) - 12 * one.term - 1, _month(last) + one.every + 1)
    sold = months[(months - one.month) % one.every == 0]
    issued = _following(_dated(sold, one), first)
    term = np.full(sold.size - 1, one.term)
    return _Sales(term, _dated(sold, one)[:-1], _dated(sold + 12 * one.term, one)[:-1], issued[:-1], issued[1:])


def _static(sales: _Sales, yields: Floats) -> NDArray[np.void]:
    static = np.zeros(sales.term.size, BOND)
    compact = np.char.replace(sales.dated.astype(str), "-", "")
    # ZZ is nobody's country code: such a number is never given to a real bond
    static["isin"] = [f"ZZ{term:02d}{date}" for term, date in zip(sales.term.tolist(), compact.tolist(), strict=True)]
    static["kind"] = np.where(sales.term > 10, b"BOND", b"NOTE")
    static["dated"], static["maturity"] = sales.dated.astype(np.int64), sales.maturity.astype(np.int64)
    static["coupon"] = np.maximum(np.floor(yields * EIGHTHS), 1.0) / EIGHTHS
    static["term"], static["frequency"], static["day_count"] = sales.term, 2, b"ACT/ACT ICMA"
    return static


def _auction_yields(
    motion: Motion, path: Path, sales: _Sales, auctioned: Dates, first: np.datetime64, rng: np.random.Generator
) -> Floats:
    """Par yields at auction: of the path's own days, and of a level that wanders back from the first day."""
    level = [0.0]
    for _ in range(12 * int(sales.term.max()) + 2):
        level.append(PAST_KEEP * level[-1] + PAST_MOVE * draw_normal(rng))
    days, months = _since(auctioned, first), sales.dated.astype("datetime64[M]").astype(np.int64)
    yields = np.empty(sales.term.size)
    for b in range(sales.term.size):
        at = max(int(days[b]), 0)
        state = path.state[at].copy()
        if days[b] < 0:
            state[0] += level[max(_month(first) - int(months[b]), 0)]
        yields[b] = par_yield(motion, state, path.convexity[at], float(sales.term[b]))
    return yields


def _reopenings(
    one: Issue, sales: _Sales, motion: Motion, path: Path, first: np.datetime64, last: np.datetime64
) -> NDArray[np.void]:
    """More of the newest issue, in the months without a new one."""
    months = np.arange(_month(first), _month(last) + 1)
    dated = _dated(months[(months - one.month) % one.every != 0], one)
    days = add_business_days(_following(dated, first), -AUCTION_BEFORE_ISSUE, CALENDAR)
    days = days[(days >= first) & (days <= last)]
    rows = np.flatnonzero(sales.term == one.term)
    found = np.zeros(days.size, AUCTION)
    found["date"], found["is_reopening"] = days.astype(np.int64), True
    found["bond"] = rows[np.searchsorted(sales.issued[rows], days, side="right") - 1]
    for i, at in enumerate(_since(days, first).tolist()):
        found["par_yield"][i] = par_yield(motion, path.state[at], path.convexity[at], float(one.term))
    return found


def _month(date: np.datetime64) -> int:
    return int(date.astype("datetime64[M]").astype(np.int64))


def _dated(months: Ints, one: Issue) -> Dates:
    last = one.day == 0
    first: Dates = (months + last).astype("datetime64[M]").astype("datetime64[D]")
    return first - DAY if last else first + (one.day - 1) * DAY


def _following(dates: Dates, first: np.datetime64) -> Dates:
    """The same or the next business day; before ``first`` the date itself, as calendars need not reach back to it."""
    return np.where(dates < first, dates, adjust(np.maximum(dates, first), CALENDAR, "following"))


def _since(dates: Dates, first: np.datetime64) -> Ints:
    return (dates - first).astype(np.int64)


class Flows(NamedTuple):
    """Every coupon and redemption of all bonds, ragged by bond; days from the first of the path."""

    offsets: Ints
    day: Ints
    amount: Floats  # of par 1
    coupon: Floats  # [b] of a half-year
    before: Ints  # [b] the last coupon date at or before the first day, or the dated date


def flows(bonds: Treasuries, first: np.datetime64) -> Flows:
    """The flows after the first day."""
    maturity, dated = bonds.static["maturity"].astype("datetime64[D]"), bonds.static["dated"].astype("datetime64[D]")
    schedule = coupon_dates(maturity, np.maximum(dated, first), months=6)
    counts = np.diff(schedule.offsets)
    coupon = bonds.static["coupon"] / 2.0
    amount = np.repeat(coupon, counts)
    amount[schedule.offsets[1:] - 1] += 1.0
    before = grid_date(maturity, 6 * counts)
    return Flows(schedule.offsets, _since(schedule.dates, first), amount, coupon, _since(before, first))


@compiled
def fill_prices(motion, path, closes, settles, flows, alive, errors, special, until, out):
    """``out[n, s]``: clean price of the bond ``alive[n, s]`` (-1: none), rounded to 1e-6 of par, int32.

    ``errors[n, s]`` is its yield error, ``special[n, s]`` what its repo rate is lower by until the day ``until[n, s]``.
    """
    for n in range(closes.size):
        x, y, settle = path.state[closes[n]], path.convexity[closes[n]], settles[n]
        known = np.zeros(flows.day.max() + 1)  # D by day of payment: bonds share their dates
        to_settle = log_discount(motion, x, y, TREASURY, (settle - closes[n]) * STEP)
        for s in range(alive.shape[1]):
            b = alive[n, s]
            if b < 0:
                continue
            dirty, started, ends = 0.0, flows.before[b], -1
            for f in range(flows.offsets[b], flows.offsets[b + 1]):
                day = flows.day[f]
                if day <= settle:
                    started = day
                    continue
                if ends < 0:
                    ends = day
                if known[day] == 0.0:
                    years = (day - closes[n]) * STEP
                    known[day] = exponential(log_discount(motion, x, y, TREASURY, years) - to_settle)
                dirty += flows.amount[f] * known[day] * exponential(-errors[n, s] * (day - settle) * STEP)
            dirty *= exponential(special[n, s] * max(until[n, s] - closes[n], 0) * STEP)
            accrued = flows.coupon[b] * (settle - started) / (ends - started)
            out[n, s] = int(1e6 * (dirty - accrued) + 0.5)
