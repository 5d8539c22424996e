"""A discount curve: what 1 paid at a later time is worth now, and the zero, forward and par rates that follow.

Times are years on the clock of ``bonds`` (days / 365.25) unless all that meets the curve agrees on another one.
Compounding goes by name: "annual", "semi-annual", "quarterly", "monthly", "continuous" or "simple". Between nodes

| interpolation | straight in time is | before the first node |
|---|---|---|
| ``log-linear discount`` | log of the discount factor: forwards are steps | the first zero rate |
| ``linear zero`` | the annually compounded zero rate | the first zero rate |

After the last node there is no market: the curve refuses, or with ``beyond="flat"`` goes on at its last forward rate
(log-linear) or its last zero rate (linear zero).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.refusals import numbers, refuse, refuse_percent

Floats = NDArray[np.float64]

PER_YEAR = {"annual": 1, "semi-annual": 2, "quarterly": 4, "monthly": 12}
COMPOUNDINGS = (*PER_YEAR, "continuous", "simple")
INTERPOLATIONS = ("log-linear discount", "linear zero")
GRID_SLACK = 1e-9  # years: a maturity that rounding puts just past a coupon period has no extra period


class Discounts(Protocol):
    """Anything that discounts: a ``DiscountCurve``, a fitted par curve, your own."""

    def discount_factor(self, times: Floats, /) -> Floats:
        """Worth now of 1 paid at each time, in years >= 0."""
        ...


class DiscountCurve:
    """Discount factors at nodes, and a rule for the times between.

    Parameters
    ----------
    times : float64[k], ascending, > 0
        Years. The factor at time 0 is 1 and needs no node.
    discount_factors : float64[k], > 0
    interpolation, beyond : str
        See the module.

    Raises
    ------
    ConfigError
        If times do not ascend from above 0, or a factor is missing or not positive; the sentence says which.
    """

    def __init__(
        self,
        times: ArrayLike,
        discount_factors: ArrayLike,
        *,
        interpolation: str = "log-linear discount",
        beyond: str = "refuse",
    ) -> None:
        self.times = np.atleast_1d(numbers("times", times))
        self.discount_factors = np.atleast_1d(numbers("discount_factors", discount_factors))
        self.interpolation, self.beyond = interpolation, beyond
        self._check()
        # Log-linear nodes hold log d and start from log d(0) = 0; linear zero nodes hold annual zero rates.
        if interpolation == "linear zero":
            self._x, self._y = self.times, rate_from_discount(self.discount_factors, self.times)
        else:
            self._x = np.concatenate(([0.0], self.times))
            self._y = np.concatenate(([0.0], np.log(self.discount_factors)))

    @classmethod
    def from_zero_rates(
        cls,
        times: ArrayLike,
        zero_rates: ArrayLike,
        *,
        compounding: str = "annual",
        interpolation: str = "linear zero",
        beyond: str = "refuse",
    ) -> DiscountCurve:
        """The curve through ``zero_rates``, decimals, at ``times``."""
        times, rates = np.atleast_1d(numbers("times", times)), np.atleast_1d(numbers("zero_rates", zero_rates))
        refuse("zero_rates", rates, ~np.isfinite(rates), "be a number", "fill it in or drop the tenor")
        refuse_percent("zero_rates", rates)
        factors = discount_from_rate(rates, times, compounding=compounding)
        return cls(times, factors, interpolation=interpolation, beyond=beyond)

    def discount_factor(self, times: ArrayLike, /) -> Floats:
        """d(t), of the shape of ``times``, years >= 0.

        Raises
        ------
        ConfigError
            If a time is negative, not a number, or beyond the last node of a curve that refuses that.
        """
        t = self._checked(times)
        if self.interpolation == "linear zero":
            return (1 + np.interp(t, self._x, self._y)) ** -t
        logs = np.interp(t, self._x, self._y)
        past = t > self._x[-1]
        if past.any():
            slope = (self._y[-1] - self._y[-2]) / (self._x[-1] - self._x[-2])
            logs = np.where(past, self._y[-1] + slope * (t - self._x[-1]), logs)
        return np.exp(logs)

    def zero_rate(self, times: ArrayLike, *, compounding: str = "annual") -> Floats:
        """Yield of a zero-coupon bond for each time, years > 0."""
        t = numbers("times", times)
        return rate_from_discount(self.discount_factor(t), t, compounding=compounding)

    def forward_rate(self, start: ArrayLike, end: ArrayLike, *, compounding: str = "annual") -> Floats:
        """The rate from ``start`` to ``end``, years, that can be locked in now."""
        begin, finish = np.broadcast_arrays(numbers("start", start), numbers("end", end))
        refuse("end", finish, ~(finish > begin), "be after start", "a forward needs a time to run for")
        factor = self.discount_factor(finish) / self.discount_factor(begin)
        return rate_from_discount(factor, finish - begin, compounding=compounding)

    def par_rate(self, maturities: ArrayLike, *, per_year: int = 1) -> Floats:
        """The coupon at which a bond of each maturity, years > 0, is worth par; its first period may be short."""
        return par_rate(self, maturities, per_year=per_year)

    def _check(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(f"interpolation {self.interpolation!r} is unknown; take one of {INTERPOLATIONS}")
        if self.beyond not in ("refuse", "flat"):
            raise ConfigError(f"beyond {self.beyond!r} is unknown; take 'refuse' or 'flat'")
        t, factors = self.times, self.discount_factors
        if t.ndim != 1 or t.shape != factors.shape or not t.size:
            raise ConfigError(f"a curve has times {t.shape} and discount factors {factors.shape}; give one each")
        steps = np.diff(t, prepend=0.0)
        refuse("times", t, ~((steps > 0) & (t < np.inf)), "be > 0 and after the one before", "sort the nodes by time")
        bad = ~((factors > 0) & (factors < np.inf))
        refuse("discount_factors", factors, bad, "be > 0", "look at the quotes that it was made from")

    def _checked(self, times: ArrayLike) -> Floats:
        t = numbers("times", times)
        refuse("times", t, ~(t >= 0), "be >= 0", "the past has no discount factor")
        if self.beyond == "refuse":
            cure = "give a longer curve, or let it go on with beyond='flat'"
            refuse("times", t, t > self.times[-1], f"not be beyond the curve's last node, {self.times[-1]}", cure)
        return t


def par_rate(curve: Discounts, maturities: ArrayLike, *, per_year: int = 1) -> Floats:
    """The coupon at which a bond of each maturity, years > 0, is worth par; its first period may be short."""
    maturities = numbers("maturities", maturities)
    return (1 - curve.discount_factor(maturities)) / annuity(curve, maturities, per_year=per_year)


def annuity(curve: Discounts, maturities: ArrayLike, *, per_year: int = 1) -> Floats:
    """Worth of 1 a year paid ``per_year`` times until each maturity, years > 0.

    Payments go back from maturity; the first pays for the time from now, which may be shorter than a period.
    """
    maturities = numbers("maturities", maturities)
    refuse("maturities", maturities, ~(maturities > 0), "be > 0", "drop what has matured")
    flat = maturities.ravel()
    counts = np.maximum(np.ceil((flat - GRID_SLACK) * per_year), 1).astype(np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    back = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    times = np.repeat(flat, counts) - back / per_year
    accrual = np.minimum(times, 1 / per_year)  # the stub pays for what is left of its period
    return np.add.reduceat(accrual * curve.discount_factor(times), offsets[:-1]).reshape(maturities.shape)


def discount_from_rate(rates: ArrayLike, years: ArrayLike, *, compounding: str = "annual") -> Floats:
    """Discount factors over ``years`` at ``rates``, decimals.

    Raises
    ------
    ConfigError
        If the compounding is unknown, or a rate would make the factor infinite or negative.
    """
    rates, years = np.broadcast_arrays(numbers("rates", rates), numbers("years", years))
    if compounding == "continuous":
        return np.exp(-rates * years)
    per = years if compounding == "simple" else 1 / _per_year(compounding)
    growth = 1 + rates * per
    refuse("rates", rates, ~(growth > 0), "leave something of what was lent", "look for a percentage or a wrong sign")
    return 1 / growth if compounding == "simple" else growth ** (-years * _per_year(compounding))


def rate_from_discount(factors: ArrayLike, years: ArrayLike, *, compounding: str = "annual") -> Floats:
    """Rates, decimals, at which 1 after ``years`` > 0 is worth ``factors`` > 0: undoes ``discount_from_rate``."""
    factors, years = np.broadcast_arrays(numbers("factors", factors), numbers("years", years))
    refuse("factors", factors, ~(factors > 0), "be > 0", "look at the quotes that it was made from")
    refuse("years", years, ~(years > 0), "be > 0", "the rate of no time is not defined")
    if compounding == "simple":
        return (1 / factors - 1) / years
    continuous = -np.log(factors) / years
    if compounding == "continuous":
        return continuous
    per_year = _per_year(compounding)
    return per_year * np.expm1(continuous / per_year)


def _per_year(compounding: str) -> int:
    if compounding not in PER_YEAR:
        raise ConfigError(f"compounding {compounding!r} is unknown; take one of {', '.join(COMPOUNDINGS)}")
    return PER_YEAR[compounding]
