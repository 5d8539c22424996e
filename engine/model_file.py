"""A trained forest as a folder of numbers (``engine.array_folder``).

``NAME.model/`` holds ``manifest.json`` and the arrays of ``engine.broker.trees``: ``nodes.npy``, ``roots.npy``,
``values.npy``, ``calibration.npy``. When it is opened, the structure of the trees is checked after everything else.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

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
from engine.broker.trees import NODE, Trees
from engine.errors import ConfigError
from engine.signals import CLASSES
from engine.tape import Tape

FORMAT = 1

DTYPES = {"nodes": NODE, "roots": np.dtype("<i8"), "values": np.dtype("<f8"), "calibration": np.dtype("<f8")}


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which moves of the mid are flat: at most ``half_width`` plus ``fraction`` of the spread at the forecast.

    ``half_width`` is in half price units (the mid is one half of bid plus ask), as are the moves.
    """

    rule: Literal["move", "spread", "thirds"] = "move"
    half_width: int = 0
    fraction: float = 0.0


class InstrumentFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model was trained on; ``price_unit`` and ``size_unit`` are fractions like "1/10000"."""

    symbol: str
    price_unit: str
    tick: int
    size_unit: str
    lot: int

    @classmethod
    def on(cls, tape: Tape, symbol: str) -> InstrumentFacts:
        """Those of an instrument of a tape."""
        for one in tape.instruments:
            if one.symbol == symbol:
                return cls(
                    symbol=symbol,
                    price_unit=str(one.price_unit),
                    tick=one.tick,
                    size_unit=str(one.size_unit),
                    lot=one.lot,
                )
        raise ConfigError(f"{symbol} is not on the tape; it has {', '.join(one.symbol for one in tape.instruments)}")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model is; ``arrays`` and ``content`` are filled in when it is saved."""

    format: int = FORMAT
    kind: Literal["forest"] = "forest"
    instrument: InstrumentFacts
    clock: Literal["trade", "quote"] = "trade"  # what a tick is
    horizon: int  # ticks ahead
    features: list[str]  # in the order of the model's input
    classes: tuple[str, ...] = CLASSES
    band: Band = Band()
    trained: list[tuple[int, int]] = []  # [first, last] of each day's samples, ns UTC
    seed: int = 0
    settings: dict[str, int | float | str] = {}
    metrics: dict[str, float] = {}  # on data later than ``trained``
    horizon_cdf: list[tuple[int, float]] = []  # (ns, part of the horizons that have passed by then)
    stale_ns: int = 1  # a signal older than this is ignored
    arrays: dict[str, ArrayFacts] = {}
    content: str = ""  # BLAKE2b-256 of this manifest without this field


class Model(msgspec.Struct, frozen=True, eq=False):
    """A model that was opened: its facts and its trees."""

    manifest: Manifest
    trees: Trees


def save_model(folder: str | os.PathLike[str], manifest: Manifest, trees: Trees, *, overwrite: bool = False) -> Model:
    """Write a model as a folder, whole or not at all; the manifest with its hashes comes back.

    Raises
    ------
    ConfigError
        If the folder exists (with ``overwrite``: and holds no model) or cannot be written, or manifest and trees do
        not fit each other.
    """
    path = Path(folder)
    check_free(path, overwrite=overwrite)
    arrays = {name: getattr(trees, name) for name in DTYPES}
    manifest = described(manifest, arrays)
    _check_manifest(manifest, path)
    _check_fit(manifest, trees, path)
    write_folder(path, manifest, arrays)
    return Model(manifest, trees)


def load_model(folder: str | os.PathLike[str], *, content: str = "") -> Model:
    """Open a model.

    Parameters
    ----------
    folder : path
    content : str
        The hash that it must have; "" for any.

    Raises
    ------
    ConfigError
        If a file is missing, damaged, too large or no file, belongs to another model, or the numbers are no forest.
    """
    path = Path(folder)
    manifest = read_manifest(path, Manifest, newest=FORMAT)
    _check_manifest(manifest, path)
    check_content(path, manifest, content)
    arrays = read_arrays(path, manifest, DTYPES)
    try:
        trees = Trees.of(
            arrays["nodes"],
            arrays["roots"],
            arrays["values"],
            n_features=len(manifest.features),
            calibration=arrays["calibration"],
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    _check_fit(manifest, trees, path)
    return Model(manifest, trees)


def _check_manifest(manifest: Manifest, path: Path) -> None:
    """What types do not say."""
    check_shapes(path, manifest, DTYPES)
    times, parts = [ns for ns, _ in manifest.horizon_cdf], [part for _, part in manifest.horizon_cdf]
    faults = {
        "features": len({*manifest.features}) != len(manifest.features) or not manifest.features,
        "classes": manifest.classes != CLASSES,
        "horizon": not 0 < manifest.horizon <= 1 << 20,
        "band": manifest.band.half_width < 0 or not 0 <= manifest.band.fraction <= 1e6,
        "stale_ns": not 0 < manifest.stale_ns < 1 << 62,
        "trained": any(not 0 <= first <= last < 1 << 63 for first, last in manifest.trained),
        "horizon_cdf": times != sorted({*times}) or parts != sorted(parts) or not _within(times, parts),
        "metrics": not all(math.isfinite(x) for x in manifest.metrics.values()),
        "settings": any(isinstance(x, float) and not math.isfinite(x) for x in manifest.settings.values()),
    }
    for field, is_wrong in faults.items():
        if is_wrong:
            raise ConfigError(f"{path}: {field} in the manifest cannot be ({getattr(manifest, field)!s:.80}); {CURE}")


def _within(times: list[int], parts: list[float]) -> bool:
    return all(0 <= ns < 1 << 62 for ns in times) and all(0 <= part <= 1 for part in parts)


def _check_fit(manifest: Manifest, trees: Trees, path: Path) -> None:
    if len(manifest.features) != trees.n_features or len(manifest.classes) != trees.n_classes:
        raise ConfigError(
            f"{path}: trees of {trees.n_features} features and {trees.n_classes} classes, but the manifest names "
            f"{len(manifest.features)} and {len(manifest.classes)}; {CURE}"
        )
