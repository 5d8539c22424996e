"""The synthetic market of ``feeds.synthetic`` without an end: half-hours, one after the other, from one seed.

Each block is made from the seed, its number and the prices that the one before ended at, so that any of them can be
made again alone and only those prices need to be remembered. There are no auctions; nights pass between sessions, and
the price opens away from where it closed.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.tape import Kind, Manifest, State
from feeds.synthetic import (
    LICENCE,
    MINUTE_NS,
    PRICE_UNIT,
    SOURCE,
    MarketParams,
    Stream,
    View,
    check_params,
    instruments,
    merge_stocks,
    params_from,
    sessions,
    single_row,
    status_row,
    stock_day,
)

BLOCK_MINUTES = 30
SESSIONS = 2_500  # looked up at a time: ten years


class _Window(NamedTuple):
    session: tuple[int, int]
    minutes: tuple[int, int]  # after the open

    @property
    def is_last(self) -> bool:
        return self.session[0] + self.minutes[1] * MINUTE_NS >= self.session[1]


class EndlessMarket:
    """Blocks of rows without end. Parameters are those of ``synthetic_market``, ``window_minutes`` of no meaning.

    Attributes
    ----------
    manifest : Manifest
        With the sessions of the first ten years.
    average_days : dict of symbol to (size units, fraction)
        Volume of a day without auctions, and its volatility.
    first_prices : tuple of int
        In price units, one a stock: what the first block opens at.
    """

    def __init__(
        self,
        *,
        seed: int,
        date: str = "2026-03-02",
        view: View = "L1",
        params: MarketParams | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(params, MarketParams):
            params = params_from(params or {})
        check_params(params, seed, 1, view)
        self._seed = seed
        self._view: View = view
        self._params = params = msgspec.structs.replace(params, window_minutes=None)
        self._sessions = sessions(params, date, SESSIONS)
        self._windows: list[_Window] = []
        self._add_windows(self._sessions)
        self.manifest = Manifest(
            name=f"endless synthetic {view} of {', '.join(stock.symbol for stock in params.stocks)}, seed {seed}",
            instruments=instruments(params, view),
            sessions=list(self._sessions),
            source=SOURCE,
            licence=LICENCE,
            recipe=f"feeds.endless.EndlessMarket(seed={seed}, date={date!r}, view={view!r}, params={params!r})",
            synthetic=True,
        )
        open_share = 1 - params.opening_share - params.closing_share
        self.average_days = {
            stock.symbol: (round(stock.daily_volume * open_share), stock.daily_volatility) for stock in params.stocks
        }
        self.first_prices = tuple(int(Fraction(stock.price) / PRICE_UNIT) for stock in params.stocks)

    def block(self, number: int, prices: tuple[int, ...]) -> tuple[NDArray[np.void], tuple[int, ...]]:
        """The rows of a block that opens at ``prices``, and the prices that the next one opens at."""
        window = self._window(number)
        params = msgspec.structs.replace(self._params, window_minutes=window.minutes)
        opens, closes = (window.session[0] + minute * MINUTE_NS for minute in window.minutes)
        parts, after = [], []
        for i, stock in enumerate(params.stocks):
            stream = Stream(self._seed, number, i)
            made = stock_day(params, stock, prices[i] * PRICE_UNIT, stream, (opens, closes), self._view)
            # what the block before left in the book is not in this one's
            begins = [] if self._view == "BARS" else [single_row(opens, Kind.CLEAR, flags=0)]
            ends = [status_row(closes, State.CLOSED)] if window.is_last else []
            rows = np.concatenate([*begins, made.rows, *ends])
            rows["instrument"] = i
            parts.append(rows)
            tick = int(Fraction(stock.tick) / PRICE_UNIT)
            after.append(max(tick, round(self._price_after(made, window, prices[i]) / tick) * tick))
        return merge_stocks(parts), tuple(after)

    def _price_after(self, made: Any, window: _Window, price: int) -> Fraction:
        """The last trade; after a night, the next open."""
        if window.is_last:
            return made.next_open / PRICE_UNIT
        traded = made.rows[made.rows["kind"] == (Kind.EXECUTE if self._view == "L3" else Kind.TRADE)]
        if self._view == "BARS":
            traded = made.rows[made.rows["kind"] == Kind.BAR]
            return Fraction(int(traded["size2"][-1]) if len(traded) else price)
        return Fraction(int(traded["price"][-1]) if len(traded) else price)

    def _window(self, number: int) -> _Window:
        while number >= len(self._windows):
            last = datetime.datetime.fromtimestamp(self._sessions[-1][0] / 1e9, datetime.UTC)
            self._sessions = sessions(self._params, f"{last:%Y-%m-%d}", SESSIONS)
            self._add_windows(self._sessions[1:])
        return self._windows[number]

    def _add_windows(self, found: list[tuple[int, int]]) -> None:
        for session in found:
            minutes = (session[1] - session[0]) // MINUTE_NS
            starts = range(0, minutes, BLOCK_MINUTES)
            self._windows += [_Window(session, (start, min(start + BLOCK_MINUTES, minutes))) for start in starts]
