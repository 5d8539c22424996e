"""Where a training stands, on disk after every round: arrays and a manifest, whole or not at all.

``FOLDER/round-000012/`` is the state after twelve rounds. The next one is written beside it before it goes, so that a
process may die at any moment and leaves at least one that is whole. What a training needs must all be in its state:
chance comes by counter, so going on gives the same bits as never having stopped.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.array_folder import (
    ArrayFacts,
    check_shapes,
    described,
    digest,
    read_arrays,
    read_manifest,
    write_folder,
)
from engine.errors import ConfigError
from engine.learning.placement_problem import Problem

FORMAT = 1

Arrays = Mapping[str, NDArray[Any]]


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The manifest: which training, and how far."""

    training: str  # ``fingerprint``
    rounds: int
    format: int = FORMAT
    arrays: dict[str, ArrayFacts] = {}
    content: str = ""


class Checkpoints:
    """Those of one training in a folder of its own."""

    def __init__(self, folder: Path, training: str) -> None:
        self.folder, self.training = folder, training

    def save(self, rounds: int, state: Arrays) -> None:
        """Keep the state after so many rounds, and drop the one before."""
        path = self.folder / f"round-{rounds:06d}"
        older = self._found()
        write_folder(path, described(Checkpoint(training=self.training, rounds=rounds), state), state)
        for one in older:
            if one != path:
                shutil.rmtree(one)

    def resume(self, state: Arrays) -> int:
        """Fill ``state`` with the newest that is whole; how many rounds that was, 0 where there is none.

        Raises
        ------
        ConfigError
            If it is of another training.
        """
        for path in reversed(self._found()):
            try:
                manifest = read_manifest(path, Checkpoint, newest=FORMAT)
                self._check(path, manifest)
                dtypes = {name: array.dtype for name, array in state.items()}
                check_shapes(path, manifest, dtypes)
                arrays = read_arrays(path, manifest, dtypes)
            except _Foreign:
                raise
            except ConfigError:
                continue  # damaged: the one before it, or the start, gives the same in the end
            for name, array in arrays.items():
                state[name][...] = array
            return manifest.rounds
        return 0

    def _check(self, path: Path, manifest: Checkpoint) -> None:
        if manifest.training != self.training:
            raise _Foreign(
                f"{path}: belongs to a training with other problems, settings, seeds or code; "
                "name another folder or remove this one"
            )

    def _found(self) -> list[Path]:
        """Oldest first. What a killed process was still writing has another name, and goes."""
        for scratch in self.folder.glob(".round-*"):
            shutil.rmtree(scratch, ignore_errors=True)
        return sorted(self.folder.glob("round-*"))


class _Foreign(ConfigError):
    """Not ours, so not to be overwritten."""


def fingerprint(problems: Problem, settings: msgspec.Struct, seeds: NDArray[np.uint64]) -> str:
    """BLAKE2b-256 of all that a training depends on."""
    hashed = hashlib.blake2b(msgspec.json.encode(settings) + code().encode(), digest_size=32)
    for array in (*problems, seeds):
        one = np.ascontiguousarray(array)
        hashed.update(f"{one.dtype.str}{one.shape}{digest(one.tobytes())}".encode())
    return hashed.hexdigest()


@cache
def code() -> str:
    """BLAKE2b-256 of the sources that trainings are made of: what other code began would end as neither's."""
    hashed = hashlib.blake2b(digest_size=32)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        hashed.update(digest(file.read_bytes()).encode())
    return hashed.hexdigest()
