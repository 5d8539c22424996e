"""The value of a placement: a network with one hidden layer, ``Q = z · relu(W1 x + b1) + b2``; a linear one beside.

All is float32. The inputs are ``[pov, progress, elapsed, alpha]`` (or without the first), which all placements of a
decision share, and then ``[spread_cost, fill, size]`` of each placement. The sums are always taken in the same order,
so that every way in gives the same bits::

    shared[j] = ((b1[j] + W1[j, 0] x[0]) + W1[j, 1] x[1]) + …         once a decision
    h[j]      = relu(shared[j] + ((W1[j, n-3] x[n-3] + W1[j, n-2] x[n-2]) + W1[j, n-1] x[n-1]))
    Q         = ((b2 + z[0] h[0]) + z[1] h[1]) + …

The loop over placements is the inner one: no sum runs along it, so the compiler may take several placements at a time
without touching the order. No fused multiply-add is used: the bits are the same on any processor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled, compiled_bare
from engine.errors import ConfigError

Floats = NDArray[np.float32]

PER_PLACEMENT = 3  # inputs that each placement has of its own, the last ones: spread cost, fill probability, size
_ZERO = np.float32(0)


class Weights(NamedTuple):
    """What training learns, float32; ``hidden`` is 50 in the paper."""

    w1: Floats  # (hidden, n_in)
    b1: Floats  # (hidden,)
    z: Floats  # (hidden,)
    b2: Floats  # (1,)


@compiled
def q_value(w1, b1, z, b2, x):
    """Q of one placement; x float32[n_in]."""
    own = x.size - PER_PLACEMENT
    q = b2[0]
    for j in range(b1.size):
        shared = b1[j]
        for i in range(own):
            shared += w1[j, i] * x[i]
        h = shared + (w1[j, own] * x[own] + w1[j, own + 1] * x[own + 1] + w1[j, own + 2] * x[own + 2])
        q += z[j] * (_ZERO if h < _ZERO else h)
    return q


@compiled
def q_columns(w1, b1, z, b2, common, spread_cost, fill, size, out):
    """Q of every placement into ``out``; common float32[n_in - 3], then float32[p] each, fastest where contiguous."""
    own, n = common.size, out.size
    for p in range(n):
        out[p] = b2[0]
    for j in range(b1.size):
        shared = b1[j]
        for i in range(own):
            shared += w1[j, i] * common[i]
        by_spread, by_fill, by_size, zj = w1[j, own], w1[j, own + 1], w1[j, own + 2], z[j]
        for p in range(n):
            h = shared + (by_spread * spread_cost[p] + by_fill * fill[p] + by_size * size[p])
            out[p] += zj * (_ZERO if h < _ZERO else h)


@compiled
def q_values(w1, b1, z, b2, common, per_placement, out):
    """``q_columns`` of per_placement float32[p, 3]."""
    q_columns(w1, b1, z, b2, common, per_placement[:, 0], per_placement[:, 1], per_placement[:, 2], out)


@compiled_bare
def q_block(w1, b1, z, b2, common, spread_cost, fill, size, shared, out):
    """``q_columns`` of many decisions at once, the same bits five times as fast: the inner loop is over decisions.

    common float32[n_in - 3, n], spread_cost and size float32[p], fill float32[p, n]; shared float32[n] is for working.
    """
    own, n = common.shape[0], shared.size
    for p in range(out.shape[0]):
        for i in range(n):
            out[p, i] = b2[0]
    for j in range(b1.size):
        for i in range(n):
            shared[i] = b1[j]
        for k in range(own):
            weight = w1[j, k]
            for i in range(n):
                shared[i] += weight * common[k, i]
        by_fill, zj = w1[j, own + 1], z[j]
        for p in range(out.shape[0]):
            by_spread, by_size = w1[j, own] * spread_cost[p], w1[j, own + 2] * size[p]
            for i in range(n):
                h = shared[i] + ((by_spread + by_fill * fill[p, i]) + by_size)
                out[p, i] += zj * (_ZERO if h < _ZERO else h)


@compiled
def best_allowed(values, allowed):
    """The allowed placement of the greatest value, the lowest of equals; −1 where none is allowed."""
    best = -1
    for p in range(values.size):
        if allowed[p] and (best < 0 or values[p] > values[best]):
            best = p
    return best


@compiled
def linear_q(theta, common, per_placement, out):
    """``Q = θ · [x, 1]`` of every placement into ``out``: eq 5's, with a constant feature; theta float32[n_in + 1]."""
    own = common.size
    shared = theta[own + PER_PLACEMENT]
    for i in range(own):
        shared += theta[i] * common[i]
    for p in range(out.size):
        part = theta[own] * per_placement[p, 0] + theta[own + 1] * per_placement[p, 1]
        out[p] = shared + (part + theta[own + 2] * per_placement[p, 2])


def values(weights: Weights, common: Floats, per_placement: Floats) -> Floats:
    """Q of every placement of one decision.

    Parameters
    ----------
    common : float32[n_in - 3]
        ``[pov, progress, elapsed, alpha]``, or without the first.
    per_placement : float32[p, 3]
        ``[spread_cost, fill, size]`` of each.

    Returns
    -------
    float32[p]
        In half-spreads of the parent's value; the greatest is best.

    Raises
    ------
    ConfigError
        If the shapes do not agree or a number is not finite.
    """
    weights = checked(weights)
    common, per_placement = np.asarray(common, np.float32), np.asarray(per_placement, np.float32)
    wanted = weights.w1.shape[1] - PER_PLACEMENT
    if common.shape != (wanted,) or per_placement.shape[1:] != (PER_PLACEMENT,) or per_placement.ndim != 2:
        raise ConfigError(
            f"common is {common.shape} and per_placement {per_placement.shape}, but the network reads "
            f"({wanted},) and (placements, {PER_PLACEMENT})"
        )
    for name, inputs in (("common", common), ("per_placement", per_placement)):
        _refuse_not_finite(name, inputs)
    out = np.empty(len(per_placement), np.float32)
    q_values(*weights, common, per_placement, out)
    return out


def checked(weights: Weights) -> Weights:
    """The weights as contiguous float32.

    Raises
    ------
    ConfigError
        If the shapes do not agree or a weight is not finite.
    """
    arrays = Weights(*(np.ascontiguousarray(array, np.float32) for array in weights))
    hidden, n_in = arrays.w1.shape if arrays.w1.ndim == 2 else (0, 0)
    wanted = Weights((hidden, n_in), (hidden,), (hidden,), (1,))  # type: ignore[arg-type]
    for name, array, shape in zip(Weights._fields, arrays, wanted, strict=True):
        if array.shape != shape or n_in <= PER_PLACEMENT:
            raise ConfigError(
                f"{name} is {array.shape}, but a network has w1 (hidden, more than {PER_PLACEMENT} inputs), "
                "b1 (hidden,), z (hidden,) and b2 (1,)"
            )
        _refuse_not_finite(name, array)
    return arrays


def _refuse_not_finite(name: str, array: Floats) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        where = tuple(bad[0].tolist())
        raise ConfigError(f"{name}{list(where)} is {array[where]}, but must be finite; train again")
