"""The smallest market maker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine import events
from engine.strategy import MILLISECOND, Strategy, Wake

if TYPE_CHECKING:
    from engine.desk import Desk


class TouchQuoter(Strategy):
    """Rest ``shares`` at each touch while inventory, fills in flight included, stays inside ``max_position``.

    A baseline, not a business: it pays for its queue position at every refresh and has no view on prices. A side
    that is empty, or a book that is locked or crossed, is not quoted.
    """

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """What to quote, how much of it, and how often."""

        symbol: str
        shares: int = 100  # size units a side
        max_position: int = 500  # size units, long or short
        every_ms: int = 100  # between refreshes

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.wake = Wake(every_ns=self.params.every_ms * MILLISECOND)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        self.quote(+1, desk)
        self.quote(-1, desk)

    def quote(self, side: int, desk: Desk) -> None:
        """Keep the order of this side where the touch is; what moved is pulled now and renewed at the next refresh."""
        symbol, shares = self.params.symbol, self.params.shares
        quote = desk.quote(symbol)
        price = quote.bid if side > 0 else quote.ask
        resting = [order for order in desk.orders(symbol) if order.side == side]
        can_quote = quote.is_two_sided and quote.bid < quote.ask
        for order in resting:
            if not can_quote or order.price != price:
                desk.cancel(order.order_id)
        # an order may fill until its end is reported, so a side waits until the last one is gone
        if can_quote and not resting and side * desk.position(symbol) + shares <= self.params.max_position:
            desk.trade(symbol, side, shares=shares, limit=price, post_only=True)
