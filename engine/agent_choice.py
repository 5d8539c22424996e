"""What a trained agent does in a state: the network asked at each placement that is allowed.

The inputs are those of training (``engine.learning.placement_problem.inputs``, against which a test holds them): common
``pov, progress, elapsed, alpha``; of each placement ``spread_cost, fill, size``. Progress is the part of the period's
volume that has elapsed less the part of the parent that has traded. Alpha has one of the states of training: a forecast
beyond ``lean_edge`` is in an outer one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.agent_model import Agent
from engine.q_network import best_allowed, q_values

NS = 1_000_000_000


class Chooser:
    """An agent that is asked step by step; plain numbers in, a placement out.

    ``levels``, ``steps``, ``lots``, ``step_ns`` and ``forecast`` are those of the agent.
    """

    def __init__(self, agent: Agent) -> None:
        arrays, facts = agent.arrays, agent.manifest
        self.levels: list[int] = arrays.level.tolist()
        self.lots, self.steps, self.step_ns = facts.lots, len(arrays.volume), round(facts.step_s * NS)
        self.forecast = facts.forecast
        self._sizes: list[int] = arrays.size.tolist()
        self._agent = agent
        self._elapsed = np.concatenate([[0.0], np.cumsum(arrays.volume)[:-1]])
        self._has_pov = "pov" in facts.inputs
        self._each = np.zeros((len(self.levels), 3), np.float32)
        self._each[:, 0] = arrays.spread_cost
        self._each[:, 2] = arrays.size / facts.lots
        self._q = np.zeros(len(self.levels), np.float32)

    def lots_of(self, placement: int) -> int:
        """Its size in lots of the problem."""
        return self._sizes[placement]

    def alpha_state(self, lean: float) -> int:
        """The state of alpha, an index, that a forecast is in."""
        outer = 0.0 if abs(lean) <= self._agent.manifest.lean_edge else math.copysign(1.0, lean)
        return int(np.argmin(np.abs(self._agent.arrays.alpha - outer)))

    def choose(self, step: int, remaining: float, lean: float, allowed: Sequence[bool]) -> int:
        """The placement of the largest Q.

        Parameters
        ----------
        step : int
            Of the problem, from 0.
        remaining : float
            Part of the slice that is still to trade, 0 … 1.
        lean : float
            A forecast, -1 … 1, positive where the price is about to move against the order.
        allowed : sequence of bool
            Which placements may be chosen; to wait always may.
        """
        arrays, weights, facts = self._agent.arrays, self._agent.weights, self._agent.manifest
        a = self.alpha_state(lean)
        elapsed = self._elapsed[step]
        common = np.array([facts.pov, elapsed - (1 - remaining), elapsed, arrays.alpha[a]], np.float32)
        self._each[:, 1] = arrays.fill[step, :, a]
        q_values(*weights, common if self._has_pov else common[1:], self._each, self._q)
        return int(best_allowed(self._q, np.array(allowed, np.bool_)))
