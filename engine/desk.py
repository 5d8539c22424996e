"""What a strategy may see and do: its view of now, and requests that act later.

A desk belongs to one account. Everything it shows is as of ``now`` on the strategy's own clock; everything it sends
takes effect at the venue one entry latency later. Prices are integers in the instrument's price unit, sizes
integers in its size unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import index
from typing import Any, TypedDict, Unpack

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.otc import Dealer
from engine.broker.simulated import SimulatedBroker
from engine.contracts import PRICE_UNITS, Contract, unpack
from engine.errors import StrategyError
from engine.instruments import MICRO, Instrument
from engine.orders import OrderFlag, OrderType, TimeInForce
from engine.parent import Parent, ParentOrder
from engine.signals import part_to_come

_PEGS = {"primary": OrderType.PEG_PRIMARY, "market": OrderType.PEG_MARKET, "mid": OrderType.PEG_MID}
_DAY, _IOC = int(TimeInForce.DAY), int(TimeInForce.IOC)
_MARKET, _LIMIT, _STOP, _STOP_LIMIT = (
    int(kind) for kind in (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)
)
_Quote = events.Quote
_POST_ONLY, _REDUCE_ONLY = int(OrderFlag.POST_ONLY), int(OrderFlag.REDUCE_ONLY)


def _refuse(*_: object) -> int:
    return 0


class OpenOrder(msgspec.Struct, frozen=True, gc=False):
    """One of our orders that we do not know to be ended."""

    order_id: int
    symbol: str
    side: int
    price: int  # its limit; 0 for none
    leaves: int  # still open, as far as we have heard


class OpenContract(msgspec.Struct, frozen=True, gc=False):
    """An over-the-counter contract that we hold."""

    number: int  # in the account, as the journal has it
    symbol: str  # its market
    terms: Contract
    notional: int  # signed, in units of currency
    mark: float | None  # present value per unit of notional at the last close; None before the first


class _Symbols(dict[str, int]):
    """Symbol -> instrument."""

    def __missing__(self, symbol: str) -> int:
        raise StrategyError(f"unknown symbol {symbol!r}; this run trades {', '.join(self)}")


class Terms(TypedDict, total=False):
    """What an order may have besides size, limit and post-only; see ``Desk.trade``."""

    notional: float | None
    stop: int | None
    peg: str | None
    offset: int
    display: int
    reduce_only: bool
    tif: int
    expire_ts: int


def _sender(side: int):
    """The method that sends orders of one side."""

    def send(
        self: Desk,
        symbol: str,
        *,
        shares: int | None = None,
        limit: int | None = None,
        post_only: bool = False,
        **terms: Unpack[Terms],
    ) -> int:
        """Send an order of this side and return its number; terms as in ``trade``."""
        if not terms and type(limit) is int and type(shares) is int:
            put = self._send_limit  # a name of its own: Python calls an attribute that is no method 30 ns slower
            try:  # the common case without a detour; whatever is odd about it, the detour says
                if number := put(self._world, self._account, self._index[symbol], side, post_only, limit, shares):
                    return number
            except (TypeError, OverflowError):
                pass
        return self.trade(symbol, side, shares=shares, limit=limit, post_only=post_only, **terms)

    send.__name__ = "buy" if side > 0 else "sell"
    return send


class Desk:
    """The account's window on the market. Made by ``wakeups``; strategies receive it in every handler."""

    def __init__(self, broker: SimulatedBroker, account: int, sessions: Sequence[tuple[int, int]]) -> None:
        self._broker = broker
        self._account = account
        self._sessions = sessions
        self._index = _Symbols((instrument.symbol, i) for i, instrument in enumerate(broker.instruments))
        self._world, self._send_limit = broker.world, broker.send_limit
        self._quote, self._cancel_all = broker.quote, broker.cancel_all
        self._stopped = False
        self.parents: list[Parent] = []
        self.declined: Counter[str] = Counter()

    # --- seeing --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """ns UTC on this strategy's clock; 0 before the first row."""
        return self._broker.clock

    @property
    def symbols(self) -> list[str]:
        """What this run trades."""
        return list(self._index)

    @property
    def session(self) -> tuple[int, int]:
        """(open, close) of the session we are in, else of the next one, else of the last; ns UTC at the venue."""
        now = self.now
        return next((session for session in self._sessions if now < session[1]), self._sessions[-1])

    def instrument(self, symbol: str) -> Instrument:
        """Units, tick, lot and currency."""
        return self._broker.instruments[self._index[symbol]]

    def quote(self, symbol: str) -> events.Quote:
        """The touch as we see it; a side of size 0 is empty."""
        touch = self._quote
        bid, ask, bid_size, ask_size = touch(self._index[symbol])
        return _Quote(self._broker.clock, symbol, bid, ask, bid_size, ask_size)

    def book(self, symbol: str, n: int = 5) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks), each the best n levels as (price, size), best first; fewer where fewer are observed."""
        i = self._index[symbol]
        return self._broker.levels(i, 1, n), self._broker.levels(i, -1, n)

    def volume(self, symbol: str) -> int:
        """Market volume of the session so far, ours excluded."""
        return self._broker.volume(self._index[symbol])

    def signal(self, symbol: str) -> events.Signal | None:
        """What the strategy's probe of an instrument measured last; None before the first full windows.

        None, too, once it is older than ``stale_ns`` of its model: what a model foretold has happened by then.

        Raises
        ------
        StrategyError
            If it declared no probe of it.
        """
        i = self._index[symbol]
        if symbol not in self._broker.probed[self._account]:
            raise StrategyError(f"no probe measures {symbol}; declare probes = (Probe(symbol={symbol!r}), ...)")
        signal, model = self._broker.signal(self._account, i), self._broker.models[self._account].get(symbol)
        if signal is not None and model is not None and signal.age(self.now) > model.stale_ns:
            return None
        return signal

    def weight(self, signal: events.Signal) -> float:
        """How much of what a signal foretells is still to come at its age now: from 1 down to 0; 1 without a model."""
        model = self._broker.models[self._account].get(signal.symbol)
        return 1.0 if model is None else part_to_come(model.horizon_cdf, signal.age(self.now))

    def position(self, symbol: str) -> int:
        """What we hold (negative: short), as far as we have heard."""
        return self._broker.position(self._account, self._index[symbol])

    def cash(self, currency: str = "USD") -> int:
        """Micro-units of a currency, as far as we have heard."""
        return self._broker.cash(self._account, currency)

    def orders(self, symbol: str | None = None) -> list[OpenOrder]:
        """Orders that we do not know to be ended, oldest first; those just sent included."""
        i = -1 if symbol is None else self._index[symbol]
        symbols = self._broker.symbols
        return [
            OpenOrder(number, symbols[book], side, price, leaves)
            for number, book, side, price, leaves in self._broker.open_orders(self._account, i)
        ]

    # --- close-of-day markets --------------------------------------------------------------------------------------

    def panel(self, name: str) -> NDArray[Any]:
        """A close-of-day panel on the last day that has closed, read-only; the whole of an ``axis_`` panel.

        Raises
        ------
        StrategyError
            If the tape has no such panel, or none of its days has closed.
        """
        return self._broker.panels.row(name)

    def history(self, name: str) -> NDArray[Any]:
        """All days of a panel that have closed, the last one last, read-only; raises as ``panel``."""
        return self._broker.panels.history(name)

    def age(self, name: str) -> NDArray[np.uint8]:
        """Business days since each value of ``panel(name)`` was fresh: 0 fresh, 255 missing; raises as ``panel``."""
        return self._broker.panels.age(name)

    def values(self, symbol: str, contracts: Sequence[Contract]) -> NDArray[np.float64]:
        """Mids of contracts at the last close of a market, per unit of notional; NaN where its panels do not say.

        Many at once cost little more than one.
        """
        i = self._index[symbol]
        return self._dealer("values").values(self._account, i, contracts)

    def contracts(self) -> list[OpenContract]:
        """The over-the-counter contracts that we hold, in the order first dealt."""
        symbols, dealer = self._broker.symbols, self._broker.dealer
        return [
            OpenContract(number, symbols[market], unpack(packed), size, None if mark is None else mark / PRICE_UNITS)
            for number, packed, market, size, mark in (dealer.contracts(self._account) if dealer else ())
        ]

    def notional(self, terms: Contract) -> int:
        """What we hold of one contract, signed; 0 for none."""
        dealer = self._broker.dealer
        return dealer.size(self._account, terms) if dealer else 0

    # --- doing ---------------------------------------------------------------------------------------------------

    buy, sell = _sender(1), _sender(-1)

    def trade(
        self,
        symbol: str,
        side: int,
        *,
        shares: int | None = None,
        notional: float | None = None,
        limit: int | None = None,
        stop: int | None = None,
        peg: str | None = None,
        offset: int = 0,
        display: int = 0,
        post_only: bool = False,
        reduce_only: bool = False,
        tif: int = _DAY,
        expire_ts: int = 0,
    ) -> int:
        """Send an order and return its number; what becomes of it comes as events.

        Parameters
        ----------
        side : int
            +1 buys, -1 sells.
        shares, notional : int or float
            One of them: size units, or currency at the touch's far side (rounded down to a lot).
        limit : int, optional
            Worst price; without one (and without ``stop`` or ``peg``) the order takes what is displayed and ends.
        stop : int, optional
            Price whose trading lets the order go on, as market order or (with ``limit``) limit order.
        peg : "primary", "market" or "mid", optional
            Follow that price, ``offset`` more aggressive; ``limit`` then bounds it.
        display : int
            Show no more than this at a time (iceberg); 0 shows all.
        tif : TimeInForce
            DAY by default.

        Raises
        ------
        StrategyError
            If the symbol is unknown, the size or its kind is missing or not whole, or a price is not an int.
        """
        if self._stopped:
            raise StrategyError("the run is over: on_stop may read the desk, not trade on it")
        i = self._index[symbol]
        if shares is None:
            shares = self._shares(i, side, notional, limit)
        elif notional is not None:
            raise StrategyError(f"{symbol}: give shares or notional, not both")
        if side != 1 and side != -1:
            raise StrategyError(f"{symbol}: side is {side}, but must be +1 (buy) or -1 (sell)")
        if stop is None and peg is None:
            kind, extra = (_MARKET if limit is None else _LIMIT), 0
        elif peg is not None:
            if peg not in _PEGS:
                raise StrategyError(f"{symbol}: peg is {peg!r}, but must be one of {sorted(_PEGS)}")
            kind, extra = _PEGS[peg], offset
        else:
            kind, extra = (_STOP if limit is None else _STOP_LIMIT), stop or 0
        flags = (_POST_ONLY if post_only else 0) | (_REDUCE_ONLY if reduce_only else 0)
        try:
            terms = (tif, flags, index(limit or 0), index(shares), index(extra), index(display), index(expire_ts))
            return self._broker.send(self._account, i, side, kind, *terms)
        except (TypeError, OverflowError) as error:
            raise StrategyError(
                f"{symbol}: an order of shares={shares!r}, limit={limit!r}, stop={stop!r} cannot be sent ({error}); "
                "sizes and prices are ints in the instrument's units: desk.instrument(symbol).price('12.34') makes one"
            ) from None

    def deal(self, terms: Contract, side: int, *, notional: float) -> int:
        """Deal over the counter, in ``on_close`` only, and return the order's number.

        It fills at that close, at mid plus or minus half a spread (``[broker.otc]``), once ``on_close`` returns; with
        ``fill = "next_close"`` at the next one. What becomes of it comes as events, as of any order.

        Parameters
        ----------
        terms : Swaption, ForwardSwap or Bond
            In the market that has closed. Deals with equal terms are deals in one contract.
        side : int
            +1 buys (a payer or a swap that pays fixed gains when rates rise), -1 sells.
        notional : int or float
            Whole units of the market's currency.

        Raises
        ------
        StrategyError
            If no close is being handled, or the side or the size makes no sense.
        """
        if self._stopped or self._dealer("deal").dealing != self._account:
            raise StrategyError("desk.deal works only in on_close: over-the-counter deals fill at a close")
        if side != 1 and side != -1:
            raise StrategyError(f"side is {side!r}, but must be +1 (buy) or -1 (sell)")
        if not isinstance(terms, Contract):
            raise StrategyError(f"{terms!r} is no contract; deal a Swaption, a ForwardSwap or a Bond")
        try:
            size = int(notional)
        except (TypeError, ValueError, OverflowError):
            size = None
        if size is None or size != notional or abs(size) >= 2**62:
            raise StrategyError(f"notional is {notional!r}, but must be a whole number of units of currency")
        return self._broker.deal(self._account, terms, side, size)

    def replace(self, order_id: int, *, limit: int | None = None, shares: int | None = None) -> None:
        """Ask for another limit price and open size; what is not given stays as we know it."""
        if limit is None or shares is None:
            known = next((o for o in self.orders() if o.order_id == order_id), None)
            limit = limit if limit is not None else known.price if known else 0
            shares = shares if shares is not None else known.leaves if known else 0
        self._broker.replace(self._account, index(order_id), index(limit), index(shares))

    def cancel(self, order_id: int) -> None:
        """Ask for one order to be cancelled."""
        self._broker.cancel(self._account, index(order_id))

    def cancel_all(self, symbol: str | None = None) -> None:
        """Ask for all our orders to be cancelled, those just sent included."""
        cancel = self._cancel_all
        cancel(self._account, -1 if symbol is None else self._index[symbol])

    def wake_at(self, ts: int) -> None:
        """One ``on_timer`` at ``ts`` (ns UTC, our clock) beside ``Wake.every_ns``; outside sessions it waits."""
        self._broker.wake_at(self._account, index(ts))

    def parent(self, order: ParentOrder | Parent) -> Parent:
        """Register a parent order, or one in progress from a snapshot: the reports will show how far it came."""
        parent = order if isinstance(order, Parent) else Parent(order)
        self._index[parent.order.symbol]  # raises if unknown
        self.parents.append(parent)
        return parent

    def decline(self, reason: str) -> None:
        """Count something that the strategy does not do, with the reason; the run's summary prints the counts."""
        self.declined[reason] += 1

    # --- helping -------------------------------------------------------------------------------------------------

    def _shares(self, i: int, side: int, notional: float | None, limit: int | None) -> int:
        instrument = self._broker.instruments[i]
        if notional is None:
            raise StrategyError(f"{instrument.symbol}: give a size, as shares= (size units) or notional= (currency)")
        bid, ask, bid_size, ask_size = self._broker.quote(i)
        price = limit if limit is not None else ask if side > 0 else bid
        if limit is None and (ask_size if side > 0 else bid_size) == 0:
            raise StrategyError(
                f"{instrument.symbol}: nothing is quoted, so notional= has no price; give limit= or shares="
            )
        worth = abs(price) * instrument.money
        units = int(notional * MICRO / worth)
        return units - units % instrument.lot

    def _dealer(self, what: str) -> Dealer:
        dealer = self._broker.dealer
        if dealer is None:
            raise StrategyError(f"desk.{what} needs a tape with close-of-day panels; this one has none")
        return dealer

    def stop(self) -> None:
        """No more trading (the loop calls this before ``on_stop``)."""
        self._stopped = True
        self._send_limit = _refuse
