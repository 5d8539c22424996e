"""From what a model says to what comes: probabilities calibrated on samples that it was not fitted on.

The calibrated probability of class c is proportional to ``w_c p_c^t``: w undoes the weights by which rare classes were
fitted, t < 1 takes back confidence and t > 1 adds some (temperature scaling with a bias: Guo et al. 2017, "On
calibration of modern neural networks"). Both by maximum likelihood, which is concave. It is tabulated, so that a
machine's mathematical library has no say in what a model forecasts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.broker.trees import KNOTS
from engine.errors import ConfigError

Floats = NDArray[np.float64]

LEAST = 1e-3  # a fraction below is taken as this: no forest is that sure
LEAST_POWER = 0.05  # a model that says nothing on later samples keeps its order of them, at next to no confidence


def fit_calibration(fractions: Floats, y: NDArray[np.int64]) -> Floats:
    """The table, float64[c, KNOTS], that makes a model's fractions, float64[n, c], likeliest for what came, int64[n].

    A class that never came among the y gets the smallest worth that the others allow, not none.
    """
    from scipy.optimize import minimize  # half a second that only training pays

    n, classes = fractions.shape
    if n != len(y) or not n:
        raise ConfigError(f"{n} rows of fractions and {len(y)} classes; calibration needs as many, and some")
    logs = np.log(np.maximum(fractions, LEAST))
    came = np.eye(classes)[y]
    came = (n * came + 1 / n) / (n + classes / n)  # one sample's worth of doubt: keeps w finite

    def loss(parameters: Floats) -> tuple[float, Floats]:
        power, bias = parameters[0], np.append(parameters[1:], 0.0)
        scores = power * logs + bias
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        gap = (p - came) / n
        slope = np.concatenate([[np.vdot(gap, logs)], gap.sum(axis=0)[:-1]])
        return -float(np.vdot(came, np.log(np.maximum(p, 1e-300)))) / n, slope

    start = np.concatenate([[1.0], np.zeros(classes - 1)])
    bounds = [(LEAST_POWER, 20.0)] + [(-20.0, 20.0)] * (classes - 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    worth = found[0] * np.log(np.maximum(np.linspace(0, 1, KNOTS), LEAST)) + np.append(found[1:], 0.0)[:, None]
    return np.exp(worth - worth.max())
