"""Q-learning of placement with the paper's network: 50 ReLU units, mini-batches, adaptive rates, replay, target copy.

A round of training (``train`` says how many there are):

1. play the round's episodes, epsilon-greedy, and remember every decision             ``replay_memory``
2. now and then copy the network and work out what it should say                      ``bellman_targets``
3. steps of stochastic gradient on mini-batches of remembered pairs, drawn by weight  ``network_training``

Rounds after the last episode only do 2 and 3, the rate still falling. The copy, the player and what is kept is the
running mean of the network (Polyak), which moves less than the network does. A placement to explore is drawn by how
near its value is to the best, or with a part of the probability from all alike.

Many tickers learn in one training, each with its own seed: all chance comes from the ticker's seed by counter, so one
learns the same wherever it stands in the batch, and a training that was killed goes on with the same bits. A batch of
8 keeps a core's cache busy; a GPU takes hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.checkpoints import Checkpoints, fingerprint
from engine.learning.placement_problem import Problem
from engine.learning.training_history import History
from engine.q_network import Weights

Ints = NDArray[np.int64]
OnProgress = Callable[[int, int, History], None]


class TrainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the network learns. The defaults are for the test problem and tickers calibrated to it."""

    seed: int = 1
    episodes: int = 20_000  # of every ticker
    rounds: int = 40  # in which they are played
    settle: int = 20  # rounds after them
    steps: int = 200  # of gradient, a round
    batch: int = 512  # pairs in a mini-batch
    hidden: int = 50
    refresh: int = 100  # steps between two target copies
    first_rate: float = 0.03  # of Adam, falling by the same factor every step
    last_rate: float = 0.0003
    average: float = 0.998  # of the running mean: how much of it stays at a step
    first_explore: float = 1.0  # epsilon, falling in a straight line over the first half of the episodes
    last_explore: float = 0.3
    explore_all: float = 0.2  # of exploring decisions: any placement; the others by how near they are to the best
    tolerance: float = 0.03  # half-spreads between placements that are near
    unit: float = 0.1  # half-spreads that the network counts as 1
    snapshots: int = 8  # networks kept on the way
    patience: int = 0  # rounds without a better greedy cost after which a ticker stops; 0 to go through
    device: str = "cpu"
    threads: int = 1  # of torch on a CPU; with another number of them sums may round in another order

    def __post_init__(self) -> None:
        for name in ("episodes", "rounds", "steps", "batch", "hidden", "refresh", "snapshots", "threads"):
            _must(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in ("first_rate", "last_rate", "tolerance", "unit"):
            _must(getattr(self, name) > 0, name, getattr(self, name), "> 0")
        for name in ("first_explore", "last_explore", "explore_all", "average"):
            _must(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in 0 ... 1")
        _must(self.settle >= 0, "settle", self.settle, ">= 0")
        _must(self.patience >= 0, "patience", self.patience, ">= 0")
        _must(self.episodes >= self.rounds, "episodes", self.episodes, f">= rounds ({self.rounds})")
        _must(0 <= self.seed < 2**64, "seed", self.seed, "in 0 ... 2^64 - 1")


class Trained(NamedTuple):
    """n trained tickers."""

    weights: Weights  # one more axis in front of every field; A of ``bellman_targets``, half-spreads
    history: History
    visited: Ints  # [n, T, lots + 1] decisions at a step with so many lots left
    snapshot_episodes: Ints  # [n, s] the last is the end
    snapshots: Weights  # [n, s, ...]
    baseline: NDArray[np.float32]  # [n, T, lots + 1, a] V of ``bellman_targets``: what the states are worth
    rounds: Ints  # [n] after which it stopped


def train(
    problems: Problem,
    settings: TrainSettings,
    *,
    seeds: Sequence[int] | None = None,
    on_progress: OnProgress | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train a network for every problem of a batch.

    Parameters
    ----------
    problems : Problem
        A batch (``placement_problem.stack``).
    settings : TrainSettings
    seeds : of each ticker; without them all have the settings'.
    on_progress : called after every round with (rounds done, rounds in all, the history so far).
    checkpoint : folder to which the state goes after every round. What an interrupted training of the same problems,
        settings and seeds left there is taken up, and gives the same bits as one without interruption.

    Raises
    ------
    ConfigError
        If ``problems`` is no batch, the checkpoint is of another training, or the device is not there.
    """
    if np.ndim(problems.lots) != 1:
        raise ConfigError("training needs a batch of problems; pass stack([problem])")
    own = np.array([settings.seed] * len(problems.size) if seeds is None else seeds, np.uint64)
    if len(own) != len(problems.size):
        raise ConfigError(f"there are {len(own)} seeds for {len(problems.size)} problems; give one for each")
    from engine.learning.deep_q_learner import DeepQLearner  # torch

    learner = DeepQLearner(problems, settings, own)
    kept = Checkpoints(checkpoint, fingerprint(problems, settings, own)) if checkpoint else None
    done = kept.resume(learner.state) if kept else 0
    in_all = settings.rounds + settings.settle
    for k in range(done, in_all):
        if not learner.round(k):
            break
        if kept:
            kept.save(k + 1, learner.state)
        if on_progress:
            on_progress(k + 1, in_all, learner.history)
    return learner.trained()


def _must(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value}, but must be {what}")
