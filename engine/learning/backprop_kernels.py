"""Backpropagation written out: forward values and the gradient of a squared loss, through any number of layers.

All weights of a network are one vector, as optimisers want it: of each layer W, (n_in, n_out) row by row, then b,
(n_out,). Hidden layers are sigmoid or ReLU, the output is linear and one number a row::

    L = (1 / n) Σ (ŷ − y)²          ∂L/∂W = value of the unit before × error of the unit after
    error of a unit = slope of its activation × Σ W × errors of the units after it

Forward values and gradients run along a row of W, so that no sum is taken in the inner loop: fast without reordering.
Everything works in float32 and in float64, whichever the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.compiled import compiled
from engine.errors import ConfigError

Activation = Literal["sigmoid", "relu"]
Vector = NDArray[Any]  # float32 or float64
KINDS = {"sigmoid": 0, "relu": 1}
DIVERGED = 1e6  # a mean squared error of standardised targets starts near 1


class Network(NamedTuple):
    """``widths`` from the inputs to the one output: (7, 50, 1) has one hidden layer."""

    widths: tuple[int, ...]
    activation: Activation = "relu"

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.widths))


def starting_point(network: Network, rng: np.random.Generator, *, scale: float = 1.0) -> Vector:
    """Normal weights of deviation ``scale √(2 / n_in)`` before ReLU, ``scale √(1 / n_in)`` else; biases are 0."""
    params = np.zeros(network.parameters)
    inner = layers(network, params)
    for k, (weights, _) in enumerate(inner):
        gain = 2.0 if network.activation == "relu" and k < len(inner) - 1 else 1.0
        weights[:] = rng.normal(size=weights.shape) * scale * math.sqrt(gain / len(weights))
    return params


def layers(network: Network, params: Vector) -> list[tuple[Vector, Vector]]:
    """(W, b) of each layer: views of the vector, or of its gradient."""
    views, at = [], 0
    for n_in, n_out in pairwise(network.widths):
        end = at + n_in * n_out
        views.append((params[at:end].reshape(n_in, n_out), params[end : end + n_out]))
        at = end + n_out
    return views


def activation(kind: Activation, x: ArrayLike) -> tuple[Vector, Vector]:
    """(value, gradient) of an activation function at x: the note's figures 1 and 2. ReLU's gradient at 0 is 0."""
    value = np.array(x, np.float64)
    _activate(KINDS[kind], value.reshape(-1))
    slope = np.empty_like(value)
    _slopes(KINDS[kind], value.reshape(-1), slope.reshape(-1))
    return value, slope


def predict(network: Network, params: Vector, x: ArrayLike) -> Vector:
    """ŷ of each row: floats[n]."""
    return units(network, params, x)[:, -1]


def units(network: Network, params: Vector, x: ArrayLike) -> Vector:
    """The values of all units of all layers, inputs first and the output last: floats[n, Σ widths]."""
    params, rows, _ = _arrays(network, params, x, None)
    out = np.empty((len(rows), sum(network.widths)), params.dtype)
    _forward_all(np.array(network.widths), KINDS[network.activation], params, rows, out)
    return out


def slopes(network: Network, params: Vector, x: ArrayLike) -> list[Vector]:
    """The gradient of each hidden unit's activation: floats[n, width] a layer."""
    values = units(network, params, x)
    ends = np.cumsum(network.widths)
    out = []
    for start, end in pairwise(ends[:-1]):
        part = np.ascontiguousarray(values[:, start:end])
        slope = np.empty_like(part)
        _slopes(KINDS[network.activation], part.reshape(-1), slope.reshape(-1))
        out.append(slope)
    return out


