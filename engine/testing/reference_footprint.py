"""How our own trades displace one instrument, and when that is looked at (rulebook section 12)."""

from __future__ import annotations

from engine.broker.impact import Impact, NoImpact
from engine.instruments import Instrument
from engine.orders import OrderType
from engine.testing.impact_twin import ImpactTwin
from engine.testing.reference_orders import Order

PASSIVE, DARK = 1, 2  # bits of the kind of a fill
WIDE, FIFTHS = 3, 5  # spreads of as many ticks and more are one state; fifths of imbalance
EMPTY_SIDE = 12  # the middle state of a wide spread

Level = tuple[int, int]  # price, size


class Footprint:
    """One instrument's impact model, fed with the market's volume and our fills, in the order that they happen."""

    def __init__(self, twin: ImpactTwin, *, is_cost: bool) -> None:
        self.twin, self.is_cost = twin, is_cost
        self.market_volume = 0  # that has not entered the model
        self.traded = False  # by us, ever
        self.traded_since = False  # by us, since the last look

    @classmethod
    def all_of(cls, impact: Impact, instruments: list[Instrument]) -> list[Footprint]:
        """One for each instrument; none where impact is off."""
        if isinstance(impact, NoImpact):
            return []
        twins = ImpactTwin.all_of(impact, [instrument.symbol for instrument in instruments])
        return [cls(twin, is_cost=impact.mode == "cost") for twin in twins]

    def has_news(self) -> bool:
        """Somebody traded since the last look, and we at some time."""
        return self.traded and (self.traded_since or self.market_volume > 0)

    def look(self, twice: int | None, tick: int) -> int | None:
        """Ticks of displacement at a mid of ``twice`` / 2, or None without one."""
        self._let_volume_in()
        self.traded_since = False
        return None if twice is None else self.twin.displacement_ticks(twice, tick)

    def fill(self, order: Order, size: int, bid: Level, ask: Level, tick: int, *, maker: bool) -> float:
        """We traded ``size``, the touch being ``bid`` and ``ask``; bp that it met on average, itself included."""
        self._let_volume_in()
        kind = PASSIVE * maker + DARK * (order.type == OrderType.PEG_MID)
        told = order.side, size, kind, _book_state(order.side, bid, ask, tick)
        met = self.twin.met_by_fill(*told)
        self.twin.on_own_fill(*told)
        self.traded = self.traded_since = True
        return met

    def split(self, new: int, old: int) -> None:
        """What has traded so far was counted in old units."""
        self._let_volume_in()
        self.twin.split(new, old)
        self.traded_since = True  # the market follows with its next row

    def _let_volume_in(self) -> None:
        self.twin.on_market_volume(self.market_volume)
        self.market_volume = 0


def _book_state(side: int, bid: Level, ask: Level, tick: int) -> int:
    """Spread of 1, 2, 3 or more ticks, and fifth of the imbalance towards ``side``."""
    if not bid[1] or not ask[1]:
        return EMPTY_SIDE
    spread = min(max(-((bid[0] - ask[0]) // tick), 1), WIDE)
    ours = bid[1] if side > 0 else ask[1]
    return (spread - 1) * FIFTHS + min(FIFTHS * ours // (bid[1] + ask[1]), FIFTHS - 1)
