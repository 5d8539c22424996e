"""Impact's parameters from what executions cost: alpha, beta, gamma, omega and delta, with standard errors.

The mean cost of a parent at constant participation v over T clock units, in bp of its arrival price, is

    alpha sigma^beta v^gamma T^(1-omega) / ((1 - omega) (2 - omega)) + delta spread

(the macro form averaged over the order). Non-linear least squares, each parent weighed by how far prices wander while
it trades, ``1e4 sigma sqrt(T / units_a_day / 3)``, times one factor that is estimated from the residuals. A region's
parameters stand in as priors: wide enough to give way to data, and to decide what a table cannot say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.broker.impact import REGIONS, UNITS_A_DAY, Parameters, Region, check_parameters
from engine.errors import ConfigError

Floats = NDArray[np.float64]

COLUMNS = ("participation", "duration", "volatility", "spread_bp", "cost_bp")
LEAST = 30  # parents
# standard deviations of the priors: of log alpha, beta, gamma, omega, delta
PRIOR = np.array([1.0, 0.5, 0.3, 0.3, 0.3])
LOW = np.array([math.log(1e-3), 0.0, 0.01, 0.01, 0.0])
HIGH = np.array([math.log(1e6), 3.0, 3.0, 0.99, 3.0])


class Fit(msgspec.Struct, frozen=True):
    """Estimates, their standard errors by name, and how well they tell the costs."""

    parameters: Parameters
    errors: dict[str, float]
    covariance: tuple[tuple[float, ...], ...]  # of log alpha, beta, gamma, omega, delta; priors included
    parents: int
    noise: float  # residuals in units of the price's wandering; near 1 where nothing else moves costs


def fit_executions(
    table: Mapping[str, ArrayLike] | Any, *, region: Region = "NA", units_a_day: int = UNITS_A_DAY
) -> Fit:
    """Fit the parameters to a table of parents.

    Parameters
    ----------
    table : mapping of column to float64[n], or a data frame
        ``participation`` own over market volume, > 0; ``duration`` market volume while it traded, in clock units;
        ``volatility`` daily, as a fraction; ``spread_bp`` average quoted; ``cost_bp`` against the mid at arrival,
        positive where it was paid, fees left out.
    region : str
        Whose parameters are the priors.

    Raises
    ------
    ConfigError
        If a column is missing or has a value that cannot be, parents are too few, the search does not end, or the
        result permits manipulation.
    """
    from scipy.optimize import least_squares  # half a second that `import engine` need not pay

    columns = _columns(table)
    v, duration, sigma, spread, cost = columns
    centre = _vector(REGIONS[region])
    wander = 1e4 * sigma * np.sqrt(duration / units_a_day / 3)

    def residuals(theta: Floats, noise: float) -> Floats:
        return np.concatenate(
            [(cost - _cost(theta, v, duration, sigma, spread)) / (noise * wander), (theta - centre) / PRIOR]
        )

    noise, theta = 1.0, np.clip(centre, LOW + 1e-6, HIGH - 1e-6)
    for _ in range(3):  # the noise needs the parameters, which hardly need the noise
        found = least_squares(residuals, theta, bounds=(LOW, HIGH), x_scale=PRIOR, args=(noise,))
        theta = found.x
        wandered = (cost - _cost(theta, v, duration, sigma, spread)) / wander
        noise = float(np.sqrt(wandered @ wandered / (cost.size - theta.size)))
        if noise < 1e-9:  # costs without noise: a simulation's
            break
    if not found.success:
        raise ConfigError(f"impact fit: the search did not end ({found.message}); look for outliers in cost_bp")
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    parameters = Parameters(alpha=math.exp(theta[0]), beta=theta[1], gamma=theta[2], omega=theta[3], delta=theta[4])
    check_parameters(parameters, f"impact fit of {cost.size} parents")
    errors = np.sqrt(np.diag(covariance))
    errors[0] *= parameters.alpha
    return Fit(
        parameters=parameters,
        errors=dict(zip(Parameters.__struct_fields__, errors.tolist(), strict=True)),
        covariance=tuple(tuple(row) for row in covariance.tolist()),
        parents=cost.size,
        noise=noise,
    )


def _cost(theta: Floats, v: Floats, duration: Floats, sigma: Floats, spread: Floats) -> Floats:
    log_alpha, beta, gamma, omega, delta = theta
    impact = np.exp(log_alpha + beta * np.log(sigma) + gamma * np.log(v) + (1 - omega) * np.log(duration))
    return impact / ((1 - omega) * (2 - omega)) + delta * spread


def _vector(p: Parameters) -> Floats:
    return np.array([math.log(p.alpha), p.beta, p.gamma, p.omega, p.delta])


def _columns(table: Mapping[str, ArrayLike]) -> list[Floats]:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ConfigError(f"impact fit: the table has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    columns = [np.asarray(table[name], np.float64) for name in COLUMNS]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise ConfigError(
            f"impact fit: columns have shapes {[column.shape for column in columns]}; give one row a parent"
        )
    if columns[0].size < LEAST:
        raise ConfigError(
            f"impact fit: {columns[0].size} parents are too few for five parameters; give at least {LEAST}"
        )
    for name, column in zip(COLUMNS, columns, strict=True):
        wrong = ~np.isfinite(column)
        if name != "cost_bp":
            wrong |= column < 0 if name == "spread_bp" else column <= 0
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            needed = {"cost_bp": "finite", "spread_bp": "finite and >= 0"}.get(name, "finite and > 0")
            raise ConfigError(
                f"impact fit: {name} is {column[row]} in row {row}, but must be {needed}; leave the row out"
            )
    return columns
