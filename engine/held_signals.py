"""A strategy whose signals come later, or never: what a decision that takes time is worth.

Only what probes measure is held back; quotes, reports and timers come as they did. So a strategy acts on an old
forecast and on the prices of now. Held by nothing it is the strategy itself, event by event (a law).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from engine import events
from engine.broker.probe_models import model_of
from engine.loop import overrides
from engine.signals import CLASSES
from engine.strategy import Strategy

if TYPE_CHECKING:
    from engine.desk import Desk


def hold_signals(strategy: Strategy, held: Mapping[str, int | None]) -> Strategy:
    """The strategy with the signals of some instruments shown so many ns after they arrived; None: never."""
    own = [name for name in Strategy.handlers if name not in ("on_timer", "on_signal") and overrides(strategy, name)]
    cls = type(f"Held{type(strategy).__name__}", (HeldSignals,), {name: _handed_on(name) for name in own})
    return cls(strategy, held)


def _handed_on(name: str) -> Any:
    def hand_on(self: HeldSignals, event: Any, desk: Desk) -> None:
        getattr(self.inner, name)(event, self.through(desk))

    return hand_on


class HeldSignals(Strategy):
    """What ``hold_signals`` gives; ``inner`` is the strategy that decides."""

    def __init__(self, inner: Strategy, held: Mapping[str, int | None]) -> None:
        super().__init__(inner.params)
        self.inner, self.held = inner, held
        self.probes = inner.probes
        self.wake = inner.wake
        if inner.probes:
            self.wake = msgspec.structs.replace(inner.wake, signal="any", above=0.0)
        models = {probe.symbol: model for probe in inner.probes if (model := model_of(probe)) is not None}
        self.stale_ns = {symbol: model.manifest.stale_ns for symbol, model in models.items()}
        self.arrived: dict[str, deque[tuple[int, events.Signal]]] = {probe.symbol: deque() for probe in inner.probes}
        self.waiting: list[tuple[int, events.Signal]] = []  # to call the strategy by, in order of time
        self.asked: list[int] = []  # timers of the strategy's own
        self._desk: _SlowDesk | None = None

    def through(self, desk: Desk) -> Any:
        """The desk as the strategy sees it."""
        if self._desk is None:
            self._desk = _SlowDesk(desk, self)
        return self._desk

    def on_start(self, desk: Desk) -> None:
        self.inner.state = self.state
        self.inner.on_start(self.through(desk))

    def on_signal(self, signal: events.Signal, desk: Desk) -> None:
        delay = self.held.get(signal.symbol, 0)
        if delay is None:
            return
        self.arrived[signal.symbol].append((desk.now + delay, signal))
        if not self._is_called(signal):
            return
        if delay == 0:
            self.inner.on_signal(signal, self.through(desk))
            return
        self.waiting.append((desk.now + delay, signal))
        self.waiting.sort(key=lambda one: one[0])
        desk.wake_at(desk.now + delay)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        due = [signal for ts, signal in self.waiting if ts <= desk.now]
        self.waiting = [one for one in self.waiting if one[0] > desk.now]
        is_asked = any(ts <= desk.now for ts in self.asked)
        self.asked = [ts for ts in self.asked if ts > desk.now]
        for signal in due:
            self.inner.on_signal(signal, self.through(desk))
        every = self.inner.wake.every_ns
        if not due or is_asked or (every and desk.now % every == 0):
            self.inner.on_timer(timer, self.through(desk))

    def on_stop(self, desk: Desk) -> None:
        self.inner.on_stop(self.through(desk))

    def newest(self, symbol: str, now: int) -> events.Signal | None:
        """The signal that may be seen now, unless it is stale."""
        arrived = self.arrived[symbol]
        while len(arrived) > 1 and arrived[1][0] <= now:
            arrived.popleft()
        if not arrived or arrived[0][0] > now:
            return None
        signal = arrived[0][1]
        return None if signal.age(now) > self.stale_ns.get(symbol, 1 << 62) else signal

    def _is_called(self, signal: events.Signal) -> bool:
        """Whether the strategy's own wake asks for it (``Wake.signal``)."""
        wish, above = self.inner.wake.signal, self.inner.wake.above
        if wish in ("", "any"):
            return wish == "any"
        chances = signal.probabilities
        if not chances:
            return False
        return (max(chances[0], chances[2]) if wish == "move" else chances[CLASSES.index(wish)]) > above


class _SlowDesk:
    """The desk, with signals as they may be seen."""

    def __init__(self, desk: Desk, owner: HeldSignals) -> None:
        self._desk, self._owner = desk, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    def signal(self, symbol: str) -> events.Signal | None:
        """As ``Desk.signal``, later."""
        shown = self._desk.signal(symbol)  # raises where nothing is measured
        return shown if self._owner.held.get(symbol, 0) == 0 else self._owner.newest(symbol, self._desk.now)

    def wake_at(self, ts: int) -> None:
        """As ``Desk.wake_at``."""
        self._owner.asked.append(ts)
        self._desk.wake_at(ts)
