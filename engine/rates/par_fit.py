"""Fit the Treasury par curve to bond prices: a linear least squares problem, solved by orthogonal factors.

With cash flows C, the price of bond i on the curve is

    P_i = (flows before 0.5 years, discounted by GC repo) + x0 sum_j C_ij B_0(t_ij) + sum_k x_k sum_j C_ij B_k(t_ij)

where x0 is repo's d(0.5), so that nine coefficients are free: three powers and six knots in the paper's terms. "yield",
the enhanced objective, weighs each price error by ``w = 1 / (P D)`` (dirty price, modified duration), which makes it a
yield error to first order; "price", the legacy one, weighs all alike.

1. ``ParDesign`` turns cash flows into the matrix of B-splines: once for a basket and a day.
2. ``weighed`` factors it, ``W A = Q R``; never ``A' A``, whose condition number would be the square.
3. ``WeighedDesign.fit`` is then a product with the prices: a refit at new prices costs next to nothing.

Source: J.P. Morgan, "The new and improved Treasury par curve model", 16 July 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.gc_repo import TENORS, GcRepo, fill_short_value
from engine.rates.par_curve import ParCurve
from engine.rates.par_spline import DEGREE, SHORT_END, checked_knots, clamped, equal_count_knots, fill_design
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Objective = Literal["yield", "price"]

KNOTS = 6  # the paper's t4..t9
WORST_CONDITION = 1e10  # of R; a usual basket has 1e2
CERTAIN = 1e-9  # 1 - leverage below which a bond is alone in saying something: nothing is left to hold it against


@dataclass(frozen=True)
class ParDesign:
    """Cash flows of n bonds as a matrix of B-splines; knows no price."""

    offsets: Integers  # int64[n + 1]: bond i has the flows offsets[i] to offsets[i + 1]
    times: Floats  # years from settlement
    amounts: Floats  # per 100 of face
    tau: Floats  # knot vector
    matrix: Floats  # float64[n, 1 + free coefficients]
    last: float  # years
    coupons_a_year: int

    @classmethod
    def of(
        cls,
        offsets: Integers,
        times: Floats,
        amounts: Floats,
        *,
        knots: int | ArrayLike = KNOTS,
        coupons_a_year: int = 2,
    ) -> ParDesign:
        """The matrix for knots at equal counts of bonds, or at given years.

        The last flow of a bond is its maturity.

        Raises
        ------
        ConfigError
            If there are fewer bonds than free coefficients, a flow is not after settlement, or knots do not rise.
        """
        offsets = np.ascontiguousarray(offsets, np.int64)
        times, amounts = (np.ascontiguousarray(x, np.float64) for x in (times, amounts))
        refuse("times", times, ~(times > 0), "be > 0 years", "leave out flows that are not after settlement")
        bonds = offsets.size - 1
        if isinstance(knots, int) and knots < 0:
            raise ConfigError(f"knots is {knots}, but must be >= 0; the paper has {KNOTS}")
        free = DEGREE + (knots if isinstance(knots, int) else np.size(knots))
        if bonds < free:
            raise ConfigError(
                f"{bonds} bonds cannot say {free} numbers ({free - DEGREE} knots and {DEGREE} powers); add bonds, or "
                f"ask for at most {max(bonds - DEGREE, 0)} knots"
            )
        maturities = times[offsets[1:] - 1]
        last = float(maturities.max())
        if isinstance(knots, int):
            inner = equal_count_knots(maturities, knots)
        else:
            inner = checked_knots(numbers("knots", knots), last)
        tau = clamped(inner, last)
        matrix = np.zeros((bonds, free + 1))
        fill_design(offsets, times, amounts, tau, matrix)
        return cls(offsets, times, amounts, tau, matrix, last, coupons_a_year)

    def short_value(self, repo: GcRepo) -> Floats:
        """Value of what each bond pays before half a year, float64[n]."""
        out = np.empty(self.offsets.size - 1)
        fill_short_value(self.offsets, self.times, self.amounts, TENORS, np.array(repo), SHORT_END, out)
        return out

    def weighed(self, weights: Floats) -> WeighedDesign:
        """The problem with a weight for each bond's price error, factored.

        Raises
        ------
        ConfigError
            If the bonds leave a coefficient undecided.
        """
        q, r = np.linalg.qr(self.matrix[:, 1:] * weights[:, None])
        condition = np.linalg.cond(r) if np.all(np.isfinite(r)) else np.inf
        if not condition < WORST_CONDITION:
            raise ConfigError(self._undecided(condition))
        return WeighedDesign(self, weights, np.linalg.solve(r, q.T), np.einsum("ij,ij->i", q, q))

    def _undecided(self, condition: float) -> str:
        maturities = self.times[self.offsets[1:] - 1]
        stops = self.tau[DEGREE:-DEGREE]
        counts, _ = np.histogram(maturities, stops)
        thin = int(np.argmin(counts))
        return (
            f"the basket leaves the spline undecided (condition {condition:.1e}): {np.unique(maturities).size} "
            f"maturities for {self.matrix.shape[1] - 1} numbers, {counts[thin]} bonds between {stops[thin]:.2f} and "
            f"{stops[thin + 1]:.2f} years; ask for fewer knots, or add bonds there"
        )


@dataclass(frozen=True)
class WeighedDesign:
    """A design with weights, factored: what a fit at new prices re-uses."""

    design: ParDesign
    weights: Floats  # float64[n], per unit of price
    solution: Floats  # float64[free, n]: coefficients per weighed price
    leverage: Floats  # float64[n], between 0 and 1: how much of a bond's fitted price is its own

    def fit(self, dirty_price: Floats, repo: GcRepo, price_value: Floats) -> ParFit:
        """Least squares at these prices.

        Parameters
        ----------
        dirty_price : float64[n]
            Per 100 of face. Checked by the caller.
        price_value : float64[n]
            ``P D``: price lost per 1.00 of yield, for the yield errors of the answer.
        """
        design = self.design
        x0 = float(repo.discount_factor(np.array(SHORT_END)))
        fixed = design.short_value(repo) + x0 * design.matrix[:, 0]
        free = self.solution @ ((dirty_price - fixed) * self.weights)
        model = fixed + design.matrix[:, 1:] @ free
        coefficients = np.concatenate([[x0], free])
        curve = ParCurve(repo, design.tau, coefficients, design.last, design.coupons_a_year)
        return ParFit(curve, self, dirty_price, price_value, model)


@dataclass(frozen=True)
class ParFit:
    """A curve and what it makes of the bonds it was fitted to. Prices are dirty, per 100; errors are model less market.

    A positive error is a cheap bond: the curve would pay more for it, and its yield is above the curve's.
    """

    curve: ParCurve
    weighed: WeighedDesign
    dirty_price: Floats
    price_value: Floats  # P D
    model_price: Floats

    @property
    def price_error(self) -> Floats:
        return self.model_price - self.dirty_price

    @property
    def yield_error(self) -> Floats:
        """Yield above the curve's, to first order: ``price_error / (P D)``."""
        return self.price_error / self.price_value

    @property
    def left_out_yield_error(self) -> Floats:
        """Yield error of each bond against the curve of the others, on the same knots and weights.

        ``e / (1 - leverage)``: the exact answer of a refit without the bond. NaN where the others do not decide the
        curve at that bond.
        """
        rest = 1 - self.weighed.leverage
        return np.where(rest > CERTAIN, self.yield_error / np.where(rest > CERTAIN, rest, 1.0), np.nan)

    @property
    def rmse(self) -> float:
        """Root of the mean squared yield error."""
        return float(np.sqrt(np.mean(self.yield_error**2)))

    def refit(
        self, dirty_price: ArrayLike, repo: GcRepo | None = None, *, modified_duration: ArrayLike | None = None
    ) -> ParFit:
        """The fit at new prices (and repo rates) on the cached design: same bonds, day, knots and weights.

        Weights stay those of the first fit, which hardly moves the curve: by 0.001 bp of zero rate where yields moved
        by 10 bp, 0.01 bp where they moved by 50 (257 bonds, 1 bp of noise). Yield errors are of the first fit's
        ``P D`` as well, unless durations are given.

        Raises
        ------
        ConfigError
            If the prices or durations are not one a bond, finite and > 0.
        """
        price = _checked("dirty_price", dirty_price, self.dirty_price.size)
        price_value = self.price_value
        if modified_duration is not None:
            price_value = price * _checked("modified_duration", modified_duration, price.size)
        return self.weighed.fit(price, self.curve.repo if repo is None else repo.check(), price_value)


