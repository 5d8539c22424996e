"""The reference broker: docs/simulation.md in plain Python, slow and obvious.

It is written from the rulebook alone and shares no matching code with ``engine/broker``; property tests hold
the compiled broker to it, record for record. Everything that is not a row waits on one time line, a heap of
(time, phase, ...); section 2 gives the order of the phases. Where each rule lives:

    reference.py          time line, latencies, requests, end of the run (sections 1, 2, 9)
    reference_venue.py    matching, auctions, sessions, money (3 to 7, 10)
    reference_gates.py    gates (8)
    reference_book.py     displayed sizes (3)
    reference_footprint.py  what our own trades did to the market (12)
    reference_view.py     what a strategy sees and is woken for (11)
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import exp
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig, Lognormal, RiskConfig
from engine.broker.probe_models import model_of
from engine.broker.trees import Trees
from engine.events import Event
from engine.instruments import Instrument
from engine.journal import RECORD, Journal, RecordKind
from engine.orders import Op, Reason, TimeInForce
from engine.signals import Probe
from engine.strategy import Wake
from engine.tape import ROW, CorporateAction, Flag, Kind
from engine.testing import philox
from engine.testing.reference_book import Row
from engine.testing.reference_orders import Order, Report, Request
from engine.testing.reference_venue import Venue
from engine.testing.reference_view import AccountView, Displaced, Measured, SeenMarket, order_event
from engine.testing.signal_twin import SignalTwin

NEVER = 2**62
START, ROWS, SEE, ARRIVE, END, REPORT, TIMER = range(1, 8)  # phases at equal time
STRATEGY_SIDE = (SEE, REPORT, TIMER)


class Due(NamedTuple):
    """Something that will happen; sorts by time, phase and then the order within the phase."""

    time: int
    phase: int
    order: tuple[int, ...]
    number: int
    happen: Callable[[], Iterator[Event]]


class ReferenceBroker:
    """Same face as ``engine.broker.simulated.SimulatedBroker``; see the module.

    Parameters
    ----------
    sessions : sequence of (open, close)
        [open, close) in ns UTC, in order; empty: one that never ends.
    wakes, wants : one per account
        What wakes it; ``wants`` is (called on fills, called on other order events).
    two_cursors : bool
        Always let strategies see rows at their receive time. By default that is done only where one pass
        over the rows would not do; the journal is the same.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        sessions: Sequence[tuple[int, int]],
        actions: Sequence[CorporateAction] = (),
        config: BrokerConfig | None = None,
        risk: RiskConfig | None = None,
        seed: int = 0,
        accounts: Sequence[Account] = (Account(),),
        wakes: Sequence[Wake] = (Wake(),),
        wants: Sequence[tuple[bool, bool]] = ((True, True),),
        journal: Journal | None = None,
        probes: Sequence[Sequence[Probe]] = (),
        two_cursors: bool = False,
    ) -> None:
        self.instruments = list(instruments)
        self.sessions = sorted(sessions)
        self.config = config or BrokerConfig(impact=NoImpact())
        self.seed = seed
        self.journal = journal or Journal()
        self.wakes, self.wants = list(wakes), list(wants)
        self.account = 0
        self.venue = Venue(
            self.instruments, self.sessions, self.config, risk or RiskConfig(), seed, list(accounts),
            self._write, self._report,
        )  # fmt: skip
        self._written: list[NDArray[np.void]] = []
        latency = self.config.latency
        self._entry, self._response = _table(latency.entry), _table(latency.response)
        self._feed = None if latency.feed == "recorded" else _table(latency.feed)
        self._fixed_feed = latency.feed if isinstance(latency.feed, int) else 0  # F where it is one number
        one_pass = isinstance(latency.feed, int) and min(self._response) >= latency.feed and not two_cursors
        self._shift = self._fixed_feed if one_pass else 0  # strategy's clock minus its time on the line
        self._one_pass = one_pass

        self._seen = SeenMarket(self.instruments, self._measured(probes or [()] * len(accounts)))
        self._views = [AccountView(dict(account.cash)) for account in accounts]
        self._now = [0 for _ in accounts]
        self._numbers = [0 for _ in accounts]
        self._last_arrival = [0 for _ in accounts]
        self._last_report = [0 for _ in accounts]
        self._timers: list[set[int]] = [set() for _ in accounts]
        self._line: list[Due] = []
        self._counter = count()
        self._rows: deque[Row] = deque()
        self._sequence = [0] * 65536
        self._cause = (-1, 0)
        self._first_ts: int | None = None
        self._last_ts = self._last_recv = 0
        self._finished = self._closed = self._over = False
        self._in_flight: dict[int, Request] = {}
        self._messages: Counter[tuple[int, int]] = Counter()  # sent so far, by purpose and account
        self._rung = [-1 for _ in accounts]
        for number, (start, end) in enumerate(self.sessions):
            self._when(start, START, (1, number), self.venue.session_starts)
            seen = START if one_pass else SEE
            self._when(start + self._fixed_feed - self._shift, seen, (0,), self._seen.session_starts)
            self._when(end, END, (1, number), lambda number=number: self.venue.session_ends(number))
        for number, action in enumerate(actions):
            self._when(action.ts_event, START, (0, number), lambda action=action: self.venue.corporate_action(action))
        self._run = self._walk()

    def _measured(self, probes: Sequence[Sequence[Probe]]) -> list[Measured]:
        self.probed = [{probe.symbol: probe for probe in owned} for owned in probes]
        self.models = [
            {probe.symbol: model.manifest for probe in owned if (model := model_of(probe))} for owned in probes
        ]
        found = []
        sessions = self.sessions or [(-NEVER, NEVER)]
        for account, owned in enumerate(probes):
            for probe in owned:
                index, model = self.symbols.index(probe.symbol), model_of(probe)
                twin = SignalTwin(self.instruments[index].tick, sessions, probe.clock)
                forecast = None if model is None else _forecast(model.trees)
                found.append(Measured(account, index, twin, forecast))
        return found

    # ---- rows in, wakes out

    def load(self, rows: NDArray[np.void]) -> None:
        """Hand over ROW[n]; the ones before are used up."""
        assert rows.dtype == ROW
        self._rows.extend(Row(*row) for row in rows.tolist())

    def next(self) -> Event | None:
        """Run until a strategy must be woken (``account`` says whose); None when rows are used up."""
        return next(self._run)

    def finish(self) -> None:
        """No more rows will come; ``next`` then delivers what is left."""
        self._finished = True

    def _walk(self) -> Iterator[Event | None]:
        while True:
            while self._rows:
                row = self._rows.popleft()
                yield from self._until(row.ts_event, inclusive=row.kind == Kind.CLOCK)
                yield from self._take_in(row)
            if self._finished and not self._closed:
                self._closed = True
                yield from self._end_of_run()
            yield None

    def _until(self, ts: int, *, inclusive: bool) -> Iterator[Event]:
        """What is due before a row: all before its time; all at its time for a CLOCK, else sessions and actions."""
        while self._line and (
            self._line[0].time < ts or (self._line[0].time == ts and (inclusive or self._line[0].phase == START))
        ):
            yield from self._happen(heapq.heappop(self._line))

    def _happen(self, due: Due) -> Iterator[Event]:
        self.venue.now = due.time
        yield from due.happen()

    def _take_in(self, row: Row) -> Iterator[Event]:
        if self._first_ts is None and row.kind != Kind.CLOCK:
            self._first_ts = row.ts_event
            for account, wake in enumerate(self.wakes):
                self._set_timer(account, self._next_multiple(wake.every_ns, row.ts_event + self._fixed_feed))
        self.venue.now = self._last_ts = row.ts_event
        if row.kind == Kind.CLOCK:
            self.venue.last_heard = row.ts_event
            self._last_recv = self._received(row, None)
            return
        source = self.instruments[row.instrument].source
        cause = (self._sequence[source], source)
        self._sequence[source] += 1
        self._last_recv = self._received(row, cause)
        self._cause = cause
        displaced = self.venue.apply(row)
        if self._one_pass:
            yield from self._see(row, cause, self._last_recv, displaced)
        else:
            due = self._last_recv
            self._at(due, SEE, (1,), lambda: self._see(row, cause, due, displaced))

    def _received(self, row: Row, cause: tuple[int, int] | None) -> int:
        if self._feed is None:
            latency = row.ts_recv - row.ts_event
        elif len(self._feed) == 1:
            latency = self._feed[0]
        elif cause is None:
            latency = 0
        else:
            latency = self._feed[philox.draw(self.seed, philox.FEED, cause[1], cause[0], 0) >> 52]
        return max(self._last_recv, row.ts_event, row.ts_event + latency)

    def _see(self, row: Row, cause: tuple[int, int], now: int, displaced: Displaced) -> Iterator[Event]:
        """The strategies receive a row; after the LAST of a group they are woken."""
        self._seen.apply(row, cause, displaced)
        if row.flags & Flag.LAST:
            for account, event in self._seen.wakes(self.wakes, self._views):
                yield self._wake(account, event, now)

    def _wake(self, account: int, event: Event, now: int) -> Event:
        self.account = account
        self._now[account] = now
        return event

    # ---- the time line

    def _at(self, time: int, phase: int, order: tuple[int, ...], happen: Callable[[], Iterator[Event]]) -> None:
        heapq.heappush(self._line, Due(time, phase, order, next(self._counter), happen))

    def _when(self, time: int, phase: int, order: tuple[int, ...], act: Callable[[], None]) -> None:
        """As ``_at`` for what wakes nobody."""

        def happen() -> Iterator[Event]:
            act()
            return iter(())

        self._at(time, phase, order, happen)

    def _report(self, report: Report) -> None:
        latency = self._drawn(self._response, philox.RESPONSE, report.account, report.number)
        now = max(self._last_report[report.account], report.ts + latency)
        self._last_report[report.account] = now
        self._at(now - self._shift, REPORT, (), lambda: self._hear(report, now))

    def _hear(self, report: Report, now: int) -> Iterator[Event]:
        if self._over:  # told after the end: all that is received has been received
            now = max(now, self._last_recv)
        self._views[report.account].hear(report, self.instruments)
        known = 0 <= report.instrument < len(self.instruments)
        event = order_event(report, self.instruments[report.instrument].symbol if known else "")
        wants_fill, wants_order = self.wants[report.account]
        if event is not None and (wants_fill if report.kind == RecordKind.FILL else wants_order):
            yield self._wake(report.account, event, now)

    def _drawn(self, table: list[int], purpose: int, account: int, number: int) -> int:
        """The latency of the account's next request or report."""
        n = self._messages[purpose, account]
        self._messages[purpose, account] += 1
        return table[0] if len(table) == 1 else table[philox.draw(self.seed, purpose, account, number, n) >> 52]

    # ---- timers

    def wake_at(self, account: int, ts: int) -> None:
        """A timer at ``ts`` in the strategy's clock; outside sessions at the next open."""
        self._set_timer(account, self._into_session(max(ts, self._now[account])))

    @property
    def symbols(self) -> list[str]:
        """By instrument."""
        return [instrument.symbol for instrument in self.instruments]

    @property
    def next_timer(self) -> int:
        """The earliest pending timer in the strategies' clock, or 2**62."""
        return min((ts for timers in self._timers for ts in timers), default=NEVER)

    def _set_timer(self, account: int, ts: int | None) -> None:
        if ts is not None and ts not in self._timers[account] and ts > self._rung[account]:
            self._timers[account].add(ts)
            self._at(ts - self._shift, TIMER, (account,), lambda: self._ring(account, ts))

    def _ring(self, account: int, ts: int) -> Iterator[Event]:
        self._timers[account].discard(ts)
        self._rung[account] = ts
        every_ns = self.wakes[account].every_ns
        if every_ns and ts % every_ns == 0 and self._first_ts is not None:
            self._set_timer(account, self._next_multiple(every_ns, max(ts, self._first_ts + self._fixed_feed)))
        yield self._wake(account, events.Timer(ts), ts)

    def _next_multiple(self, every_ns: int, after: int) -> int | None:
        """The first multiple later than ``after`` that is in a session."""
        if not every_ns:
            return None
        ts: int | None = (after // every_ns + 1) * every_ns
        while ts is not None:
            within = self._into_session(ts)
            if within == ts:
                return ts
            ts = None if within is None else -(-within // every_ns) * every_ns
        return None

    def _into_session(self, ts: int) -> int | None:
        """``ts`` where that is in a session, else the next open as strategies see it, or None."""
        if not self.sessions:
            return ts
        late = self._fixed_feed
        opens = [max(ts, start + late) for start, end in self.sessions if ts - late < end and start < end]
        return opens[0] if opens else None

    # ---- the end

    def _end_of_run(self) -> Iterator[Event]:
        late: list[Due] = []
        while self._line:
            due = heapq.heappop(self._line)
            limit = self._last_recv - self._shift if due.phase in STRATEGY_SIDE else self._last_ts
            if due.time <= limit:
                yield from self._happen(due)
            else:
                late.append(due)
        self.venue.now = self._last_ts
        self.venue.end_run([request.order for request in self._in_flight.values() if request.order])
        self._over = True
        for timers in self._timers:
            timers.clear()
        for due in sorted([due for due in late if due.phase == REPORT] + self._line):
            yield from due.happen()
        self._line = []

    # ---- requests

    def submit(
        self,
        account: int,
        instrument: int,
        side: int,
        *,
        type: int,
        tif: int,
        flags: int = 0,
        price: int = 0,
        size: int,
        stop: int = 0,
        display: int = 0,
        expire_ts: int = 0,
    ) -> int:
        """Send a new order at the account's ``now``; its number, from 1. ``stop``: stop price or peg offset."""
        self._numbers[account] += 1
        number = self._numbers[account]
        order = Order(
            account, number, instrument, side, type, tif, flags, price, size, stop, display, expire_ts,
            self._now[account], self._seen.cause,
        )  # fmt: skip
        self._send(Request(Op.NEW, account, number, order.sent, order.cause, instrument, order))
        return number

    world = None

    def send_limit(self, _world: None, *_terms: int) -> int:
        """The desk's shortest way; there is none here, so it takes the detour."""
        return 0

    def send(
        self, account: int, instrument: int, side: int, type: int, tif: int, flags: int, price: int, size: int,
        stop: int, display: int, expire_ts: int,
    ) -> int:  # fmt: skip
        """``submit`` by position, as the desk calls it."""
        return self.submit(
            account, instrument, side, type=type, tif=tif, flags=flags, price=price, size=size, stop=stop,
            display=display, expire_ts=expire_ts,
        )  # fmt: skip

    def cancel(self, account: int, order_no: int) -> None:
        """Ask for an order to be cancelled."""
        self._send(self._about(Op.CANCEL, account, order_no))

    def replace(self, account: int, order_no: int, price: int, size: int) -> None:
        """Ask for a new limit price and new open size."""
        self._send(self._about(Op.REPLACE, account, order_no)._replace(price=price, size=size))

    def _about(self, op: Op, account: int, number: int) -> Request:
        known = self._views[account].orders.get(number)
        return Request(op, account, number, self._now[account], self._seen.cause, known.instrument if known else 0)

    def cancel_all(self, account: int, instrument: int = -1) -> None:
        """Cancel each order not known to be ended, in order of number."""
        for number, *_ in self.open_orders(account, instrument):
            self.cancel(account, number)

    def kill(self, account: int) -> None:
        """Latch the account's kill switch at the venue, now."""
        self.venue.kill(account)

    def _send(self, request: Request) -> None:
        if self._over:
            self.venue.refuse(request, Reason.RUN_END)
            return
        if request.order:
            self._views[request.account].sent(request.order)
        latency = self._drawn(self._entry, philox.ENTRY, request.account, request.number)
        arrival = max(self._last_arrival[request.account], request.sent + latency)
        self._last_arrival[request.account] = arrival
        k = next(self._counter)
        self._in_flight[k] = request
        self._when(arrival, ARRIVE, (request.sent, request.account, k), lambda: self._arrive(k))

    def _arrive(self, k: int) -> None:
        request = self._in_flight.pop(k)
        self.venue.arrive(request)
        order = request.order
        if order and order.is_open and order.tif == TimeInForce.GTD:
            self._when(order.expire_ts, END, (0, order.account, order.number), lambda: self.venue.time_over(order))

    # ---- what a strategy may see

    @property
    def clock(self) -> int:
        """``now`` of the account that was woken last; 0 before the first wake."""
        return self._now[self.account]

    def now(self, account: int) -> int:
        """The account's clock: the time of its last wake."""
        return self._now[account]

    def quote(self, instrument: int) -> tuple[int, int, int, int]:
        """(bid, ask, bid_size, ask_size); an empty side is 0, 0."""
        return self._seen.touch(instrument)

    def levels(self, instrument: int, side: int, n: int) -> list[tuple[int, int]]:
        """(price, size) of the best ``n`` observed levels."""
        return self._seen.books[instrument].real(side)[:n]

    def volume(self, instrument: int) -> int:
        """Market volume of the session so far."""
        return self._seen.volume[instrument]

    def signal(self, account: int, instrument: int) -> Event | None:
        """What the account's probe of an instrument measured last."""
        return self._seen.measured.get(self._seen.place(account, instrument))

    def position(self, account: int, instrument: int) -> int:
        """As known by delivered reports."""
        return self._views[account].position.get(instrument, 0)

    def cash(self, account: int, currency: str) -> int:
        """Micro-units, as known by delivered reports."""
        return self._views[account].cash.get(currency, 0)

    def open_orders(self, account: int, instrument: int = -1) -> list[tuple[int, int, int, int, int]]:
        """(order_no, instrument, side, price, leaves) of each order not known to be ended."""
        return [
            (number, known.instrument, known.side, known.price, known.leaves)
            for number, known in sorted(self._views[account].orders.items())
            if instrument in (-1, known.instrument)
        ]

    def mark(self, instrument: int) -> int | None:
        """The price at which a position is valued, or None before anything is known."""
        return self.venue.mark(instrument)

    # ---- records

    def close(self) -> None:
        """Nothing to do: records are written as they are made."""

    def records(self) -> NDArray[np.void]:
        """RECORD[n]: everything journaled so far."""
        return np.concatenate([np.zeros(0, RECORD), *self._written])

    def _write(self, kind: RecordKind, **fields: Any) -> None:
        record = np.zeros(1, RECORD)
        cause, source = self._cause
        for name, value in {"kind": kind, "cause": cause, "source": source, **fields}.items():
            record[name] = value
        self._written.append(record)
        self.journal.append(record)


def _forecast(trees: Trees) -> Callable[[list[float]], list[float]]:
    return lambda values: trees.probabilities([values])[0].tolist()


def _table(latency: int | Lognormal) -> list[int]:
    """The latencies that may be drawn, ascending: one, or 4096 mid-quantiles."""
    if isinstance(latency, int):
        return [latency]
    normal = NormalDist()
    quantiles = (normal.inv_cdf((i + 0.5) / 4096) for i in range(4096))
    return [latency.floor_ns + round(latency.median_ns * exp(latency.sigma * z)) for z in quantiles]
