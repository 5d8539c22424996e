"""What travels between the roles: msgpack arrays with a tag, bounded, one union per direction.

Three protocols share one version. Their messages and the rules of each are told in docs/protocol.md:

* market data, feed to all (``FeedMessage``), published, numbered; nothing comes back on that socket;
* recovery, ``FeedRequest`` to the feed and ``FeedReply`` back: joining, and what was lost;
* orders, ``BrokerRequest`` to the broker and ``BrokerReply`` back; ``AdminRequest`` and ``AdminReply`` for operators.

Rows travel as the bytes that a tape holds: 64 a row. Everything else is integers, short strings and short lists; no
floating point, nothing nested without a bound.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import msgspec

from engine import events
from engine.live import schema

PROTOCOL = (1, 1)  # major: others are refused; minor: fields may be appended, with defaults
BATCH_ROWS = 8_192  # most rows in one message
PANEL_PART = 262_144  # most bytes of a panel in one message
LARGEST_FEED_FRAME = 1 << 20  # bytes; more is not decoded
LARGEST_ORDER_FRAME = 1 << 16
LARGEST_REPLY_FRAME = 1 << 20

Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Small = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Side = Annotated[int, msgspec.Meta(ge=-1, le=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Word = Annotated[str, msgspec.Meta(max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=1_024)]
Digest = Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
RowBytes = Annotated[bytes, msgspec.Meta(max_length=(BATCH_ROWS + 64) * 64)]
PanelBytes = Annotated[bytes, msgspec.Meta(max_length=PANEL_PART)]
Blob = Annotated[bytes, msgspec.Meta(max_length=LARGEST_REPLY_FRAME)]
Version = Annotated[tuple[Small, Small], msgspec.Meta()]


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """One message."""


class OrderMessage(Message, frozen=True, array_like=True, tag=True, gc=False, forbid_unknown_fields=True):
    """One message on the order path, where what is not understood is refused."""


# --- market data: feed to all -----------------------------------------------------------------------------------------


class Batch(Message, frozen=True, array_like=True, tag="B", gc=False):
    """Rows in order. ``first`` is the number of the first one, or the next expected one where there is none.

    ``n`` counts the numbered rows in ``rows``: CLOCK rows among them take no number. ``n`` = 0 is a heartbeat or a
    clock; ``n`` = -1 ends the stream at ``first``.
    """

    stream: Name
    epoch: Count
    first: Count
    n: Annotated[int, msgspec.Meta(ge=-1, le=BATCH_ROWS)]
    ts_pub: Count  # ns UTC on the feed's wall clock; for measuring, never for deciding
    rows: RowBytes


class PanelPart(Message, frozen=True, array_like=True, tag="P", gc=False):
    """A piece of one panel on one day (``day`` -1: the whole of an ``axis_`` panel), ahead of the day's CLOSE row."""

    stream: Name
    epoch: Count
    name: Name
    day: Annotated[int, msgspec.Meta(ge=-1, le=2**31)]
    part: Small
    parts: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    digest: Digest  # BLAKE2b-128 of the whole
    data: PanelBytes


FeedMessage = Batch | PanelPart

# --- recovery ---------------------------------------------------------------------------------------------------------


class Join(Message, frozen=True, array_like=True, tag="J", gc=False):
    """Who comes, with which protocol; answered by ``Market``."""

    protocol: Version
    schema: Digest


