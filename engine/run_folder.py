"""What a run leaves behind: one folder that holds all that is needed to read it, repeat it and check it.

=============  ==========================================================================================
config.toml    the config as it was resolved, every default spelled out; `tickwright run` takes it again
manifest.json  fingerprint, seed, hashes of tapes and strategies, versions, host, wall clock
journal.bin    every decision and its outcome (``engine.journal``)
results.json   ``engine.result.Result``
without.json   the same of the run once more without own impact, where that was asked for
report.html    a page to look at, where the extra `report` is installed
=============  ==========================================================================================
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import clock
from engine.config import Config, dump, load
from engine.errors import RunError
from engine.journal import read_journal
from engine.result import Result

UNFINISHED = "did not finish: the process ended before it could say why"
LIBRARIES = ("tickwright", "numpy", "numba", "llvmlite", "msgspec")


class TapeSource(msgspec.Struct, frozen=True, kw_only=True):
    """A tape that was replayed."""

    name: str
    content: str  # BLAKE2b-256 of its rows and panels


class StrategySource(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy that ran."""

    name: str
    source: str  # BLAKE2b-256 of its file; "" where it had none


class RunManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run came from. Only ``fingerprint`` is the same everywhere."""

    name: str
    seed: int
    fingerprint: str = ""
    partial: str = UNFINISHED
    tapes: list[TapeSource] = []
    strategies: list[StrategySource] = []
    started: str = ""
    wall_s: float = 0.0
    versions: dict[str, str] = {}
    python: str = ""
    host: str = ""
    system: str = ""


class SavedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run folder that was read."""

    folder: Path
    config: Config
    manifest: RunManifest

    @property
    def records(self) -> NDArray[np.void]:
        """The journal, RECORD[n], memory-mapped."""
        return read_journal(self.folder / "journal.bin")

    @property
    def result(self) -> Result:
        """``results.json``."""
        try:
            return msgspec.json.decode((self.folder / "results.json").read_bytes(), type=Result)
        except (OSError, msgspec.DecodeError) as error:
            raise RunError(f"{self.folder / 'results.json'}: cannot be read ({error}); run it again") from None


def create(folder: Path, *, overwrite: bool = False) -> Path:
    """Make a run folder; ``folder-2``, ``folder-3``, … where it exists, unless it is a run's and may be overwritten.

    Raises
    ------
    RunError
        If it cannot be made, or if what is there is not a run folder.
    """
    try:
        if overwrite and folder.exists():
            if any(folder.iterdir()) and not (folder / "manifest.json").exists():
                raise RunError(f"{folder} is not a run folder, so it is not overwritten; choose another --out folder")
            shutil.rmtree(folder)
        free, n = folder, 1
        while True:
            try:
                free.mkdir(parents=True)
                return free
            except FileExistsError:
                n += 1
                free = folder.with_name(f"{folder.name}-{n}")
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out folder") from None


def begin(
    folder: Path, config: Config, tapes: Iterable[TapeSource], strategies: Iterable[StrategySource]
) -> RunManifest:
    """Write config and manifest before the first row, so that a run that is killed can be told from one that ended."""
    begun = RunManifest(
        name=config.name,
        seed=config.seed,
        tapes=list(tapes),
        strategies=list(strategies),
        started=clock.utc_now(),
        versions={name: version(name) for name in LIBRARIES},
        python=platform.python_version(),
        host=platform.node(),
        system=platform.platform(),
    )
    _write(folder / "config.toml", dump(config).encode())
    _write(folder / "manifest.json", _json(begun))
    return begun


def end(folder: Path, manifest: RunManifest, result: Result, wall_s: float) -> None:
    """Write results, and the manifest with what is now known."""
    _write(folder / "results.json", _json(result))
    done = msgspec.structs.replace(
        manifest, fingerprint=result.fingerprint, partial=result.partial, wall_s=round(wall_s, 3)
    )
    _write(folder / "manifest.json", _json(done))


def abandon(folder: Path, manifest: RunManifest, reason: str) -> None:
    """Note why a run has no results, as far as the disk still takes it."""
    with contextlib.suppress(RunError):
        _write(folder / "manifest.json", _json(msgspec.structs.replace(manifest, partial=reason)))


def keep_config(folder: Path, config: Config) -> None:
    """Write the config as it turned out to be."""
    _write(folder / "config.toml", dump(config).encode())


def keep_counterfactual(folder: Path, result: Result) -> None:
    """Write what the run came to without own impact."""
    _write(folder / "without.json", _json(result))


def read(path: str | os.PathLike[str]) -> SavedRun:
    """Open a run folder.

    Raises
    ------
    RunError
        If something is missing or damaged.
    """
    folder = Path(path)
    found = read_manifest(folder)
    if (folder / "log.sqlite").exists() and found.partial == UNFINISHED:
        raise RunError(f"{folder}: this paper session has not ended; wait for its end, or start it again to go on")
    if not (folder / "journal.bin").is_file():
        raise RunError(f"{folder / 'journal.bin'} is missing; run it again")
    return SavedRun(folder=folder, config=load(folder / "config.toml"), manifest=found)


def read_manifest(folder: Path) -> RunManifest:
    """What a run folder says of itself, also while the run goes on; raises as ``read``."""
    try:
        return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=RunManifest)
    except OSError as error:
        raise RunError(f"{folder}: no run folder ({error.strerror}: manifest.json); name one below runs/") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{folder / 'manifest.json'}: damaged ({error}); run it again") from None


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all."""
    scratch = file.with_name(f".{file.name}.part")
    try:
        scratch.write_bytes(data)
        scratch.replace(file)
    except OSError as error:
        raise RunError(
            f"{file}: cannot be written ({error.strerror}); free space or choose another --out folder"
        ) from None


def version(name: str) -> str:
    """Of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "from source"
