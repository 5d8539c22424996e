"""Which samples a model is fitted on, which calibrate it, and which judge it: in order of time, purged, never shuffled.

The labels of a sample's last ticks look ahead; where they look across a boundary they share moves with what comes
after. Such samples are dropped from the earlier part (de Prado 2018, "Advances in Financial Machine Learning", ch. 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.dataset import Dataset

Ints = NDArray[np.int64]

CALIBRATE = 0.25  # the last part of training


class Split(NamedTuple):
    """Rows of a ``Dataset``, ascending; no two parts share a tick that a label looks at."""

    name: str
    fit: Ints
    calibrate: Ints
    test: Ints


def by_days(data: Dataset, train: Sequence[int], test: Sequence[int], *, calibrate: float = CALIBRATE) -> Split:
    """Train on some days and test on others, which must be later."""
    if not train or not test or max(train) >= min(test):
        raise ConfigError(f"train on days {list(train)} and test on days {list(test)}: tests must be later")
    is_train, is_test = np.isin(data.day, train), np.isin(data.day, test)
    return _split("days", data, np.flatnonzero(is_train), np.flatnonzero(is_test), calibrate)


def within_day(data: Dataset, *, test: float = 0.4, calibrate: float = CALIBRATE) -> Split:
    """The last part of the only day is the test."""
    if not 0 < test < 1:
        raise ConfigError(f"the test is {test} of the day, but must be between 0 and 1")
    cut = round(len(data) * (1 - test))
    rows = np.arange(len(data))
    return _split("one day", data, rows[:cut], rows[cut:], calibrate)


def leave_one_day_out(data: Dataset, *, calibrate: float = CALIBRATE) -> Iterator[Split]:
    """Each day in turn is the test of a model of all others, earlier and later."""
    days = np.unique(data.day)
    if len(days) < 2:
        raise ConfigError("there is only one day; leave-one-day-out needs two")
    for day in days:
        rest, test = np.flatnonzero(data.day != day), np.flatnonzero(data.day == day)
        yield _split(f"without day {day + 1}", data, rest, test, calibrate)


def thinned(rows: Ints, most: int) -> Ints:
    """At most ``most`` of the rows, evenly spread: labels overlap, so neighbours say little new."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _split(name: str, data: Dataset, train: Ints, test: Ints, calibrate: float) -> Split:
    if not 0 < calibrate < 1:
        raise ConfigError(f"the part that calibrates is {calibrate} of training, but must be between 0 and 1")
    train = _purged(data, train, test)
    cut = round(len(train) * (1 - calibrate))
    last = train[cut:]
    fit = _purged(data, train[:cut], last)
    for part, rows in (("fit", fit), ("calibrate", last), ("test", test)):
        if not len(rows):
            raise ConfigError(f"no sample is left to {part} on ({len(data)} in all); give more ticks, or fewer ahead")
    return Split(name, fit, last, test)


def _purged(data: Dataset, rows: Ints, other: Ints) -> Ints:
    """Those of ``rows`` whose labels share nothing with the stretch of ``other``."""
    if not len(rows) or not len(other):
        return rows
    first, last = data.start[other].min(), data.end[other].max()
    return rows[(data.end[rows] < first) | (data.start[rows] > last)]
