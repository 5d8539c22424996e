"""Works a parent order along a volume curve and places each child by a forecast of the mid's direction.

What is done and when is the schedule's business (see ``follow_schedule``); how it is done follows the **lean**: the
probability that the price moves away from us less the probability that it comes to us, times what of the forecast is
still to come at its age. Without a signal, or with one older than its model's ``stale_ns``, the lean is 0.

At each look (a timer, a tick of the probe, a cancel that came through):

=======================================  ==============================================================================
behind by more than ``most_behind``      cross, whatever the forecast says
behind by more than ``tolerance``        cross; but at lean <= -``wait`` let it rest, as the price is coming to us
lean >= ``cross``                        cross what is due by now and up to ``most_ahead`` more, before the price leaves
lean >= ``improve``                      step in: rest one tick better than the touch, if the spread leaves room;
                                         with ``improve`` <= 0 that is what it does without a forecast
lean <= -``deepen``                      rest one tick behind the touch
else                                     rest at the touch
the last ``finish_s`` seconds            all is due, as deep as needed, as ``follow_schedule`` does
=======================================  ==============================================================================

A place taken is kept until the lean has passed what chose it by ``keep``: each move gives up a place in a queue.

Limits that no forecast overrides: before the finish, done and open never pass the schedule by more than ``most_ahead``
of the parent (at least a lot); they never pass the participation cap; no child is beyond the parent's limit price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engine import events
from engine.errors import ConfigError
from engine.foresight import Foresight
from engine.orders import TimeInForce
from engine.parent import Parent, ParentOrder
from engine.schedule import Schedule
from engine.strategy import SECOND, Strategy
from engine.volume_curve import CurveSource
from strategies.follow_schedule import (
    FINISHING_LEVELS,
    Instruction,
    Progress,
    ScheduleWorker,
    Tactics,
    cross,
    on_tick,
    pull,
    reach,
    send,
)

if TYPE_CHECKING:
    from engine.desk import Desk

Place = Literal["deeper", "touch", "improve", "cross"]
STEPS = {"deeper": -1, "touch": 0, "improve": 1}  # ticks better than the own side's best
NEVER = 2.0  # a lean that none reaches


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Leans at which the placer does otherwise than rest at the touch, and how far from its schedule it may be."""

    cross: float = NEVER
    improve: float = NEVER
    deepen: float = NEVER
    wait: float = 0.1
    keep: float = 0.05
    most_ahead: float = 0.05  # parts of the parent
    most_behind: float = 0.05

    def __post_init__(self) -> None:
        if not (-NEVER <= self.improve <= NEVER and 0 <= self.keep <= 1):
            raise ConfigError(f"placement.improve is {self.improve} and keep {self.keep}; a lean is from -1 to 1")
        for name in ("cross", "deepen", "wait"):
            if not 0 < getattr(self, name) <= NEVER:
                raise ConfigError(f"placement.{name} is {getattr(self, name)}; a lean is > 0, and {NEVER:g} is never")
        if not (0 < self.most_ahead <= 1 and 0 < self.most_behind <= 1):
            raise ConfigError("placement.most_ahead and most_behind are parts of the parent: > 0 and at most 1")


class ForestPlacer(Strategy):
    """Work parent orders along a volume curve, placing children by a forest's forecast of direction.

    Its probes (``[[probes]]``) say which model forecasts which symbol; with signals off they only say when to look.
    """

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the volume curve, how closely it is followed, and what a forecast may change."""

        orders: tuple[Instruction, ...]
        signals: Literal["model", "off", "foresight"] = "model"  # foresight: only the study can hand it over
        placement: Placement = Placement()
        curve: CurveSource = CurveSource()
        tactics: Tactics = Tactics()

    State = Progress

    def __init__(self, params: Any = None, *, foresight: Foresight | None = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        if (self.params.signals == "foresight") != (foresight is not None):
            raise ConfigError(
                'signals = "foresight" reads the future of the tape, which no run may; `tickwright forest placer` '
                "hands it over to measure the most that a forecast could be worth. Write model or off"
            )
        self.foresight = foresight
        self.worker = PlacingWorker(self)
        self.wake = msgspec.structs.replace(self.worker.wake, signal="any")

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """The curve between the order's start and end."""
        curve = self.params.curve.curve(order.symbol, session[0])
        return curve.schedule(order.size, order.start, order.end, session=session, lot=lot)

    def lean(self, order: ParentOrder, desk: Desk) -> float:
        """Positive: the price is about to move away from the order; in [-1, 1]."""
        if self.foresight is not None:
            return float(order.side * self.foresight.direction(order.symbol, desk.now))
        signal = desk.signal(order.symbol) if self.params.signals == "model" else None
        if signal is None:
            return 0.0
        down, _, up = signal.probabilities
        return order.side * (up - down) * desk.weight(signal)

    def on_start(self, desk: Desk) -> None:
        self._check_models()
        self.state = self.worker.start(desk, self.state)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        self.worker.look(desk)

    def on_signal(self, signal: events.Signal, desk: Desk) -> None:
        self.worker.look(desk, signal.symbol)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        self.worker.observe(fill, desk)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        self.worker.observe(event, desk)

    def on_status(self, status: events.Status, desk: Desk) -> None:
        self.worker.status(status, desk)

    def _check_models(self) -> None:
        if self.params.signals != "model":
            return
        forecast = {probe.symbol for probe in self.probes if probe.model}
        if missing := sorted({order.symbol for order in self.params.orders} - forecast):
            raise ConfigError(
                f"no probe with a model forecasts {', '.join(missing)}; add [[probes]] with symbol and model, "
                'or write signals = "off"'
            )


