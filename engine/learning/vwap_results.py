"""What a training of placement leaves behind: ``results.json`` beside ``arrays/NAME.npy``, numbers only.

A run is one trained network: a ticker (or the test problem), a target POV, an objective and a seed. Arrays have one
row a run; k counts the points in training at which it was looked at, s the policies kept on the way, p placements::

    w1[n, 50, i] b1[n, 50] z[n, 50] b2[n, 1]     float32, the trained networks
    visited[n, steps, lots + 1]                  int64, how often training stood at a step with so many lots left
    episodes[k]                                  int64, parents simulated up to each point
    reward[n, k] aggressive[n, k] completed[n, k]  mean total reward of the policy at that point; aggressive lots of
                                                 all executed; share of the parent executed
    placed[n, k, p]                              share of each placement among those chosen
    snapshot_episodes[s]                         int64
    snapshot_w1[n, s, 50, i] snapshot_b1 …       float32, the networks at these points
    problem_FIELD[n, …]                          every field of ``Problem``
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

RESULTS = "results.json"
WEIGHTS = ("w1", "b1", "z", "b2")
HISTORY = ("reward", "aggressive", "completed", "placed")
NEEDED = (
    *WEIGHTS, "visited", "episodes", *HISTORY, "snapshot_episodes", *(f"snapshot_{name}" for name in WEIGHTS),
)  # fmt: skip
_CURE = "train again with `tickwright train vwap`"


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One trained network. Costs are exact expectations in half-spreads of the whole parent."""

    ticker: str
    pov: float  # target share of the market's volume
    objective: Literal["arrival", "vwap"]
    seed: int
    episodes: int
    seconds: float  # of one core, or its share of a batch
    cost: float
    optimum: float  # of the dynamic programme
    twap: float
    best_rule: float  # the cheapest fixed rule
    best_rule_name: str


class VwapResults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was trained, how, and what failed; the order of ``runs`` is that of the arrays' rows."""

    name: str
    is_synthetic: bool  # the tickers were drawn, not calibrated to a recorded market
    device: str  # and threads: "cpu, 1 thread"
    settings: dict[str, str | int | float | bool]
    runs: list[Run]
    failed: dict[str, str] = {}  # why, by ticker
    notes: list[str] = []
    arrays: dict[str, str] = {}  # BLAKE2b-256 of each file; written by ``save_results``


class Kept(NamedTuple):
    """Results with their arrays."""

    results: VwapResults
    arrays: dict[str, NDArray[Any]]


def save_results(folder: Path, results: VwapResults, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write both into a folder, which is made; the manifest last, so that half a folder is none."""
    _check(folder, results, arrays)
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, array in arrays.items():
        text = io.BytesIO()
        np.save(text, np.ascontiguousarray(array), allow_pickle=False)
        (folder / "arrays" / f"{name}.npy").write_bytes(text.getvalue())
        hashes[name] = _hash(text.getvalue())
    kept = msgspec.structs.replace(results, arrays=hashes)
    (folder / RESULTS).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


def load_results(folder: str | os.PathLike[str]) -> Kept:
    """Open what a training left.

    Raises
    ------
    ConfigError
        If a file is missing, damaged, or of another training, or shapes do not fit each other.
    """
    path = Path(folder)
    try:
        results = msgspec.json.decode((path / RESULTS).read_bytes(), type=VwapResults)
        files = {name: (path / "arrays" / f"{name}.npy").read_bytes() for name in results.arrays}
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read ({error.strerror}); {_CURE}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path / RESULTS}: no results of a training of placement ({error}); {_CURE}") from None
    for name, data in files.items():
        if _hash(data) != results.arrays[name]:
            raise ConfigError(f"{path / 'arrays' / name}.npy: was changed or is damaged (its hash is another); {_CURE}")
    arrays = {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in files.items()}
    _check(path, results, arrays)
    return Kept(results, arrays)


def _check(path: Path, results: VwapResults, arrays: Mapping[str, NDArray[Any]]) -> None:
    """What types do not say: every array is there and has a row a run and a column a point."""
    for name in NEEDED:
        if name not in arrays:
            raise ConfigError(f"{path}: the array {name!r} is missing; {_CURE}")
    points = dict.fromkeys(HISTORY, arrays["episodes"].size)
    points |= {name: arrays["snapshot_episodes"].size for name in NEEDED if name.startswith("snapshot_")}
    for name, array in arrays.items():
        if name in ("episodes", "snapshot_episodes"):
            continue
        if array.ndim < 1 or array.shape[0] != len(results.runs):
            raise ConfigError(
                f"{path}: {name} has shape {array.shape}, but there are {len(results.runs)} runs; {_CURE}"
            )
        if name in points and array.shape[1:2] != (points[name],):
            raise ConfigError(f"{path}: {name} has shape {array.shape}, but {points[name]} points are named; {_CURE}")


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()
