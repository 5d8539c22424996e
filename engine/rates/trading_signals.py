"""Whether to sell today: four numbers known at the close, each on above its threshold, NaN before its window is full.

| signal | number | on above |
|---|---|---|
| clustering | P/L of the latest comparable trade that has expired | 0 |
| vol_carry | implied vol / realised vol of the last 21 days | 1.2 |
| vol_level | z-score of implied vol over the trailing 252 days, today included | 0.5 |
| expiry_curve | 1M minus 3M implied vol | 0 |

NaN compares as off: nothing is sold on a signal that is not there yet.

Source: Younger, Iglesias and Sarkar (2016), "Leap of faith", J.P. Morgan, exhibit 10.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.option_panel import OptionPanel
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]

ON_ABOVE = {"clustering": 0.0, "vol_carry": 1.2, "vol_level": 0.5, "expiry_curve": 0.0}
REALISED_DAYS = 21
LEVEL_DAYS = 252
TRADING_DAYS = 252  # a year


def is_on(signal: str, number: ArrayLike) -> NDArray[np.bool_]:
    """Whether a signal's number is above its threshold.

    Raises
    ------
    ConfigError
        If there is no such signal.
    """
    if signal not in ON_ABOVE:
        raise ConfigError(f"signal {signal!r} is unknown; take one of {', '.join(ON_ABOVE)}")
    return numbers("number", number) > ON_ABOVE[signal]


def clustering(panel: OptionPanel, pnl: ArrayLike) -> Floats:
    """The P/L of the latest sale that had expired by each sale's close, float64[n]; NaN where none had.

    ``pnl`` is float64[n], of the same structure, rule and costs, whether or not a signal would have taken the trade.
    Of sales that expired on one close the last one counts. A sale's own future cannot leak in: it expires later.
    """
    earned = numbers("pnl", pnl)
    if earned.shape != panel.sold.shape:
        raise ConfigError(f"pnl has shape {earned.shape}, but the panel has {len(panel)} sales; give one P/L for each")
    order = np.lexsort((panel.sold, panel.expired))
    latest = np.searchsorted(panel.expired[order], panel.sold, side="right") - 1
    return np.where(latest >= 0, earned[order][np.maximum(latest, 0)], math.nan)


def vol_carry(implied: ArrayLike, forward: ArrayLike) -> Floats:
    """Implied over realised normal vol at each close, float64[d].

    Realised is the root mean square (about 0) of the last 21 daily changes of ``forward``, the forward rate of the
    10-year swap, times the square root of 252. NaN also where nothing moved.
    """
    vols, rates = _history("implied", implied), _history("forward", forward, positive=False)
    if vols.shape != rates.shape:
        raise ConfigError(f"implied has shape {vols.shape} and forward {rates.shape}; give both for the same closes")
    realised = np.full(rates.shape, math.nan)
    if rates.size > REALISED_DAYS:
        windows = np.lib.stride_tricks.sliding_window_view(np.diff(rates) ** 2, REALISED_DAYS)
        realised[REALISED_DAYS:] = np.sqrt(windows.mean(axis=1) * TRADING_DAYS)
    return np.divide(vols, realised, out=np.full(vols.shape, math.nan), where=realised > 0)


def vol_level(implied: ArrayLike) -> Floats:
    """(implied - mean) / standard deviation over the trailing 252 closes, float64[d]; NaN also where constant."""
    vols = _history("implied", implied)
    score = np.full(vols.shape, math.nan)
    if vols.size >= LEVEL_DAYS:
        windows = np.lib.stride_tricks.sliding_window_view(vols, LEVEL_DAYS)
        deviation = windows.std(axis=1, ddof=1)
        # a constant's deviation is rounding, not 0
        moved = deviation > 1e-12 * windows.mean(axis=1)
        gap = vols[LEVEL_DAYS - 1 :] - windows.mean(axis=1)
        score[LEVEL_DAYS - 1 :] = np.divide(gap, deviation, out=np.full(gap.shape, math.nan), where=moved)
    return score


def expiry_curve(implied_1m: ArrayLike, implied_3m: ArrayLike) -> Floats:
    """1M minus 3M implied normal vol at each close, decimals a year, float64[d]."""
    short, long = _history("implied_1m", implied_1m), _history("implied_3m", implied_3m)
    if short.shape != long.shape:
        raise ConfigError(f"implied_1m has shape {short.shape} and implied_3m {long.shape}; give both for all closes")
    return short - long


def _history(name: str, values: ArrayLike, *, positive: bool = True) -> Floats:
    x = numbers(name, values)
    if x.ndim != 1:
        raise ConfigError(f"{name} has shape {x.shape}, but a history has one number for each close")
    refuse(name, x, ~np.isfinite(x), "be finite", "leave out the closes without one")
    if positive:
        refuse(name, x, x <= 0, "be > 0", "leave out the closes without a quote")
    return x
