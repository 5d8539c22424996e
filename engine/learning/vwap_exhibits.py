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

from engine.learning.exact_policy import greedy, solve, twap
from engine.learning.placement_problem import Problem, nth
from engine.learning.policy_style import Style, fill_sweep, met_states, style
from engine.learning.policy_surfaces import KINDS, Surfaces, masked, network_values, surfaces
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
    aggressive: Band
    completed: Band
    opening: Band
    late: float  # of the mean policy: aggressive lots of the last third over the first two thirds'


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
    over: str  # "5 seeds"
    pov: float
    objective: str
    runs: list[Run]
    problem: Problem  # of its first run: axes, and what placements are called
    training: Training
    learned: Manner
    optimum: Manner
    twap: Manner
    gap_closed: Band
    excess: Band
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
    """Every group of a training, in the order of its runs."""
    runs = kept.results.runs
    some = len({run.ticker for run in runs}) <= FEW
    targets = len({run.pov for run in runs}) <= FEW
    rows: dict[tuple[str, float, str], list[int]] = {}
    for i, run in enumerate(runs):
        key = run.ticker if some else "", run.pov if targets else math.nan, run.objective
        rows.setdefault(key if targets else (key[0], 0.0, key[2]), []).append(i)
    found = []
    for (ticker, pov, objective), own in rows.items():
        label = ", ".join(filter(None, [ticker, f"POV {pov:.0%}" if targets else "", objective]))
        tell(label)
        found.append(_group(kept, label, own, "seed" if some else "ticker"))
    return found


def over(values: Sequence[ArrayLike]) -> Band:
    """Mean and standard error along the first axis."""
    found = np.asarray(values, np.float64)
    n = len(found)
    error = found.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(found.shape[1:], np.nan)
    return Band(found.mean(axis=0), np.asarray(error))


def _group(kept: Kept, label: str, rows: list[int], unit: str) -> Group:
    runs = [kept.results.runs[i] for i in rows]
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))]
    count = f"{len(rows)} {unit}{'s' if len(rows) > 1 else ''}"
    problems = [_problem(kept.problems, i) for i in some]
    values = [network_values(problem, _weights(kept, i)) for problem, i in zip(problems, some, strict=True)]
    solved = [solve(problem) for problem in problems]
    policies = [greedy(value) for value in values]
    learned_by_fill = [fill_sweep(one, _policy(kept, i), FACTORS) for one, i in zip(problems, some, strict=True)]
    optimum_by_fill = [fill_sweep(one, _optimal, FACTORS) for one in problems]
    learned = _surfaces_of([surfaces(*pair) for pair in zip(problems, values, strict=True)], kept.learned.visited[some])
    optimum = _surfaces_of([surfaces(one, -best.value) for one, best in zip(problems, solved, strict=True)], None)
    return Group(
        label=label,
        over=count + (f", styles of {len(some)}" if len(some) < len(rows) else ""),
        pov=runs[0].pov,
        objective=runs[0].objective,
        runs=runs,
        problem=problems[0],
        training=_training(kept, rows),
        learned=manner([style(*pair) for pair in zip(problems, policies, strict=True)]),
        optimum=manner([style(one, best.action) for one, best in zip(problems, solved, strict=True)]),
        twap=manner([style(one, twap(one)) for one in problems]),
        gap_closed=over([(run.twap - run.cost) / (run.twap - run.optimum) for run in runs]),
        excess=over([run.cost - run.optimum for run in runs]),
        learned_surfaces=learned,
        optimum_surfaces=optimum,
        explored=_explored(kept, some, problems, policies, [best.action for best in solved]),
        learned_by_fill=[manner(column) for column in zip(*learned_by_fill, strict=True)],
        optimum_by_fill=[manner(column) for column in zip(*optimum_by_fill, strict=True)],
        snapshot_episodes=kept.learned.snapshot_episodes[rows].mean(axis=0),
        snapshots=_snapshots(kept, some, problems),
    )


