"""The only loop: a feed hands over rows, the broker walks along them, a strategy wakes, acts; repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine import events
from engine.broker.simulated import SimulatedBroker
from engine.desk import Desk
from engine.errors import ConfigError
from engine.feed import Feed
from engine.strategy import Strategy

WISHES = {
    "on_quote": lambda wake: wake.on_quote or wake.mid_moved_ticks,
    "on_trade": lambda wake: wake.on_trade,
    "on_depth": lambda wake: wake.on_depth,
    "on_bar": lambda wake: wake.on_bar,
    "on_close": lambda wake: wake.on_close,
    "on_status": lambda wake: wake.on_status,
    "on_signal": lambda wake: wake.signal,
}


def overrides(strategy: Strategy, handler: str) -> bool:
    """Whether a strategy has its own version of a handler."""
    return getattr(type(strategy), handler) is not getattr(Strategy, handler)


def wants(strategy: Strategy) -> tuple[bool, bool]:
    """Whether a strategy listens to its fills, and to what else happens to its orders.

    Raises
    ------
    ConfigError
        If it overrides a handler that its ``wake`` never calls.
    """
    for handler, asked in WISHES.items():
        if overrides(strategy, handler) and not asked(strategy.wake):
            wish = "signal='any'" if handler == "on_signal" else f"{handler}=True"
            raise ConfigError(
                f"{type(strategy).__name__} has {handler}, but its wake does not ask for it; "
                f"set wake = Wake({wish}, ...) or remove the handler"
            )
    return overrides(strategy, "on_fill"), overrides(strategy, "on_order")


def wakeups(
    strategies: Strategy | Sequence[Strategy], feed: Feed, broker: SimulatedBroker
) -> Iterator[tuple[events.AnyEvent | events.Idle, Desk]]:
    """Yield (event, desk) after every wake-up, in time order, beginning with ``Started`` for each strategy.

    A generator, so that a test, a debugger or a training loop can stand between two wake-ups and use the desk;
    ``engine.run`` is the plain way through. ``broker`` has one account for each strategy, in order. Where a feed has
    nothing yet it may hand over an empty array: then ``Idle`` is yielded, and no strategy is woken.
    """
    strategies = [strategies] if isinstance(strategies, Strategy) else list(strategies)
    desks = [Desk(broker, account, feed.tape.sessions) for account in range(len(strategies))]
    for strategy, desk in zip(strategies, desks, strict=True):
        strategy.on_start(desk)
        yield events.Started(0), desk
    woken = [(desk, _handlers(strategy)) for strategy, desk in zip(strategies, desks, strict=True)]
    wake = broker.next
    rows = feed.read(until=broker.next_timer)
    while True:
        broker.finish() if rows is None else broker.load(rows)
        while (event := wake()) is not None:
            desk, handlers = woken[broker.account]
            handlers[type(event)](event, desk)
            yield event, desk
        if rows is None:
            break
        if not len(rows):
            yield events.Idle(broker.clock), desks[0]
        rows = feed.read(until=broker.next_timer)
    for strategy, desk in zip(strategies, desks, strict=True):
        desk.stop()
        strategy.on_stop(desk)
    broker.close()


def _handlers(strategy: Strategy):
    return {
        events.Quote: strategy.on_quote,
        events.Trade: strategy.on_trade,
        events.Depth: strategy.on_depth,
        events.Bar: strategy.on_bar,
        events.Close: strategy.on_close,
        events.Timer: strategy.on_timer,
        events.Status: strategy.on_status,
        events.Signal: strategy.on_signal,
        events.Filled: strategy.on_fill,
        events.Accepted: strategy.on_order,
        events.Rejected: strategy.on_order,
        events.Cancelled: strategy.on_order,
        events.Expired: strategy.on_order,
    }
