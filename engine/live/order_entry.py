"""A program's side of the order path: what it has asked for, what it was told, what must be sent again.

Without sockets, disk or clock, like the roles' cores: ``now`` is a monotonic clock in ns that decides about time-outs
only. Frames come in by ``take``; what is to be sent waits in ``outgoing``.

1. ``Hello`` until ``Welcome``; then a ``Beat`` each 500 ms, because the broker cancels what a silent program left.
2. Requests go out under an id of ours, and stay in hand until ``Received`` or ``Reject`` names it. Silence is neither:
   after a second, and after each ``Welcome``, they are sent again under the same id; the broker applies them once.
3. Reports are numbered 1, 2, 3, ... in the account. One again is dropped; one missing, be it only that the broker's
   ``Beat`` counts more, makes us say ``Hello`` again: it names the last one heard, and the broker goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from engine import events
from engine.errors import RunError
from engine.live import messages as m

BEAT_NS = 500_000_000
SILENCE_NS = 3_500_000_000  # of a broker that beats each 500 ms: it or the way to it is gone
PATIENCE_NS = 1_000_000_000  # before a Hello is said again
AGAIN_NS = 200_000_000  # least time between two Hellos that a missing report asks for
IN_HAND = 1_000  # most messages that wait for an answer
STRANGER = "NOT_ATTACHED"  # the broker has forgotten us, or never knew: say Hello
TAKEN = "ALREADY_ATTACHED"  # by another program, or by us before the way was cut: it will be free once that is missed


class Sent(msgspec.Struct, eq=False, gc=False):
    """An order of ours, as far as we have heard."""

    cid: str  # of the message that carried it
    symbol: str
    side: int
    price: int  # its limit; 0 for none
    leaves: int  # still open
    number: int = 0  # in the account, as reports name it; 0 until the broker has received it
    status: str = "SENT"  # SENT, RECEIVED, WORKING; ENDED (filled, cancelled, expired), REFUSED
    reason: str = ""  # why it ended or was refused
    asked: list[tuple[int, int]] = []  # price and open size of replaces that nobody has answered for

    @property
    def is_open(self) -> bool:
        """Not known to be over; an order that nobody has answered for is open."""
        return self.status not in ("ENDED", "REFUSED")


class _InHand(msgspec.Struct, gc=False):
    """Requests that nobody has answered for, and the orders that they make."""

    frame: bytes
    made: list[Sent]
    since: int = 0  # when it was last sent; 0 not yet


class _Later(NamedTuple):
    """A cancel or replace of an order whose number is not known yet."""

    cid: str
    order: Sent
    request: m.Cancel | m.Replace
    expire_ts: int


class OrderEntry:
    """The state of one program's attachment to one account.

    Parameters
    ----------
    account : str
        Of the broker's config, for programs of a desk's own.
    """

    def __init__(self, account: str) -> None:
        self.account = account
        self.outgoing: list[bytes] = []
        self.unsaved: list[bytes] = []  # of ``outgoing``, what an outbox has to hold before it leaves
        self.settled: list[m.Received | m.Reject] = []  # what an outbox need not send again
        self.welcome: m.Welcome | None = None  # of the attachment in force; None while there is none
        self.end: m.End | None = None
        self.heard = 0  # reports
        self.positions: dict[str, int] = {}  # symbol -> size units, as heard
        self.orders: dict[int, Sent] = {}  # by number, those that this program sent
        self._in_hand: dict[str, _InHand] = {}  # by cid, oldest first
        self._later: list[_Later] = []
        self._early: dict[int, list[events.OrderEvent]] = {}  # told of before we knew that the number is ours
        self.refusal = ""  # why the broker does not welcome us yet
        self._missed = -1  # reports heard when a Beat last counted more
        self._said_hello = -PATIENCE_NS
        self._last_beat = 0
        self._last_heard = 0

    # --- doing -----------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether so much waits for an answer that nothing may be added."""
        return len(self._in_hand) >= IN_HAND

    def ask(self, cid: str, requests: Sequence[m.Request], made: Sequence[Sent] = (), *, expire_ts: int = 0) -> None:
        """Send requests under an id that is new; ``made`` are the orders among them, in order."""
        assert cid not in self._in_hand
        frame = m.encode(m.Orders(cid, list(requests), expire_ts))
        self._in_hand[cid] = _InHand(frame, list(made))
        self.unsaved.append(frame)
        if self.welcome is not None:
            self.outgoing.append(frame)  # again at the next chance, if it is not answered by then

    def change(self, cid: str, order: Sent, request: m.Cancel | m.Replace, *, expire_ts: int = 0) -> None:
        """Send a cancel or replace of an order of ours, whatever number it names, once the order has one."""
        if not order.is_open:
            return
        if order.number == 0:
            self._later.append(_Later(cid, order, request, expire_ts))
            return
        if isinstance(request, m.Replace):
            order.asked = [*order.asked, (request.price, request.size)]
        self.ask(cid, [msgspec.structs.replace(request, order_no=order.number)], expire_ts=expire_ts)

    def restore(self, orders: m.Orders, symbols: Sequence[str], settled: m.Received | m.Reject | None = None) -> None:
        """Requests of an earlier life of this program; sent again where nothing says that they arrived."""
        made = [
            Sent(orders.cid, symbols[one.instrument], one.side, one.price, one.size)
            for one in orders.requests
            if type(one) is m.Order
        ]
        self._in_hand[orders.cid] = _InHand(m.encode(orders), made)
        if settled is not None:
            self._settle(settled)

    def in_hand(self, cid: str) -> bool:
        """Whether nobody has answered for these requests yet."""
        return cid in self._in_hand

    def open_orders(self) -> list[Sent]:
        """Orders not known to be over, oldest first, those just sent included."""
        waiting = [order for one in self._in_hand.values() for order in one.made]
        return [order for order in self.orders.values() if order.is_open] + [o for o in waiting if o.is_open]

    def goodbye(self) -> None:
        """Leave: the broker cancels what works."""
        if self.welcome is not None:
            self.outgoing.append(m.encode(m.Goodbye()))

    # --- time ------------------------------------------------------------------------------------------------------

    def pass_time(self, now: int, wall: int) -> None:
        """Say what is due: ``Hello`` while nobody welcomes us, a ``Beat`` while somebody has (``wall``: ns UTC)."""
        if self.welcome is not None and now - self._last_heard > SILENCE_NS:
            self.welcome = None
        if self.welcome is None:
            if now - self._said_hello >= PATIENCE_NS:
                self._hello(now)
        elif now - self._last_beat >= BEAT_NS:
            self._last_beat = now
            self.outgoing.append(m.encode(m.Beat(-1, wall)))
            self._send_again(now)

    def _send_again(self, now: int) -> None:
        """What was sent before the last ``PATIENCE_NS`` and has no answer."""
        for one in self._in_hand.values():
            if one.since and now - one.since >= PATIENCE_NS:
                self.outgoing.append(one.frame)
                one.since = now
            elif not one.since:
                one.since = now

    @property
    def next_due(self) -> int:
        """When ``pass_time`` has something to say (monotonic ns)."""
        if self.welcome is None:
            return self._said_hello + PATIENCE_NS
        return min(self._last_beat + BEAT_NS, self._last_heard + SILENCE_NS + 1)

    def _hello(self, now: int) -> None:
        self._said_hello = now
        hello = m.Hello(m.PROTOCOL, m.schema_digest(), self.account, None, "", -1, self.heard, False)
        self.outgoing.append(m.encode(hello))

    # --- hearing ---------------------------------------------------------------------------------------------------

    def take(self, now: int, frame: bytes) -> list[events.OrderEvent | m.Reject]:
        """What a frame from the broker tells the program.

        Raises
        ------
        RunError
            If the broker will not have us, or has forgotten what it has told.
        """
        message = m.broker_reply(frame)
        self._last_heard = now
        match message:
            case m.Report():
                return self._report(now, message)
            case m.Received() if message.wake < 0:
                self._received(message)
            case m.Reject():
                return self._reject(now, message)
            case m.Welcome():
                self._welcomed(now, message)
            case m.Beat(wake=last):
                self._count(now, last + 1)
            case m.End():
                self.end = message
        return []

    def _count(self, now: int, reports: int) -> None:
        """The broker counts so many reports. Those just made may be on their way, so one Beat does not tell."""
        if reports > self.heard and self._missed == self.heard:
            self._hello_again(now)
        self._missed = self.heard if reports > self.heard else -1

    def _hello_again(self, now: int) -> None:
        """Reports are missing: have them told from the last one heard."""
        if now - self._said_hello >= AGAIN_NS:
            self._hello(now)

    def _welcomed(self, now: int, welcome: m.Welcome) -> None:
        if welcome.reports < self.heard:
            raise RunError(
                f"the broker knows {welcome.reports} reports of account '{self.account}', this program has heard "
                f"{self.heard}: its journal has lost what it told; do not trade on, see docs/protocol.md"
            )
        if self.welcome is None:
            for one in self._in_hand.values():
                self.outgoing.append(one.frame)
                one.since = now
        self.welcome, self.refusal = welcome, ""
        self._last_beat = now - BEAT_NS

    def _report(self, now: int, report: m.Report) -> list[events.OrderEvent | m.Reject]:
        if report.report <= self.heard:
            return []
        if report.report > self.heard + 1:
            self._hello_again(now)
            return []
        event = report.event
        if not isinstance(event, events.OrderEvent):
            raise RunError(f"report {report.report} tells of {event}, which happens to no order")
        self.heard = report.report
        self.positions[event.symbol] = report.position
        order = self.orders.get(event.order_id)
        if order is not None:
            _tell(order, event)
        elif self._in_hand:
            self._early.setdefault(event.order_id, []).append(event)
        return [event]

    def _reject(self, now: int, reject: m.Reject) -> list[events.OrderEvent | m.Reject]:
        if reject.reason == STRANGER:
            self.welcome = None
            self._hello(now)
            return []
        if reject.reason == TAKEN:
            self.refusal = reject.text
            return []
        if self.welcome is None and reject.cid not in self._in_hand:
            raise RunError(f"the broker refuses account '{self.account}': {reject.text} ({reject.reason})")
        if reject.cid in self._in_hand:
            self.settled.append(reject)
            self._settle(reject)
        return [reject]

    def _received(self, received: m.Received) -> None:
        if received.cid in self._in_hand:
            self.settled.append(received)
            self._settle(received)
            ready, self._later = self._later, []
            for one in ready:  # those whose order has no number yet go back to where they were
                self.change(one.cid, one.order, one.request, expire_ts=one.expire_ts)

    def _settle(self, answer: m.Received | m.Reject) -> None:
        """Requests that were in hand have their answer."""
        made = self._in_hand.pop(answer.cid).made
        if isinstance(answer, m.Reject):
            for order in made:
                order.status, order.reason, order.leaves = "REFUSED", answer.reason, 0
            return
        for number, order in enumerate(made, answer.first_order):
            order.number, order.status = number, "RECEIVED"
            self.orders[number] = order
            for event in self._early.pop(number, ()):
                _tell(order, event)
        if not self._in_hand:
            self._early.clear()  # of others that trade this account


def _tell(order: Sent, event: events.OrderEvent) -> None:
    match event:
        case events.Accepted(replaced=True):
            if order.asked:
                order.price, order.leaves = order.asked.pop(0)
        case events.Accepted():
            order.status = "WORKING"
        case events.Filled():
            order.leaves = event.leaves
            order.status = "WORKING" if event.leaves else "ENDED"
        case events.Cancelled() | events.Expired():
            order.leaves, order.status, order.reason = 0, "ENDED", event.reason
        case events.Rejected() if order.status != "WORKING":
            order.leaves, order.status, order.reason = 0, "REFUSED", event.reason
        case events.Rejected() if order.asked and event.reason != "UNKNOWN_ORDER":
            order.asked.pop(0)  # that replace was refused; the order works on
