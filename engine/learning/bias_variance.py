"""Where a forest's Brier score comes from: noise, bias and variance, by fitting it to bootstrapped training sets.

For probabilities p_b(x), b = 1 ... B, of forests fitted to B drawings of the training set, with mean m(x),

    mean_b |p_b - y|^2  =  |m - y|^2 - V/B  +  V,        V = sum_b |p_b - m|^2 / (B - 1)

averaged over the test: V is the variance, and the rest is bias^2 + noise, where V/B takes out what is left of the
variance in the mean of B. Noise cannot be told from bias unless the true probabilities q are known, as in
``known_process``: then noise is the mean of sum_c q_c (1 - q_c), and bias^2 that of |m - q|^2 - V/B.

Training sets are drawn in blocks, because neighbouring samples share their labels. Forests are not calibrated here, and
classes not weighted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.learning.flatten import flatten
from engine.learning.forest import ForestSettings, fit_forest
from engine.rates.block_bootstrap import block_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TREES, DEPTHS, LEAVES = (1, 3, 10, 30, 120), (2, 4, 6, 8, 12), (10, 30, 100, 300, 1_000)
PLAIN = ForestSettings(trees=40, balance="none")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One forest's decomposition; ``noise`` is NaN and inside ``bias`` where the truth is unknown."""

    setting: str  # "trees", "depth" or "leaf"
    value: int
    brier: float
    bias: float  # squared, or bias^2 + noise
    variance: float
    noise: float | None = None


class Problem(NamedTuple):
    """What is forecast."""

    x: Floats  # to fit on
    y: Ints
    test_x: Floats
    test_y: Ints
    horizon: int
    truth: Floats | None = None  # [test, 3] where known


def bias_variance(
    problem: Problem, rng: np.random.Generator, *, draws: int = 10, told: Callable[[], None] = lambda: None
) -> list[Part]:
    """Against the number of trees, their depth and the least size of a leaf, the others as in ``PLAIN``."""
    found = {}
    block = min(10 * problem.horizon, len(problem.y))
    for b in range(draws):
        rows = block_rows(len(problem.y), block, rng)
        for setting, value, p in _forests(problem, rows, seed=b):
            found.setdefault((setting, value), []).append(p)
        told()
    return [decompose(setting, value, np.array(drawn), problem) for (setting, value), drawn in found.items()]


def decompose(setting: str, value: int, p: Floats, problem: Problem) -> Part:
    """The parts of the Brier score of p[b, n, 3]."""
    draws, came = len(p), np.eye(3)[problem.test_y]
    middle = p.mean(axis=0)
    variance = float(((p - middle) ** 2).sum(axis=(0, 2)).mean() / (draws - 1))
    brier = float(((p - came) ** 2).sum(axis=2).mean())
    if problem.truth is None:
        bias, noise = float(((middle - came) ** 2).sum(axis=1).mean()) - variance / draws, None
    else:
        bias = float(((middle - problem.truth) ** 2).sum(axis=1).mean()) - variance / draws
        noise = float((problem.truth * (1 - problem.truth)).sum(axis=1).mean())
    return Part(setting=setting, value=value, brier=brier, bias=bias, variance=variance, noise=noise)


def _forests(problem: Problem, rows: Ints, *, seed: int) -> Iterator[tuple[str, int, Floats]]:
    """(setting, value, probabilities of the test) of one training set."""
    x, y = problem.x[rows], problem.y[rows]
    many = fit_forest(x, y, msgspec.structs.replace(PLAIN, trees=max(TREES)), seed=seed)
    grown = many.estimators_
    for trees in TREES:  # the first trees of a forest are a forest
        many.estimators_ = grown[:trees]
        yield "trees", trees, flatten(many).fractions(problem.test_x)
    for setting, values in (("depth", DEPTHS), ("leaf", LEAVES)):
        for value in values:
            forest = fit_forest(x, y, msgspec.structs.replace(PLAIN, **{setting: value}), seed=seed)
            yield setting, value, flatten(forest).fractions(problem.test_x)
