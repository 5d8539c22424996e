"""What the papers need, read from the close-of-day panels of a tape: swap curves, a vol surface, bonds and repo.

Closes on which a curve or surface has a hole are left out, and counted. ``lacks`` names what a tape has not got.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.panel_layout import NO_BOND, decimals
from engine.rates.contract_panel import contract_panel
from engine.rates.curves import DiscountCurve
from engine.rates.gc_repo import GcRepo
from engine.rates.holidays import add_business_days
from engine.rates.par_basket import BondUniverse
from engine.rates.par_history import Quote
from engine.rates.short_gamma_programme import Market
from engine.rates.swap_curve import bootstrap_days, spot_swaps, swap_rates
from engine.rates.swaption_contract import expiry_date
from engine.rates.vol_surface import VolSurface
from engine.tape import Tape

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]
Panels = dict[str, NDArray[Any]]

CLOSES = "US government bond"  # calendar
MONTH, QUARTER = 1 / 12, 0.25
SLACK = 0.02  # years
FLAT_VOL = 0.01  # stands in where only forwards are wanted
REPO_YEARS = (1 / 365.25, 1 / 12, 0.25, 0.5)


class SwapHistory(NamedTuple):
    """Curves of the closes that have one."""

    dates: Dates
    curves: list[DiscountCurve]
    left_out: int  # closes without


class ShortGammaHistory(NamedTuple):
    """A market, and how it came about."""

    market: Market
    has_vols: bool
    notes: list[str]


def panels_of(tape: Tape) -> Panels:
    """The panels of the tape's only close-of-day market, or of its first, by plain name."""
    named = dict(tape.panels)
    market = next((i.symbol for i in tape.instruments if any(n.startswith(f"{i.symbol}.") for n in named)), None)
    if market is None:
        return named
    return {name[len(market) + 1 :]: panel for name, panel in named.items() if name.startswith(f"{market}.")}


def lacks(panels: Panels, *names: str) -> str:
    """The panels that are not there, in words; "" where all are."""
    gone = [name for name in names if name not in panels]
    return f"the tape has no panel {', '.join(gone)}" if gone else ""


def days_of(panels: Panels) -> Dates:
    """The closes."""
    return panels["date"].astype("datetime64[D]")


def swap_history(panels: Panels) -> SwapHistory:
    """A curve for each close that has every tenor."""
    rates, dates = np.asarray(panels["swap_rate"], np.float64), days_of(panels)
    full = np.isfinite(rates).all(axis=1)
    if not full.any():
        raise ConfigError("swap_rate has no close with every tenor; import the tape with fewer tenors")
    curves = bootstrap_days(dates[full], np.asarray(panels["axis_swap_tenor"]), rates[full])
    return SwapHistory(dates[full], curves, int((~full).sum()))


def short_gamma_history(panels: Panels) -> ShortGammaHistory:
    """Sales of 1Mx10Y on every close; without ``normal_vol`` a constant stands in, and only forwards mean anything."""
    swaps = swap_history(panels)
    notes = [f"{swaps.left_out} closes have no whole curve"] if swaps.left_out else []
    dates, curves = swaps.dates, swaps.curves
    has_vols = "normal_vol" in panels
    if has_vols:
        vols = np.asarray(panels["normal_vol"], np.float64)
        rows = np.searchsorted(days_of(panels), dates)
        quoted = (vols[rows] > 0).all(axis=(1, 2, 3))
        if (~quoted).any():
            notes.append(f"{(~quoted).sum()} closes have no whole vol surface")
        dates, curves, rows = dates[quoted], [curves[k] for k in np.flatnonzero(quoted)], rows[quoted]
        expiries, tenors, offsets = (np.asarray(panels[f"axis_vol_{name}"]) for name in ("expiry", "tenor", "offset"))
        surface = VolSurface(dates, expiries, tenors, offsets, vols[rows])
    else:
        surface = VolSurface(dates, [MONTH, QUARTER], [10.0], [0.0], np.full((dates.size, 2, 1, 1), FLAT_VOL))
    sales = contract_panel(dates, curves, surface, calendar=CLOSES)
    if sales.left_out:
        notes.append(f"{len(sales.left_out)} closes without a sale; of {sales.left_out[0][0]}, {sales.left_out[0][1]}")
    nodes = [_quoted(surface, years) for years in (MONTH, QUARTER)]
    one, three = (np.array([surface.vol(day, years, 10.0) for day in dates]) for years in nodes)
    return ShortGammaHistory(Market(sales.panel, one, three, _forwards(dates, curves)), has_vols, notes)


