"""Fixed coupon bonds: cash flows, accrued interest, street yields and what prices do when yields move.

Prices and amounts are per 100 of face; coupons and yields are decimals. Conventions:

1. Coupon dates go back from maturity by whole periods (``schedules``); flows are not moved to business days, as yields
   are quoted. A coupon due on the settlement date belongs to the seller.
2. A regular coupon is coupon / frequency, whatever its days. The first coupon of an irregular bond accrues from the
   dated date, by periods of the same grid: a short first coupon where only ``dated`` is given, a long one where
   ``first_coupon`` skips a date of the grid.
3. The street yield y of a dirty price: ``dirty = sum of amount (1 + y / frequency)^-periods``, periods counted from
   settlement, the broken one as the bond's day count counts. With only the last flow left, ``last_period="simple"``
   (the US street) discounts by ``1 + periods y / frequency``; ``"compound"`` (the ICMA rule, euro area) does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.bond_kernels import fill_measures, fill_street_yields
from engine.rates.day_counts import ICMA, THIRTY, Dates, Floats, as_dates, year_fraction
from engine.rates.refusals import numbers, refuse, refuse_percent
from engine.rates.schedules import DAY, Ints, count_coupon_dates, grid_date, periods_to_maturity, ragged

FREQUENCIES = (1, 2, 3, 4, 6, 12)
HIGHEST_COUPON = 0.25  # the dearest Treasury ever paid 16.25 %; more is a percentage by mistake
CLOCK = "ACT/365.25"
ENDLESS = 2**62


class Bonds:
    """The terms of n bonds, checked once; ``bonds[mask]`` takes some of them.

    Parameters
    ----------
    maturity : datetime64[D][n]
    coupon : float64[n]
        Decimals a year, in [0, 0.25).
    frequency : int[n]
        Coupons a year: 2 for Treasuries, 1 for most euro governments.
    dated : datetime64[D][n], optional
        The day interest starts; NaT, or none given, means that every coupon left is regular.
    first_coupon : datetime64[D][n], optional
        NaT, or none given: the first date of the grid after ``dated``.
    day_count : str
        ``ACT/ACT ICMA``, ``30/360`` or ``30E/360``: how a broken period accrues.
    end_of_month : bool[n]
        Whether a bond that matures on a month's last day pays on last days, as Treasuries do.
    isin : str[n], optional
        No two alike.

    Raises
    ------
    ConfigError
        If a term is missing or impossible; the sentence says in which row.
    """

    def __init__(
        self,
        maturity: ArrayLike,
        coupon: ArrayLike,
        *,
        frequency: ArrayLike = 2,
        dated: ArrayLike = "NaT",
        first_coupon: ArrayLike = "NaT",
        day_count: str = ICMA,
        end_of_month: ArrayLike = True,
        isin: ArrayLike | None = None,
    ) -> None:
        columns = (
            as_dates("maturity", maturity),
            numbers("coupon", coupon),
            numbers("frequency", frequency),
            as_dates("dated", dated),
            as_dates("first_coupon", first_coupon),
            np.asarray(end_of_month, np.bool_),
        )
        try:
            columns = np.atleast_1d(*np.broadcast_arrays(*columns))
        except ValueError:
            shapes = ", ".join(str(column.shape) for column in columns)
            raise ConfigError(f"terms of bonds have shapes {shapes}; give one of each for every bond") from None
        self.maturity: Dates = columns[0]
        self.coupon: Floats = columns[1]
        self.frequency: Ints = columns[2].astype(np.int64)
        self.dated: Dates = columns[3]
        self.first_coupon: Dates = columns[4]
        self.end_of_month: NDArray[np.bool_] = columns[5]
        self.day_count = day_count
        self.isin: NDArray[np.str_] | None = None if isin is None else np.atleast_1d(np.asarray(isin, np.str_))
        self._check(columns[2])

    @property
    def months(self) -> Ints:
        """Months between coupons."""
        return 12 // self.frequency

    def __len__(self) -> int:
        return self.maturity.size

    def __getitem__(self, chosen: Any) -> Bonds:
        """The bonds of a mask, a slice or an array of indices."""
        return Bonds(
            self.maturity[chosen],
            self.coupon[chosen],
            frequency=self.frequency[chosen],
            dated=self.dated[chosen],
            first_coupon=self.first_coupon[chosen],
            day_count=self.day_count,
            end_of_month=self.end_of_month[chosen],
            isin=None if self.isin is None else self.isin[chosen],
        )

    def _check(self, frequency: Floats) -> None:
        if self.day_count not in (ICMA, *THIRTY):
            raise ConfigError(f"bonds cannot accrue by {self.day_count!r}; take one of {', '.join((ICMA, *THIRTY))}")
        refuse("maturity", self.maturity, np.isnat(self.maturity), "be a date", "fill it in or drop the bond")
        refuse("coupon", self.coupon, ~(self.coupon >= 0), "be a number >= 0", "fill it in or drop the bond")
        refuse_percent("coupon", self.coupon, below=HIGHEST_COUPON)
        allowed = f"be one of {', '.join(map(str, FREQUENCIES))}"
        refuse("frequency", frequency, ~np.isin(frequency, FREQUENCIES), allowed, "give coupons a year")
        late = self.dated >= self.maturity
        refuse("dated", self.dated, late, "be before maturity", "give the day on which interest starts")
        self._check_first_coupon()
        self._check_isin()

    def _check_first_coupon(self) -> None:
        known = ~np.isnat(self.first_coupon)
        if not known.any():
            return
        counts = _count_after(self, np.where(known, self.first_coupon - DAY, self.maturity))
        grid = grid_date(self.maturity, (counts - 1) * self.months, end_of_month=self.end_of_month)
        bad = known & ((grid != self.first_coupon) | ~(self.dated < self.first_coupon))
        cure = "give dated as well, and a first coupon on the grid that goes back from maturity, or leave both out"
        refuse("first_coupon", self.first_coupon, bad, "be a coupon date after the dated date", cure)

    def _check_isin(self) -> None:
        if self.isin is None:
            return
        if self.isin.shape != self.maturity.shape:
            raise ConfigError(f"{self.isin.size} ISINs for {len(self)} bonds; give each bond its own")
        repeated = np.ones(len(self), np.bool_)
        repeated[np.unique(self.isin, return_index=True)[1]] = False
        refuse("isin", self.isin, repeated, "occur only once", "drop or merge the repeated rows")


class CashFlows(NamedTuple):
    """Ragged flows after settlement: elements ``offsets[i]:offsets[i + 1]`` of the others belong to bond i."""

    offsets: Ints  # [n + 1]
    dates: Dates  # [m]
    times: Floats  # [m] years from settlement on the curves' clock, by default days / 365.25
    periods: Floats  # [m] coupon periods from settlement, as the street yield counts them
    amounts: Floats  # [m] per 100 of face; the last one of a bond holds the redemption


class Measures(NamedTuple):
    """What a street yield says about a bond, each float64[n]; prices per 100."""

    dirty: Floats
    duration: Floats  # modified, years: -dP/dy / P
    convexity: Floats  # years^2: d2P/dy2 / P
    dv01: Floats  # price lost by one basis point of yield: -dP/dy / 10,000


def cash_flows(bonds: Bonds, settle: ArrayLike, *, clock: str = CLOCK) -> CashFlows:
    """What each bond pays after ``settle``, datetime64[D] or datetime64[D][n].

    Raises
    ------
    ConfigError
        If a bond matures on or before settlement, or settles before its dated date.
    """
    settle = _settle(bonds, settle)
    left = _coupons_left(bonds, settle)
    offsets, owner, position = ragged(left)
    back = left[owner] - 1 - position  # whole periods from this flow to maturity
    dates = grid_date(bonds.maturity[owner], back * bonds.months[owner], end_of_month=bonds.end_of_month[owner])
    amounts = 100 * (bonds.coupon / bonds.frequency)[owner]
    first = offsets[:-1]
    amounts[first] *= _first_coupon_periods(bonds, settle)
    amounts[offsets[1:] - 1] += 100
    periods = _periods_left(bonds, settle)[owner] - back
    return CashFlows(offsets, dates, year_fraction(settle[owner], dates, clock), periods, amounts)


def accrued(bonds: Bonds, settle: ArrayLike) -> Floats:
    """Interest earned since the last coupon, float64[n], per 100 of face; refuses as ``cash_flows`` does."""
    settle = _settle(bonds, settle)
    start = _accrual_start(bonds, settle)
    return 100 * bonds.coupon / bonds.frequency * (_periods_left(bonds, start) - _periods_left(bonds, settle))


def street_yield(
    bonds: Bonds,
    settle: ArrayLike,
    *,
    dirty: ArrayLike | None = None,
    clean: ArrayLike | None = None,
    last_period: str = "simple",
) -> Floats:
    """Yields to maturity, compounded as often as each bond pays, from dirty or from clean prices.

    Parameters
    ----------
    settle : datetime64[D] or datetime64[D][n]
    dirty, clean : float64[n]
        Prices per 100, > 0; give one of the two.
    last_period : "simple" or "compound"
        See the module.

    Raises
    ------
    ConfigError
        If a price is missing or not positive, or as ``cash_flows``.
    """
    if (dirty is None) == (clean is None):
        raise ConfigError("a yield needs the dirty price or the clean one; give one of the two")
    name, price = ("dirty", dirty) if clean is None else ("clean", clean)
    price = _column(name, price, len(bonds))
    refuse(name, price, ~((price > 0) & (price < np.inf)), "be > 0", "drop bonds without a price")
    flows = cash_flows(bonds, settle)
    target = price if clean is None else price + accrued(bonds, settle)
    out = np.empty(len(bonds))
    fill_street_yields(flows.offsets, flows.periods, flows.amounts, bonds.frequency, target, _simple(last_period), out)
    return out


def measure(bonds: Bonds, settle: ArrayLike, yields: ArrayLike, *, last_period: str = "simple") -> Measures:
    """Dirty price, modified duration, convexity and DV01 at street ``yields``, float64[n].

    Raises
    ------
    ConfigError
        If a yield is missing, not above -frequency, or in percent, or as ``cash_flows``.
    """
    yields = _column("yields", yields, len(bonds))
    refuse("yields", yields, ~(yields > -bonds.frequency), "be above -frequency", "drop bonds without a yield")
    refuse_percent("yields", yields)
    flows = cash_flows(bonds, settle)
    out = np.empty((3, len(bonds)))
    fill_measures(flows.offsets, flows.periods, flows.amounts, bonds.frequency, yields, _simple(last_period), out)
    price, slope, curvature = out
    return Measures(price, -slope / price, curvature / price, -slope / 1e4)


def price_from_yield(bonds: Bonds, settle: ArrayLike, yields: ArrayLike, *, last_period: str = "simple") -> Floats:
    """Dirty prices per 100 at street ``yields``; take ``accrued`` off for clean ones. Refuses as ``measure`` does."""
    return measure(bonds, settle, yields, last_period=last_period).dirty


def _coupons_left(bonds: Bonds, settle: Dates) -> Ints:
    return np.minimum(_count_after(bonds, settle), _coupons_in_all(bonds))


def _coupons_in_all(bonds: Bonds) -> Ints:
    """How many coupons a bond pays in its life; ``ENDLESS`` where its start is not known."""
    since = np.where(np.isnat(bonds.first_coupon), bonds.dated, bonds.first_coupon - DAY)
    return np.where(np.isnat(since), ENDLESS, _count_after(bonds, since))


def _accrual_start(bonds: Bonds, settle: Dates) -> Dates:
    """The first day of the coupon that accrues at settlement: the last coupon date, or the dated date."""
    counts = _coupons_left(bonds, settle)
    last = grid_date(bonds.maturity, counts * bonds.months, end_of_month=bonds.end_of_month)
    return np.where(counts == _coupons_in_all(bonds), bonds.dated, last)


def _first_coupon_periods(bonds: Bonds, settle: Dates) -> Floats:
    """Length of the coupon paid next, in regular periods: 1 unless it is an irregular first one."""
    start = _accrual_start(bonds, settle)
    return _periods_left(bonds, start) - (_coupons_left(bonds, settle) - 1)


def _periods_left(bonds: Bonds, dates: Dates) -> Floats:
    """Coupon periods from ``dates`` to maturity, the broken one by the bond's day count."""
    if bonds.day_count == ICMA:
        return periods_to_maturity(bonds.maturity, dates, months=bonds.months, end_of_month=bonds.end_of_month)
    counts = _count_after(bonds, dates)
    start = grid_date(bonds.maturity, counts * bonds.months, end_of_month=bonds.end_of_month)
    elapsed = year_fraction(start, dates, bonds.day_count) * bonds.frequency
    elapsed = np.minimum(elapsed, 1.0)  # 30/360 counts 182 days from 28 February to 30 August
    return np.asarray(counts - elapsed, np.float64)


