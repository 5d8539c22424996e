"""Almgren-Chriss: front-loaded by risk aversion, against a temporary impact linear in participation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engine import events
from engine.broker.impact import UNITS_A_DAY, Market
from engine.broker.impact import AlmgrenChriss as Model
from engine.optimal_schedule import almgren_chriss_remaining, almgren_chriss_urgency
from engine.parent import ParentOrder
from engine.schedule import Schedule
from engine.strategy import Strategy
from engine.volume_curve import ONE, CurveSource
from strategies.follow_schedule import Instruction, Progress, ScheduleWorker, Tactics
from strategies.impact_schedule import average_day, volume_bins

if TYPE_CHECKING:
    from engine.desk import Desk


class AlmgrenChriss(Strategy):
    """Work parent orders along ``sinh(k (T - t)) / sinh(k T)`` in volume time: VWAP where risk aversion is 0."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the expected impact, the volume curve, and how closely the schedule is followed."""

        orders: tuple[Instruction, ...]
        market: dict[str, Market]  # the average day, by symbol
        risk_aversion: float = 0.0  # 1 / bp
        temporary: float = 0.142  # daily volatilities at participation 1
        curve: CurveSource = CurveSource()
        tactics: Tactics = Tactics()

    State = Progress

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.worker = ScheduleWorker(self.params.orders, self.params.tactics, self.schedule)
        self.wake = self.worker.wake

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """Bins of the curve, weighted by how much the closed form trades in each."""
        params = self.params
        edges, volume = volume_bins(params.curve.curve(order.symbol, session[0]), order, session)
        model, day = Model(temporary=params.temporary, exponent=1.0), average_day(params.market, order.symbol)
        urgency = almgren_chriss_urgency(model, day, order.size, params.risk_aversion)
        clock = np.concatenate([[0], np.cumsum(volume)]) * (UNITS_A_DAY / ONE)
        traded = -np.diff(almgren_chriss_remaining(clock, float(clock[-1]), urgency))
        return Schedule.over(order.size, edges, [round(part * ONE) for part in traded], lot=lot)

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
