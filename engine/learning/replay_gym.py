"""Full replay as a Gymnasium environment: the broker, its fills and its impact, on the days of a run.

    gymnasium.make("engine.learning.gym_env:tickwright/Placement-v0", preset="replay", run="vwap_agent")

Observations, actions and rewards are those of the calibrated problem that the run's agent was trained on, so that who
learns on the one can be judged on the other. Each episode is a parent alone, in a period and on a side that
``reset(seed=…)``'s chance draws. Many at once: ``gymnasium.make_vec(…, vectorization_mode="async")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from engine.config import load, make_feed
from engine.errors import ConfigError
from engine.learning.placement_problem import WAIT
from engine.learning.placement_spaces import Observation, observed, placement_of, spaces_of
from engine.learning.replay_env import ReplayState
from engine.learning.replay_parents import ReplayParents
from engine.learning.step_facts import Periods
from engine.shipped import find_config

TRIES = 100  # periods that are drawn before a market counts as one without quotes


class ReplayGym(gymnasium.Env[Observation, np.int64]):
    """One parent at a time.

    A placement that the book has no price for waits; ``info["action_mask"]`` (int8[p]) says which have one.

    Parameters
    ----------
    run : str
        A config of ``VwapAgent``, by name or path: agent, broker, probes.
    tapes : sequence of str
        The days, in place of the run's; each is loaded by itself.
    after_open_s, before_close_s : int
        When the first period begins, and the last one is over.
    sets : sequence of str
        Laid over the run, as ``--set`` does.

    Raises
    ------
    ConfigError, TapeError
        If the run has no agent of a market, a tape is missing, or no period fits into the days.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        run: str = "vwap_agent",
        *,
        tapes: Sequence[str] = (),
        after_open_s: int = 1_800,
        before_close_s: int = 900,
        sets: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        config = load(find_config(run), sets=sets)
        self.render_mode = render_mode
        self._parents = ReplayParents(config)
        self.problem = self._parents.problem
        self.observation_space, self.action_space = spaces_of(self.problem)
        self._is_over = True  # before the first
        self._wait = int(np.flatnonzero(self.problem.level == WAIT)[0])
        names = list(tapes) or list(config.feed_params.get("tapes", []))
        days = [make_feed(config, {"tapes": [name]}).tape for name in names]
        length_s = self._parents.length_s
        periods = Periods(after_open_s=after_open_s, before_close_s=before_close_s, each_s=length_s)
        self._periods = [(tape, start) for tape in days for span in tape.sessions for start in periods.starts(span)]
        if not self._periods:
            raise ConfigError(
                f"{config.name}: no period of {length_s} s fits into {', '.join(names) or 'no tape'} "
                f"{after_open_s} s after the open and {before_close_s} s before the close; name other tapes"
            )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A parent of a period and a side that are drawn; a period that begins without a quote is drawn again."""
        super().reset(seed=seed)
        for _ in range(TRIES):
            tape, start = self._periods[int(self.np_random.integers(len(self._periods)))]
            self._env = self._parents.env(tape, start, 1 if self.np_random.random() < 0.5 else -1)
            if (state := self._env.reset()) is not None:
                self._is_over = False
                return self._told(state)
        raise ConfigError(f"none of {TRIES} periods began with a two-sided quote of {self._parents.symbol}")

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place, and let a step of the market pass; an end is a terminal state."""
        placement = placement_of(action, self.problem, is_over=self._is_over)
        reward, state, self._is_over = self._env.step(placement if self._state.allowed[placement] else self._wait)
        seen, info = self._told(state)
        return seen, float(reward), self._is_over, False, info

    def _told(self, state: ReplayState) -> tuple[Observation, dict[str, Any]]:
        self._state = state
        info = {"remaining": state.remaining, "action_mask": state.allowed.astype(np.int8)}
        return observed(self.problem, state.step, state.remaining, state.alpha), info
