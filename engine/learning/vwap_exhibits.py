"""Exhibits of trained placement: what training brought, what policies prefer and do, beside the exact optimum.

Runs that differ only by seed (or, in a universe, by ticker) make a group; every curve is their mean with its standard
error. Costs, styles and sweeps are exact expectations, so that the error is that of training and of nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.learning.exact_policy import Solution, greedy, solve, twap
from engine.learning.placement_problem import Problem, nth, with_objective
from engine.learning.policy_style import Style, fill_sweep, met_states, style
from engine.learning.policy_surfaces import Surfaces, kind_of, network_values, surfaces
from engine.learning.vwap_results import Kept, Run
from engine.q_network import Weights

FACTORS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # times the fill probabilities that were trained on
LEAST = 20  # visits, for a state to be shown
MOST = 40  # runs of a group whose styles are worked out; more tickers are drawn evenly
FEW = 6  # tickers or targets that get a group each

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Band(NamedTuple):
    """A mean over runs and its standard error; NaN where there is one run."""

    mean: Floats
    error: Floats

    def at(self, k: int | tuple[int, ...]) -> Band:
        """One of many."""
        return Band(self.mean[k], self.error[k])

    def text(self, digits: int = 3) -> str:
        """A single number, for people."""
        mean, error = float(self.mean), float(self.error)
        return f"{mean:.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{mean:.{digits}f}"


class Training(NamedTuple):
    """By parents simulated, float64[k] each, and its baselines."""

    episodes: Floats
    reward: Band
    aggressive: Band
    completed: Band
    placed: Band  # [k, p]
    optimum: Band  # rewards, as are the next
    best_rule: Band
    twap: Band


class Manner(NamedTuple):
    """Styles of a group's runs: ``Style`` with a band for each number."""

    cost: Band
    remaining: Band  # [T + 1]
    traded: Band  # [T, levels]
    chosen: Band  # [T, levels]
    by_alpha: Band  # [a]
    by_level: Band  # [levels]
    momentum: Band
    aggressive: Band
    completed: Band
    opening: Band
    first_two_thirds: Band
    last_third: Band

    @property
    def late(self) -> float:
        """Aggressive lots in the last third of the steps over those in the first two."""
        early = float(self.first_two_thirds.mean)
        return float(self.last_third.mean) / early if early > 0 else math.inf


class Explored(NamedTuple):
    """Where training stood. Parts are of all states of step and lots left."""

    visited: Ints  # [T, lots + 1] summed over the runs
    never: float
    weakly: float  # fewer than LEAST a run, never included
    low_corner: float  # weakly, in the first third of steps with at most a third of the parent left
    high_corner: float  # weakly, in the last third of steps with at least two thirds left
    agreed: Band  # of the learned policy's decisions, the kind that the optimum chooses there, too


class Group(NamedTuple):
    """One exhibit's worth of runs."""

    label: str
    over: str  # "5 seeds"; of a large universe a part is worked out, on which all but costs and training rest
    pov: float
    objective: str
    runs: list[Run]
    problem: Problem  # of its first run: axes, and what placements are called
    training: Training
    learned: Manner
    optimum: Manner
    twap: Manner
    cost: Band  # of all runs, as are the next three
    gap_closed: Band
    excess: Band
    beaten_by: Band  # what the cheapest fixed rule costs more, run by run
    other_objective: Manner  # the optimum, were it judged by the other objective
    same_choice: Band  # of the optimum's decisions, those that the other objective's optimum takes, too
    learned_surfaces: Surfaces  # means over runs, NaN where hardly visited
    optimum_surfaces: Surfaces
    explored: Explored
    learned_by_fill: list[Manner]  # by FACTORS
    optimum_by_fill: list[Manner]
    snapshot_episodes: Floats  # [s]
    snapshots: list[Manner]

    @property
    def placements(self) -> list[str]:
        """What the placements are called: "near 2"."""
        names = ("wait", "deeper", "near", "aggressive")
        pairs = zip(self.problem.level, self.problem.size, strict=True)
        return [f"{names[level]} {size}" if size else names[level] for level, size in pairs]


def groups(kept: Kept, tell: Callable[[str], None] = lambda what: None) -> list[Group]:
    """Every group of a training, in the order of its runs; few tickers and few targets are told apart."""
    runs = kept.results.runs
    by_ticker = len({run.ticker for run in runs}) <= FEW
    by_target = len({run.pov for run in runs}) <= FEW
    rows: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        parts = [run.ticker if by_ticker else "", f"POV {100 * run.pov:g}%" if by_target else "", run.objective]
        rows.setdefault(", ".join(filter(None, parts)), []).append(i)
    found = []
    for label, own in rows.items():
        tell(label)
        found.append(_group(kept, label, own, "seed" if by_ticker else "ticker"))
    return found


def over(values: Sequence[ArrayLike]) -> Band:
    """Mean and standard error along the first axis."""
    found = np.asarray(values, np.float64)
    n = len(found)
    error = found.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(found.shape[1:], np.nan)
    return Band(found.mean(axis=0), np.asarray(error))


class _Case(NamedTuple):
    """A run, worked out."""

    problem: Problem
    weights: list[Weights]  # of its snapshots, and in the end
    value: NDArray[np.float32]
    action: Ints
    best: Solution
    other: Solution  # were it judged by the other objective
    visited: Ints


def _case(kept: Kept, i: int) -> _Case:
    problem = _problem(kept.problems, i)
    weights = _weights(kept, i)
    value = network_values(problem, weights[-1])
    other = solve(with_objective(problem, 1 - problem.objective))
    return _Case(problem, weights, value, greedy(value), solve(problem), other, kept.learned.visited[i])


