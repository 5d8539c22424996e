"""The dealer: over-the-counter contracts at each close of their market (docs/simulation.md, section 13).

For each account that hears of a close, in this order:

1. cash flows since the last close: coupons, funding, redemption, and options that expire today (``_pay``, ``_settle``);
2. deals that waited for this close fill (``fill = "next_close"``);
3. marks of all open contracts from the day's panels, at once (``_mark``);
4. the strategy is woken and may deal; then its deals pass the gates and fill, or begin to wait (``finish``).

What a contract is worth comes from a ``CloseMarket``, made once per close from the day's panels and only if somebody
holds or deals something. Where the panels do not say, a contract is carried at its last mark, and the journal says why.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.contract_book import ContractBook
from engine.broker.models import Otc, OtcLimits, RiskConfig
from engine.contracts import (
    PRICE_UNITS,
    TERMS,
    Contract,
    ContractClass,
    Packed,
    as_row,
    money_of,
    pack,
    price_units,
    swap_of,
)
from engine.instruments import MICRO, Instrument
from engine.journal import RECORD, Adjustment, RecordFlag, RecordKind
from engine.orders import Reason, TimeInForce
from engine.panels import Panels
from engine.rates.contract_values import Flows, Values

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
BP = 1e-4
MOST = 2**40  # notional that a deal may have, whatever the limits
OTC, CARRIED = int(RecordFlag.OTC), int(RecordFlag.CARRIED)
AT_CLOSE = int(TimeInForce.AT_CLOSE)
SWAPTION, FORWARD_SWAP, BOND = (int(kind) for kind in ContractClass)
FIELDS = {name: i for i, name in enumerate(RECORD.names or ())}


class CloseMarket(Protocol):
    """A market at the close of one day; ``engine.rates.contract_values`` makes them from panels."""

    @property
    def date(self) -> int:
        """Days since 1970."""
        ...

    def lists(self, terms: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each of TERMS[n] can be dealt from now on: it begins today or later, or is a bond that lives."""
        ...

    def values(self, terms: NDArray[np.void], state: Floats) -> Values:
        """Of TERMS[n]; ``state`` is what ``fixings`` gave at earlier closes."""
        ...

    def flows(self, terms: NDArray[np.void], state: Floats, marks: Floats, since: int) -> Flows:
        """Due after the close of ``since``, up to this one; ``marks`` are the values then."""
        ...

    def fixings(self, terms: NDArray[np.void], state: Floats) -> Floats:
        """``state`` with what this close fixes for later ones: a swap's floating coupon, a bond's repo rate."""
        ...


class Moment(NamedTuple):
    """When something happens, and after which row."""

    ts: int  # of the close
    clock: int  # the strategy's
    source: int
    cause: int


class Deal(NamedTuple):
    """A deal on its way."""

    order_no: int
    packed: Packed
    side: int
    size: int
    moment: Moment


class OpenContract(NamedTuple):
    """A contract that is held."""

    number: int
    packed: Packed
    market: int
    size: int  # signed notional
    mark: int | None  # 1e-14 of notional


class Venue(Protocol):
    """What the dealer needs of the broker that it works for."""

    def is_killed(self, account: int) -> bool:
        """Whether the kill switch is latched."""
        ...

    def kill(self, account: int) -> None:
        """Latch it."""
        ...


