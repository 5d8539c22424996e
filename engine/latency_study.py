"""What latency costs a strategy, leg by leg, and how late each of its signals may come before it is worth nothing.

The same market is replayed for each latency of a leg, all else as in the config:

========  ===========================================================================================
feed      venue to desk, in place of the config's: prices and signals are seen that much later
decision  data to forecast: a signal is shown that much later, prices as before (``engine.held_signals``)
order     desk to venue, in place of the config's
========  ===========================================================================================

A signal is worth the money made with it less the money made where it is never shown, at the same latency. Its
break-even is where that falls to 0. Replays share their market, so differences are taken unit by unit
(``engine.latency_replays``). Errors and intervals are those of drawing units again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.config import Config
from engine.errors import ConfigError
from engine.latency_replays import Market, SignalKey
from engine.signals import part_to_come
from engine.strategy import MINUTE

DRAWS = 2_000  # of the bootstrap
SURE = 2.0  # errors
INTERVAL = (2.5, 97.5)  # per cent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Leg = Literal["feed", "decision", "order"]
Tell = Callable[[str], None]


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """Where a signal's worth falls to 0 along a leg. None: beyond the grid; 0: not even at the least latency."""

    told: bool  # whether the worth at the least latency is surely above 0
    ns: float | None
    low_ns: float | None
    high_ns: float | None


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """One signal along one leg; money in units of currency."""

    signal: str
    money: list[float]  # with it; for feed and order the strategy as it is
    worth: list[float]  # less without it
    error: list[float]
    to_come: list[float]  # part of the moves that is still to come at that age, by the model; 1 without one
    break_even: BreakEven


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A leg: the strategy's money by latency, and the change from the config's own latency."""

    leg: Leg
    latency_ns: list[int]  # rising
    money: list[float]
    change: list[float]
    error: list[float]
    low: list[float]  # of the change
    high: list[float]
    worths: list[Worth]


class LatencyStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tickwright latency`` found."""

    name: str
    markets: list[str]
    synthetic: bool
    currency: str
    unit: str  # what differences are paired by
    units: int
    money: float  # as in the config
    money_error: float
    signals: list[str]
    curves: list[Curve]


def study_latency(
    configs: Sequence[Config], grid_ns: Sequence[int], *, block_ns: int, tell: Tell = lambda what: None
) -> LatencyStudy:
    """Replay the strategies of configs at each latency of each leg.

    Parameters
    ----------
    configs : sequence of Config
        The same strategies on one market or several, whose units are taken together.
    grid_ns : sequence of int
        Latencies of a leg.
    block_ns : int
        Blocks of time that pair replays where there are no parent orders.
    tell : callable
        Called with what is replayed next.

    Raises
    ------
    ConfigError
        If the grid makes no sense, or the money of replays cannot be paired.
    """
    if not grid_ns or min(grid_ns) < 0 or block_ns < MINUTE or block_ns % MINUTE:
        raise ConfigError("latency: give at least one latency of 0 or more, and blocks of whole minutes")
    tell("the config as it is")
    market = Market(configs, block_ns)
    draws = np.random.Generator(np.random.Philox(configs[0].seed))
    base = market.money(market.base)
    again = draws.integers(0, len(base), (DRAWS, len(base)))
    without = {}
    for key, name in market.signals.items():
        tell(f"without {name}")
        without[key] = market.money(market.replay(held={key: None}))
    curves = [_leg(market, leg, grid_ns, base, without, again, tell) for leg in ("feed", "order")]
    if market.signals:
        curves.insert(1, _decision(market, grid_ns, base, without, again, tell))
    manifests = [feed.tape.manifest for feed in market.feeds]
    return LatencyStudy(
        name=configs[0].name,
        markets=[manifest.name for manifest in manifests],
        synthetic=any(manifest.synthetic for manifest in manifests),
        currency=market.currency,
        unit="parent orders" if market.by_parent else f"blocks of {block_ns // MINUTE} minutes",
        units=len(base),
        money=float(base.sum()),
        money_error=float(base[again].sum(axis=1).std()),
        signals=list(market.signals.values()),
        curves=curves,
    )


