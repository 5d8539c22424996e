"""What an execution cost, as numbers: baskets, parents, bins, children.

Money is an integer of micro-units of the currency and positive where it was lost; prices are as quoted, times ns UTC,
sizes in size units. The lines of a split add up to its total, to the last unit.
"""

from __future__ import annotations

import msgspec

# what a fill can cost, each against the one after it: the price paid, ..., the bin's market price, the benchmark
FILL_LINES = ("timing", "latency", "waiting", "spread", "own_temporary", "own_persisting")
LINES = ("volume_curve", "schedule", "remainder", *FILL_LINES, "fees")
MEANING = {
    "volume_curve": "forecast error of the volume curve (T1)",
    "schedule": "traded earlier or later than scheduled",
    "remainder": "unfilled remainder, at the closing mark",
    "timing": "when in its bin an order was decided",
    "latency": "market moves between decision and arrival",
    "waiting": "market moves while an order waits",
    "spread": "spread paid, less spread earned",
    "own_temporary": "own temporary impact",
    "own_persisting": "own persisting impact",
    "fees": "fees, less rebates",
    "market": "market of its bin against the benchmark",
}


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Eq. 3 and its extension: ``t1 + t2 + t3 + fees = total = sum of lines``."""

    t1: int
    t2: int
    t3: int
    fees: int
    total: int
    lines: dict[str, int]  # by ``LINES``


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A bin's or a child's part: rows add up to their parent in each term and line.

    ``lines`` are of what was traded, against the benchmark; "market" is its bin's market against the benchmark, whose
    sum over rows is the parent's volume curve, schedule and remainder.
    """

    t1: int
    t2: int
    t3: int
    lines: dict[str, int]


class BinCost(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the schedule."""

    start: int
    end: int
    planned: int
    traded: int  # the residual of an unfinished order included, in the last bin
    market_volume: int
    price: float | None  # average of the fills
    market_price: float  # VWAP of the market in the bin, its mid where it did not trade
    row: Row


class ChildCost(msgspec.Struct, frozen=True, kw_only=True):
    """A child order with fills; number 0: the residual, -1: the bins without a fill."""

    number: int
    sent: int
    size: int
    filled: int
    maker: int  # size filled while resting
    dark: bool
    price: float | None
    row: Row


class Markout(msgspec.Struct, frozen=True, kw_only=True):
    """Mid after a fill against its price, size-weighted bp of notional; positive: the market went our way."""

    horizon_s: int
    all_bp: float | None
    maker_bp: float | None
    taker_bp: float | None
    size: int  # of the fills whose horizon is inside the session


class FillRate(msgspec.Struct, frozen=True, kw_only=True):
    """Of the orders placed at one distance from their own side's best."""

    level: str
    orders: int
    size: int
    filled: int

    @property
    def rate(self) -> float:
        """Part of the size placed that was filled."""
        return self.filled / self.size if self.size else 0.0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the impact model says before the trade, beside what own impact and spread came to; bp of what is traded."""

    impact_bp: float | None
    spread_bp: float | None  # the model's part of the spread at arrival
    realised_impact_bp: float | None  # lines own_temporary and own_persisting
    realised_spread_bp: float | None  # line spread
    size_of_day: float | None
    rate: float | None  # participation at which it was to be traded
    volatility: float | None
    quoted_spread_bp: float | None  # at arrival
    note: str = ""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Shortfall against the recorded mid at the start; an unfilled remainder counts at the closing mark."""

    price: float | None
    shortfall: int | None  # fees included
    shortfall_bp: float | None


class ParentCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one parent order."""

    account: str
    name: str
    symbol: str
    currency: str
    side: int
    size: int
    done: int
    start: int
    end: int
    benchmark: float  # VWAP of the recorded market between start and end, ours excluded
    notional: int  # of the parent at the benchmark
    split: Split
    total_bp: float
    replayed_vwap_bp: float | None  # against the VWAP of the market that we had moved, without fees
    without_impact: Split | None  # the same strategy in a market that own orders do not move
    without_impact_bp: float | None
    arrival: Arrival
    forecast: Forecast
    participation: float | None  # done over market volume between start and end
    worst_deviation: float  # largest |done - scheduled| at a bin's end, as part of the parent
    mean_deviation: float  # average of done - scheduled
    markouts: list[Markout]
    fill_rates: list[FillRate]
    bins: list[BinCost]
    children: list[ChildCost]
    notes: list[str]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A confidence interval over parents."""

    low_bp: float
    high_bp: float
    level: float
    resamples: int


class BasketCosts(msgspec.Struct, frozen=True, kw_only=True):
    """All parents of one currency; ``interval`` is of ``total_bp``, or ``no_interval`` says why there is none."""

    currency: str
    parents: int
    notional: int
    split: Split
    total_bp: float
    without_impact: Split | None
    without_impact_bp: float | None
    interval: Interval | None
    no_interval: str


class ProfitLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Of an account, with own impact and without."""

    account: str
    currency: str
    pnl: int
    without_impact: int | None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind a picture: columns of equal length, None where there is no value."""

    name: str
    columns: dict[str, list[float | None]]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One of the slides' pictures."""

    kind: str  # "impact accrual", "basket profile" or "path"
    parent: int | None  # index of the parent it is of
    currency: str
    title: str
    tables: list[Table]
    note: str = ""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The execution cost analysis of a run."""

    run: str
    fingerprint: str
    synthetic: bool
    impact: str
    baskets: list[BasketCosts]
    parents: list[ParentCosts]
    profit: list[ProfitLoss]
    pictures: list[Picture]
    notes: list[str]
