"""Placement problems of one ticker, measured from its days.

1. ``step_facts``: mid, spread, imbalance, forecast and volume of every step of every period (``engine.learning``).
2. Spread and volume are means over periods; each period's volume counts alike in the curve.
3. Alpha has three states: against the order, neither, with it. A third of the forecasts is in the middle one. Each step
   is seen once as a buyer's and once as a seller's, so states are as likely to both, and their values are -1, 0, 1.
4. Drift is the slope of the mid's change over a step on alpha, in half-spreads, times 1 - (error / slope)^2, or 0
   where its error is above it: what is not told from chance is no alpha.
5. A problem's orders fill whole or not at all, those of a market in part: its fill probability is the mean part that
   fills, so that means agree. Of passive orders it is that of a table at the steps' own imbalances, in each state of
   alpha; the table is of other days than the steps, and of new orders and those that kept their place
   (``engine.learning.kept_places``). A step with more of the volume is taken for a longer one.
6. Who crosses gets what is displayed: the mean part of the size, at the same imbalances.
7. What filled is marked at the step's end (``engine.learning.virtual_marks``), as ``drift`` marks the rest: so its
   spread cost has in it that passive orders fill when the price comes to them.
8. Impact is what the broker's own kernels take (``engine.learning.own_impact``): a charge by size from who crosses; and
   from all the displacement that earlier children left, as a constant, that of a parent worked evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Impact, Market
from engine.errors import ConfigError
from engine.fill_table import FillArrays
from engine.learning.mean_chances import add_chances
from engine.learning.own_impact import OwnImpact, own_impact
from engine.learning.placement_problem import AGGRESSIVE, ARRIVAL, DEEPER, NEAR, VWAP, WAIT, Problem, make_problem
from engine.learning.step_facts import StepFacts
from engine.learning.virtual_marks import Mark, Marking, mark_fills, parts_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# placements, in the order of the test problem
LEVEL = np.array([WAIT, NEAR, NEAR, DEEPER, DEEPER, AGGRESSIVE, AGGRESSIVE, AGGRESSIVE])
SIZE = np.array([0, 1, 2, 1, 2, 1, 2, 4])
PASSIVE = slice(1, 5)
ENOUGH = 1_000  # steps of a day whose chances are averaged
CAP = 0.95  # of a passive order's probability, as in the test problem
ALPHA = np.array([-1.0, 0.0, 1.0])
OBJECTIVES = {"arrival": ARRIVAL, "vwap": VWAP}

Objective = Literal["arrival", "vwap"]


class ParentTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parent order, and what is counted beside what trading costs; half-spreads of its value."""

    pov: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.10
    objective: Objective = "arrival"
    lots: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    steps: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 40
    leftover: Annotated[float, msgspec.Meta(ge=0)] = 2.0  # for a part x of the parent at the end; x^2 costs its impact
    early: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    risk_aversion: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # a half-spread of standard deviation, squared