def _quoted(surface: VolSurface, years: float) -> float:
    """The quoted expiry that stands for ``years``: markets count three months as 90, 91 or 92 days."""
    node = float(surface.expiries[np.argmin(np.abs(surface.expiries - years))])
    if abs(node - years) > SLACK:
        raise ConfigError(f"normal_vol has no expiry near {12 * years:.0f} months; the nearest is {node:.3f} years")
    return node


def _forwards(dates: Dates, curves: list[DiscountCurve]) -> Floats:
    """The 10-year swap rate a month ahead, at each close."""
    legs = spot_swaps(expiry_date(dates, 1, calendar=CLOSES), 120)
    out = np.empty(dates.size)
    for i, curve in enumerate(curves):
        first, end = legs.offsets[i], legs.offsets[i + 1]
        mine = legs._replace(
            start=legs.start[i : i + 1], end=legs.end[i : i + 1], offsets=np.array([0, end - first]),
            pay=legs.pay[first:end], accrual=legs.accrual[first:end],
        )  # fmt: skip
        out[i] = swap_rates(curve, dates[i], mine).rate[0]
    return out


def bond_days(panels: Panels, every: int = 1) -> Iterator[Quote]:
    """Universe and repo of every ``every``-th close, as ``par_history`` fits them; settlement is a business day on."""
    rates = np.asarray(panels["gc_repo"], np.float64)
    terms = np.asarray(panels["axis_repo_tenor"])
    at = [int(np.argmin(np.abs(terms - years))) for years in REPO_YEARS]
    wrong = [years for years, k in zip(REPO_YEARS, at, strict=True) if abs(terms[k] - years) > 0.02]
    if wrong:
        raise ConfigError(f"gc_repo has no rate of {wrong[0]:.3g} years; it needs overnight, 1, 3 and 6 months")
    settles = add_business_days(days_of(panels), 1, CLOSES)
    for day in range(0, len(settles), every):
        if np.isfinite(rates[day, at]).all():
            yield Quote(settles[day], _universe(panels, day), GcRepo(*rates[day, at].tolist()))


def coupons_a_year(panels: Panels) -> int:
    """How often the bonds pay; all alike."""
    found = np.unique(panels["axis_bond"]["frequency"])
    if found.size != 1:
        raise ConfigError(f"the bonds pay {', '.join(map(str, found))} times a year; give a tape with one kind")
    return int(found[0])


def _universe(panels: Panels, day: int) -> BondUniverse:
    held = panels["bond"][day] != NO_BOND
    price = decimals("bond_price", panels["bond_price"][day])
    held &= np.isfinite(price)
    static = panels["axis_bond"][panels["bond"][day][held]]
    repo = panels.get("bond_repo")
    dated = static["dated"].astype("datetime64[D]")
    return BondUniverse(
        isin=static["isin"].astype(str),
        kind=static["kind"].astype(str),
        issue=dated,
        maturity=static["maturity"].astype("datetime64[D]"),
        coupon=static["coupon"].copy(),
        clean_price=100 * price[held],
        term=static["term"].astype(float),
        repo_6m=np.full(len(static), np.nan) if repo is None else decimals("bond_repo", repo[day][held]),
        dated=dated,
        first_coupon=np.full(len(static), "NaT", "datetime64[D]"),
    )


class Later(NamedTuple):
    """A curve seen from a later day: what discounts from ``years`` on."""

    curve: DiscountCurve
    years: float

    def discount_factor(self, times: Floats, /) -> Floats:
        """D from ``years`` to ``years + times``."""
        return self.curve.discount_factor(np.asarray(times) + self.years) / self.curve.discount_factor(self.years)
