"""A trained agent for placing child orders as a folder of numbers (``engine.array_folder``).

``NAME.agent/`` holds ``manifest.json``, the weights of the network (``engine.q_network``) and the numbers of the
problem that it was trained on: what each placement costs, how likely it fills, how volume comes. A strategy reads from
them what the network was told in training, and a study rebuilds the whole problem.
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
from engine.child_orders import LEVELS, WAIT
from engine.errors import ConfigError
from engine.q_network import Weights

FORMAT = 1
HIDDEN = 50
COMMON = ("pov", "progress", "elapsed", "alpha")
PER_PLACEMENT = ("spread_cost", "fill", "size")
MOST_LOTS, MOST_STEPS, MOST_PLACEMENTS, MOST_ALPHAS = 10_000, 10_000, 1_000, 100

Floats = NDArray[np.float64]

_F4, _F8, _I8 = np.dtype("<f4"), np.dtype("<f8"), np.dtype("<i8")
_WEIGHTS = dict.fromkeys(Weights._fields, _F4)


class AgentArrays(NamedTuple):
    """The problem's arrays; T steps, p placements, a states of alpha."""

    level: NDArray[np.int64]  # [p] of engine.child_orders.LEVELS
    size: NDArray[np.int64]  # [p] lots; 0 to wait
    spread_cost: Floats  # [p] half-spreads for the whole parent; negative earns
    impact: Floats  # [p] half-spreads, times the square of the filled part
    fill: Floats  # [T, p, a] probability that the size fills in the step
    alpha: Floats  # [a] expected move against the parent, -1 … 1
    alpha_start: Floats  # [a] probabilities
    alpha_move: Floats  # [a, a] probabilities of the next state (columns) by state
    volume: Floats  # [T] part of the period's market volume, summing to 1
    leftover: Floats  # [2] half-spreads for a part x left at the end: x and x squared
    visited: NDArray[np.int64]  # [T, lots + 1] how often training stood at a step with so many lots left


_ARRAYS = {name: _I8 if name in ("level", "size", "visited") else _F8 for name in AgentArrays._fields}
DTYPES = _WEIGHTS | _ARRAYS


class AgentManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an agent is; ``arrays`` and ``content`` are filled in when it is saved."""

    format: int = FORMAT
    kind: Literal["agent"] = "agent"
    trained_on: str  # the ticker or the problem, for people
    is_synthetic: bool = False  # the market that it was calibrated to was made up
    inputs: tuple[str, ...] = (*COMMON, *PER_PLACEMENT)  # of the network, in order; "pov" may be missing
    objective: Literal["arrival", "vwap"]
    pov: float  # the parent as a part of the market's volume in its period
    lots: int  # a parent is cut into
    step_s: float  # seconds of a step
    lot_size: float = 0.0  # size units of a lot of the parent it was trained on; 0: of no market
    half_spread: float = 0.0  # price units; 0: of no market
    forecast: Literal["model", "imbalance"] = "model"  # of direction: a probe's, or (bid less ask) / both of the touch
    lean_edge: float = 0.5  # beyond which a forecast is in an outer state of alpha
    drift: float  # half-spreads that alpha = 1 adds to the price in a step
    risk: float = 0.0  # half-spreads for a step of exposure 1
    early: float  # half-spreads for a finish at once
    seed: int = 0
    episodes: int = 0
    trained: list[tuple[int, int]] = []  # [first, last] of each day calibrated to, ns UTC
    problem: str = ""  # hash of the problem's file, where it had one
    settings: dict[str, int | float | str | bool] = {}
    metrics: dict[str, float] = {}
    arrays: dict[str, ArrayFacts] = {}
    content: str = ""  # BLAKE2b-256 of this manifest without this field


class Agent(msgspec.Struct, frozen=True, eq=False):
    """An agent that was opened."""

    manifest: AgentManifest
    weights: Weights
    arrays: AgentArrays


def save_agent(
    folder: str | os.PathLike[str],
    manifest: AgentManifest,
    weights: Weights,
    arrays: AgentArrays,
    *,
    overwrite: bool = False,
) -> Agent:
    """Write an agent as a folder, whole or not at all; it comes back with its hashes.

    Raises
    ------
    ConfigError
        If the folder exists (with ``overwrite``: and holds no model) or cannot be written, or the numbers are no agent.
    """
    path = Path(folder)
    check_free(path, overwrite=overwrite)
    parts = weights._asdict() | arrays._asdict()
    plain = {name: np.ascontiguousarray(parts[name], dtype) for name, dtype in DTYPES.items()}
    manifest = described(manifest, plain)
    _check_manifest(path, manifest)
    agent = _agent(path, manifest, plain)
    write_folder(path, manifest, plain)
    return agent


def load_agent(folder: str | os.PathLike[str], *, content: str = "") -> Agent:
    """Open an agent; with ``content`` only the one of that hash.

    Raises
    ------
    ConfigError
        If a file is missing, damaged, too large or no file, belongs to another agent, or the numbers are no agent.
    """
    path = Path(folder)
    manifest = read_manifest(path, AgentManifest, newest=FORMAT)
    _check_manifest(path, manifest)
    check_content(path, manifest, content)
    return _agent(path, manifest, read_arrays(path, manifest, DTYPES))


def _agent(path: Path, manifest: AgentManifest, parts: dict[str, NDArray[Any]]) -> Agent:
    """The agent of these arrays, whose shapes were checked."""
    arrays = AgentArrays(**{name: parts[name] for name in _ARRAYS})
    _refuse(path, _wrong_values(arrays, parts))
    return Agent(manifest, Weights(**{name: parts[name] for name in _WEIGHTS}), arrays)


def _check_manifest(path: Path, manifest: AgentManifest) -> None:
    check_shapes(path, manifest, DTYPES)
    _refuse(path, _faults(manifest) | _wrong_shapes(manifest))


def _refuse(path: Path, faults: dict[str, bool]) -> None:
    for what, is_so in faults.items():
        if is_so:
            raise ConfigError(f"{path}: no agent: {what}; {CURE}")


def _faults(manifest: AgentManifest) -> dict[str, bool]:
    """What may be wrong with the manifest, and whether it is."""
    known = ((*COMMON, *PER_PLACEMENT), (*COMMON[1:], *PER_PLACEMENT))
    kept = [value for value in manifest.settings.values() if isinstance(value, float)]
    numbers = (manifest.drift, manifest.risk, manifest.early, *manifest.metrics.values(), *kept)
    sizes = manifest.lot_size, manifest.half_spread
    has_inputs, has_time = manifest.inputs in known, 1e-3 <= manifest.step_s <= 86_400
    return {
        f"its inputs are {manifest.inputs}, not {known[0]}, of which only the first may be missing": not has_inputs,
        f"its pov is {manifest.pov}, but must be above 0 and at most 1": not 0 < manifest.pov <= 1,
        f"it has {manifest.lots} lots, not 1 to {MOST_LOTS}": not 0 < manifest.lots <= MOST_LOTS,
        f"its step_s is {manifest.step_s}, but must be from 0.001 to 86,400": not has_time,
        f"its lean_edge is {manifest.lean_edge}, but must be from 0 to 1": not 0 <= manifest.lean_edge <= 1,
        f"its lot_size and half_spread are {sizes}, but must be from 0 to 1e15": not all(0 <= x <= 1e15 for x in sizes),
        "a number in its manifest is not finite": not all(map(math.isfinite, numbers)),
        "a day in trained ends before it begins": any(not 0 <= a <= b < 1 << 63 for a, b in manifest.trained),
    }


def _wrong_shapes(manifest: AgentManifest) -> dict[str, bool]:
    """Which arrays do not fit each other, before any is read."""
    found = {name: facts.shape for name, facts in manifest.arrays.items()}
    steps, p, a = found["volume"][0], found["level"][0], found["alpha"][0]
    shapes = {"w1": [HIDDEN, len(manifest.inputs)], "b1": [HIDDEN], "z": [HIDDEN], "b2": [1]}
    shapes |= {"level": [p], "size": [p], "spread_cost": [p], "impact": [p], "fill": [steps, p, a], "alpha": [a]}
    shapes |= {"alpha_start": [a], "alpha_move": [a, a], "volume": [steps], "leftover": [2]}
    shapes |= {"visited": [steps, manifest.lots + 1]}
    wrong = {f"{k} has shape {found[k]}, but needs {shape}": found[k] != shape for k, shape in shapes.items()}
    too_many = steps > MOST_STEPS or p > MOST_PLACEMENTS or a > MOST_ALPHAS
    return wrong | {f"{steps} steps, {p} placements or {a} alphas are too many": too_many}


def _wrong_values(arrays: AgentArrays, parts: dict[str, NDArray[Any]]) -> dict[str, bool]:
    """Which numbers cannot be."""
    chances, sums = ("fill", "alpha_start", "alpha_move", "volume"), ("alpha_start", "alpha_move", "volume")
    faults = {f"{k} holds a number that is not finite": not np.isfinite(part).all() for k, part in parts.items()}
    faults |= {f"{k} is outside 0 … 1": not ((parts[k] >= 0) & (parts[k] <= 1)).all() for k in chances}
    faults |= {f"{k} does not add up to 1": not (abs(parts[k].sum(axis=-1) - 1) < 1e-9).all() for k in sums}
    level, size, waits = arrays.level, arrays.size, arrays.level == WAIT
    return faults | {
        "a level is not one of 0, 1, 2, 3": not np.isin(level, LEVELS).all(),
        "a size is negative, or 0 where its level does not wait": not ((size >= 0) & ((size == 0) == waits)).all(),
        "no placement is to wait": not waits.any(),
        "alpha is outside -1 … 1": not (np.abs(arrays.alpha) <= 1).all(),
        "visited is negative": bool((arrays.visited < 0).any()),
    }
