"""Reads a TOML file into a struct, with every mistake in one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from engine.errors import ConfigError
from engine.spelling import explain

T = TypeVar("T", bound=msgspec.Struct)
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # as a run has it


def read_config(file: Path, kind: type[T]) -> T:
    """The file as a struct that has a ``name``, which is the file's where it gives none.

    Raises
    ------
    ConfigError
        If it cannot be read, or has a key or value that does not fit.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    data.setdefault("name", file.stem)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}: {explain(error, kind)}") from None