def fit_par_curve(
    design: ParDesign, dirty_price: ArrayLike, modified_duration: ArrayLike, repo: GcRepo, *, objective: Objective
) -> ParFit:
    """Fit the discount function to dirty prices.

    Parameters
    ----------
    design : ParDesign
        Of the bonds in the basket.
    dirty_price : float64[n]
        Clean price and accrued, per 100 of face, > 0.
    modified_duration : float64[n]
        Of the street yield, in years, > 0.
    repo : GcRepo
        Decides d up to half a year.
    objective : "yield" or "price"
        The enhanced fit minimises squared yield errors, the legacy fit squared price errors.

    Raises
    ------
    ConfigError
        If an array has the wrong length or a number that cannot be, or the bonds leave the spline undecided.
    """
    bonds = design.offsets.size - 1
    price = _checked("dirty_price", dirty_price, bonds)
    price_value = price * _checked("modified_duration", modified_duration, bonds)
    weights = 1 / price_value if objective == "yield" else np.ones(bonds)
    return design.weighed(weights).fit(price, repo.check(), price_value)


def _checked(name: str, values: ArrayLike, bonds: int) -> Floats:
    checked = numbers(name, values)
    if checked.shape != (bonds,):
        raise ConfigError(f"{name} has shape {checked.shape} for {bonds} bonds; give one number a bond")
    refuse(name, checked, ~((checked > 0) & (checked < np.inf)), "be > 0 and finite", "drop the bond")
    return checked
