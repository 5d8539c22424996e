"""The paper broker's market: the one loop with strategies that are elsewhere.

A replay runs ``engine.loop.wakeups`` over strategies; here the same loop runs over stand-ins. Where the kernel wakes an
account, the core stops with a ``Watermark`` for whoever is attached, takes the requests that come back at that very
point, and goes on. So the records are those of the replay, however long anything took on its way.

``Stamp`` says where an input was applied: after so many rows and so many wakes. Rows and stamped inputs together give
every record again, which is how a broker recovers and how a paper run is verified.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.broker.simulated import SimulatedBroker
from engine.contracts import Packed, unpack
from engine.errors import RunError, StrategyError
from engine.journal import MANY, RECORD, Journal, RecordKind
from engine.live.messages import (
    Cancel,
    CancelAll,
    Deal,
    Order,
    Replace,
    Report,
    Request,
    WakeAt,
    Watermark,
)
from engine.live.shown import Shown
from engine.loop import wakeups
from engine.orders import OrderFlag, OrderType, TimeInForce
from engine.signals import Probe
from engine.strategy import Strategy, Wake
from engine.tape import ROW, Kind, Tape

NOTHING = np.zeros(0, ROW)
KINDS = 1 + max(int(kind) for kind in RecordKind)
_TYPES, _TIFS = {int(one) for one in OrderType}, {int(one) for one in TimeInForce}
_FLAGS = int(OrderFlag.POST_ONLY | OrderFlag.REDUCE_ONLY)


class Member(NamedTuple):
    """An account and who acts for it."""

    account: Account
    wake: Wake = Wake()
    wants: tuple[bool, bool] = (True, True)  # fills, other events of its orders
    attached: bool = True  # False: a program without wakes, told of reports only
    probes: tuple[Probe, ...] = ()


class Stamp(NamedTuple):
    """Where an input was applied."""

    rows: int  # handed to the loop, CLOCK rows included
    wakes: int  # of all accounts so far
    idle: bool = False  # no answer is awaited: the last wake has been answered, and all rows are used up


class BadRequest(ValueError):
    """A request that no desk could have made."""


class Inbox:
    """A feed of what has been put in."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.ended = False
        self._rows: deque[NDArray[np.void]] = deque()

    def put(self, rows: NDArray[np.void]) -> None:
        """Rows that come next."""
        self._rows.append(rows)

    def read(self, *, until: int) -> NDArray[np.void] | None:
        """As ``engine.feed.Feed``."""
        if self._rows:
            return self._rows.popleft()
        return None if self.ended else NOTHING