def _count_after(bonds: Bonds, dates: Dates) -> Ints:
    return count_coupon_dates(bonds.maturity, dates, months=bonds.months, end_of_month=bonds.end_of_month)


def _settle(bonds: Bonds, settle: ArrayLike) -> Dates:
    settle = as_dates("settle", settle)
    if settle.shape not in ((), (1,), bonds.maturity.shape):
        raise ConfigError(f"settle has shape {settle.shape} for {len(bonds)} bonds; give one date, or one for each")
    settle = np.broadcast_to(settle, bonds.maturity.shape)
    refuse("settle", settle, np.isnat(settle), "be a date", "give the settlement date")
    matured = bonds.maturity <= settle
    refuse("maturity", bonds.maturity, matured, "be after settlement", "drop bonds that have matured")
    early = settle < bonds.dated
    refuse("settle", settle, early, "not be before the dated date", "drop bonds that are not issued yet")
    return settle


def _column(name: str, values: Any, size: int) -> Floats:
    values = numbers(name, values)
    if values.shape not in ((), (size,)):
        raise ConfigError(f"{name} has shape {values.shape} for {size} bonds; give one number for each")
    return np.array(np.broadcast_to(values, size))


def _simple(last_period: str) -> bool:
    if last_period not in ("simple", "compound"):
        raise ConfigError(f"last_period {last_period!r} is unknown; take 'simple' (US street) or 'compound' (ICMA)")
    return last_period == "simple"
