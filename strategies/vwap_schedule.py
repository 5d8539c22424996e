"""VWAP: size spread over the day as volume was spread on earlier days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine import events
from engine.parent import ParentOrder
from engine.schedule import Schedule
from engine.strategy import Strategy
from engine.volume_curve import CurveSource
from strategies.follow_schedule import Instruction, Progress, ScheduleWorker, Tactics

if TYPE_CHECKING:
    from engine.desk import Desk


class VwapSchedule(Strategy):
    """Work parent orders along a static volume curve: join the touch, cross when behind (see ``follow_schedule``)."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the volume curve, and how closely they are followed."""

        orders: tuple[Instruction, ...]
        curve: CurveSource = CurveSource()
        tactics: Tactics = Tactics()

    State = Progress

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.worker = ScheduleWorker(self.params.orders, self.params.tactics, self.schedule)
        self.wake = self.worker.wake

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """The curve between the order's start and end."""
        curve = self.params.curve.curve(order.symbol, session[0])
        return curve.schedule(order.size, order.start, order.end, session=session, lot=lot)

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
