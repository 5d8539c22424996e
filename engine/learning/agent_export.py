"""Between a placement problem with a trained network and the agent's folder that strategies read."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from engine.agent_model import COMMON, PER_PLACEMENT, Agent, AgentArrays, AgentManifest, save_agent
from engine.learning.placement_problem import ARRIVAL, VWAP, Problem, make_problem
from engine.q_network import Weights

OBJECTIVES: dict[int, Literal["arrival", "vwap"]] = {ARRIVAL: "arrival", VWAP: "vwap"}


def export_agent(
    folder: str | os.PathLike[str],
    problem: Problem,
    weights: Weights,
    visited: ArrayLike,
    *,
    trained_on: str,
    step_s: float,
    overwrite: bool = False,
    **facts: Any,
) -> Agent:
    """Write a trained network with its problem as an agent.

    Parameters
    ----------
    folder : path
    problem : Problem
        One, no batch.
    weights : Weights
        Of one network.
    visited : int[T, lots + 1]
        How often training stood at a step with so many lots left.
    trained_on : str
        The ticker or the problem, for people.
    step_s : float
        Seconds of a step.
    **facts
        Other fields of ``AgentManifest``: ``forecast``, ``lean_edge``, ``seed``, ``episodes``, ``trained``, …

    Raises
    ------
    ConfigError
        As ``save_agent``.
    """
    inputs = (*COMMON, *PER_PLACEMENT)
    manifest = AgentManifest(
        trained_on=trained_on,
        inputs=inputs if weights.w1.shape[1] == len(inputs) else inputs[1:],
        objective=OBJECTIVES[int(problem.objective)],
        pov=float(problem.pov),
        lots=int(problem.lots),
        step_s=step_s,
        drift=float(problem.drift),
        risk=float(problem.risk),
        early=float(problem.early),
        **facts,
    )
    return save_agent(folder, manifest, weights, arrays_of(problem, visited), overwrite=overwrite)


def arrays_of(problem: Problem, visited: ArrayLike) -> AgentArrays:
    """The arrays of a problem as an agent keeps them."""
    kept = {name: getattr(problem, name) for name in AgentArrays._fields if name != "visited"}
    return AgentArrays(visited=np.array(visited, np.int64), **kept)


def problem_of(agent: Agent) -> Problem:
    """The problem that an agent was trained on."""
    facts, arrays = agent.manifest, agent.arrays
    return make_problem(
        lots=facts.lots,
        level=arrays.level,
        size=arrays.size,
        spread_cost=arrays.spread_cost,
        impact=arrays.impact,
        fill=arrays.fill,
        alpha=arrays.alpha,
        alpha_start=arrays.alpha_start,
        alpha_move=arrays.alpha_move,
        volume=arrays.volume,
        drift=facts.drift,
        risk=facts.risk,
        leftover=arrays.leftover,
        early=facts.early,
        pov=facts.pov,
        objective=next(number for number, name in OBJECTIVES.items() if name == facts.objective),
    )
