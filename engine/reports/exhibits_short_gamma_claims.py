"""What "Leap of faith" says about its rules, as data: which columns of the programme a claim sets against which.

A ``Contrast`` is a number of a table of statistics: the mean of one over some columns, less the mean (or the largest)
over others. The same contrast is taken of the history, of each bootstrap draw of it, and of each fair world; it says
nothing about how it should come out.

Source: Younger, Iglesias and Sarkar (2016), "Leap of faith", J.P. Morgan US Fixed Income Strategy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.rates.short_gamma_programme import HEDGES, PROGRAMME, SIGNALS, STATISTICS, STRUCTURES, VOLS, Column
from engine.reports.exhibits import Claim

Floats = NDArray[np.float64]

NAMES = (*(column.name for column in PROGRAMME), *VOLS)


class Contrast(NamedTuple):
    """Statistic of ``plus`` less that of ``minus``: of their means, or of the best of ``minus``, ``times`` a factor."""

    statistic: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    is_of_best: bool = False
    times: float = 1.0

    def of(self, tables: Floats) -> Floats:
        """The number of each of ``tables``, float64[..., column, statistic]: float64[...]."""
        values = tables[..., STATISTICS.index(self.statistic)]
        above = values[..., [NAMES.index(name) for name in self.plus]].mean(axis=-1)
        if not self.minus:
            return self.times * above
        below = values[..., [NAMES.index(name) for name in self.minus]]
        return self.times * (above - (below.max(axis=-1) if self.is_of_best else below.mean(axis=-1)))


def column(
    structure: str, hedge: str, costs: str = "net", *, restrike: float = 0.0, signal: str = "", half: int = 0
) -> str:
    """The name of a column."""
    return Column(structure, hedge, costs == "net", restrike, signal, half).name


def _of_halves(half: int) -> tuple[str, ...]:
    """Strangle of ``half`` and straddle of the other: means of two such sides differ by half of what changed."""
    return column("strangle", "never", "gross", half=half), column("straddle", "daily", "gross", half=3 - half)


STRANGLES, STRADDLES = (tuple(column(s, h) for h in HEDGES) for s in ("strangle", "straddle"))
HALF = column("strangle", "50%")
OTHERS = tuple(name for name in (*STRANGLES, *STRADDLES) if name != HALF)
BY_SIGNAL = {signal: column("strangle", "50%", signal=signal) for signal in SIGNALS}
RISK, PERCENT = "benchmark", "% of premium"
HEADLINE = column("straddle", "daily", "gross")

CLAIMS = (
    (
        Claim("1", "selling 1Mx10Y straddles, hedged daily, is paid: risk-adjusted", "0.39 (median / IQR)", RISK),
        Contrast("benchmark", (HEADLINE,)),
    ),
    (
        Claim("1", "the same in money: its mean", "", PERCENT),
        Contrast("mean", (HEADLINE,)),
    ),
    (
        Claim("3", "strangles unhedged gained on straddles hedged daily, second half less first", "", "median / IQR"),
        Contrast("nonparametric_sharpe", _of_halves(2), _of_halves(1), times=2.0),
    ),
    (
        Claim("3", "implied vol pays for the daily volatility", "", "% of implied"),
        Contrast("mean", (VOLS[0],)),
    ),
    (
        Claim("3", "the range pays more than daily volatility: range vol is below daily vol", "", "% of implied"),
        Contrast("mean", (VOLS[1],)),
    ),
    (
        Claim("7", "strangles beat straddles, net, over all hedges", "", RISK),
        Contrast("benchmark", STRANGLES, STRADDLES),
    ),
    (
        Claim("7", "the same in money: their means", "", PERCENT),
        Contrast("mean", STRANGLES, STRADDLES),
    ),
    *(
        (
            Claim("7", f"{structure}s: hedging beyond 50% beats hedging daily, net", "", RISK, tried=len(STRUCTURES)),
            Contrast("benchmark", (column(structure, "50%"),), (column(structure, "daily"),)),
        )
        for structure in STRUCTURES
    ),
    (
        Claim("7", "strangles: hedging beyond 50% beats never hedging, net", "", RISK),
        Contrast("benchmark", (HALF,), (column("strangle", "never"),)),
    ),
    (
        Claim("7", "strangles hedged beyond 50% are the best of all rules, net", "", RISK, len(STRANGLES + STRADDLES)),
        Contrast("benchmark", (HALF,), OTHERS, is_of_best=True),
    ),
    *(
        (
            Claim("9", f"restriking below {x:.0%} of gamma costs straddles, gross", "", RISK, tried=2),
            Contrast("benchmark", (HEADLINE,), (column("straddle", "daily", "gross", restrike=x),)),
        )
        for x in (0.1, 0.2)
    ),
    *(
        (
            Claim("10", f"{signal.replace('_', ' ')} helps strangles hedged beyond 50%, net", "", RISK, len(SIGNALS)),
            Contrast("benchmark", (name,), (HALF,)),
        )
        for signal, name in BY_SIGNAL.items()
    ),
    *(
        (
            Claim("10", f"{signal.replace('_', ' ')}: the same in money", "", PERCENT, len(SIGNALS)),
            Contrast("mean", (name,), (HALF,)),
        )
        for signal, name in BY_SIGNAL.items()
    ),
    (
        Claim("10", "vol carry helps most of the four signals", "", RISK, len(SIGNALS)),
        Contrast(
            "benchmark",
            (BY_SIGNAL["vol_carry"],),
            tuple(name for signal, name in BY_SIGNAL.items() if signal != "vol_carry"),
            is_of_best=True,
        ),
    ),
)
