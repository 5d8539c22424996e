"""The paper's whole programme on one market: every structure, hedge, restrike and signal as one column of returns.

A ``Market`` is what a history of closes says, recorded or simulated; ``returns`` runs the same columns on either, so a
rule meets itself in a fair world. Two columns of volatility stand beside them: what a seller is paid above the daily
volatility, and what daily volatility is above that of the range (exhibit 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.rates.option_panel import OptionPanel
from engine.rates.pnl_explain import vol_premium
from engine.rates.risk_measures import MEASURES, measure_table
from engine.rates.short_gamma import Costs, Rule, Structure, backtest
from engine.rates.trading_signals import clustering, expiry_curve, is_on, vol_carry, vol_level

Floats = NDArray[np.float64]

STRUCTURES = {"straddle": Structure(), "strangle": Structure(delta=0.25)}
HEDGES = {"never": math.inf, "50%": 0.5, "25%": 0.25, "10%": 0.1, "daily": 0.0}
RESTRIKES = (0.1, 0.2)  # of the first gamma
SIGNALS = ("clustering", "vol_carry", "vol_level", "expiry_curve")
VOLS = ("implied less daily vol", "daily less range vol")  # in % of implied
STATISTICS = (*MEASURES, "mean")


class Market(NamedTuple):
    """What the closes of a history say about 1Mx10Y; by close, float64[d]."""

    panel: OptionPanel
    implied_1m: Floats
    implied_3m: Floats
    forward: Floats  # of the 10-year swap a month ahead


class Column(NamedTuple):
    """One rule: what is sold, how it is looked after, when, and in which half of the history (0: all of it)."""

    structure: str
    hedge: str
    is_net: bool = False  # of hedging costs
    restrike: float = 0.0
    signal: str = ""
    half: int = 0

    @property
    def name(self) -> str:
        """Words, as tables show them."""
        more = [f"restruck below {self.restrike:.0%} of gamma"] if self.restrike else []
        more += [self.signal.replace("_", " ")] if self.signal else []
        more += [f"{'first' if self.half == 1 else 'second'} half"] if self.half else []
        return ", ".join([self.structure, f"hedged {self.hedge}", *more, "net" if self.is_net else "gross"])


HEDGED = tuple(Column(s, h, is_net) for is_net in (False, True) for s in STRUCTURES for h in HEDGES)
RESTRUCK = tuple(Column("straddle", "daily", restrike=x) for x in RESTRIKES)
SIGNALLED = tuple(Column("strangle", "50%", is_net=True, signal=signal) for signal in SIGNALS)
HALVES = tuple(Column(s, h, half=half) for half in (1, 2) for s, h in (("strangle", "never"), ("straddle", "daily")))
PROGRAMME = (*HEDGED, *RESTRUCK, *SIGNALLED, *HALVES)


def returns(market: Market, costs: Costs, columns: Sequence[Column] = PROGRAMME) -> Floats:
    """What each sale earned under each column, in % of the premium at mid, and last the columns of ``VOLS``.

    Returns
    -------
    float64[n, c + 2]
        A row for each sale in order; NaN where the column did not sell.
    """
    hedges = [Rule(hedge_beyond=x) for x in HEDGES.values()]
    restruck = [Rule(hedge_beyond=0.0, restrike_below=x) for x in RESTRIKES]
    found = backtest(market.panel, list(STRUCTURES.values()), [*hedges, *restruck])
    earned = {False: found.percent_of_premium(Costs(hedge_bp=0.0)), True: found.percent_of_premium(costs)}
    by_column = [_column(market, earned[column.is_net], column) for column in columns]
    return np.column_stack([*by_column, *_vols(market.panel)])


def without_costs(columns: Sequence[Column] = PROGRAMME) -> list[Column]:
    """The same rules gross of costs: what a fair world is run on, so that costs stay on the rule's account."""
    return [column._replace(is_net=False) for column in columns]


def statistics(earned: Floats) -> Floats:
    """``STATISTICS`` of each column of returns: float64[c, 7]."""
    counts = (~np.isnan(earned)).sum(axis=0)
    means = np.nansum(earned, axis=0) / np.where(counts, counts, math.nan)
    return np.column_stack([measure_table(earned), means])


def _column(market: Market, earned: Floats, column: Column) -> Floats:
    rule = len(HEDGES) + RESTRIKES.index(column.restrike) if column.restrike else list(HEDGES).index(column.hedge)
    mine = earned[:, list(STRUCTURES).index(column.structure), rule]
    taken = np.ones(mine.size, bool)
    if column.signal:
        taken &= is_on(column.signal, _signal(market, mine, column.signal))
    if column.half:
        taken &= (np.arange(mine.size) >= mine.size // 2) == (column.half == 2)
    return np.where(taken, mine, math.nan)


def _signal(market: Market, earned: Floats, signal: str) -> Floats:
    """The signal's number at each sale."""
    if signal == "clustering":
        return clustering(market.panel, earned)
    by_close = {
        "vol_carry": lambda: vol_carry(market.implied_1m, market.forward),
        "vol_level": lambda: vol_level(market.implied_1m),
        "expiry_curve": lambda: expiry_curve(market.implied_1m, market.implied_3m),
    }[signal]()
    return by_close[market.panel.sold]


def _vols(panel: OptionPanel) -> tuple[Floats, Floats]:
    vols = vol_premium(panel)
    return 100 * (vols.implied - vols.daily) / vols.implied, 100 * (vols.daily - vols.ranged) / vols.implied
