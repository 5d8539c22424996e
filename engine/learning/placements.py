"""Child orders placed by the clock alone, to see what happens to them and what they do to signals.

At each multiple of ``every_s`` one order is placed, buy and sell by turns, whatever the signal says; it lives for
``life_s`` at most. Its urgency is one of five:

=  ==========================================================================================
1  the second level: post-only, one level behind its own side's best
2  the touch: post-only at its own side's best
3  improve or mid: a tick better where the spread has room, else pegged to the mid
4  the touch, and what is left after ``cross_after_s`` takes the other side
5  cross: takes what is displayed at the other side's best
=  ==========================================================================================

Urgency 0 places nothing and only notes when it would have: the market without us.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.probe_models import model_of
from engine.config import Config, make_feed, make_strategies
from engine.errors import ConfigError
from engine.latency_replays import Pieces
from engine.orders import TimeInForce
from engine.run import run
from engine.strategy import SECOND, Strategy, Wake

if TYPE_CHECKING:
    from engine.desk import Desk

NOTHING, SECOND_LEVEL, TOUCH, IMPROVE, TOUCH_THEN_CROSS, CROSS = range(6)
URGENCIES = {
    SECOND_LEVEL: "1 second level",
    TOUCH: "2 touch",
    IMPROVE: "3 improve or mid",
    TOUCH_THEN_CROSS: "4 touch, then cross",
    CROSS: "5 cross",
}
IOC = int(TimeInForce.IOC)
NEVER = 1 << 62

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Placed(msgspec.Struct):
    """One order: what was seen when it was placed, and what became of it. Prices in price units, times ns UTC."""

    ts: int
    side: int
    chances: tuple[float, ...]  # down, flat, up
    mid2: int  # bid + ask
    spread: int
    filled: int = 0
    paid: int = 0  # sum of price * size
    fees: int = 0  # micro-units
    rested: int = 0  # of ``filled``, as maker
    ended: int = NEVER  # nothing was open from here on


class PlacementStudy(Strategy):
    """Places orders by the clock and notes every signal."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """What is placed, and how long it lives."""

        symbol: str
        shares: Annotated[int, msgspec.Meta(ge=1)] = 100  # size units
        urgency: Annotated[int, msgspec.Meta(ge=0, le=5)] = TOUCH
        every_s: Seconds = 30.0
        life_s: Seconds = 25.0
        cross_after_s: Seconds = 10.0  # of urgency 4

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        own = self.params
        if not own.cross_after_s < own.life_s < own.every_s:
            raise ConfigError(
                "PlacementStudy: needs cross_after_s < life_s < every_s, so that one order lives at a time"
            )
        self.every_ns = round(own.every_s * SECOND)
        self.wake = Wake(every_ns=self.every_ns, signal="any")
        self.ticks: dict[str, array[Any]] = {name: array(kind) for name, kind in TICK_FIELDS.items()}
        self.placed: list[Placed] = []
        self.order = 0  # that is open, as far as we have heard
        self.is_crossing = False

    def on_signal(self, signal: events.Signal, desk: Desk) -> None:
        quote = desk.quote(signal.symbol)
        down, _, up = signal.probabilities
        values = signal.ts_event, signal.tick, quote.bid + quote.ask, down, up
        for column, value in zip(self.ticks.values(), values, strict=True):
            column.append(value)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        if desk.now % self.every_ns == 0:
            self.place(desk)
        elif self.order and desk.now >= self.placed[-1].ts + round(self.params.life_s * SECOND):
            desk.cancel(self.order)
        elif self.order:
            self.is_crossing = True
            desk.cancel(self.order)

    def place(self, desk: Desk) -> None:
        """The next order, if the market is open and something is foretold."""
        symbol, urgency = self.params.symbol, self.params.urgency
        signal, quote = desk.signal(symbol), desk.quote(symbol)
        if signal is None or not signal.probabilities or not quote.is_two_sided or quote.bid == quote.ask:
            return
        side = 1 if desk.now // self.every_ns % 2 else -1
        mid2 = quote.bid + quote.ask
        self.placed.append(Placed(desk.now, side, signal.probabilities, mid2, quote.ask - quote.bid))
        if urgency == NOTHING:
            return
        self.is_crossing = False
        self.order = self.send(desk, quote, side)
        desk.wake_at(desk.now + round(self.params.life_s * SECOND))
        if urgency == TOUCH_THEN_CROSS:
            desk.wake_at(desk.now + round(self.params.cross_after_s * SECOND))

    def send(self, desk: Desk, quote: events.Quote, side: int) -> int:
        """An order of our urgency; its number."""
        symbol, shares, urgency = self.params.symbol, self.params.shares, self.params.urgency
        near, far = (quote.bid, quote.ask) if side > 0 else (quote.ask, quote.bid)
        tick = desk.instrument(symbol).tick
        if urgency == CROSS:
            return desk.trade(symbol, side, shares=shares, limit=far, tif=IOC)
        if urgency == SECOND_LEVEL:
            levels = desk.book(symbol, 2)[0 if side > 0 else 1]
            near = levels[1][0] if len(levels) > 1 else near - side * tick
        elif urgency == IMPROVE:
            if quote.ask - quote.bid <= tick:
                return desk.trade(symbol, side, shares=shares, peg="mid", limit=far)
            near += side * tick
        return desk.trade(symbol, side, shares=shares, limit=near, post_only=True)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        one = self.placed[-1]
        one.filled += fill.size
        one.paid += fill.price * fill.size
        one.fees += fill.fee
        one.rested += fill.size if fill.maker else 0
        if fill.order_id == self.order and fill.leaves == 0:
            self.end(fill.ts_event)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        if isinstance(event, events.Accepted) or event.order_id != self.order:
            return
        if isinstance(event, events.Rejected) and event.reason == "UNKNOWN_ORDER":
            return  # of a cancel that met a fill, which is reported by itself
        if isinstance(event, events.Cancelled) and self.is_crossing:
            self.is_crossing = False
            quote = desk.quote(event.symbol)
            side = self.placed[-1].side
            if quote.is_two_sided:
                limit = quote.ask if side > 0 else quote.bid
                self.order = desk.trade(event.symbol, side, shares=event.size, limit=limit, tif=IOC)
                return
        self.end(event.ts_event)

    def end(self, ts: int) -> None:
        """Nothing is open any more."""
        self.placed[-1].ended = min(ts, self.placed[-1].ended)
        self.order = 0


TICK_FIELDS = {"ts": "q", "tick": "q", "mid2": "q", "down": "d", "up": "d"}


class Ticks(NamedTuple):
    """Every signal of a replay, arrays of one length."""

    ts: Ints
    tick: Ints  # counted in its session
    mid2: Ints
    down: Floats
    up: Floats

    def at(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last one at or before each time; the first where there is none."""
        return np.maximum(np.searchsorted(self.ts, ts, side="right") - 1, 0)


