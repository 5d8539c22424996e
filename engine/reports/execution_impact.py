"""Our displacement of a market as the run's impact model counts it, before it is rounded to ticks.

The model's own kernels walk over the market's volume and our fills; where a tick is large against impact, this is what
the rounded displacement hides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import NoImpact, prepare
from engine.broker.impact_kernels import DARK, PASSIVE
from engine.broker.models import BrokerConfig
from engine.journal import RecordKind
from engine.orders import OrderType
from engine.reports.execution_market import market_trades
from engine.reports.execution_replay import World
from engine.reports.execution_walk import ASKED, FILLED, walk

EVENT = np.dtype([(name, "<i8") for name in ("ts", "what", "side", "size", "kind", "index")])


def estimated_bp(ts: NDArray[np.int64], number: int, world: World, broker: BrokerConfig) -> NDArray[np.float64]:
    """bp by which the model displaces instrument ``number`` after what happened at ``ts``; splits are left out."""
    if isinstance(broker.impact, NoImpact):
        return np.zeros(len(ts))
    sight, instrument = world.sights[number], world.setup.feed.tape.instruments[number]
    trades = market_trades(world.pieces, number, -(2**62), 2**62)
    mine = world.records[world.records["instrument"] == number]
    fills, orders = mine[mine["kind"] == RecordKind.FILL], mine[mine["kind"] == RecordKind.ORDER]
    dark = {(int(o["account"]), int(o["order_no"])) for o in orders[orders["type"] == OrderType.PEG_MID]}
    maker = (fills["flags"] & 1).astype(bool)
    events = np.zeros(len(trades) + len(fills) + len(ts), EVENT)
    traded, filled, asked = np.split(events, [len(trades), len(trades) + len(fills)])
    traded["ts"], traded["size"] = trades["ts_event"], trades["size"]
    filled["ts"], filled["what"], filled["side"], filled["size"] = fills["ts"], FILLED, fills["side"], fills["size"]
    hidden = [(int(a), int(o)) in dark for a, o in zip(fills["account"], fills["order_no"], strict=True)]
    filled["kind"] = maker * PASSIVE + np.array(hidden, bool) * DARK
    filled["index"] = np.where(maker, sight.index(fills["ts"], before=True), sight.index(fills["ts"]))
    asked["ts"], asked["what"], asked["index"] = ts, ASKED, np.arange(len(ts))
    events = events[np.lexsort((events["what"], events["ts"]))]
    states, table = prepare(broker.impact, [instrument.symbol])
    touch = np.stack([sight.bid, sight.ask, sight.bid_size, sight.ask_size])
    out = np.zeros(len(ts))
    walk(states, table, events, touch, instrument.tick, out)
    return out
