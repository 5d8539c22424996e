"""A market as its rows tell it: quotes, trades and the rest as events, books to look at.

The kernels that walk rows in a replay keep the books, so an event here is the event that a strategy would be told
without latency, and before any impact of its own orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency
from engine.broker.simulated import SimulatedBroker
from engine.errors import StrategyError
from engine.instruments import Instrument
from engine.strategy import Wake

EVERYTHING = Wake(on_quote=True, on_trade=True, on_bar=True, on_close=True, on_status=True)


class MarketView:
    """Books of a market, kept up to date by its rows.

    Parameters
    ----------
    instruments : sequence of Instrument
        Indexed by ``instrument`` of a row.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = list(instruments)
        self.symbols = [instrument.symbol for instrument in instruments]
        self.now = 0  # ts_event of the last row, CLOCK rows included; ns UTC
        instant = BrokerConfig(latency=Latency(feed=0, entry=0, response=0), impact=NoImpact())
        self._books = SimulatedBroker(
            self.instruments, sessions=(), config=instant, wakes=[EVERYTHING], wants=[(False, False)]
        )

    def take(self, rows: NDArray[np.void]) -> list[events.AnyEvent]:
        """What ROW[n] that come next tell, in order."""
        if not len(rows):
            return []
        self.now = int(rows["ts_event"][-1])
        self._books.load(rows)
        return list(iter(self._books.next, None))

    def index(self, symbol: str) -> int:
        """Of an instrument in the market.

        Raises
        ------
        StrategyError
            If there is none of this name.
        """
        if symbol not in self.symbols:
            raise StrategyError(f"unknown symbol {symbol!r}; this market trades {', '.join(self.symbols)}")
        return self.symbols.index(symbol)

    def quote(self, symbol: str) -> events.Quote:
        """The touch; a side of size 0 is empty."""
        bid, ask, bid_size, ask_size = self._books.quote(self.index(symbol))
        return events.Quote(self.now, symbol, bid, ask, bid_size, ask_size)

    def book(self, symbol: str, n: int = 5) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks), each the best n levels as (price, size), best first."""
        i = self.index(symbol)
        levels: Any = self._books.levels
        return levels(i, 1, n), levels(i, -1, n)
