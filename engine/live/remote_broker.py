"""The broker as a runner sees it: wakes come from elsewhere, rows from the feed, requests go out.

It stands where the simulated broker stands in a replay, so that ``engine.loop`` and ``engine.desk`` are the same. Books
are made of the feed's rows by the same kernels; positions, money and orders are what each wake says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency, Otc, RiskConfig
from engine.broker.otc import Dealer
from engine.broker.probe_models import model_of
from engine.broker.simulated import NEVER, SimulatedBroker
from engine.contracts import Contract, pack
from engine.errors import RunError
from engine.instruments import Instrument
from engine.live import contract_rows
from engine.live.messages import Cancel, CancelAll, Deal, Order, Replace, Request, View, WakeAt, Watermark
from engine.live.shown import digest_of
from engine.orders import OrderType, TimeInForce
from engine.panels import Panels
from engine.rates.contract_values import open_market
from engine.signals import Probe
from engine.tape import Kind

_LIMIT, _DAY = int(OrderType.LIMIT), int(TimeInForce.DAY)
_INSTANT = Latency(feed=0, entry=0, response=0)


class RemoteBroker:
    """One account's side of a broker in another process.

    Parameters
    ----------
    instruments : sequence of Instrument
        Of the market.
    panels : mapping of name to array
        Filled by the feed as days close.
    currencies : sequence of str
        As the broker has them, sorted.
    otc : Otc
        How contracts are valued.
    probes : sequence of Probe
        What the broker measures for the account; the facts of their models are read here.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        currencies: Sequence[str],
        panels: Mapping[str, NDArray[Any]] | None = None,
        otc: Otc | None = None,
        probes: Sequence[Probe] = (),
    ) -> None:
        self.instruments = list(instruments)
        self.symbols = [instrument.symbol for instrument in instruments]
        self.account = 0
        self.clock = 0
        self.world = None
        self.next_timer = NEVER  # the broker rings
        self.cause = (0, -1)
        self.reports = 0
        self.panels = Panels(panels or {}, instruments)
        self.dealer: Dealer | None = None
        if self.panels:
            self.dealer = Dealer(
                self.instruments, self.panels, wants=[(False, False)], config=otc or Otc(), risk=RiskConfig(),
                venue=self, open_market=open_market,
            )  # fmt: skip
        n = len(self.instruments)
        plain = BrokerConfig(latency=_INSTANT, impact=NoImpact())
        self._books = SimulatedBroker(self.instruments, sessions=(), config=plain, wants=((False, False),))
        self._rows: deque[NDArray[np.void]] = deque()  # numbered ones that the books have not seen
        self._seen = 0  # numbered rows in the books
        self._held = 0  # and in ``_rows``
        self._wakes: deque[Watermark] = deque()
        self._requests: list[Request] = []
        self._positions, self._volumes, self._shifts = (np.zeros(n, np.int64) for _ in range(3))
        self.probed = [{probe.symbol: probe for probe in probes}]
        self.models = [{probe.symbol: model.manifest for probe in probes if (model := model_of(probe))}]
        self._signals: dict[int, events.Signal] = {}  # by instrument, the last one told
        self._currencies = list(currencies)
        self._cash = [0] * len(self._currencies)
        self._days = self.panels.markets
        self._orders: dict[int, list[int]] = {}  # number -> [number, instrument, side, price, open size]
        self._told = b""  # the orders as the last wake told them
        self._sent = 0
        self.send_limit = self._send_limit

    # --- the core's side --------------------------------------------------------------------------------------------

    def push(self, wake: Watermark) -> None:
        """A wake, in order; ``next`` hands it over once its rows are here."""
        self._wakes.append(wake)

    def take_requests(self) -> list[Request]:
        """What the strategy has asked for since the last call, in order."""
        requests, self._requests = self._requests, []
        return requests

    @property
    def ahead(self) -> int:
        """Rows that came before their wakes."""
        return self._held

    @property
    def waits(self) -> bool:
        """Whether wakes are held that have not been handed over."""
        return bool(self._wakes)

    def show(self, wake: Watermark) -> None:
        """Bring everything that the desk shows to where a wake is.

        Raises
        ------
        RunError
            If it shows what this market cannot have: that is not the strategy's fault.
        """
        try:
            self._show(wake)
        except (LookupError, ValueError, OverflowError) as error:
            raise RunError(
                f"wake {wake.wake} shows what this market cannot have ({error}); do broker and runner follow one feed?"
            ) from None

    def _show(self, wake: Watermark) -> None:
        if wake.wake > 0 and type(wake.event) is events.Started:
            raise ValueError("a market that begins again")
        self._advance_books(wake.seq)
        self.clock, self.cause, self.reports = wake.ts, wake.cause, wake.reports
        view = wake.view
        _put(self._positions, view.positions)
        _put(self._volumes, view.volumes)
        _put(self._shifts, view.shifts)
        for i, money in _pairs(view.cash):
            self._cash[i] = money
        for signal in (*view.signals, *((wake.event,) if type(wake.event) is events.Signal else ())):
            signal.check()
            self._signals[self.symbols.index(signal.symbol)] = signal
        self._close_days(view)
        if view.orders is not None:
            self._told = view.orders
            table = np.frombuffer(view.orders, np.int64).reshape(-1, 5)
            if ((table[:, 1] < 0) | (table[:, 1] >= len(self.instruments))).any():
                raise ValueError("an order of no instrument")
            self._orders = {row[0]: row for row in table.tolist()}
        if view.contracts is not None and self.dealer is not None:
            contract_rows.apply(self.dealer.books[0], view.contracts)

    def digest(self) -> bytes:
        """As ``Shown.digest`` of the broker after the same wake."""
        return digest_of(self._positions, self._cash, self._told)

    def _close_days(self, view: View) -> None:
        for i, day in _pairs(view.days):
            self.panels.close(self._days[i], day)
            if self.dealer is not None:
                self.dealer.new_day(self.symbols.index(self._days[i]))

    def _advance_books(self, seq: int) -> None:
        books = self._books
        while self._seen < seq:
            rows = self._rows[0]
            if len(rows) > seq - self._seen:
                rows, self._rows[0] = rows[: seq - self._seen], rows[seq - self._seen :]
            else:
                self._rows.popleft()
            self._seen += len(rows)
            self._held -= len(rows)
            books.load(rows)
            while books.next() is not None:
                pass

    # --- the loop's side ----------------------------------------------------------------------------------------------

    def load(self, rows: NDArray[np.void]) -> None:
        """ROW[n] from the feed, CLOCK rows among them."""
        clocks = rows["kind"] == Kind.CLOCK
        rows = rows[~clocks] if clocks.any() else rows
        if len(rows):
            self._rows.append(rows)
            self._held += len(rows)

    def next(self) -> events.AnyEvent | None:
        """The next wake's event, if it and its rows are here."""
        if self.dealer is not None:
            self.dealer.dealing = -1
        if not self._wakes or self._wakes[0].seq > self._seen + self._held:
            return None
        wake = self._wakes.popleft()
        self.show(wake)
        event = wake.event
        if type(event) is events.Close and self.dealer is not None and event.symbol in self.panels.markets:
            self.dealer.dealing = 0
        return event  # type: ignore[return-value]

    def finish(self) -> None:
        """No more rows."""

    def close(self) -> None:
        """Nothing is kept here."""

    # --- the desk's side ----------------------------------------------------------------------------------------------

    def quote(self, instrument: int) -> tuple[int, int, int, int]:
        """As ``SimulatedBroker.quote``."""
        bid, ask, bid_size, ask_size = self._books.quote(instrument)
        shift = int(self._shifts[instrument])
        return bid + shift * (bid_size > 0), ask + shift * (ask_size > 0), bid_size, ask_size

    def levels(self, instrument: int, side: int, n: int) -> list[tuple[int, int]]:
        """As ``SimulatedBroker.levels``."""
        shift = int(self._shifts[instrument])
        return [(price + shift, size) for price, size in self._books.levels(instrument, side, n)]

    def volume(self, instrument: int) -> int:
        """As ``SimulatedBroker.volume``."""
        return int(self._volumes[instrument])

    def signal(self, account: int, instrument: int) -> events.Signal | None:
        """As ``SimulatedBroker.signal``."""
        return self._signals.get(instrument)

    def position(self, account: int, instrument: int) -> int:
        """As ``SimulatedBroker.position``."""
        return int(self._positions[instrument])

    def cash(self, account: int, currency: str) -> int:
        """As ``SimulatedBroker.cash``."""
        return self._cash[self._currencies.index(currency)] if currency in self._currencies else 0

    def open_orders(self, account: int, instrument: int = -1) -> list[tuple[int, int, int, int, int]]:
        """As ``SimulatedBroker.open_orders``: those of the last wake, and those sent since."""
        return [tuple(row) for row in self._orders.values() if instrument in (-1, row[1])]  # type: ignore[misc]

    def _send_limit(self, world: object, account: int, i: int, side: int, flags: int, price: int, size: int) -> int:
        return self.send(account, i, side, _LIMIT, _DAY, int(flags), price, size, 0, 0, 0)

    def send(
        self,
        account: int,
        instrument: int,
        side: int,
        type: int,
        tif: int,
        flags: int,
        price: int,
        size: int,
        stop: int,
        display: int,
        expire_ts: int,
    ) -> int:
        """As ``SimulatedBroker.send``."""
        terms = (instrument, int(side), int(type), int(tif), int(flags), price, size, stop, display, expire_ts)
        if any(not -(2**63) <= value < 2**63 for value in terms[5:]):
            raise OverflowError("int too big to convert")
        self._sent += 1
        self._orders[self._sent] = [self._sent, instrument, int(side), price, size]
        self._requests.append(Order(*terms))
        return self._sent

    def deal(self, account: int, terms: Contract, side: int, size: int) -> int:
        """As ``SimulatedBroker.deal``."""
        self._sent += 1
        self._requests.append(Deal(tuple(int(part) for part in pack(terms)), side, size))
        return self._sent

    def cancel(self, account: int, order_no: int) -> None:
        """As ``SimulatedBroker.cancel``."""
        self._requests.append(Cancel(order_no))

    def replace(self, account: int, order_no: int, price: int, size: int) -> None:
        """As ``SimulatedBroker.replace``."""
        self._requests.append(Replace(order_no, price, size))

    def cancel_all(self, account: int, instrument: int = -1) -> None:
        """As ``SimulatedBroker.cancel_all``."""
        self._requests.append(CancelAll(instrument))

    def wake_at(self, account: int, ts: int) -> None:
        """As ``SimulatedBroker.wake_at``."""
        self._requests.append(WakeAt(ts))

    def is_killed(self, account: int) -> bool:
        """The broker knows; a dealer that only values contracts does not ask."""
        return False

    def kill(self, account: int) -> None:
        """Only the broker can."""
        raise RunError("a runner cannot latch the broker's kill switch; use `tickwright kill`")


def _put(table: NDArray[np.int64], changes: tuple[int, ...]) -> None:
    for i, value in _pairs(changes):
        table[i] = value


def _pairs(changes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(index, value), one after the other."""
    for i, value in zip(changes[::2], changes[1::2], strict=True):
        if i < 0:
            raise IndexError(f"place {i}")
        yield i, value
