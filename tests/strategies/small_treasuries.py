"""A few closes of a small Treasury market: bonds on a smooth curve, but for the yield errors that a test plants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.panel_layout import BOND
from engine.rates.bonds import Bonds, accrued, cash_flows, price_from_yield, street_yield
from engine.rates.holidays import add_business_days
from engine.rates.z_spread import price_on_curve
from engine.tape import Manifest, Tape
from feeds.close_rows import close_instrument, close_rows

SYMBOL = "USD.RATES"
FIRST = np.datetime64("2018-07-02")
BONDS = 72
CALENDAR = "US government bond"
TENORS = np.arange(1.0, 13.0)


class Curve:
    """Zero rates that rise from 2 % by a tenth of a percent a year, more slowly later."""

    def discount_factor(self, times: Any, /) -> NDArray[np.float64]:
        t = np.asarray(times, np.float64)
        return np.exp(-(0.02 + 0.012 * (1 - np.exp(-t / 8))) * t)


def isin(bond: int) -> str:
    return f"US{bond:010d}"


def bonds() -> NDArray[np.void]:
    """Maturities from one to ten and a half years; terms that have no on-the-run issue."""
    static = np.zeros(BONDS, BOND)
    days = np.linspace(1.3, 10.4, BONDS) * 365.25
    static["isin"] = [isin(bond).encode() for bond in range(BONDS)]
    static["kind"], static["frequency"], static["day_count"] = b"NOTE", 2, b"ACT/ACT ICMA"
    static["maturity"] = FIRST.astype(np.int64) + days.astype(np.int64)
    static["dated"] = FIRST.astype(np.int64) - 1_500
    static["coupon"] = 0.01 + 0.00125 * (np.arange(BONDS) * 7 % 24)
    static["term"] = 15
    return static


def small_treasuries(errors_bp: Any, **panels: NDArray[Any]) -> Tape:
    """``errors_bp[day, bond]`` above 0 makes a bond cheap; other panels replace or join the market's own."""
    errors = np.atleast_2d(np.asarray(errors_bp, np.float64)) * 1e-4
    days, static = add_business_days(FIRST, np.arange(len(errors)), CALENDAR), bonds()
    prices = np.stack([_clean(static, day, error) for day, error in zip(days, errors, strict=True)])
    market = {
        "date": days.astype(np.int64).astype(np.int32),
        "bond": np.tile(np.arange(BONDS, dtype=np.uint16), (len(days), 1)),
        "bond_price": prices / 100,
        "bond_repo": np.full(prices.shape, np.nan),
        "axis_bond": static,
        "gc_repo": np.full((len(days), 4), 0.02),
        "axis_repo_tenor": np.array([1 / 365.25, 1 / 12, 0.25, 0.5]),
        "swap_rate": np.tile(0.022 + 0.001 * TENORS, (len(days), 1)),
        "axis_swap_tenor": TENORS,
    }
    manifest = Manifest(name="small", instruments=[close_instrument(SYMBOL)], synthetic=True)
    return Tape(close_rows(days), manifest, market | panels)


def planted(cheap: list[int], dear: list[int], *, days: int = 1, size_bp: float = 8.0) -> NDArray[np.float64]:
    """Errors of some bonds, the same each day."""
    errors = np.zeros((days, BONDS))
    errors[:, cheap], errors[:, dear] = size_bp, -size_bp
    return errors


def _clean(static: NDArray[np.void], day: np.datetime64, error: NDArray[np.float64]) -> NDArray[np.float64]:
    settle = add_business_days(day, 1, CALENDAR)
    terms = Bonds(
        static["maturity"].astype("datetime64[D]"), static["coupon"], dated=static["dated"].astype("datetime64[D]")
    )
    fair = price_on_curve(cash_flows(terms, settle), Curve())
    yields = street_yield(terms, settle, dirty=fair)
    return price_from_yield(terms, settle, yields + error) - accrued(terms, settle)