class ImpactCosts(NamedTuple):
    """Of a parent's children, half-spreads."""

    standing: float  # displacement by earlier ones, that each meets
    charges: Floats  # [p] beside its price; 0 for who rests
    at_once: float  # beside the price of a parent that is taken as a whole

    @classmethod
    def of(
        cls, impact: Impact, days: Days, volume: Floats, lot: float, lots: int, *, mid: float, half_spread: float
    ) -> ImpactCosts:
        """As a parent of ``lots`` lots of ``lot`` meets them, worked evenly in periods of volume [n, T]."""

        def met(size: int) -> OwnImpact:
            return own_impact(
                impact, days.market, lot * size, volume, children=max(1, min(lots // size, volume.shape[1])),
                mid=mid, tick=days.tick, spread=2 * half_spread,
            )  # fmt: skip

        charges = [met(size).charge if level == AGGRESSIVE else 0.0 for level, size in zip(LEVEL, SIZE, strict=True)]
        return cls(met(1).standing / half_spread, np.array(charges) / half_spread, met(lots).charge / half_spread)


class Calibrated(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A problem with what was measured on the way."""

    problem: Problem
    lot_size: float  # of the parent's lots, size units
    step_s: float
    half_spread: float  # price units
    spread_ticks: float
    half_spread_bp: float
    period_volume: float  # size units
    lean_edge: float  # beyond which a forecast is in an outer state of alpha
    lean_scale: float  # the mean forecast there: what alpha = 1 is
    marks: list[Mark]  # of the passive placements
    impact: ImpactCosts
    drift_slope: float  # half-spreads, before it was shrunk
    drift_error: float
    periods: int

    def told(self) -> dict[str, int | float | str | bool]:
        """What an agent's settings should say of it."""
        names = "spread_ticks", "half_spread_bp", "period_volume", "lean_scale", "drift_slope", "periods"
        return {name: getattr(self, name) for name in names} | {"standing": self.impact.standing}


class Displayed(NamedTuple):
    """What the other side showed at m moments, to each side."""

    imbalance: Floats  # [m] own less other
    size: Floats  # [m] at the other side's best, size units


class Days(NamedTuple):
    """What was measured: a fold is a day, or a part of the only one."""

    steps: Sequence[StepFacts]  # by fold
    tables: Sequence[FillArrays]  # by fold, of the others' placements
    displayed: Displayed
    marking: Sequence[Marking]  # all
    mean_trade: float  # size units
    market: Market  # the average day, for impact
    step_s: float
    tick: int  # price units


class Hours(NamedTuple):
    """The market in which parents are worked, where it is not the one that was measured."""

    volume: Floats  # [T] size units a step
    horizon_s: Floats  # [T] of the measured market, in which as much trades


def calibrate(days: Days, terms: ParentTerms, *, impact: Impact, hours: Hours | None = None) -> Calibrated:
    """The problem that these days pose.

    Raises
    ------
    ConfigError
        If nothing was traded, or days were measured in other steps than the parent has.
    """
    joined = StepFacts(*(np.concatenate(columns) for columns in zip(*days.steps, strict=True)))
    if joined.volume.shape[1] != terms.steps:
        raise ConfigError(f"days were measured in {joined.volume.shape[1]} steps, but the parent has {terms.steps}")
    worked = joined.volume if hours is None else hours.volume[None]  # period by period, or the one that is asked about
    hours = hours or _measured_hours(joined.volume, days.step_s)
    period_volume = float(hours.volume.sum())
    half = float(joined.spread.mean()) / 2
    half_bp = 1e4 * half / float(joined.mid.mean())
    states = alpha_states(joined.lean)
    change = np.diff(joined.mid, axis=1) / half
    slope, error = drift_slope(change, states.alpha)
    lot = terms.pov * period_volume / terms.lots
    costs = ImpactCosts.of(impact, days, worked, lot, terms.lots, mid=float(joined.mid.mean()), half_spread=half)
    marks = [
        mark_fills(days.marking, int(level), lot * size, life_s=days.step_s, half_spread=half)
        for level, size in zip(LEVEL[PASSIVE], SIZE[PASSIVE], strict=True)
    ]
    at_mid = np.array([0.0, *(mark.cost for mark in marks), 1.0, 1.0, 1.0])
    problem = make_problem(
        lots=terms.lots,
        level=LEVEL,
        size=SIZE,
        spread_cost=at_mid + costs.standing * (LEVEL != WAIT),
        impact=np.divide(costs.charges, SIZE / terms.lots, out=np.zeros(len(SIZE)), where=SIZE > 0),
        fill=fill_by_state(days, states, lot, hours.horizon_s),
        alpha=ALPHA,
        alpha_start=states.start,
        alpha_move=states.move,
        volume=hours.volume / period_volume,
        drift=shrunk(slope, error),
        risk=terms.risk_aversion * float(change.var()),
        leftover=[terms.leftover + costs.standing, costs.at_once],
        early=terms.early,
        pov=terms.pov,
        objective=OBJECTIVES[terms.objective],
    )
    return Calibrated(
        problem=problem,
        lot_size=lot,
        step_s=days.step_s,
        half_spread=half,
        spread_ticks=2 * half / days.tick,
        half_spread_bp=half_bp,
        period_volume=period_volume,
        lean_edge=states.edge,
        lean_scale=states.scale,
        marks=marks,
        impact=costs,
        drift_slope=slope,
        drift_error=error,
        periods=len(joined.volume),
    )


def _measured_hours(volume: Floats, step_s: float) -> Hours:
    shares = volume_shares(volume)
    return Hours(shares * float(volume.sum(axis=1).mean()), step_s * shares * len(shares))


class AlphaStates(NamedTuple):
    """A forecast in three states, seen by a buyer; a seller sees ``-alpha``."""

    alpha: Ints  # [n, T] -1, 0, 1
    edge: float
    scale: float
    start: Floats  # [3] of both sides together
    move: Floats  # [3, 3]


def alpha_states(lean: Floats) -> AlphaStates:
    """Cut forecasts, float64[n, T] of n periods, so that a third of them is in the middle state."""
    size = np.abs(lean)
    edge = float(np.quantile(size, 1 / 3))
    alpha = np.where(size > edge, np.sign(lean), 0).astype(np.int64)
    outer = size[alpha != 0]
    both = np.concatenate([alpha, -alpha]) + 1
    start = np.bincount(both.ravel(), minlength=3) / both.size
    pairs = np.ones((3, 3))  # as if each had been seen once
    np.add.at(pairs, (both[:, :-1].ravel(), both[:, 1:].ravel()), 1.0)
    move = pairs / pairs.sum(axis=1, keepdims=True)
    return AlphaStates(alpha, edge, float(outer.mean()) if outer.size else 0.0, start, move)


def drift_slope(change: Floats, alpha: Ints) -> tuple[float, float]:
    """(half-spreads that alpha = 1 adds in a step, standard error), by least squares without a constant."""
    weight = float((alpha**2).sum())
    if weight < 2:
        return 0.0, np.inf
    slope = float((alpha * change).sum() / weight)
    residual = change - slope * alpha
    return slope, float(np.sqrt((alpha**2 * residual**2).sum()) / weight)


def shrunk(slope: float, error: float) -> float:
    """A slope taken back by what chance may have added to it; 0 where that may be all."""
    return slope * (1.0 - (error / slope) ** 2) if abs(slope) > error else 0.0


def volume_shares(volume: Floats) -> Floats:
    """Parts of a period's volume by step, float64[T], each period with trades counting alike."""
    traded = volume[volume.sum(axis=1) > 0]
    if not len(traded):
        raise ConfigError("nothing was traded in the periods; choose others")
    return (traded / traded.sum(axis=1, keepdims=True)).mean(axis=0)


def fill_by_state(days: Days, states: AlphaStates, lot: float, horizon_s: Floats) -> Floats:
    """Mean parts that fill over the steps in each state, of both sides: float64[T, placements, 3]."""
    total, count = np.zeros((len(horizon_s), len(LEVEL), 3)), np.zeros(3)
    first = 0
    for steps, table in zip(days.steps, days.tables, strict=True):
        alpha = states.alpha[first : first + len(steps.imbalance)]
        first += len(alpha)
        own = np.concatenate([steps.imbalance, -steps.imbalance]).ravel()
        state = np.concatenate([alpha, -alpha]).ravel() + 1
        every = max(1, len(own) // ENOUGH)
        shown = shown_part(days.displayed, table.imbalance_edges, SIZE * lot)
        sizes = parts_of(SIZE * lot) / days.mean_trade
        add_chances(*table[:5], shown, own[::every], state[::every], LEVEL, sizes, horizon_s, total, count)
    fill = total / np.maximum(count, 1.0)
    passive = (LEVEL == NEAR) | (LEVEL == DEEPER)
    fill[:, passive] = np.minimum(fill[:, passive], CAP)
    return fill


def shown_part(displayed: Displayed, imbalance_edges: Floats, size: Floats) -> Floats:
    """Mean part of each size that the other side shows, by cell of imbalance: float64[cells, sizes]; 1 for size 0."""
    cell = np.searchsorted(imbalance_edges, displayed.imbalance, side="right")
    part = np.minimum(1.0, displayed.size[:, None] / np.maximum(size, 1e-9))
    found = np.tile(part.mean(axis=0), (len(imbalance_edges) + 1, 1))
    for i in np.unique(cell):
        found[i] = part[cell == i].mean(axis=0)
    return found
