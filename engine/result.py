"""What a run came to: a struct that is printed, saved as ``results.json`` and handed to a notebook.

Money is an integer of micro-units of the currency, sizes are in size units, prices as quoted, times ns UTC.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.contracts import ContractClass, contract_unit, describe, unpack
from engine.instruments import Instrument
from engine.journal import RecordFlag, RecordKind
from engine.orders import Reason
from engine.parent import Parent
from engine.portfolio import Ledger, Position, entries
from engine.tape import Kind

OTC, CARRIED = int(RecordFlag.OTC), int(RecordFlag.CARRIED)


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the orders sent; each reason counted."""

    sent: int
    accepted: int
    fills: int
    maker_fills: int
    rejected: dict[str, int]  # orders, cancels and replaces that were refused
    cancelled: dict[str, int]
    expired: dict[str, int]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One account's position in one instrument at the end, or in one contract, or in the closed ones of a class."""

    account: str
    symbol: str
    currency: str
    size: int
    mark: float | None  # None: never marked, carried at cost
    worth: int
    pnl: int
    realised: int
    unrealised: int
    fees: int  # of the venue
    adjustments: int
    volume: int  # bought and sold
    fills: int
    impact_charged: int = 0  # beside the prices paid: the displacement by each fill itself (rulebook section 12)
    contracts: int = 0  # how many over-the-counter contracts this sums up; 0 for an instrument


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One account's money in one currency; equity = start + pnl, exactly."""

    account: str
    currency: str
    start: int
    cash: int
    equity: int
    pnl: int


class ParentCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a parent order cost so far. Positive slippage is money lost; None where there is nothing to compare."""

    account: str
    name: str
    symbol: str
    side: int
    size: int
    start: int
    end: int
    done: int
    average_price: float | None
    arrival_price: float | None  # mid of the first quote at or after the start
    interval_vwap: float | None  # the market's trades from start to end, ours excluded
    slippage_arrival_bp: float | None
    slippage_vwap_bp: float | None
    fees: int  # of the venue
    children: list[int]  # order ids
    impact_charged: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``partial`` says why it did not reach the end of its feed; "" if it did."""

    name: str
    fingerprint: str
    seed: int
    partial: str
    rows: int  # of the market, that were handed over
    ts_first: int
    ts_last: int  # of what was handed over
    synthetic: bool
    records: int
    orders: Orders
    balances: list[Balance]
    holdings: list[Holding]
    parents: list[ParentCost]
    verdict: dict[str, int]  # of the data rules, by reason code
    carried: dict[str, int] = {}  # what the panels did not say of contracts: records that stand in, by kind
    declined: dict[str, int] = {}  # what strategies chose not to do, by their reason
    folder: str = ""  # the run folder; "" where none was asked for

    @property
    def pnl(self) -> dict[str, int]:
        """Of all accounts, by currency, in micro-units."""
        total: Counter[str] = Counter()
        for balance in self.balances:
            total[balance.currency] += balance.pnl
        return dict(total)

    @property
    def fees(self) -> dict[str, int]:
        """Of all accounts, by currency, in micro-units; negative is a rebate."""
        total: Counter[str] = Counter()
        for holding in self.holdings:
            total[holding.currency] += holding.fees
        return dict(total)


def count_orders(records: NDArray[np.void]) -> Orders:
    """What became of the orders in RECORD[n]."""
    kinds = records["kind"]
    fills = kinds == RecordKind.FILL
    return Orders(
        sent=int((kinds == RecordKind.ORDER).sum()),
        accepted=int((kinds == RecordKind.ACCEPT).sum()),
        fills=int(fills.sum()),
        maker_fills=int((records["flags"][fills] & 1).sum()),
        rejected=_reasons(records[kinds == RecordKind.REJECT]),
        cancelled=_reasons(records[kinds == RecordKind.CANCEL]),
        expired=_reasons(records[kinds == RecordKind.EXPIRE]),
    )


def balances(ledger: Ledger) -> list[Balance]:
    """Of every account in every currency."""
    return [
        Balance(
            account=account.name,
            currency=currency,
            start=account.cash.get(currency, 0),
            cash=ledger.cash(a, currency),
            equity=ledger.equity(a, currency),
            pnl=ledger.pnl(a, currency),
        )
        for a, account in enumerate(ledger.accounts)
        for currency in ledger.currencies(a)
    ]


def holdings(ledger: Ledger, charged: Mapping[tuple[int, int], int] = MappingProxyType({})) -> list[Holding]:
    """Of every account in every instrument that it traded, in every open contract, and in closed ones by class.

    ``charged`` is what impact charged, by account and instrument.
    """
    traded = [
        _holding(
            ledger.accounts[account].name,
            ledger.instruments[instrument],
            position,
            charged.get((account, instrument), 0),
        )
        for (account, instrument), position in sorted(ledger.positions.items())
        if position.fills or position.size
    ]
    return traded + _open_contracts(ledger) + _closed_contracts(ledger)


def count_carried(records: NDArray[np.void]) -> dict[str, int]:
    """Marks that were repeated, and cash flows that could not be computed, in RECORD[n]."""
    carried = records[(records["flags"] & (OTC | CARRIED)) == OTC | CARRIED]
    kinds, counts = np.unique(carried["kind"], return_counts=True)
    return {RecordKind(int(kind)).name: int(count) for kind, count in zip(kinds, counts, strict=True)}


