"""Errors of risk measures when trades overlap, and what is left of the best of many rules.

Daily sales of one-month options share their moves: as if independent, errors would be several times too small. The
moving block bootstrap draws whole blocks of neighbouring trades (Künsch 1989), around the end of the history to its
beginning so that every trade is drawn as often (Politis and Romano 1992). One draw serves all rules: differences
between rules keep what they share.

Deflation: the best of N rules without merit still looks good. With x the measure's excess over its fair value and s
its error, the best of N independent x / s is expected to be

    e(N) = (1 - g) quantile(1 - 1/N) + g quantile(1 - 1/(N e)),   g = 0.5772..., e(1) = 0

and the deflated probability is ``Phi(x / s - e(N))``. That is the deflated Sharpe ratio of Bailey and López de Prado
(2014), "The deflated Sharpe ratio", J. Portfolio Management 40(5), with the block-bootstrap error in place of their
standard error of a Sharpe ratio of independent returns. Rules that resemble each other are fewer than N, so it errs
towards doubt.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.gaussian import cumulative, quantile
from engine.rates.refusals import numbers, refuse
from engine.rates.risk_measures import MEASURES, measure_table

Floats = NDArray[np.float64]

SHORTEST_BLOCK = 42  # trading days: twice the life of a one-month option
EULER_GAMMA = 0.5772156649015329


class Bootstrap(msgspec.Struct, frozen=True):
    """What the draws say of each rule r; measures in the order of ``MEASURES``."""

    measures: Floats  # [r, 6], of the history itself
    draws: Floats  # [b, r, 6]
    mean_draws: Floats  # [b, r], the mean return of each draw

    @property
    def errors(self) -> Floats:
        """Standard errors, [r, 6]; draws without a value are left out."""
        return _deviation(self.draws)

    @property
    def mean_errors(self) -> Floats:
        """Standard errors of the mean return, [r]."""
        return _deviation(self.mean_draws)

    def difference(self, rule: int, other: int) -> tuple[Floats, Floats]:
        """(measures of ``rule`` minus those of ``other``, standard error of that difference), each [6]."""
        gap = self.draws[:, rule] - self.draws[:, other]
        return self.measures[rule] - self.measures[other], _deviation(gap)


def block_bootstrap(
    returns: ArrayLike, rng: np.random.Generator, *, block: int = SHORTEST_BLOCK, draws: int = 500
) -> Bootstrap:
    """Draw histories from ``returns`` in blocks, the same blocks for every rule.

    Parameters
    ----------
    returns : float64[n, r]
        One row for each trading day in order, one column for each rule; NaN is a trade not taken.
    rng : numpy.random.Generator
    block : int
        Rows of a block, at least ``SHORTEST_BLOCK``.
    draws : int
        Histories to draw, at least 2.

    Raises
    ------
    ConfigError
        If the blocks are too short or do not fit into the history twice, or there are too few draws.
    """
    x = numbers("returns", returns)
    if x.ndim != 2:
        raise ConfigError(f"returns has shape {x.shape}; give one row for each day and one column for each rule")
    n = x.shape[0]
    if not SHORTEST_BLOCK <= block <= n // 2:
        raise ConfigError(
            f"block is {block}, but must be from {SHORTEST_BLOCK} days, as sales overlap for a month, to half of the "
            f"{n} rows; give a longer history"
        )
    if draws < 2:
        raise ConfigError(f"draws is {draws}, but an error needs at least 2; 500 give it to 3 %")
    table, means = np.empty((draws, x.shape[1], len(MEASURES))), np.empty((draws, x.shape[1]))
    for b in range(draws):
        drawn = x[block_rows(n, block, rng)]
        table[b], means[b] = measure_table(drawn), _mean(drawn)
    return Bootstrap(measure_table(x), table, means)


def block_rows(n: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of n rows in blocks that start anywhere and go around the end."""
    starts = rng.integers(0, n, -(-n // block))
    return ((starts[:, None] + np.arange(block)) % n).ravel()[:n]


def expected_best(tried: int) -> float:
    """e(N): what the best of ``tried`` independent standard normal numbers is expected to be, about."""
    if tried < 1:
        raise ConfigError(f"tried is {tried}, but at least one rule was tried; count every rule that was looked at")
    if tried == 1:
        return 0.0
    first, second = quantile(1 - 1 / tried), quantile(1 - 1 / (tried * math.e))
    return float((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_probability(excess: ArrayLike, error: ArrayLike, tried: int) -> Floats:
    """The probability that a rule's excess is more than the best of ``tried`` rules without merit would show.

    ``excess`` and ``error`` broadcast; NaN, where a measure has no value, stays NaN.
    """
    x, s = np.broadcast_arrays(numbers("excess", excess), numbers("error", error))
    refuse("error", s, s <= 0, "be > 0", "give the error of block_bootstrap")
    best = expected_best(tried)
    flat = [cumulative(z) for z in (x / s - best).ravel().tolist()]
    return np.array(flat).reshape(x.shape)[()]


def _mean(x: Floats) -> Floats:
    counts = (~np.isnan(x)).sum(axis=0)
    return np.nansum(x, axis=0) / np.where(counts, counts, math.nan)


def _deviation(draws: Floats) -> Floats:
    """Standard deviation over the first axis of the draws that have a value; NaN where fewer than half have one."""
    has = ~np.isnan(draws)
    counts = has.sum(axis=0)
    usable = 2 * counts >= draws.shape[0]
    mean = np.where(has, draws, 0).sum(axis=0) / np.maximum(counts, 1)
    squares = np.where(has, (draws - mean) ** 2, 0).sum(axis=0)
    return np.where(usable, np.sqrt(squares / np.maximum(counts - 1, 1)), math.nan)
