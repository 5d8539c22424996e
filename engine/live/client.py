"""A desk's own program at a paper session: it hears the market and its own reports, and trades.

    from engine.events import Filled, Quote
    from engine.live import Client

    with Client("desk") as desk:
        for event in desk:
            match event:
                case Quote(symbol="XYZ") if not desk.orders() and desk.position("XYZ") < 500:
                    desk.buy("XYZ", shares=100, limit=event.bid)
                case Filled():
                    print(event, desk.position("XYZ"))

Everything happens in the thread that iterates or calls ``poll``: a program that stops doing so is missed after 1.5 s,
and its orders are cancelled. Market data and reports come on two ways; what happens at one time may be heard in either
order. No wakes are promised: a strategy that has to act at the same rows each time is attached by a runner instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from engine import clock, events
from engine.errors import RunError, StrategyError
from engine.instruments import Instrument
from engine.live import messages as m
from engine.live import sockets
from engine.live.client_outbox import ClientOutbox
from engine.live.keys import LOCAL, Keys
from engine.live.market_view import MarketView
from engine.live.order_entry import OrderEntry, Sent
from engine.live.receiver import StreamReceiver
from engine.live.silence import Silence
from engine.live_config import Live
from engine.orders import OrderFlag, OrderType, TimeInForce

BURST = 256  # frames of a socket before the others are heard
PATIENCE_S = 10.0  # for feed and broker to answer at the start
FAREWELL_MS = 200  # for the last words to leave
EXPIRY_NS = 2_000_000_000  # market time after which an order that has not arrived is not to be applied

ClientEvent = events.AnyEvent | m.Reject


class Client:
    """A program's connection to a feed and a paper broker.

    Parameters
    ----------
    account : str
        One of ``[[live.clients]]`` in the broker's config.
    live : Live, optional
        Addresses, as in the broker's config.
    keys : Keys or path, optional
        Folder with this program's keys; by default the user's own.
    name : str
        Of this program among the keys.
    plain : bool
        Without keys, where the feed and the broker run so on this machine.
    history : bool
        Tell also what happened in the market before we came. Otherwise those rows only build the books.
    outbox : path, optional
        File that keeps requests until they are answered, so that a program that crashed asks for nothing twice and
        forgets nothing.
    context : zmq.Context, optional

    Raises
    ------
    ConfigError
        If keys or addresses are missing or unsafe.
    """

    def __init__(
        self,
        account: str,
        *,
        live: Live | None = None,
        keys: Keys | str | Path | None = None,
        name: str = LOCAL,
        plain: bool = False,
        history: bool = False,
        outbox: str | os.PathLike[str] | None = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        live = live or Live()
        folder = None if plain else keys if isinstance(keys, Keys) else Keys.load(keys)
        feed_key = folder.client("md", name) if folder else None
        orders_key = folder.client("orders", name) if folder else None
        self._entry = OrderEntry(account)
        self._receiver = StreamReceiver()
        self._view = MarketView([])
        self._history = history
        self._outbox_path = outbox
        self._outbox: ClientOutbox | None = None
        self._session = f"{clock.wall_ns():x}"  # no two lives of a program have the same
        self._count = 0
        self._found: list[ClientEvent] = []  # and not told yet
        context = context or zmq.Context.instance()
        self._market = sockets.subscriber(context, live.feed, feed_key, plain=plain)
        self._recovery = sockets.dealer(context, live.recovery, "recovery", feed_key, plain=plain)
        self._orders = sockets.dealer(context, live.orders, "orders", orders_key, plain=plain)
        self._poller = zmq.Poller()
        for socket in (self._market, self._recovery, self._orders):
            self._poller.register(socket, zmq.POLLIN)
        self._silence = Silence((self._market, self._recovery, self._orders))

    def __enter__(self) -> Client:
        """Join the feed and the broker.

        Raises
        ------
        RunError
            If one of them does not answer, or will not have us.
        """
        try:
            self._join()
        except BaseException:
            self._close_sockets()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- hearing ----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[ClientEvent]:
        """Every event, until the market has ended and everything is reported."""
        while True:
            found = self.poll(0.5)
            yield from found
            if not found and self.is_over:
                return

    @property
    def is_over(self) -> bool:
        """Whether the market has ended and the broker has reported everything."""
        return self._receiver.ended and self._entry.end is not None

    def poll(self, seconds: float = 0.0) -> list[ClientEvent]:
        """What has happened, in order of arrival; empty if nothing does for ``seconds``.

        Raises
        ------
        RunError
            If the broker will not have us, or has forgotten what it told.
        StreamBroken
            If the rows cannot be trusted.
        """
        until = clock.monotonic_ns() + int(seconds * 1e9)
        self._found += self._view.take(self._receiver.take())  # rows that came while we joined
        while True:
            self._turn(until)
            self._found += self._view.take(self._receiver.take())
            if self._found or clock.monotonic_ns() >= until:
                found, self._found = self._found, []
                return found

    def _turn(self, until: int) -> None:
        """Say what is due, wait for a word, hear it, answer it."""
        self._speak(clock.monotonic_ns())
        due = min(until, self._receiver.due, self._entry.next_due if self._view.symbols else until)
        wait = max(0, -(-(due - clock.monotonic_ns()) // 1_000_000))
        heard: list[Any] = [socket for socket, _ in self._poller.poll(0 if self._found else wait)]
        for socket in heard:
            self._hear(socket)
        self._silence.mind(clock.monotonic_ns(), heard)
        self._speak(clock.monotonic_ns())

    def _hear(self, socket: Any) -> None:
        for _ in range(BURST):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            now = clock.monotonic_ns()
            try:
                if len(parts) != 1:
                    raise m.BadMessage("FRAMES", f"{len(parts)} frames, but a message is one")
                if socket is self._orders:
                    self._found += self._entry.take(now, parts[0])  # type: ignore[arg-type]
                else:
                    self._receiver.hear(now, m.feed_reply(parts[0]))
            except m.BadMessage as error:
                self._receiver.counters[error.reason] += 1  # dropped: what it was will be missed and come again

    def _speak(self, now: int) -> None:
        for want in self._receiver.wants(now):
            self._send(self._recovery, m.encode(want))
        if not self._view.symbols:
            return  # what an outbox holds needs their numbers, and is to be there before reports come
        entry = self._entry
        entry.pass_time(now, clock.wall_ns())
        if self._outbox is not None:
            self._outbox.keep(entry.unsaved, entry.settled)
        entry.unsaved, entry.settled = [], []
        outgoing, entry.outgoing = entry.outgoing, []
        for frame in outgoing:  # what does not leave now is said again when it is missed
            self._send(self._orders, frame)

    def _join(self) -> None:
        """Until feed and broker know us, and the books are where the market was when we came."""
        progress, since = self._progress(), clock.monotonic_ns()
        while not self._is_joined():
            self._turn(clock.monotonic_ns() + 50_000_000)
            if self._receiver.is_joined and not self._view.symbols:
                assert self._receiver.manifest is not None
                self._view = MarketView(self._receiver.manifest.instruments)
                self._open_outbox()
            if self._view.symbols and not self._history:
                self._view.take(self._receiver.take())
            if progress != self._progress():
                progress, since = self._progress(), clock.monotonic_ns()
            elif clock.monotonic_ns() - since > PATIENCE_S * 1e9:
                said = self._entry.refusal or "is it running, with the same keys?"
                raise RunError(f"no answer {self._whose()} for {PATIENCE_S:.0f} s; {said}")

    def _is_joined(self) -> bool:
        market = self._receiver.market
        if market is None or not self._view.symbols or self._entry.welcome is None:
            return False
        return self._history or self._receiver.next_seq >= market.next_seq

    def _progress(self) -> tuple[int, int, bool]:
        return self._receiver.epoch, self._receiver.next_seq, self._entry.welcome is not None

    def _whose(self) -> str:
        return "from the feed" if not self._is_current() else "from the broker"

    def _is_current(self) -> bool:
        market = self._receiver.market
        return market is not None and self._receiver.is_joined and self._receiver.next_seq >= market.next_seq

    def _open_outbox(self) -> None:
        if self._outbox_path is None:
            return
        self._outbox = ClientOutbox(self._outbox_path)
        for orders, answer in self._outbox.earlier():
            self._entry.restore(orders, self._view.symbols, answer)

    # --- seeing -----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The market's time as far as its rows have come; ns UTC."""
        return self._view.now

    @property
    def symbols(self) -> list[str]:
        """What is traded."""
        return list(self._view.symbols)

    @property
    def panels(self) -> dict[str, Any]:
        """Close-of-day panels by name, complete up to the last ``Close`` told; later days mean nothing yet."""
        return self._receiver.panels

    def instrument(self, symbol: str) -> Instrument:
        """Units, tick, lot and currency."""
        return self._view.instruments[self._view.index(symbol)]

    def quote(self, symbol: str) -> events.Quote:
        """The touch; a side of size 0 is empty."""
        return self._view.quote(symbol)

    def book(self, symbol: str, n: int = 5) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks), each the best n levels as (price, size), best first."""
        return self._view.book(symbol, n)

    def position(self, symbol: str) -> int:
        """What the account holds (negative: short), as far as we have heard."""
        self._view.index(symbol)
        return self._entry.positions.get(symbol, 0)

    def orders(self, symbol: str | None = None) -> list[Sent]:
        """Orders of ours not known to be over, oldest first, those just sent included."""
        return [order for order in self._entry.open_orders() if symbol in (None, order.symbol)]

    @property
    def is_attached(self) -> bool:
        """Whether the broker is there and knows us; while it does not, new orders are refused with ``AWAY``."""
        return self._entry.welcome is not None

    # --- doing ------------------------------------------------------------------------------------------------------

    def buy(self, symbol: str, *, shares: int, limit: int | None = None, **terms: Any) -> Sent:
        """Send an order to buy; terms as in ``trade``."""
        return self.trade(symbol, 1, shares=shares, limit=limit, **terms)

    def sell(self, symbol: str, *, shares: int, limit: int | None = None, **terms: Any) -> Sent:
        """Send an order to sell; terms as in ``trade``."""
        return self.trade(symbol, -1, shares=shares, limit=limit, **terms)

    def trade(
        self,
        symbol: str,
        side: int,
        *,
        shares: int,
        limit: int | None = None,
        stop: int | None = None,
        display: int = 0,
        post_only: bool = False,
        reduce_only: bool = False,
        tif: int = TimeInForce.DAY,
        expire_ts: int = 0,
    ) -> Sent:
        """Send an order; what becomes of it comes as events, and shows in what this returns.

        Parameters
        ----------
        side : int
            +1 buys, -1 sells.
        shares, display : int
            In the instrument's size units; ``display`` 0 shows all.
        limit, stop : int, optional
            In its price units; without both it takes what is displayed and ends.
        tif, expire_ts
            As in ``Desk.trade``.

        Raises
        ------
        StrategyError
            If the symbol is unknown, or a number is none that an order may have.
        """
        i = self._view.index(symbol)
        if limit is None:
            kind = OrderType.MARKET if stop is None else OrderType.STOP
        else:
            kind = OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT
        flags = (OrderFlag.POST_ONLY if post_only else 0) | (OrderFlag.REDUCE_ONLY if reduce_only else 0)
        request = m.Order(
            i, side, int(kind), int(tif), int(flags), limit or 0, shares, stop or 0, display, expire_ts
        )  # fmt: skip
        made = Sent(self._next_cid(), symbol, side, limit or 0, shares)
        self._check(made.cid, request)
        reason = "AWAY" if not self.is_attached else "BUSY" if self._entry.is_full else ""
        if reason:
            made.status, made.reason, made.leaves = "REFUSED", reason, 0
            self._found.append(m.Reject(reason, "not sent: the broker is not there, or too much waits", cid=made.cid))
            return made
        self._entry.ask(made.cid, [request], [made], expire_ts=self._expiry())
        self._speak(clock.monotonic_ns())
        return made

    def cancel(self, order: Sent) -> None:
        """Ask for one of our orders to be cancelled."""
        self._entry.change(self._next_cid(), order, m.Cancel(0))
        self._speak(clock.monotonic_ns())

    def cancel_all(self, symbol: str | None = None) -> None:
        """Ask for all orders of the account to be cancelled."""
        i = -1 if symbol is None else self._view.index(symbol)
        self._entry.ask(self._next_cid(), [m.CancelAll(i)])
        self._speak(clock.monotonic_ns())

    def replace(self, order: Sent, *, limit: int | None = None, shares: int | None = None) -> None:
        """Ask for another limit price and open size; what is not given stays as we know it."""
        price, size = order.price if limit is None else limit, order.leaves if shares is None else shares
        request = m.Replace(0, price, size)
        self._check("", request)
        self._entry.change(self._next_cid(), order, request, expire_ts=self._expiry())
        self._speak(clock.monotonic_ns())

    def _next_cid(self) -> str:
        self._count += 1
        return f"{self._session}.{self._count}"

    def _check(self, cid: str, request: m.Order | m.Replace) -> None:
        """What the broker could not read must not leave: it would be no answer to anything."""
        try:
            m.broker_request(m.encode(m.Orders(cid or "-", [request])))
        except (m.BadMessage, TypeError, OverflowError) as error:
            raise StrategyError(
                f"{request} cannot be sent ({error}); sizes and prices are ints in the instrument's units: "
                "desk.instrument(symbol).price('12.34') makes one"
            ) from None

    def _expiry(self) -> int:
        """Market time until which a request is worth applying; 0, for ever, at a speed that nothing holds."""
        market = self._receiver.market
        if market is None or not market.speed or not self.now:
            return 0
        return self.now + EXPIRY_NS * market.speed // 1_000

    # --- leaving ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave; the broker cancels what works."""
        self._entry.goodbye()
        self._speak(clock.monotonic_ns())
        self._close_sockets()

    def _send(self, socket: Any, frame: bytes) -> None:
        with contextlib.suppress(zmq.Again):  # nobody is there
            socket.send(frame, zmq.NOBLOCK)
        self._silence.asked(socket, clock.monotonic_ns())

    def _close_sockets(self) -> None:
        self._market.close(linger=0)
        self._recovery.close(linger=0)
        self._orders.close(linger=FAREWELL_MS)
        if self._outbox is not None:
            self._outbox.close()
