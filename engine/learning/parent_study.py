"""The same parent orders, worked by several arms on the same days: what each paid against the market's VWAP, and why.

Each day is cut into windows, and each window has a parent order to buy and one of the same size to sell, in two replays
so that they do not meet; windows follow one another, with a pause, so a parent trades in what is left of the impact of
those before. An arm is anything that makes a strategy for a day's parents: another strategy, another model, signals
off. All arms meet the same broker. What is judged are differences within a window (``paired_effects``), so the market's
own moves cancel; ``parent_parts`` says what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact
from engine.broker.models import BrokerConfig, RiskConfig
from engine.errors import ConfigError
from engine.feed import Feed
from engine.learning.parent_parts import Onlooker, Touch, parts_of, recorded_touch
from engine.result import Result
from engine.run import KeptJournal, run
from engine.strategy import SECOND, Strategy
from engine.tape import Tape

Spans = Sequence[tuple[int, int]]  # [first, last] of what a model was trained on, ns UTC
HeldOut = Literal["later", "fold"]


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
    """A stock to try: its held-out days, and what an average day of it was before them."""

    symbol: str
    days: Sequence[Tape]
    shares: tuple[int, ...]  # of the parents, by window in turn
    market: Market
    participation: float = 0.3  # cap of each parent; 0 is none
    every_size: bool = False  # each window with each size, in as many replays, rather than one size each


class Arm(NamedTuple):
    """What works the parents, by name; ``make`` gives a fresh strategy for the parents of a day."""

    name: str
    make: Callable[[list[dict[str, Any]], Tape], Strategy]


class Venue(NamedTuple):
    """What all arms meet."""

    broker: BrokerConfig
    risk: RiskConfig
    seed: int


class Replayed(NamedTuple):
    """A day's parents on one side, in one arm."""

    arm: str
    tape: Tape
    strategy: Strategy
    result: Result
    records: NDArray[np.void]  # RECORD[n], of the arm's account and of an onlooker's, which sends nothing
    touch: Touch  # as the orders met it; empty where nobody looked on


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One parent order in one arm. Costs in bp of the market's VWAP times the whole size; positive is money lost.

    What was not done counts as taken at the other side's touch when the parent ended.
    """

    symbol: str
    day: str
    window: int
    side: int
    shares: int
    arm: str
    done: int
    taken: int  # of what was done, by orders that crossed
    vwap: float  # of the market's trades while it was worked, ours excluded, as recorded
    slippage_bp: float  # against it: the four parts below
    spread_bp: float
    impact_bp: float
    timing_bp: float
    completion_bp: float
    fees_bp: float

    @property
    def cost_bp(self) -> float:
        """Slippage and fees."""
        return self.slippage_bp + self.fees_bp


def study(
    arms: Sequence[Arm],
    subject: Subject,
    windows: Windows,
    venue: Venue,
    feed_of: Callable[[Tape], Feed],
    tell: Callable[[str], None],
) -> Iterator[Trial]:
    """Every parent of a stock in every arm, held against the market's VWAP.

    Parameters
    ----------
    arms : sequence of Arm
    subject : Subject
    windows : Windows
    venue : Venue
        Its average day of the stock is replaced by the subject's.
    feed_of : callable
        Makes a fresh feed of a tape.
    tell : callable
        Called after each replay.

    Raises
    ------
    ConfigError
        If the venue has no impact, or a window has no quotes or no trades.
    """
    for tape in subject.days:
        recorded = recorded_touch(tape, subject.symbol, feed_of)
        for one in replays(arms, subject, tape, windows, venue, feed_of, tell, look_on=True):
            yield from _trials(one, recorded)


def replays(
    arms: Sequence[Arm],
    subject: Subject,
    tape: Tape,
    windows: Windows,
    venue: Venue,
    feed_of: Callable[[Tape], Feed],
    tell: Callable[[str], None],
    *,
    look_on: bool = False,
) -> Iterator[Replayed]:
    """A day's parents in every arm, both ways round; ``look_on`` notes every touch that they meet."""
    if isinstance(venue.broker.impact, NoImpact):
        raise ConfigError("the study asks what orders cost with impact on; leave it on")
    impact = msgspec.structs.replace(venue.broker.impact, market={subject.symbol: subject.market})
    broker = msgspec.structs.replace(venue.broker, impact=impact)
    for orders in order_sets(subject, windows, tape.sessions[0]):
        for arm in arms:
            strategy, journal = arm.make(orders, tape), KeptJournal()
            onlooker = Onlooker(subject.symbol)
            many = [strategy, onlooker] if look_on else [strategy]
            result = run(many, feed_of(tape), broker=broker, risk=venue.risk, seed=venue.seed, journal=journal)
            tell(f"{subject.symbol} {day_of(tape)} {arm.name}")
            yield Replayed(arm.name, tape, strategy, result, journal.records, onlooker.touch())


