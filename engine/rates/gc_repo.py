"""The short end of the par curve: general collateral repo, four simple rates, linear in time between them.

    d(t) = 1 / (1 + r(t) t),  t in years of 365.25 days, t < 0.5

Before the overnight date the overnight rate holds. Source: J.P. Morgan, "The new and improved Treasury par curve
model", 16 July 2018, which takes O/N, 1m, 3m and 6m.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import ConfigError

Floats = NDArray[np.float64]

DAYS_A_YEAR = 365.25
TENORS = np.array([1 / DAYS_A_YEAR, 1 / 12, 0.25, 0.5])  # years
LARGEST = 0.25  # of a rate: above, it was meant in percent


class GcRepo(NamedTuple):
    """General collateral repo rates: simple, decimals, per year of 365.25 days (``from_act_360`` converts)."""

    overnight: float
    one_month: float
    three_month: float
    six_month: float

    @classmethod
    def from_act_360(cls, overnight: float, one_month: float, three_month: float, six_month: float) -> GcRepo:
        """Rates as the market quotes them, per year of 360 days."""
        return cls(*(rate * DAYS_A_YEAR / 360 for rate in (overnight, one_month, three_month, six_month)))

    def check(self) -> GcRepo:
        """Itself, or ConfigError about the first rate that is no decimal."""
        for name, rate in zip(self._fields, self, strict=True):
            if not abs(rate) <= LARGEST:
                raise ConfigError(
                    f"GC repo {name} is {rate}, but must be a rate in decimals between -{LARGEST} and {LARGEST}; "
                    "2.1 % is 0.021"
                )
        return self

    def rate(self, times: Floats) -> Floats:
        """Simple rate for a term of ``times`` years, up to half a year."""
        return np.interp(times, TENORS, self)

    def discount_factor(self, times: Floats) -> Floats:
        """Of payments in ``times`` years, up to half a year."""
        return 1 / (1 + self.rate(times) * times)


@compiled
def fill_short_value(offsets, times, amounts, tenors, rates, until, out):
    """``out[i]`` = value of the flows of bond i before ``until`` years."""
    for i in range(offsets.size - 1):
        total = 0.0
        for f in range(offsets[i], offsets[i + 1]):
            t = times[f]
            if t >= until:
                continue
            rate = rates[0]
            for k in range(1, tenors.size):
                if t > tenors[k - 1]:
                    part = min((t - tenors[k - 1]) / (tenors[k] - tenors[k - 1]), 1.0)
                    rate = rates[k - 1] + part * (rates[k] - rates[k - 1])
            total += amounts[f] / (1.0 + rate * t)
        out[i] = total
