"""What a swaption contract is worth at a close: the one function of curve, vol surface and terms that both paths call.

At the close of day d, on the swap curve and the vol surface of that day:

1. forward swap rate and annuity of the contract's own fixed dates, times on the curve's clock from d;
2. option time: calendar days to expiry over 365, as both the close and the expiry are at 3pm New York;
3. the smile of that time and of the swap's tenor, and its vol at strike minus forward;
4. Bachelier's value, times the annuity that the option settles on.

Physical settlement gives the swap: that annuity is the swap's own. Par-yield cash settlement pays, on the swap's
start, what the swap would be worth if every flow were discounted at the swap rate F itself: it settles on ``d(start)``
times the sum over payments i of ``accrual_i / product over j <= i of (1 + F accrual_j)``. Before expiry the same
annuity at the forward stands for it, the market's convention, and greeks hold it fixed.

Everything is scalar arithmetic in kernels, so one contract and many, an event-driven run and a research one, have the
same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.rates.curves import DiscountCurve
from engine.rates.day_counts import as_dates, year_fraction
from engine.rates.holidays import adjust
from engine.rates.refusals import refuse
from engine.rates.schedules import add_months, swap_dates
from engine.rates.swap_curve import FixedLegs, SwapMarket, spot_swaps, swap_market
from engine.rates.swap_kernels import discount_and_slope
from engine.rates.swaptions import Greeks, price_swaption
from engine.rates.vol_surface import VolSurface, fill_smile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPTION_DAYS = 365.0  # in a year of option time
CURVE_DAYS = 365.25  # in a year of the curve's clock, as engine.rates.swap_curve counts


class Underlyings(NamedTuple):
    """The swaps that n options exercise into, and when."""

    expiry: NDArray[np.datetime64]  # [n]
    legs: FixedLegs
    tenor_years: Floats  # [n], of the vol surface


class ContractMarket(NamedTuple):
    """What a close says of each of n contracts."""

    forward: Floats  # [n], decimal
    annuity: Floats  # [n], of the swap: a forward swap gains this times the change of the forward
    cash_annuity: Floats  # [n], what par-yield cash settlement pays on, discounted
    years: Floats  # [n], of option time
    smiles: Floats  # [n, j], normal vols at the surface's offsets


class SwaptionValue(NamedTuple):
    """Value and greeks per unit of notional, and the market that they came from; each [n]."""

    greeks: Greeks
    forward: Floats
    annuity: Floats
    normal_vol: Floats
    years: Floats


def expiry_date(
    sold: ArrayLike, months: int, market: str | SwapMarket = "USD 2016", *, calendar: str | None = None
) -> NDArray[np.datetime64]:
    """The same day ``months`` later, modified following in ``calendar``, or else in that of the market.

    Give the calendar of the closes where it has more holidays: on Good Friday dollar swaps pay, but nobody marks them.
    """
    return adjust(add_months(sold, months), calendar or swap_market(market).calendar, "modified_following")


def underlyings(expiry: ArrayLike, tenor_months: ArrayLike, market: str | SwapMarket = "USD 2016") -> Underlyings:
    """Swaps that start at spot after each expiry."""
    terms, dates = swap_market(market), np.atleast_1d(as_dates("expiry", expiry))
    legs = spot_swaps(dates, tenor_months, market=terms)
    dates = np.broadcast_to(dates, legs.start.shape)
    tenor = np.broadcast_to(np.asarray(tenor_months, np.float64) / 12, legs.start.shape)
    return Underlyings(dates, legs, tenor)


def underlyings_between(
    expiry: ArrayLike, start: ArrayLike, maturity: ArrayLike, market: str | SwapMarket = "USD 2016"
) -> Underlyings:
    """Swaps with given first and last dates, as an over-the-counter order writes its terms.

    Raises
    ------
    ConfigError
        If a maturity is not what the market's roll makes of ``start`` plus whole months.
    """
    terms = swap_market(market)
    begin, end = np.atleast_1d(as_dates("start", start)), np.atleast_1d(as_dates("maturity", maturity))
    months = (end.astype("datetime64[M]") - begin.astype("datetime64[M]")).astype(np.int64)
    refuse("maturity", end, months <= 0, "be in a later month than start", "look at the contract's dates")
    schedule = swap_dates(begin, months, months=terms.fixed_months, calendar=terms.calendar, roll=terms.roll)
    counts = np.diff(schedule.offsets)
    owner = np.repeat(np.arange(begin.size), counts)
    is_payment = np.arange(schedule.dates.size) > schedule.offsets[:-1][owner]
    pay = schedule.dates[is_payment]
    accrual = year_fraction(schedule.dates[np.flatnonzero(is_payment) - 1], pay, terms.day_count)
    offsets = schedule.offsets - np.arange(begin.size + 1)
    legs = FixedLegs(begin, pay[offsets[1:] - 1], offsets, pay, accrual)
    odd = legs.end != end
    refuse("maturity", end, odd, "be start plus whole months on a business day", "see underlyings(...).legs.end")
    dates = np.broadcast_to(np.atleast_1d(as_dates("expiry", expiry)), begin.shape)
    return Underlyings(dates, legs, months / 12)


def contract_market(curve: DiscountCurve, surface: VolSurface, date: Any, contracts: Underlyings) -> ContractMarket:
    """Forward, annuities, option time and smile of each contract at the close of ``date``.

    Parameters
    ----------
    curve : DiscountCurve
        The swap curve of ``date``, its time 0.
    surface : VolSurface
        Holds ``date``.

    Raises
    ------
    ConfigError
        If there is no surface of that date, an option has expired, its swap ends beyond the curve's last node, or its
        expiry or tenor lies outside the surface.
    """
    today = np.datetime64(date, "D")
    legs, n = contracts.legs, contracts.expiry.size
    refuse("expiry", contracts.expiry, contracts.expiry < today, f"not be before {today}", "leave out what has expired")
    _check_reach(curve, today, legs)
    forward, annuity, cash = np.empty(n), np.empty(n), np.empty(n)
    days = [np.ascontiguousarray(dates).astype(np.int64) for dates in (legs.start, legs.pay)]
    _fill_swaps(
        np.asarray(curve.times), np.asarray(curve.discount_factors), curve.interpolation == "linear zero",
        int(today.astype(np.int64)), days[0], legs.offsets, days[1], legs.accrual,
        forward, annuity, cash,
    )  # fmt: skip
    years = (contracts.expiry - today).astype(np.int64) / OPTION_DAYS
    surface.check_inside(years, contracts.tenor_years)
    smiles = np.empty((n, surface.offsets.size))
    vols = surface.vols[surface.day(today)]
    _fill_smiles(surface.expiries, surface.tenors, vols, years, np.array(contracts.tenor_years), smiles)
    return ContractMarket(forward, annuity, cash, years, smiles)


def swaption_value(
    curve: DiscountCurve,
    surface: VolSurface,
    date: Any,
    contracts: Underlyings,
    strike: ArrayLike,
    kind: ArrayLike,
    *,
    is_cash_settled: ArrayLike = False,
) -> SwaptionValue:
    """Mid value of bought swaptions at the close of ``date``; at expiry, what they settle for.

    ``strike`` (decimal), ``kind`` (PAYER, RECEIVER, STRADDLE) and ``is_cash_settled`` broadcast to the n contracts.
    Raises as ``contract_market`` and ``price_swaption`` do.
    """
    market = contract_market(curve, surface, date, contracts)
    strikes = np.broadcast_to(np.asarray(strike, np.float64), market.forward.shape)
    vol = surface.vols_at(market.smiles, strikes - market.forward)
    settlement = np.where(is_cash_settled, market.cash_annuity, market.annuity)
    greeks = price_swaption(market.forward, strikes, vol, market.years, annuity=settlement, kind=kind)
    return SwaptionValue(greeks, market.forward, market.annuity, vol, market.years)


def _check_reach(curve: DiscountCurve, today: np.datetime64, legs: FixedLegs) -> None:
    refuse("start", legs.start, legs.start < today, f"not be before {today}", "a swap that runs has a fixing")
    last = (legs.end - today).astype(np.int64) / CURVE_DAYS
    if (last > curve.times[-1]).any():
        raise ConfigError(
            f"a swap that ends on {legs.end.max()} lies beyond the curve of {today}, whose last node is at "
            f"{curve.times[-1]:.2f} years; give a longer swap quote"
        )


@compiled
def _fill_swaps(times, factors, linear_zero, today, start, offsets, pay, accrual, forward, annuity, cash):
    values = np.empty(times.size)
    for k in range(times.size):
        values[k] = math.log(factors[k])
        if linear_zero:
            values[k] = math.expm1(-values[k] / times[k])
    last = times.size - 1
    for i in range(forward.size):
        first_factor, _ = discount_and_slope((start[i] - today) / CURVE_DAYS, times, values, last, linear_zero)
        total, factor = 0.0, first_factor
        for j in range(offsets[i], offsets[i + 1]):
            factor, _ = discount_and_slope((pay[j] - today) / CURVE_DAYS, times, values, last, linear_zero)
            total += accrual[j] * factor
        forward[i], annuity[i] = (first_factor - factor) / total, total
        paid, factor = 0.0, 1.0
        for j in range(offsets[i], offsets[i + 1]):
            factor /= 1.0 + forward[i] * accrual[j]
            paid += accrual[j] * factor
        cash[i] = first_factor * paid


@compiled
def _fill_smiles(expiries, tenors, vols, years, tenor_years, out):
    for i in range(years.size):
        fill_smile(expiries, tenors, vols, years[i], tenor_years[i], out[i])
