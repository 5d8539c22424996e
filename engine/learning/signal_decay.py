"""What is left of a signal so long after it was true: the move still to come, in price ticks, and what taking costs.

Each time a model's most probable class is up or down, its side is taken so much later at the mid, and held until the
model's horizon of ticks has passed; nothing is left after that. No strategy is in this, and no order: half a spread and
the taker's fee stand for the cost of taking, so where the curve falls below them is the latest that a taker may be.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Fees
from engine.broker.probe_models import model_of
from engine.config import Config, make_feed, make_strategies
from engine.instruments import Instrument
from engine.latency_replays import Pieces
from engine.latency_study import INTERVAL, SURE, BreakEven, crossing, finite
from engine.learning.block_draws import draw_counts
from engine.run import run
from engine.signals import Probe
from engine.strategy import Strategy, Wake

DRAWS = 300  # of the bootstrap
HORIZONS_A_BLOCK = 10

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Decay(msgspec.Struct, frozen=True, kw_only=True):
    """One signal: the move still to come by latency, price ticks."""

    signal: str
    told: int  # signals whose most probable class is up or down
    of: int  # signals
    latency_ns: list[int]
    left: list[float]
    error: list[float]
    cost: float  # half a spread and the fee, mean over those told
    half_ns: float | None  # when half of it is gone; None: not within the grid, or nothing is told at once
    break_even: BreakEven  # of what is left less the cost


class Listener(Strategy):
    """Notes every quote and every signal of one instrument, and trades nothing."""

    wake = Wake(on_quote=True, signal="any")

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probes = (probe,)
        self.wake = msgspec.structs.replace(self.wake, symbols=(probe.symbol,))
        self.quotes: tuple[array[int], ...] = tuple(array("q") for _ in range(3))  # ts, bid + ask, spread
        self.signals: tuple[array[Any], ...] = (array("q"), array("q"), array("b"))  # ts, tick, side

    def on_quote(self, quote: events.Quote, desk: Any) -> None:
        if quote.is_two_sided:
            _note(self.quotes, (quote.ts_event, quote.bid + quote.ask, quote.ask - quote.bid))

    def on_signal(self, signal: events.Signal, desk: Any) -> None:
        _note(self.signals, (signal.ts_event, signal.tick, int(np.argmax(signal.probabilities)) - 1))


def _note(columns: Sequence[array[Any]], values: Sequence[int]) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(value)


def signal_decays(configs: Sequence[Config], grid_ns: Sequence[int]) -> list[Decay]:
    """Of each probe with a model that the strategies of configs have, over their markets taken together.

    Parameters
    ----------
    grid_ns : sequence of int
        Latencies; 0 is added.
    """
    declared = [probe for one in make_strategies(configs[0])[0] for probe in one.probes]
    models = {probe: model for probe in declared if (model := model_of(probe))}
    feeds = [Pieces(make_feed(config)) for config in configs] if models else []
    latencies = np.array(sorted({0, *grid_ns}))
    decays = []
    for probe, model in models.items():
        horizon, left, costs, told, count = model.manifest.horizon, [], [], 0, 0
        for config, pieces in zip(configs, feeds, strict=True):
            listener = Listener(probe)
            quiet = BrokerConfig(latency=config.broker.latency, impact=NoImpact())
            run(listener, pieces.again(), broker=quiet, risk=config.risk)
            unit = next(one for one in pieces.tape.instruments if one.symbol == probe.symbol)
            some, cost = what_is_left(listener, unit, horizon, latencies, config.broker.fees)
            left.append(some)
            costs.append(cost)
            told, count = told + some.shape[1], count + len(listener.signals[0])
        name = f"{probe.symbol} ({horizon} ticks)"
        if told > 1:
            decays.append(_decay(name, latencies, np.hstack(left), np.concatenate(costs), horizon, told, count))
    return decays


def what_is_left(
    heard: Listener, unit: Instrument, horizon: int, latency_ns: Ints, fees: Fees
) -> tuple[Floats, Floats]:
    """Of each signal told whose horizon ends in its session: float64[latencies, n], and its cost: float64[n]; ticks."""
    times, mids, spreads = (np.array(column, np.int64) for column in heard.quotes)
    ts, tick, side = (np.array(column, np.int64) for column in heard.signals)
    session = np.concatenate([np.zeros(min(1, len(tick)), np.int64), np.cumsum(np.diff(tick) < 0)])
    place = session * (1 << 40) + tick
    end = np.searchsorted(place, place + horizon)
    within = np.minimum(end, max(len(place) - 1, 0))
    some = np.flatnonzero((end < len(place)) & (side != 0) & (session[within] == session))
    over = ts[within[some]]

    def at(moments: Ints) -> Ints:
        return np.maximum(np.searchsorted(times, moments, side="right") - 1, 0)

    last = mids[at(over)]
    left = [side[some] * (last - mids[at(np.minimum(ts[some] + ns, over))]) / (2 * unit.tick) for ns in latency_ns]
    now = at(ts[some])
    fee = fees.taker_per_unit / float(unit.money) + fees.taker_ppm * 1e-6 * mids[now] / 2
    return np.array(left).reshape(len(latency_ns), len(some)), (spreads[now] / 2 + fee) / unit.tick


def _decay(name: str, latency: Ints, left: Floats, cost: Floats, horizon: int, told: int, count: int) -> Decay:
    block = max(1, min(told // 2, HORIZONS_A_BLOCK * horizon * told // count))
    counts = draw_counts(told, block, DRAWS, 1)
    size = counts.sum(axis=1)
    drawn = counts @ left.T / size[:, None]
    net = drawn - (counts @ cost / size)[:, None]
    mean = left.mean(axis=1)
    total = mean - cost.mean()
    low, high = np.percentile(np.array([crossing(latency, one) for one in net]), INTERVAL, method="nearest")
    return Decay(
        signal=name,
        told=told,
        of=count,
        latency_ns=latency.tolist(),
        left=mean.tolist(),
        error=drawn.std(axis=0).tolist(),
        cost=float(cost.mean()),
        half_ns=finite(crossing(latency, mean - mean[0] / 2)) if mean[0] > SURE * drawn[:, 0].std() else None,
        break_even=BreakEven(
            told=bool(total[0] > SURE * net[:, 0].std()),
            ns=finite(crossing(latency, total)),
            low_ns=finite(low),
            high_ns=finite(high),
        ),
    )
