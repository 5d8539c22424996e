"""What forecasts are worth to a strategy that works parent orders: the same parents with and without them.

Each day is cut into windows, and each window has a parent order to buy and one of the same size to sell, in two replays
so that they do not meet; windows follow one another, with a pause, so a parent trades in what is left of the impact of
those before. Every replay is made three times: signals off, with the model, and with perfect foresight of the direction
that the model forecasts, which is no result but the most that such a forecast can do for this placer. Costs are against
the mid at arrival, fees included; what is judged are differences within a window, so the market's own moves cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact
from engine.config import Config
from engine.errors import ConfigError
from engine.feed import Feed
from engine.foresight import Foresight
from engine.learning.features import samples
from engine.learning.labels import FLAT, classes, moves
from engine.model_file import Manifest, load_model
from engine.names import import_class
from engine.rates.block_bootstrap import block_rows
from engine.result import Result
from engine.run import run
from engine.signals import Probe
from engine.strategy import SECOND, Strategy
from engine.tape import Tape

Floats = NDArray[np.float64]

Arm = Literal["off", "model", "foresight"]
ARMS: tuple[Arm, ...] = ("off", "model", "foresight")
INTERVAL = (2.5, 97.5)  # percentiles
DETECTABLE = 1.959964 + 0.841621  # standard errors: seen at 5 % in four of five studies


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When parents are worked, in seconds."""

    after_open_s: int = 1_800
    before_close_s: int = 900
    each_s: int = 1_200
    pause_s: int = 300

    def __post_init__(self) -> None:
        if self.each_s < 1 or min(self.after_open_s, self.before_close_s, self.pause_s) < 0:
            raise ConfigError("windows need each_s > 0, and no time below 0")

    def starts(self, session: tuple[int, int]) -> list[int]:
        """Seconds after the open at which each begins."""
        length = (session[1] - session[0]) // SECOND
        return list(
            range(self.after_open_s, length - self.before_close_s - self.each_s + 1, self.each_s + self.pause_s)
        )


