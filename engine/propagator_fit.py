"""The kernel's exponent from a tape: how the mid responds to trades, with their autocorrelation taken out.

1. Transactions n = 1 .. N of a tape, each a sign e_n and the move r_n of the mid, in bp, from just before it to just
   before the next. One transaction is one step of volume time.
2. A linear propagator says ``r_n = sum_k dG_k e_(n-k) + noise``: covariances with the signs give
   ``S_l = sum_k dG_k C_(l-k)``, C the autocorrelation of signs, a Toeplitz system for dG; G is its running sum.
3. The response ``R_l = sum of S up to l`` is what one sees; G is what one trade does alone.
4. G is fitted by the kernel of MI.2, ``g (l^(1-omega) - (l-1)^(1-omega))``, with weights from the jackknife.
5. All standard errors are those of a jackknife over ``BLOCKS`` parts of the tape.

Source: Bouchaud, Gefen, Potters and Wyart (2004), Quantitative Finance 4, 176.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Parameters, check_parameters
from engine.errors import ConfigError, TapeError
from engine.tape import Tape
from engine.touch_flow import MARKET, flow_events

Floats = NDArray[np.float64]

BLOCKS = 20


class PropagatorFit(msgspec.Struct, frozen=True):
    """Response and propagator by lag (in transactions, from 1), and the exponent, with standard errors."""

    response_bp: tuple[float, ...]
    response_error: tuple[float, ...]
    propagator_bp: tuple[float, ...]
    propagator_error: tuple[float, ...]
    omega: float
    omega_error: float
    transactions: int

    def parameters(self, others: Parameters) -> Parameters:
        """``others`` with this omega.

        Raises
        ------
        ConfigError
            If they permit manipulation together.
        """
        found = msgspec.structs.replace(others, omega=self.omega)
        check_parameters(found, f"propagator of {self.transactions} transactions")
        return found


def fit_propagator(tape: Tape, symbol: str, *, lags: int = 100) -> PropagatorFit:
    """Estimate the propagator of ``symbol`` from its transactions on a tape; see ``fit_signs``.

    Raises
    ------
    TapeError
        If the tape lacks the instrument, or has fewer than ``BLOCKS * 2 * lags`` transactions.
    """
    events = flow_events(tape, symbol)
    trades = events[events["flow"] == MARKET]
    mids = (trades["bid"] + trades["ask"]) / 2
    return fit_signs(trades["side"][:-1], np.diff(mids) / mids[:-1] * 1e4, lags=lags, where=symbol)


def fit_signs(signs: NDArray[np.int64], moves_bp: Floats, *, lags: int = 100, where: str = "the tape") -> PropagatorFit:
    """Estimate the propagator.

    Parameters
    ----------
    signs : int64[n]
        +1 for a buyer's transaction, -1 for a seller's.
    moves_bp : float64[n]
        Of the mid, from before each transaction to before the next.
    lags : int
        Up to which lag, >= 10.

    Raises
    ------
    TapeError
        If there are fewer than ``BLOCKS * 2 * lags`` transactions, they are of one sign, repeat exactly, or move the
        mid against themselves.
    """
    if lags < 10:
        raise ConfigError(f"a propagator needs at least 10 lags to tell a power law, not {lags}")
    if len(signs) < BLOCKS * 2 * lags:
        raise TapeError(
            f"{where} has {len(signs)} transactions with a side; {lags} lags need {BLOCKS * 2 * lags}: "
            "give a longer tape or fewer lags"
        )
    e = np.asarray(signs, np.float64)
    if abs(e.mean()) == 1:
        raise TapeError(f"all transactions of {where} have one side; sign them first")
    parts = [
        _sums(a, b, lags) for a, b in zip(np.array_split(e, BLOCKS), np.array_split(moves_bp, BLOCKS), strict=True)
    ]
    total = np.sum(parts, axis=0)
    try:
        response, propagator = _propagator(total)
        without = [_propagator(total - part) for part in parts]
    except np.linalg.LinAlgError:
        raise TapeError(f"the sides of {where}'s transactions repeat exactly, which leaves no lag to itself") from None
    errors = [_jackknife(np.array(found)) for found in zip(*without, strict=True)]
    weights = 1 / np.maximum(errors[1], 1e-12 + 1e-6 * np.abs(propagator).max())
    omega = _exponent(propagator, weights, where)
    omegas = np.array([_exponent(found[1], weights, where) for found in without])
    return PropagatorFit(
        response_bp=tuple(response.tolist()),
        response_error=tuple(errors[0].tolist()),
        propagator_bp=tuple(propagator.tolist()),
        propagator_error=tuple(errors[1].tolist()),
        omega=omega,
        omega_error=float(_jackknife(omegas)),
        transactions=len(e),
    )


def _sums(e: Floats, r: Floats, lags: int) -> Floats:
    """[2 lags + 1]: numbers of pairs are alike for all lags, so sums over the same n serve as means."""
    n = e.size - lags
    own = [e[:n] @ e[lag : lag + n] for lag in range(lags)]
    with_moves = [e[:n] @ r[lag : lag + n] for lag in range(lags)]
    return np.array([*own, *with_moves, n])


def _propagator(sums: Floats) -> tuple[Floats, Floats]:
    lags = (sums.size - 1) // 2
    c, s = sums[:lags] / sums[-1], sums[lags:-1] / sums[-1]
    distance = np.abs(np.subtract.outer(np.arange(lags), np.arange(lags)))
    return np.cumsum(s), np.cumsum(np.linalg.solve(c[distance], s))


def _exponent(propagator: Floats, weights: Floats, where: str) -> float:
    """omega of the kernel that is nearest; its size is found by linear least squares."""
    from scipy.optimize import minimize_scalar  # half a second that `import engine` need not pay

    lag = np.arange(1, propagator.size + 1, dtype=np.float64)
    target = weights * propagator
    if not target.sum() > 0:
        raise TapeError(f"trades of {where} do not move its mid their own way; there is no propagator to fit")

    def distance(omega: float) -> float:
        shape = weights * (lag ** (1 - omega) - (lag - 1) ** (1 - omega))
        return float(target @ target - (shape @ target) ** 2 / (shape @ shape))

    found: Any = minimize_scalar(distance, bounds=(0.001, 0.999), method="bounded", options={"xatol": 1e-6})
    return float(found.x)


def _jackknife(without: Floats) -> Floats:
    """Standard error from estimates that each leave one block out."""
    n = len(without)
    return np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