class Dealer:
    """Makes prices at closes, and keeps each account's contracts.

    Parameters
    ----------
    instruments : sequence of Instrument
    panels : Panels
    accounts : int
        How many.
    wants : sequence of (bool, bool)
        Whether each account listens to its fills, and to other events of its orders.
    config, risk : Otc, RiskConfig
    venue : Venue
    open_market : callable
        Makes the ``CloseMarket`` of a day from its panels by plain name and the name of its conventions.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        panels: Panels,
        *,
        wants: Sequence[tuple[bool, bool]],
        config: Otc,
        risk: RiskConfig,
        venue: Venue,
        open_market: Callable[[dict[str, NDArray[Any]], str], CloseMarket],
    ) -> None:
        self.instruments = instruments
        self.panels = panels
        self.books = [ContractBook() for _ in wants]
        self.told: deque[tuple[int, events.AnyEvent]] = deque()  # (account, what it is to hear), in order
        self.dealing = -1  # the account that may deal now
        self._wants = wants
        self._config, self._risk, self._venue = config, risk, venue
        self._open_market = open_market
        self._markets: dict[int, CloseMarket] = {}  # of instruments whose day has been looked at
        self._restricted = {i for i, one in enumerate(instruments) if one.symbol in risk.restricted}
        self._records: list[NDArray[np.void]] = []
        self._rows: list[tuple[int, ...]] = []
        self._deals: list[Deal] = []
        self._resting: list[list[tuple[int, Deal]]] = [[] for _ in wants]  # (market, deal)
        self._since: dict[tuple[int, int], int] = {}  # date of the last close that was dealt with
        self._base: dict[tuple[int, int], int] = {}  # equity after the last close
        self._account = self._instrument = 0
        self._moment = Moment(0, 0, 0, -1)
        self._at_close = (0, 0, self._moment)  # whose close it is, and which

    # --- at a close -------------------------------------------------------------------------------------------------

    def close(self, account: int, instrument: int, moment: Moment) -> None:
        """An account hears of a close: cash flows, deals that waited, marks."""
        self._at_close = self._account, self._instrument, self._moment = account, instrument, moment
        if len(self.books[account].open_in(instrument)):
            self._pay()
            self._settle()
        self._fill_resting()
        if len(held := self.books[account].open_in(instrument)):
            self._mark(held)

    def new_day(self, instrument: int) -> None:
        """A market has closed: what was known of the day before is forgotten."""
        self._markets.pop(instrument, None)

    def finish(self) -> None:
        """The account that may deal is done: what it dealt is filled, refused, or waits."""
        self.dealing = -1
        self._account, self._instrument, self._moment = self._at_close
        deals, self._deals = self._deals, []
        if deals:
            self._fill_or_refuse(deals)
        if self._risk.daily_loss or self._risk.drawdown:
            equity = self.books[self._account].equity(self._instrument)
            self._base[self._account, self._instrument] = equity

    def _fill_or_refuse(self, deals: list[Deal]) -> None:
        values = self._value([deal.packed for deal in deals], self._account, self._instrument)
        waits = self._config.fill == "next_close"
        traded = []
        for i, deal in enumerate(deals):
            place = self._order(deal)
            reason = self._refusal(deal, place, values, i)
            if reason != Reason.NONE:
                self._refuse(deal, place, reason)
                continue
            self._accept(deal, place)
            if waits:
                self._resting[self._account].append((self._instrument, deal))
            else:
                self._fill(deal, place, values, i)
                traded.append(place)
        self._after_fills(traded)

    def deal(self, account: int, terms: Contract, side: int, size: int, order_no: int, moment: Moment) -> None:
        """Take a deal of the account that may deal now."""
        assert account == self.dealing
        self._deals.append(Deal(order_no, pack(terms), side, size, moment))

    def end(self, moment: Moment) -> None:
        """No more closes: what waits expires."""
        self._moment = moment
        for account in range(len(self.books)):
            self._drop(account, lambda deal: True, RecordKind.EXPIRE, Reason.RUN_END)

    def cancel(
        self,
        account: int,
        order_no: int | None,
        moment: Moment,
        *,
        market: int = -1,
        reason: Reason = Reason.REQUESTED,
    ) -> bool:
        """Cancel a deal that waits, or (None) all of an account, or of a market; whether there was one."""
        before, self._moment = self._moment, moment
        dropped = self._drop(account, lambda deal: order_no in (None, deal.order_no), RecordKind.CANCEL, reason, market)
        self._moment = before
        return dropped

    def take(self) -> NDArray[np.void]:
        """RECORD[n] since the last call."""
        self._gather()
        records, self._records = self._records, []
        return np.concatenate(records) if records else np.zeros(0, RECORD)

    # --- what is held -----------------------------------------------------------------------------------------------

    def cash(self, account: int, currency: str) -> int:
        """Money that contracts in a currency brought in."""
        cash = self.books[account].cash
        return sum(money for market, money in cash.items() if self.instruments[market].currency == currency)

    def contracts(self, account: int) -> list[OpenContract]:
        """Those that an account holds, in the order listed."""
        book = self.books[account]
        return [
            OpenContract(place + 1, book.packed[place], market, size, mark if marked else None)
            for place, (size, _, mark, marked, _, _, market) in enumerate(book.positions[: len(book)].tolist())
            if size
        ]

    def size(self, account: int, terms: Contract) -> int:
        """Signed notional held in a contract, in all markets together."""
        book, packed = self.books[account], pack(terms)
        places = [book.find(market, packed) for market in range(len(self.instruments))]
        return sum(int(book.positions[place]["size"]) for place in places if place is not None)

    def values(self, account: int, instrument: int, contracts: Sequence[Contract]) -> Floats:
        """Mids at the market's last close, per unit of notional; NaN where the panels do not say."""
        return self._value([pack(terms) for terms in contracts], account, instrument).pv

    @property
    def waits(self) -> bool:
        """Whether any deal waits for a close."""
        return any(self._resting)

    def waiting(self, account: int) -> list[tuple[int, int, int, int, int]]:
        """Deals that wait for a close, as ``open_orders`` lists orders."""
        return [(deal.order_no, market, deal.side, 0, deal.size) for market, deal in self._resting[account]]

    # --- cash flows and marks ---------------------------------------------------------------------------------------

    def _pay(self) -> None:
        """Coupons, funding and redemption since the last close; then what this close fixes."""
        book, market = self.books[self._account], self._market(self._instrument)
        held = book.open_in(self._instrument)
        terms, positions = book.terms[held], book.positions[held]
        marks = np.where(positions["is_marked"], positions["mark"] / PRICE_UNITS, np.nan)
        since = self._since[self._account, self._instrument]
        flows = market.flows(terms, positions["state"], marks, since)
        for amounts, what in ((flows.coupon, Adjustment.COUPON), (flows.funding, Adjustment.FUNDING)):
            for i in np.flatnonzero(amounts != 0):  # also where it is NaN
                self._adjust(int(held[i]), what, float(amounts[i]))
        for i in np.flatnonzero(~np.isnan(flows.redeemed)):
            place = int(held[i])
            units = -int(book.positions[place]["size"])
            self._exchange(place, price_units(float(flows.redeemed[i])), units)
        book.positions["state"][held] = market.fixings(terms, flows.state)
        self._since[self._account, self._instrument] = market.date

    def _settle(self) -> None:
        """Options that expire: in the money, they become their swap or pay; otherwise they are gone."""
        book, market = self.books[self._account], self._market(self._instrument)
        held = book.open_in(self._instrument)
        due = held[(book.terms["type"][held] == SWAPTION) & (book.terms["expiry"][held] <= market.date)]
        if not len(due):
            return
        swaps = [swap_of(book.packed[place]) for place in due]
        terms = book.terms[due]
        is_cash = terms["is_cash"]
        underlying = _rows(swaps)
        underlying[is_cash] = terms[is_cash]
        prices = market.values(underlying, np.full(len(due), np.nan)).pv
        for place, swap, cash, price in zip(due.tolist(), swaps, is_cash.tolist(), prices.tolist(), strict=True):
            if not math.isnan(price):
                self._exercise(place, None if cash else swap, price_units(price))

    def _exercise(self, place: int, swap: Packed | None, price: int) -> None:
        """``price`` is the swap's, or with no swap what the option pays in cash."""
        book = self.books[self._account]
        size, kind = int(book.positions[place]["size"]), book.packed[place].side
        worth = price if swap is None else max(kind * price, 0)
        self._exchange(place, worth, -size)
        if swap is not None and worth:
            underlying = book.find(self._instrument, swap)
            if underlying is None:
                underlying = self._list(swap)
            self._exchange(underlying, price, kind * size)
            state = book.positions["state"][underlying : underlying + 1]
            state[:] = self._market(self._instrument).fixings(_rows([swap]), state)

    def _exchange(self, place: int, price: int, units: int) -> None:
        """Units come in at a price, or go out, without a trade."""
        money = -money_of(price, units)
        self.books[self._account].move(place, units, money)
        self._about(
            RecordKind.ADJUST, self._moment.ts, place, price=price, size=units, extra=money, type=Adjustment.SETTLEMENT
        )

    def _adjust(self, place: int, what: Adjustment, amount: float) -> None:
        if math.isnan(amount):
            reason = Reason.NO_MARKET
            self._about(RecordKind.ADJUST, self._moment.ts, place, type=what, reason=reason, flags=OTC | CARRIED)
            return
        book, price = self.books[self._account], price_units(amount)
        money = money_of(price, int(book.positions[place]["size"]))
        book.move(place, 0, money)
        self._about(RecordKind.ADJUST, self._moment.ts, place, price=price, extra=money, type=what)

    def _mark(self, held: Places) -> None:
        """Value contracts at this close, all at once."""
        book, market = self.books[self._account], self._market(self._instrument)
        values = market.values(book.terms[held], book.positions["state"][held])
        known = np.isfinite(values.pv)
        now = held[known]
        positions = book.positions
        positions["mark"][now] = np.rint(values.pv[known] * PRICE_UNITS).astype(np.int64)
        positions["is_marked"][now] = True
        positions["dv01"][now] = values.dv01[known]
        known = known[positions["is_marked"][held]]
        held = held[positions["is_marked"][held]]  # what never had a mark cannot be carried at one
        records = np.zeros(len(held), RECORD)
        records["ts"], records["cause"] = self._moment.ts, self._moment.cause
        records["source"], records["account"] = self._moment.source, self._account
        records["instrument"], records["kind"] = self._instrument, RecordKind.MARK
        records["number"] = held + 1
        records["price"], records["size"], records["extra"] = (
            positions[name][held] for name in ("mark", "size", "cash")
        )
        records["flags"] = np.where(known, OTC, OTC | CARRIED)
        records["reason"] = np.where(known, Reason.NONE, Reason.STALE)
        self._gather()
        self._records.append(records)

    # --- deals ------------------------------------------------------------------------------------------------------

    def _fill_resting(self) -> None:
        """Deals that waited for this close."""
        account, market = self._account, self._instrument
        due = [deal for at, deal in self._resting[account] if at == market]
        if not due:
            return
        self._resting[account] = [entry for entry in self._resting[account] if entry[0] != market]
        book, traded = self.books[account], []
        values = self._value([deal.packed for deal in due], account, market)
        lists = self._market(market).lists(_rows([deal.packed for deal in due]))
        for i, deal in enumerate(due):
            place = book.find(market, deal.packed)
            assert place is not None, "a deal that waits was listed"
            is_live = lists[i] or book.positions[place]["size"] != 0
            reason = (
                Reason.KILLED
                if self._venue.is_killed(account)
                else Reason.TIME_OVER
                if not is_live
                else Reason.STALE
                if math.isnan(values.pv[i])
                else Reason.NONE
            )
            if reason != Reason.NONE:
                self._end_order(deal, place, RecordKind.CANCEL, reason)
                continue
            self._fill(deal, place, values, i)
            traded.append(place)
        self._after_fills(traded, marks=False)

    def _order(self, deal: Deal) -> int:
        """Journal a deal as it was sent; the place of its contract, which is listed now if it is new."""
        book, sent = self.books[self._account], deal.moment
        place = book.find(self._instrument, deal.packed)
        is_new = place is None
        at = len(book) if place is None else place
        terms = {"order_no": deal.order_no, "size": deal.size, "side": deal.side, "tif": AT_CLOSE}
        self._about(RecordKind.ORDER, sent.clock, at, **terms)
        return self._list(deal.packed) if is_new else at

    def _list(self, packed: Packed) -> int:
        place = self.books[self._account].list(self._instrument, packed)
        self._about(RecordKind.CONTRACT, self._moment.ts, place, **packed._asdict())
        return place

    def _refusal(self, deal: Deal, place: int, values: Values, i: int) -> Reason:
        """The gates of a deal, in order."""
        book, account = self.books[self._account], self._account
        position = int(book.positions[place]["size"])
        kind = deal.packed.type
        if not 1 <= deal.size <= MOST:
            return Reason.BAD_SIZE
        if position == 0 and not self._market(self._instrument).lists(_rows([deal.packed]))[0]:
            return Reason.BAD_INSTRUMENT if kind == BOND else Reason.BAD_TERMS
        if self._venue.is_killed(account):
            return Reason.KILLED
        if self._instrument in self._restricted:
            return Reason.RESTRICTED
        if math.isnan(values.pv[i]):
            return Reason.STALE
        limits = self._limits(kind)
        if 0 < limits.max_notional < deal.size * MICRO:
            return Reason.MAX_NOTIONAL
        grows = abs(position + deal.side * deal.size) - abs(position)
        if grows > 0:
            reason = self._exposure(kind, limits, grows, float(values.dv01[i]))
            if reason != Reason.NONE:
                return reason
        return self._loss()

    def _exposure(self, kind: int, limits: OtcLimits, grows: int, dv01: float) -> Reason:
        """What would be open in the class, in all markets of the account together."""
        if not limits.max_open_notional and not limits.max_open_dv01:
            return Reason.NONE
        book = self.books[self._account]
        of_class = book.positions[: len(book)][book.terms["type"][: len(book)] == kind]
        sizes = np.abs(of_class["size"])
        if 0 < limits.max_open_notional < (int(sizes.sum()) + grows) * MICRO:
            return Reason.MAX_POSITION
        if limits.max_open_dv01:
            held = sizes > 0
            risk = math.fsum(sizes[held] * of_class["dv01"][held]) + grows * dv01
            if not risk * MICRO <= limits.max_open_dv01:
                return Reason.MAX_DV01
        return Reason.NONE

    def _loss(self) -> Reason:
        """Gate 13 on contracts: against the equity after the last close."""
        limits = [limit for limit in (self._risk.daily_loss, self._risk.drawdown) if limit]
        base = self._base.get((self._account, self._instrument))
        if not limits or base is None:
            return Reason.NONE
        lost = base - self.books[self._account].equity(self._instrument)
        if lost < min(limits):
            return Reason.NONE
        self._venue.kill(self._account)
        is_daily = 0 < self._risk.daily_loss <= lost
        return Reason.DAILY_LOSS if is_daily else Reason.DRAWDOWN

    def _fill(self, deal: Deal, place: int, values: Values, i: int) -> None:
        spread = price_units(self._half_spread(deal.packed.type, float(values.dv01[i]), float(values.vega[i])))
        price = price_units(float(values.pv[i])) + deal.side * spread
        units = deal.side * deal.size
        self.books[self._account].move(place, units, -money_of(price, units))
        self.books[self._account].positions["dv01"][place] = values.dv01[i]  # for the limits of the close's next deals
        self._since[self._account, self._instrument] = self._market(self._instrument).date
        terms = {"order_no": deal.order_no, "price": price, "size": deal.size, "side": deal.side}
        self._about(RecordKind.FILL, self._moment.ts, place, **terms)
        symbol = self.instruments[self._instrument].symbol
        self._tell(0, events.Filled(self._moment.ts, deal.order_no, symbol, deal.side, price, deal.size, 0, False, 0))

    def _after_fills(self, traded: list[int], *, marks: bool = True) -> None:
        """What was dealt is fixed and marked at the close at which it was dealt."""
        book = self.books[self._account]
        places = np.array(sorted(set(traded)), np.int64)
        places = places[book.positions["size"][places] != 0]
        if len(places):
            state = book.positions["state"][places]
            book.positions["state"][places] = self._market(self._instrument).fixings(book.terms[places], state)
            if marks:
                self._mark(places)

    def _accept(self, deal: Deal, place: int) -> None:
        terms = {"order_no": deal.order_no, "size": deal.size, "side": deal.side}
        self._about(RecordKind.ACCEPT, self._moment.ts, place, **terms)
        self._tell(1, events.Accepted(self._moment.ts, deal.order_no, self.instruments[self._instrument].symbol))

    def _refuse(self, deal: Deal, place: int, reason: Reason) -> None:
        self._about(RecordKind.REJECT, self._moment.ts, place, order_no=deal.order_no, size=deal.size, reason=reason)
        symbol = self.instruments[self._instrument].symbol
        self._tell(1, events.Rejected(self._moment.ts, deal.order_no, symbol, reason.name))

    def _end_order(self, deal: Deal, place: int, kind: RecordKind, reason: Reason) -> None:
        self._about(kind, self._moment.ts, place, order_no=deal.order_no, size=deal.size, reason=reason)
        event = events.Cancelled if kind == RecordKind.CANCEL else events.Expired
        symbol = self.instruments[self._instrument].symbol
        self._tell(1, event(self._moment.ts, deal.order_no, symbol, deal.size, reason.name))

    def _drop(
        self, account: int, which: Callable[[Deal], bool], kind: RecordKind, reason: Reason, market: int = -1
    ) -> bool:
        """End the deals of an account that wait, some of them."""
        kept, before = [], (self._account, self._instrument)
        for entry in self._resting[account]:
            at, deal = entry
            if not which(deal) or market not in (-1, at):
                kept.append(entry)
                continue
            self._account, self._instrument = account, at
            place = self.books[account].find(at, deal.packed)
            assert place is not None, "a deal that waits was listed"
            self._end_order(deal, place, kind, reason)
        self._account, self._instrument = before
        dropped = len(kept) < len(self._resting[account])
        self._resting[account] = kept
        return dropped

    # --- the day's market -------------------------------------------------------------------------------------------

    def _market(self, instrument: int) -> CloseMarket:
        market = self._markets.get(instrument)
        if market is None:
            known = self.instruments[instrument]
            values = self.panels.of_market(known.symbol, self._config.max_age_days)
            conventions = self._config.conventions.get(known.currency, "")
            market = self._markets[instrument] = self._open_market(values, conventions)
        return market

    def _value(self, packed: Sequence[Packed], account: int, instrument: int) -> Values:
        """Contracts at a market's last close, those held with what was fixed before."""
        book = self.books[account]
        places = [book.find(instrument, one) for one in packed]
        state = [math.nan if place is None else float(book.positions[place]["state"]) for place in places]
        return self._market(instrument).values(_rows(packed), np.array(state))

    def _half_spread(self, kind: int, dv01: float, vega: float) -> float:
        c = self._config
        if kind == SWAPTION:
            return c.swaption_vol_bp * BP * vega + c.swaption_bp * dv01
        return (c.swap_bp if kind == FORWARD_SWAP else c.bond_bp) * dv01

    def _limits(self, kind: int) -> OtcLimits:
        otc = self._risk.otc
        return otc.swaption if kind == SWAPTION else otc.forward_swap if kind == FORWARD_SWAP else otc.bond

    # --- records and reports ----------------------------------------------------------------------------------------

    def _about(self, kind: RecordKind, ts: int, place: int, *, flags: int = OTC, **fields: int) -> None:
        """A record about a contract."""
        moment = self._moment
        row = [0] * len(FIELDS)
        shared = {"ts": ts, "cause": moment.cause, "source": moment.source, "kind": kind, "flags": flags}
        named = {"account": self._account, "instrument": self._instrument, "number": place + 1}
        for name, value in (shared | named | fields).items():
            row[FIELDS[name]] = int(value)
        self._rows.append(tuple(row))

    def _gather(self) -> None:
        if self._rows:
            self._records.append(np.array(self._rows, RECORD))
            self._rows = []

    def _tell(self, which: int, event: events.AnyEvent) -> None:
        if self._wants[self._account][which]:
            self.told.append((self._account, event))


def _rows(packed: Sequence[Packed]) -> NDArray[np.void]:
    return np.array([as_row(one) for one in packed], TERMS)
