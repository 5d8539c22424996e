"""How a farm's chunk is learned: by ``deep_q``, with what it leaves as a farm keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.learning.deep_q import Trained, TrainSettings, train
from engine.learning.placement_problem import Problem
from engine.learning.training_history import History
from engine.learning.vwap_results import Learned

Hear = Callable[[float], None]  # the part of the training that is done, 0 ... 1


class Learner(msgspec.Struct, frozen=True):
    """Trains a batch. Picklable, as long as nobody listens (``hear``), who is here and not where the work is."""

    settings: TrainSettings
    checkpoints: str = ""  # a folder that whoever works can write; "" for none
    hear: Hear | None = None

    def __call__(self, problems: Problem, seeds: Sequence[int], name: str) -> Learned:
        """One row for each problem, whose seeds are ``seeds``; ``name`` is that of the checkpoint."""
        folder = Path(self.checkpoints) / name if self.checkpoints else None

        def heard(done: int, in_all: int, history: History) -> None:
            if self.hear:
                self.hear(done / in_all)

        return learned_of(train(problems, self.settings, seeds=seeds, on_progress=heard, checkpoint=folder))


def learned_of(trained: Trained) -> Learned:
    """What a training left; rounds that a run that stopped did not play repeat its last."""
    played = (np.diff(trained.history.episodes, axis=1, prepend=0) > 0).sum(axis=1)
    history = {name: _repeated(column, played) for name, column in trained.history._asdict().items()}
    return Learned(
        **trained.weights._asdict(),
        visited=trained.visited,
        **history,
        snapshot_episodes=trained.snapshot_episodes,
        **{f"snapshot_{name}": value for name, value in trained.snapshots._asdict().items()},
    )


def _repeated(column: NDArray, played: NDArray) -> NDArray:
    at = np.minimum(np.arange(column.shape[1]), np.maximum(played, 1)[:, None] - 1)
    return column[np.arange(len(column))[:, None], at]
