"""The ledger: what the fills of a journal did to cash and positions, exactly.

Everything is an integer: sizes in size units, money in micro-units of the instrument's currency. For each account and
currency, to the last unit and after every record::

    cash + worth of positions  =  start + realised + unrealised - fees + adjustments

A fill moves cash by ``-side * value(price, size)`` and ``-fee``. A position carries its cost (signed: what was paid for
it, negative for a short). A fill that closes takes out its share of the cost, rounded half-even once; the rest stays.
A fill that turns a position closes it and opens the remainder at the same price. A contract that ends by settlement is
closed for the money that it settles for, whatever that is; coupons and funding are adjustments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.models import Account
from engine.contracts import Packed, contract_unit
from engine.instruments import Instrument, half_even
from engine.journal import Adjustment, RecordFlag, RecordKind

OTC = int(RecordFlag.OTC)


class Entry(NamedTuple):
    """One journal record with Python integers; the fields of ``engine.journal.RECORD``."""

    ts: int
    order_no: int
    price: int
    size: int
    extra: int
    cause: int
    kind: int
    side: int
    type: int
    tif: int
    account: int
    instrument: int
    source: int
    reason: int
    flags: int
    number: int


def entries(records: NDArray[np.void], *kinds: RecordKind) -> Iterable[Entry]:
    """The records of some kinds (all, where none is named), in order."""
    if kinds:
        records = records[np.isin(records["kind"], kinds)]
    return map(Entry._make, records.tolist())


class Position(msgspec.Struct):
    """One account's holding of one instrument. Sizes in size units, everything else in micro-units."""

    size: int = 0  # signed
    cost: int = 0  # what was paid for what is held; negative for a short
    realised: int = 0
    fees: int = 0
    adjustments: int = 0  # dividends, borrow, fractions of a split, coupons, funding
    cash: int = 0  # that came in since the start, all of the above included
    mark: int | None = None  # price of the last MARK
    volume: int = 0  # bought and sold
    fills: int = 0

    def fill(self, instrument: Instrument, side: int, price: int, size: int, fee: int) -> None:
        """Buy (``side`` +1) or sell ``size`` > 0 at ``price``."""
        value = instrument.value(price, side * size)
        closing = min(size, abs(self.size)) if side * self.size < 0 else 0
        closing_value = value if closing == size else instrument.value(price, side * closing)
        if closing:
            cost_out = half_even(self.cost * closing, abs(self.size))
            self.realised -= closing_value + cost_out
            self.cost -= cost_out
        self.cost += value - closing_value
        self.size += side * size
        self.fees += fee
        self.cash -= value + fee
        self.volume += size
        self.fills += 1

    def adjust(self, money: int, units: int) -> None:
        """Money and units that came without a trade."""
        self.adjustments += money
        self.cash += money
        self.size += units
        if self.size == 0:  # a reverse split paid out all there was
            self.realised -= self.cost
            self.cost = 0

    def settle(self, money: int, units: int) -> None:
        """Units that come or go for this much money: what goes is realised, what comes is paid for."""
        closing = min(abs(units), abs(self.size)) if units * self.size < 0 else 0
        proceeds = half_even(money * closing, abs(units)) if units else money
        if closing:
            cost_out = half_even(self.cost * closing, abs(self.size))
            self.realised -= cost_out
            self.cost -= cost_out
        self.realised += proceeds
        self.cost -= money - proceeds
        self.size += units
        self.cash += money

    def worth(self, instrument: Instrument) -> int:
        """At the mark; at cost where nothing has been marked."""
        return self.cost if self.mark is None else instrument.value(self.mark, self.size)

    def unrealised(self, instrument: Instrument) -> int:
        """Worth above cost."""
        return self.worth(instrument) - self.cost

    def pnl(self, instrument: Instrument) -> int:
        """Realised + unrealised - fees + adjustments."""
        return self.realised + self.unrealised(instrument) - self.fees + self.adjustments


class Listing(NamedTuple):
    """A contract as the journal lists it."""

    market: int  # the instrument whose closes value it
    terms: Packed


