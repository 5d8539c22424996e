"""What a training of placement leaves behind: ``results/``, a folder of numbers beside the agents that it trained.

A run is one trained network: a ticker (or the test problem), a target POV, an objective and a seed. Everything has
the runs' axis in front, in the order of ``VwapResults.runs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.array_folder import (
    ArrayFacts,
    check_free,
    check_shapes,
    described,
    read_arrays,
    read_manifest,
    write_folder,
)
from engine.errors import ConfigError
from engine.learning.placement_problem import Problem
from engine.q_network import Weights

FORMAT = 1
FOLDER = "results"
INTEGERS = ("lots", "steps", "level", "size", "objective", "visited", "episodes", "snapshot_episodes")

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Learned(NamedTuple):
    """Arrays of n runs: k points of training at which it was looked at, s policies kept on the way, p placements.

    A run that stopped early repeats its last point.
    """

    w1: Singles  # [n, 50, i] the trained networks
    b1: Singles  # [n, 50]
    z: Singles  # [n, 50]
    b2: Singles  # [n, 1]
    visited: Ints  # [n, T, lots + 1] how often training stood at a step with so many lots left
    episodes: Ints  # [n, k] parents simulated up to each point
    reward: Floats  # [n, k] mean total reward of a parent, half-spreads
    aggressive: Floats  # [n, k] aggressive lots of all executed
    completed: Floats  # [n, k] part of the parent executed
    placed: Floats  # [n, k, p] share of each placement among those chosen
    snapshot_episodes: Ints  # [n, s]
    snapshot_w1: Singles  # [n, s, 50, i]
    snapshot_b1: Singles  # [n, s, 50]
    snapshot_z: Singles  # [n, s, 50]
    snapshot_b2: Singles  # [n, s, 1]


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
    """What was trained, how, and what failed."""

    name: str
    is_synthetic: bool  # the tickers were drawn, not calibrated to a recorded market
    device: str  # "cpu, 1 thread"
    settings: dict[str, str | int | float | bool]
    runs: list[Run]
    failed: dict[str, str] = {}  # why, by ticker
    notes: list[str] = []
    format: int = FORMAT
    arrays: dict[str, ArrayFacts] = {}  # filled in when it is saved
    content: str = ""  # and so is this


class Kept(NamedTuple):
    """Results, the problems that were learned, and what was learned."""

    results: VwapResults
    problems: Problem  # a batch
    learned: Learned


def save_results(
    folder: Path, results: VwapResults, problems: Problem, learned: Learned, *, overwrite: bool = False
) -> None:
    """Write ``folder/results``, whole or not at all.

    Raises
    ------
    ConfigError
        If it exists, cannot be written, or arrays do not fit the runs and each other.
    """
    path = folder / FOLDER
    arrays = {f"problem_{name}": value for name, value in problems._asdict().items()} | learned._asdict()
    arrays = {name: np.ascontiguousarray(value, _dtype(name)) for name, value in arrays.items()}
    _check(path, results.runs, problems, learned)
    check_free(path, overwrite=overwrite)
    write_folder(path, described(results, arrays), arrays)


def load_results(folder: Path) -> Kept:
    """Open what a training left.

    Raises
    ------
    ConfigError
        If a file is missing, damaged, or of another training, or shapes do not fit each other.
    """
    path = folder / FOLDER
    results = read_manifest(path, VwapResults, newest=FORMAT)
    dtypes = {name: _dtype(name) for name in (*(f"problem_{one}" for one in Problem._fields), *Learned._fields)}
    check_shapes(path, results, dtypes)
    arrays = read_arrays(path, results, dtypes)
    problems = Problem(*(arrays[f"problem_{name}"] for name in Problem._fields))  # pyright: ignore[reportArgumentType]
    learned = Learned(*(arrays[name] for name in Learned._fields))
    _check(path, results.runs, problems, learned)
    return Kept(results, problems, learned)


def _dtype(name: str) -> np.dtype[Any]:
    if name.removeprefix("problem_") in INTEGERS:
        return np.dtype("<i8")
    return np.dtype("<f4" if name.removeprefix("snapshot_") in Weights._fields else "<f8")


def _check(path: Path, runs: Sequence[Run], problems: Problem, learned: Learned) -> None:
    """What types do not say."""
    n, k, s = len(runs), np.shape(learned.episodes)[-1], np.shape(learned.snapshot_episodes)[-1]
    n_hidden, n_in = np.shape(learned.w1)[1:]
    steps, p = np.shape(problems.fill)[1:3]
    if not n:
        raise ConfigError(f"{path}: there is no run; nothing was trained")
    network = {"w1": (n_hidden, n_in), "b1": (n_hidden,), "z": (n_hidden,), "b2": (1,)}
    wanted = {name: (n, *shape) for name, shape in network.items()}
    wanted |= {f"snapshot_{name}": (n, s, *shape) for name, shape in network.items()}
    wanted |= dict.fromkeys(("episodes", "reward", "aggressive", "completed"), (n, k))
    wanted |= {"placed": (n, k, p), "snapshot_episodes": (n, s)}
    wanted |= {"visited": (n, steps, int(np.max(problems.lots)) + 1)}
    for name, shape in wanted.items():
        found = np.shape(getattr(learned, name))
        if found != shape:
            raise ConfigError(f"{path}: {name} has shape {found}, but {n} runs and its fellows need {shape}")
    for name, value in problems._asdict().items():
        if np.shape(value)[:1] != (n,):
            raise ConfigError(f"{path}: problem_{name} has shape {np.shape(value)}, but there are {n} runs")