def _leg(
    market: Market,
    leg: Literal["feed", "order"],
    grid: Sequence[int],
    base: Floats,
    without: dict[SignalKey, Floats],
    again: Ints,
    tell: Tell,
) -> Curve:
    """Feed or order: latencies in place of the config's own, which is on the grid, too, where it is one number."""
    own = getattr(market.configs[0].broker.latency, "feed" if leg == "feed" else "entry")
    latencies: list[int] = sorted({*grid, own} if isinstance(own, int) else {*grid})
    money, off = [], {key: [] for key in without}
    for ns in latencies:
        tell(f"{leg} {ns / 1e6:g} ms")
        change: dict[str, Any] = {leg: ns}
        is_own = ns == own
        money.append(base if is_own else market.money(market.replay(**change)))
        for key in without:
            off[key].append(without[key] if is_own else market.money(market.replay(**change, held={key: None})))
    worths = [_worth(market, key, latencies, money, off[key], again) for key in without]
    return _curve(leg, latencies, money, base, worths, again)


def _decision(
    market: Market, grid: Sequence[int], base: Floats, without: dict[SignalKey, Floats], again: Ints, tell: Tell
) -> Curve:
    """Signals held back: each alone for its worth, all together for the strategy."""
    latencies: list[int] = sorted({0, *grid})
    together: list[Floats] = []
    alone: dict[SignalKey, list[Floats]] = {key: [] for key in without}
    for ns in latencies:
        tell(f"decision {ns / 1e6:g} ms")
        for key in without:
            alone[key].append(base if ns == 0 else market.money(market.replay(held={key: ns})))
        is_one = len(without) == 1
        together.append(
            next(iter(alone.values()))[-1]
            if is_one or ns == 0
            else market.money(market.replay(held=dict.fromkeys(without, ns)))
        )
    worths = [_worth(market, key, latencies, alone[key], [without[key]] * len(latencies), again) for key in without]
    return _curve("decision", latencies, together, base, worths, again)


def _curve(
    leg: Leg, latencies: list[int], money: list[Floats], base: Floats, worths: list[Worth], again: Ints
) -> Curve:
    change = np.array(money) - base
    drawn = change[:, again].sum(axis=2)
    low, high = np.percentile(drawn, INTERVAL, axis=1)
    return Curve(
        leg=leg,
        latency_ns=latencies,
        money=[float(one.sum()) for one in money],
        change=change.sum(axis=1).tolist(),
        error=drawn.std(axis=1).tolist(),
        low=low.tolist(),
        high=high.tolist(),
        worths=worths,
    )


def _worth(
    market: Market, key: SignalKey, latencies: list[int], money: list[Floats], without: list[Floats], again: Ints
) -> Worth:
    worth = np.array(money) - np.array(without)
    return Worth(
        signal=market.signals[key],
        money=[float(one.sum()) for one in money],
        worth=worth.sum(axis=1).tolist(),
        error=worth[:, again].sum(axis=2).std(axis=1).tolist(),
        to_come=[part_to_come(market.cdf[key], ns) for ns in latencies],
        break_even=break_even(np.array(latencies), worth, again),
    )


def break_even(latency_ns: Ints, worth: Floats, again: Ints) -> BreakEven:
    """Where the summed worth first falls to 0 or below.

    Parameters
    ----------
    latency_ns : int64[n]
        Rising.
    worth : float64[n, units]
    again : int64[draws, units]
        Units drawn again.
    """
    total, drawn = worth.sum(axis=1), worth[:, again].sum(axis=2)
    low, high = np.percentile(np.array([crossing(latency_ns, one) for one in drawn.T]), INTERVAL, method="nearest")
    return BreakEven(
        told=bool(total[0] > SURE * drawn[0].std() and total[0] > 0),
        ns=finite(crossing(latency_ns, total)),
        low_ns=finite(low),
        high_ns=finite(high),
    )


def crossing(latency_ns: Ints, total: Floats) -> float:
    """Where a curve falls to 0: 0 if not above it from the start, infinite if always.

    Between points it is straight in the logarithm of latency.
    """
    below = np.flatnonzero(total <= 0)
    if not len(below):
        return np.inf
    k = int(below[0])
    if k == 0:
        return 0.0
    part = total[k - 1] / (total[k - 1] - total[k])
    start, end = float(latency_ns[k - 1]), float(latency_ns[k])
    return start + part * (end - start) if start == 0 else start * (end / start) ** part


def finite(ns: float) -> float | None:
    """None for infinite."""
    return float(ns) if np.isfinite(ns) else None
