"""What an arm of a study costs more than another: mean differences window by window, with errors that hold.

Parents of one window share the market's moves, so they are averaged first: the observation is a window. Windows follow
one another, so errors come from a bootstrap of blocks of consecutive ones, each stock for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INTERVAL = (2.5, 97.5)  # percentiles
DETECTABLE = 1.959964 + 0.841621  # standard errors: seen at 5 % in four of five studies
AT_ONCE = 10_000  # draws


class Judged(Protocol):
    """A parent order in one arm of a study."""

    @property
    def symbol(self) -> str: ...
    @property
    def day(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def shares(self) -> int: ...
    @property
    def arm(self) -> str: ...


T = TypeVar("T", bound=Judged)


class Effect(NamedTuple):
    """A mean difference of costs, bp, over windows; ``low`` to ``high`` holds it in 95 of 100 studies like this."""

    mean: float
    error: float
    low: float
    high: float

    @property
    def detectable(self) -> float:
        """The smallest true difference that such a study would find four times in five."""
        return DETECTABLE * self.error


def differences(trials: Sequence[T], arm: str, base: str, cost_bp: Callable[[T], float]) -> dict[str, Floats]:
    """For each stock, in order of time, the mean difference of an arm's costs to another's in each window, bp."""
    known = {_key(t): cost_bp(t) for t in trials if t.arm == base}
    sums: dict[str, dict[tuple[str, int], list[float]]] = {}
    for t in trials:
        if t.arm == arm:
            windows = sums.setdefault(t.symbol, {})
            windows.setdefault((t.day, t.window), []).append(cost_bp(t) - known[_key(t)])
    found = {}
    for symbol, windows in sorted(sums.items()):
        found[symbol] = np.array([np.mean(windows[key]) for key in sorted(windows)], np.float64)
    return found


def bootstrap(means: Mapping[str, Floats], *, block: int, rng: np.random.Generator, draws: int) -> Effect:
    """The mean over all windows of all stocks, by bootstrap of circular blocks of so many consecutive windows.

    Parameters
    ----------
    means : mapping of stock to float64[n]
        Of each window, in order of time, bp.
    block : int
        Consecutive windows that stay together; a stock with fewer is one block.
    rng : numpy.random.Generator
    draws : int
        At least 2.
    """
    count = sum(len(one) for one in means.values())
    drawn = np.zeros(draws)
    for one in means.values():
        drawn += np.concatenate(list(_sums(one, min(block, len(one)), rng, draws)))
    low, high = np.percentile(drawn / count, INTERVAL)
    mean = np.concatenate(list(means.values())).mean()
    return Effect(float(mean), float(np.std(drawn / count, ddof=1)), float(low), float(high))


def spread_difference(
    trials: Sequence[T],
    arm: str,
    base: str,
    cost_bp: Callable[[T], float],
    *,
    block: int,
    rng: np.random.Generator,
    draws: int,
) -> Effect:
    """Standard deviation of an arm's costs less that of another's, bp; the same windows are drawn for both."""
    ours, theirs = (_moments(trials, name, cost_bp) for name in (arm, base))
    stocks = [np.concatenate([ours[symbol], theirs[symbol]], axis=1) for symbol in sorted(ours)]
    drawn = np.zeros((draws, 6))
    for one in stocks:
        drawn += np.concatenate(list(_sums(one, min(block, len(one)), rng, draws)))
    whole = np.concatenate(stocks).sum(axis=0)
    mean, many = (_deviation(sums[..., :3]) - _deviation(sums[..., 3:]) for sums in (whole, drawn))
    low, high = np.percentile(many, INTERVAL)
    return Effect(float(mean), float(np.std(many, ddof=1)), float(low), float(high))


def _moments(trials: Sequence[T], arm: str, cost_bp: Callable[[T], float]) -> dict[str, Floats]:
    """For each stock, in order of time, count, sum and sum of squares of an arm's costs: float64[windows, 3]."""
    sums: dict[str, dict[tuple[str, int], Floats]] = {}
    for t in trials:
        if t.arm == arm:
            windows, cost = sums.setdefault(t.symbol, {}), cost_bp(t)
            windows[t.day, t.window] = windows.get((t.day, t.window), np.zeros(3)) + np.array([1.0, cost, cost * cost])
    return {symbol: np.array([windows[key] for key in sorted(windows)]) for symbol, windows in sums.items()}


def _deviation(sums: Floats) -> Floats:
    """Of count, sum and sum of squares along the last axis; 0 of a single observation."""
    n, total, squares = np.moveaxis(sums, -1, 0)
    return np.sqrt(np.maximum(squares - total * total / n, 0.0) / np.maximum(n - 1, 1))


def _sums(x: Floats, block: int, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
    """Sums over the first axis of resampled x: as many blocks as cover it, which start anywhere and go around the end;
    the last is cut."""
    n, blocks = len(x), -(-len(x) // block)
    total = np.concatenate([np.zeros_like(x[:1]), np.cumsum(np.concatenate([x, x]), axis=0)])
    whole, cut = (total[size : size + n] - total[:n] for size in (block, n - (blocks - 1) * block))
    for start in range(0, draws, AT_ONCE):
        starts = rng.integers(0, n, (min(AT_ONCE, draws - start), blocks))
        yield whole[starts[:, :-1]].sum(axis=1) + cut[starts[:, -1]]


def _key(t: Judged) -> tuple[str, str, int, int, int]:
    return t.symbol, t.day, t.window, t.side, t.shares
