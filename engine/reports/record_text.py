"""One journal record as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contracts import PRICE_UNITS, Packed, describe, unpack
from engine.instruments import Instrument
from engine.journal import Adjustment, RecordFlag, RecordKind
from engine.orders import Op, OrderFlag, OrderType, Reason, TimeInForce
from engine.portfolio import Entry
from engine.reports.formats import moment, money


def record_text(entry: Entry, instruments: Sequence[Instrument], accounts: Sequence[str]) -> str:
    """``FILL 2026-01-05 14:30:01.2 main order 3: buy 100 XYZ at 50.01, fee 0.300000, maker (row 17 of source 0)``."""
    kind = _name(RecordKind, entry.kind)
    account = accounts[entry.account] if entry.account < len(accounts) else f"account {entry.account}"
    order = f" order {entry.order_no}" if entry.order_no else ""
    where = f" (row {entry.cause} of source {entry.source})" if entry.cause >= 0 else " (before the first row)"
    return f"{kind} {moment(entry.ts)} {account}{order}: {_what(entry, instruments)}{where}"


def _what(entry: Entry, instruments: Sequence[Instrument]) -> str:
    known = entry.instrument < len(instruments)
    symbol = instruments[entry.instrument].symbol if known else "unknown instrument"
    price = f"{instruments[entry.instrument].quoted(entry.price):.12g}" if known else str(entry.price)
    adjustment = entry.number
    if entry.flags & RecordFlag.OTC:
        symbol, adjustment = f"contract {entry.number} of {symbol}", entry.type
        price = f"{entry.price / PRICE_UNITS:.12g}"
    side = {1: "buy ", -1: "sell "}.get(entry.side, "")
    reason = _name(Reason, entry.reason)
    match entry.kind:
        case RecordKind.ORDER:
            at = "" if entry.type == OrderType.MARKET else f" at {price}"
            flags = "".join(f" {flag.name}" for flag in OrderFlag if entry.flags & flag)
            terms = f"{_name(OrderType, entry.type)} {_name(TimeInForce, entry.tif)}{flags}"
            until = f" until {moment(entry.extra)}" if entry.extra else ""
            return f"{side}{entry.size:,} {symbol}{at} {terms}{until}"
        case RecordKind.TERMS:
            return f"{symbol} stop price or offset {price}, displays {entry.size:,}"
        case RecordKind.ACCEPT | RecordKind.REPLACE:
            return f"{side}{entry.size:,} {symbol} open at {price}"
        case RecordKind.FILL:
            if entry.flags & RecordFlag.OTC:
                return f"{side}{entry.size:,} of {symbol} at {price}"
            role = "maker" if entry.flags & RecordFlag.MAKER else "taker"
            return f"{side}{entry.size:,} {symbol} at {price}, fee {money(entry.extra, 6)}, {role}, no. {entry.number}"
        case RecordKind.REJECT:
            return f"{symbol} {_name(Op, entry.type)} refused: {reason}"
        case RecordKind.CANCEL | RecordKind.EXPIRE:
            return f"{symbol} {entry.size:,} unfilled: {reason}"
        case RecordKind.MARK:
            carried = ", carried" if entry.flags & RecordFlag.CARRIED else ""
            return f"{symbol} position {entry.size:+,} at {price}, cash {money(entry.extra, 6)}{carried}"
        case RecordKind.ADJUST:
            return f"{symbol} {_name(Adjustment, adjustment)}: money {money(entry.extra, 6)}, units {entry.size:+,}"
        case RecordKind.CONTRACT:
            terms = unpack(Packed(entry.type, entry.side, entry.tif, entry.price, entry.extra))
            return f"{symbol}: {describe(terms)}"
    return f"{symbol} {entry!r}"


def _name(kind: type[RecordKind | Reason | Op | OrderType | TimeInForce | Adjustment], value: int) -> str:
    try:
        return kind(value).name
    except ValueError:
        return f"{kind.__name__} {value}"
