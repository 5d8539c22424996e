"""The placement problem as Gymnasium environments, one parent or many at once, for anybody's algorithms.

Importing this module registers ``tickwright/Placement-v0``, so both of these work::

    gymnasium.make("engine.learning.gym_env:tickwright/Placement-v0", preset="test", pov=0.10)
    gymnasium.make_vec("engine.learning.gym_env:tickwright/Placement-v0", num_envs=1000, preset="test", pov=0.10)

Presets: the solvable problem, a calibrated one (``problem_of``), and full replay (``replay_gym``). An observation is
float32[4 + 3 p]: the common inputs of ``placement_problem.inputs``, then spread cost, fill probability and size of
each placement. An action is the placement's index. Rewards are half-spreads of the parent's value, by
``placement_problem.step``; no discount is meant. The many are one ``PlacementEnv``: no loop in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.exact_policy import grid_inputs
from engine.learning.placement_env import PlacementEnv
from engine.learning.placement_problem import COMMON, Problem, nth, pick, stack, step, test_problem
from engine.learning.placement_spaces import Observation, observed, placement_of, spaces_of
from engine.learning.vwap_results import load_results

ID = "tickwright/Placement-v0"


class PlacementGym(gymnasium.Env[Observation, np.int64]):
    """One parent. Chance comes from ``reset(seed=…)``, as Gymnasium has it."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, problem: Problem | None = None, *, render_mode: str | None = None, **preset: Any) -> None:
        """A problem, or else the arguments of ``problem_of``; nothing is rendered."""
        self.problem = problem if problem is not None else problem_of(**preset)
        self.render_mode = render_mode
        self.observation_space, self.action_space = spaces_of(self.problem)
        self._t, self._remaining, self._alpha = 0, self.problem.lots, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A new parent, in a state of alpha drawn for its start."""
        super().reset(seed=seed)
        self._t, self._remaining = 0, self.problem.lots
        self._alpha = int(pick(self.problem.alpha_start, self.np_random.random()))
        return self._observed(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place; an end is a terminal state, for the end of the period is part of the problem."""
        placement = placement_of(action, self.problem, is_over=self._is_over)
        fill, move = self.np_random.random(2)
        reward, self._remaining, self._alpha, done = step(
            self.problem, self._t, self._remaining, self._alpha, placement, fill, move
        )
        self._t += 1
        return self._observed(), float(reward), bool(done), False, {"remaining": self._remaining}

    @property
    def _is_over(self) -> bool:
        return self._remaining == 0 or self._t == self.problem.steps

    def _observed(self) -> Observation:
        return observed(self.problem, self._t, self._remaining, self._alpha)


class PlacementVector(VectorEnv[Observation, NDArray[np.int64], NDArray[np.float64]]):
    """``num_envs`` parents; one that ends begins anew in the same step, its last observation in ``final_obs``."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int, problem: Problem | None = None, **preset: Any) -> None:
        """As for ``PlacementGym``."""
        self.num_envs, self.problem = num_envs, problem if problem is not None else problem_of(**preset)
        self.single_observation_space, self.single_action_space = spaces_of(self.problem)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._env = PlacementEnv(stack([self.problem]), num_envs, seed=0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """New parents; with a seed, the same ones every time."""
        super().reset(seed=seed)
        key = int(self.np_random.integers(2**63))
        self._env = PlacementEnv(stack([self.problem]), self.num_envs, seed=key)
        return self._observed(None), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every parent."""
        stepped = self._env.step(np.asarray(actions)[None])
        done = stepped.is_done[0]
        infos: dict[str, Any] = {"remaining": stepped.state[2, 0], "_remaining": np.ones(self.num_envs, np.bool_)}
        if done.any():
            last = self._observed(stepped.state)
            infos["final_obs"] = np.array([row if over else None for row, over in zip(last, done, strict=True)], object)
            infos["_final_obs"] = done.copy()
        return self._observed(None), stepped.reward[0], done, np.zeros_like(done), infos

    def _observed(self, state: NDArray[np.int64] | None) -> Observation:
        common, each = self._env.inputs(state)
        return np.concatenate([common[0], each[0].reshape(self.num_envs, -1)], axis=1)


def problem_of(
    preset: str = "test", *, pov: float = 0.10, folder: Path | str | None = None, ticker: str | None = None
) -> Problem:
    """The problem that a name stands for.

    =============  ========================================================================================
    test           the solvable problem, at ``pov``
    calibrated     what ``tickwright train vwap`` calibrated for ``ticker`` (or its first) and left in ``folder``
    =============  ========================================================================================

    Raises
    ------
    ConfigError
        If the preset or the ticker is unknown, or the folder is missing.
    """
    if preset == "test":
        return test_problem(pov)
    if preset == "replay":
        raise ConfigError("preset 'replay' is no table of many parents; use make_vec(…, vectorization_mode='async')")
    if preset != "calibrated":
        raise ConfigError(f"preset is {preset!r}, but must be 'test', 'calibrated' or 'replay'")
    if folder is None:
        raise ConfigError("preset 'calibrated' needs folder=…, where `tickwright train vwap` left its results")
    kept = load_results(Path(folder))
    tickers = [run.ticker for run in kept.results.runs]
    if ticker is not None and ticker not in tickers:
        raise ConfigError(f"{folder}: no ticker {ticker!r}; there are {', '.join(sorted(set(tickers))[:10])}")
    return nth(kept.problems, tickers.index(ticker) if ticker else 0)


def policy_table(problem: Problem, predict: Callable[[Observation], Any]) -> NDArray[np.int64]:
    """The table, int64[T, lots + 1, a], of a policy that gives an action for each of many observations.

    ``exact_policy.grade`` grades it. With Stable-Baselines3:
    ``policy_table(problem, lambda seen: model.predict(seen, deterministic=True)[0])``.
    """
    grid = grid_inputs(problem)
    shared, each = grid[..., 0, :COMMON], grid[..., COMMON:]
    seen = np.concatenate([shared, each.reshape(*each.shape[:-2], -1)], axis=-1)
    return np.asarray(predict(seen.reshape(-1, seen.shape[-1])), np.int64).reshape(seen.shape[:-1])


def placement_gym(preset: str = "test", **terms: Any) -> gymnasium.Env[Observation, np.int64]:
    """What ``gymnasium.make`` gives: a ``ReplayGym`` for the preset "replay", else a ``PlacementGym``."""
    if preset != "replay":
        return PlacementGym(preset=preset, **terms)
    from engine.learning.replay_gym import ReplayGym  # the broker's kernels

    return ReplayGym(**terms)


if ID not in gymnasium.registry:
    gymnasium.register(
        ID,
        entry_point="engine.learning.gym_env:placement_gym",
        vector_entry_point="engine.learning.gym_env:PlacementVector",
    )
