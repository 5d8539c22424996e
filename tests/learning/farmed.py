"""A farm of made-up tickers that learn nothing much, quickly: what is tested is the farm."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from engine.learning.farm import Chunk, Done, Farmer, Posed, Source, chunks_of
from engine.learning.placement_problem import Problem
from engine.learning.placement_problem import test_problem as solvable
from engine.learning.vwap_results import Learned

POINTS, KEPT = 3, 2


def prepare(pov: float) -> list[Posed]:
    """A problem by its POV; a negative one cannot be made, and 1 cannot be learned."""
    if pov < 0:
        raise ValueError("its tape has no trades")
    return [Posed(solvable(pov), {"step_s": 45.0, "is_synthetic": True})]


def learn(problems: Problem, seeds: Sequence[int], name: str) -> Learned:
    """Random networks, by seed and target alone; a batch with a POV of 1 fails, one with 0.9 is not finite."""
    povs = np.asarray(problems.pov)
    if (povs == 1).any():
        raise FloatingPointError("the loss is not finite")
    n, steps, p = problems.fill.shape[:3]
    keys = [[seed, round(1e6 * float(pov))] for seed, pov in zip(seeds, povs, strict=True)]
    draws = [np.random.Generator(np.random.Philox(key=np.array(key, np.uint64))) for key in keys]

    def drawn(*shape: int) -> np.ndarray:
        return np.stack([draw.normal(size=shape) for draw in draws]).astype(np.float32)

    b2 = drawn(1)
    b2[povs == 0.9] = np.nan
    return Learned(
        w1=drawn(50, 7), b1=drawn(50), z=drawn(50), b2=b2,
        visited=np.ones((n, steps, 21), np.int64),
        episodes=np.tile(np.arange(1, POINTS + 1), (n, 1)),
        reward=drawn(POINTS), aggressive=drawn(POINTS), completed=drawn(POINTS), placed=drawn(POINTS, p),
        snapshot_episodes=np.tile(np.arange(1, KEPT + 1), (n, 1)),
        snapshot_w1=drawn(KEPT, 50, 7), snapshot_b1=drawn(KEPT, 50), snapshot_z=drawn(KEPT, 50),
        snapshot_b2=drawn(KEPT, 1),
    )  # fmt: skip


def learn_and_die(problems: Problem, seeds: Sequence[int], name: str) -> Learned:
    """As a worker that the system kills."""
    if (np.asarray(problems.pov) == 0.5).any():
        os._exit(1)
    return learn(problems, seeds, name)


def no_time() -> float:
    return 0.0


FARMER = Farmer(prepare, learn, no_time)


def tickers(*povs: float, size: int = 2) -> list[Chunk]:
    return chunks_of([Source(f"T{i}", 7 + i, pov) for i, pov in enumerate(povs)], size=size)


def bits(done: Sequence[Done]) -> list[tuple]:
    """All that a farm found, in the order of its chunks, as what can be compared."""
    ordered = sorted(done, key=lambda one: one.chunk.number)
    return [
        (one.runs, one.failed, [column.tobytes() for column in one.learned] if one.learned else None) for one in ordered
    ]
