"""Hypothesis strategies for small, nasty and valid markets, and for programs of orders to run on them.

Each draws plain lists of small integers and plays them through a model that keeps the result valid by
construction, so that whatever hypothesis finds shrinks to a short list of moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.broker.impact import (
    AlmgrenChriss,
    Impact,
    Impulses,
    NoImpact,
    Parameters,
    Propagator,
    SquareRoot,
)
from engine.broker.impact import Market as AverageDay
from engine.broker.models import Borrow, BrokerConfig, Fees, Fills, Latency, Lognormal, Queue, RiskConfig
from engine.instruments import Instrument
from engine.orders import OrderFlag, OrderType, TimeInForce
from engine.strategy import Wake
from engine.tape import ROW, Auction, CorporateAction, Flag, Kind, Manifest, State, Tape

DAY_NS = 86_400_000_000_000
OPEN_NS = 50_000_000_000_000  # of a day: every session of a generated tape starts here
MIDDLE = 100  # ticks: prices stay within a few ticks of it
SIZES = (1, 2, 3, 5, 10, 40)
STEPS = (0, 0, 1, 2, 5, 20, 60, 400)
BID, ASK = 1, -1

small = st.integers(0, 255)
moves = st.tuples(st.integers(0, 31), small, small, small, small)


# ---- instruments


@st.composite
def instruments(draw: st.DrawFn, kind: str = "any", most: int = 2) -> list[Instrument]:
    """One to ``most`` instruments of a book kind ("L1", "L2", "L3" or "any"), with odd units and tick sizes."""
    chosen = []
    for number in range(draw(st.integers(1, most))):
        book = draw(st.sampled_from(("L1", "L2", "L3"))) if kind == "any" else kind
        chosen.append(
            Instrument(
                symbol="ABCDEFGH"[number],
                price_unit=draw(st.sampled_from(("1/100", "1/10000"))),
                tick=draw(st.sampled_from((1, 5))),
                lot=draw(st.sampled_from((1, 1, 1, 2))),
                multiplier=draw(st.sampled_from(("1", "1/3", "50"))),
                currency=draw(st.sampled_from(("USD", "USD", "EUR"))),
                book=book,
                levels=1 if book == "L1" else draw(st.sampled_from((0, 0, 2))),
                source=draw(st.sampled_from((0, number))),
            )
        )
    return chosen


# ---- tapes


@dataclass
class _Market:
    """The market behind one instrument's rows: orders by price, of which the tape may show the best levels only."""

    index: int
    instrument: Instrument
    sizes: dict[int, dict[int, int]] = field(default_factory=lambda: {BID: {}, ASK: {}})
    orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # L3: id -> side, price, size
    last_id: int = 0

    def row(self, kind: Kind, **fields: int) -> dict[str, int]:
        return {"kind": kind, "instrument": self.index, **fields}

    def price(self, ticks: int) -> int:
        return (MIDDLE + ticks) * self.instrument.tick

    def view(self, side: int) -> dict[int, int]:
        """What the tape shows of a side."""
        ranked = sorted(self.sizes[side].items(), reverse=side == BID)
        return dict(ranked[: self.instrument.levels] if self.instrument.levels else ranked)

    def best(self, side: int) -> tuple[int, int] | None:
        return next(iter(self.view(side).items()), None)

    def move(self, move: tuple[int, ...]) -> list[dict[str, int]]:
        """The rows of one move: of its kind by book, and some that any instrument may have."""
        what, a, b, c, d = move
        if what >= 28:
            return self._rare(what, a, b, c, d)
        if self.instrument.book == "L1":
            return self._quote_or_trade(what, a, b, c, d)
        rows = self._sweep(a, b) if what >= 20 else []
        if what >= 20 and rows:
            return rows
        return self._depth(what, a, b, c, d) if self.instrument.book == "L2" else self._order(what, a, b, c, d)

    def _quote_or_trade(self, what: int, a: int, b: int, c: int, d: int) -> list[dict[str, int]]:
        """L1: a new touch (often locked sides move together), or a trade, with or without the quote that shows it."""
        if what < 12 or not (self.sizes[BID] or self.sizes[ASK]):
            bid, ask = self.price(a % 7 - 4), self.price(a % 7 - 4 + (b % 8 + 6) // 7 + b % 3)
            bid_size, ask_size = (SIZES[c % 6] if c % 17 else 0), (SIZES[d % 6] if d % 17 else 0)
            if what == 0:
                bid, ask = ask, bid
            return [self._quote(bid, bid_size, ask, ask_size)]
        side = BID if a % 2 else ASK
        best = self.best(side)
        if best is None:
            return [self.row(Kind.TRADE, side=0, price=self.price(b % 9 - 4), size=SIZES[c % 6])]
        price, shown = best
        size = SIZES[c % 6]
        flags = (0, 0, 0, 0, 0, int(Flag.HIDDEN), int(Flag.OUTSIDE))[d % 7]
        price += (0, 0, 0, 1, -1)[b % 5] * self.instrument.tick
        trade = self.row(Kind.TRADE, side=0 if d % 5 == 4 else -side, price=price, size=size, flags=flags)
        if what >= 20 and price == best[0]:
            other = self.best(-side) or (self.price(0), 0)
            left = max(0, shown - size)
            here = (price, left) if left else (price - side * self.instrument.tick, SIZES[b % 6])
            bid, ask = (here, other) if side == BID else (other, here)
            return [trade, self._quote(*bid, *ask)]
        return [trade]

    def _quote(self, bid: int, bid_size: int, ask: int, ask_size: int) -> dict[str, int]:
        self.sizes = {BID: {bid: bid_size} if bid_size else {}, ASK: {ask: ask_size} if ask_size else {}}
        return self.row(Kind.QUOTE, price=bid, size=bid_size, price2=ask, size2=ask_size)

    def _somewhere(self, a: int, b: int) -> tuple[int, int]:
        """A side and a price: below the middle for bids, above for asks, rarely through it."""
        side = BID if a % 2 else ASK
        return side, self.price(-side * (b % 5) if b % 16 else side)

    def _depth(self, what: int, a: int, b: int, c: int, d: int) -> list[dict[str, int]]:
        """L2: one level set; sometimes a trade first, with a level that shows part or all of it."""
        side, price = self._somewhere(a, b)
        shown = self.sizes[side].get(price, 0)
        if what < 6 and shown:
            traded = min(SIZES[c % 6], shown)
            trade = self.row(Kind.TRADE, side=-side, price=price, size=SIZES[d % 6])
            return [trade, *self._shown(lambda: self._set(side, price, shown - traded))]
        return self._shown(lambda: self._set(side, price, 0 if c % 4 == 0 else SIZES[d % 6] + c % 3))

    def _set(self, side: int, price: int, size: int) -> None:
        self.sizes[side].pop(price, None)
        if size > 0:
            self.sizes[side][price] = size

    def _shown(self, change: Any, done: Iterable[dict[str, int]] = ()) -> list[dict[str, int]]:
        """Make a change; the rows that tell it: levels that it changed, and those it moved in or out of view."""
        before = {side: self.view(side) for side in (BID, ASK)}
        change()
        rows = list(done)
        for side in (BID, ASK):
            after = self.view(side)
            for price in sorted(before[side].keys() | after.keys(), reverse=side == BID):
                old, new = before[side].get(price, 0), after.get(price, 0)
                if old == new:
                    continue
                hidden = self.sizes[side].get(price, 0)
                left_view, came_into_view = new == 0 and hidden > 0, old == 0 and bool(self.instrument.levels)
                if left_view or (came_into_view and not self._is_new(before[side], side, price)):
                    rows.append(self.row(Kind.REVEAL, side=side, price=price, size=new))
                elif not done:
                    rows.append(self.row(Kind.DEPTH, side=side, price=price, size=new))
        return rows

    def _is_new(self, before: dict[int, int], side: int, price: int) -> bool:
        """A level that appears inside the old view is new; one that appears beyond it was there before."""
        return len(before) < self.instrument.levels or any(side * (price - other) > 0 for other in before)

    def _order(self, what: int, a: int, b: int, c: int, d: int) -> list[dict[str, int]]:
        """L3: an order comes, shrinks, goes, is replaced or trades; only orders at shown levels give rows."""
        if what < 10 or not self.orders:
            side, price = self._somewhere(a, b)
            return self._add(side, price, SIZES[c % 6])
        order_id = sorted(self.orders)[a % len(self.orders)]
        side, price, size = self.orders[order_id]
        if what < 13 and size > 1:
            return self._less(Kind.REDUCE, order_id, 1 + b % (size - 1))
        if what < 16:
            return self._less(Kind.DELETE, order_id, size)
        if what < 18:
            gone = self._less(Kind.DELETE, order_id, size)
            return gone + self._add(side, self._somewhere(a, b)[1] if c % 2 else price, SIZES[c % 6])
        if what == 18:
            best = self.best(side)
            hidden = {"flags": int(Flag.HIDDEN), "order_id": 0}
            return [self.row(Kind.EXECUTE, side=side, price=best[0], size=SIZES[b % 6], **hidden)] if best else []
        if what == 19:
            return [self.row(Kind.TRADE, side=-side, price=price, size=SIZES[b % 6], flags=int(Flag.HIDDEN))]
        return self._less(Kind.DELETE, order_id, size)

    def _add(self, side: int, price: int, size: int) -> list[dict[str, int]]:
        self.last_id += 1
        new = self.last_id
        self.orders[new] = side, price, size

        def change() -> None:
            self.sizes[side][price] = self.sizes[side].get(price, 0) + size

        row = self.row(Kind.ADD, order_id=new, side=side, price=price, size=size)
        return self._told(change, row, side, price)

    def _less(self, kind: Kind, order_id: int, size: int) -> list[dict[str, int]]:
        side, price, had = self.orders.pop(order_id)
        if had > size:
            self.orders[order_id] = side, price, had - size
        row = self.row(kind, order_id=order_id, side=side, price=price, size=size)
        return self._told(lambda: self._set(side, price, self.sizes[side][price] - size), row, side, price)

    def _told(self, change: Any, row: dict[str, int], side: int, price: int) -> list[dict[str, int]]:
        """The order's row where its level is shown before or after, and the levels that moved in or out of view."""
        before = self.view(side)
        change_rows = self._shown(change, [row])
        in_view = price in before or price in self.view(side)
        moved = [r for r in change_rows[1:] if r["price"] != price]
        if not in_view:
            return moved
        if price not in before and self.instrument.levels and not self._is_new(before, side, price):
            return change_rows[1:]
        return [row, *moved]

    def _sweep(self, a: int, b: int) -> list[dict[str, int]]:
        """An aggressor takes level after level."""
        side, left = (BID if a % 2 else ASK), SIZES[b % 6] + b % 7
        rows: list[dict[str, int]] = []
        while left > 0 and (best := self.best(side)):
            price, shown = best
            if self.instrument.book == "L3":
                first = min(i for i, (s, p, _) in self.orders.items() if (s, p) == (side, price))
                size = min(left, self.orders[first][2])
                rows += self._less(Kind.EXECUTE, first, size)
            else:
                size = min(left, shown)
                rows.append(self.row(Kind.TRADE, side=-side, price=price, size=size))
                rows += self._shown(lambda p=price, s=shown - size: self._set(side, p, s))
            left -= size
        return rows

    def _rare(self, what: int, a: int, b: int, c: int, d: int) -> list[dict[str, int]]:
        if what == 28:
            if a % 2 == 0:
                down, up = self.price(-2) if b % 2 else 0, self.price(2) if c % 2 else 0
                return [self.row(Kind.STATUS, level=int(State.BAND), price=down, price2=up)]
            return [self.row(Kind.STATUS, level=(3, 3, 3, 3, 3, 3, 4, 4, 5, 2, 7, 6, 0, 1)[b % 14])]
        if what == 29:
            price, kind = self.price(b % 7 - 3), int(tuple(Auction)[c % 4])
            return [self.row(Kind.TRADE, price=price, size=SIZES[d % 6], level=kind, flags=int(Flag.AUCTION))]
        if what == 30:
            if a % 3:
                p = self.price(b % 5 - 2)
                return [
                    self.row(Kind.BAR, order_id=p, price=p, price2=p, size2=self.price(c % 5 - 2), size=SIZES[d % 6])
                ]
            return [self.row(Kind.CLOSE, order_id=a)]
        if a % 4:
            return []
        shown, self.sizes, self.orders = {side: self.view(side) for side in (BID, ASK)}, {BID: {}, ASK: {}}, {}
        rows = [self.row(Kind.CLEAR)]
        if b % 2:  # a snapshot follows in the same group
            for side in (BID, ASK):
                for price, size in shown[side].items():
                    if self.instrument.book == "L3":
                        rows += [r | {"flags": int(Flag.SNAPSHOT)} for r in self._add(side, price, size)]
                    elif self.instrument.book == "L2":
                        rows += [
                            r | {"flags": int(Flag.SNAPSHOT)}
                            for r in self._shown(lambda s=side, p=price, z=size: self._set(s, p, z))
                        ]
        return rows


# a bid and an ask (or a quote) for each of two instruments, all before anything else happens
_OPENING = tuple((1, side, 2, 4, index) for index in (0, 1) for side in (1, 0))


@st.composite
def tapes(draw: st.DrawFn, kind: str = "any", most_moves: int = 40, days: int = 2, unit_ns: int = 1) -> Tape:
    """A tape of up to ``days`` sessions: few prices and sizes, ties, groups, sweeps, halts, auctions, clocks.

    Times between rows are a few to a few hundred ``unit_ns``.
    """
    named = draw(instruments(kind))
    markets = [_Market(index, instrument) for index, instrument in enumerate(named)]
    rows: list[dict[str, int]] = []
    sessions, actions = [], []
    for day in range(draw(st.integers(1, days))):
        opens = day * DAY_NS * (1 + day) + OPEN_NS
        sessions.append((opens, opens + unit_ns * draw(st.sampled_from((6_000, 6_000, 6_000, 300, 40)))))
        if day and draw(st.booleans()):
            actions.append(_action(draw, opens, named))
        played = [*_OPENING[: 2 * len(named)], *draw(st.lists(moves, min_size=8, max_size=most_moves))]
        begins = opens - unit_ns * draw(st.sampled_from((0, 0, 2, 30)))
        rows += _play(begins, markets, played, draw(st.integers(0, 5)) * unit_ns, unit_ns)
    array = np.zeros(len(rows), ROW)
    for at, row in enumerate(rows):
        for name, value in row.items():
            array[at][name] = value
    return Tape(
        array, Manifest(name="generated", instruments=named, sessions=sessions, actions=actions, synthetic=True)
    )


@st.composite
def busy_tapes(
    draw: st.DrawFn, kind: str = "any", most: int = 1, days: int = 2, n_moves: int = 2_500, unit_ns: int = 1
) -> Tape:
    """A tape with hundreds of trades, so that long windows fill, in one session or two; its moves come from a seed."""
    named = draw(instruments(kind, most))
    rng = np.random.Generator(np.random.Philox(draw(st.integers(0, 2**32))))
    played = rng.integers(0, 256, (n_moves, 5))
    played[:, 0] %= 32
    played[rng.random(n_moves) < 0.6, 0] = draw(st.sampled_from((4, 19, 22, 22)))  # more of one move than of others
    markets = [_Market(index, instrument) for index, instrument in enumerate(named)]
    moves = [*_OPENING[: 2 * len(named)], *map(tuple, played.tolist())]
    rows = _play(OPEN_NS, markets, moves, draw(st.integers(0, 5)) * unit_ns, unit_ns)
    array = np.zeros(len(rows), ROW)
    for at, row in enumerate(rows):
        for name, value in row.items():
            array[at][name] = value
    first, middle, last = (int(array["ts_event"][k]) for k in (0, len(array) // 2, -1))
    sessions = [(first + draw(st.sampled_from((0, 9))), last)]
    if days > 1 and draw(st.booleans()):
        sessions = [(sessions[0][0], middle), (middle + draw(st.sampled_from((7, 200))), last)]
    return Tape(array, Manifest(name="busy", instruments=named, sessions=sessions, synthetic=True))


def _action(draw: st.DrawFn, ts: int, named: list[Instrument]) -> CorporateAction:
    symbol = draw(st.sampled_from(named)).symbol
    if draw(st.booleans()):
        return CorporateAction(
            ts_event=ts, symbol=symbol, kind="dividend", numerator=draw(st.integers(1, 9)), denominator=7
        )
    new, old = draw(st.sampled_from(((2, 1), (1, 10), (3, 2))))
    return CorporateAction(ts_event=ts, symbol=symbol, kind="split", numerator=new, denominator=old)


def _play(
    ts: int, markets: list[_Market], played: list[tuple[int, ...]], late: int, unit_ns: int
) -> list[dict[str, int]]:
    """Rows of the moves of one day, grouped and timed; ``late`` shapes their receive times."""
    rows: list[dict[str, int]] = []
    group: list[dict[str, int]] = []
    after_clock = False
    if played and played[0][3] % 9 == 7:  # a feed that has nothing to say yet
        rows.append({"kind": Kind.CLOCK, "ts_event": ts, "ts_recv": ts, "flags": int(Flag.LAST)})
        after_clock = True
    for number, move in enumerate(played):
        _, a, b, c, d = move
        if not group:
            ts += unit_ns * STEPS[(a + 3 * c) % len(STEPS)]
            if after_clock and rows and rows[-1]["ts_event"] == ts:
                ts += 1
            after_clock = False
        group += [
            row | {"ts_event": ts, "ts_recv": ts + late * (number % 4)} for row in markets[d % len(markets)].move(move)
        ]
        joins_next = b % 6 == 5 and number + 1 < len(played)
        if group and not joins_next:
            group[-1]["flags"] = group[-1].get("flags", 0) | Flag.LAST
            rows, group = rows + group, []
            if c % 9 == 8:
                ts += unit_ns * (a % 3)
                rows.append({"kind": Kind.CLOCK, "ts_event": ts, "ts_recv": ts, "flags": int(Flag.LAST)})
                after_clock = True
    if group:
        group[-1]["flags"] = group[-1].get("flags", 0) | Flag.LAST
    return rows + group


@st.composite
def cuts(draw: st.DrawFn, rows: int) -> list[int]:
    """Where to cut ``rows`` rows into chunks."""
    return sorted(draw(st.sets(st.integers(1, max(1, rows - 1)), max_size=6)))


def chunks_of(rows: NDArray[np.void], at: list[int]) -> list[NDArray[np.void]]:
    """The pieces between cuts, without empty ones."""
    return [part for part in np.split(rows, at) if len(part)]


# ---- models


@st.composite
def latencies(draw: st.DrawFn, *, one_pass: bool = False) -> Latency:
    """Constant, drawn and recorded; ``one_pass`` keeps the feed's constant and the answer no faster than it."""
    feed = draw(st.sampled_from((0, 0, 1, 3, 7)))
    if one_pass:
        # an order that arrives as it is sent finds its place among what else is due then differently in two cursors
        entry = draw(st.sampled_from((int(feed > 0), 1, 2, 5, 30, Lognormal(6, 0.8, 1), Lognormal(5, 1.0, 2))))
        response = draw(st.sampled_from((0, 1, 4, 20, Lognormal(5, 0.5, feed))))
        return Latency(feed=feed, entry=entry, response=feed + response if isinstance(response, int) else response)
    entry = draw(st.sampled_from((0, 1, 2, 5, 30, Lognormal(6, 0.8), Lognormal(5, 1.0, 2))))
    response = draw(st.sampled_from((0, 1, 4, 20, Lognormal(5, 0.5), Lognormal(5, 0.5, 7))))
    return Latency(feed=draw(st.sampled_from((feed, Lognormal(4, 1.0), "recorded"))), entry=entry, response=response)


@st.composite
def impacts(draw: st.DrawFn, symbols: Sequence[str]) -> Impact:
    """None half of the time, else any model, in markets so thin that a few of our orders move them by ticks."""
    if not symbols or draw(st.booleans()):
        return NoImpact()
    days = st.builds(
        AverageDay, daily_volume=st.sampled_from((50, 400, 5_000)), daily_volatility=st.sampled_from((0.1, 0.5, 2.0))
    )
    terms: dict[str, Any] = {
        "mode": draw(st.sampled_from(("footprint", "footprint", "cost"))),
        "market": {symbol: draw(days) for symbol in symbols},
        "units_a_day": draw(st.sampled_from((1, 13))),
        "cells_a_unit": draw(st.sampled_from((1, 30))),
    }
    model = draw(st.sampled_from(("mi1", "mi2", "hfmi", "square root", "almgren-chriss")))
    if model == "square root":
        return SquareRoot(prefactor=draw(st.sampled_from((0.1, 0.5))), **terms)
    if model == "almgren-chriss":
        return AlmgrenChriss(**terms)
    if model == "hfmi":
        size = draw(st.sampled_from((3, 20)))
        return Propagator(model="hfmi", impulses=Impulses(size=size, aggressive=URGENT, passive=PATIENT), **terms)
    few = Parameters(alpha=1_000.0, beta=0.8, gamma=draw(st.sampled_from((0.5, 1.0))), omega=0.6, delta=0.1)
    return Propagator(model=model, parameters=few, gamma_factor=draw(st.booleans()), **terms)


# bp by book state: more where the spread is wide, and where few are on the other side
URGENT = tuple(tuple(20.0 * spread + 10.0 * fifth for fifth in range(5)) for spread in (1, 2, 3))
PATIENT = tuple(tuple(-5.0 * spread + 3.0 * fifth for fifth in range(5)) for spread in (1, 2, 3))


@st.composite
def broker_configs(draw: st.DrawFn, *, one_pass: bool = False, symbols: Sequence[str] = ()) -> BrokerConfig:
    """Any combination of models; impact only on ``symbols``."""
    return BrokerConfig(
        latency=draw(latencies(one_pass=one_pass)),
        queue=Queue(
            model=draw(st.sampled_from(("pessimistic", "probabilistic", "fifo"))), exponent=draw(st.integers(1, 4))
        ),
        fees=draw(st.sampled_from((Fees(), Fees(maker_per_unit=-1, taker_per_unit=3, maker_ppm=-7, taker_ppm=333)))),
        fills=Fills(outside=draw(st.booleans()), stop_trigger=draw(st.sampled_from(("trade", "quote")))),
        borrow=Borrow(rate_ppm=draw(st.sampled_from((0, 3_000, 900_000))), day_count=draw(st.sampled_from((360, 365)))),
        impact=draw(impacts(symbols)),
    )


@st.composite
def risk_configs(draw: st.DrawFn, *, tight: bool = True) -> RiskConfig:
    """Mostly the defaults; with ``tight`` some limits that small orders reach."""
    if not tight or draw(st.integers(0, 2)):
        return RiskConfig()

    def maybe(*values: int) -> int:
        return draw(st.sampled_from((0, 0, *values)))

    return RiskConfig(
        expiry_ns=draw(st.sampled_from((2_000_000_000, 10, 0))),
        repeats=maybe(1, 2),
        stale_ns=draw(st.sampled_from((2_000_000_000, 50, 0))),
        max_size=draw(st.sampled_from((1_000_000, 10))),
        max_notional=draw(st.sampled_from((50_000_000_000_000, 5_000_000))),
        collar_ppm=draw(st.sampled_from((50_000, 10_000, 0))),
        orders_per_second=maybe(1, 3),
        burst=draw(st.sampled_from((1, 3, 100))),
        max_open=maybe(1, 3),
        max_open_account=maybe(2),
        max_position=maybe(5, 20),
        max_gross=maybe(10_000_000, 100_000_000),
        max_net=maybe(10_000_000),
        margin_ppm=maybe(200_000, 1_000_000),
        self_trade=draw(st.sampled_from(("cancel_resting", "allow"))),
        fills_per_second=maybe(2),
        daily_loss=maybe(50_000, 1_000_000),
        drawdown=maybe(50_000),
        participation_ppm=maybe(500_000, 1_000_000),
        restricted=draw(st.sampled_from(((), (), ("A",)))),
    )


@st.composite
def wakes(draw: st.DrawFn) -> Wake:
    """What wakes a strategy."""
    return Wake(
        every_ns=draw(st.sampled_from((0, 0, 70, 900))),
        on_quote=draw(st.booleans()),
        on_trade=draw(st.booleans()),
        on_depth=draw(st.booleans()),
        on_bar=True,
        on_close=True,
        on_status=draw(st.booleans()),
        mid_moved_ticks=draw(st.sampled_from((0, 0, 0, 1, 2))),
    )


# ---- programs of orders

TYPES = (OrderType.LIMIT,) * 6 + (OrderType.MARKET,) * 2 + (OrderType.STOP, OrderType.STOP_LIMIT) + tuple(OrderType)
TIFS = (TimeInForce.DAY,) * 6 + (TimeInForce.GTC,) * 3 + tuple(TimeInForce)
EAGER_TYPES = (OrderType.LIMIT,) * 6 + (OrderType.MARKET, OrderType.PEG_PRIMARY, OrderType.PEG_MID, OrderType.STOP)
DO = ("new",) * 8 + ("replace",) * 2 + ("cancel", "cancel", "cancel_all", "wake_at", "nothing", "odd")


class Step(NamedTuple):
    """What a program does at one wake."""

    do: str
    instrument: int
    side: int
    type: int
    tif: int
    flags: int
    ticks: int
    size: int
    stop: int
    display: int
    later_ns: int
    which: int


@st.composite
def eager_programs(draw: st.DrawFn, most: int = 16) -> list[Step]:
    """Orders that take or rest at the touch, a few pegs, stops and replaces: most of them trade."""
    many = st.lists(st.tuples(*[small] * 6), min_size=6, max_size=most)
    return [_eager_step(*numbers) for numbers in draw(many)]


def _eager_step(a: int, b: int, c: int, d: int, e: int, f: int) -> Step:
    side, type_ = (1 if b % 2 else -1), EAGER_TYPES[a % len(EAGER_TYPES)]
    tif = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC)[c % 3 if type_ == OrderType.LIMIT else 0]
    ticks = side * (e % 5 - 1) if e % 2 else e % 3 - 1
    display = 2 if d // 7 % 4 == 3 and type_ == OrderType.LIMIT and tif != TimeInForce.IOC else 0
    return Step(
        "replace" if d % 7 == 6 else "new", b // 2 % 2, side, int(type_), int(tif), 0,
        ticks, 2 * SIZES[f % 5], f // 5 % 3 - 1, display, 0, d // 28,
    )  # fmt: skip


@st.composite
def order_programs(draw: st.DrawFn, most: int = 25) -> list[Step]:
    """A random list of actions, one for each wake; all order types, times in force and flags."""
    integers = draw(st.lists(st.tuples(*[small] * 8), min_size=6, max_size=most))
    return [_step(*numbers) for numbers in integers]


def _step(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> Step:
    flags = (0, 0, 0, 0, 0, 0, 0, OrderFlag.POST_ONLY, OrderFlag.POST_ONLY, OrderFlag.REDUCE_ONLY, 3)[e % 11]
    return Step(
        DO[a % len(DO)], b % 2, 1 if c % 2 else -1, TYPES[d % len(TYPES)], TIFS[(c // 2) % len(TIFS)], int(flags),
        f % 11 - 5, 2 * SIZES[g % 6], h % 7 - 3, (0, 0, 0, 2, 4)[g // 8 % 5], STEPS[h % 8], f // 11,
    )  # fmt: skip


def act(broker: Any, account: int, step: Step, named: list[Instrument], sent: int) -> int:
    """Do one step through a broker's desk side; how many orders the account has sent by then."""
    index = step.instrument % len(named)
    tick = named[index].tick
    price = (MIDDLE + step.ticks) * tick
    number = 1 + step.which % max(1, sent)
    if step.do == "cancel":
        broker.cancel(account, number)
    elif step.do == "replace":
        for known, of, _, old, _ in broker.open_orders(account):
            if known == number and of < len(named):  # its own instrument's prices
                price = old if step.display else (MIDDLE + step.ticks) * named[of].tick
        broker.replace(account, number, price, step.size)
    elif step.do == "cancel_all":
        broker.cancel_all(account, index if step.flags else -1)
    elif step.do == "wake_at":
        broker.wake_at(account, broker.now(account) + step.later_ns)
    elif step.do in ("new", "odd"):
        terms = _terms(step, price, tick, broker.now(account))
        if step.do == "odd":  # something that the first gate should see
            terms = terms | {"price": price + step.which % 2, "size": step.size - step.which % 3, "flags": step.flags}
            index = len(named) if step.which == 7 else index
        broker.submit(account, index, step.side, **terms)
        return sent + 1
    return sent


def _terms(step: Step, price: int, tick: int, now: int) -> dict[str, int]:
    """Terms that mostly make sense together."""
    stops = (OrderType.STOP, OrderType.STOP_LIMIT)
    pegs = (OrderType.PEG_PRIMARY, OrderType.PEG_MARKET, OrderType.PEG_MID)
    priced = step.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) or step.which % 5 == 4
    stop = (MIDDLE + step.stop) * tick if step.type in stops else step.stop * tick if step.type in pegs else 0
    may_rest = step.tif <= TimeInForce.GTD and step.type in (OrderType.LIMIT, OrderType.STOP_LIMIT, *pegs)
    flags = step.flags if may_rest else step.flags & ~OrderFlag.POST_ONLY
    return {
        "type": int(step.type), "tif": int(step.tif), "flags": int(flags), "price": price if priced else 0,
        "size": step.size, "stop": stop, "display": step.display if may_rest else 0,
        "expire_ts": now + step.later_ns if step.tif == TimeInForce.GTD else 0,
    }  # fmt: skip