def _group(kept: Kept, label: str, rows: list[int], unit: str) -> Group:
    runs = [kept.results.runs[i] for i in rows]
    some = np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))
    cases = [_case(kept, rows[i]) for i in some]
    count = f"{len(rows)} {unit}{'s' if len(rows) > 1 else ''}"
    return Group(
        label=label,
        over=count + (f", styles and sweeps of {len(some)}" if len(some) < len(rows) else ""),
        pov=runs[0].pov,
        objective=runs[0].objective,
        runs=runs,
        problem=cases[0].problem,
        training=_training(kept, rows),
        learned=manner([style(one.problem, one.action) for one in cases]),
        optimum=manner([style(one.problem, one.best.action) for one in cases]),
        twap=manner([style(one.problem, twap(one.problem)) for one in cases]),
        cost=over([run.cost for run in runs]),
        gap_closed=over([(run.twap - run.cost) / (run.twap - run.optimum) for run in runs if run.twap > run.optimum]),
        excess=over([run.cost - run.optimum for run in runs]),
        beaten_by=over([run.best_rule - run.cost for run in runs]),
        other_objective=manner([style(one.problem, one.other.action) for one in cases]),
        same_choice=over([_same(one.problem, one.best.action, one.other.action, one.best.action) for one in cases]),
        learned_surfaces=_mean_surfaces([surfaces(one.problem, one.value) for one in cases], cases),
        optimum_surfaces=_mean_surfaces([surfaces(one.problem, -one.best.value) for one in cases], []),
        explored=_explored(cases),
        learned_by_fill=_by_fill(cases, lambda case: _greedy_of(case.weights[-1])),
        optimum_by_fill=_by_fill(cases, lambda case: _optimal),
        snapshot_episodes=kept.learned.snapshot_episodes[rows].mean(axis=0),
        snapshots=_snapshots(cases),
    )


def manner(styles: Sequence[Style]) -> Manner:
    """Bands over styles."""
    return Manner(*(over([getattr(one, name) for one in styles]) for name in Manner._fields))


def _training(kept: Kept, rows: list[int]) -> Training:
    learned, runs = kept.learned, [kept.results.runs[i] for i in rows]
    curves = {name: over(getattr(learned, name)[rows]) for name in ("reward", "aggressive", "completed", "placed")}
    base = {name: over([-getattr(run, name) for run in runs]) for name in ("optimum", "best_rule", "twap")}
    return Training(episodes=learned.episodes[rows].mean(axis=0), **curves, **base)


def _snapshots(cases: Sequence[_Case]) -> list[Manner]:
    return [
        manner([style(one.problem, greedy(network_values(one.problem, one.weights[s]))) for one in cases])
        for s in range(len(cases[0].weights) - 1)
    ]


def _by_fill(cases: Sequence[_Case], policy: Callable[[_Case], Callable[[Problem], Ints]]) -> list[Manner]:
    swept = [fill_sweep(case.problem, policy(case), FACTORS) for case in cases]
    return [manner(column) for column in zip(*swept, strict=True)]


def _greedy_of(weights: Weights) -> Callable[[Problem], Ints]:
    return lambda problem: greedy(network_values(problem, weights))


def _optimal(problem: Problem) -> Ints:
    return solve(problem).action


def _mean_surfaces(found: Sequence[Surfaces], visitors: Sequence[_Case]) -> Surfaces:
    """The mean; with visitors, of each run only states that it visited (a state that no run visited is NaN)."""
    arrays = [np.array([getattr(one, name) for one in found]) for name in Surfaces._fields]
    if visitors:
        seen = np.array([one.visited[:, 1:] for one in visitors]) >= LEAST
        arrays = [np.where(seen[..., None] if one.ndim > seen.ndim else seen, one, np.nan) for one in arrays]
    return Surfaces(*(_mean(one) for one in arrays))


def _mean(values: Floats) -> Floats:
    """Along the first axis, leaving NaN out."""
    told = np.isfinite(values)
    count = told.sum(axis=0)
    return np.where(count > 0, np.where(told, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _explored(cases: Sequence[_Case]) -> Explored:
    visited = np.array([one.visited for one in cases])
    weak = (visited[:, :, 1:] < LEAST).mean(axis=0)  # (T, lots) part of the runs
    steps, lots = weak.shape
    return Explored(
        visited=visited.sum(axis=0),
        never=float((visited[:, :, 1:] == 0).mean()),
        weakly=float(weak.mean()),
        low_corner=float(weak[: steps // 3, : lots // 3].mean()),
        high_corner=float(weak[steps - steps // 3 :, lots - lots // 3 :].mean()),
        agreed=over(
            [_same(one.problem, _kinds(one, one.action), _kinds(one, one.best.action), one.action) for one in cases]
        ),
    )


def _kinds(case: _Case, action: Ints) -> Ints:
    """The kind of placement of every state: an index of ``KINDS``."""
    return kind_of(case.problem)[action]


def _same(problem: Problem, ours: Ints, theirs: Ints, action: Ints) -> float:
    """Part of the decisions that ``action`` meets in which two tables agree."""
    met = met_states(problem, action)
    return float((met * (ours == theirs)).sum() / met.sum())


def _problem(batch: Problem, i: int) -> Problem:
    """One of a batch, with plain numbers where a problem has plain numbers."""
    one = nth.py_func(batch, i)
    numbers = {name: value.item() for name, value in one._asdict().items() if np.ndim(value) == 0}
    return one._replace(**numbers)


def _weights(kept: Kept, i: int) -> list[Weights]:
    learned = kept.learned
    kept_on_the_way = [
        Weights(*(getattr(learned, f"snapshot_{name}")[i, s] for name in Weights._fields))
        for s in range(learned.snapshot_episodes.shape[1])
    ]
    return [*kept_on_the_way, Weights(*(getattr(learned, name)[i] for name in Weights._fields))]