def loss_and_gradient(network: Network, params: Vector, x: ArrayLike, y: ArrayLike) -> tuple[float, Vector]:
    """Mean squared error, and its gradient in the order of the weights.

    Parameters
    ----------
    params : floats[network.parameters]
        float32 or float64; x, y and the gradient follow.
    x : floats[n, widths[0]]
    y : floats[n]

    Raises
    ------
    ConfigError
        If shapes disagree, there is no row, or an input is not finite.
    """
    params, rows, targets = _arrays(network, params, x, y)
    gradient = np.empty_like(params)
    values, errors = np.empty((2, sum(network.widths)), params.dtype)
    kind, widths = KINDS[network.activation], np.array(network.widths)
    loss = _gradient(widths, kind, params, rows, targets, np.arange(len(rows)), values, errors, gradient)
    return loss, gradient


def descend(
    network: Network,
    params: Vector,
    x: ArrayLike,
    y: ArrayLike,
    *,
    orders: NDArray[np.int64],
    batch: int,
    rates: Vector,
) -> tuple[Vector, Vector]:
    """Gradient descent with a learning rate for each epoch: (weights at the end, mean squared error before and after
    each epoch, float64[epochs + 1]).

    Parameters
    ----------
    orders : int64[m, n]
        In which order an epoch takes the rows; epoch e takes ``orders[e % m]``.
    batch : int
        Rows a step; n is the full batch, the deterministic method.
    rates : floats[epochs]

    After a loss beyond ``DIVERGED`` nothing more is done and the losses are inf.

    Raises
    ------
    ConfigError
        As ``loss_and_gradient``, or if ``orders`` are not rows or ``batch`` is not among 1 to n.
    """
    params, rows, targets = _arrays(network, params, x, y)
    n = len(rows)
    if orders.ndim != 2 or orders.shape[1] != n or not len(orders) or orders.min() < 0 or orders.max() >= n:
        raise ConfigError(f"orders is {orders.shape}, but needs the numbers of {n} rows for at least one epoch")
    if not 1 <= batch <= n:
        raise ConfigError(f"batch is {batch}, but must be 1 to {n}, the number of rows")
    params, losses = params.copy(), np.full(len(rates) + 1, np.inf)
    scratch = np.empty((2, sum(network.widths)), params.dtype)
    widths, kind, gradient = np.array(network.widths), KINDS[network.activation], np.empty_like(params)
    _descend(widths, kind, params, rows, targets, orders, batch, np.asarray(rates), losses, scratch, gradient)
    return params, losses


@compiled
def _activate(kind, values):
    if kind == 0:
        for j in range(values.size):
            values[j] = 1.0 / (1.0 + math.exp(-values[j]))
    else:
        for j in range(values.size):
            if values[j] < 0.0:
                values[j] = 0.0


@compiled
def _slopes(kind, values, out):
    """By the value of the activation, not by its argument."""
    for j in range(values.size):
        out[j] = _slope(kind, values[j])


@compiled
def _slope(kind, value):
    if kind == 0:
        return value * (1.0 - value)
    return 1.0 if value > 0.0 else 0.0


@compiled
def _forward(widths, kind, params, x, values):
    """Fill ``values``, all units of all layers, from the inputs x."""
    values[: x.size] = x
    w = u = 0
    for layer in range(widths.size - 1):
        n_in, n_out = widths[layer], widths[layer + 1]
        ahead = values[u + n_in : u + n_in + n_out]
        ahead[:] = params[w + n_in * n_out : w + (n_in + 1) * n_out]
        for i in range(n_in):
            value, row = values[u + i], params[w + i * n_out : w + (i + 1) * n_out]
            for j in range(n_out):
                ahead[j] += value * row[j]
        if layer < widths.size - 2:
            _activate(kind, ahead)
        w += (n_in + 1) * n_out
        u += n_in


@compiled
def _backward(widths, kind, params, values, errors, gradient):
    """Add a row's gradient; the last of ``errors`` is ∂L/∂ŷ."""
    w, u = params.size, values.size - 1
    for layer in range(widths.size - 2, -1, -1):
        n_in, n_out = widths[layer], widths[layer + 1]
        w -= (n_in + 1) * n_out
        after = errors[u : u + n_out]
        of_bias = gradient[w + n_in * n_out : w + (n_in + 1) * n_out]
        for j in range(n_out):
            of_bias[j] += after[j]
        u -= n_in
        for i in range(n_in):
            value, of_row = values[u + i], gradient[w + i * n_out : w + (i + 1) * n_out]
            for j in range(n_out):
                of_row[j] += value * after[j]
            if layer > 0:
                errors[u + i] = _inner(params[w + i * n_out : w + (i + 1) * n_out], after) * _slope(kind, value)


