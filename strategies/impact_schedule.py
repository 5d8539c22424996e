"""Impact schedule: the U shape that costs least under transient impact, stretched by the volume curve."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from engine import events
from engine.broker.impact import REGIONS, UNITS_A_DAY, Market, Parameters, Region
from engine.errors import ConfigError
from engine.optimal_schedule import plan
from engine.parent import ParentOrder
from engine.schedule import Schedule
from engine.strategy import Strategy
from engine.volume_curve import ONE, CurveSource, VolumeCurve
from strategies.follow_schedule import Instruction, Progress, ScheduleWorker, Tactics

if TYPE_CHECKING:
    from engine.desk import Desk


class ImpactSchedule(Strategy):
    """Work parent orders along the schedule of least expected impact (see ``engine.optimal_schedule``)."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the impact that is expected, the volume curve, and how closely the schedule is followed."""

        orders: tuple[Instruction, ...]
        market: dict[str, Market]  # the average day, by symbol
        region: Region = "NA"
        parameters: Parameters | None = None  # instead of the region's
        risk_aversion: float = 0.0  # 1 / bp
        curve: CurveSource = CurveSource()
        tactics: Tactics = Tactics()

    State = Progress

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.worker = ScheduleWorker(self.params.orders, self.params.tactics, self.schedule)
        self.wake = self.worker.wake

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """Bins of the curve, weighted by the plan for them."""
        return least_impact(self.params, order, session, lot)

    def on_start(self, desk: Desk) -> None:
        self.state = self.worker.start(desk, self.state)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        self.worker.look(desk)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        self.worker.observe(fill, desk)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        self.worker.observe(event, desk)

    def on_status(self, status: events.Status, desk: Desk) -> None:
        self.worker.status(status, desk)


class ImpactTerms(Protocol):
    """What a strategy's parameters must have for such a schedule; see ``ImpactSchedule.Params``."""

    @property
    def market(self) -> dict[str, Market]: ...
    @property
    def region(self) -> Region: ...
    @property
    def parameters(self) -> Parameters | None: ...
    @property
    def risk_aversion(self) -> float: ...
    @property
    def curve(self) -> CurveSource: ...


def least_impact(terms: ImpactTerms, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
    """The schedule of an order in a session: bins of the curve, weighted by the plan for them."""
    edges, volume = volume_bins(terms.curve.curve(order.symbol, session[0]), order, session)
    day = average_day(terms.market, order.symbol)
    clock = np.concatenate([[0], np.cumsum(volume)]) * (UNITS_A_DAY / ONE)
    chosen = plan(terms.parameters or REGIONS[terms.region], day, order.size, clock, risk_aversion=terms.risk_aversion)
    return Schedule.over(order.size, edges, [round(weight * ONE) for weight in chosen.weights], lot=lot)


def volume_bins(curve: VolumeCurve, order: ParentOrder, session: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Edges (ns UTC) of the curve's bins within an order's life, and the volume of each, in 1 / ONE of a day.

    A bin without volume is joined to the one before it, or after it where it is the first.
    """
    total = sum(
        weight * max(0, min(right, order.end) - max(left, order.start)) // (right - left)
        for weight, (left, right) in zip(curve.weights, pairwise(curve.edges(session)), strict=True)
    )
    if total < 1:
        raise ConfigError(f"{order.name}: the volume curve expects no volume between its start and end; move them")
    spread = curve.schedule(total, order.start, order.end, session=session)
    edges, done = [spread.edges[0]], [0]
    for edge, by in zip(spread.edges[1:], spread.done_by[1:], strict=True):
        if by == done[-1] and len(edges) > 1:
            edges[-1] = edge
        elif by > done[-1]:
            edges.append(edge)
            done.append(by)
    return edges, np.diff(done).tolist()


def average_day(markets: dict[str, Market], symbol: str) -> Market:
    """What a config says of an instrument's average day."""
    if symbol not in markets:
        raise ConfigError(f"nothing is said of {symbol}'s average day; give params.market.{symbol}")
    return markets[symbol]
