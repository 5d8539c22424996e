"""What can be read off a fitted par curve: discount factors, zero, forward and par rates.

Times are years of 365.25 days from settlement. Before half a year the discount factors are those of GC repo
(``gc_repo``), from there on the spline (``par_spline``); both give the same at 0.5, where d bends. ``par_fit`` makes
the curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates import par_spline
from engine.rates.gc_repo import DAYS_A_YEAR, GcRepo
from engine.rates.par_spline import SHORT_END
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]
Beyond = Literal["refuse", "nan", "extrapolate"]


@dataclass(frozen=True)
class ParCurve:
    """A discount function, and the last maturity that it was fitted to.

    Every method takes ``beyond``: what to do after ``last``, where the spline is only its last cubic going on.
    "refuse" raises, "nan" leaves a gap, "extrapolate" goes on; ``is_beyond`` says where.
    """

    repo: GcRepo
    tau: Floats  # knot vector, float64[k + 8], years
    coefficients: Floats  # of B-splines, float64[k + 4]; the first is d(0.5)
    last: float  # years: the longest maturity in the fit
    coupons_a_year: int = 2

    @property
    def knots(self) -> Floats:
        """The inner knots, years: the paper's t4, t5, …"""
        return self.tau[par_spline.DEGREE + 1 : -par_spline.DEGREE - 1]

    @property
    def powers(self) -> Floats:
        """The paper's x1..x9: three powers of (t - 0.5) / 10, then a cube at each knot."""
        return par_spline.powers(self.tau, self.coefficients)

    def is_beyond(self, times: ArrayLike) -> NDArray[np.bool_]:
        """Where the curve only extrapolates."""
        return np.asarray(times, np.float64) > self.last

    def discount_factor(self, times: ArrayLike, *, beyond: Beyond = "refuse") -> Floats:
        """d(t) for t >= 0.

        Raises
        ------
        ConfigError
            If a time is negative, not a number, or beyond the last maturity and that is to be refused.
        """
        return self._discount(self._times(times, beyond))[()]

    def zero_rate(self, times: ArrayLike, *, per_year: int = 2, beyond: Beyond = "refuse") -> Floats:
        """Yield of a zero-coupon bond, compounded ``per_year`` times, or continuously where that is 0; t > 0."""
        t = self._times(times, beyond)
        refuse("times", t, t <= 0, "be > 0", "the rate of no time is not defined")
        return _compounded(self._discount(t), t, per_year)[()]

    def forward_rate(self, start: ArrayLike, end: ArrayLike, *, per_year: int = 2, beyond: Beyond = "refuse") -> Floats:
        """Zero rate from ``start`` to ``end`` that is locked in today: ``d(end) / d(start)`` as a rate."""
        begin, finish = np.broadcast_arrays(self._times(start, beyond), self._times(end, beyond))
        refuse("end", finish, finish <= begin, "be after start", "a forward needs a time to run for")
        return _compounded(self._discount(finish) / self._discount(begin), finish - begin, per_year)[()]

    def instantaneous_forward(self, times: ArrayLike, *, beyond: Beyond = "refuse") -> Floats:
        """``-d'(t) / d(t)``, continuous, from half a year on: before, repo's straight lines bend it at each tenor."""
        t = self._times(times, beyond)
        refuse("times", t, t < SHORT_END, f"be >= {SHORT_END}", "use forward_rate at the short end")
        slope = par_spline.spline(np.atleast_1d(t), self.tau, self.coefficients, 1).reshape(t.shape)
        return (-slope / self._discount(t))[()]

    def par_yield(self, times: ArrayLike, *, beyond: Beyond = "refuse") -> Floats:
        """The coupon with which a bond of this maturity has a clean price of 100; ``t > 0``.

        Coupons fall due in whole periods back from maturity. With f the part of a period to the first of them, a bond
        at par costs 1 and accrued ``(1 - f) c / m``, so ``c = m (1 - d(t)) / (sum_j d(t_j) - (1 - f))``.
        """
        t = self._times(times, beyond)
        refuse("times", t, t <= 0, "be > 0", "a bond needs time to mature")
        m = self.coupons_a_year
        flat = np.atleast_1d(t)
        periods = np.where(np.isnan(flat), 1, np.ceil(flat * m - 1e-9))
        due = flat[:, None] - np.arange(int(periods.max(initial=1))) / m  # (n, periods)
        discounted = np.where(due > 1e-9 / m, self._discount(np.maximum(due, 0.0)), 0.0).sum(axis=1)
        into_period = periods - flat * m
        return (m * (1 - self._discount(flat)) / (discounted - into_period)).reshape(t.shape)[()]

    def one_day_zero(self) -> float:
        """Simple rate of one day, as overnight repo is quoted (per year of 365.25 days): that rate, by construction."""
        return float((1 / self._discount(np.array([1 / DAYS_A_YEAR]))[0] - 1) * DAYS_A_YEAR)

    def short_end_gap(self) -> float:
        """What d bends at half a year: forward of the bonds just after, less that of repo just before, continuous.

        Bonds alone do not see repo. A gap of many basis points says that the short bonds and the repo rates disagree.
        """
        rise = (self.repo.six_month - self.repo.three_month) / 0.25
        repo_forward = (self.repo.six_month + SHORT_END * rise) / (1 + SHORT_END * self.repo.six_month)
        return float(self.instantaneous_forward(SHORT_END)) - repo_forward

    def _times(self, times: ArrayLike, beyond: Beyond) -> Floats:
        t = numbers("times", times)
        refuse("times", t, ~(t >= 0), "be >= 0 years", "settlement is time 0")
        late = self.is_beyond(t)
        if beyond == "nan":
            return np.where(late, np.nan, t)
        if beyond == "refuse" and np.any(late):
            raise ConfigError(
                f"{float(t.max()):.4f} years is beyond the last maturity of the fit, {self.last:.4f}; the cubic would "
                'only go on: ask for less, or say beyond="nan" or beyond="extrapolate"'
            )
        return t

    def _discount(self, t: Floats) -> Floats:
        flat = np.ravel(t)
        out = par_spline.spline(np.where(flat >= SHORT_END, flat, SHORT_END), self.tau, self.coefficients)
        short = flat < SHORT_END
        if np.any(short):
            out[short] = self.repo.discount_factor(flat[short])
        return np.where(np.isnan(flat), np.nan, out).reshape(np.shape(t))


def _compounded(discount_factor: Floats, years: Floats, per_year: int) -> Floats:
    growth = -np.log(discount_factor) / years  # continuous
    return growth if per_year == 0 else per_year * np.expm1(growth / per_year)
