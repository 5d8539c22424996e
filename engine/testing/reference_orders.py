"""One order of ours on its way through the venue, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from engine.journal import RecordKind
from engine.orders import Op, OrderFlag, OrderType, Reason, TimeInForce

STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
PEGS = (OrderType.PEG_PRIMARY, OrderType.PEG_MARKET, OrderType.PEG_MID)
AUCTIONS = (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE, TimeInForce.AUCTION)
AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


@dataclass(eq=False)
class Order:
    """Terms as sent, then the order's state at the venue. ``open`` is what is still to trade."""

    account: int
    number: int
    instrument: int
    side: int
    type: int
    tif: int
    flags: int
    price: int
    size: int
    stop: int
    display: int
    expire_ts: int
    sent: int
    cause: tuple[int, int]

    open: int = 0
    is_open: bool = False
    triggered: bool = False
    working: int | None = None  # the price at which it rests in the queue; None: unseen or unpriced
    ahead: float = inf  # displayed size before it at its price; inf: not known (always a whole number otherwise)
    traded: int = 0  # at its price since it took its place or the level last changed
    shown: int = 0  # what may fill at this place in the queue
    place: int = 0  # running number of its place in the queue
    rows_before: int = 0  # rows that the venue had seen when it got that place
    fills: int = 0
    held: int | None = None  # the other side's best, as recorded, that a shift alone brought to its price

    @property
    def is_auction(self) -> bool:
        return self.tif in AUCTIONS

    @property
    def is_peg(self) -> bool:
        return self.type in PEGS

    @property
    def waits_for_stop(self) -> bool:
        return self.type in STOPS and not self.triggered

    @property
    def is_market(self) -> bool:
        return self.type in (OrderType.MARKET, OrderType.STOP)

    @property
    def has_limit(self) -> bool:
        return self.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) or self.price != 0

    @property
    def post_only(self) -> bool:
        return bool(self.flags & OrderFlag.POST_ONLY)


class Request(NamedTuple):
    """What a strategy sent: a new order, or a cancel or replace of one."""

    op: Op
    account: int
    number: int
    sent: int
    cause: tuple[int, int]
    instrument: int  # of its order as far as the account remembers it, else 0
    order: Order | None = None
    price: int = 0
    size: int = 0


class Report(NamedTuple):
    """What the venue tells an account; ``kind`` is the record's."""

    ts: int
    account: int
    kind: RecordKind
    number: int
    instrument: int
    side: int = 0
    price: int = 0
    size: int = 0
    leaves: int = 0
    fee: int = 0
    maker: bool = False
    op: Op = Op.NEW
    reason: Reason = Reason.NONE

    @property
    def ends_order(self) -> bool:
        """Nothing more will happen to the order."""
        refused = self.kind == RecordKind.REJECT and self.op == Op.NEW
        filled = self.kind == RecordKind.FILL and not self.leaves
        return refused or filled or self.kind in (RecordKind.CANCEL, RecordKind.EXPIRE)