def n_replays(arms: int, subject: Subject) -> int:
    """How often ``replays`` will tell of one, over all days."""
    return 2 * arms * len(subject.days) * (len(subject.shares) if subject.every_size else 1)


def order_sets(subject: Subject, windows: Windows, session: tuple[int, int]) -> Iterator[list[dict[str, Any]]]:
    """The parents of each replay of a day: one a window, buying and selling in turn, then the other way round."""
    starts, length = windows.starts(session), (session[1] - session[0]) // SECOND
    if not starts:
        raise ConfigError(f"{subject.symbol}: no window fits into a session of {length} s; make them shorter")
    for turn in range(len(subject.shares) if subject.every_size else 1):
        for flip in (1, -1):
            yield [
                {
                    "symbol": subject.symbol,
                    "side": "buy" if flip * (-1) ** n > 0 else "sell",
                    "shares": subject.shares[(n + turn) % len(subject.shares)],
                    "start_after_open_s": start,
                    "end_before_close_s": length - start - windows.each_s,
                    "participation": subject.participation,
                    "name": str(n),
                }
                for n, start in enumerate(starts)
            ]


def check_held_out(
    symbol: str, tape: Tape, windows: Windows, trained: Mapping[str, Spans], rule: HeldOut = "later"
) -> None:
    """Refuse a day that a model knows.

    Parameters
    ----------
    symbol : str
    tape : Tape
        The held-out day.
    windows : Windows
        A model may be trained on what ends before the first of them.
    trained : mapping of name to spans
        What each model was trained on.
    rule : "later" or "fold"
        ``later``: the day must come after all training, as for a trader. ``fold``: training may come after it, but not
        on it: each day is held out in turn, and what is known of it is only what other days say.

    Raises
    ------
    ConfigError
        If a model was trained on the held-out time, or (``later``) on a later one.
    """
    opening, close = tape.sessions[0]
    first = opening + windows.starts(tape.sessions[0])[0] * SECOND
    for name, spans in trained.items():
        if rule == "later" and any(last >= first for _, last in spans):
            raise ConfigError(
                f"{symbol}: {name} was trained on {day_of(tape)} or later; hold out days after its training"
            )
        if any(begin < close and last >= first for begin, last in spans):
            raise ConfigError(
                f"{symbol}: {name} was trained on {day_of(tape)}, which it is to be judged on; train one without it"
            )


def day_of(tape: Tape) -> str:
    """Of its first session, YYYY-MM-DD."""
    return str(np.datetime64(tape.sessions[0][0], "ns").astype("datetime64[D]"))


def _trials(one: Replayed, recorded: Touch) -> Iterator[Trial]:
    instruments = {instrument.symbol: instrument for instrument in one.tape.instruments}
    for cost in one.result.parents:
        if cost.arrival_price is None or cost.interval_vwap is None:
            raise ConfigError(
                f"{cost.symbol} on {day_of(one.tape)}: window {cost.name} had no quotes or no trades; "
                "choose other windows"
            )
        parts = parts_of(cost, one.records, instruments[cost.symbol], one.touch, recorded)
        yield Trial(
            symbol=cost.symbol,
            day=day_of(one.tape),
            window=int(cost.name),
            side=cost.side,
            shares=cost.size,
            arm=one.arm,
            done=cost.done,
            taken=parts.taken,
            vwap=cost.interval_vwap,
            slippage_bp=parts.slippage,
            spread_bp=parts.spread,
            impact_bp=parts.impact,
            timing_bp=parts.timing,
            completion_bp=parts.completion,
            fees_bp=parts.fees,
        )
