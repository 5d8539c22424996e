"""What forecasts are worth to a strategy that works parent orders: the same parents with and without them.

Parents, days and replays are those of ``parent_study``. Every replay is made three times: signals off, with the model,
and with perfect foresight of the direction that the model forecasts, which is no result but the most that such a
forecast can do for this placer. Costs are against the mid at arrival, fees included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.config import Config
from engine.errors import ConfigError
from engine.feed import Feed
from engine.foresight import Foresight
from engine.learning import parent_study
from engine.learning.features import samples
from engine.learning.labels import FLAT, classes, moves
from engine.learning.paired_effects import Effect, bootstrap
from engine.learning.paired_effects import differences as paired
from engine.learning.parent_study import Replayed, Venue, Windows, check_held_out, day_of, replays
from engine.model_file import Manifest, load_model
from engine.names import import_class
from engine.signals import Probe
from engine.strategy import Strategy
from engine.tape import Tape

Floats = NDArray[np.float64]

Arm = Literal["off", "model", "foresight"]
ARMS: tuple[Arm, ...] = ("off", "model", "foresight")


class Subject(parent_study.Subject, frozen=True, kw_only=True, eq=False):
    """A stock to try, and the model that is tried on it."""

    model: str


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
    venue = Venue(config.broker, config.risk, config.seed)
    for tape in subject.days:
        check_held_out(subject.symbol, tape, windows, {subject.model: manifest.trained})
        foresight = foresee(tape, subject.symbol, manifest)
        arms = [parent_study.Arm(arm, partial(_placer, config, subject, manifest, arm, foresight)) for arm in ARMS]
        for one in replays(arms, subject, tape, windows, venue, feed_of, tell):
            yield from _trials(one)


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
    return bootstrap(differences(trials, arm), block=block, rng=rng, draws=draws)


def differences(trials: Sequence[Trial], arm: Arm) -> dict[str, Floats]:
    """For each stock, in order of time, the mean difference of costs to signals off in each window."""
    return paired(trials, arm, "off", lambda trial: trial.cost_bp)


def _placer(
    config: Config, subject: Subject, manifest: Manifest, arm: Arm, foresight: Foresight,
    orders: list[dict[str, Any]], tape: Tape,
) -> Strategy:  # fmt: skip
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


def _trials(one: Replayed) -> Iterator[Trial]:
    for cost, parent in zip(one.result.parents, one.strategy.state.parents, strict=True):
        if cost.arrival_price is None or cost.slippage_arrival_bp is None:
            raise ConfigError(
                f"{cost.symbol} on {day_of(one.tape)}: window {cost.name} had no quotes; choose other windows"
            )
        paid = (cost.fees + cost.impact_charged) / 1e6 / (cost.arrival_price * cost.done)
        yield Trial(
            symbol=cost.symbol,
            day=day_of(one.tape),
            window=int(cost.name),
            side=cost.side,
            shares=cost.size,
            arm=cast(Arm, one.arm),
            done=cost.done,
            cost_bp=cost.slippage_arrival_bp + 1e4 * paid,
            slippage_bp=cost.slippage_arrival_bp,
            market_volume=parent.market_volume,
        )
