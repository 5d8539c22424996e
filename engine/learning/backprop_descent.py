"""Ways down the loss, measured: learning rates, full batch against random rows, decaying rates, L-BFGS, local minima.

One unit of work is a **pass**: every row is looked at once, for a loss or for a gradient. An epoch is one pass,
whatever the size of its steps. Ways are compared on the same starting points.

Source of what is tried: J.P. Morgan, "Neural Network Explained, Part V: Backpropagation".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.learning.backprop_kernels import Network, descend, loss_and_gradient, predict, starting_point
from engine.learning.backprop_task import Task

Floats = NDArray[np.float64]

BATCH = 32  # rows of a stochastic step
RATES = tuple(float(rate) for rate in 10 ** np.arange(-3.5, 1.1, 0.5).round(1))
CONVERGED, SLOW, STALLED, DIVERGED = "converged", "too slow", "stalled", "diverged"
WAYS = ("full batch", "random rows", "decaying rate", "L-BFGS", "line search")  # a decaying rate: of random rows
FULL, RANDOM, DECAYING, LBFGS, SEARCH = range(5)
SAME = 0.02  # losses of minima nearer than this part are one minimum
KICKS = (0.03, 0.1, 0.3)  # learning rates that shall lead out of a minimum
SMALL = 3  # units of the network whose minima are counted


class Sweep(NamedTuple):
    """Losses by learning rate r, of full batch and random rows, constant and decaying."""

    rate: Floats  # [r]
    end: Floats  # [3, r, s] of the first three of WAYS; inf: diverged
    outcome: NDArray[np.str_]  # [3, r] of most starts
    best: Floats  # [3] the rate of the lowest median end, of those where no start diverged


class Race(NamedTuple):
    """Losses of every way by passes, from the same fresh starting points."""

    loss: Floats  # [way, s, epochs + 1]; inf where a start diverged
    end: Floats  # [way, s] at the end; a start that diverged counts as if it had stayed where it was
    held: Floats  # [way, s] the same on rows not fitted
    by_step: Floats  # [2, s, steps + 1] full batch and exact line search, by step
    passes_a_step: float  # of the line search
    evaluations_a_step: float  # of L-BFGS


class Minima(NamedTuple):
    """Where a network of ``SMALL`` sigmoid units ends, each end led down to its minimum by L-BFGS."""

    full: Floats  # [s] minima below the ends of the full batch
    stochastic: Floats  # [s] of random rows, from the same starts
    is_stuck: NDArray[np.bool_]  # [s] ``full`` is above the lowest minimum that any start found
    kicked: Floats  # [k, s] after random rows have started from ``full`` at each of KICKS; NaN where not stuck
    levels: Floats  # the different minima of ``full``, ascending
    steepest: float  # largest gradient that is left at ``full``


def sweep(task: Task, network: Network, starts: int, epochs: int, rng: np.random.Generator) -> Sweep:
    """Every rate from every start."""
    begin = [starting_point(network, rng) for _ in range(starts)]
    orders = _orders(task, epochs, rng)
    losses = np.array(
        [
            [[_go(way, network, params, task, orders, rate)[1] for params in begin] for rate in RATES]
            for way in (FULL, RANDOM, DECAYING)
        ]
    )  # (3, rate, start, epochs + 1)
    end = losses[..., -1]
    middle = np.where(np.isinf(end).any(axis=2), np.inf, np.median(end, axis=2))
    outcome = [
        [_most([_outcome(one, ends.min()) for one in of_rate]) for of_rate in of_way]
        for of_way, ends in zip(losses, middle, strict=True)
    ]
    return Sweep(np.array(RATES), end, np.array(outcome), np.array(RATES)[middle.argmin(axis=1)])


def race(task: Task, network: Network, best: Floats, starts: int, epochs: int, rng: np.random.Generator) -> Race:
    """All ways at their best rates, from starts that no rate was chosen on."""
    loss, held = np.empty((len(WAYS), starts, epochs + 1)), np.empty((len(WAYS), starts))
    steps, passes, evaluations = max(2, epochs // 3), 0, []
    by_step = np.empty((2, starts, steps + 1))
    for s in range(starts):
        params, orders = starting_point(network, rng), _orders(task, epochs, rng)
        for way in (FULL, RANDOM, DECAYING):
            end, loss[way, s] = _go(way, network, params, task, orders, float(best[way]))
            held[way, s] = _held(network, end if np.isfinite(loss[way, s, -1]) else params, task)
        end, loss[LBFGS, s], evaluations_a_step = _lbfgs(network, params, task, epochs)
        held[LBFGS, s] = _held(network, end, task)
        evaluations.append(evaluations_a_step)
        end, loss[SEARCH, s], by_step[1, s], used = _line_search(network, params, task, epochs, steps)
        held[SEARCH, s] = _held(network, end, task)
        by_step[0, s] = loss[FULL, s, : steps + 1]
        passes += used
    end = np.where(np.isfinite(loss[..., -1]), loss[..., -1], loss[..., 0])
    return Race(loss, end, held, by_step, passes / (starts * steps), float(np.mean(evaluations)))


def minima(task: Task, starts: int, epochs: int, rng: np.random.Generator) -> Minima:
    """Minima that full batch and random rows lead to, and whether random rows lead out of them.

    The full batch gets five times the passes: it must come to rest by itself, and not by the L-BFGS after it.
    """
    network = Network((task.x.shape[1], SMALL, 1), "sigmoid")
    begin = [starting_point(network, rng) for _ in range(starts)]
    orders = [_orders(task, epochs, rng) for _ in begin]

    def below(way: int, params: Floats, order: NDArray[np.int64], rate: float) -> tuple[Floats, float]:
        end, losses = _go(way, network, params, task, order, rate)
        return _down(network, end if np.isfinite(losses[-1]) else params, task)

    rest = [below(FULL, params, np.tile(order, (5, 1)), 0.1) for params, order in zip(begin, orders, strict=True)]
    random = np.array([below(RANDOM, params, order, 0.1)[1] for params, order in zip(begin, orders, strict=True)])
    full = np.array([loss for _, loss in rest])
    is_stuck = full > min(full.min(), random.min()) * (1 + SAME)
    kicked = np.full((len(KICKS), starts), np.nan)
    for k, rate in enumerate(KICKS):
        for s in np.flatnonzero(is_stuck):
            kicked[k, s] = below(RANDOM, rest[s][0], orders[s], rate)[1]
    left = max(float(abs(loss_and_gradient(network, here, task.x, task.y)[1]).max()) for here, _ in rest)
    return Minima(full, random, is_stuck, kicked, levels(full), left)


def levels(losses: Sequence[float] | Floats) -> Floats:
    """The different minima, ascending: one begins where a loss is beyond ``SAME`` of the last one that began."""
    found: list[float] = []
    for loss in np.sort(losses):
        if not found or loss > found[-1] * (1 + SAME):
            found.append(float(loss))
    return np.array(found)


def steepest_direction(task: Task, network: Network, rng: np.random.Generator, tries: int = 1000) -> float:
    """The fastest fall of the loss along ``tries`` random directions, as a part of that along the negative gradient."""
    params = starting_point(network, rng)
    step = 1e-5

    def fall(direction: Floats) -> float:
        ahead, behind = (
            loss_and_gradient(network, params + sign * step * direction, task.x, task.y)[0] for sign in (1, -1)
        )
        return (behind - ahead) / (2 * step)

    down = -loss_and_gradient(network, params, task.x, task.y)[1]
    directions = rng.normal(size=(tries, len(params)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return max(fall(direction) for direction in directions) / fall(down / np.linalg.norm(down))


def _go(
    way: int, network: Network, params: Floats, task: Task, orders: NDArray[np.int64], rate: float
) -> tuple[Floats, Floats]:
    epochs = len(orders)
    rates = np.full(epochs, rate)
    if way == DECAYING:
        rates /= 1 + np.arange(epochs) / (epochs / 10)  # an eleventh of it at the end
    batch = len(task.y) if way == FULL else BATCH
    return descend(network, params, task.x, task.y, orders=orders, batch=batch, rates=rates)


def _outcome(losses: Floats, best: float) -> str:
    """What became of a start, where ``best`` is the lowest median end of any rate."""
    if not losses[-1] <= losses[0]:
        return DIVERGED
    if losses[-1] <= 2 * best:
        return CONVERGED
    tenth = max(1, len(losses) // 10)
    return SLOW if losses[-tenth:].mean() < 0.99 * losses[-2 * tenth : -tenth].mean() else STALLED


def _most(outcomes: list[str]) -> str:
    """The commonest; of equals the worst."""
    return max((DIVERGED, STALLED, SLOW, CONVERGED), key=outcomes.count)


def _orders(task: Task, epochs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permuted(np.tile(np.arange(len(task.y)), (epochs, 1)), axis=1)


def _held(network: Network, params: Floats, task: Task) -> float:
    return float(np.mean((predict(network, params, task.held_x) - task.held_y) ** 2))


def _lbfgs(network: Network, params: Floats, task: Task, passes: int) -> tuple[Floats, Floats, float]:
    """(weights, lowest loss after each pass, evaluations a step)."""
    told: list[float] = []

    def loss(at: Floats) -> tuple[float, Floats]:
        value, gradient = loss_and_gradient(network, at, task.x, task.y)
        told.append(value)
        return value, gradient

    found = _minimise(loss, params, passes)
    lowest = np.minimum.accumulate(told)[: passes + 1]
    lowest = np.concatenate([lowest, np.full(passes + 1 - len(lowest), lowest[-1])])
    return found.x, lowest, found.nfev / max(1, found.nit)


def _down(network: Network, params: Floats, task: Task) -> tuple[Floats, float]:
    """The minimum below."""
    found = _minimise(lambda at: loss_and_gradient(network, at, task.x, task.y), params, 600)
    return found.x, float(found.fun)


def _minimise(loss: Callable[[Floats], tuple[float, Floats]], params: Floats, evaluations: int) -> Any:
    from scipy.optimize import minimize

    options = {"maxfun": evaluations, "maxiter": evaluations, "maxcor": 20, "ftol": 1e-14, "gtol": 1e-8}
    with _one_thread():
        return minimize(loss, params, jac=True, method="L-BFGS-B", options=options)


def _line_search(
    network: Network, params: Floats, task: Task, passes: int, steps: int
) -> tuple[Floats, Floats, Floats, int]:
    """(weights after ``passes``, loss by pass, loss by step, passes of all steps): the best rate for every step."""
    from scipy.optimize import minimize_scalar

    here, used, kept = params, 0, params
    by_pass, by_step = np.empty(passes + 1), np.empty(steps + 1)
    value, gradient = loss_and_gradient(network, here, task.x, task.y)
    by_step[0], by_pass[:] = value, value
    for step in range(1, steps + 1):

        def ahead(power: float, at: Floats = here, down: Floats = gradient) -> float:
            return float(np.mean((predict(network, at - 10**power * down, task.x) - task.y) ** 2))

        found: Any = minimize_scalar(ahead, bounds=(-3.0, 1.0), method="bounded", options={"xatol": 0.05})
        here = here - 10**found.x * gradient
        used += found.nfev + 1
        value, gradient = loss_and_gradient(network, here, task.x, task.y)
        by_step[step] = value
        if used <= passes:
            by_pass[used:], kept = value, here
    return kept, by_pass, by_step, used


def _one_thread() -> contextlib.AbstractContextManager[Any]:
    """Vectors of 400 numbers: a second thread of the linear algebra only waits, and makes it five times slower."""
    try:
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1)
