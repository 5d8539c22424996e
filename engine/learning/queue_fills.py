"""Whether passive orders fill more where the price is foretold to come to them.

Every placement of a level is in class A or B by what was foretold when it was placed (the most probable of three):

=  ====================================================================================
A  the price stays, or moves away from the order (for a buyer: flat or up)
B  the price moves to the order (for a buyer: down), which is the favour of being filled
=  ====================================================================================

The means of the passively filled quantity are bootstrapped, in blocks of neighbouring placements; all three means come
from the same draws, so that their difference is tested draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.block_draws import draw_counts
from engine.learning.placements import SECOND_LEVEL, TOUCH, Placed, StudyMarket

Floats = NDArray[np.float64]

SAMPLES = 10_000  # of the bootstrap
BLOCK = 10  # placements
LEAST = 30  # placements of a class
INTERVAL = (2.5, 97.5)
BINS = 80  # of the histograms
DOWN, UP = 0, 2
LEVELS = {"first level": TOUCH, "second level": SECOND_LEVEL}


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A class: its mean passively filled quantity a placement, in size units, and the bootstrapped means."""

    count: int
    mean: float
    error: float
    samples: list[int]  # bootstrapped means in each bin of ``LevelFills.edges``


class LevelFills(msgspec.Struct, frozen=True, kw_only=True):
    """All samples and both classes of one level."""

    edges: list[float]  # of the histograms' bins, size units
    everything: Filled
    a: Filled
    b: Filled
    difference: float  # B less A
    low: float  # 95 %
    high: float
    p_value: float  # two-sided, of no difference, by the bootstrap; at least one over the number of samples

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


class QueueStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tickwright forest queue`` found."""

    name: str
    market: str
    synthetic: bool
    overlaps: bool
    symbol: str
    shares: int
    life_s: float
    horizon: int
    levels: dict[str, LevelFills]


def study_queue(market: StudyMarket, *, tell: Callable[[str], None] = lambda what: None) -> QueueStudy:
    """Place on the first and the second level, and bootstrap what was filled there."""
    levels = {}
    for name, urgency in LEVELS.items():
        tell(name)
        placed = market.replay(urgency).placed
        quantity = np.array([one.rested for one in placed], np.float64)
        levels[name] = compare_fills(quantity, np.array([_comes(one) for one in placed], np.bool_), market.config.seed)
    manifest, params = market.pieces.tape.manifest, market.params
    return QueueStudy(
        name=market.config.name,
        market=manifest.name,
        synthetic=manifest.synthetic,
        overlaps=market.overlaps,
        symbol=params.symbol,
        shares=params.shares,
        life_s=params.life_s,
        horizon=market.horizon,
        levels=levels,
    )


def compare_fills(quantity: Floats, comes: NDArray[np.bool_], seed: int, *, samples: int = SAMPLES) -> LevelFills:
    """Bootstrap the means of all placements, of class A and of class B (``comes``), in order of time.

    Raises
    ------
    ConfigError
        If a class has fewer than ``LEAST`` placements.
    """
    for name, count in (("A", int((~comes).sum())), ("B", int(comes.sum()))):
        if count < LEAST:
            raise ConfigError(
                f"class {name} has {count} placements, but {LEAST} are needed; place more (every_s) or replay more"
            )
    counts = draw_counts(len(quantity), BLOCK, samples, seed)
    every = np.ones(len(quantity))
    means = {key: _means(quantity, some, counts) for key, some in (("all", every), ("a", ~comes), ("b", comes))}
    apart = means["b"] - means["a"]
    low, high = np.nanpercentile(apart, INTERVAL)
    tail = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
    whole = np.concatenate(list(means.values()))
    edges = np.linspace(np.nanmin(whole), np.nanmax(whole) + 1e-9, BINS + 1)
    found = {
        key: Filled(
            count=int(some.sum()),
            mean=float(quantity[some.astype(np.bool_)].mean()),
            error=float(np.nanstd(means[key])),
            samples=np.histogram(means[key], edges)[0].tolist(),
        )
        for key, some in (("all", every), ("a", ~comes), ("b", comes))
    }
    return LevelFills(
        edges=edges.tolist(),
        everything=found["all"],
        a=found["a"],
        b=found["b"],
        difference=found["b"].mean - found["a"].mean,
        low=float(low),
        high=float(high),
        p_value=min(1.0, max(2 * tail, 1) / samples),
    )


def _means(quantity: Floats, some: NDArray, counts: Floats) -> Floats:
    weight = some.astype(np.float64)
    total = counts @ weight
    return np.divide(counts @ (quantity * weight), total, out=np.full(len(counts), np.nan), where=total > 0)


def _comes(one: Placed) -> bool:
    """Whether the most probable of the three is the way to the order."""
    return int(np.argmax(one.chances)) == (DOWN if one.side > 0 else UP)
