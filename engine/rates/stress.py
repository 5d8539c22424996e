"""What an options book would lose tomorrow morning: a ladder of rate and vol shocks at every close, and its worst rung.

A shock moves all rates by the same amount and all vols by the same part, at once, after the close's deals. Forwards
move with the rates; the smile keeps its offsets from the forward; the annuity changes as that of a flat curve of two
coupons a year would, which leaves out how far the curve is from flat.

The largest loss on the ladder is a margin: what must be there for the book to survive the shock, at each close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.rates.bachelier import value_and_delta
from engine.rates.option_panel import OptionPanel
from engine.rates.short_gamma import BP, Structure
from engine.rates.short_gamma_kernels import HEDGE, NOTIONAL, PAID, STRIKE
from engine.rates.smile import smile_vol

Floats = NDArray[np.float64]

RATES_BP = (-100.0, -75.0, -50.0, -25.0, 0.0, 25.0, 50.0, 75.0, 100.0)
VOLS = (-0.25, 0.0, 0.25)


class Ladder(NamedTuple):
    """P/L of shocks in bp of the notional of one sale."""

    rates_bp: tuple[float, ...]  # r
    vols: tuple[float, ...]  # v, parts: 0.25 is a quarter more
    pnl_bp: Floats  # [d, r, v], of everything open after each close

    @property
    def margin_bp(self) -> Floats:
        """float64[d]: the largest loss of each close's ladder, 0 where no shock loses."""
        return np.maximum(-self.pnl_bp.min(axis=(1, 2)), 0.0)

    @property
    def worst_day(self) -> int:
        """The close with the largest margin."""
        return int(np.argmax(self.margin_bp))


def stress_ladder(
    panel: OptionPanel,
    structure: Structure,
    paths: Floats,
    *,
    tenor_years: float = 10.0,
    is_sold: ArrayLike | None = None,
    rates_bp: Sequence[float] = RATES_BP,
    vols: Sequence[float] = VOLS,
) -> Ladder:
    """Shock what ``short_gamma.trace`` holds after each close.

    Parameters
    ----------
    panel, structure : OptionPanel, Structure
    paths : float64[n, legs, rows, m]
        Of ``trace`` on both.
    tenor_years : float
        Of the swaps, for the change of their annuity.
    is_sold : bool[n], optional
        Leaves out sales that a signal declines.
    rates_bp, vols : sequence of float
        Shocks in bp, and in parts of vol, above -1.

    Raises
    ------
    ConfigError
        If a vol shock leaves no vol, or shapes do not fit.
    """
    if any(shock <= -1 for shock in vols):
        raise ConfigError(f"vol shocks are {tuple(vols)}, but each must be above -1; -0.25 takes a quarter away")
    sold = np.ones(len(panel), bool) if is_sold is None else np.asarray(is_sold, bool)
    kinds = np.array([kind for kind, _ in structure.legs])
    if paths.shape[:2] != (len(panel), len(kinds)) or sold.shape != (len(panel),):
        raise ConfigError(
            f"paths has shape {paths.shape} and is_sold {sold.shape}, but the panel has {len(panel)} sales of "
            f"{len(kinds)} legs; give the trace of this panel and structure"
        )
    out = np.zeros((panel.dates.size, len(rates_bp), len(vols)))
    _fill_ladder(
        panel.forward, panel.annuity, panel.settlement, panel.years, panel.offsets, panel.smiles, panel.sold,
        panel.last, kinds, paths, sold, np.array(rates_bp) * BP, np.array(vols, float), tenor_years, out,
    )  # fmt: skip
    return Ladder(tuple(rates_bp), tuple(vols), out / BP)


@compiled
def _fill_ladder(
    forward, annuity, settlement, years, offsets, smiles, sold, last, kinds, paths, is_sold, rates, vols, tenor, out
):
    for n in range(last.size):
        if not is_sold[n]:
            continue
        for k in range(last[n]):
            day, now, root = sold[n] + k, forward[n, k], years[n, k] ** 0.5
            for r in range(rates.size):
                later = now + rates[r]
                grown = _flat_annuity(later, tenor) / _flat_annuity(now, tenor)
                for leg in range(kinds.size):
                    path = paths[n, leg]
                    strike, short = path[STRIKE, k], path[NOTIONAL, k] * settlement[n, k]
                    hedged = annuity[n, k] * (grown * (path[HEDGE, k] * later - path[PAID, k]))
                    hedged -= annuity[n, k] * (path[HEDGE, k] * now - path[PAID, k])
                    vol = smile_vol(offsets, smiles[n], k, strike - now)
                    before, _ = value_and_delta(now - strike, vol * root, kinds[leg])
                    vol = smile_vol(offsets, smiles[n], k, strike - later)
                    for v in range(vols.size):
                        after, _ = value_and_delta(later - strike, vol * (1.0 + vols[v]) * root, kinds[leg])
                        out[day, r, v] += hedged - short * (grown * after - before)


@compiled
def _flat_annuity(rate, tenor):
    """Of half-yearly payments for ``tenor`` years on a flat curve."""
    factor, total = 1.0, 0.0
    for _ in range(int(2.0 * tenor + 0.5)):
        factor /= 1.0 + 0.5 * rate
        total += 0.5 * factor
    return total
