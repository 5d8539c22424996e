"""The venue of the reference broker: books, orders, fills, money (rulebook sections 3 to 8 and 10).

It is told what happens, one thing at a time and in order, by ``reference.py``, which owns the time line:
a row, an arrival, the end of an order's or a session's life, a corporate action. What it decides goes out
as records (``write``) and reports (``report``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from math import floor, inf
from typing import Any

from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.instruments import MICRO, Instrument, half_even
from engine.journal import Adjustment, RecordKind
from engine.orders import Op, OrderType, Reason, TimeInForce
from engine.tape import Auction, CorporateAction, Flag, Kind, State
from engine.testing import philox
from engine.testing.reference_book import ASK, BID, Book, Change, Row
from engine.testing.reference_footprint import Footprint
from engine.testing.reference_gates import SECOND, refusal
from engine.testing.reference_ledger import Ledger
from engine.testing.reference_orders import Order, Report, Request

DAY_NS = 86_400 * SECOND
NOT_MATCHING = (State.HALT, State.QUOTING, State.OPENING_AUCTION, State.AUCTION, State.CLOSING_AUCTION)


PRICES_KEPT = {"mid_sum": 2, "last_trade": 1, "last_bar": 1}  # by Market, and how many prices each is the sum of


class Market:
    """What the venue knows of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self.book = Book(instrument.levels)
        self.state = State.OPEN
        self.needs_quote = False  # since a halt or auction no valid two-sided quote has been seen
        self.was_tradable = False  # at the last look
        self.band: dict[int, int | None] = {BID: None, ASK: None}  # the most a buy may pay, the least a sell may ask
        self.mid_sum: int | None = None  # of the last valid mid
        self.last_trade: int | None = None
        self.last_bar: int | None = None
        self.volume = 0  # this session
        self.taken: dict[tuple[int, int], int] = defaultdict(int)  # by (side, price): what we took of the level
        self.added: dict[int, int] = {}  # market order id: rows seen when it came
        self.group_trades: list[int] = []  # prices that may trigger stops
        self.displacement = 0  # of every price of the market here, from the recorded one
        self.charged = 0  # as computed from the impact; the displacement, unless impact is only a cost

    def move(self, by: int) -> None:
        """The whole book stands ``by`` higher, with all that is remembered of the market's prices."""
        self.displacement += by
        self.book.move(by)
        self.taken = defaultdict(int, {(side, price + by): size for (side, price), size in self.taken.items()})
        self.band = {side: None if price is None else price + by for side, price in self.band.items()}
        self.group_trades = [price + by for price in self.group_trades]
        for name, prices in PRICES_KEPT.items():
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value + prices * by)

    def offers(self, side: int) -> list[tuple[int, int]]:
        """(price, size) that a level still offers us, best first."""
        return [(price, size - self.taken[side, price]) for price, size in self.book.real(side)]


