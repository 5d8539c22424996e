"""TWAP: the same size in every slice of time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from engine import events
from engine.parent import ParentOrder
from engine.schedule import Schedule
from engine.strategy import SECOND, Strategy
from strategies.follow_schedule import Instruction, Progress, ScheduleWorker, Tactics

if TYPE_CHECKING:
    from engine.desk import Desk


class Twap(Strategy):
    """Work parent orders evenly over time: join the touch, cross when behind (see ``follow_schedule``)."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the length of a slice, and how closely they are followed."""

        orders: tuple[Instruction, ...]
        slice_s: int = 60  # seconds; the last slice is what is left
        tactics: Tactics = Tactics()

    State = Progress

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.worker = ScheduleWorker(self.params.orders, self.params.tactics, self.schedule)
        self.wake = self.worker.wake

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """Slices of equal length from the order's start."""
        edges = [*range(order.start, order.end, self.params.slice_s * SECOND), order.end]
        lengths = [right - left for left, right in pairwise(edges)]
        return Schedule.over(order.size, edges, lengths, lot=lot)

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