class Ledger:
    """Positions of all accounts, brought forward record by record.

    Parameters
    ----------
    instruments : sequence of Instrument
        As the tape numbers them.
    accounts : sequence of Account
        As the journal numbers them.
    """

    def __init__(self, instruments: Sequence[Instrument], accounts: Sequence[Account]) -> None:
        self.instruments = list(instruments)
        self.accounts = list(accounts)
        self.positions: dict[tuple[int, int], Position] = {}
        self.contracts: dict[tuple[int, int], Position] = {}  # by account and number of the contract
        self.listings: dict[tuple[int, int], Listing] = {}

    def position(self, account: int, instrument: int) -> Position:
        """Of an account in an instrument; flat where nothing has happened."""
        return self.positions.setdefault((account, instrument), Position())

    def apply(self, entry: Entry) -> None:
        """Bring the ledger forward by one record; those that move neither money nor units change nothing."""
        if entry.flags & OTC:
            self._apply_contract(entry)
            return
        match entry.kind:
            case RecordKind.FILL:
                position = self.position(entry.account, entry.instrument)
                position.fill(self.instruments[entry.instrument], entry.side, entry.price, entry.size, entry.extra)
            case RecordKind.ADJUST:
                self.position(entry.account, entry.instrument).adjust(entry.extra, entry.size)
            case RecordKind.MARK:
                self.position(entry.account, entry.instrument).mark = entry.price

    def _apply_contract(self, entry: Entry) -> None:
        key = (entry.account, entry.number)
        if entry.kind == RecordKind.CONTRACT:
            terms = Packed(entry.type, entry.side, entry.tif, entry.price, entry.extra)
            self.listings[key] = Listing(entry.instrument, terms)
            self.contracts[key] = Position()
            return
        if entry.kind not in (RecordKind.FILL, RecordKind.ADJUST, RecordKind.MARK):
            return
        position = self.contracts[key]
        if entry.kind == RecordKind.FILL:
            unit = contract_unit(self.currency_of(*key))
            position.fill(unit, entry.side, entry.price, entry.size, entry.extra)
        elif entry.kind == RecordKind.MARK:
            position.mark = entry.price
        elif entry.type == Adjustment.SETTLEMENT:
            position.settle(entry.extra, entry.size)
        else:
            position.adjust(entry.extra, entry.size)

    def currency_of(self, account: int, contract: int) -> str:
        """In which a contract pays."""
        return self.instruments[self.listings[account, contract].market].currency

    def currencies(self, account: int) -> list[str]:
        """Those an account started with or has traded in."""
        traded = [self.instruments[instrument].currency for a, instrument in self.positions if a == account]
        traded += [self.currency_of(*key) for key in self.contracts if key[0] == account]
        return sorted({*self.accounts[account].cash, *traded})

    def held(self, account: int, currency: str) -> list[tuple[Instrument, Position]]:
        """An account's positions in one currency: by instrument, then contracts in the order listed."""
        held = [
            (self.instruments[instrument], position)
            for (a, instrument), position in sorted(self.positions.items())
            if a == account and self.instruments[instrument].currency == currency
        ]
        unit = contract_unit(currency)
        return held + [
            (unit, position)
            for key, position in self.contracts.items()
            if key[0] == account and self.currency_of(*key) == currency
        ]

    def cash(self, account: int, currency: str) -> int:
        """Start plus all that came in."""
        start = self.accounts[account].cash.get(currency, 0)
        return start + sum(position.cash for _, position in self.held(account, currency))

    def equity(self, account: int, currency: str) -> int:
        """Cash plus positions at their marks."""
        return self.cash(account, currency) + sum(p.worth(i) for i, p in self.held(account, currency))

    def pnl(self, account: int, currency: str) -> int:
        """What the equity is above the start."""
        return sum(position.pnl(instrument) for instrument, position in self.held(account, currency))


def fold(records: NDArray[np.void], instruments: Sequence[Instrument], accounts: Sequence[Account]) -> Ledger:
    """The ledger after RECORD[n]."""
    ledger = Ledger(instruments, accounts)
    for entry in entries(records, RecordKind.FILL, RecordKind.ADJUST, RecordKind.MARK, RecordKind.CONTRACT):
        ledger.apply(entry)
    return ledger
