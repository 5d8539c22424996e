"""What a user writes: a subclass of ``Strategy`` with the handlers it needs and the wakes it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from engine import events
from engine.errors import ConfigError
from engine.signals import WISHES, Probe
from engine.spelling import did_you_mean

if TYPE_CHECKING:
    from engine.desk import Desk

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Wake(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the kernel must stop and call the strategy; in between it runs on alone.

    ``on_fill`` and ``on_order`` need no wish here: they are called where they are overridden.
    """

    every_ns: int = 0  # a timer at each multiple of this, in session; 0 is none
    on_quote: bool = False  # best price or size of a side changed
    on_trade: bool = False  # each trade of the market
    on_depth: bool = False  # any observed level changed
    on_bar: bool = False
    on_close: bool = False
    on_status: bool = False
    mid_moved_ticks: int = 0  # on_quote, but only once the mid is this far from where it last woke us
    symbols: tuple[str, ...] = ()  # only these; () is every instrument of the run
    signal: str = ""  # of a probe: "any", or the class whose probability is above ``above`` ("move": down or up)
    above: float = 0.0

    def __post_init__(self) -> None:
        if self.every_ns < 0 or self.mid_moved_ticks < 0:
            raise ConfigError("Wake: every_ns and mid_moved_ticks must be >= 0")
        if self.signal not in WISHES:
            raise ConfigError(
                f"Wake: signal is {self.signal!r}, but must be one of {', '.join(WISHES[1:])}"
                + did_you_mean(self.signal, WISHES[1:])
            )
        if not 0 <= self.above < 1:
            raise ConfigError(f"Wake: above is {self.above}, but is a probability: 0 <= above < 1")


class Strategy:
    """Base of every strategy. Override what you need; the defaults do nothing.

    ``Params`` is a frozen struct that a config fills; ``State`` (optional) a struct that holds whatever must
    survive a snapshot: set ``self.state`` in ``on_start``.

    A strategy that works parent orders may have ``schedule(order: ParentOrder, session: tuple[int, int], lot: int) ->
    Schedule`` (``engine.schedule``): when how much of the order is meant to be done. Cost reports hold it against that.
    """

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """No parameters."""

    params: Any  # an instance of the subclass's Params
    wake: Wake = Wake()
    probes: tuple[Probe, ...] = ()  # what is measured along the walk for ``desk.signal`` and ``Wake.signal``
    state: Any = None
    handlers: ClassVar[tuple[str, ...]] = (
        "on_quote", "on_trade", "on_depth", "on_bar", "on_close", "on_timer", "on_fill", "on_order", "on_status",
        "on_signal",
    )  # fmt: skip

    def __init__(self, params: Any = None, **fields: Any) -> None:
        self.params = self.Params(**fields) if params is None else params

    def on_start(self, desk: Desk) -> None:
        """Before the first row."""

    def on_quote(self, quote: events.Quote, desk: Desk) -> None:
        """The touch changed (``Wake.on_quote``, ``Wake.mid_moved_ticks``)."""

    def on_trade(self, trade: events.Trade, desk: Desk) -> None:
        """The market traded (``Wake.on_trade``)."""

    def on_depth(self, depth: events.Depth, desk: Desk) -> None:
        """A level changed (``Wake.on_depth``)."""

    def on_bar(self, bar: events.Bar, desk: Desk) -> None:
        """A bar ended (``Wake.on_bar``)."""

    def on_close(self, close: events.Close, desk: Desk) -> None:
        """A business day closed (``Wake.on_close``)."""

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        """A time asked for has come (``Wake.every_ns``, ``desk.wake_at``)."""

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        """Part of an order traded."""

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        """An order was accepted, rejected, cancelled or expired."""

    def on_status(self, status: events.Status, desk: Desk) -> None:
        """The trading state changed (``Wake.on_status``)."""

    def on_signal(self, signal: events.Signal, desk: Desk) -> None:
        """A probe measured something that the wake asks for (``Wake.signal``)."""

    def on_stop(self, desk: Desk) -> None:
        """After the last row; the desk can be read, not traded on."""
