"""Sell short options on every close under many rules at once: the research path of the short-gamma programme.

Each sale is independent: one structure sold at the close, held to expiry, delta-hedged by a rule, perhaps restruck. So
results are arrays [sale, structure, rule], signals choose sales afterwards (``trading_signals``), and costs are
applied afterwards too, because what was traded is kept beside what was earned at mid. The rule itself is in
``short_gamma_kernels``; the event path marks the same contracts with the same functions and must agree to 1e-9 bp.

Source: Younger, Iglesias and Sarkar (2016), "Leap of faith", J.P. Morgan US Fixed Income Strategy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.bachelier import PAYER, RECEIVER, STRADDLE
from engine.rates.gaussian import quantile
from engine.rates.option_panel import OptionPanel
from engine.rates.short_gamma_kernels import HEDGED, PATH_ROWS, VEGA_TRADED, WEALTH, trace_all, walk_all

Floats = NDArray[np.float64]
BP = 1e-4


class Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sold: the at-the-money straddle as one package, or a strangle whose legs are managed separately."""

    delta: float | None = None  # of each leg of a strangle, between 0 and 1; None is the straddle

    def __post_init__(self) -> None:
        if self.delta is not None and not 0 < self.delta < 1:
            raise ConfigError(f"a strangle's delta must be between 0 and 1, but is {self.delta}; write 0.25")

    @property
    def legs(self) -> tuple[tuple[int, float], ...]:
        """(kind, normal quantile of its delta) of each leg; quantile 0 is at the money."""
        if self.delta is None:
            return ((STRADDLE, 0.0),)
        c = float(quantile(self.delta))
        return ((PAYER, c), (RECEIVER, c))


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a leg is hedged and restruck, at closes after the sale and before expiry.

    ``hedge_beyond`` is the |fractional delta| above which the leg is hedged to zero: 0 hedges daily, inf never.
    ``restrike_below`` is the part of its first gamma below which a leg is bought back and sold again at the current
    forward (a strangle's leg at its delta), same expiry and underlying, with that gamma; 0 never does.
    ``hedge_at`` is the fixed rate of a hedge: "forward" costs nothing to enter; "strike" is the leg's strike of the
    moment, so that hedges of one strike net into one swap, and its value is paid in cash.
    """

    hedge_beyond: float = math.inf
    restrike_below: float = 0.0
    hedge_at: Literal["forward", "strike"] = "forward"

    def __post_init__(self) -> None:
        if not self.hedge_beyond >= 0:
            raise ConfigError(f"hedge_beyond must be >= 0, but is {self.hedge_beyond}; write 0 for daily")
        if not 0 <= self.restrike_below < 1:
            raise ConfigError(f"restrike_below must be from 0 to below 1, but is {self.restrike_below}; write 0.1")


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To mid: of hedges in bp of yield per unit of DV01, of options in bp of normal vol per unit of vega."""

    hedge_bp: float = 0.2
    option_half_spread_bp: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.hedge_bp < math.inf and 0 <= self.option_half_spread_bp < math.inf):
            raise ConfigError(f"costs must be >= 0 and finite, but are {self}; give them as paid")


class Results(msgspec.Struct, frozen=True):
    """What every sale n earned under every structure s and rule r, per unit of the notional sold."""

    gross: Floats  # [n, s, r], at mid
    hedged: Floats  # [n, s, r], notional times annuity of all hedges traded, the unwind at expiry too
    vega_traded: Floats  # [n, s, r], of the sale and of both sides of restrikes
    hedges: NDArray[np.int64]  # [n, s, r], hedges traded before the unwind
    premium: Floats  # [n, s], at mid
    annuity: Floats  # [n], at the sale

    def pnl_bp(self, costs: Costs) -> Floats:
        """Net P/L in bp of notional, [n, s, r]."""
        spent_bp = costs.hedge_bp * self.hedged + costs.option_half_spread_bp * self.vega_traded
        return self.gross / BP - spent_bp

    def running_bp(self, costs: Costs) -> Floats:
        """Net P/L in bp of the annuity at the sale, [n, s, r]."""
        return self.pnl_bp(costs) / self.annuity[:, None, None]

    def percent_of_premium(self, costs: Costs) -> Floats:
        """Net P/L in percent of the premium at mid, [n, s, r]: what the risk measures read."""
        return self.pnl_bp(costs) * BP / self.premium[:, :, None] * 100


