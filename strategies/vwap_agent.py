"""Works parent orders in two layers: a schedule of least impact says how much by when, a trained network how.

1. **Schedule.** As ``impact_schedule``: the U that costs least under transient impact, stretched by the volume curve.
2. **Slices.** The order's life is cut into slices of about the length that the agent was trained on. What the schedule
   wants done by a slice's end, and is not, is the slice's parent in the terms of the placement problem: so many lots in
   so many steps.
3. **Placement.** In each step the network chooses one placement: wait, a size at the own side's best (near) or a tick
   behind it (deeper), or a size across the spread. A child that already rests at the chosen price keeps its place.

What the network is told is what it was told in training (``engine.agent_choice``); alpha is what a forecast of the kind
that the agent was trained with says against the order: a probe's, 0 without one, or the touch's imbalance.

**Near its limit** the order says nothing of it: a placement that the limit price forbids cannot be chosen, and while
the market is beyond the limit nothing rests there, until the last ``finish_s`` seconds. When the other side, forbidden
before, shows size within the limit, a **latch** closes: the order takes what is displayed, up to ``latch`` of the
parent ahead of what the schedule wanted then, and goes on as before once it has that or nothing is left within the
limit.

**Limits that no weights overrule:** own volume never passes the participation cap, no child is beyond the limit price,
an order behind its schedule (as far as the cap lets it follow) by more than ``most_behind`` crosses what is then beyond
half of that, and in its last ``finish_s`` seconds all is due, as deep as needed. Cap and limit price are stronger than
completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine import events
from engine.agent_choice import Chooser
from engine.agent_model import load_agent
from engine.broker.impact import Market, Parameters, Region
from engine.child_orders import DEEPER, NEAR, WAIT, level_prices, place, reach, resting, take, taking
from engine.errors import ConfigError
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
    join,
)
from strategies.impact_schedule import least_impact

if TYPE_CHECKING:
    from engine.desk import Desk


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What learning cannot change."""

    every_ms: int = 500  # between looks
    finish_s: int = 30  # before the end, when completion begins
    most_behind: float = 0.2  # its schedule, part of the parent
    latch: float = 0.1  # ahead of its schedule for liquidity under the limit, part of the parent; 0 is never

    def __post_init__(self) -> None:
        if self.every_ms < 1 or self.finish_s < 0:
            raise ConfigError(f"limits: every_ms is {self.every_ms} and finish_s {self.finish_s}; need >= 1 and >= 0")
        if not (0 < self.most_behind <= 1 and 0 <= self.latch <= 1):
            raise ConfigError(
                f"limits: most_behind is {self.most_behind} and latch {self.latch}; both are parts of the parent, "
                "at most 1, and most_behind is > 0"
            )


class Episode(msgspec.Struct):
    """Where a parent stands in the terms of the placement problem."""

    slice: int = -1
    before: int = 0  # done when the slice began
    size: int = 0  # to be done within the slice
    step: int = -1
    placement: int = 0  # chosen for the step
    is_sent: bool = False  # the step's child went out
    late_to: int = 0  # what must be done at once, having been far behind; 0 until then
    is_barred: bool = False  # the limit forbids to cross what is shown
    latched_to: int = 0  # what the latch may bring done up to; 0: it is open


class AgentProgress(Progress):
    """What must survive a snapshot."""

    episodes: list[Episode] = []


