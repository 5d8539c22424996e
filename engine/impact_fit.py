"""Impact's parameters from what executions cost: alpha, beta, gamma, omega and delta, with standard errors.

The mean cost of a parent at constant participation v over T clock units, in bp of its arrival price, is

    alpha sigma^beta v^gamma T^(1-omega) / ((1 - omega) (2 - omega)) + delta spread

(the macro form averaged over the order). Non-linear least squares, each parent weighed by how far prices wander while
it trades, ``1e4 sigma sqrt(T / units_a_day / 3)``, times one factor that is estimated from the residuals. A region's
parameters stand in as priors: wide enough to give way to data, and to decide what a table cannot say.

Where a parent's path is known, eq. 2 is averaged over it instead: v_k in the k-th equal part of its duration.
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
from engine.impact_path import double_integrals

Floats = NDArray[np.float64]

COLUMNS = ("participation", "duration", "volatility", "spread_bp", "cost_bp")
NAMES = Parameters.__struct_fields__
PATH = "path"  # may be given beside them: float64[n, k]
LEAST = 30  # parents
LATER = 0.3  # part of the parents, the last ones, that a fit to the others is held against
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
    residual_bp: float  # root of their mean square


class Forecast(msgspec.Struct, frozen=True):
    """How parameters fitted to earlier parents tell the costs of later ones, beside a region's.

    R2 is 1 - (squared error) / (squared error of the earlier parents' mean cost), each parent weighed as in the fit.
    """

    earlier: int  # parents
    later: int
    fitted_r2: float
    region_r2: float


def fit_executions(
    table: Mapping[str, ArrayLike] | Any, *, region: Region = "NA", units_a_day: int = UNITS_A_DAY
) -> Fit:
    """Fit the parameters to a table of parents.

    Parameters
    ----------
    table : mapping of column to float64[n], or a data frame
        ``participation`` own over market volume, > 0; ``duration`` market volume while it traded, in clock units;
        ``volatility`` daily, as a fraction; ``spread_bp`` average quoted; ``cost_bp`` against the mid at arrival,
        positive where it was paid, fees left out. Optional: ``path``, float64[n, k], the parts of a parent, adding
        up to 1, that were done in each k-th of its duration; even without it.
    region : str
        Whose parameters are the priors.

    Raises
    ------
    ConfigError
        If a column is missing or has a value that cannot be, parents are too few, the search does not end, or the
        result permits manipulation.
    """
    from scipy.optimize import least_squares  # half a second that `import engine` need not pay

    x = _columns(table)
    cost, centre, wander = x["cost_bp"], _vector(REGIONS[region]), _wander(x, units_a_day)

    def residuals(theta: Floats, noise: float) -> Floats:
        return np.concatenate([(cost - _cost(theta, x)) / (noise * wander), (theta - centre) / PRIOR])

    noise, theta, missed = 1.0, np.clip(centre, LOW + 1e-6, HIGH - 1e-6), cost
    for _ in range(3):  # the noise needs the parameters, which hardly need the noise
        found = least_squares(residuals, theta, bounds=(LOW, HIGH), x_scale=PRIOR, args=(noise,))
        theta = found.x
        missed = cost - _cost(theta, x)
        wandered = missed / wander
        noise = float(np.sqrt(wandered @ wandered / (cost.size - theta.size)))
        if noise < 1e-9:  # costs without noise: a simulation's
            break
    if not found.success:
        raise ConfigError(f"impact fit: the search did not end ({found.message}); look for outliers in cost_bp")
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    log_alpha, *others = theta.tolist()
    parameters = Parameters(**dict(zip(NAMES, (math.exp(log_alpha), *others), strict=True)))
    check_parameters(parameters, f"impact fit of {cost.size} parents")
    errors = np.sqrt(np.diag(covariance))
    errors[0] *= parameters.alpha
    return Fit(
        parameters=parameters,
        errors=dict(zip(NAMES, errors.tolist(), strict=True)),
        covariance=tuple(tuple(row) for row in covariance.tolist()),
        parents=cost.size,
        noise=noise,
        residual_bp=float(np.sqrt(np.mean((cost - _cost(theta, x)) ** 2))),
    )


def check_forward(
    table: Mapping[str, ArrayLike] | Any,
    start: ArrayLike,
    *,
    region: Region = "NA",
    units_a_day: int = UNITS_A_DAY,
) -> Forecast:
    """Fit to the parents that started first, and tell the costs of the last ``LATER`` part of them.

    Parameters
    ----------
    table, region, units_a_day
        As ``fit_executions`` takes them.
    start : int64[n]
        When each parent began, in any unit that orders them. Parents that began together stay together.

    Raises
    ------
    ConfigError
        If a part is smaller than ``LEAST`` parents, or the earlier parents' fit is refused.
    """
    x, began = _columns(table), np.asarray(start)
    if began.shape != x["cost_bp"].shape:
        raise ConfigError(f"impact fit: {began.size} starts for {x['cost_bp'].size} parents; give one a parent")
    later = began >= np.sort(began)[int((1 - LATER) * began.size)]
    if min(later.sum(), (~later).sum()) < LEAST:
        raise ConfigError(
            f"impact fit: {int((~later).sum())} earlier and {int(later.sum())} later parents are too few to hold one "
            f"against the other; each part needs {LEAST}"
        )
    fit = fit_executions({k: column[~later] for k, column in x.items()}, region=region, units_a_day=units_a_day)
    test = {name: column[later] for name, column in x.items()}
    weight = 1 / _wander(test, units_a_day) ** 2
    earlier = 1 / _wander(x, units_a_day)[~later] ** 2
    plain = np.average(x["cost_bp"][~later], weights=earlier)

    def r2(p: Parameters) -> float:
        missed = test["cost_bp"] - _cost(_vector(p), test)
        return 1 - float(weight @ missed**2) / float(weight @ (test["cost_bp"] - plain) ** 2)

    return Forecast(
        earlier=int((~later).sum()),
        later=int(later.sum()),
        fitted_r2=r2(fit.parameters),
        region_r2=r2(REGIONS[region]),
    )


def _cost(theta: Floats, x: Mapping[str, Floats]) -> Floats:
    """Of each parent, bp."""
    log_alpha, beta, gamma, omega, delta = theta
    path = x[PATH]  # (n, k)
    k = path.shape[1]
    d = double_integrals(np.linspace(0, 1, k + 1), omega)
    shape = k * ((path @ d) * (k * path) ** gamma).sum(axis=1)
    sigma, v, duration = np.log(x["volatility"]), np.log(x["participation"]), np.log(x["duration"])
    return np.exp(log_alpha + beta * sigma + gamma * v + (1 - omega) * duration) * shape + delta * x["spread_bp"]


def _wander(x: Mapping[str, Floats], units_a_day: int) -> Floats:
    """Standard deviation, in bp, of the mean price over a parent's duration."""
    return 1e4 * x["volatility"] * np.sqrt(x["duration"] / units_a_day / 3)


def _vector(p: Parameters) -> Floats:
    return np.array([math.log(p.alpha), p.beta, p.gamma, p.omega, p.delta])


def _columns(table: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ConfigError(f"impact fit: the table has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    columns = {name: np.asarray(table[name], np.float64) for name in COLUMNS}
    if len({column.shape for column in columns.values()}) > 1 or columns["cost_bp"].ndim != 1:
        shapes = [column.shape for column in columns.values()]
        raise ConfigError(f"impact fit: columns have shapes {shapes}; give one row a parent")
    size = columns["cost_bp"].size
    if size < LEAST:
        raise ConfigError(f"impact fit: {size} parents are too few for five parameters; give at least {LEAST}")
    for name, column in columns.items():
        wrong = ~np.isfinite(column)
        if name != "cost_bp":
            wrong |= column < 0 if name == "spread_bp" else column <= 0
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            needed = {"cost_bp": "finite", "spread_bp": "finite and >= 0"}.get(name, "finite and > 0")
            raise ConfigError(
                f"impact fit: {name} is {column[row]} in row {row}, but must be {needed}; leave the row out"
            )
    path = np.asarray(table[PATH], np.float64) if PATH in table else np.ones((size, 1))
    if path.ndim != 2 or len(path) != size or not (path >= 0).all() or not np.allclose(path.sum(axis=1), 1):
        raise ConfigError("impact fit: path needs a row a parent, of parts >= 0 that add up to 1")
    return {**columns, PATH: path}