class Records(Journal):
    """A journal that hands over what was written since it was last asked, and counts what it says of whom."""

    def __init__(self, accounts: int) -> None:
        super().__init__()
        self._kinds = np.zeros((accounts, KINDS), np.int64)
        self._uncounted: list[bytes] = []
        self._parts: list[bytes] = []

    def append(self, records: NDArray[np.void]) -> None:
        super().append(records)
        data = records.tobytes()
        self._uncounted.append(data)
        self._parts.append(data)
        if len(self._uncounted) == MANY:
            _ = self.kinds

    @property
    def kinds(self) -> NDArray[np.int64]:
        """Records so far by account and ``RecordKind``."""
        if self._uncounted:
            records = np.frombuffer(b"".join(self._uncounted), RECORD)
            cells = records["account"].astype(np.intp) * KINDS + records["kind"]
            self._kinds += np.bincount(cells, minlength=self._kinds.size).reshape(self._kinds.shape)
            self._uncounted = []
        return self._kinds

    def take(self) -> bytes:
        """RECORD[n] as bytes."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class BrokerCore:
    """A simulated market whose strategies answer from elsewhere.

    Parameters
    ----------
    tape : Tape
        What is published, without its rows; panels are filled as days close.
    members : sequence of Member
        In the order of the config.
    broker, risk : BrokerConfig, RiskConfig
        With the average days that the impact model needs.
    seed : int
    """

    def __init__(
        self, tape: Tape, members: Sequence[Member], *, broker: BrokerConfig, risk: RiskConfig, seed: int
    ) -> None:
        self.members = list(members)
        self.records = Records(len(members))
        self.venue = SimulatedBroker(
            tape.instruments,
            sessions=tape.sessions,
            actions=tape.manifest.actions,
            config=broker,
            risk=risk,
            seed=seed,
            accounts=[member.account for member in members],
            wakes=[member.wake for member in members],
            wants=[member.wants for member in members],
            probes=[member.probes for member in members],
            journal=self.records,
            panels=tape.panels,
        )
        self.waiting: int | None = None  # the account whose answer is awaited
        self.ended = False
        self.rows = 0  # taken so far, CLOCK rows included
        self.wakes = 0  # of all accounts
        self.numbers = [-1] * len(members)  # last wake of each account
        self.reports = [0] * len(members)
        self.late = 0  # answers and orders applied after the moment that caused them
        self._inbox = Inbox(tape)
        self._shown = [Shown(self.venue, account) for account in range(len(members))]
        self._clocks: deque[int] = deque()  # places of CLOCK rows that have not been seen
        self._clocks_seen = 0
        self._loop = wakeups([Strategy() for _ in members], self._inbox, self.venue)

    @property
    def stamp(self) -> Stamp:
        """Where an input would be applied now."""
        return Stamp(self.rows, self.wakes, self.waiting is None)

    @property
    def seq(self) -> int:
        """Numbered rows that strategies have seen."""
        seen = self.venue.rows_seen
        while self._clocks and self._clocks[0] < seen:
            self._clocks.popleft()
            self._clocks_seen += 1
        return seen - self._clocks_seen

    # --- inputs -----------------------------------------------------------------------------------------------------

    def start(self) -> list[tuple[int, Watermark | Report]]:
        """The first wake, ``Started``; like every input, returns (account, what it is told)."""
        return self._go()

    def take_rows(self, rows: NDArray[np.void]) -> list[tuple[int, Watermark | Report]]:
        """ROW[n] that come next."""
        assert not self.ended
        clocks = np.flatnonzero(rows["kind"] == Kind.CLOCK)
        self._clocks.extend((clocks + self.rows).tolist())
        self.rows += len(rows)
        self._inbox.put(rows)
        return [] if self.waiting is not None else self._go()

    def answer(self, requests: Sequence[Request] = ()) -> list[tuple[int, Watermark | Report]]:
        """What the awaited account asks for, at the wake it was told of; nothing is also an answer."""
        assert self.waiting is not None
        account, self.waiting = self.waiting, None
        self.apply(account, requests)
        return self._go()

    def apply(self, account: int, requests: Sequence[Request]) -> int:
        """Requests that no wake awaits, applied here and now; the number of the first order among them, or 0."""
        first, venue = 0, self.venue
        if requests:
            self._shown[account].stir()
        for request in requests:
            if isinstance(request, Order):
                number = venue.send(
                    account, request.instrument, request.side, request.kind, request.tif, request.flags,
                    request.price, request.size, request.stop, request.display, request.expire_ts,
                )  # fmt: skip
                first = first or number
            elif isinstance(request, Cancel):
                venue.cancel(account, request.order_no)
            elif isinstance(request, CancelAll):
                venue.cancel_all(account, request.instrument)
            elif isinstance(request, Replace):
                venue.replace(account, request.order_no, request.price, request.size)
            elif isinstance(request, WakeAt):
                venue.wake_at(account, request.ts)
            elif venue.dealer is not None and venue.dealer.dealing == account:
                venue.deal(account, unpack(Packed(*request.terms)), request.side, request.size)
        return first

    def check(self, account: int, requests: Sequence[Request]) -> None:
        """Whether requests are such as a desk makes.

        Raises
        ------
        BadRequest
            If one is not; none of them may then be applied.
        """
        n = len(self.venue.instruments)
        for i, request in enumerate(requests):
            if isinstance(request, Order) and not (
                request.instrument < n and request.side != 0 and request.kind in _TYPES and request.tif in _TIFS
                and request.flags & ~_FLAGS == 0
            ):  # fmt: skip
                raise BadRequest(f"request {i}: no such instrument, side, type, time in force or flag: {request}")
            if isinstance(request, CancelAll) and request.instrument >= n:
                raise BadRequest(f"request {i}: instrument {request.instrument}, but the market has {n}")
            if isinstance(request, WakeAt) and not self.members[account].attached:
                raise BadRequest(f"request {i}: an account without wakes cannot ask for one")
            if isinstance(request, Deal):
                self._check_deal(i, account, request)

    def _check_deal(self, i: int, account: int, deal: Deal) -> None:
        dealer = self.venue.dealer
        if dealer is None or not self.members[account].attached:
            raise BadRequest(f"request {i}: deals are made by strategies, in on_close of a market with panels")
        try:
            unpack(Packed(*deal.terms))
        except (TypeError, ValueError, StrategyError) as error:
            raise BadRequest(f"request {i}: these are no terms of a contract: {error}") from None

    def next_order(self, account: int) -> int:
        """The number that the account's next order will have."""
        return self.venue.orders_sent(account) + 1

    def kill(self, account: int) -> None:
        """Latch an account's kill switch."""
        self.venue.kill(account)

    def rearm(self, account: int) -> None:
        """Release it."""
        self.venue.rearm(account)

    def end(self) -> list[tuple[int, Watermark | Report]]:
        """No more rows."""
        self._inbox.ended = True
        return [] if self.waiting is not None else self._go()

    def take_records(self) -> bytes:
        """RECORD[n] since the last call, as bytes."""
        self.venue.close()  # writes what the kernel holds; the ledger stays as it is
        return self.records.take()

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _go(self) -> list[tuple[int, Watermark | Report]]:
        """On to the next wake that somebody must answer, or to the end of the rows."""
        told: list[tuple[int, Watermark | Report]] = []
        for event, _ in self._loop:
            if type(event) is events.Idle:
                return told
            account = self.numbers.index(-1) if type(event) is events.Started else self.venue.account
            self.wakes += 1
            self.numbers[account] += 1
            if isinstance(event, events.OrderEvent):
                self.reports[account] += 1
            if self.members[account].attached:
                self.waiting = account
                told.append((account, self._watermark(account, event)))
                return told
            if isinstance(event, events.OrderEvent):
                told.append((account, self._report(account, event)))
        self.ended = True
        return told

    def _watermark(self, account: int, event: Any) -> Watermark:
        return Watermark(
            wake=self.numbers[account],
            seq=self.seq,
            ts=self.venue.clock,
            cause=self.venue.cause,
            reports=self.reports[account],
            event=event,
            view=self._shown[account].changes(),
        )

    def _report(self, account: int, event: Any) -> Report:
        i = self.venue.symbols.index(event.symbol) if event.symbol in self.venue.symbols else -1
        position = self.venue.position(account, i) if i >= 0 else 0
        return Report(self.reports[account], self.venue.clock, event, position, self.seq)

    def digest(self, account: int) -> bytes:
        """Of what an attached account was shown last."""
        return self._shown[account].digest()


