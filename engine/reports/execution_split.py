"""What each fill of a parent cost, line by line: the way from its bin's market price to the price paid.

    price paid
      | own temporary impact     levels taken beyond the touch
      | spread                   touch against mid where it took, its price against mid where it rested
    mid, as displaced
      | own persisting impact    the displacement that stood when the order arrived, left by earlier orders
      | own temporary impact     and what was added to it since
    mid without us, at the fill
      | waiting                  how it moved since the order arrived
      | latency                  how it moved between what the strategy saw when it sent and the arrival
    mid without us, as seen when the order was sent
      | timing                   against the bin's VWAP
    market price of the bin

What impact charged to a fill beside its price is own temporary impact too: its own, which no price shows yet. Each line
of the way is exact, times side and size, in price units times size units; together they are the fill's part of T2 and
T3 but for when it was traded. Mids without us are those of the replay with impact off.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.broker.models import BrokerConfig
from engine.instruments import Instrument
from engine.journal import RecordKind
from engine.orders import OrderType
from engine.reports.execution_replay import Sight
from engine.reports.execution_result import FILL_LINES
from engine.venue_fee import venue_fee


class Fill(NamedTuple):
    """A fill of a parent and what it cost."""

    bin: int
    child: int  # order number; 0: the residual at the closing mark
    ts: int
    price: Fraction
    size: int
    maker: bool
    lines: tuple[Fraction, ...]  # by ``FILL_LINES``, price units times size units
    fee: int  # money; without what impact charged to it
    charge: int  # money; of impact, charged beside the price


class Child(NamedTuple):
    """A child order on its way."""

    number: int
    sent: int
    arrived: int
    size: int
    price: int  # its limit; 0 for none
    type: int  # OrderType

    @property
    def dark(self) -> bool:
        """Unseen at the mid: dark volume is modelled so."""
        return self.type == OrderType.PEG_MID


def children_of(numbers: list[int], records: NDArray[np.void]) -> dict[int, Child]:
    """Those of an account's records that reached the book, by order number."""
    mine = records[np.isin(records["order_no"], numbers)]
    orders = {int(one["order_no"]): one for one in mine[mine["kind"] == RecordKind.ORDER]}
    found: dict[int, Child] = {}
    for one in mine[mine["kind"] == RecordKind.ACCEPT]:
        number = int(one["order_no"])
        order = orders[number]
        limit, kind = int(one["price"]), int(order["type"])
        found[number] = Child(number, int(order["ts"]), int(one["ts"]), int(one["size"]), limit, kind)
    return found


def fills_of(
    side: int,
    children: dict[int, Child],
    records: NDArray[np.void],
    bin_of: NDArray[np.intp],
    market: list[Fraction],
    *,
    replayed: Sight,
    undisturbed: Sight,
    instrument: Instrument,
    broker: BrokerConfig,
) -> tuple[list[Fill], int]:
    """Fills and their lines, and how many had no mid to be held against (all of theirs is timing).

    Parameters
    ----------
    side : int
    children : dict
        Of ``children_of``.
    records : RECORD[n]
        The fills, in order.
    bin_of : int[n]
        Bin of each.
    market : list of Fraction
        Me of each bin.
    replayed, undisturbed : Sight
        The market as the orders met it, and as it was recorded.
    """
    if not len(records):
        return [], 0
    ts, price, maker = records["ts"], records["price"], (records["flags"] & 1).astype(bool)
    arrived = np.array([children[number].arrived for number in records["order_no"].tolist()])
    feed = broker.latency.feed if isinstance(broker.latency.feed, int) else 0
    seen = np.array([children[number].sent for number in records["order_no"].tolist()]) - feed
    # a resting order is filled by a row, which the touch does not show yet; an arriving one comes after its rows
    at = np.where(maker, replayed.index(ts, before=True), replayed.index(ts))
    twice = {
        "mid": np.where(maker, replayed.twice_mid(ts, before=True), replayed.twice_mid(ts)),
        "free": np.where(maker, undisturbed.twice_mid(ts, before=True), undisturbed.twice_mid(ts)),
        "mid_then": replayed.twice_mid(arrived),
        "free_then": undisturbed.twice_mid(arrived),
        "free_seen": undisturbed.twice_mid(seen),
    }
    touch = price if not len(replayed.ts) else np.where(maker, price, (replayed.ask if side > 0 else replayed.bid)[at])
    blind = np.any([values == 0 for values in twice.values()], axis=0)
    twice = {name: np.where(blind, 2 * price, values).tolist() for name, values in twice.items()}
    touch = np.where(blind, price, touch).tolist()
    found = []
    for k, record in enumerate(records):
        paid, size, j = int(record["price"]), int(record["size"]), int(bin_of[k])
        mid, free, mid_then, free_then, free_seen = (values[k] for values in twice.values())
        halves = {
            "timing": free_seen - 2 * market[j],
            "latency": free_then - free_seen,
            "waiting": free - free_then,
            "spread": 2 * touch[k] - mid,
            "own_temporary": 2 * (paid - touch[k]) + (mid - free) - (mid_then - free_then),
            "own_persisting": mid_then - free_then,
        }
        lines = tuple(Fraction(side * size * halves[name]) / 2 for name in FILL_LINES)
        fee = int(record["extra"])
        own = venue_fee(broker.fees, instrument, paid, size, maker=bool(maker[k]))
        number = int(record["order_no"])
        found.append(Fill(j, number, int(ts[k]), Fraction(paid), size, bool(maker[k]), lines, own, fee - own))
    return found, int(blind.sum())


def charged_line(broker: BrokerConfig) -> str:
    """The line that holds what impact charges: where nothing is displaced, all of it."""
    return "own_persisting" if getattr(broker.impact, "mode", "") == "cost" else "own_temporary"
