"""Selling short-dated options on swaps, a structure at every close, each hedged by a rule and held to expiry."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.contracts import Contract, ForwardSwap, Swaption
from engine.errors import ConfigError, StrategyError
from engine.rates.bachelier import PAYER, RECEIVER, STRADDLE
from engine.rates.open_sales import OpenSales, Sale
from engine.rates.seller_programme import Programme
from engine.rates.swap_curve import DiscountCurve, bootstrap
from engine.rates.vol_surface import VolSurface
from engine.strategy import Strategy, Wake

if TYPE_CHECKING:
    from engine.desk import Desk

Side = Literal["payer", "receiver"]
Settlement = Literal["physical", "par_yield_cash"]
SIDES: dict[int, tuple[Side, ...]] = {PAYER: ("payer",), RECEIVER: ("receiver",), STRADDLE: ("payer", "receiver")}


class SwaptionSeller(Strategy):
    """Sell ``notional`` of a programme's structure at each close, and bring every hedge to where its rule wants it.

    What a sale should hold comes from ``OpenSales``, the research path as far as today; what it does hold from the
    desk. The difference is dealt, so that a hedge which was refused is tried again at the next close. A sale that was
    refused is not: it would be another trade. At expiry all swaps of the sale are closed, those it was delivered too.
    """

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """What is sold, where, and from what quotes."""

        symbol: str
        notional: int = 100_000_000  # of each sale, whole units of the market's currency
        programme: Programme = Programme()
        max_age_days: int = 0  # business days that a quote may be carried forward; as broker.otc.max_age_days

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        if not 1 <= self.params.notional <= 2**40:
            raise ConfigError(f"notional is {self.params.notional}, but must be from 1 to 2**40 units of currency")
        self.wake = Wake(on_close=True, symbols=(self.params.symbol,))

    def on_start(self, desk: Desk) -> None:
        self.book = OpenSales(self.params.programme)
        self.sent: dict[int, Sale | None] = {}  # deals of the last close by order: the sale that one makes, or None
        self.closed_at = 0
        self.left: set[ForwardSwap] = set()  # hedges of options that no close settled in time
        self.prefix = _prefix(desk, self.params.symbol)

    def on_close(self, close: events.Close, desk: Desk) -> None:
        self.closed_at, self.sent = close.ts_event, {}
        market = self.market(desk)
        if isinstance(market, str):
            desk.decline(market)
            return
        date, curve, surface = market
        sale = self.book.close(date, curve, surface)
        if off := self.book.signals_off():
            desk.decline(f"signal off: {', '.join(off)}")
        else:
            sale.units = self.params.notional
        self.close_lost(desk)
        for terms, (wanted, of) in self.wanted().items():
            missing = wanted - desk.notional(terms)
            if missing:
                order = desk.deal(terms, 1 if missing > 0 else -1, notional=abs(missing))
                self.sent[order] = sale if of is sale else None

    def close_lost(self, desk: Desk) -> None:
        """Close the hedges of options that can no longer be settled: those stay at their last mark."""
        for sale, rates in self.book.lost:
            if sale.units:
                desk.decline("option not settled: no market from its expiry to the start of its swap")
                self.left |= {_swap(*sale.days[1:], rate) for rate in rates}
        for terms in sorted(self.left, key=lambda swap: (swap.start, swap.rate)):
            if held := desk.notional(terms):
                self.sent[desk.deal(terms, -1 if held > 0 else 1, notional=abs(held))] = None

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        if fill.ts_event != self.closed_at:
            raise StrategyError(
                "a deal of an earlier close filled at this one, but SwaptionSeller hedges at the close that it sees; "
                'set broker.otc.fill = "same_close"'
            )

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        if isinstance(event, events.Rejected):
            sale = self.sent.get(event.order_id)
            desk.decline(f"{'hedge' if sale is None else 'sale'} refused: {event.reason}")
            if sale is not None:
                sale.units = 0  # what filled of it is bought back at the next close
                sale.was_refused = True

    def market(self, desk: Desk) -> tuple[np.datetime64, DiscountCurve, VolSurface] | str:
        """Today's date, curve and surface; or why there is none, and so nothing to decide on."""
        panels: dict[str, NDArray[Any]] = {}
        for name in ("swap_rate", "normal_vol"):
            panels[name] = desk.panel(self.prefix + name)
            is_there = np.isfinite(panels[name]) if name == "swap_rate" else panels[name] > 0
            if not is_there.all():
                return f"{name} missing"
            if (desk.age(self.prefix + name) > self.params.max_age_days).any():
                return f"{name} stale"
        date = np.datetime64(int(desk.panel(f"{self.prefix}date")), "D")
        tenors = desk.panel(f"{self.prefix}axis_swap_tenor")
        try:
            curve = bootstrap(date, tenors, panels["swap_rate"], market=self.params.programme.market)
        except ConfigError:
            return "no curve pays these swap rates"
        expiries, tenors, offsets = (
            desk.panel(f"{self.prefix}axis_vol_{axis}") for axis in ("expiry", "tenor", "offset")
        )
        return date, curve, VolSurface(date, expiries, tenors, offsets, panels["normal_vol"][None])

    def wanted(self) -> dict[Contract, tuple[int, Sale]]:
        """Signed notional that the sales want of each contract, options first, and the first sale that does."""
        options: dict[Contract, tuple[int, Sale]] = {}
        swaps: dict[Contract, tuple[int, Sale]] = {}
        settlement = self.params.programme.settlement
        for i, sale in enumerate(self.book.sales):
            if not sale.units and not sale.was_refused:
                continue
            expiry, start, maturity = sale.days
            for held in self.book.held(i, sale.units):
                for strike, size in held.options.items():
                    for side in SIDES[held.kind]:
                        _add(options, _swaption(side, expiry, start, maturity, strike, settlement), size, sale)
                for rate, size in held.swaps.items():
                    _add(swaps, _swap(start, maturity, rate), size, sale)
        return options | swaps


@lru_cache(maxsize=1024)  # the same terms are asked for at every close
def _swaption(side: Side, expiry: int, start: int, maturity: int, strike: float, settlement: Settlement) -> Swaption:
    return Swaption(kind=side, expiry=expiry, start=start, maturity=maturity, strike=strike, settlement=settlement)


@lru_cache(maxsize=1024)
def _swap(start: int, maturity: int, rate: float) -> ForwardSwap:
    return ForwardSwap(start=start, maturity=maturity, rate=rate)


def _add(wanted: dict[Contract, tuple[int, Sale]], terms: Contract, size: int, sale: Sale) -> None:
    before, first = wanted.get(terms, (0, sale))
    wanted[terms] = before + size, first


def _prefix(desk: Desk, symbol: str) -> str:
    """What the market's panels begin with where a tape holds several markets."""
    try:
        desk.panel(f"{symbol}.axis_swap_tenor")
    except StrategyError:
        desk.panel("axis_swap_tenor")  # raises where there is no curve at all
        return ""
    return f"{symbol}."
