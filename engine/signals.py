"""The signals that a model of the mid's direction looks at, and how a strategy asks for them.

Everything counts **ticks** of one instrument in one session: a tick of the "trade" clock is a market transaction
(trades that follow one another at the same time, side and price are one), of the "quote" clock a change of the touch.
What is measured is the market as strategies see it: the displayed touch, displaced where our own orders moved it,
without our own resting size. The kernels are in ``engine/broker/signal_kernels.py``; all their totals are integers, so
that a file, a stream and a socket give the same bits.

=====================  =============================================================================================
ofi_10, _50, _100      order flow imbalance: sum of e_n (Cont, Kukanov, Stoikov 2014, eq. 1 to 3) over the mean depth
queue_imbalance        (bid size - ask size) / (bid size + ask size) at the touch
spread_ticks           ask - bid, price ticks
micro_minus_mid        micro-price less mid, price ticks: the imbalance times half the spread
sign_mean_20, _100     mean sign of the trades (+1 the buyer began it)
sign_persistence_100   mean of the products of neighbouring signs
momentum_10, …, _200   mid now less mid at that tick, price ticks
volatility_100         root mean square of the mid's changes from tick to tick, price ticks
cancel_imbalance_50    cancels at the touch: (bid - ask) / (bid + ask); what trades took is no cancel
limit_imbalance_50     the same of limit orders that joined the touch or bettered it
near_size_bid, _ask    touch size over the mean depth of 100 ticks
event_rate_50          ticks a second; at least a millisecond is taken to have passed
=====================  =============================================================================================

A number at the end of a name is a window of so many ticks. Mean depth is the mean of (bid size + ask size) / 2 over the
window's changes of the touch. Where nothing is in a window that is divided by, the value is 0; NaN there is never.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from engine.errors import ConfigError

NAMES = (
    "ofi_10", "ofi_50", "ofi_100", "queue_imbalance", "spread_ticks", "micro_minus_mid", "sign_mean_20",
    "sign_mean_100", "sign_persistence_100", "momentum_10", "momentum_50", "momentum_200", "volatility_100",
    "cancel_imbalance_50", "limit_imbalance_50", "near_size_bid", "near_size_ask", "event_rate_50",
)  # fmt: skip
CLASSES = ("down", "flat", "up")  # of the mid's move: 0, 1, 2
LONGEST = 200  # ticks; a sample is ready once there are more

Clock = Literal["trade", "quote"]
WISHES = ("", "any", *CLASSES, "move")  # of ``Wake.signal``; "move" is up or down, "any" needs no model


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is measured for a strategy along the walk: ``desk.signal(symbol)`` shows it, ``Wake(signal=…)`` wakes by it.

    ``model`` is the folder of a model (``engine.model_file``), or "" for the values alone; its clock must be ``clock``.
    ``content`` is the hash that it must have, "" any: what a run writes down names the model that it had.
    """

    symbol: str
    model: str = ""
    content: str = ""
    clock: Clock = "trade"

    def __post_init__(self) -> None:
        if not self.symbol:
            raise ConfigError("Probe: no symbol; name the instrument that it measures")


def check_probes(probes: Sequence[Probe], *, signal: str, who: str) -> None:
    """Whether a strategy's probes make sense together, and with its ``Wake.signal``.

    Raises
    ------
    ConfigError
        If two are of one symbol, or the wake has nothing to wake it.
    """
    for symbol, n in Counter(probe.symbol for probe in probes).items():
        if n > 1:
            raise ConfigError(f"{who} has {n} probes of {symbol}; give one, desk.signal shows one")
    if signal and not probes:
        raise ConfigError(f"{who}: Wake(signal={signal!r}) wakes by a probe, but there is none; declare probes")
    if signal in (*CLASSES, "move") and not any(probe.model for probe in probes):
        raise ConfigError(f"{who}: Wake(signal={signal!r}) needs a model's probabilities; give a probe a model")


def part_to_come(horizon_cdf: Sequence[tuple[int, float]], age_ns: int) -> float:
    """How much of what a signal foretells is still to come: 1 - CDF(age), straight lines between its points.

    Parameters
    ----------
    horizon_cdf : sequence of (ns, part)
        Part of the model's horizons that have passed by then, ascending; from (0, 0) on. Empty: nothing ever passes.
    """
    points = [(0, 0.0), *horizon_cdf]
    k = bisect_right(points, age_ns, key=lambda point: point[0])
    if k == 0:
        return 1.0
    if k == len(points):
        return 1.0 - points[-1][1]
    (start, low), (end, high) = points[k - 1], points[k]
    return 1.0 - (low + (high - low) * (age_ns - start) / (end - start))
