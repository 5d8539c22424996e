"""How a short option's gamma survives a move of the rate: exhibit 8 of the short-gamma paper, which is pure pricing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.rates.gaussian import quantile
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]


def straddle_gamma(shock: ArrayLike, *, deviation: float, aged: float = 1.0) -> Floats:
    """Gamma of an at-the-money straddle after ``shock``, in parts of its first: ``sqrt(a) exp(-a u^2 / 2)``.

    Parameters
    ----------
    shock : float64
        Change of the forward swap rate, decimal.
    deviation : float
        ``normal_vol sqrt(T0)``, the standard deviation of the forward to expiry at the sale, > 0; ``u = shock /
        deviation``.
    aged : float
        ``a = T0 / T1``, the time to expiry at the sale over that left, >= 1.

    Source: Younger, Iglesias and Sarkar (2016), "Leap of faith", J.P. Morgan, exhibit 8.
    """
    u = _shocks(shock, deviation, aged)
    return np.array([math.sqrt(aged) * math.exp(-aged * x * x / 2) for x in u.ravel().tolist()]).reshape(u.shape)[()]


def strangle_gamma(shock: ArrayLike, *, deviation: float, aged: float = 1.0, delta: float = 0.25) -> Floats:
    """The same for the amount of strangles that begins with the straddle's gamma, legs of ``delta`` at one vol.

    ``sqrt(a) exp(c^2 / 2) (exp(-a (u - c)^2 / 2) + exp(-a (u + c)^2 / 2)) / 2`` with c the normal quantile of
    ``delta``.
    """
    refuse("delta", delta, np.asarray(not 0 < delta < 1), "be between 0 and 1", "give 0.25 for 25-delta")
    u, c = _shocks(shock, deviation, aged), quantile(delta)
    legs = [math.exp(-aged * (x - c) ** 2 / 2) + math.exp(-aged * (x + c) ** 2 / 2) for x in u.ravel().tolist()]
    return math.sqrt(aged) * math.exp(c * c / 2) / 2 * np.array(legs).reshape(u.shape)[()]


def _shocks(shock: ArrayLike, deviation: float, aged: float) -> Floats:
    refuse("deviation", deviation, np.asarray(not deviation > 0), "be > 0", "give normal_vol times sqrt(years)")
    refuse("aged", aged, np.asarray(not 1 <= aged < math.inf), "be >= 1", "give years at the sale over years left")
    return numbers("shock", shock) / deviation
