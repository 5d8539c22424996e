"""The paper's made-up curves, and how far z-spreads of fair bonds mislead on them (its Exhibits 3 and 7).

A proxy is an annual zero curve with two parameters, ``y_t = y0 + f H_t`` with H_t = 1 + 1/2 + … + 1/t, t = 1..30. The
charts with the parameters are lost; ``PROXIES`` reproduces 24 of the 27 printed numbers of Exhibit 3 to the printed
decimal. Only ``f_government - f_swap`` is pinned by the table, market levels choose the rest.

Reading of the table: "level ±100bp" moves y0 by 1 %; "curve ±100bp" moves the 30-year minus 1-year slope by 1 % through
f and holds the 1-year zero rate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engine.rates.curves import DiscountCurve
from engine.rates.day_counts import Floats
from engine.rates.refusals import numbers, refuse_percent
from engine.rates.schedules import Ints
from engine.rates.z_spread import price_on_curve, z_spread

YEARS = 30
HARMONIC = np.cumsum(1 / np.arange(1.0, YEARS + 1))
LOW_COUPON, HIGH_COUPON = 0.01, 0.06


class Proxy(NamedTuple):
    """``y_t = y0 + f H_t``, decimals."""

    y0: float
    f: float

    def shifted(self, level: float = 0.0, curve: float = 0.0) -> Proxy:
        """The proxy with its level, or its 30-year minus 1-year slope at an unchanged 1-year rate, moved."""
        steeper = curve / (HARMONIC[-1] - 1)
        return Proxy(self.y0 + level - steeper, self.f + steeper)

    def zero_rates(self) -> Floats:
        """Annual zero rates of 1 to 30 years."""
        return self.y0 + self.f * HARMONIC

    def curve(self) -> DiscountCurve:
        """Straight zero rates between whole years, flat outside."""
        times = np.arange(1.0, YEARS + 1)
        return DiscountCurve.from_zero_rates(times, self.zero_rates(), interpolation="linear zero", beyond="flat")


PROXIES = {
    "EUR swap": Proxy(-0.0080, 0.0055),
    "Italy": Proxy(-0.0135, 0.0110),
    "France": Proxy(-0.0110, 0.0070),
    "Germany": Proxy(-0.0115, 0.0060),
}


class AnnualFlows(NamedTuple):
    """Flows of bonds that pay once a year, the next time in a year from now, per 100 of face."""

    offsets: Ints
    times: Floats
    amounts: Floats


def annual_flows(coupons: ArrayLike, years: int = YEARS) -> AnnualFlows:
    """Bonds of ``coupons``, float64[n], that all mature in ``years``."""
    rates = np.atleast_1d(numbers("coupons", coupons))
    refuse_percent("coupons", rates)
    amounts = np.repeat(100 * rates, years)
    offsets = np.arange(rates.size + 1) * years
    amounts[offsets[1:] - 1] += 100
    return AnnualFlows(offsets, np.tile(np.arange(1.0, years + 1), rates.size), amounts)


def fair_z_spreads(government: DiscountCurve, swap: DiscountCurve, coupons: ArrayLike, *, years: int = YEARS) -> Floats:
    """z-spreads over ``swap`` of bonds priced fair on ``government``, float64[n]."""
    flows = annual_flows(coupons, years)
    return z_spread(flows, price_on_curve(flows, government), swap)


def mispricing(government: DiscountCurve, swap: DiscountCurve) -> float:
    """z of a 1 % 30-year bond minus z of a 6 % one, both fair on ``government``: 0 where z-spreads can be trusted."""
    low, high = fair_z_spreads(government, swap, [LOW_COUPON, HIGH_COUPON])
    return float(low - high)


SCENARIOS = {
    f"{side} {kind} {sign}100bp": (side, {kind: move})
    for kind in ("level", "curve")
    for side in ("Govt", "Swap")
    for sign, move in (("+", 0.01), ("-", -0.01))
}


def scenario_changes(government: Proxy, swap: Proxy) -> dict[str, float]:
    """By how much each scenario of Exhibit 3 changes the mispricing, decimals; ``Proxy`` is the mispricing itself."""
    proxy = mispricing(government.curve(), swap.curve())
    changes = {"Proxy": proxy}
    for name, (side, move) in SCENARIOS.items():
        govt = government.shifted(**move) if side == "Govt" else government
        swaps = swap.shifted(**move) if side == "Swap" else swap
        changes[name] = mispricing(govt.curve(), swaps.curve()) - proxy
    return changes