class VwapAgent(Strategy):
    """Work parent orders along a schedule of least impact, each slice placed by a trained network."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """The orders, the agent, the impact that is expected, the volume curve, and the limits."""

        orders: tuple[Instruction, ...]
        agent_folder: str
        agent_content: str = ""  # the hash that the agent must have; "" for any
        market: dict[str, Market]  # the average day, by symbol
        region: Region = "NA"
        parameters: Parameters | None = None  # of impact, instead of the region's
        risk_aversion: float = 0.0  # 1 / bp
        curve: CurveSource = CurveSource()
        limits: Limits = Limits()

    State = AgentProgress

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        agent = load_agent(self.params.agent_folder, content=self.params.agent_content)
        self.params = msgspec.structs.replace(self.params, agent_content=agent.manifest.content)
        self.chooser = Chooser(agent)
        self.worker = AgentWorker(self)
        self.wake = self.worker.wake

    def schedule(self, order: ParentOrder, session: tuple[int, int], lot: int) -> Schedule:
        """Bins of the curve, weighted by the plan of least impact for them."""
        return least_impact(self.params, order, session, lot)

    def lean(self, order: ParentOrder, desk: Desk) -> float:
        """Positive: the price is about to move away from the order; in [-1, 1]. 0 without a forecast."""
        if self.chooser.forecast == "imbalance":
            quote = desk.quote(order.symbol)
            return order.side * (quote.bid_size - quote.ask_size) / max(1, quote.bid_size + quote.ask_size)
        if not any(probe.symbol == order.symbol and probe.model for probe in self.probes):
            return 0.0
        signal = desk.signal(order.symbol)
        return 0.0 if signal is None else order.side * (signal.probabilities[2] - signal.probabilities[0])

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


class AgentWorker(ScheduleWorker):
    """A schedule worker that asks a network how each step's child is placed."""

    def __init__(self, agent: VwapAgent) -> None:
        limits = agent.params.limits
        super().__init__(
            agent.params.orders, Tactics(every_ms=limits.every_ms, finish_s=limits.finish_s), agent.schedule
        )
        self.lean, self.chooser, self.limits = agent.lean, agent.chooser, limits

    def start(self, desk: Desk, restored: Progress | None = None) -> AgentProgress:
        """As any schedule worker, with an episode for each parent."""
        begun = super().start(desk, restored)
        if not isinstance(begun, AgentProgress):
            begun = AgentProgress(begun.parents, begun.halted, [Episode() for _ in begun.parents])
        self.progress = begun
        return begun

    def look(self, desk: Desk) -> None:
        """Look at each order that can trade."""
        assert isinstance(self.progress, AgentProgress)
        for parent, schedule, episode in zip(
            self.progress.parents, self._schedules, self.progress.episodes, strict=True
        ):
            if parent.order.symbol not in self.progress.halted:
                self._work(parent, schedule, episode, desk)

    def _work(self, parent: Parent, schedule: Schedule, episode: Episode, desk: Desk) -> None:
        """Look once at ``parent`` and send at most one child order, or the cancels that must come before it."""
        order, now = parent.order, desk.now
        parent.look(now, desk.quote(order.symbol), desk.volume(order.symbol))
        if not order.start <= now < order.end or parent.is_done:
            return
        is_finishing = now >= order.end - self.limits.finish_s * SECOND
        parent.target = order.size if is_finishing else schedule.target(now)
        if is_finishing:
            missing = parent.target - parent.done - taking(parent)
            if not take(parent, missing, desk, levels=FINISHING_LEVELS):
                join(parent, order.size, desk, desk.quote(order.symbol))
            return
        if self._latched(parent, episode, desk) or self._is_late(parent, episode, desk):
            self._make_way(episode)
            return
        self._keep_time(parent, schedule, episode, now)
        self._place(parent, episode, desk)

    def status(self, status: events.Status, desk: Desk) -> None:
        """As any schedule worker; what a halt pulls goes out again after it."""
        super().status(status, desk)
        assert isinstance(self.progress, AgentProgress)
        for parent, episode in zip(self.progress.parents, self.progress.episodes, strict=True):
            if parent.order.symbol in self.progress.halted:
                self._make_way(episode)

    def _make_way(self, episode: Episode) -> None:
        """What rested was pulled: it goes out again in this step."""
        if episode.placement >= 0 and self.chooser.levels[episode.placement] in (DEEPER, NEAR):
            episode.is_sent = False

    def _is_late(self, parent: Parent, episode: Episode, desk: Desk) -> bool:
        """Once far behind, take what was then beyond half of that, look by look; whether anything is being taken."""
        lot = desk.instrument(parent.order.symbol).lot
        most = max(lot, int(self.limits.most_behind * parent.order.size))
        due = min(parent.target, parent.done + parent.open + parent.room())  # as far as the cap lets it follow
        if due - parent.done - taking(parent) > most:
            episode.late_to = due - most // 2
        missing = min(episode.late_to, due) - parent.done - taking(parent)
        return missing >= lot and take(parent, missing, desk)

    def _latched(self, parent: Parent, episode: Episode, desk: Desk) -> bool:
        """Take what has come within the limit, where it was forbidden before; whether anything is being taken."""
        order, latch = parent.order, int(self.limits.latch * parent.order.size)
        if order.limit is None or latch == 0:
            return False
        if reach(order, 1, desk, levels=1) is None:
            quote = desk.quote(order.symbol)
            episode.is_barred |= (quote.ask_size if order.side > 0 else quote.bid_size) > 0
            episode.latched_to = 0
            return False
        if episode.is_barred:
            episode.is_barred, episode.latched_to = False, min(order.size, parent.target + latch)
        coming = taking(parent)
        left = episode.latched_to - parent.done - coming
        if left < desk.instrument(order.symbol).lot and not coming:
            episode.latched_to = 0
            return False
        return take(parent, left, desk) or (coming > 0 and episode.latched_to > 0)

    def _keep_time(self, parent: Parent, schedule: Schedule, episode: Episode, now: int) -> None:
        """Begin the slice and the step that ``now`` is in."""
        order, steps = parent.order, self.chooser.steps
        length = order.end - order.start
        slices = max(1, round(length / (steps * self.chooser.step_ns)))
        passed = (now - order.start) * slices * steps // length
        k, t = divmod(passed, steps)
        if k != episode.slice:
            end = order.start + -(-length * (k + 1) // slices)
            episode.slice, episode.step, episode.before = k, -1, parent.done
            episode.size = max(0, schedule.target(end) - parent.done)
        if t != episode.step:
            episode.step, episode.is_sent, episode.placement = t, False, -1

    def _place(self, parent: Parent, episode: Episode, desk: Desk) -> None:
        """Choose once a step, and bring what is open into line with the choice."""
        left = min(episode.size - (parent.done - episode.before), parent.remaining + parent.open) - taking(parent)
        if episode.placement < 0:
            can = left > 0 and parent.room() + resting(parent) >= desk.instrument(parent.order.symbol).lot
            prices = level_prices(parent.order, desk)
            allowed = [level == WAIT or (can and level in prices) for level in self.chooser.levels]
            part = max(0, left) / episode.size if episode.size else 0.0
            episode.placement = self.chooser.choose(episode.step, part, self.lean(parent.order, desk), allowed)
        if not episode.is_sent:
            size = min(self._shares(episode, parent, desk), left)
            episode.is_sent = place(parent, self.chooser.levels[episode.placement], size, desk)

    def _shares(self, episode: Episode, parent: Parent, desk: Desk) -> int:
        """The size of the step's placement: its lots of the slice, rounded up to lots of the instrument."""
        lot = desk.instrument(parent.order.symbol).lot
        size = self.chooser.lots_of(episode.placement) * episode.size
        return -(-size // (self.chooser.lots * lot)) * lot
