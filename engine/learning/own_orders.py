"""What our own orders do to signals: moves by probability without them, and with them at five urgencies.

The same market is replayed with no orders and with each urgency, at the same moments; so the difference of the moves is
what the orders did, paired. Moves and signals are turned to the order's side: a move above 0 goes where a buyer pays
more. The move runs from the placement to the model's horizon of ticks in the market without us.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.instruments import Instrument
from engine.learning.block_draws import draw_counts
from engine.learning.placements import NEVER, NOTHING, URGENCIES, Placed, StudyMarket, Watched
from engine.learning.survival import Estimate, FillTable, Lives, Survival, survival
from engine.strategy import SECOND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 10  # placements that are drawn together
DRAWS = 1_000
BINS = 5  # of the lean
MOST_AGES = 60  # ticks
LEAST_PLACEMENTS = 100
UP, DOWN = 2, 0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the orders of one urgency; costs in price ticks a unit of size, positive where money was lost."""

    filled: float  # part of what was placed
    rested: float  # part of what was filled that had rested
    paid: Estimate  # price paid beyond the mid at placement, of what was filled
    fee: float
    shortfall: Estimate  # of all that was placed; what was not filled is done at the mid at the horizon. Without fees
    move: list[Estimate]  # by probability
    change: list[Estimate]  # from the move without orders
    overall: Estimate  # change over all placements
    survival: Survival | None


class OwnOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tickwright forest own-orders`` found."""

    name: str
    market: str
    synthetic: bool
    overlaps: bool
    symbol: str
    shares: int
    horizon: int
    placements: int
    calibrated_on: int  # the earlier of them
    probability: list[float]  # mean P(move to the order's side) of each bin
    lean: list[float]  # mean of that less P(the other way)
    count: list[int]
    unconditional: list[Estimate]  # mean move without our orders, price ticks
    profiles: dict[str, Profile]


def study_own_orders(market: StudyMarket, *, tell: Callable[[str], None] = lambda what: None) -> OwnOrders:
    """Replay without orders and with each urgency.

    Raises
    ------
    ConfigError
        If there are too few placements to say anything.
    """
    tell("without orders")
    free = market.replay(NOTHING)
    config, params = market.config, market.params
    start, end = _spans(free, market.horizon)
    if len(start) < LEAST_PLACEMENTS:
        raise ConfigError(
            f"{config.name}: {len(start)} placements with a forecast, but {LEAST_PLACEMENTS} are needed; place more "
            "often (every_s) or replay more"
        )
    placed = [free.placed[i] for i in start]
    unit = next(one for one in market.pieces.tape.instruments if one.symbol == params.symbol)
    side = np.array([one.side for one in placed])
    chances = np.array([one.chances for one in placed])
    toward = np.where(side > 0, chances[:, UP], chances[:, DOWN])
    lean = side * (chances[:, UP] - chances[:, DOWN])
    bins = _bins(lean)
    counts = draw_counts(len(placed), BLOCK, DRAWS, config.seed)
    moved = _moves(free, placed, end, side, unit)
    study = _Study(market, free, start, end, side, bins, counts, moved, unit)
    profiles = {}
    for urgency, name in URGENCIES.items():
        tell(name)
        profiles[name] = study.profile(urgency)
    some = [bins == k for k in range(bins.max() + 1)]
    manifest = market.pieces.tape.manifest
    return OwnOrders(
        name=config.name,
        market=manifest.name,
        synthetic=manifest.synthetic,
        overlaps=market.overlaps,
        symbol=params.symbol,
        shares=params.shares,
        horizon=market.horizon,
        placements=len(placed),
        calibrated_on=len(placed) // 2,
        probability=[float(toward[one].mean()) for one in some],
        lean=[float(lean[one].mean()) for one in some],
        count=[int(one.sum()) for one in some],
        unconditional=[estimate(moved, one, counts) for one in some],
        profiles=profiles,
    )


class _Study:
    """The market without orders, against which each urgency is held."""

    def __init__(
        self, market: StudyMarket, free: Watched, start: Ints, end: Ints, side: Ints, bins: Ints, counts: Floats,
        moved: Floats, unit: Instrument,
    ) -> None:  # fmt: skip
        self.market, self.free, self.start, self.end, self.side = market, free, start, end, side
        self.bins, self.counts, self.moved, self.unit = bins, counts, moved, unit
        life = round(market.params.life_s * SECOND)
        self.asked_of = [free.placed[i] for i in start]
        self.asked = np.array([one.ts for one in self.asked_of])
        first = np.searchsorted(free.ticks.ts, self.asked, side="right") - 1
        at = first[:, None] + np.arange(MOST_AGES + 1)
        within = np.minimum(at, len(free.ticks.ts) - 1)
        self.times = np.maximum(free.ticks.ts[within], self.asked[:, None])  # age 0 is the placement itself
        self.possible = (at < len(free.ticks.ts)) & (self.times < self.asked[:, None] + life)

    def profile(self, urgency: int) -> Profile:
        """Replay one urgency and hold it against the market without orders."""
        watched = self.market.replay(urgency)
        placed = _same(watched.placed, self.asked)
        moved = _moves(watched, placed, self.end, self.side, self.unit)
        change = moved - self.moved
        every = np.ones(len(placed), np.bool_)
        some = [self.bins == k for k in range(self.bins.max() + 1)]
        shares = self.market.params.shares
        size = np.array([one.filled for one in placed])
        over = self.side * (np.array([one.paid for one in placed]) - size * np.array([one.mid2 for one in placed]) / 2)
        tick = self.unit.tick
        left = (shares - size) / shares * moved
        fee = sum(one.fees for one in placed) / float(self.unit.money) / tick / max(int(size.sum()), 1)
        return Profile(
            filled=float(size.sum() / (shares * len(placed))),
            rested=sum(one.rested for one in placed) / max(int(size.sum()), 1),
            paid=_ratio(over / tick, size, self.counts),
            fee=fee,
            shortfall=estimate(over / tick / shares + left, every, self.counts),
            move=[estimate(moved, one, self.counts) for one in some],
            change=[estimate(change, one, self.counts) for one in some],
            overall=estimate(change, every, self.counts),
            survival=self.lives(watched, placed),
        )

    def lives(self, watched: Watched, placed: list[Placed]) -> Survival | None:
        """The signal over open orders, corrected by fills of the earlier half and judged on the later one."""
        free, side = self.free.ticks, self.side[:, None]
        ended = np.array([one.ended for one in placed])[:, None]
        # what ended without being whole was given up or refused: no fill, and no life after it
        whole = np.array([one.filled == self.market.params.shares for one in placed])[:, None]
        next_time = np.column_stack([self.times[:, 1:], np.full(len(placed), NEVER)])
        is_open = self.possible & (self.times < ended)
        seen = watched.ticks.at(self.times)
        alone = free.at(self.times)
        gone = side * (free.mid2[alone] - np.array([one.mid2 for one in self.asked_of])[:, None]) / (2 * self.unit.tick)
        lives = Lives(
            gone=gone,
            away=side * (free.up - free.down)[alone],
            shown=side * (watched.ticks.up - watched.ticks.down)[seen],
            possible=self.possible & (whole | (self.times < ended) | (ended == NEVER)),
            is_open=is_open,
            filled=is_open & whole & (ended <= next_time),
        )
        half = len(placed) // 2
        table = FillTable.calibrate(lives.some(slice(half)))
        counts = draw_counts(len(placed) - half, BLOCK, DRAWS, self.market.config.seed)
        return survival(lives.some(slice(half, None)), table, counts)


def estimate(value: Floats, some: NDArray[np.bool_], counts: Floats) -> Estimate:
    """The mean over some placements."""
    return _ratio(value * some, some.astype(np.float64), counts)


def _ratio(value: Floats, weight: NDArray, counts: Floats) -> Estimate:
    total = counts @ weight
    drawn = np.divide(counts @ value, total, out=np.zeros_like(total), where=total > 0)
    whole = float(weight.sum())
    return Estimate(value=float(value.sum() / whole) if whole else 0.0, error=float(drawn.std()))


def _spans(free: Watched, horizon: int) -> tuple[Ints, Ints]:
    """Placements whose horizon ends in their session, and the times when it does."""
    ticks = free.ticks
    session = np.concatenate([np.zeros(min(1, len(ticks.tick)), np.int64), np.cumsum(np.diff(ticks.tick) < 0)])
    place = session * (1 << 40) + ticks.tick
    at = ticks.at(np.array([one.ts for one in free.placed], np.int64))
    if not len(place):
        return at[:0], at[:0]
    end = np.searchsorted(place, place[at] + horizon)
    within = np.minimum(end, len(place) - 1)
    known = np.flatnonzero((end < len(place)) & (session[within] == session[at]))
    return known, ticks.ts[within[known]]


def _same(placed: list[Placed], asked: Ints) -> list[Placed]:
    """The placements of those times: our own orders may make a forecast stale or late, never move the clock."""
    by_time = {one.ts: one for one in placed}
    missing = [ts for ts in asked.tolist() if ts not in by_time]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(asked)} placements were not made where our own orders moved the market; "
            "place smaller orders"
        )
    return [by_time[ts] for ts in asked.tolist()]


def _moves(watched: Watched, placed: list[Placed], end: Ints, side: Ints, unit: Instrument) -> Floats:
    """From the mid at placement to that at the end, price ticks, turned to the order's side."""
    mid2 = np.array([one.mid2 for one in placed])
    return side * (watched.ticks.mid2[watched.ticks.at(end)] - mid2) / (2 * unit.tick)


def _bins(lean: Floats) -> Ints:
    """Fifths of the lean; fewer where it takes few values."""
    edges = np.unique(np.quantile(lean, np.arange(1, BINS) / BINS))
    found = np.searchsorted(edges, lean, side="right")
    return np.unique(found, return_inverse=True)[1]
