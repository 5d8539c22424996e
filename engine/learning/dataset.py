"""The samples of several days with their labels, ready to be split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.learning.features import Samples
from engine.learning.labels import moves

Ints = NDArray[np.int64]


class Dataset(msgspec.Struct, frozen=True, eq=False):
    """Samples that are ready and whose move is known, in order of time; arrays of one length."""

    x: NDArray[np.float64]  # [n, 18]
    change: Ints  # [n] the mid's move, half price units
    spread: Ints  # [n] at the forecast, price units
    ts: Ints  # [n]
    day: Ints  # [n] which of the days, from 0
    start: Ints  # [n] place among all samples of all days, where the label begins ...
    end: Ints  # [n] ... and ends: labels that share a place share part of their moves

    def __len__(self) -> int:
        return len(self.change)

    @classmethod
    def of(cls, days: Sequence[Samples], horizon: int) -> Self:
        """Label the samples of days (in order) ``horizon`` ticks ahead; no label looks into another day."""
        labelled, places, before = [], [], 0
        for number, samples in enumerate(days):
            found = moves(samples, horizon)
            some = np.flatnonzero(found.known)
            facts = found.change[some], samples.spread[some], samples.ts[some], np.full(len(some), number)
            labelled.append(samples.values[some])
            places.append(np.column_stack([*facts, some + before, found.end[some] + before]))
            before += len(samples)
        return cls(np.concatenate(labelled), *(np.ascontiguousarray(column) for column in np.concatenate(places).T))