def parent_cost(
    parent: Parent,
    account: int,
    account_name: str,
    instrument: Instrument,
    records: NDArray[np.void],
    interval_vwap: float | None,
    charged: Mapping[tuple[int, int], int] = MappingProxyType({}),
) -> ParentCost:
    """What a parent cost against its arrival price and against the market's VWAP (price units) while it lived.

    ``charged`` is what impact charged, by account and order number.
    """
    order = parent.order
    children = set(parent.children)
    fees = sum(
        entry.extra
        for entry in entries(records, RecordKind.FILL)
        if entry.account == account and entry.order_no in children
    )
    impact_charged = sum(charged.get((account, number), 0) for number in children)
    paid = parent.average_price
    return ParentCost(
        account=account_name,
        name=order.name,
        symbol=order.symbol,
        side=order.side,
        size=order.size,
        start=order.start,
        end=order.end,
        done=parent.done,
        average_price=_quoted(instrument, paid),
        arrival_price=_quoted(instrument, parent.arrival_price),
        interval_vwap=_quoted(instrument, interval_vwap),
        slippage_arrival_bp=_slippage_bp(order.side, paid, parent.arrival_price),
        slippage_vwap_bp=_slippage_bp(order.side, paid, interval_vwap),
        fees=fees - impact_charged,
        children=parent.children,
        impact_charged=impact_charged,
    )


def market_vwap(pieces: Iterable[NDArray[np.void]], instrument: int, start: int, end: int) -> float | None:
    """Average price, in price units and weighted by size, of all trades with ``start <= ts_event < end``.

    ``pieces`` are ROW[n] in order of time; None if nothing traded.
    """
    notional = size = 0
    for rows in pieces:
        part = rows_between(rows, start, end)
        kinds = part["kind"]
        traded = part[((kinds == Kind.TRADE) | (kinds == Kind.EXECUTE)) & (part["instrument"] == instrument)]
        size += int(traded["size"].sum())
        # object integers: price times size summed over a day may pass 2^63
        notional += int(np.dot(traded["price"].astype(object), traded["size"].astype(object))) if len(traded) else 0
    return notional / size if size else None


def rows_between(rows: NDArray[np.void], start: int, end: int) -> NDArray[np.void]:
    """The rows with ``start <= ts_event < end``, by bisection: of a memory-mapped tape only these pages are read."""
    first = bisect_left(rows, start, key=_ts_event)
    return rows[first : bisect_left(rows, end, lo=first, key=_ts_event)]


def _ts_event(row: np.void) -> int:
    return int(row["ts_event"])


def _reasons(records: NDArray[np.void]) -> dict[str, int]:
    values, counts = np.unique(records["reason"], return_counts=True)
    return {Reason(int(value)).name: int(count) for value, count in zip(values, counts, strict=True)}


def _holding(account: str, instrument: Instrument, position: Position, charged: int) -> Holding:
    return Holding(
        account=account,
        symbol=instrument.symbol,
        currency=instrument.currency,
        size=position.size,
        mark=_quoted(instrument, position.mark),
        worth=position.worth(instrument),
        pnl=position.pnl(instrument),
        realised=position.realised,
        unrealised=position.unrealised(instrument),
        fees=position.fees - charged,
        adjustments=position.adjustments,
        volume=position.volume,
        fills=position.fills,
        impact_charged=charged,
    )


def _open_contracts(ledger: Ledger) -> list[Holding]:
    held = []
    for (account, number), position in sorted(ledger.contracts.items()):
        if position.size:
            unit = contract_unit(ledger.currency_of(account, number))
            one = _holding(ledger.accounts[account].name, unit, position, 0)
            terms = describe(unpack(ledger.listings[account, number].terms))
            held.append(msgspec.structs.replace(one, symbol=terms, contracts=1))
    return held


def _closed_contracts(ledger: Ledger) -> list[Holding]:
    """Thousands of contracts as one line a class, currency and account."""
    classes: dict[tuple[int, str, int], list[Position]] = {}
    for (account, number), position in ledger.contracts.items():
        if not position.size and (position.fills or position.cash):
            kind = ledger.listings[account, number].terms.type
            classes.setdefault((account, ledger.currency_of(account, number), kind), []).append(position)
    return [
        msgspec.structs.replace(
            _holding(ledger.accounts[account].name, contract_unit(currency), _summed(positions), 0),
            symbol=f"{ContractClass(kind).name.lower().replace('_', ' ')}s",
            contracts=len(positions),
        )
        for (account, currency, kind), positions in sorted(classes.items())
    ]


def _summed(positions: list[Position]) -> Position:
    total = Position()
    for position in positions:
        total.realised += position.realised
        total.fees += position.fees
        total.adjustments += position.adjustments
        total.cash += position.cash
        total.volume += position.volume
        total.fills += position.fills
    return total


def _quoted(instrument: Instrument, price: float | None) -> float | None:
    return None if price is None else instrument.quoted(price)


def _slippage_bp(side: int, paid: float | None, benchmark: float | None) -> float | None:
    if paid is None or benchmark is None or benchmark <= 0:
        return None
    return side * (paid - benchmark) / benchmark * 10_000
