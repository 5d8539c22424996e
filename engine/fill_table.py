"""Fill probabilities of passive orders as a folder of arrays, and their lookup in compiled code.

``SYMBOL.fills/`` holds ``probability[level, imbalance, touch, size, horizon]`` with its standard errors and counts:

=========  ==========================================================================================================
level      ``DEEPER`` (a tick behind the own side's best) and ``NEAR`` (at it); the table's first axis is level - 1
imbalance  (own - other) / (own + other) of the two best sizes at placement, own being the order's side; in cells
touch      what is displayed at the own side's best at placement, in mean trades; in cells
size       of the order, in mean trades; all of it must fill
horizon    s from arrival, in which it must
=========  ==========================================================================================================

The last cell of imbalance and of touch is that of all placements: for who does not know, or does not ask. Between the
listed sizes and horizons the lookup is linear. Outside it is pessimistic: smaller sizes fill as the smallest listed,
larger ones never; from horizon 0, where nothing fills, it is linear, and beyond the last it stays.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.array_folder import (
    CURE,
    ArrayFacts,
    check_content,
    check_free,
    check_shapes,
    described,
    read_arrays,
    read_manifest,
    write_folder,
)
from engine.compiled import compiled
from engine.errors import ConfigError
from engine.model_file import InstrumentFacts

FORMAT = 1
DEEPER, NEAR = 1, 2  # levels, as the placement problem numbers them
LEVELS = {DEEPER: "deeper", NEAR: "near"}
ANY = math.nan  # of an imbalance or a touch that is not told
SMALL = 1e-12  # what sums of probabilities may be beyond each other

Floats = NDArray[np.float64]


class FillArrays(NamedTuple):
    """What kernels read. All float64."""

    imbalance_edges: Floats  # [i - 1] between the cells of imbalance, rising
    touch_edges: Floats  # [j - 1] between the cells of touch, rising
    sizes: Floats  # [k] mean trades, rising
    horizons: Floats  # [h] s, rising
    probability: Floats  # [2, i + 1, j + 1, k, h]
    error: Floats  # [2, i + 1, j + 1, k, h] standard errors
    count: Floats  # [2, i + 1, j + 1] placements of the cell


DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype("<f8") for name in FillArrays._fields}


class FillManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a table comes from; ``arrays`` and ``content`` are filled in when it is saved."""

    format: int = FORMAT
    kind: Literal["fills"] = "fills"
    instrument: InstrumentFacts
    estimator: str  # "empirical", "logistic" or "forest"
    mean_trade: float  # size units: what sizes and touches are counted in
    queue: str = "pessimistic"  # of the broker that the orders were placed with
    synthetic: bool = False
    every_s: float  # between placements
    trained: list[tuple[int, int]] = []  # [first, last] placement of each day, ns UTC
    seed: int = 0
    metrics: dict[str, float] = {}  # on data later than ``trained``
    arrays: dict[str, ArrayFacts] = {}
    content: str = ""  # BLAKE2b-256 of this manifest without this field


class FillTable(msgspec.Struct, frozen=True, eq=False):
    """A table with its facts."""

    manifest: FillManifest
    arrays: FillArrays

    def probability(
        self, level: int, size: float, imbalance: float = ANY, horizon: float = 45.0, touch: float = ANY
    ) -> float:
        """The chance that an order of a size fills as a whole within a horizon.

        Parameters
        ----------
        level : DEEPER or NEAR
        size : float
            Mean trades, > 0; see ``in_mean_trades``.
        imbalance : float
            -1 (all shown size is on the other side) to 1 (all on the order's); ``ANY`` if not known.
        horizon : float
            Seconds, >= 0.
        touch : float
            Displayed at the own side's best, mean trades; ``ANY`` if not known.

        Raises
        ------
        ConfigError
            If an argument is out of range.
        """
        if level not in LEVELS:
            raise ConfigError(f"level is {level}, but a table holds {DEEPER} (deeper) and {NEAR} (near)")
        if not size > 0 or not horizon >= 0:
            raise ConfigError(f"size is {size} and horizon {horizon}, but must be > 0 and >= 0")
        if abs(imbalance) > 1:
            raise ConfigError(f"imbalance is {imbalance}, but must be from -1 to 1")
        return float(fill_chance(*self.arrays[:5], level, imbalance, touch, size, horizon))

    def in_mean_trades(self, units: float) -> float:
        """A size in size units as ``probability`` takes it."""
        return units / self.manifest.mean_trade


