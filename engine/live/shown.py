"""What an account's desk shows, wake after wake, as the differences that a remote desk needs.

Rows reach a runner from the feed; what only the broker knows (positions and money as heard, open orders, session
volumes, displacement, which closes are known, contracts) comes with each wake, in so far as it has changed.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.broker.simulated import SimulatedBroker
from engine.events import Signal
from engine.live import contract_rows
from engine.live.messages import View


class Shown:
    """Remembers what an account was shown last.

    Parameters
    ----------
    broker : SimulatedBroker
    account : int
    """

    def __init__(self, broker: SimulatedBroker, account: int) -> None:
        n = len(broker.instruments)
        self._broker, self._account = broker, account
        self._positions, self._volumes, self._shifts = Column(n), Column(n), Column(n)
        self._cash = [0] * len(broker.currencies)
        self._days = dict.fromkeys(broker.panels.markets, -1)
        self._orders = b""
        self._stirred = False  # the runner has sent something since, and shows its orders with that
        self._contracts = contract_rows.Seen()
        self._signals: dict[int, Signal | None] = {
            i: None for i, symbol in enumerate(broker.symbols) if symbol in broker.probed[account]
        }

    def changes(self) -> View:
        """What has changed since the last call (since nothing at all, on the first)."""
        broker = self._broker
        ledger, books = broker.ledger[self._account], broker.seen_books
        return View(
            positions=self._positions.moved(ledger["seen_position"]),
            cash=self._moved_cash(),
            volumes=self._volumes.moved(books["volume"]),
            shifts=self._shifts.moved(books["shift"]) if broker.displaces else (),
            days=self._moved_days(),
            orders=self._moved_orders(),
            contracts=None if broker.dealer is None else self._contracts.changes(broker.dealer.books[self._account]),
            signals=self._new_signals() if self._signals else (),
        )

    def stir(self) -> None:
        """The account has asked for something: what its runner shows of orders is told anew at the next wake."""
        self._stirred = True

    def digest(self) -> bytes:
        """BLAKE2b-128 of positions, cash and open orders as last shown."""
        return digest_of(self._positions.told, self._cash, self._orders)

    def _new_signals(self) -> tuple[Signal, ...]:
        found: list[Signal] = []
        for i, told in self._signals.items():
            signal = self._broker.signal(self._account, i)
            if signal is not None and signal != told:
                self._signals[i] = signal
                found.append(signal)
        return tuple(found)

    def _moved_cash(self) -> tuple[int, ...]:
        found: list[int] = []
        for i, currency in enumerate(self._broker.currencies):
            money = self._broker.cash(self._account, currency)
            if money != self._cash[i]:
                self._cash[i] = money
                found += (i, money)
        return tuple(found)

    def _moved_days(self) -> tuple[int, ...]:
        if not self._days:
            return ()
        found: list[int] = []
        for i, (market, day) in enumerate(self._broker.panels.days.items()):
            if self._days[market] != day:
                self._days[market] = day
                found += (i, day)
        return tuple(found)

    def _moved_orders(self) -> bytes | None:
        orders = self._broker.open_orders(self._account)
        table = np.array(orders, np.int64).tobytes() if orders else b""
        if table == self._orders and not self._stirred:
            return None
        self._orders, self._stirred = table, False
        return table


def digest_of(positions: NDArray[np.int64], cash: list[int], orders: bytes) -> bytes:
    """What both sides of a wake agree on."""
    digest = hashlib.blake2b(positions.tobytes(), digest_size=16)
    digest.update(np.array(cash, np.int64).tobytes())
    digest.update(orders)
    return digest.digest()


class Column:
    """The values of a column as they were told last."""

    def __init__(self, n: int) -> None:
        self.told = np.zeros(n, np.int64)
        self._bytes = self.told.tobytes()

    def moved(self, now: NDArray[Any]) -> tuple[int, ...]:
        """(index, value, ...) where it has changed, and remember it."""
        data = now.tobytes()
        if data == self._bytes:  # nearly always, and much quicker than looking at each
            return ()
        self._bytes = data
        changed = np.flatnonzero(now != self.told)
        values = now[changed]
        self.told[changed] = values
        return tuple(np.column_stack([changed, values]).ravel().tolist())
