"""What a rule's risk measure is worth beyond what the same rule shows where there is nothing to earn.

The paper's benchmark rewards negative skew, so a rule is held against itself in fair synthetic worlds: implied
volatility that reproduces the expected payoff, no premium, no costs. The excess is the measure minus its median over
those worlds; its error is the block-bootstrap error of the history and the error of that median together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.refusals import numbers

Floats = NDArray[np.float64]

FEWEST_WORLDS = 200
MEDIAN_OVER_MEAN = math.sqrt(math.pi / 2)  # error of a median over that of a mean, for many normal numbers


class FairExcess(NamedTuple):
    """Each of the shape of one history's measures; NaN where the measure, or that of most fair worlds, has no value."""

    excess: Floats
    error: Floats
    fair: Floats  # the median over the fair worlds


def fair_excess(measures: ArrayLike, errors: ArrayLike, fair_measures: ArrayLike) -> FairExcess:
    """Measures of rules above those of the same rules in fair worlds.

    Parameters
    ----------
    measures, errors : float64[r, 6], or one shape of another kind
        ``Bootstrap.measures`` and ``Bootstrap.errors`` of the history.
    fair_measures : float64[w, r, 6]
        ``measure_table`` of the same rules in w >= 200 fair worlds; NaN where a ratio has no value.

    Raises
    ------
    ConfigError
        If shapes do not fit or there are fewer than 200 worlds.
    """
    found, error, worlds = numbers("measures", measures), numbers("errors", errors), numbers("fair", fair_measures)
    if error.shape != found.shape or worlds.shape[1:] != found.shape:
        raise ConfigError(
            f"measures {found.shape}, errors {error.shape} and fair measures {worlds.shape} do not fit; give the "
            "fair ones one world a row"
        )
    w = worlds.shape[0]
    if w < FEWEST_WORLDS:
        raise ConfigError(f"{w} fair worlds are too few to tell skill from skew; make at least {FEWEST_WORLDS}")
    has = ~np.isnan(worlds)
    counts = has.sum(axis=0)
    usable = 2 * counts > w
    filled = np.where(usable, worlds, 0.0)  # nanmedian warns of columns without numbers
    median = np.where(usable, np.nanmedian(filled, axis=0), math.nan)
    spread = np.where(usable, np.nanstd(filled, axis=0), math.nan)
    of_median = MEDIAN_OVER_MEAN * spread / np.sqrt(np.maximum(counts, 1))
    return FairExcess(found - median, np.sqrt(error**2 + of_median**2), median)