class Watched(NamedTuple):
    """One replay of the study."""

    ticks: Ticks
    placed: list[Placed]


class StudyMarket(NamedTuple):
    """A config of the study, its market at hand."""

    config: Config
    params: PlacementStudy.Params
    pieces: Pieces
    horizon: int  # ticks, of the model
    overlaps: bool  # whether the model was trained on times of this market

    def replay(self, urgency: int) -> Watched:
        """All placements at one urgency.

        Raises
        ------
        ConfigError, StrategyError
            As ``engine.run.run``.
        """
        strategies, entries = make_strategies(self.config)
        study = type(strategies[0])(msgspec.structs.replace(strategies[0].params, urgency=urgency))
        study.probes = strategies[0].probes
        assert isinstance(study, PlacementStudy)
        run(
            study,
            self.pieces.again(),
            accounts=[entries[0].account],
            broker=self.config.broker,
            risk=self.config.risk,
            seed=self.config.seed,
            name=self.config.name,
        )
        types = {"q": np.int64, "d": np.float64}
        ticks = Ticks(*(np.array(study.ticks[name], types[kind]) for name, kind in TICK_FIELDS.items()))
        return Watched(ticks, study.placed)


def study_market(config: Config) -> StudyMarket:
    """Read the market of a config whose one strategy is a ``PlacementStudy`` with a model.

    Raises
    ------
    ConfigError
        If it is another strategy, or has no model.
    """
    strategies, _ = make_strategies(config)
    study = strategies[0]
    if len(strategies) != 1 or not isinstance(study, PlacementStudy):
        raise ConfigError(
            f'{config.name}: this study needs strategy = "engine.learning.placements:PlacementStudy" alone; '
            "see the config placement_study that ships"
        )
    models = [model_of(probe) for probe in study.probes if probe.symbol == study.params.symbol]
    if not models or models[0] is None:
        raise ConfigError(
            f"{config.name}: give a probe of {study.params.symbol} a model; `tickwright train forest` makes one"
        )
    facts = models[0].manifest
    pieces = Pieces(make_feed(config))
    spans = [(int(rows["ts_event"][0]), int(rows["ts_event"][-1])) for rows in pieces.parts]
    overlaps = any(first <= end and start <= last for first, last in facts.trained for start, end in spans)
    return StudyMarket(config, study.params, pieces, facts.horizon, overlaps)