class Venue:
    """Matches our orders against the recorded market. ``now`` is set by the time line before each call."""

    def __init__(
        self,
        instruments: list[Instrument],
        sessions: list[tuple[int, int]],
        config: BrokerConfig,
        risk: RiskConfig,
        seed: int,
        accounts: list[Account],
        write: Callable[..., None],
        report: Callable[[Report], None],
    ) -> None:
        self.instruments, self.sessions, self.config, self.risk, self.seed = instruments, sessions, config, risk, seed
        self.write, self.report = write, report
        self.markets = [Market(instrument) for instrument in instruments]
        self.footprints = Footprint.all_of(config.impact, instruments)
        self.ledgers = [Ledger(account.cash, instruments) for account in accounts]
        self.killed = [False] * len(accounts)
        self.orders: dict[tuple[int, int], Order] = {}  # all that ever arrived
        self.now = 0
        self.rows_seen = 0
        self.last_heard = 0
        self.places = 0
        self.touched: list[int] = []  # instruments of the current group, in order of first touch
        self.queue_draws: dict[tuple[int, int], int] = defaultdict(int)
        # gates
        self.alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        self.tokens: dict[int, tuple[int, int]] = dict.fromkeys(range(len(accounts)), (risk.burst * SECOND, 0))
        self.fill_times: dict[int, list[int]] = defaultdict(list)
        self.own_volume: dict[tuple[int, int], int] = defaultdict(int)
        self.equity_base: dict[tuple[int, str], int] = {}
        self.equity_peak: dict[tuple[int, str], int] = {}
        self._set_equity_base()

    # ---- what others ask

    def in_session(self, ts: int) -> bool:
        return not self.sessions or any(start <= ts < end for start, end in self.sessions)

    def tradable(self, index: int) -> bool:
        market = self.markets[index]
        is_open = market.state == State.OPEN and not market.needs_quote
        return is_open and self.in_session(self.now) and not market.book.crossed

    def open_orders(self) -> list[Order]:
        """By account, then order number."""
        return sorted((o for o in self.orders.values() if o.is_open), key=lambda o: (o.account, o.number))

    def resting(self, index: int, side: int) -> list[Order]:
        """Orders in the queue, best priced first, then older place first."""
        mine = [o for o in self.open_orders() if o.instrument == index and o.side == side and o.working is not None]
        return sorted(mine, key=lambda o: (-side * (o.working or 0), o.place))

    def our_price(self, order: Order) -> int:
        """The price of a resting order, within the band."""
        assert order.working is not None
        return self._within_band(order, order.working)

    def mark(self, index: int) -> int | None:
        market = self.markets[index]
        if market.mid_sum is not None:
            return half_even(market.mid_sum, 2)
        return market.last_trade if market.last_trade is not None else market.last_bar

    def marks(self) -> list[int | None]:
        return [self.mark(index) for index in range(len(self.instruments))]

    # ---- rows

    def apply(self, row: Row) -> dict[int, int]:
        """One row of the market; everything due before it has happened.

        Returns the displacement after the group, of each instrument that it touched; nothing before its LAST row.
        """
        self.rows_seen += 1
        self.last_heard = self.now
        index, market = row.instrument, self.markets[row.instrument]
        row = row.displaced(market.displacement)
        if index not in self.touched:
            self.touched.append(index)
        if row.kind in (Kind.TRADE, Kind.EXECUTE):
            self._market_trades(index, row)
        elif row.kind == Kind.STATUS:
            self._set_state(market, row)
        elif row.kind == Kind.BAR:
            market.last_bar = row.size2  # open, high, low, close, volume: order_id, price, price2, size2, size
        elif row.kind == Kind.ADD:
            market.added[row.order_id] = self.rows_seen
        for change in market.book.apply(row):
            self._level_changes(index, row, change)
        if row.kind == Kind.DELETE:
            market.added.pop(row.order_id, None)
        if row.flags & Flag.LAST:
            touched, self.touched = self.touched, []
            for index in touched:
                self._after_group(index)
            return {index: self.markets[index].displacement for index in touched}
        return {}

    def _set_state(self, market: Market, row: Row) -> None:
        if row.level == State.BAND:
            market.band = {BID: row.price2 or None, ASK: row.price or None}
            return
        market.state = State(row.level)
        market.needs_quote = market.needs_quote or market.state in NOT_MATCHING

    def _market_trades(self, index: int, row: Row) -> None:
        market = self.markets[index]
        market.volume += row.size
        if self.footprints:
            self.footprints[index].market_volume += row.size
        market.last_trade = row.price
        if row.flags & Flag.AUCTION:
            if row.kind == Kind.TRADE:
                self._auction_prints(index, row)
            return
        hidden, outside = row.flags & Flag.HIDDEN, row.flags & Flag.OUTSIDE
        if not hidden and not outside:
            market.group_trades.append(row.price)
        if outside and not self.config.fills.outside:
            return
        aggressor = -row.side if row.kind == Kind.EXECUTE else row.side or self._guess_aggressor(market, row.price)
        if not aggressor:
            return
        if self.tradable(index):
            self._trade_fills(index, aggressor, row.price, row.size, bool(hidden))
        elif not hidden:
            for order in self.resting(index, -aggressor):
                order.traded += row.size if self.our_price(order) == row.price else 0

    def _guess_aggressor(self, market: Market, price: int) -> int:
        (bid, bid_size), (ask, ask_size) = market.book.best(BID), market.book.best(ASK)
        at_ask, at_bid = bool(ask_size) and price >= ask, bool(bid_size) and price <= bid
        return at_ask - at_bid

    def _trade_fills(self, index: int, aggressor: int, price: int, size: int, hidden: bool) -> None:
        """Who of ours was before the market's part of this trade (section 5)."""
        left, before_us = size, 0
        for order in self.resting(index, -aggressor):
            better = aggressor * (price - self.our_price(order))
            if better > 0:
                left -= self._fill_place(order, left)
            elif better == 0 and not hidden:
                volume = max(0, left - order.ahead - before_us)
                order.ahead = max(0, order.ahead - left)
                order.traded += size
                before_us += self._fill_place(order, int(volume))

    def _fill_place(self, order: Order, most: int) -> int:
        """Fill what its place in the queue may, as maker at our price; an emptied iceberg shows its next part."""
        size = min(order.shown, most)
        if size > 0:
            order.shown -= size
            self._fill(order, self.our_price(order), size, maker=True)
            if order.is_open and not order.shown:
                self._join(order)
        return size

    def _level_changes(self, index: int, row: Row, change: Change) -> None:
        market, key = self.markets[index], (change.side, change.price)
        shrunk = change.old - change.new
        if shrunk > 0:
            market.taken[key] = max(0, market.taken[key] - shrunk)
        for order in self.resting(index, change.side):
            if self.our_price(order) == change.price:
                traded, order.traded = order.traded, 0
                if shrunk > 0 and change.queue and change.in_view:
                    self._queue_shrinks(order, row, change, shrunk, max(0, shrunk - traded))

    def _queue_shrinks(self, order: Order, row: Row, change: Change, shrunk: int, cancels: int) -> None:
        model = self.config.queue.model
        market = self.markets[order.instrument]
        if model == "fifo" and self.instruments[order.instrument].book == "L3":
            came = market.added.get(row.order_id, inf)
            if row.kind in (Kind.REDUCE, Kind.DELETE) and came <= order.rows_before:
                order.ahead = max(0, order.ahead - shrunk)
        elif model == "probabilistic" and cancels and 0 < order.ahead < inf:
            n = self.queue_draws[order.account, order.number]
            self.queue_draws[order.account, order.number] += 1
            bits = philox.draw(self.seed, philox.QUEUE, order.account, order.number, n)
            share = _share_ahead(order.ahead, max(0, change.old - order.ahead), self.config.queue.exponent)
            order.ahead -= floor(cancels * share + philox.uniform(bits))
        order.ahead = min(order.ahead, change.new)

    # ---- after the LAST row of a group

    def _after_group(self, index: int) -> None:
        market = self.markets[index]
        mid_sum = market.book.mid_sum
        if mid_sum is not None:
            market.mid_sum = mid_sum
            market.needs_quote = market.needs_quote and market.state != State.OPEN
        self._look_at_footprint(index)
        for side in (BID, ASK):
            self._clamp_queue(index, side)
        tradable = self.tradable(index)
        if tradable and not market.was_tradable:
            both = self.resting(index, BID) + self.resting(index, ASK)
            for order in sorted(both, key=lambda o: o.place):
                self._take_while_resting(order)
        market.was_tradable = tradable
        if tradable:
            for side in (BID, ASK):
                for order in self.resting(index, side):
                    self._cross(order)
            self._trigger_stops(index)
        market.group_trades = []
        for order in self.open_orders():
            if order.instrument == index and order.is_peg:
                self._price_peg(order)

    def _look_at_footprint(self, index: int) -> None:
        """After a group: how far our trades now displace the market, if anybody traded since the last look."""
        if not self.footprints or not self.footprints[index].has_news():
            return
        instrument, twice = self.instruments[index], self._recorded_mid(index)
        ticks = self.footprints[index].look(twice, instrument.tick)
        if ticks is None or twice is None:
            return
        if not instrument.allows_negative_price:
            ticks = max(ticks, min(0, -((twice - 2 * instrument.tick) // (2 * instrument.tick))))
        self._displace(index, ticks * instrument.tick)

    def _displace(self, index: int, to: int) -> None:
        """The book moves rigidly under our resting orders, which keep their prices (section 12)."""
        market = self.markets[index]
        market.charged = to
        by = to - market.displacement
        if not by or self.footprints[index].is_cost:
            return
        ours = self.resting(index, BID) + self.resting(index, ASK)
        met_before = {order for order in ours if self._is_met(order)}
        market.move(by)
        for order in ours:
            displayed = self._displayed_at(index, order.side, self.our_price(order))
            order.ahead = inf if displayed is None else max(order.ahead, displayed)
            order.traded = 0
            if order not in met_before and self._is_met(order):
                order.held = market.book.best(-order.side)[0] - market.displacement

    def _is_met(self, order: Order) -> bool:
        """The other side's best is at or through the price of a resting order."""
        best, size = self.markets[order.instrument].book.best(-order.side)
        return size > 0 and order.side * (self.our_price(order) - best) >= 0

    def _still_holds(self, order: Order) -> bool:
        """Only the shift brought the other side's best to it: not a market that has come nearer since."""
        market = self.markets[order.instrument]
        recorded = market.book.best(-order.side)[0] - market.displacement
        if order.held is not None and (not self._is_met(order) or order.side * (order.held - recorded) > 0):
            order.held = None
        return order.held is not None

    def _clamp_queue(self, index: int, side: int) -> None:
        for order in self.resting(index, side):
            shown = self._displayed_at(index, side, self.our_price(order))
            if self.markets[index].book.real(side) and shown is not None:
                order.ahead = min(order.ahead, shown)

    def _displayed_at(self, index: int, side: int, price: int) -> int | None:
        """Size displayed at a price; None where that is beyond what the book observes."""
        book = self.markets[index].book
        real = book.real(side)
        if book.levels and real and side * (price - real[-1][0]) < 0:
            return None
        return dict(real).get(price, 0)

    def _cross(self, order: Order) -> None:
        """The other side's displayed levels came to our price: they fill us there."""
        if self._still_holds(order):
            return
        market, side, price = self.markets[order.instrument], -order.side, self.our_price(order)
        reach = [(p, offer) for p, offer in market.offers(side) if order.side * (price - p) >= 0]
        size = min(order.shown, sum(offer for _, offer in reach))
        left = size
        for level, offer in reach:
            used = min(left, offer)
            market.taken[side, level] += used
            left -= used
        self._fill_place(order, size)

    def _trigger_stops(self, index: int) -> None:
        stops = [o for o in self.open_orders() if o.instrument == index and o.waits_for_stop]
        for order in [o for o in stops if self._is_triggered(o)]:
            order.triggered = True
            self._work(order)

    def _is_triggered(self, order: Order) -> bool:
        market = self.markets[order.instrument]
        if self.config.fills.stop_trigger == "quote":
            price, size = market.book.best(-order.side)
            return size > 0 and order.side * (price - order.stop) >= 0
        return any(order.side * (price - order.stop) >= 0 for price in market.group_trades)

    # ---- auctions

    def _auction_prints(self, index: int, row: Row) -> None:
        kind, state = row.level, self.markets[index].state
        if kind == Auction.UNKNOWN:
            by_state = {State.OPENING_AUCTION: Auction.OPENING, State.CLOSING_AUCTION: Auction.CLOSING}
            kind = by_state.get(state, Auction.INTRADAY)
        mine = {Auction.OPENING: TimeInForce.AT_OPEN, Auction.CLOSING: TimeInForce.AT_CLOSE}.get(Auction(kind))
        left = row.size
        for order in self.open_orders():
            if order.instrument != index or order.tif not in (TimeInForce.AUCTION, mine):
                continue
            allowed = not order.has_limit or order.side * (order.price - row.price) >= 0
            size = min(order.open, left) if allowed else 0
            if size:
                left -= size
                self._fill(order, row.price, size, maker=False)
            if order.is_open and order.tif == mine:
                self.expire(order, Reason.NO_AUCTION)

    # ---- arrivals

    def arrive(self, request: Request) -> None:
        if request.op == Op.NEW:
            assert request.order is not None
            self._new(request.order, request)
            return
        order = self.orders.get((request.account, request.number))
        if order is None or not order.is_open:
            self._reject(request, Reason.UNKNOWN_ORDER, request.instrument)
        elif request.op == Op.CANCEL:
            self.cancel(order, Reason.REQUESTED)
        else:
            self._replace(order, request)

    def write_order(self, order: Order) -> None:
        """ORDER, and TERMS where there are any."""
        common: dict[str, Any] = {
            "ts": order.sent, "account": order.account, "order_no": order.number,
            "instrument": order.instrument & 0xFFFF, "cause": order.cause[0], "source": order.cause[1],
        }  # fmt: skip
        self.write(
            RecordKind.ORDER, price=order.price, size=order.size, extra=order.expire_ts, side=order.side,
            type=order.type, tif=order.tif, flags=order.flags, **common,
        )  # fmt: skip
        if order.stop or order.display:
            self.write(RecordKind.TERMS, price=order.stop, size=order.display, **common)

    def _new(self, order: Order, request: Request) -> None:
        self.orders[order.account, order.number] = order
        self.write_order(order)
        reason = refusal(self, order)
        if not reason and order.post_only and not order.is_peg and self._is_marketable(order, order.price):
            reason = Reason.WOULD_TAKE
        if reason:
            self._reject(request, reason, order.instrument)
            return
        order.open, order.is_open = order.size, True
        self._tell(RecordKind.ACCEPT, order, price=order.price, size=order.open)
        if not order.is_auction and not order.waits_for_stop:
            self._work(order)

    def end_run(self, flying: list[Order]) -> None:
        """Expire what is open or on its way, then mark every account."""
        for order in sorted(self.open_orders() + flying, key=lambda o: (o.account, o.number)):
            if not order.is_open:
                self.orders[order.account, order.number] = order
                self.write_order(order)
                order.open = order.size
            self.expire(order, Reason.RUN_END)
        self.write_marks()

    def refuse(self, request: Request, reason: Reason) -> None:
        """Journal a request that came after the end, and tell nobody: an answer could be answered, without end."""
        if request.order:
            self.write_order(request.order)
        self._write_reject(request, reason, request.instrument, request.sent)

    def _reject(self, request: Request, reason: Reason, instrument: int) -> None:
        self._write_reject(request, reason, instrument, self.now)
        self.report(
            Report(
                self.now, request.account, RecordKind.REJECT, request.number, instrument, op=request.op, reason=reason
            )
        )

    def _write_reject(self, request: Request, reason: Reason, instrument: int, ts: int) -> None:
        self.write(
            RecordKind.REJECT, ts=ts, account=request.account, order_no=request.number, type=request.op,
            instrument=instrument & 0xFFFF, reason=reason,
        )  # fmt: skip

    def _replace(self, order: Order, request: Request) -> None:
        new = replace(order, price=request.price, size=request.size)
        reason = refusal(self, new, order)
        keeps_place = request.price == order.price and request.size <= order.open
        may_take = order.working is not None and not order.is_peg and not keeps_place
        if not reason and may_take and order.post_only and self._is_marketable(order, request.price):
            reason = Reason.WOULD_TAKE
        if reason:
            self._reject(request, reason, order.instrument)
            return
        order.price, order.open = request.price, request.size
        order.shown = min(order.shown, order.open)
        self._tell(RecordKind.REPLACE, order, price=order.price, size=order.open)
        if order.is_peg and not keeps_place:
            order.working = None
            self._price_peg(order)
        elif may_take:
            order.working = None
            self._work(order)

    def _is_marketable(self, order: Order, price: int) -> bool:
        best, size = self.markets[order.instrument].book.best(-order.side)
        return size > 0 and order.side * (price - best) >= 0

    # ---- what an order does

    def _work(self, order: Order) -> None:
        """Take what there is, then rest or end (section 4); a peg finds its price."""
        if order.is_peg:
            self._price_peg(order)
            return
        limit = order.price if order.has_limit else None
        if order.tif == TimeInForce.FOK and sum(offer for _, offer in self._reach(order, limit)) < order.open:
            self.expire(order, Reason.FOK_SHORT)
            return
        self._take(order, limit)
        if not order.is_open:
            return
        if order.is_market:
            self.expire(order, Reason.NO_LIQUIDITY)
        elif order.tif == TimeInForce.IOC:
            self.expire(order, Reason.IOC_REST)
        else:
            order.working = order.price
            self._join(order)

    def _reach(self, order: Order, limit: int | None) -> list[tuple[int, int]]:
        """(price, offered size) of the other side that the order may take now, best first."""
        if not self.tradable(order.instrument):
            return []
        offers = self.markets[order.instrument].offers(-order.side)
        worst = self._within_band(order, limit)
        return [(p, offer) for p, offer in offers if worst is None or order.side * (worst - p) >= 0]

    def _take(self, order: Order, limit: int | None) -> None:
        for price, offer in self._reach(order, limit):
            size = min(order.open, offer)
            if size > 0:
                self.markets[order.instrument].taken[-order.side, price] += size
                self._fill(order, price, size, maker=False)

    def _take_while_resting(self, order: Order) -> None:
        self._take(order, order.working)
        if order.is_open:
            order.shown = min(order.shown, order.open)

    def _within_band(self, order: Order, price: int | None) -> Any:
        band = self.markets[order.instrument].band[order.side]
        if band is None or price is None:
            return price if band is None else band
        return min(price, band) if order.side == BID else max(price, band)

    def _join(self, order: Order) -> None:
        """A new place at the end of the queue."""
        self.places += 1
        order.place, order.rows_before = self.places, self.rows_seen
        order.shown = min(order.display or order.open, order.open)
        displayed = self._displayed_at(order.instrument, order.side, self.our_price(order))
        order.ahead = inf if displayed is None else displayed
        order.traded, order.held = 0, None

    def peg_price(self, order: Order) -> int | None:
        """Where a peg would rest now; None where its reference is missing."""
        instrument, book = self.instruments[order.instrument], self.markets[order.instrument].book
        tick, side = instrument.tick, order.side
        if order.type == OrderType.PEG_MID:
            if book.mid_sum is None:
                return None
            twice = book.mid_sum
        else:
            reference, size = book.best(side if order.type == OrderType.PEG_PRIMARY else -side)
            if not size:
                return None
            twice = 2 * reference
        price = side * (side * twice // (2 * tick)) * tick + side * order.stop  # on tick, towards the own side
        if order.has_limit:
            price = side * min(side * price, side * order.price)
        other, size = book.best(-side)
        if size and side * (price - other) >= 0:
            price = side * ((side * other - 1) // tick) * tick  # the best tick that does not reach it
        return None if price < 1 and not instrument.allows_negative_price else price

    def _price_peg(self, order: Order) -> None:
        price = self.peg_price(order)
        if price == order.working:
            return
        order.working = price
        if price is not None:
            self._join(order)

    def _fill(self, order: Order, price: int, size: int, *, maker: bool) -> None:
        fees = self.config.fees
        per_unit, ppm = (fees.maker_per_unit, fees.maker_ppm) if maker else (fees.taker_per_unit, fees.taker_ppm)
        value = abs(self.instruments[order.instrument].value(price, size))
        fee = half_even(per_unit * size * MICRO + value * ppm, MICRO)
        fee += self._leave_footprint(order, price, size, maker=maker)
        self.ledgers[order.account].fill(order.instrument, order.side, price, size, fee)
        self.own_volume[order.account, order.instrument] += size
        self.fill_times[order.account].append(self.now)
        order.open -= size
        order.fills += 1
        order.is_open = order.open > 0
        self._tell(
            RecordKind.FILL,
            order,
            side=order.side,
            price=price,
            size=size,
            extra=fee,
            number=order.fills,
            flags=int(maker),
        )

    def _leave_footprint(self, order: Order, price: int, size: int, *, maker: bool) -> int:
        """A fill enters the impact model; what impact adds to its fee."""
        if not self.footprints:
            return 0
        market, instrument = self.markets[order.instrument], self.instruments[order.instrument]
        footprint = self.footprints[order.instrument]
        bid, ask = market.book.best(BID), market.book.best(ASK)
        met = footprint.fill(order, size, bid, ask, instrument.tick, maker=maker)
        fee = order.side * instrument.value(market.charged, size) if footprint.is_cost else 0
        if not maker and not order.is_auction:
            touch = (ask if order.side > 0 else bid)[0] - market.displacement
            beyond = price - touch + (market.charged if footprint.is_cost else 0)
            fee += self._not_in_price(order, met, beyond, size)
        return fee

    def _not_in_price(self, order: Order, met: float, beyond: int, size: int) -> int:
        """Money: ``met`` bp from the recorded touch, where the price paid is only ``beyond`` it."""
        twice = self._recorded_mid(order.instrument)
        if twice is None:
            return 0
        missing = order.side * (met * twice / 20_000.0 - beyond)
        money = self.instruments[order.instrument].money
        return round(max(0.0, missing) * size * (money.numerator / money.denominator))

    def _recorded_mid(self, index: int) -> int | None:
        """Bid + ask of the last valid mid as recorded, else twice the last trade."""
        market = self.markets[index]
        if market.mid_sum is not None:
            return market.mid_sum - 2 * market.displacement
        return None if market.last_trade is None else 2 * (market.last_trade - market.displacement)

    def cancel(self, order: Order, reason: Reason) -> None:
        self._end(RecordKind.CANCEL, order, reason)

    def expire(self, order: Order, reason: Reason) -> None:
        self._end(RecordKind.EXPIRE, order, reason)

    def _end(self, kind: RecordKind, order: Order, reason: Reason) -> None:
        order.is_open, order.working = False, None
        self._tell(kind, order, size=order.open, reason=reason)

    def _tell(self, kind: RecordKind, order: Order, **fields: Any) -> None:
        self.write(
            kind,
            ts=self.now,
            account=order.account,
            order_no=order.number,
            instrument=order.instrument & 0xFFFF,
            **fields,
        )
        self.report(
            Report(
                self.now, order.account, kind, order.number, order.instrument, order.side, fields.get("price", 0),
                fields.get("size", 0), order.open, fields.get("extra", 0), bool(fields.get("flags")),
                reason=fields.get("reason", Reason.NONE),
            )
        )  # fmt: skip

    # ---- ends and beginnings

    def kill(self, account: int, reason: Reason = Reason.KILLED) -> None:
        """Latch the kill switch: working orders are cancelled, new ones refused."""
        self.killed[account] = True
        for order in self.open_orders():
            if order.account == account:
                self.cancel(order, reason)

    def time_over(self, order: Order) -> None:
        if order.is_open:
            self.expire(order, Reason.TIME_OVER)

    def session_starts(self) -> None:
        for market in self.markets:
            market.volume, market.was_tradable = 0, False
        self.own_volume.clear()
        self._set_equity_base()

    def _set_equity_base(self) -> None:
        for account, ledger in enumerate(self.ledgers):
            for currency in {instrument.currency for instrument in self.instruments}:
                self.equity_base[account, currency] = ledger.equity(currency, self.marks())
        self.equity_peak = dict(self.equity_base)

    def session_ends(self, number: int) -> None:
        ending = (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK)
        for order in self.open_orders():
            if order.is_auction:
                self.expire(order, Reason.NO_AUCTION)
            elif order.tif in ending:
                self.expire(order, Reason.SESSION_END)
        self._charge_borrow(number)
        self.write_marks()

    def _charge_borrow(self, number: int) -> None:
        days = 1
        if number + 1 < len(self.sessions):
            days = self.sessions[number + 1][0] // DAY_NS - self.sessions[number][0] // DAY_NS
        borrow = self.config.borrow
        for account, index, mark in self._marked():
            position = self.ledgers[account].position[index]
            if position < 0:
                value = abs(self.instruments[index].value(mark, position))
                cost = half_even(value * borrow.rate_ppm * days, MICRO * borrow.day_count)
                self._adjust(account, index, Adjustment.BORROW, -cost)

    def write_marks(self) -> None:
        for account, index, mark in self._marked():
            ledger = self.ledgers[account]
            if ledger.position[index] or index in ledger.traded:
                self.write(
                    RecordKind.MARK, ts=self.now, account=account, instrument=index, price=mark,
                    size=ledger.position[index], extra=ledger.flow[index],
                )  # fmt: skip

    def _marked(self) -> Iterable[tuple[int, int, int]]:
        for account in range(len(self.ledgers)):
            for index, mark in enumerate(self.marks()):
                if mark is not None:
                    yield account, index, mark

    def corporate_action(self, action: CorporateAction) -> None:
        symbols = [instrument.symbol for instrument in self.instruments]
        index = symbols.index(action.symbol)
        if action.kind == "dividend":
            each = Fraction(action.numerator, action.denominator) * Fraction(self.instruments[index].size_unit) * MICRO
            for account, ledger in enumerate(self.ledgers):
                if ledger.position[index]:
                    money = half_even(ledger.position[index] * each.numerator, each.denominator)
                    self._adjust(account, index, Adjustment.DIVIDEND, money)
        else:
            self._split(index, action.numerator, action.denominator)

    def _split(self, index: int, new: int, old: int) -> None:
        """``new`` units for ``old`` ones."""
        for order in self.open_orders():
            if order.instrument == index:
                self.cancel(order, Reason.CORPORATE_ACTION)
        mark, money = self.mark(index) or 0, self.instruments[index].money
        for account, ledger in enumerate(self.ledgers):
            position = ledger.position[index]
            if position:
                sign = 1 if position > 0 else -1
                units, rest = divmod(abs(position) * new, old)
                # the rest is rest / old new units, each worth mark * old / new
                paid = half_even(sign * mark * rest * money.numerator, new * money.denominator)
                self._adjust(account, index, Adjustment.SPLIT, paid, sign * units - position)
        market = self.markets[index]
        for name, prices in PRICES_KEPT.items():  # as recorded: our footprint is scaled on its own
            value = getattr(market, name)
            if value is not None:
                here = prices * market.displacement
                setattr(market, name, half_even((value - here) * old, new) + here)
        if self.footprints:
            self.footprints[index].split(new, old)

    def _adjust(self, account: int, index: int, why: Adjustment, money: int, units: int = 0) -> None:
        self.ledgers[account].adjust(index, money, units)
        self.write(
            RecordKind.ADJUST, ts=self.now, account=account, instrument=index, extra=money, size=units, number=why
        )
        self.report(Report(self.now, account, RecordKind.ADJUST, 0, index, size=units, fee=-money))


def _share_ahead(ahead: float, behind: float, exponent: int) -> float:
    """a^k / (a^k + b^k) in float64, the powers by repeated multiplication."""
    a, b = float(ahead), float(behind)
    a_power, b_power = a, b
    for _ in range(exponent - 1):
        a_power, b_power = a_power * a, b_power * b
    return a_power / (a_power + b_power)