def backtest(panel: OptionPanel, structures: Sequence[Structure], rules: Sequence[Rule]) -> Results:
    """Walk every sale of ``panel`` under all structures and rules.

    Raises
    ------
    ConfigError
        If there is no structure or no rule.
    """
    kinds, quantiles, owners = _legs(structures)
    table = _table(rules)
    out = np.zeros((len(panel), len(structures), len(rules) + 1, 4))  # the row after the last rule holds the premium
    scratch = np.empty((3, panel.forward.shape[1]))
    walk_all(*_market(panel), kinds, quantiles, owners, table, scratch, out)
    gross, hedged, vega, hedges = (out[:, :, :-1, column].copy() for column in range(4))
    premium, annuity = out[:, :, -1, 0].copy(), panel.annuity[:, 0].copy()
    return Results(gross, hedged, vega, hedges.astype(np.int64), premium, annuity)


def trace(panel: OptionPanel, structure: Structure, rule: Rule) -> Floats:
    """Every close of every sale under one rule: float64[n, legs, rows, m], rows as ``short_gamma_kernels`` names them.

    Beyond expiry wealth keeps its last value and the other rows are 0.
    """
    kinds, quantiles, _ = _legs([structure])
    paths = np.zeros((len(panel), kinds.size, PATH_ROWS, panel.forward.shape[1]))
    scratch = np.empty((3, panel.forward.shape[1]))
    trace_all(*_market(panel), kinds, quantiles, _table([rule])[0], scratch, paths)
    return paths


def net_wealth_bp(paths: Floats, costs: Costs) -> Floats:
    """Wealth of each sale after each close, costs paid, in bp of notional: float64[n, m] from ``trace``."""
    hedged, vega = np.cumsum(paths[:, :, HEDGED], axis=-1), np.cumsum(paths[:, :, VEGA_TRADED], axis=-1)
    spent = costs.hedge_bp * BP * hedged + costs.option_half_spread_bp * BP * vega
    return (paths[:, :, WEALTH] - spent).sum(axis=1) / BP


def daily_pnl_bp(panel: OptionPanel, wealth_bp: Floats, *, is_sold: NDArray[np.bool_] | None = None) -> Floats:
    """P/L of each close in bp of the notional of one sale, summed over the sales that are open: float64[d].

    ``is_sold`` (bool[n]) leaves out the sales that a signal declines.
    """
    steps = np.diff(wealth_bp, axis=1, prepend=0.0)
    counted = panel.is_marked & (True if is_sold is None else np.asarray(is_sold, bool)[:, None])
    summed = np.zeros(panel.dates.size)
    np.add.at(summed, panel.close[counted], steps[counted])
    return summed


def _legs(structures: Sequence[Structure]) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    legs = [(kind, c, s) for s, structure in enumerate(structures) for kind, c in structure.legs]
    if not legs:
        raise ConfigError("a backtest needs at least one structure; give Structure() for the at-the-money straddle")
    kinds, quantiles, owners = zip(*legs, strict=True)
    return np.array(kinds, np.int64), np.array(quantiles, np.float64), np.array(owners, np.int64)


def _table(rules: Sequence[Rule]) -> Floats:
    if not rules:
        raise ConfigError("a backtest needs at least one rule; give Rule() for an option that is never hedged")
    return np.array([(rule.hedge_beyond, rule.restrike_below, rule.hedge_at == "strike") for rule in rules], np.float64)


def _market(panel: OptionPanel) -> tuple[NDArray, ...]:
    return panel.forward, panel.annuity, panel.settlement, panel.years, panel.offsets, panel.smiles, panel.last
