"""Where each close's P/L came from: delta, theta, gamma, vega, curve roll, costs, and what these do not explain.

Greeks are those of the position held after the close before, with notional n short, hedge h and its cash p (see
``short_gamma_kernels``), option value v and its derivatives per unit of settlement annuity S, hedge annuity A:

    delta        (h A - n S v_F) dF
    theta        n S vol^2 v_FF / 2 dt                 what a short option earns by waiting
    gamma        -n S v_FF / 2 dF^2                    what it pays for moves
    vega         -n S v_vol dvol                       vol of the strike itself, so a smile's roll is in it
    curve_roll   -n v dS + (h F - p) dA                discounting and the ageing of the annuity
    hedge_cost, option_cost                            as ``Costs`` charges them
    unexplained                                        the rest: second order in vol and annuity, third in the rate

They add up to the P/L by construction. Around expiry greeks change within a day, and the unexplained part grows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.rates.bachelier import gamma, value_and_delta
from engine.rates.option_panel import OptionPanel
from engine.rates.short_gamma import BP, Costs, Rule, Structure, trace
from engine.rates.short_gamma_kernels import HEDGE, HEDGED, NOTIONAL, PAID, STRIKE, VEGA_TRADED, WEALTH, unit_vega
from engine.rates.smile import smile_vol

Floats = NDArray[np.float64]


class Explained(NamedTuple):
    """P/L of each sale n at each close k, in bp of notional, float64[n, m]; 0 beyond expiry."""

    total: Floats
    delta: Floats
    theta: Floats
    gamma: Floats
    vega: Floats
    curve_roll: Floats
    hedge_cost: Floats  # <= 0
    option_cost: Floats  # <= 0
    unexplained: Floats


def explain(panel: OptionPanel, structure: Structure, rule: Rule, costs: Costs) -> Explained:
    """Split the P/L of every sale under one rule, close by close."""
    paths = trace(panel, structure, rule)
    parts = np.zeros((5, *panel.forward.shape))
    kinds = np.array([kind for kind, _ in structure.legs])
    _fill_parts(
        panel.forward, panel.annuity, panel.settlement, panel.years, panel.offsets, panel.smiles, panel.last, kinds,
        paths, parts,
    )  # fmt: skip
    delta, theta, gamma_part, vega, roll = parts / BP
    gross = np.diff(paths[:, :, WEALTH].sum(axis=1), axis=1, prepend=0.0) / BP
    hedge_cost = -costs.hedge_bp * paths[:, :, HEDGED].sum(axis=1)
    option_cost = -costs.option_half_spread_bp * paths[:, :, VEGA_TRADED].sum(axis=1)
    unexplained = gross - (delta + theta + gamma_part + vega + roll)
    total = gross + hedge_cost + option_cost
    return Explained(total, delta, theta, gamma_part, vega, roll, hedge_cost, option_cost, unexplained)


class VolPremium(NamedTuple):
    """Implied vol of each sale and what was realised over its life, normal vol a year, float64[n].

    ``implied - ranged = (implied - daily) + (daily - ranged)``: the premium of a never hedged straddle is that of a
    daily hedged one plus that of range over daily volatility (exhibit 3 of the paper).
    """

    implied: Floats
    daily: Floats  # sqrt(sum of squared daily changes of the forward / years)
    ranged: Floats  # |last - first forward| sqrt(pi / 2) / sqrt(years): its mean is the vol of a normal walk


def vol_premium(panel: OptionPanel) -> VolPremium:
    """Implied at the money, daily and range volatility of every sale."""
    years, rows = panel.years[:, 0], np.arange(len(panel))
    steps = np.diff(panel.forward, axis=1)
    squares = np.where(panel.is_marked[:, 1:], steps**2, 0.0).sum(axis=1)
    move = panel.forward[rows, panel.last] - panel.forward[:, 0]
    implied = np.array([smile_vol(panel.offsets, panel.smiles[n], 0, 0.0) for n in rows])
    return VolPremium(implied, np.sqrt(squares / years), np.abs(move) * np.sqrt(np.pi / 2 / years))


@compiled
def _fill_parts(forward, annuity, settlement, years, offsets, smiles, last, kinds, paths, parts):
    for n in range(last.size):
        for leg in range(kinds.size):
            kind = kinds[leg]
            for k in range(1, last[n] + 1):
                strike, notional = paths[n, leg, STRIKE, k - 1], paths[n, leg, NOTIONAL, k - 1]
                hedge, paid = paths[n, leg, HEDGE, k - 1], paths[n, leg, PAID, k - 1]
                before, now = forward[n, k - 1], forward[n, k]
                vol = smile_vol(offsets, smiles[n], k - 1, strike - before)
                # at expiry there is no vol to have moved
                later = smile_vol(offsets, smiles[n], k, strike - now) if years[n, k] > 0.0 else vol
                root = years[n, k - 1] ** 0.5
                level, slope = value_and_delta(before - strike, vol * root, kind)
                short = notional * settlement[n, k - 1]
                curvature = 0.5 * short * gamma(before - strike, vol * root, kind)
                waited = years[n, k - 1] - years[n, k]
                parts[0, n, k] += (hedge * annuity[n, k - 1] - short * slope) * (now - before)
                parts[1, n, k] += vol * vol * curvature * waited
                parts[2, n, k] -= curvature * (now - before) ** 2
                parts[3, n, k] -= short * unit_vega(before - strike, vol * root, root, kind) * (later - vol)
                parts[4, n, k] -= notional * level * (settlement[n, k] - settlement[n, k - 1])
                parts[4, n, k] += (hedge * before - paid) * (annuity[n, k] - annuity[n, k - 1])
