"""The vanishing product, measured: gradients layer by layer in networks of growing depth, and whether they still learn.

Source of what is tried: J.P. Morgan, "Neural Network Explained, Part V: Backpropagation".
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.backprop_kernels import (
    Activation,
    Network,
    activation,
    descend,
    layers,
    loss_and_gradient,
    slopes,
    starting_point,
)
from engine.learning.backprop_task import Task

Floats = NDArray[np.float64]

WIDTH = 50  # the agent's
SEEN = 128  # rows that gradients are measured on


class Arm(NamedTuple):
    """A way to begin."""

    name: str
    activation: Activation
    scale: float = 1.0  # of the weights; in the name where it is not 1
    is_shared: bool = False  # the same weights in every hidden layer: a recurrent network, unrolled


ARMS = (
    Arm("sigmoid", "sigmoid"),
    Arm("ReLU", "relu"),
    Arm("sigmoid, times 4", "sigmoid", 4.0),
    Arm("ReLU, over √2", "relu", 0.5**0.5),
    Arm("sigmoid, recurrent", "sigmoid", 1.0, True),
    Arm("ReLU, recurrent", "relu", 1.0, True),
)


class Depths(NamedTuple):
    """Of each arm a, number of hidden layers d and start s, before any training."""

    depth: NDArray[np.int64]  # [d]
    first: Floats  # [a, d, s] root mean square of ∂L/∂W, first hidden layer
    last: Floats  # [a, d, s] the same, last hidden layer
    product: Floats  # [a, d, s] product over hidden layers of the mean activation gradient, mean over rows
    largest: Floats  # [a, d, s] the row with the largest product
    by_layer: Floats  # [a, s, layer] root mean square of ∂L/∂W in the deepest
    active: Floats  # [a, s] part of activation gradients that are not 0 in the deepest


class Trained(NamedTuple):
    """Losses of networks of several depths after training, at the best of several rates."""

    depth: NDArray[np.int64]  # [d]
    rate: Floats  # [2, d] the best for sigmoid and ReLU: of the lowest median loss where no start diverged
    loss: Floats  # [2, d, s] after ``epochs`` at that rate
    epochs: int


def through_depth(task: Task, deepest: int, starts: int, rng: np.random.Generator) -> Depths:
    """Gradients of the loss at the starting point, by depth; of the first ``SEEN`` rows."""
    task = task._replace(x=task.x[:SEEN], y=task.y[:SEEN])
    depth = np.arange(1, deepest + 1)
    shape = (len(ARMS), deepest, starts)
    first, last, product, largest = (np.empty(shape) for _ in range(4))
    by_layer, active = np.empty((len(ARMS), starts, deepest)), np.empty((len(ARMS), starts))
    for a, arm in enumerate(ARMS):
        for d, hidden in enumerate(depth):
            network = Network((task.x.shape[1], *[WIDTH] * int(hidden), 1), arm.activation)
            for s in range(starts):
                params = _start(network, arm, rng)
                norms = _layer_norms(network, params, task)
                each = slopes(network, params, task.x)
                paths = np.prod([slope.mean(axis=1) for slope in each], axis=0)
                first[a, d, s], last[a, d, s] = norms[0], norms[-1]
                product[a, d, s], largest[a, d, s] = paths.mean(), paths.max()
                by_layer[a, s, : len(norms)] = norms
                active[a, s] = float(np.mean([slope > 0 for slope in each]))
    return Depths(depth, first, last, product, largest, by_layer, active)


def chain_rule_miss(rng: np.random.Generator, tries: int = 1000) -> float:
    """Largest relative difference of ∂L/∂β₁, the note's product of four terms against backpropagation's.

    Of ``ŷ = β_y σ₂(β₂ σ₁(β₁ x))`` at normal β, x and y.
    """
    network, worst = Network((1, 1, 1, 1), "sigmoid"), 0.0
    for beta_1, beta_2, beta_y, x, y in rng.normal(size=(tries, 5)):
        inner, inner_slope = activation("sigmoid", beta_1 * x)
        outer, outer_slope = activation("sigmoid", beta_2 * inner)
        terms = -2 * (y - beta_y * outer), beta_y, outer_slope * beta_2, inner_slope * x
        params = np.array([beta_1, 0.0, beta_2, 0.0, beta_y, 0.0])  # W and b of each layer
        ours = loss_and_gradient(network, params, [[x]], [y])[1][0]
        worst = max(worst, float(abs(np.prod(terms) - ours) / abs(ours)))
    return worst


def trained_depths(
    task: Task, depths: tuple[int, ...], rates: tuple[float, ...], starts: int, epochs: int, rng: np.random.Generator
) -> Trained:
    """Stochastic descent, 32 rows a step, at each rate; the best rate of each depth is kept."""
    orders = np.array([rng.permutation(len(task.y)) for _ in range(epochs)])
    best, kept = np.empty((2, len(depths))), np.empty((2, len(depths), starts))
    kinds: tuple[Activation, Activation] = ("sigmoid", "relu")
    for a, kind in enumerate(kinds):
        for d, hidden in enumerate(depths):
            network = Network((task.x.shape[1], *[WIDTH] * hidden, 1), kind)
            begin = [starting_point(network, rng) for _ in range(starts)]
            ends = np.array([[_end(network, params, task, orders, rate) for params in begin] for rate in rates])
            chosen = int(np.argmin(_medians(ends)))
            best[a, d], kept[a, d] = rates[chosen], ends[chosen]
    return Trained(np.array(depths), best, kept, epochs)


def _end(network: Network, params: Floats, task: Task, orders: NDArray[np.int64], rate: float) -> float:
    rates = np.full(len(orders), rate)
    return float(descend(network, params, task.x, task.y, orders=orders, batch=32, rates=rates)[1][-1])


def _medians(losses: Floats) -> Floats:
    """By row; inf where one diverged."""
    return np.where(np.isinf(losses).any(axis=1), np.inf, np.median(losses, axis=1))


def _start(network: Network, arm: Arm, rng: np.random.Generator) -> Floats:
    params = starting_point(network, rng, scale=arm.scale)
    if arm.is_shared:
        inner = layers(network, params)[1:-1]
        for (before, _), (after, _) in pairwise(inner):
            after[:] = before
    return params


def _layer_norms(network: Network, params: Floats, task: Task) -> Floats:
    """Root mean square of ∂L/∂W of each hidden layer."""
    _, gradient = loss_and_gradient(network, params, task.x, task.y)
    return np.array([np.sqrt(np.mean(weights**2)) for weights, _ in layers(network, gradient)[:-1]])
