"""The placement problem on recorded markets: episodes run through ``wakeups``, with the broker's own fills and impact.

An episode is a period of a day with one parent order, worked in the steps of a ``Problem``. At each step the caller
names a placement; ``engine.child_orders`` carries it out as a strategy would, the broker fills it or not, and after the
step two costs are counted by the one arithmetic, ``placement_problem.step_cost``:

* **tabled**: the fills were the broker's, all else is what the problem says;
* **measured**: the spread cost of what filled is its price, with what impact charged it, against the mid at the step's
  end; the drift is what the mid did. Only the penalties of the end are the problem's.

Mids are those of the tape, of the market without us: a mid that our own order has moved would make its price look good.
So own impact is a cost of what fills: the displacement in its price, and what the broker charges beside the price.

Over an episode the measured costs but for the penalties add up to the implementation shortfall of what was done, in
half-spreads and without the venue's fees (a law). Costs are in half-spreads of the parent's value, rewards are minus
the measured costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.models import Account, BrokerConfig, Fees, RiskConfig
from engine.broker.simulated import SimulatedBroker
from engine.child_orders import level_prices, place, pull
from engine.desk import Desk
from engine.feed import Feed
from engine.journal import Journal
from engine.learning.features import samples
from engine.learning.placement_problem import VWAP, Problem, step_cost
from engine.loop import wakeups, wants
from engine.orders import Reason
from engine.parent import Parent, ParentOrder
from engine.signals import Probe
from engine.strategy import SECOND, Strategy
from engine.venue_fee import venue_fee

Floats = NDArray[np.float64]

Lean = Callable[[Desk, str], float]  # a forecast of direction, -1 … 1, of a symbol


class ReplayState(NamedTuple):
    """Where an episode stands."""

    step: int
    remaining: float  # lots; a fraction where an order filled in part
    alpha: int  # index
    allowed: NDArray[np.bool_]  # [p] placements that the book has a price for


class ReplayStep(NamedTuple):
    """What a step gave."""

    reward: float  # minus the measured cost, half-spreads
    state: ReplayState
    is_done: bool


class Note(NamedTuple):
    """What happened in a step, for those who ask where a cost came from."""

    step: int
    remaining: float  # lots, before
    alpha: int
    placement: int
    sent: float  # lots
    filled: float  # lots
    spread_cost: float  # half-spreads for the whole parent, of what filled, own impact in it; 0 where nothing did
    move: float  # of the mid against the parent, half-spreads
    tabled: float  # cost, half-spreads of the parent's value
    measured: float


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """A parent that was worked."""

    start: int  # ns UTC
    side: int
    shares: int
    done: int
    notes: list[Note]

    @property
    def tabled(self) -> float:
        """Half-spreads."""
        return sum(note.tabled for note in self.notes)

    @property
    def measured(self) -> float:
        """Half-spreads."""
        return sum(note.measured for note in self.notes)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the problem says in its own units, in units of the market."""

    symbol: str
    lot_size: int  # size units of one of the parent's lots
    half_spread: float  # price units
    step_s: float
    lean_edge: float = 0.5  # beyond which a forecast is in an outer state of alpha
    wait_ns: int = SECOND // 10  # after a period's end, for the last reports


def imbalance(desk: Desk, symbol: str) -> float:
    """(Bid less ask) / both of the displayed sizes."""
    quote = desk.quote(symbol)
    return (quote.bid_size - quote.ask_size) / max(1, quote.bid_size + quote.ask_size)


def forecast(desk: Desk, symbol: str) -> float:
    """P(up) less P(down) of the probe's model; 0 where it is silent."""
    signal = desk.signal(symbol)
    return 0.0 if signal is None else signal.probabilities[2] - signal.probabilities[0]


class Onlooker(Strategy):
    """Does nothing by itself; its parent takes its reports in, and it adds up what impact charged."""

    def __init__(self, probes: tuple[Probe, ...], fees: Fees) -> None:
        super().__init__()
        self.probes, self.fees = probes, fees
        self.parent: Parent | None = None
        self.charged = 0  # micro-units of currency, beside the prices paid and the venue's fees

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        if self.parent is not None:
            self.parent.observe(fill)
            unit = desk.instrument(fill.symbol)
            self.charged += fill.fee - venue_fee(self.fees, unit, fill.price, fill.size, maker=fill.maker)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        if self.parent is not None:
            self.parent.observe(event)


