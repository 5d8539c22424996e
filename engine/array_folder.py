"""A folder of arrays with a manifest: no code in it, and nothing that is not checked when it is opened.

``NAME.model/``, ``NAME.agent/``::

    manifest.json    what the numbers are for, and BLAKE2b-256 of every array file and of itself
    *.npy            one file an array

Opening goes from the cheap to the dear and trusts nothing: sizes before content, hashes before headers, headers (which
must be the bytes that this module writes: numpy's parser is not asked) before numbers. What the numbers must be beside
their shape, the caller checks. The manifest must be the very bytes that its content is written as, so that any changed
byte is noticed.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

LARGEST_MANIFEST = 1 << 20  # bytes
LARGEST_ARRAY = 1 << 30
CURE = "train the model again, or name another"


class ArrayFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An array file: the array's shape, and BLAKE2b-256 of the whole file."""

    shape: list[int]
    blake2b: str


class Describes(Protocol):
    """A manifest: a frozen msgspec struct that has these; ``arrays`` and ``content`` are filled in when it is saved."""

    @property
    def format(self) -> int: ...
    @property
    def arrays(self) -> dict[str, ArrayFacts]: ...
    @property
    def content(self) -> str:
        """BLAKE2b-256 of the manifest without this field."""
        ...


M = TypeVar("M", bound=Describes)


def described(manifest: M, arrays: Mapping[str, NDArray[Any]]) -> M:
    """The manifest with the facts of the arrays and the hash of its content."""
    facts = {name: ArrayFacts(list(array.shape), digest(_bytes(array))) for name, array in arrays.items()}
    blank = _replace(manifest, arrays=facts, content="")
    return _replace(blank, content=content_of(blank))


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is that is not to be overwritten."""
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; name another folder or allow overwriting")
    if path.exists() and not (path / "manifest.json").is_file():
        raise ConfigError(f"{path} holds no model, so it is not overwritten; name another folder")


def write_folder(path: Path, manifest: Describes, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a folder, whole or not at all, in place of what is there; ``manifest`` as ``described`` gave it.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, array in arrays.items():
                (scratch / f"{name}.npy").write_bytes(_bytes(array))
            (scratch / "manifest.json").write_bytes(text_of(manifest))
            scratch.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            scratch.rename(path)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another folder") from None


def read_manifest(path: Path, kind: type[M], *, newest: int) -> M:
    """The manifest of a folder, of format ``newest`` and with the right hash.

    Raises
    ------
    ConfigError
        If the file is missing, no file, damaged, changed, or of another kind or format.
    """
    file = path / "manifest.json"
    text = _read(file, LARGEST_MANIFEST)
    try:
        manifest = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: no manifest of a model ({error}); {CURE}") from None
    if manifest.format != newest:
        raise ConfigError(f"{file}: format {manifest.format}, this engine reads {newest}; {CURE}")
    if text_of(manifest) != text or content_of(manifest) != manifest.content:
        raise ConfigError(f"{file}: was changed or is damaged (its hash is another); {CURE}")
    return manifest


def check_shapes(path: Path, manifest: Describes, dtypes: Mapping[str, np.dtype[Any]]) -> None:
    """Refuse a manifest with other arrays than ``dtypes``, or with one that is empty or too large."""
    for name in manifest.arrays.keys() ^ dtypes.keys():
        raise ConfigError(f"{path}: the manifest and this engine disagree about the array {name!r}; {CURE}")
    for name, facts in manifest.arrays.items():
        n_bytes = math.prod(facts.shape) * dtypes[name].itemsize
        if not facts.shape or min(facts.shape) < 1 or n_bytes > LARGEST_ARRAY:
            raise ConfigError(f"{path}: array {name} of shape {facts.shape} is empty or beyond {LARGEST_ARRAY:,} bytes")


def check_content(path: Path, manifest: Describes, content: str) -> None:
    """Refuse a folder whose hash is not the one asked for; "" asks for none."""
    if content and manifest.content != content:
        raise ConfigError(f"{path}: is model {manifest.content[:16]}…, but {content[:16]}… was asked for; {CURE}")


def read_arrays(path: Path, manifest: Describes, dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays of a folder whose manifest passed ``check_shapes``; each is a copy that may be changed.

    Raises
    ------
    ConfigError
        If a file is missing, no file, damaged or of another model.
    """
    return {name: _read_array(path / f"{name}.npy", manifest.arrays[name], dtype) for name, dtype in dtypes.items()}


def text_of(manifest: Describes) -> bytes:
    """The bytes that a manifest is written as."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def content_of(manifest: Describes) -> str:
    """The hash of a manifest without its own."""
    return digest(text_of(_replace(manifest, content="")))


def digest(data: bytes) -> str:
    """BLAKE2b-256 in hex."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _replace(manifest: M, **fields: object) -> M:
    assert isinstance(manifest, msgspec.Struct)
    return msgspec.structs.replace(manifest, **fields)


def _read_array(file: Path, facts: ArrayFacts, dtype: np.dtype[Any]) -> NDArray[Any]:
    header = _header(dtype, facts.shape)
    size = len(header) + math.prod(facts.shape) * dtype.itemsize
    data = _read(file, size)
    if len(data) != size or digest(data) != facts.blake2b or not data.startswith(header):
        raise ConfigError(f"{file}: was changed or is damaged (its hash is another); {CURE}")
    return np.frombuffer(data, dtype, offset=len(header)).reshape(facts.shape).copy()


def _read(file: Path, most: int) -> bytes:
    """All of a regular file of at most ``most`` bytes; never waits for what is none (a pipe, a device)."""
    try:
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                raise ConfigError(f"{file}: is no file of at most {most:,} bytes; {CURE}")
            with open(number, "rb", closefd=False) as opened:
                return opened.read(most + 1)
        finally:
            os.close(number)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); {CURE}") from None


def _bytes(array: NDArray[Any]) -> bytes:
    return _header(array.dtype, array.shape) + array.tobytes()


def _header(dtype: np.dtype[Any], shape: Any) -> bytes:
    """Of a .npy file, version 1.0; written here, so that it stays the same whatever numpy does."""
    kind = repr(dtype.descr) if dtype.names else repr(dtype.str)
    sizes = ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "")
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': ({sizes}), }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
