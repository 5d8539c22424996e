"""Swap curves from par swap rates, and forward swap rates on them: one curve projects and discounts.

A par swap that starts at spot and pays the rate c on its fixed dates satisfies ``d(start) - d(end) = c sum of accrual
d(pay)``. ``bootstrap`` takes the tenors in order; each one fixes the curve's next node, and the interpolation rule of
the curve fills the dates between (a 30-year quote after a 10-year one makes one forward of twenty years). So every
quote is repriced exactly. Time runs from the trade date: spot lies two days after the curve's time 0.

Markets are data: a ``SwapMarket`` says how one counts. ``SWAP_MARKETS`` holds those that are known by name.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import ConfigError
from engine.rates.bonds import CLOCK
from engine.rates.curves import DiscountCurve, Discounts
from engine.rates.day_counts import Dates, Floats, as_dates, year_fraction
from engine.rates.holidays import add_business_days
from engine.rates.refusals import numbers, refuse, refuse_percent
from engine.rates.schedules import Ints, swap_dates
from engine.rates.swap_kernels import fill_discount_factors


class SwapMarket(NamedTuple):
    """How a market's vanilla swap counts: calendar, days to spot, months between fixed payments, accrual, roll."""

    calendar: str
    spot_days: int
    fixed_months: int
    day_count: str
    roll: str = "modified_following"


SWAP_MARKETS = {
    "USD 2016": SwapMarket("New York", 2, 6, "30/360"),
    "EUR": SwapMarket("TARGET", 2, 12, "30E/360"),
}


class FixedLegs(NamedTuple):
    """Fixed legs of n swaps, ragged: payments ``offsets[i]:offsets[i + 1]`` belong to swap i."""

    start: Dates  # [n]
    end: Dates  # [n], the last payment
    offsets: Ints  # [n + 1]
    pay: Dates  # [m]
    accrual: Floats  # [m], years


class SwapRates(NamedTuple):
    """The rate at which each swap is worth nothing, and what 1 a year on its fixed dates is worth at the curve's 0."""

    rate: Floats  # [n], decimals
    annuity: Floats  # [n], years


def bootstrap(
    as_of: ArrayLike,
    tenors: ArrayLike,
    par_rates: ArrayLike,
    *,
    market: str | SwapMarket = "USD 2016",
    interpolation: str = "log-linear discount",
) -> DiscountCurve:
    """The curve of one day that reprices par swaps.

    Parameters
    ----------
    as_of : datetime64[D]
        Trade date: time 0 of the curve.
    tenors : float64[k], ascending
        Years, each a whole number of months; a swap shorter than its fixed period has one payment.
    par_rates : float64[k]
        Decimals.
    market : str or SwapMarket
        A name in ``SWAP_MARKETS``, or your own.
    interpolation : str
        As ``DiscountCurve`` takes it.

    Raises
    ------
    ConfigError
        If a tenor is missing, or the rates leave no positive discount factor; the sentence says which tenor.
    """
    return bootstrap_days(
        np.atleast_1d(as_dates("as_of", as_of)),
        tenors,
        np.atleast_2d(numbers("par_rates", par_rates)),
        market=market,
        interpolation=interpolation,
    )[0]


def bootstrap_days(
    as_of: ArrayLike,
    tenors: ArrayLike,
    par_rates: ArrayLike,
    *,
    market: str | SwapMarket = "USD 2016",
    interpolation: str = "log-linear discount",
) -> list[DiscountCurve]:
    """``bootstrap`` for many days at once: ``as_of`` datetime64[D][d], ``par_rates`` float64[d, k]."""
    as_of, years = as_dates("as_of", as_of), np.atleast_1d(numbers("tenors", tenors))
    rates = _checked_rates(as_of, years, par_rates)
    days, k = rates.shape
    owner = np.repeat(np.arange(days), k)
    legs = spot_swaps(as_of[owner], np.tile(np.rint(12 * years), days), market=market)
    trade = as_of[owner]
    payments = np.diff(legs.offsets)
    start, end = year_fraction(trade, legs.start, CLOCK), year_fraction(trade, legs.end, CLOCK)
    pay = year_fraction(np.repeat(trade, payments), legs.pay, CLOCK)
    nodes = end.reshape(days, k)
    factors = np.empty((days, k))
    linear = interpolation == "linear zero"
    fill_discount_factors(start[::k].copy(), nodes, rates, legs.offsets, pay, legs.accrual, linear, factors)
    _check_factors(as_of, years, rates, factors)
    return [DiscountCurve(nodes[i], factors[i], interpolation=interpolation) for i in range(days)]


