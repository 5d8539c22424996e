"""From a history of curves and vol surfaces to the panel of every option sold in it.

Each sale's contract keeps its own dates for life, and every close on which there is a curve marks it: a roll-down of
the curve, or a change of constant-maturity quotes, never becomes P/L of a contract. Closes without a curve are simply
not there; a sale whose expiry is not among the closes cannot be settled and is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.curves import DiscountCurve
from engine.rates.day_counts import as_dates
from engine.rates.option_panel import OptionPanel
from engine.rates.swap_curve import FixedLegs, SwapMarket
from engine.rates.swaption_contract import ContractMarket, Underlyings, contract_market, expiry_date, underlyings
from engine.rates.vol_surface import VolSurface


class Sales(NamedTuple):
    """A panel, the contracts of its rows, and the closes on which nothing was sold, with the reason."""

    panel: OptionPanel
    contracts: Underlyings
    left_out: list[tuple[np.datetime64, str]]


def contract_panel(
    dates: ArrayLike,
    curves: Sequence[DiscountCurve],
    surface: VolSurface,
    *,
    expiry_months: int = 1,
    tenor_months: int = 120,
    market: str | SwapMarket = "USD 2016",
    is_cash_settled: bool = False,
    calendar: str | None = None,
) -> Sales:
    """Sell one option on every close and mark it at every close until it expires.

    Parameters
    ----------
    dates : datetime64[D][d], ascending
        The closes.
    curves : d DiscountCurve
        Each with its date as time 0.
    surface : VolSurface
        Holds every one of the dates.
    expiry_months, tenor_months : int
        1 and 120 are the 1Mx10Y of the paper.
    is_cash_settled : bool
        Par-yield cash settlement in place of the swap itself.
    calendar : str, optional
        Of expiries, as ``expiry_date`` takes it; "US government bond" has no close on Good Friday.

    Raises
    ------
    ConfigError
        If there is no curve for each date, no sale can be settled, or as ``contract_market`` on a date.
    """
    days = as_dates("dates", dates)
    if days.ndim != 1 or days.size != len(curves) or (np.diff(days.astype(np.int64)) <= 0).any():
        raise ConfigError(f"{len(curves)} curves for dates of shape {days.shape}; give one for each, ascending")
    expiry = expiry_date(days, expiry_months, market, calendar=calendar)
    at = np.minimum(np.searchsorted(days, expiry), days.size - 1)
    sold = np.flatnonzero(days[at] == expiry)
    left_out = [(days[k], _why_not(expiry[k], days)) for k in np.flatnonzero(days[at] != expiry)]
    if not sold.size:
        raise ConfigError(f"no option can be settled: {left_out[0][1]}; give more closes")
    contracts = underlyings(expiry[sold], tenor_months, market)
    last = at[sold] - sold
    marks = _mark(days, curves, surface, contracts, sold, last)
    settlement = marks.cash_annuity if is_cash_settled else None
    panel = OptionPanel(
        days, sold, last, marks.forward, marks.annuity, marks.years, marks.smiles,
        offsets=surface.offsets, settlement=settlement,
    )  # fmt: skip
    return Sales(panel, contracts, left_out)


def _mark(
    days: NDArray[np.datetime64],
    curves: Sequence[DiscountCurve],
    surface: VolSurface,
    contracts: Underlyings,
    sold: NDArray[np.int64],
    last: NDArray[np.int64],
) -> ContractMarket:
    shape = (sold.size, int(last.max()) + 1)
    forward, annuity, cash, years = np.full((4, *shape), np.nan)
    marks = ContractMarket(forward, annuity, cash, years, np.full((*shape, surface.offsets.size), np.nan))
    for day in range(days.size):
        # sales ascend and so do their expiries: the open ones are neighbours
        first, end = int(np.searchsorted(sold + last, day)), int(np.searchsorted(sold, day, side="right"))
        if first == end:
            continue
        found = contract_market(curves[day], surface, days[day], _some(contracts, first, end))
        rows = np.arange(first, end)
        for mine, theirs in zip(marks, found, strict=True):
            mine[rows, day - sold[rows]] = theirs
    return marks


def _some(contracts: Underlyings, first: int, end: int) -> Underlyings:
    """Contracts ``first:end``."""
    legs = contracts.legs
    offsets = legs.offsets[first : end + 1]
    paid = slice(offsets[0], offsets[-1])
    part = FixedLegs(
        legs.start[first:end], legs.end[first:end], offsets - offsets[0], legs.pay[paid], legs.accrual[paid]
    )
    return Underlyings(contracts.expiry[first:end], part, contracts.tenor_years[first:end])


def _why_not(expiry: np.datetime64, days: NDArray[np.datetime64]) -> str:
    if expiry > days[-1]:
        return f"it expires on {expiry}, after the last close, {days[-1]}"
    return f"it expires on {expiry}, on which there is no close"