def manner(styles: Sequence[Style]) -> Manner:
    """Bands over styles."""
    fields = ("cost", "remaining", "traded", "chosen", "by_alpha", "aggressive", "completed", "opening")
    bands = {name: over([getattr(one, name) for one in styles]) for name in fields}
    mean = styles[0]._replace(traded=bands["traded"].mean)
    return Manner(**bands, late=mean.late)


def _training(kept: Kept, rows: list[int]) -> Training:
    learned, runs = kept.learned, [kept.results.runs[i] for i in rows]
    curves = {name: over(getattr(learned, name)[rows]) for name in ("reward", "aggressive", "completed", "placed")}
    base = {name: over([-getattr(run, name) for run in runs]) for name in ("optimum", "best_rule", "twap")}
    return Training(episodes=learned.episodes[rows].mean(axis=0), **curves, **base)


def _snapshots(kept: Kept, rows: Sequence[int], problems: Sequence[Problem]) -> list[Manner]:
    found = []
    for s in range(kept.learned.snapshot_episodes.shape[1]):
        pairs = zip(problems, rows, strict=True)
        found.append(manner([style(one, greedy(network_values(one, _weights(kept, i, s)))) for one, i in pairs]))
    return found


def _surfaces_of(found: Sequence[Surfaces], visited: Ints | None) -> Surfaces:
    """The mean; of each run only states that it visited. A state that no run visited is NaN."""
    parts = []
    for name in ("passive", "aggressive"):
        each = [getattr(one, name) for one in found]
        if visited is not None:
            each = [masked(one, seen, least=LEAST) for one, seen in zip(each, visited, strict=True)]
        parts.append(_mean(np.array(each)))
    chosen = np.array([one.chosen for one in found])
    if visited is not None:
        chosen = np.where((visited[:, :, 1:] >= LEAST)[..., None], chosen, np.nan)
    return Surfaces(parts[0], parts[1], _mean(chosen))


def _mean(values: Floats) -> Floats:
    """Along the first axis, leaving NaN out."""
    told = np.isfinite(values)
    count = told.sum(axis=0)
    return np.where(count > 0, np.where(told, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _explored(
    kept: Kept, rows: Sequence[int], problems: Sequence[Problem], policies: Sequence[Ints], best: Sequence[Ints]
) -> Explored:
    visited = kept.learned.visited[list(rows)]
    weak = (visited[:, :, 1:] < LEAST).mean(axis=0)  # (T, lots) part of the runs
    steps, lots = weak.shape
    agreed = []
    for problem, ours, theirs in zip(problems, policies, best, strict=True):
        kinds = np.array([next(k for k, one in enumerate(KINDS.values()) if level in one) for level in problem.level])
        met = met_states(problem, ours)
        agreed.append((met * (kinds[ours] == kinds[theirs])).sum() / met.sum())
    return Explored(
        visited=visited.sum(axis=0),
        never=float((visited[:, :, 1:] == 0).mean()),
        weakly=float(weak.mean()),
        low_corner=float(weak[: steps // 3, : lots // 3].mean()),
        high_corner=float(weak[steps - steps // 3 :, lots - lots // 3 :].mean()),
        agreed=over(agreed),
    )


def _problem(batch: Problem, i: int) -> Problem:
    """One of a batch, with plain numbers where a problem has plain numbers."""
    one = nth.py_func(batch, i)
    numbers = {name: value.item() for name, value in one._asdict().items() if np.ndim(value) == 0}
    return one._replace(**numbers)


def _weights(kept: Kept, i: int, snapshot: int | None = None) -> Weights:
    if snapshot is None:
        return Weights(*(getattr(kept.learned, name)[i] for name in Weights._fields))
    return Weights(*(getattr(kept.learned, f"snapshot_{name}")[i, snapshot] for name in Weights._fields))


def _policy(kept: Kept, i: int) -> Callable[[Problem], Ints]:
    weights = _weights(kept, i)
    return lambda problem: greedy(network_values(problem, weights))


def _optimal(problem: Problem) -> Ints:
    return solve(problem).action
