"""How well children were placed: mark-outs, fill rates by level; and what the cost was expected to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact, spread_part
from engine.errors import ConfigError
from engine.impact_path import forecast_bp
from engine.instruments import Instrument
from engine.orders import OrderType
from engine.reports.execution_market import Benchmark
from engine.reports.execution_replay import Sight
from engine.reports.execution_result import FillRate, Forecast, Markout, Split
from engine.reports.execution_split import Child, Fill
from engine.result import ParentCost
from engine.run_folder import SavedRun
from engine.strategy import SECOND

HORIZONS_S = (1, 10, 60, 300)
DEEP = 5  # ticks behind the touch; orders further away are told together
CROSSES, PEGGED, NO_QUOTE = -(10**9), 10**9, 10**9 + 1
NAMES = {CROSSES: "crosses", 0: "at the touch", DEEP + 1: f"{DEEP + 1}+ behind", PEGGED: "pegged", NO_QUOTE: "no quote"}
PEGS = (OrderType.PEG_PRIMARY, OrderType.PEG_MARKET, OrderType.PEG_MID)


def markouts(side: int, fills: Sequence[Fill], sight: Sight, close: int) -> list[Markout]:
    """Side times (mid after the horizon - price paid), against the market as replayed."""
    ts = np.array([fill.ts for fill in fills], np.int64)
    price = np.array([float(fill.price) for fill in fills])
    size = np.array([fill.size for fill in fills], float)
    maker = np.array([fill.maker for fill in fills], bool)
    found = []
    for horizon in HORIZONS_S:
        mid = sight.twice_mid(ts + horizon * SECOND) / 2
        known = (ts + horizon * SECOND < close) & (mid > 0)
        gain = side * (mid - price) * size

        def mean(which: NDArray[np.bool_], gain: NDArray[np.float64] = gain) -> float | None:
            paid = float((price * size)[which].sum())
            return float(gain[which].sum()) / paid * 1e4 if paid > 0 else None

        found.append(
            Markout(
                horizon_s=horizon,
                all_bp=mean(known),
                maker_bp=mean(known & maker),
                taker_bp=mean(known & ~maker),
                size=int(size[known].sum()),
            )
        )
    return found


def fill_rates(
    side: int, children: dict[int, Child], fills: Sequence[Fill], sight: Sight, instrument: Instrument
) -> list[FillRate]:
    """By how far behind its own side's best an order was placed, from those that cross to the deepest."""
    filled: defaultdict[int, int] = defaultdict(int)
    for fill in fills:
        filled[fill.child] += fill.size
    by_level: defaultdict[int, list[Child]] = defaultdict(list)
    for child in children.values():
        by_level[_level(side, child, sight, instrument.tick)].append(child)
    return [
        FillRate(
            level=_called(level),
            orders=len(placed),
            size=sum(child.size for child in placed),
            filled=sum(filled[child.number] for child in placed),
        )
        for level, placed in sorted(by_level.items())
    ]


def forecast(
    split: Split,
    parent: ParentCost,
    bench: Benchmark,
    instrument: Instrument,
    free: Sight,
    saved: SavedRun,
    done: int,
) -> tuple[Forecast, str]:
    """The model's forecast at the start, and the note that says why there is none.

    The order is taken to trade at a constant rate over its part of the session, at the spread of its arrival.
    """
    arrival = int(free.index(parent.start))
    quoted = None
    if arrival >= 0:
        quoted = float((free.ask[arrival] - free.bid[arrival]) / (free.ask[arrival] + free.bid[arrival]) * 2e4)
    model = saved.config.broker.impact
    day: Market | None = None if isinstance(model, NoImpact) else model.market.get(parent.symbol)
    impact = spread = share = rate = None
    note = ""
    if isinstance(model, NoImpact) or day is None:
        note = "no cost forecast: the run names no impact model"
    else:
        duration = model.units_a_day * float(bench.days)
        share = parent.size / day.daily_volume
        rate = share * model.units_a_day / duration
        try:
            impact = forecast_bp(model, day, parent.size, duration)
            spread = spread_part(model) * quoted if quoted is not None else None
        except ConfigError as error:
            note = f"no cost forecast: {error}"
    traded = float(done * bench.price * instrument.money)
    own = split.lines["own_temporary"] + split.lines["own_persisting"]
    told = Forecast(
        impact_bp=impact,
        spread_bp=spread,
        realised_impact_bp=own / traded * 1e4 if traded else None,
        realised_spread_bp=split.lines["spread"] / traded * 1e4 if traded else None,
        size_of_day=share,
        rate=rate,
        volatility=day.daily_volatility if day else None,
        quoted_spread_bp=quoted,
        note=note,
    )
    return told, note


def _level(side: int, child: Child, sight: Sight, tick: int) -> int:
    """Ticks behind the own side's best when it arrived, or what else it was (``NAMES``)."""
    if child.type in PEGS:
        return PEGGED
    at = int(sight.index(child.arrived))
    if at < 0:
        return NO_QUOTE
    near, far = int(sight.bid[at]), int(sight.ask[at])
    if side < 0:
        near, far = far, near
    if child.price == 0 or side * (child.price - far) >= 0:
        return CROSSES
    return min(side * (near - child.price) // tick, DEEP + 1)


def _called(level: int) -> str:
    return NAMES.get(level) or (f"{-level} inside the spread" if level < 0 else f"{level} behind")
