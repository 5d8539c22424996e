"""The open sales of a programme, brought forward a close at a time: the research path as far as today.

At each close every open sale receives its own contract's numbers of that day, in one pricing call for all, and a new
sale is opened. What a leg holds after the close is then read off ``short_gamma.trace`` of the panel so far, in which
tomorrow settles at today's market: nothing that ``trace`` says of today depends on it. So there is one hedging rule,
not one for research and one for trading.

A sale that no signal takes is followed all the same: clustering asks what it would have earned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.rates.curves import DiscountCurve
from engine.rates.option_panel import OptionPanel
from engine.rates.seller_programme import MEMORY, Programme, Quotes, implied_vols, signals_on
from engine.rates.short_gamma import net_wealth_bp, trace
from engine.rates.short_gamma_kernels import HEDGE, NOTIONAL, STRIKE
from engine.rates.swap_curve import FixedLegs
from engine.rates.swaption_contract import ContractMarket, Underlyings, contract_market, underlyings
from engine.rates.vol_surface import VolSurface

Floats = NDArray[np.float64]
FORWARD, ANNUITY, SETTLEMENT, YEARS, SMILE = range(5)  # columns of a mark; the smile takes the rest
SPARE = 8  # closes for which there is room


@dataclass(eq=False)
class Sale:
    """One structure sold at one close."""

    sold: np.datetime64
    contract: Underlyings  # of one swap
    units: int = 0  # notional sold; 0: only followed
    was_refused: bool = False  # so that some of it may be held that is to go

    @property
    def expiry(self) -> np.datetime64:
        """When its options are exercised, or not."""
        return self.contract.expiry[0]

    @cached_property
    def days(self) -> tuple[int, int, int]:
        """Expiry, start and maturity as days since 1970."""
        legs = self.contract.legs
        expiry, start, maturity = (int(day.astype(np.int64)) for day in (self.expiry, legs.start[0], legs.end[0]))
        return expiry, start, maturity


class LegHeld(NamedTuple):
    """What one leg of a sale wants to hold after a close, in whole units of notional, signed."""

    kind: int
    options: dict[float, int]  # by strike: the open one, and 0 at strikes that were left
    swaps: dict[float, int]  # by fixed rate, paying it


class OpenSales:
    """The sales that have not expired, and those that expire today.

    Parameters
    ----------
    programme : Programme
    """

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        self.sales: list[Sale] = []
        self.lost: list[tuple[Sale, list[float]]] = []  # since the last close, and the rates of their hedges
        self.paths: Floats = np.zeros((0, 0, 0, 0))  # of short_gamma.trace, for each of the sales
        self.panel: OptionPanel | None = None
        self.last_pnl_bp = math.nan  # net, of the latest sale that has expired
        self.ages = np.zeros(0, np.int64)  # of each of the sales, closes since it was sold
        self.is_expired = np.zeros(0, bool)  # settled at today's close
        self._kinds = [kind for kind, _ in programme.structure.legs]
        self._leg_paths: list[list[list[list[float]]]] = []  # [sale][leg] strikes, notionals and hedges by close
        self._dates: list[np.datetime64] = []  # closes since the oldest open sale
        self._marks: Floats = np.zeros((0, SPARE, SMILE))
        self._quotes: list[tuple[float, float, float]] = []  # as Quotes, of the last closes

    def close(self, date: np.datetime64, curve: DiscountCurve, surface: VolSurface) -> Sale:
        """Mark everything at the close of ``date``, and open today's sale, of no units as yet.

        Raises
        ------
        ConfigError
            As ``contract_market``: the surface or the curve does not reach the new option.
        """
        self._forget(date)
        terms = self.programme
        sale = Sale(date, underlyings(terms.expiry(date), terms.tenor_months, terms.market))
        market = contract_market(curve, surface, date, _joined([*self.sales, sale], date))
        self.sales.append(sale)
        self._dates.append(date)
        sold = np.array([one.sold for one in self.sales])
        self.ages = len(self._dates) - 1 - np.searchsorted(np.array(self._dates), sold)
        self.is_expired = np.array([one.expiry for one in self.sales]) <= date
        self._note(market)
        self.panel = self._panel(date, surface)
        self.paths = trace(self.panel, terms.structure, terms.rule)
        self._leg_paths = self.paths[:, :, (STRIKE, NOTIONAL, HEDGE)].tolist()
        self._note_result()
        if terms.signals:
            self._quotes.append((*implied_vols(terms, surface, date), float(market.forward[-1])))
            del self._quotes[:-MEMORY]
        return sale

    def signals_off(self) -> list[str]:
        """The programme's signals that keep today's sale from being made."""
        if not self.programme.signals:
            return []
        quotes = Quotes(*np.array(self._quotes).T)
        on = signals_on(self.programme, quotes, self.last_pnl_bp)
        return [signal for signal in self.programme.signals if signal not in on]

    def held(self, i: int, units: int) -> list[LegHeld]:
        """What the legs of sale i hold after today's close, of ``units`` of notional sold; nothing once expired.

        Deals in a swap at one strike are the changes of the rounded hedge, so that rounding never adds up.
        """
        closes, is_open = int(self.ages[i]) + 1, not self.is_expired[i]
        legs = []
        for kind, (strikes, notionals, hedges) in zip(self._kinds, self._leg_paths[i], strict=True):
            strike = strikes[closes - 1]
            swaps = dict.fromkeys(strikes[:closes], 0)
            options = dict(swaps) if is_open else {}
            if is_open:
                options[strike] = -round(units * notionals[closes - 1])
                before = 0
                for rate, hedge in zip(strikes[:closes], hedges, strict=False):
                    now = round(units * hedge)
                    swaps[rate] += now - before
                    before = now
            legs.append(LegHeld(kind, options, swaps))
        return legs

    def _forget(self, date: np.datetime64) -> None:
        """What expired at an earlier close, and what no close settled in time: its swap has begun."""
        keep, self.lost = [], []
        for i, sale in enumerate(self.sales):
            has_begun = bool(sale.contract.legs.start[0] < date)
            keep.append(not has_begun and not self.is_expired[i])
            if has_begun and not self.is_expired[i]:
                closes = int(self.ages[i]) + 1
                self.lost.append((sale, sorted({rate for leg in self._leg_paths[i] for rate in leg[0][:closes]})))
        self.sales = [sale for sale, kept in zip(self.sales, keep, strict=True) if kept]
        self._marks = self._marks[np.array(keep, bool)]
        oldest = self.sales[0].sold if self.sales else date
        self._dates = [one for one in self._dates if one >= oldest]

    def _note(self, market: ContractMarket) -> None:
        """One more close of each sale, and the phantom after it."""
        paid_on = market.cash_annuity if self.programme.is_cash_settled else market.annuity
        columns = [market.forward, market.annuity, paid_on, market.years]
        marks = np.concatenate([np.column_stack(columns), market.smiles], axis=1)
        n, width = marks.shape
        ages = self.ages
        closes = max(self._marks.shape[1], (int(ages.max()) + 2 + SPARE) // SPARE * SPARE)
        grown = np.full((n, closes, width), np.nan)
        grown[: n - 1, : self._marks.shape[1], : self._marks.shape[2]] = self._marks
        self._marks, rows = grown, np.arange(n)
        grown[rows, ages] = marks
        grown[rows, ages + 1] = marks
        grown[rows, ages + 1, YEARS] = 0.0

    def _panel(self, date: np.datetime64, surface: VolSurface) -> OptionPanel:
        ages = self.ages
        last = np.where(self.is_expired, ages, ages + 1)
        marks = self._marks
        dates = np.array([*self._dates, date + 1])
        return OptionPanel(
            dates, len(self._dates) - 1 - ages, last,
            marks[:, :, FORWARD], marks[:, :, ANNUITY], marks[:, :, YEARS], marks[:, :, SMILE:],
            offsets=surface.offsets, settlement=marks[:, :, SETTLEMENT],
        )  # fmt: skip

    def _note_result(self) -> None:
        expired = np.flatnonzero(self.is_expired)
        if len(expired):
            wealth = net_wealth_bp(self.paths[expired[-1:]], self.programme.costs)
            self.last_pnl_bp = float(wealth[0, -1])


def _joined(sales: list[Sale], date: np.datetime64) -> Underlyings:
    """All contracts as one; what could not be settled in time settles today."""
    legs = [sale.contract.legs for sale in sales]
    expiry = np.maximum(np.array([sale.expiry for sale in sales]), date)
    offsets = np.concatenate([[0], np.cumsum([leg.pay.size for leg in legs])])
    whole = FixedLegs(
        np.concatenate([leg.start for leg in legs]),
        np.concatenate([leg.end for leg in legs]),
        offsets,
        np.concatenate([leg.pay for leg in legs]),
        np.concatenate([leg.accrual for leg in legs]),
    )
    return Underlyings(expiry, whole, np.concatenate([sale.contract.tenor_years for sale in sales]))
