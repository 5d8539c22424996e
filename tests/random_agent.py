"""Agents with weights at random, for tests of what must hold whatever was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.agent_model import HIDDEN, Agent, AgentArrays, AgentManifest, save_agent
from engine.q_network import Weights

LEVELS, SIZES = [0, 2, 2, 1, 1, 3, 3, 3], [0, 1, 2, 1, 2, 1, 2, 4]  # of the solvable problem


def random_weights(seed: int, *, n_in: int = 7, scale: float = 1.0) -> Weights:
    rng = np.random.default_rng(seed)
    drawn = [scale * rng.standard_normal(shape) for shape in ((HIDDEN, n_in), HIDDEN, HIDDEN, 1)]
    return Weights(*(part.astype(np.float32) for part in drawn))


def agent_arrays(seed: int, *, steps: int = 40, lots: int = 20) -> AgentArrays:
    rng = np.random.default_rng(seed)
    level, size = np.array(LEVELS), np.array(SIZES)
    fill = rng.random((steps, len(level), 3)) * (size > 0)[:, None]
    return AgentArrays(
        level=level,
        size=size,
        spread_cost=np.array([0.0, -0.9, -0.4, 1.0])[level],
        impact=np.array([0.0, 2.0, 2.0, 8.0])[level],
        fill=fill,
        alpha=np.array([-1.0, 0.0, 1.0]),
        alpha_start=np.full(3, 1 / 3),
        alpha_move=np.where(np.eye(3) > 0, 0.85, 0.075),
        volume=np.full(steps, 1 / steps),
        leftover=np.array([2.0, 8.0]),
        visited=rng.integers(0, 9, (steps, lots + 1)),
    )


def agent_manifest(**changed: Any) -> AgentManifest:
    told = {"trained_on": "X", "objective": "vwap", "pov": 0.1, "lots": 20, "step_s": 1.0, "drift": 0.05, "early": 1.0}
    return AgentManifest(**(told | changed))


def random_agent(folder: Path, seed: int, *, scale: float = 1.0, steps: int = 40, **changed: Any) -> Agent:
    """An agent with weights at random, saved."""
    manifest = agent_manifest(**changed)
    arrays = agent_arrays(seed, steps=steps, lots=manifest.lots)
    weights = random_weights(seed, n_in=len(manifest.inputs), scale=scale)
    return save_agent(folder, manifest, weights, arrays, overwrite=True)