@compiled
def fill_chance(imbalance_edges, touch_edges, sizes, horizons, probability, level, imbalance, touch, size, horizon):
    """``FillTable.probability`` for kernels: nothing is checked. NaN as imbalance or touch means all placements."""
    if size > sizes[-1]:
        return 0.0
    i = probability.shape[1] - 1 if np.isnan(imbalance) else np.searchsorted(imbalance_edges, imbalance, side="right")
    j = probability.shape[2] - 1 if np.isnan(touch) else np.searchsorted(touch_edges, touch, side="right")
    cell = probability[level - 1, i, j]
    k = min(max(np.searchsorted(sizes, size, side="right") - 1, 0), max(sizes.size - 2, 0))
    part = 0.0
    if sizes.size > 1 and size > sizes[k]:
        part = (size - sizes[k]) / (sizes[k + 1] - sizes[k])
    small = _by_horizon(horizons, cell[k], horizon)
    if part == 0.0:
        return small
    return small + part * (_by_horizon(horizons, cell[k + 1], horizon) - small)


@compiled
def _by_horizon(horizons, chance, horizon):
    """Linear between the horizons, from 0 at 0, constant beyond the last."""
    if horizon >= horizons[-1]:
        return chance[-1]
    h = np.searchsorted(horizons, horizon, side="right")
    start, low = (horizons[h - 1], chance[h - 1]) if h > 0 else (0.0, 0.0)
    return low + (horizon - start) / (horizons[h] - start) * (chance[h] - low)


def save_fill_table(
    folder: str | os.PathLike[str], manifest: FillManifest, arrays: FillArrays, *, overwrite: bool = False
) -> FillTable:
    """Write a table as a folder, whole or not at all; the manifest with its hashes comes back.

    Raises
    ------
    ConfigError
        If the folder exists (with ``overwrite``: and holds no model) or cannot be written, or the numbers are no table.
    """
    path = Path(folder)
    check_free(path, overwrite=overwrite)
    arrays = FillArrays(*(np.ascontiguousarray(array, np.float64) for array in arrays))
    manifest = described(manifest, arrays._asdict())
    check_shapes(path, manifest, DTYPES)
    _check(path, manifest, arrays)
    write_folder(path, manifest, arrays._asdict())
    return FillTable(manifest, arrays)


def load_fill_table(folder: str | os.PathLike[str], *, content: str = "") -> FillTable:
    """Open a table; ``content`` is the hash that it must have, "" for any.

    Raises
    ------
    ConfigError
        If a file is missing, damaged, too large or no file, belongs to another table, or the numbers are no table.
    """
    path = Path(folder)
    manifest = read_manifest(path, FillManifest, newest=FORMAT)
    check_content(path, manifest, content)
    check_shapes(path, manifest, DTYPES)
    arrays = FillArrays(**read_arrays(path, manifest, DTYPES))
    _check(path, manifest, arrays)
    return FillTable(manifest, arrays)


def _check(path: Path, manifest: FillManifest, arrays: FillArrays) -> None:
    """What types and hashes do not say: axes, ranges, and that chances fall with size and rise with horizon."""
    axes = [arrays.imbalance_edges, arrays.touch_edges, arrays.sizes, arrays.horizons]
    cells = 2, len(axes[0]) + 2, len(axes[1]) + 2
    shape = *cells, len(axes[2]), len(axes[3])
    p = arrays.probability
    shapes = p.shape == shape and arrays.error.shape == shape and arrays.count.shape == cells
    faults = {
        "array shapes": not (all(axis.ndim == 1 for axis in axes) and shapes),
        "edges, sizes or horizons, which must rise": not all(bool((np.diff(axis) > 0).all()) for axis in axes),
        "numbers, which must be finite": not all(bool(np.isfinite(array).all()) for array in arrays),
        "sizes or horizons, which must be > 0": axes[2][0] <= 0 or axes[3][0] <= 0,
        "mean_trade or every_s": not (0 < manifest.mean_trade < math.inf and 0 < manifest.every_s < math.inf),
        "errors or counts, which must be >= 0": bool((arrays.error < 0).any() or (arrays.count < 0).any()),
        "probabilities": bool((p < 0).any() or (p > 1).any()),
    }
    for what, is_wrong in faults.items():
        if is_wrong:
            raise ConfigError(f"{path}: is no fill table: {what}; {CURE}")
    if (np.diff(p, axis=3) > SMALL).any() or (np.diff(p, axis=4) < -SMALL).any():
        raise ConfigError(f"{path}: is no fill table: a chance rises with size or falls with horizon; {CURE}")
