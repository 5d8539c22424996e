"""Impact of whole schedules: the macro form (slides eq. 2), the mean cost it implies, and a forecast before the trade.

Time is market volume traded, ours excluded, in clock units (a half-hour of average volume). A schedule trades at
constant participation v_i between ``edges[i]`` and ``edges[i + 1]``. With f_i = alpha sigma^beta sign(v_i) |v_i|^gamma,

    I(t) = sum_i f_i [(t - t_i)^(1-omega) - (t - min(t, t_i+1))^(1-omega)] / (1 - omega)

over cells begun by t: exact, and the same however cells are cut.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.broker.impact import (
    AlmgrenChriss,
    Market,
    NoImpact,
    Parameters,
    Propagator,
    SquareRoot,
    check_parameters,
    spread_part,
)
from engine.errors import ConfigError

Floats = NDArray[np.float64]


def impulse_bp(parameters: Parameters, participation: ArrayLike, daily_volatility: float) -> Floats:
    """f of each participation: ``alpha sigma^beta sign(v) |v|^gamma``, bp."""
    v = np.asarray(participation, np.float64)
    return parameters.alpha * daily_volatility**parameters.beta * np.sign(v) * np.abs(v) ** parameters.gamma


def impact_bp(
    parameters: Parameters, participation: ArrayLike, edges: ArrayLike, at: ArrayLike, *, daily_volatility: float
) -> Floats:
    """I at times ``at``, during or after a schedule.

    Parameters
    ----------
    parameters : Parameters
    participation : float64[n]
        Own size over market size in each bin, signed.
    edges : float64[n + 1]
        In clock units, increasing.
    at : float64[m]
        In clock units.
    daily_volatility : float
        As a fraction.

    Returns
    -------
    float64[m]
        bp, positive where the price stands higher than it would.

    Raises
    ------
    ConfigError
        If edges do not fit or increase (a bin without market volume), or the volatility is not positive.
    """
    v, t = _bins(participation, edges)
    f = impulse_bp(parameters, v, _volatility(daily_volatility))
    passed = np.maximum(np.subtract.outer(np.asarray(at, np.float64), t), 0.0)  # (m, n + 1)
    powers = passed ** (1 - parameters.omega) / (1 - parameters.omega)
    return -np.diff(powers, axis=-1) @ f


def mean_cost_bp(
    parameters: Parameters,
    participation: ArrayLike,
    edges: ArrayLike,
    *,
    daily_volatility: float,
    spread_bp: float = 0.0,
) -> float:
    """What a schedule pays by eq. 2, in bp of its own size: impact at each trade, and delta times the spread.

    Size-weighted over the schedule and against its signs, so that a round trip that earns has a negative cost.
    """
    v, t = _bins(participation, edges)
    size = np.abs(v * np.diff(t)).sum()
    if not size:
        return 0.0
    f = impulse_bp(parameters, v, _volatility(daily_volatility))
    return float(v @ double_integrals(t, parameters.omega) @ f / size) + parameters.delta * spread_bp


def double_integrals(edges: ArrayLike, omega: float) -> Floats:
    """``D[j, i]``: integral over s in bin i and t in bin j, s < t, of (t - s)^-omega; 0 above the diagonal."""
    t = np.asarray(edges, np.float64)
    second = np.maximum(np.subtract.outer(t, t), 0.0) ** (2 - omega) / ((1 - omega) * (2 - omega))
    return -np.diff(np.diff(second, axis=0), axis=1)


def forecast_bp(
    model: Propagator | SquareRoot | AlmgrenChriss | NoImpact,
    market: Market,
    size: int,
    duration: float,
    *,
    spread_bp: float = 0.0,
) -> float:
    """Expected cost of a parent before it is traded, at constant participation, in bp of arrival and positive.

    Parameters
    ----------
    model : Impact
        HFMI has no macro form and is forecast by MI.2 of its region.
    market : Market
        The instrument's average day.
    size : int
        Of the parent, size units.
    duration : float
        Market volume over which it trades, in clock units (``model.units_a_day`` are a day).
    spread_bp : float
        Average quoted spread.

    Raises
    ------
    ConfigError
        If the duration or the day's volume is not positive, or the parent is larger than the day.
    """
    if isinstance(model, NoImpact):
        return 0.0
    if market.daily_volume <= 0 or not duration > 0:
        raise ConfigError(f"a cost forecast needs volume: {market.daily_volume} a day, {duration} clock units to trade")
    share = abs(size) / market.daily_volume
    if share > 1:
        raise ConfigError(
            f"a parent of {size} is larger than an average day, {market.daily_volume}; split it over days"
        )
    sigma_bp = _volatility(market.daily_volatility) * 1e4
    v = share * model.units_a_day / duration
    match model:
        case SquareRoot():  # the mean of sqrt over the order is 2/3 of its end
            return model.prefactor * sigma_bp * math.sqrt(share) * 2 / 3
        case AlmgrenChriss():
            return sigma_bp * (model.permanent * share / 2 + model.temporary * v**model.exponent)
    check_parameters(model.used)
    cost = mean_cost_bp(model.used, [v], [0.0, duration], daily_volatility=market.daily_volatility)
    return cost + spread_part(model) * spread_bp


def _bins(participation: ArrayLike, edges: ArrayLike) -> tuple[Floats, Floats]:
    v, t = np.asarray(participation, np.float64), np.asarray(edges, np.float64)
    if v.ndim != 1 or t.shape != (v.size + 1,):
        raise ConfigError(f"a schedule of {v.size} bins needs {v.size + 1} edges, but got {t.size}")
    if not (np.isfinite(v).all() and np.isfinite(t).all()):
        raise ConfigError("a schedule's participations and edges must be finite numbers")
    if (empty := np.flatnonzero(np.diff(t) <= 0)).size:
        k = int(empty[0])
        raise ConfigError(
            f"bin {k} from {t[k]} to {t[k + 1]} has no market volume; leave it out or join it to a neighbour"
        )
    return v, t


def _volatility(daily: float) -> float:
    if not (daily > 0 and math.isfinite(daily)):
        raise ConfigError(f"the daily volatility is {daily}; impact needs it > 0, as a fraction (0.02 is 2 %)")
    return daily