class PanelShape(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A panel of the market: the shape of one day of it, or of the whole of an ``axis_`` panel."""

    name: Name
    dtype: Text  # numpy's ("<f8"); of a table with named columns, a JSON list of [name, type]
    shape: Annotated[tuple[Count, ...], msgspec.Meta(max_length=8)]
    days: Count  # 0 for an axis_ panel


class Market(Message, frozen=True, array_like=True, tag="M", gc=False):
    """What is published, and how far it has come: the snapshot on joining."""

    protocol: Version
    schema: Digest
    stream: Name
    epoch: Count
    next_seq: Count
    ended: bool
    speed: Count  # thousandths of real time; 0 is as fast as it goes
    content: Annotated[str, msgspec.Meta(max_length=128)]  # of the tape published; "" where it has no end
    manifest: Blob  # engine.tape.Manifest as JSON
    average_days: Blob  # {symbol: engine.broker.impact.Market} as JSON, measured from the tape
    panels: Annotated[list[PanelShape], msgspec.Meta(max_length=256)]


class WantRows(Message, frozen=True, array_like=True, tag="W", gc=False):
    """Rows again, from number ``first``, at most ``n`` of them; answered by one ``Batch``. Ask on when it has come."""

    first: Count
    n: Annotated[int, msgspec.Meta(ge=1, le=BATCH_ROWS)]


class WantPanel(Message, frozen=True, array_like=True, tag="Q", gc=False):
    """A part of a panel's day again; answered by one ``PanelPart``."""

    name: Name
    day: Annotated[int, msgspec.Meta(ge=-1, le=2**31)]
    part: Small


class Push(Message, frozen=True, array_like=True, tag="U", gc=False):
    """Rows from outside for the feed to number and publish, under the data rules; answered by ``Pushed``."""

    push: Count  # 0, 1, 2, ... by this publisher; the same number again is the same rows
    rows: RowBytes


class Pushed(Message, frozen=True, array_like=True, tag="V", gc=False):
    """The rows of a push are in the feed's tape; ``next_seq`` after them, and what the data rules found."""

    push: Count
    next_seq: Count
    verdict: Annotated[dict[Name, Count], msgspec.Meta(max_length=64)]


class Refused(Message, frozen=True, array_like=True, tag="R", gc=False):
    """A request that cannot be answered, and why."""

    reason: Name
    text: Text


FeedRequest = Join | WantRows | WantPanel | Push
FeedReply = Market | Batch | PanelPart | Pushed | Refused

# --- orders -----------------------------------------------------------------------------------------------------------


class ProbeTerms(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """``engine.signals.Probe``; of its model only the hash, since the broker opens none but those of its own config."""

    symbol: Name
    clock: Name
    content: Word  # "" for a probe without a model


class WakeTerms(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """``engine.strategy.Wake``, and whether the strategy listens to fills and to other events of its orders."""

    every_ns: Count
    on_quote: bool
    on_trade: bool
    on_depth: bool
    on_bar: bool
    on_close: bool
    on_status: bool
    mid_moved_ticks: Count
    symbols: Annotated[tuple[Name, ...], msgspec.Meta(max_length=4_096)]
    fills: bool
    orders: bool
    signal: Word = ""
    above: Int = 0  # the float64's bits
    probes: Annotated[tuple[ProbeTerms, ...], msgspec.Meta(max_length=4_096)] = ()


class Hello(OrderMessage, frozen=True, array_like=True, tag="H", gc=False, forbid_unknown_fields=True):
    """Who attaches, and what it remembers: the broker goes on from there.

    A strategy says ``wake`` and how far it had come (wakes it has answered, reports it has heard); -1 for nothing. A
    program of a desk's own has no ``wake``: its orders are stamped as they arrive.
    """

    protocol: Version
    schema: Digest
    account: Name
    wake: WakeTerms | None
    source: Word  # digest of the strategy's code and parameters
    answered: Annotated[int, msgspec.Meta(ge=-1, le=2**62)]  # last wake answered
    heard: Count  # reports heard
    replay: bool  # True: send all wakes again from the first, this process has none of them


class Order(msgspec.Struct, frozen=True, array_like=True, tag="N", gc=False, forbid_unknown_fields=True):
    """A new order; numbers as in ``engine.orders``, prices and sizes in the instrument's units."""

    instrument: Small
    side: Side
    kind: Small
    tif: Small
    flags: Small
    price: Int
    size: Int
    stop: Int
    display: Int
    expire_ts: Int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="C", gc=False, forbid_unknown_fields=True):
    """Cancel an order by its number in the account."""

    order_no: Count


class CancelAll(msgspec.Struct, frozen=True, array_like=True, tag="A", gc=False, forbid_unknown_fields=True):
    """Cancel all orders of the account, or of one instrument of it (-1: all)."""

    instrument: Annotated[int, msgspec.Meta(ge=-1, le=65_535)]


class Replace(msgspec.Struct, frozen=True, array_like=True, tag="R", gc=False, forbid_unknown_fields=True):
    """A new limit price and open size of an order."""

    order_no: Count
    price: Int
    size: Int


class WakeAt(msgspec.Struct, frozen=True, array_like=True, tag="T", gc=False, forbid_unknown_fields=True):
    """One wake at a time of the strategy's clock."""

    ts: Int


class Deal(msgspec.Struct, frozen=True, array_like=True, tag="D", gc=False, forbid_unknown_fields=True):
    """Deal over the counter on the close that woke the strategy; ``terms`` are ``engine.contracts.Packed``."""

    terms: Annotated[tuple[Int, ...], msgspec.Meta(max_length=16)]
    side: Side
    size: Int


Request = Order | Cancel | CancelAll | Replace | WakeAt | Deal
Requests = Annotated[list[Request], msgspec.Meta(max_length=1_024)]


class Progress(OrderMessage, frozen=True, array_like=True, tag="P", gc=False, forbid_unknown_fields=True):
    """A wake is answered with these requests, in this order. The same wake again must bring the same requests.

    An answer too long for one message is sent in pieces; ``more`` is set on all but the last.
    """

    wake: Count
    requests: Requests
    more: bool = False
    first: Count = 0  # place of the first of these requests in the whole answer


class Orders(OrderMessage, frozen=True, array_like=True, tag="O", gc=False, forbid_unknown_fields=True):
    """Requests of a program without wakes, under its own id: the same id again must bring the same requests."""

    cid: Name
    requests: Requests
    expire_ts: Count = 0  # not to be applied once the market's time is past this; 0 never


class Beat(OrderMessage, frozen=True, array_like=True, tag="T", gc=False, forbid_unknown_fields=True):
    """Still here, and this far: sent by the thread that runs the strategy, or by the broker."""

    wake: Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
    ts_sent: Count  # ns UTC, wall clock; to measure offsets between hosts


class Done(OrderMessage, frozen=True, array_like=True, tag="F", gc=False, forbid_unknown_fields=True):
    """The strategy has stopped: its parent orders (zlib of a JSON list) and what it declined, for the reports."""

    parents: Blob
    declined: Annotated[dict[Text, Count], msgspec.Meta(max_length=1_024)]


class Goodbye(OrderMessage, frozen=True, array_like=True, tag="G", gc=False, forbid_unknown_fields=True):
    """Leaving on purpose: cancel what works, then forget this connection."""


BrokerRequest = Hello | Progress | Orders | Beat | Done | Goodbye


class Welcome(Message, frozen=True, array_like=True, tag="W", gc=False):
    """Attached. The next wake that the broker has no answer to, and how many reports it has for the account."""

    protocol: Version
    run: Name
    account: Small
    next_wake: Count
    reports: Count
    ended: bool


class View(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the account's desk shows that differs from the wake before: index and value, flat, where it is a table."""

    positions: tuple[Int, ...] = ()  # instrument, units, ...
    cash: tuple[Int, ...] = ()  # currency (sorted), micro-units, ...
    volumes: tuple[Int, ...] = ()  # instrument, session volume, ...
    shifts: tuple[Int, ...] = ()  # instrument, displacement shown, ...
    days: tuple[Int, ...] = ()  # close-of-day market, last known panel day, ...
    orders: Blob | None = None  # int64[n, 5] of ``open_orders``, if they changed
    contracts: Blob | None = None  # rows of the contract book that changed (``engine.live.contract_rows``)
    signals: Annotated[tuple[events.Signal, ...], msgspec.Meta(max_length=4_096)] = ()  # of probes, those that changed


class Watermark(Message, frozen=True, array_like=True, tag="K", gc=False):
    """A wake: all that is due by now has been reported, and the strategy may act on ``event``."""

    wake: Count
    seq: Count  # numbered rows that the strategy has seen
    ts: Int  # the strategy's clock
    cause: tuple[Int, Int]  # source and number of the last row it has seen
    reports: Count  # of the account so far
    event: events.AnyEvent | events.Started
    view: View


class Received(Message, frozen=True, array_like=True, tag="R", gc=False):
    """Orders are in the broker's journal, on disk where it is durable. What becomes of them comes as reports."""

    wake: Annotated[int, msgspec.Meta(ge=-1, le=2**62)]  # of a Progress, else -1
    cid: Word  # of Orders, else ""
    first_order: Count  # number of the first new order among them; 0 for none
    duplicate: bool
    late: bool  # applied later than the market data that caused it


class Report(Message, frozen=True, array_like=True, tag="E", gc=False):
    """Something happened to an order of a program without wakes."""

    report: Count  # 1, 2, 3, ... in the account
    ts: Int  # when it is heard, the account's clock
    event: events.AnyEvent
    position: Int  # units held in the event's instrument after it, as heard
    seq: Count  # numbered rows applied


class Reject(Message, frozen=True, array_like=True, tag="X", gc=False):
    """A message that is not accepted, and why."""

    reason: Name
    text: Text
    wake: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = -1
    cid: Word = ""


class Reconcile(Message, frozen=True, array_like=True, tag="C", gc=False):
    """Digest of what the account's desk shows after ``wake``; who disagrees halts."""

    wake: Count
    reports: Count
    digest: Digest


class End(Message, frozen=True, array_like=True, tag="Z", gc=False):
    """The market has ended, everything is reported: the run's records and their fingerprint."""

    records: Count
    fingerprint: Annotated[str, msgspec.Meta(max_length=128)]
    late_orders: Count
    skipped_wakes: Count


BrokerReply = Welcome | Watermark | Received | Report | Reject | Reconcile | Beat | End

# --- operators --------------------------------------------------------------------------------------------------------


class Kill(OrderMessage, frozen=True, array_like=True, tag="K", gc=False, forbid_unknown_fields=True):
    """Latch the kill switch of an account ("" for all) and cancel what works."""

    account: Word
    why: Text


class Rearm(OrderMessage, frozen=True, array_like=True, tag="A", gc=False, forbid_unknown_fields=True):
    """Let an account trade again; ``latch`` is the number that the kill was given."""

    latch: Count


class Ask(OrderMessage, frozen=True, array_like=True, tag="S", gc=False, forbid_unknown_fields=True):
    """How things stand."""


class Shutdown(OrderMessage, frozen=True, array_like=True, tag="Q", gc=False, forbid_unknown_fields=True):
    """Seal the run and end."""


AdminRequest = Kill | Rearm | Ask | Shutdown


class Standing(Message, frozen=True, array_like=True, tag="S", gc=False):
    """How things stand, as JSON (``engine.live.standing.Standing``)."""

    json: Blob


class Obeyed(Message, frozen=True, array_like=True, tag="O", gc=False):
    """Done; ``latch`` numbers a kill."""

    latch: Count
    text: Text


AdminReply = Standing | Obeyed | Reject


class BadMessage(ValueError):
    """Bytes that are no message of the expected kind; ``reason`` is one word."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


class Decoder:
    """Bytes to messages of one direction.

    Parameters
    ----------
    kind : type
        A union of messages.
    largest : int
        Bytes; longer frames are refused unread.
    """

    def __init__(self, kind: Any, largest: int) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._largest = largest

    def __call__(self, frame: bytes | memoryview) -> Any:
        """The message in ``frame``.

        Raises
        ------
        BadMessage
            If there is none: whatever the bytes are, nothing else is raised.
        """
        if len(frame) > self._largest:
            raise BadMessage("TOO_LONG", f"{len(frame)} bytes, but at most {self._largest} are read")
        try:
            return self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            raise BadMessage("MALFORMED", str(error)[:512]) from None


feed_message = Decoder(FeedMessage, LARGEST_FEED_FRAME)
feed_request = Decoder(FeedRequest, LARGEST_FEED_FRAME)
feed_reply = Decoder(FeedReply, 2 * LARGEST_FEED_FRAME)
broker_request = Decoder(BrokerRequest, LARGEST_ORDER_FRAME)
broker_reply = Decoder(BrokerReply, LARGEST_REPLY_FRAME)
admin_request = Decoder(AdminRequest, LARGEST_ORDER_FRAME)
admin_reply = Decoder(AdminReply, LARGEST_REPLY_FRAME)


@cache
def schema_digest(major: int = PROTOCOL[0]) -> bytes:
    """BLAKE2b-128 of every message's fields: two programs that agree on it agree on each name, type and bound."""
    unions = (FeedMessage, FeedRequest, FeedReply, BrokerRequest, BrokerReply, AdminRequest, AdminReply)
    return schema.digest(major, unions)


def disagreement(protocol: tuple[int, int], digest: bytes, *, strict: bool) -> str:
    """Why a peer of this version cannot be talked with, in one sentence; "" if it can.

    Another minor version has fields appended, which market data lets pass both ways. On the order path (``strict``)
    an older peer's messages are whole without them, a newer one's would be refused for them.
    """
    (major, minor), ours = protocol, f"{PROTOCOL[0]}.{PROTOCOL[1]}"
    if major != PROTOCOL[0]:
        return f"the peer speaks protocol {major}.{minor}, this side {ours}; install the same version on both sides"
    if strict and minor > PROTOCOL[1]:
        return f"the peer speaks protocol {major}.{minor}, newer than {ours} here; orders are not guessed at: update"
    if minor == PROTOCOL[1] and digest != schema_digest():
        return (
            f"both sides say protocol {ours}, but the messages differ (schema {digest.hex()} there, "
            f"{schema_digest().hex()} here); install the same version on both sides"
        )
    return ""