def spot_swaps(as_of: ArrayLike, tenor_months: ArrayLike, *, market: str | SwapMarket = "USD 2016") -> FixedLegs:
    """Swaps dealt on ``as_of`` that start at spot, one for each (date, tenor) after broadcasting.

    With an option's expiry as the date it is the swap that the option exercises into.
    """
    terms = swap_market(market)
    trade = as_dates("as_of", as_of)
    months = numbers("tenor_months", tenor_months)
    refuse("tenor_months", months, ~((months > 0) & (months % 1 == 0)), "be whole months > 0", "give 120 for 10 years")
    trade, months = np.atleast_1d(*np.broadcast_arrays(trade, months.astype(np.int64)))
    start = add_business_days(trade, terms.spot_days, terms.calendar)
    schedule = swap_dates(start, months, months=terms.fixed_months, calendar=terms.calendar, roll=terms.roll)
    ends = np.ones(schedule.dates.size, np.bool_)
    ends[schedule.offsets[:-1]] = False  # a period ends on every date but each swap's start
    pay = schedule.dates[ends]
    accrual = year_fraction(schedule.dates[np.flatnonzero(ends) - 1], pay, terms.day_count)
    end = schedule.dates[schedule.offsets[1:] - 1]
    return FixedLegs(start, end, schedule.offsets - np.arange(start.size + 1), pay, accrual)


def swap_rates(curve: Discounts, as_of: ArrayLike, legs: FixedLegs) -> SwapRates:
    """Rate and annuity of each swap on a curve whose time 0 is ``as_of``; swaps that have started are refused.

    ``rate = (d(start) - d(end)) / annuity``.
    """
    trade = as_dates("as_of", as_of)
    started = legs.start < trade
    refuse("start", legs.start, started, f"not be before {trade}", "a swap that runs has a fixing; leave it out")
    paid = legs.accrual * curve.discount_factor(year_fraction(trade, legs.pay, CLOCK))
    annuity = np.add.reduceat(paid, legs.offsets[:-1])
    start, end = (curve.discount_factor(year_fraction(trade, dates, CLOCK)) for dates in (legs.start, legs.end))
    return SwapRates((start - end) / annuity, annuity)


def forward_swap_rates(
    curve: Discounts,
    as_of: ArrayLike,
    expiry: ArrayLike,
    tenor_months: ArrayLike,
    *,
    market: str | SwapMarket = "USD 2016",
) -> SwapRates:
    """Forward rate and annuity of the swaps that options expiring on ``expiry`` exercise into; pairs broadcast."""
    return swap_rates(curve, as_of, spot_swaps(expiry, tenor_months, market=market))


def swap_market(market: str | SwapMarket) -> SwapMarket:
    """The market of a name; your own passes through."""
    if isinstance(market, SwapMarket):
        return market
    if market not in SWAP_MARKETS:
        raise ConfigError(f"swap market {market!r} is unknown; take one of {', '.join(SWAP_MARKETS)}, or a SwapMarket")
    return SWAP_MARKETS[market]


def _checked_rates(as_of: Dates, years: Floats, par_rates: ArrayLike) -> Floats:
    rates = np.array(numbers("par_rates", par_rates))
    if as_of.ndim != 1 or rates.shape != (as_of.size, years.size):
        raise ConfigError(f"par_rates has shape {rates.shape}, but {as_of.size} days of {years.size} tenors are asked")
    steps = np.diff(years, prepend=0.0)
    is_whole = np.abs(12 * years - np.rint(12 * years)) < 1e-6  # a twelfth of a year has no exact float
    refuse("tenors", years, ~((steps > 0) & is_whole), "be whole months that ascend", "sort the tenors")
    missing = np.argwhere(~np.isfinite(rates))
    if missing.size:
        day, tenor = missing[0]
        raise ConfigError(
            f"par_rates[{day}, {tenor}], {years[tenor]:g} years on {as_of[day]}, is {rates[day, tenor]}; "
            "drop the day or the tenor"
        )
    refuse_percent("par_rates", rates)
    return rates


def _check_factors(as_of: Dates, years: Floats, rates: Floats, factors: Floats) -> None:
    bad = np.argwhere(~(factors > 0))
    if bad.size:
        day, tenor = bad[0]
        raise ConfigError(
            f"par_rates[{day}, {tenor}], {years[tenor]:g} years at {rates[day, tenor]} on {as_of[day]}, leaves no "
            "positive discount factor after the shorter tenors; look for a wrong quote there"
        )