class Subject(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A stock to try: its held-out days, its model, and what an average day of it was before them."""

    symbol: str
    days: Sequence[Tape]
    model: str
    shares: tuple[int, ...]  # of the parents, by window in turn
    market: Market
    participation: float = 0.3  # cap of each parent; 0 is none


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One parent order in one arm. Costs in bp of the arrival price; positive is money lost."""

    symbol: str
    day: str
    window: int
    side: int
    shares: int
    arm: Arm
    done: int
    cost_bp: float  # slippage and fees
    slippage_bp: float
    market_volume: int  # while it was worked, ours excluded


class Effect(NamedTuple):
    """A mean difference of costs, bp, over windows; ``low`` to ``high`` holds it in 95 of 100 studies like this."""

    mean: float
    error: float
    low: float
    high: float

    @property
    def detectable(self) -> float:
        """The smallest true difference that such a study would find four times in five."""
        return DETECTABLE * self.error


def study(
    config: Config, subject: Subject, windows: Windows, feed_of: Callable[[Tape], Feed], tell: Callable[[str], None]
) -> Iterator[Trial]:
    """Every parent of a stock in every arm.

    Parameters
    ----------
    config : Config
        Of a run of a placer: its strategy, parameters other than orders and signals, and models of the broker.
    subject : Subject
    windows : Windows
    feed_of : callable
        Makes a fresh feed of a tape.
    tell : callable
        Called after each replay.

    Raises
    ------
    ConfigError
        If the model was trained on a day that is to be held out, or the run has no impact.
    """
    manifest = load_model(subject.model).manifest
    if isinstance(config.broker.impact, NoImpact):
        raise ConfigError(f"{config.name}: the study asks what forecasts are worth with impact on; leave it on")
    for tape in subject.days:
        _check_later(tape, manifest, subject)
        foresight = foresee(tape, subject.symbol, manifest)
        for flip in (1, -1):
            orders = _orders(subject, windows, tape.sessions[0], flip)
            for arm in ARMS:
                strategy = _placer(config, subject, manifest, orders, arm, foresight)
                impact = msgspec.structs.replace(config.broker.impact, market={subject.symbol: subject.market})
                broker = msgspec.structs.replace(config.broker, impact=impact)
                result = run(strategy, feed_of(tape), broker=broker, risk=config.risk, seed=config.seed)
                tell(f"{subject.symbol} {_day(tape)} {arm}")
                yield from _trials(result, strategy, tape, arm)


def foresee(tape: Tape, symbol: str, manifest: Manifest) -> Foresight:
    """The directions that a model forecasts, as they came: by its clock, its horizon and its band."""
    seen = samples(tape, symbol, clock=manifest.clock)
    found = moves(seen, manifest.horizon)
    direction = classes(found.change, seen.spread, manifest.band) - FLAT
    return Foresight({symbol: (seen.ts.tolist(), np.where(found.known, direction, 0).tolist())})


def effect(trials: Sequence[Trial], arm: Arm, *, block: int, rng: np.random.Generator, draws: int) -> Effect:
    """By how much an arm's parents cost more than those with signals off, window by window, both sides together.

    Errors by bootstrap of blocks of so many consecutive windows, each stock for itself.
    """
    means, drawn = differences(trials, arm), []
    for _ in range(draws):
        parts = [one[block_rows(len(one), min(block, len(one)), rng)] for one in means.values()]
        drawn.append(np.concatenate(parts).mean())
    low, high = np.percentile(drawn, INTERVAL)
    mean = np.concatenate(list(means.values())).mean()
    return Effect(float(mean), float(np.std(drawn, ddof=1)), float(low), float(high))


def differences(trials: Sequence[Trial], arm: Arm) -> dict[str, Floats]:
    """For each stock, in order of time, the mean difference of costs to signals off in each window."""
    off = {(t.symbol, t.day, t.window, t.side): t.cost_bp for t in trials if t.arm == "off"}
    sums: dict[str, dict[tuple[str, int], list[float]]] = {}
    for t in trials:
        if t.arm == arm:
            windows = sums.setdefault(t.symbol, {})
            windows.setdefault((t.day, t.window), []).append(t.cost_bp - off[t.symbol, t.day, t.window, t.side])
    found = {}
    for symbol, windows in sorted(sums.items()):
        found[symbol] = np.array([np.mean(windows[key]) for key in sorted(windows)], np.float64)
    return found


def _orders(subject: Subject, windows: Windows, session: tuple[int, int], flip: int) -> list[dict[str, Any]]:
    """A parent a window, buying and selling in turn; with ``flip`` -1 the other way round."""
    length = (session[1] - session[0]) // SECOND
    return [
        {
            "symbol": subject.symbol,
            "side": "buy" if flip * (-1) ** n > 0 else "sell",
            "shares": subject.shares[n % len(subject.shares)],
            "start_after_open_s": start,
            "end_before_close_s": length - start - windows.each_s,
            "participation": subject.participation,
            "name": str(n),
        }
        for n, start in enumerate(windows.starts(session))
    ]


def _placer(
    config: Config, subject: Subject, manifest: Manifest, orders: list[dict[str, Any]], arm: Arm, foresight: Foresight
) -> Strategy:
    entry = config.strategies[0]
    cls = import_class(entry.strategy, Strategy, config.name)
    told = {**entry.params, "orders": orders, "signals": arm}
    try:
        params = msgspec.convert(told, cls.Params)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{config.name}: {entry.strategy} is no placer that the study can drive: {error}") from None
    placer: Strategy = cls(params, foresight=foresight) if arm == "foresight" else cls(params)
    placer.probes = (Probe(symbol=subject.symbol, model=subject.model, clock=manifest.clock),)
    return placer


def _trials(result: Result, strategy: Strategy, tape: Tape, arm: Arm) -> Iterator[Trial]:
    for cost, parent in zip(result.parents, strategy.state.parents, strict=True):
        if cost.arrival_price is None or cost.slippage_arrival_bp is None:
            raise ConfigError(f"{cost.symbol} on {_day(tape)}: window {cost.name} had no quotes; choose other windows")
        paid = (cost.fees + cost.impact_charged) / 1e6 / (cost.arrival_price * cost.done)
        yield Trial(
            symbol=cost.symbol,
            day=_day(tape),
            window=int(cost.name),
            side=cost.side,
            shares=cost.size,
            arm=arm,
            done=cost.done,
            cost_bp=cost.slippage_arrival_bp + 1e4 * paid,
            slippage_bp=cost.slippage_arrival_bp,
            market_volume=parent.market_volume,
        )


def _check_later(tape: Tape, manifest: Manifest, subject: Subject) -> None:
    if manifest.trained and tape.sessions[0][0] <= max(last for _, last in manifest.trained):
        raise ConfigError(
            f"{subject.symbol}: {subject.model} was trained on {_day(tape)} or later; hold out days after its training"
        )


def _day(tape: Tape) -> str:
    return str(np.datetime64(tape.sessions[0][0], "ns").astype("datetime64[D]"))
