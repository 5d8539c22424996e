"""How good foretold chances of filling are on later placements: log-loss, Brier score and calibration, with errors.

Every placement is asked about at every size and horizon, and counts once: its score is the mean over them. Placements
near each other met the same market, so errors are those of a bootstrap of blocks of time: whole blocks are drawn again,
the same ones for every estimator, so that differences keep what estimators share.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.virtual_orders import Placements

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10  # of the calibration, of equal width
LIVES_A_BLOCK = 5


class Number(msgspec.Struct, frozen=True):
    """A value and its standard error."""

    value: float
    error: float


class Bin(msgspec.Struct, frozen=True):
    """What was foretold in a bin, on average, and what came."""

    told: float
    came: Number
    part: float  # of all that was foretold


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Of one estimator."""

    log_loss: Number  # nats
    brier: Number
    gain: Number  # log-loss of the guess without signals, less this one: above 0 is better
    over_one_rate: Number  # log-loss of the one rate, less this one
    calibration: list[Bin]
    calibration_error: float  # mean distance of told and came, by part
    by_level: dict[str, float]  # log-loss
    by_horizon: list[float]  # log-loss


class Blocks:
    """Stretches of time as long as ``LIVES_A_BLOCK`` lives, and how often each is drawn again.

    Parameters
    ----------
    ts : int64[n]
        Of the placements.
    life_ns : int
    draws : int
    seed : int

    Raises
    ------
    ConfigError
        If there are fewer than two blocks.
    """

    def __init__(self, ts: Ints, life_ns: int, draws: int, seed: int) -> None:
        found = np.unique(ts // (LIVES_A_BLOCK * life_ns), return_inverse=True)
        self.of, self.count = found[1], len(found[0])
        if self.count < 2:
            raise ConfigError(
                f"{len(ts)} placements in one stretch of {LIVES_A_BLOCK} lives give no errors; test on longer tapes"
            )
        rng = np.random.Generator(np.random.Philox(seed))
        self.drawn = rng.multinomial(self.count, np.full(self.count, 1 / self.count), draws).astype(np.float64)

    def ratio(self, above: Floats, below: Floats) -> Number:
        """The sum of one over that of the other, float64[n] each."""
        over, under = (np.bincount(self.of, values, minlength=self.count) for values in (above, below))
        under_drawn = self.drawn @ under
        drawn = np.divide(self.drawn @ over, under_drawn, out=np.zeros(len(self.drawn)), where=under_drawn > 0)
        whole = under.sum()
        return Number(float(over.sum() / whole) if whole else 0.0, float(drawn.std()))

    def mean(self, values: Floats) -> Number:
        """Of float64[n]."""
        return self.ratio(values, np.ones(len(values)))


def score_all(
    told: Mapping[str, Floats], came: NDArray[np.bool_], placements: Placements, blocks: Blocks, levels: dict[int, str]
) -> dict[str, Score]:
    """The scores of each estimator's chances, float64[n, sizes, horizons], of what came of the placements.

    ``told`` has ``one rate`` and ``no signals`` among the estimators.
    """
    losses = {name: -np.log(np.where(came, p, 1 - p)) for name, p in told.items()}
    by_placement = {name: loss.mean(axis=(1, 2)) for name, loss in losses.items()}
    out = {}
    for name, p in told.items():
        bins = calibration(p, came, blocks)
        own = by_placement[name]
        out[name] = Score(
            log_loss=blocks.mean(own),
            brier=blocks.mean(((p - came) ** 2).mean(axis=(1, 2))),
            gain=blocks.mean(by_placement["no signals"] - own),
            over_one_rate=blocks.mean(by_placement["one rate"] - own),
            calibration=bins,
            calibration_error=sum(one.part * abs(one.told - one.came.value) for one in bins),
            by_level={
                level: float(own[placements.level == k].mean())
                for k, level in levels.items()
                if (placements.level == k).any()
            },
            by_horizon=losses[name].mean(axis=(0, 1)).tolist(),
        )
    return out


def calibration(p: Floats, came: NDArray[np.bool_], blocks: Blocks) -> list[Bin]:
    """What came where each tenth of the chances was foretold; empty bins are left out."""
    at = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    out = []
    for k in range(BINS):
        some = at == k
        count = some.sum(axis=(1, 2)).astype(np.float64)
        if count.any():
            told = float(p[some].mean())
            out.append(Bin(told, blocks.ratio((some & came).sum(axis=(1, 2)).astype(float), count), float(some.mean())))
    return out


class Crossings(msgspec.Struct, frozen=True):
    """The part of neighbouring cells whose chance rises with size, and that whose chance falls with horizon."""

    size: float
    horizon: float

    @classmethod
    def of(cls, told: Floats) -> Crossings:
        """Of chances [n, sizes, horizons]."""
        by_size, by_horizon = np.diff(told, axis=1) > 1e-9, np.diff(told, axis=2) < -1e-9
        return cls(*(float(one.mean()) if one.size else 0.0 for one in (by_size, by_horizon)))
