"""A trained model as a folder of numbers: no code in it, and nothing that is not checked when it is opened.

``NAME.model/``::

    manifest.json    what the numbers are for, and BLAKE2b-256 of every array file and of itself
    nodes.npy        the arrays of ``engine.broker.trees``
    roots.npy
    values.npy
    calibration.npy

Opening goes from the cheap to the dear and trusts nothing: sizes before content, hashes before headers, headers (which
must be the bytes that this module writes: numpy's parser is not asked) before numbers, and then the structure of the
trees. The manifest must be the very bytes that its content is written as, so that any changed byte is noticed.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.trees import NODE, Trees
from engine.errors import ConfigError
from engine.signals import CLASSES
from engine.tape import Tape

FORMAT = 1

LARGEST_MANIFEST = 1 << 20  # bytes
LARGEST_ARRAY = 1 << 30
DTYPES = {"nodes": NODE, "roots": np.dtype("<i8"), "values": np.dtype("<f8"), "calibration": np.dtype("<f8")}
_CURE = "train the model again, or name another"


class ArrayFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An array file: the array's shape, and BLAKE2b-256 of the whole file."""

    shape: list[int]
    blake2b: str


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
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; name another folder or allow overwriting")
    if path.exists() and not (path / "manifest.json").is_file():
        raise ConfigError(f"{path} holds no model, so it is not overwritten; name another folder")
    files = {name: _array_bytes(getattr(trees, name)) for name in DTYPES}
    arrays = {name: ArrayFacts(list(getattr(trees, name).shape), _hash(data)) for name, data in files.items()}
    manifest = msgspec.structs.replace(manifest, arrays=arrays, content="")
    _check_manifest(manifest, path)
    _check_fit(manifest, trees, path)
    manifest = msgspec.structs.replace(manifest, content=_content(manifest))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, data in files.items():
                (scratch / f"{name}.npy").write_bytes(data)
            (scratch / "manifest.json").write_bytes(_text(manifest))
            scratch.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            scratch.rename(path)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another folder") from None
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
    manifest = _read_manifest(path / "manifest.json")
    if content and manifest.content != content:
        raise ConfigError(f"{path}: is model {manifest.content[:16]}…, but {content[:16]}… was asked for; {_CURE}")
    arrays = {name: _read_array(path / f"{name}.npy", manifest.arrays[name], dtype) for name, dtype in DTYPES.items()}
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


def _read_manifest(file: Path) -> Manifest:
    text = _read(file, LARGEST_MANIFEST)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: no manifest of a model ({error}); {_CURE}") from None
    if manifest.format != FORMAT:
        raise ConfigError(f"{file}: format {manifest.format}, this engine reads {FORMAT}; {_CURE}")
    if _text(manifest) != text or _content(manifest) != manifest.content:
        raise ConfigError(f"{file}: was changed or is damaged (its hash is another); {_CURE}")
    _check_manifest(manifest, file.parent)
    return manifest


def _read_array(file: Path, facts: ArrayFacts, dtype: np.dtype) -> NDArray[Any]:
    header = _header(dtype, facts.shape)
    size = len(header) + math.prod(facts.shape) * dtype.itemsize
    data = _read(file, size)
    if len(data) != size or _hash(data) != facts.blake2b or not data.startswith(header):
        raise ConfigError(f"{file}: was changed or is damaged (its hash is another); {_CURE}")
    return np.frombuffer(data, dtype, offset=len(header)).reshape(facts.shape).copy()


def _read(file: Path, most: int) -> bytes:
    """All of a regular file of at most ``most`` bytes; never waits for what is none (a pipe, a device)."""
    try:
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                raise ConfigError(f"{file}: is no file of at most {most:,} bytes; {_CURE}")
            with open(number, "rb", closefd=False) as opened:
                return opened.read(most + 1)
        finally:
            os.close(number)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); {_CURE}") from None


def _check_manifest(manifest: Manifest, path: Path) -> None:
    """What types do not say."""
    for name in manifest.arrays.keys() ^ DTYPES.keys():
        raise ConfigError(f"{path}: the manifest and this engine disagree about the array {name!r}; {_CURE}")
    for name, facts in manifest.arrays.items():
        n_bytes = math.prod(facts.shape) * DTYPES[name].itemsize
        if not facts.shape or min(facts.shape) < 1 or n_bytes > LARGEST_ARRAY:
            raise ConfigError(f"{path}: array {name} of shape {facts.shape} is empty or beyond {LARGEST_ARRAY:,} bytes")
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
            raise ConfigError(f"{path}: {field} in the manifest cannot be ({getattr(manifest, field)!s:.80}); {_CURE}")


def _within(times: list[int], parts: list[float]) -> bool:
    return all(0 <= ns < 1 << 62 for ns in times) and all(0 <= part <= 1 for part in parts)


def _check_fit(manifest: Manifest, trees: Trees, path: Path) -> None:
    if len(manifest.features) != trees.n_features or len(manifest.classes) != trees.n_classes:
        raise ConfigError(
            f"{path}: trees of {trees.n_features} features and {trees.n_classes} classes, but the manifest names "
            f"{len(manifest.features)} and {len(manifest.classes)}; {_CURE}"
        )


def _array_bytes(array: NDArray[Any]) -> bytes:
    return _header(array.dtype, array.shape) + array.tobytes()


def _header(dtype: np.dtype, shape: Any) -> bytes:
    """Of a .npy file, version 1.0; written here, so that it stays the same whatever numpy does."""
    kind = repr(dtype.descr) if dtype.names else repr(dtype.str)
    sizes = ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "")
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': ({sizes}), }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _text(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _content(manifest: Manifest) -> str:
    return _hash(_text(msgspec.structs.replace(manifest, content="")))


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()