@compiled
def _inner(row, after):
    """Σ row × after in four sums side by side: one sum would wait for each addition."""
    a = b = c = d = row[0] * 0  # of the weights' precision
    fours = row.size - row.size % 4
    for j in range(0, fours, 4):
        a += row[j] * after[j]
        b += row[j + 1] * after[j + 1]
        c += row[j + 2] * after[j + 2]
        d += row[j + 3] * after[j + 3]
    for j in range(fours, row.size):
        a += row[j] * after[j]
    return (a + b) + (c + d)


@compiled
def _gradient(widths, kind, params, x, y, rows, values, errors, gradient):
    """Mean squared error of ``rows``, its gradient written."""
    gradient[:] = 0
    total, last = 0.0, values.size - 1
    for row in rows:
        _forward(widths, kind, params, x[row], values)
        miss = values[last] - y[row]
        total += miss * miss
        errors[last] = 2.0 * miss / rows.size
        _backward(widths, kind, params, values, errors, gradient)
    return total / rows.size


@compiled
def _loss(widths, kind, params, x, y, values):
    total = 0.0
    for row in range(y.size):
        _forward(widths, kind, params, x[row], values)
        miss = values[values.size - 1] - y[row]
        total += miss * miss
    return total / y.size


@compiled
def _forward_all(widths, kind, params, x, out):
    for row in range(len(x)):
        _forward(widths, kind, params, x[row], out[row])


@compiled
def _descend(widths, kind, params, x, y, orders, batch, rates, losses, scratch, gradient):
    values, errors = scratch[0], scratch[1]
    losses[0] = _loss(widths, kind, params, x, y, values)
    for epoch in range(rates.size):
        order = orders[epoch % len(orders)]
        for start in range(0, order.size, batch):
            rows = order[start : start + batch]
            _gradient(widths, kind, params, x, y, rows, values, errors, gradient)
            for k in range(params.size):
                params[k] -= rates[epoch] * gradient[k]
        loss = _loss(widths, kind, params, x, y, values)
        if not loss < DIVERGED:  # not a number, too
            return
        losses[epoch + 1] = loss


def _arrays(network: Network, params: Vector, x: ArrayLike, y: ArrayLike | None) -> tuple[Vector, Vector, Vector]:
    """Contiguous and of one precision, or refused."""
    _check_widths(network.widths)
    params = np.ascontiguousarray(params)
    if params.shape != (network.parameters,) or params.dtype not in (np.float32, np.float64):
        raise ConfigError(
            f"params is {params.dtype}{list(params.shape)}, but {network.widths} needs float32 or float64"
            f"[{network.parameters}]"
        )
    rows = np.ascontiguousarray(x, params.dtype)
    targets = np.zeros(len(rows), params.dtype) if y is None else np.ascontiguousarray(y, params.dtype)
    if rows.ndim != 2 or rows.shape[1] != network.widths[0] or targets.shape != (len(rows),) or not len(rows):
        raise ConfigError(
            f"x is {rows.shape} and y {targets.shape}, but the network needs (rows, {network.widths[0]}) and (rows,)"
        )
    for name, array in (("x", rows), ("y", targets)):
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(rows), -1).all(axis=1))
        if bad.size:
            raise ConfigError(f"{name}[{bad[0]}] is not finite; leave that row out")
    return params, rows, targets


def _check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2 or min(widths) < 1 or widths[-1] != 1:
        raise ConfigError(f"widths is {tuple(widths)}, but needs inputs, hidden layers, each > 0, and 1 output")