class Applied(NamedTuple):
    """A logged input: what was done, where."""

    stamp: Stamp
    account: int
    what: str  # "progress", "skip", "orders", "kill", "rearm", "gone", "end"
    requests: Sequence[Request] = ()


def apply_logged(core: BrokerCore, one: Applied) -> list[tuple[int, Watermark | Report]]:
    """Do what a logged input says; the core must be where its stamp says."""
    if one.what in ("progress", "skip"):
        return core.answer(one.requests)
    if one.what == "orders":
        core.apply(one.account, one.requests)
    elif one.what == "gone":
        core.apply(one.account, [CancelAll(-1)])
    elif one.what == "kill":
        core.kill(one.account)
    elif one.what == "rearm":
        core.rearm(one.account)
    elif one.what == "end":
        return core.end()
    return []


def bring_to(core: BrokerCore, stamp: Stamp, read: Any) -> list[tuple[int, Watermark | Report]]:
    """Advance a core to a stamp; wakes that no input was logged for were answered with nothing.

    ``read(first, n)`` gives ROW[n] of the rows as they were taken, CLOCK rows included.

    Raises
    ------
    RunError
        If there are not so many rows or wakes.
    """
    told: list[tuple[int, Watermark | Report]] = []
    while True:
        if core.waiting is not None and (core.wakes < stamp.wakes or (stamp.idle and core.rows == stamp.rows)):
            told += core.answer()
        elif core.rows < stamp.rows:
            rows = read(core.rows, stamp.rows - core.rows)
            if not len(rows):
                raise RunError(f"the log speaks of row {stamp.rows}, but only {core.rows} were kept")
            told += core.take_rows(rows)
        else:
            break
    if core.wakes != stamp.wakes:
        raise RunError(f"the log speaks of wake {stamp.wakes}, but these rows give {core.wakes}")
    return told
