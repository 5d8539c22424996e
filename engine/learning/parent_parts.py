"""What a parent's slippage against the market's VWAP is made of.

A fill at p is a way from the VWAP, over the mid as recorded (m) and the mid as displaced by our own trading (d)::

    p - VWAP  =  (m - VWAP)  +  (d - m)  +  (p - d)
                   timing        impact      spread

m is the mid after the rows of the fill's own time, d - m what stood of our earlier fills when it came. ``timing`` is
when it traded. ``impact`` also holds what the broker charges a fill beside its price. ``spread`` also holds levels
taken beyond the touch, is negative where more was earned than paid, and holds the move of the mid that filled a
resting order: without alpha ``timing`` is 0 in the mean. What is left undone at the parent's end counts as taken at
the other side's displaced touch: ``completion`` is that price against the VWAP. The displaced touch is what an
onlooker saw: one more strategy of the run, which never trades.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency
from engine.desk import Desk
from engine.feed import Feed
from engine.instruments import Instrument
from engine.journal import RecordKind
from engine.result import ParentCost
from engine.run import run
from engine.strategy import Strategy, Wake
from engine.tape import Tape

Ints = NDArray[np.int64]


class Touch(NamedTuple):
    """The two-sided, uncrossed touches of one instrument over time; int64[n] each, ns UTC and price units."""

    ts: Ints
    bid: Ints
    ask: Ints

    def at(self, ts: Ints, *, before: NDArray[np.bool_] | bool = False) -> Ints:
        """Index of the last touch at each time (where ``before``: strictly before it); -1 where there is none yet."""
        left, right = (np.searchsorted(self.ts, ts, side=side) - 1 for side in ("left", "right"))
        return np.where(before, left, right)


class Parts(NamedTuple):
    """bp of the VWAP times the parent's size; positive is money lost."""

    spread: float
    impact: float
    timing: float
    completion: float
    fees: float  # beside the slippage
    taken: int  # size units that crossed

    @property
    def slippage(self) -> float:
        """Against the VWAP, the remainder counted."""
        return self.spread + self.impact + self.timing + self.completion


class Onlooker(Strategy):
    """Notes every touch and never trades."""

    def __init__(self, symbol: str) -> None:
        super().__init__()
        self.wake = Wake(on_quote=True, symbols=(symbol,))
        self.seen = array("q"), array("q"), array("q")

    def on_quote(self, quote: events.Quote, desk: Desk) -> None:
        if quote.is_two_sided and quote.bid <= quote.ask:
            for column, value in zip(self.seen, (quote.ts_event, quote.bid, quote.ask), strict=True):
                column.append(value)

    def touch(self) -> Touch:
        """All that it saw."""
        return Touch(*(np.array(column, np.int64) for column in self.seen))


def recorded_touch(tape: Tape, symbol: str, feed_of: Callable[[Tape], Feed]) -> Touch:
    """The touch as it would have been without us."""
    onlooker = Onlooker(symbol)
    run(onlooker, feed_of(tape), broker=BrokerConfig(latency=Latency(feed=0), impact=NoImpact()))
    return onlooker.touch()


def parts_of(
    cost: ParentCost, records: NDArray[np.void], instrument: Instrument, displaced: Touch, recorded: Touch
) -> Parts:
    """The parts of one parent's cost.

    Parameters
    ----------
    cost : ParentCost
        With a VWAP.
    records : RECORD[n]
        Of its run; its account is the first.
    instrument : Instrument
    displaced, recorded : Touch
        As its orders met it, and as it would have been.
    """
    assert cost.interval_vwap is not None
    mine = (records["kind"] == RecordKind.FILL) & (records["account"] == 0)
    fills = records[mine & np.isin(records["order_no"], cost.children)]
    price, size, maker = fills["price"], fills["size"], (fills["flags"] & 1).astype(bool)
    vwap = cost.interval_vwap / instrument.quoted(1)
    mid = _mid(recorded, fills["ts"], price)
    # the row that fills a resting order shows a touch that this very fill has moved already
    free, met = (_mid(touch, fills["ts"], price, before=maker) for touch in (recorded, displaced))
    moved = mid + met - free
    worth = vwap * cost.size  # price units times size units
    per = 1e4 * cost.side / worth
    money = 1e4 / float(worth * instrument.money)
    return Parts(
        spread=float(per * (size * (price - moved)).sum()),
        impact=float(per * (size * (moved - mid)).sum()) + money * cost.impact_charged,
        timing=float(per * (size * (mid - vwap)).sum()),
        completion=per * (cost.size - cost.done) * (_far_touch(cost, displaced, vwap) - vwap),
        fees=money * cost.fees,
        taken=int(size[~maker].sum()),
    )


def _mid(touch: Touch, ts: Ints, otherwise: Ints, *, before: NDArray[np.bool_] | bool = False) -> NDArray[np.float64]:
    """Mids at some times; where there was no touch yet, the price paid: then all of it is timing."""
    if not len(touch.ts):
        return otherwise.astype(np.float64)
    at = touch.at(ts, before=before)
    return np.where(at >= 0, (touch.bid[at] + touch.ask[at]) / 2, otherwise)


def _far_touch(cost: ParentCost, touch: Touch, otherwise: float) -> float:
    """Where what is left could be taken when the parent ends."""
    at = int(touch.at(np.array([cost.end], np.int64), before=True)[0])
    return float((touch.ask if cost.side > 0 else touch.bid)[at]) if at >= 0 else otherwise