class ReplayEnv:
    """Episodes one after another on one day, buying and selling in turn.

    Parameters
    ----------
    problem : Problem
        One, no batch.
    terms : Terms
    feed : Feed
        Of one day; used up.
    starts : sequence of int
        ns UTC at which periods begin; they must not overlap. A parent trades in what is left of the impact of those
        before it: give one for a parent alone.
    broker, risk, seed
        As of a run.
    side : int
        Of the first episode; the next has the other.
    probes : tuple of Probe
        With a model: what forecasts. Without one the touch's own imbalance does.
    """

    def __init__(
        self,
        problem: Problem,
        terms: Terms,
        feed: Feed,
        starts: Sequence[int],
        *,
        broker: BrokerConfig,
        risk: RiskConfig | None = None,
        seed: int = 0,
        side: int = 1,
        probes: tuple[Probe, ...] = (),
    ) -> None:
        self.problem, self.terms = problem, terms
        self.lean: Lean = forecast if any(probe.model for probe in probes) else imbalance
        self._starts, self._side, self._number = list(starts), side, -1
        self._onlooker = Onlooker(probes, broker.fees)
        self._market = samples(feed.tape, terms.symbol, clock="quote")
        self._walk = wakeups(self._onlooker, feed, _venue(self._onlooker, feed, broker, risk, seed))
        self._desk = next(self._walk)[1]
        self._step_ns = round(terms.step_s * SECOND)

    def reset(self) -> ReplayState | None:
        """Go to the next period and give its parent; None after the last one.

        A period that begins without a two-sided quote is left out.
        """
        while self._number + 1 < len(self._starts):
            self._number += 1
            start, size = self._starts[self._number], int(self.problem.lots) * self.terms.lot_size
            side = self._side if self._number % 2 == 0 else -self._side
            if not self._until(start):
                return None
            if not self._desk.quote(self.terms.symbol).is_two_sided:
                continue
            end = start + int(self.problem.steps) * self._step_ns
            order = ParentOrder(symbol=self.terms.symbol, side=side, size=size, start=start, end=end)
            self._parent = self._onlooker.parent = Parent(order)
            self._notes: list[Note] = []
            self._t, self._mid = 0, self._market_mid()
            return self._state()
        return None

    def step(self, placement: int) -> ReplayStep:
        """Place, let a step's time pass, and count what it cost."""
        problem, parent, before = self.problem, self._parent, self._state()
        done, spent, mid, t = parent.done, self._spent(), self._mid, self._t
        level, lots = int(problem.level[placement]), int(problem.size[placement])
        size = min(lots * self.terms.lot_size, parent.order.size - parent.done)
        is_last = t + 1 == problem.steps
        is_walking = self._work(level, size, parent.order.start + (t + 1) * self._step_ns)
        if is_last and is_walking:
            pull(parent, self._desk)
            is_walking = self._until(parent.order.end + self.terms.wait_ns)
        self._t, self._mid = t + 1, self._market_mid()
        filled, paid = parent.done - done, self._spent() - spent
        half, side = self.terms.half_spread, parent.order.side
        part = filled / self.terms.lot_size
        cost = side * (paid / filled - self._mid) / half if filled else 0.0
        move = side * (self._mid - mid) / half
        self._notes.append(
            Note(
                t, before.remaining, before.alpha, placement, size / self.terms.lot_size, part, cost, move,
                step_cost(problem, t, before.remaining, before.alpha, placement, part),
                self._measured(t, before.remaining, placement, part, cost, move),
            )
        )  # fmt: skip
        is_done = is_last or parent.is_done or not is_walking
        if not (is_last or parent.is_done or is_walking):
            self._leave()
        elif is_done and problem.objective == VWAP and not is_last:
            self._run_out()
        return ReplayStep(-self._notes[-1].measured, self._state(), is_done)

    @property
    def episode(self) -> Episode:
        """What was done in the current episode, once it is done."""
        order = self._parent.order
        return Episode(
            start=order.start,
            side=order.side,
            shares=order.size,
            done=self._parent.done,
            notes=list(self._notes),
        )

    def _measured(self, t: int, remaining: float, placement: int, filled: float, cost: float, move: float) -> float:
        """The step's cost by the problem's arithmetic, told what was measured instead of what was estimated."""
        spread_cost, impact = np.zeros(len(self.problem.size)), np.zeros(len(self.problem.size))
        spread_cost[placement] = cost
        told = self.problem._replace(
            spread_cost=spread_cost,
            impact=impact,
            drift=move,
            alpha=np.ones(1),
            after=np.zeros((int(self.problem.steps), 1)),
        )
        return float(step_cost(told, t, remaining, 0, placement, filled))

    def _leave(self) -> None:
        """The day is over before the period is: what is left costs what it costs at the end, in the last note."""
        last, problem = self._notes[-1], self.problem
        part = (last.remaining - last.filled) / problem.lots
        cost = float(problem.leftover[0]) * part + float(problem.leftover[1]) * part**2
        self._notes[-1] = last._replace(tabled=last.tabled + cost, measured=last.measured + cost)

    def _run_out(self) -> None:
        """After an early finish: what the market's own average still does, into the last note."""
        problem, parent, cost = self.problem, self._parent, 0.0
        for t in range(self._t, int(problem.steps)):
            if not self._until(parent.order.start + (t + 1) * self._step_ns):
                break
            mid = self._market_mid()
            move = parent.order.side * (mid - self._mid) / self.terms.half_spread
            exposure = float(problem.elapsed[t]) - 1.0
            cost += move * exposure + float(problem.risk) * exposure**2
            self._mid = mid
        last = self._notes[-1]
        self._notes[-1] = last._replace(measured=last.measured + cost)

    def _state(self) -> ReplayState:
        parent, problem = self._parent, self.problem
        lean = parent.order.side * self.lean(self._desk, self.terms.symbol)
        outer = float(np.sign(lean)) if abs(lean) > self.terms.lean_edge else 0.0
        prices = level_prices(parent.order, self._desk)
        allowed = np.array([level == 0 or level in prices for level in problem.level.tolist()])
        left = (parent.order.size - parent.done) / self.terms.lot_size
        return ReplayState(self._t, left, int(np.argmin(np.abs(problem.alpha - outer))), allowed)

    def _work(self, level: int, size: int, until: int) -> bool:
        """Carry a placement out and walk to ``until``; False: the day is over."""
        parent, desk = self._parent, self._desk
        is_placed = place(parent, level, size, desk)
        for event in self._events(until):
            if not is_placed and isinstance(event, events.Cancelled) and event.reason == Reason.REQUESTED.name:
                is_placed = place(parent, level, min(size, parent.order.size - parent.done), desk)
        return desk.now >= until

    def _until(self, ts: int) -> bool:
        for _ in self._events(ts):
            pass
        return self._desk.now >= ts

    def _events(self, ts: int) -> Iterator[Any]:
        """What happens to our orders up to ``ts`` on our clock."""
        if self._desk.now >= ts:
            return
        self._desk.wake_at(ts)
        for event, _ in self._walk:
            if isinstance(event, events.Timer) and self._desk.now >= ts:
                return
            yield event

    def _market_mid(self) -> float:
        """The tape's, now; before its first two-sided quote, the first."""
        at = int(np.searchsorted(self._market.ts, self._desk.now, side="right")) - 1
        return float(self._market.mid2[max(at, 0)]) / 2

    def _spent(self) -> float:
        """For what was done: price units times size units, with what impact charged; a sale's charge takes from it."""
        side, money = self._parent.order.side, self._desk.instrument(self.terms.symbol).money
        return self._parent.notional + side * float(self._onlooker.charged / money)


def _venue(strategy: Strategy, feed: Feed, broker: BrokerConfig, risk: RiskConfig | None, seed: int) -> SimulatedBroker:
    return SimulatedBroker(
        feed.tape.instruments,
        sessions=feed.tape.sessions,
        actions=feed.tape.manifest.actions,
        config=broker,
        risk=risk,
        seed=seed,
        accounts=[Account(name="main")],
        wakes=[strategy.wake],
        wants=[wants(strategy)],
        probes=[strategy.probes],
        journal=Journal(),
        panels=feed.tape.panels,
    )