class PlacingWorker(ScheduleWorker):
    """A schedule worker that asks a forecast where each child goes."""

    def __init__(self, placer: ForestPlacer) -> None:
        super().__init__(placer.params.orders, placer.params.tactics, placer.schedule)
        self.lean, self.placement = placer.lean, placer.params.placement

    def look(self, desk: Desk, symbol: str = "") -> None:
        """Look at each order that can trade, or at those of one symbol."""
        for parent, schedule in zip(self.progress.parents, self._schedules, strict=True):
            order = parent.order
            if order.symbol not in self.progress.halted and symbol in ("", order.symbol):
                self._work(parent, schedule, desk)

    def _work(self, parent: Parent, schedule: Schedule, desk: Desk) -> None:
        """Look once at ``parent`` and send at most one child order, or the cancels that must come before it."""
        order, now, quote = parent.order, desk.now, desk.quote(parent.order.symbol)
        parent.look(now, quote, desk.volume(order.symbol))
        if not order.start <= now < order.end or parent.is_done:
            return
        taking = sum(child.unreported for child in parent.working.values() if not child.is_passive)
        done = parent.done + taking
        if self.tactics.completion == "cross" and now >= order.end - self.tactics.finish_s * SECOND:
            parent.target = order.size
            if not self._cross(parent, order.size - done, desk, FINISHING_LEVELS):
                self._rest(parent, order.size, desk)
            return
        parent.target = schedule.target(now)
        ahead = max(schedule.lot, int(self.placement.most_ahead * order.size))
        most = min(order.size, parent.target + ahead)
        lean = self.lean(order, desk)
        place = choose(lean, (parent.target - done) / order.size, self.tactics.tolerance, self.placement)
        if place == "cross":
            leads = lean >= self.placement.cross and most - done >= ahead // 2
            if self._cross(parent, (most if leads else parent.target) - done, desk):
                return
        due = min(most, schedule.due(now))
        if due == most < order.size and due - parent.done - parent.open < ahead // 2:
            due = parent.done + parent.open  # the schedule creeps on: no child of a few shares at each look
        self._rest(parent, due, desk, place, lean)

    def _cross(self, parent: Parent, size: int, desk: Desk, levels: int = 1) -> bool:
        """Take ``size`` of what is displayed within the limit price, or pull what rests first; False: there is none."""
        price = reach(parent.order, size, desk, levels=levels) if size > 0 else None
        if price is not None:
            cross(parent, size, desk, limit=price)
        return price is not None

    def _rest(self, parent: Parent, due: int, desk: Desk, place: Place = "touch", lean: float = 0.0) -> None:
        """Let rest what brings done and open up to ``due``, at the place chosen or where it may stay."""
        order = parent.order
        prices = places(order, desk.quote(order.symbol), desk.instrument(order.symbol).tick)
        if not prices:
            return  # nothing to join, or a locked or crossed book
        price = prices.get(place, prices["touch"])
        resting = {child.price for child in parent.working.values() if child.is_passive}
        stays = {"improve": lean >= self.placement.improve - self.placement.keep,
                 "deeper": lean <= self.placement.keep - self.placement.deepen}  # fmt: skip
        for other, may in stays.items():
            if place == "touch" and may and prices.get(other) in resting:
                price = prices[other]
        if not pull(parent, desk, keep=price):
            send(parent, min(due - parent.done - parent.open, parent.room()), desk, limit=price, tif=TimeInForce.GTD)


def choose(lean: float, behind: float, tolerance: float, placement: Placement) -> Place:
    """Where the next child goes, with done and crossing ``behind`` the schedule by that part of the parent."""
    if behind > placement.most_behind or (behind > tolerance and lean > -placement.wait):
        return "cross"
    if lean >= placement.cross:
        return "cross"
    if lean >= placement.improve:
        return "improve"
    return "deeper" if lean <= -placement.deepen else "touch"


def places(order: ParentOrder, quote: events.Quote, tick: int) -> dict[str, int]:
    """The price to rest at for each place there is; none in a book with nothing to join, locked or crossed."""
    near, near_size, far, far_size = quote.bid, quote.bid_size, quote.ask, quote.ask_size
    if order.side < 0:
        near, near_size, far, far_size = far, far_size, near, near_size
    if near_size == 0 or (far_size > 0 and order.side * near >= order.side * far):
        return {}
    found = {}
    for place, step in STEPS.items():
        price = near + order.side * step * tick
        if place == "improve" and (far_size == 0 or order.side * price >= order.side * far):
            continue
        limited = price if order.allows(price) else order.limit
        assert limited is not None
        found[place] = on_tick(limited, tick, -order.side)
    return found
