"""The broker's models and their parameters, as a config names them.

Every field is printed in a run's banner; the defaults are pessimistic and realistic for US equities.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engine.broker.impact import Impact, Propagator

Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000_000_000)]
Ppm = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
HalfSpread = Annotated[float, msgspec.Meta(ge=0, le=1_000)]


class Lognormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A latency drawn for each message: ``floor_ns + lognormal(median_ns, sigma)``, by quantile table."""

    median_ns: Nanoseconds
    sigma: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5
    floor_ns: Nanoseconds = 0


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long each leg takes. ``feed = "recorded"`` reads ``ts_recv`` of the rows."""

    feed: Nanoseconds | Lognormal | Literal["recorded"] = 200_000
    entry: Nanoseconds | Lognormal = 200_000
    response: Nanoseconds | Lognormal = 200_000


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where in its price level a resting order stands.

    ``pessimistic``: behind everything there; cancels come from behind it while they can.
    ``probabilistic``: a cancel comes from ahead with chance a^k / (a^k + b^k), a ahead and b behind, k = exponent.
    ``fifo``: exact on order-by-order data (L3); elsewhere pessimistic.
    """

    model: Literal["pessimistic", "probabilistic", "fifo"] = "pessimistic"
    exponent: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2


class Fees(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a fill costs. Negative is a rebate. Per unit of size in micro-units, of notional in ppm (100 ppm = 1 bp)."""

    maker_per_unit: int = -2_000  # $0.0020 a share earned
    taker_per_unit: int = 3_000  # $0.0030 a share paid
    maker_ppm: Ppm = 0
    taker_ppm: Ppm = 0


class Fills(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may fill a resting order beyond the common rules."""

    outside: bool = False  # trades flagged OUTSIDE the quote fill too
    stop_trigger: Literal["trade", "quote"] = "trade"


class Borrow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What short positions and leverage cost, charged at each session's end."""

    rate_ppm: Ppm = 3_000  # a year, of the value of the short position (0.30 %)
    day_count: Literal[360, 365] = 360


class Otc(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How over-the-counter deals fill: at a close, at mid plus half a spread.

    ``same_close``: at the very close whose panel the strategy has just seen, the rule of the papers and the one
    exception to "never on data at order arrival". ``next_close``: at the next one. Spreads are half of bid to offer.
    """

    fill: Literal["same_close", "next_close"] = "same_close"
    swaption_vol_bp: HalfSpread = 1.0  # bp of normal vol a year, times the option's vega
    swaption_bp: HalfSpread = 0.0  # bp of yield, times the DV01 of the swap underneath; added to the one above
    swap_bp: HalfSpread = 0.2  # bp of yield, times DV01
    bond_bp: HalfSpread = 0.5  # bp of yield, times DV01
    max_age_days: Annotated[int, msgspec.Meta(ge=0, le=254)] = 0  # business days that a quote may be carried forward
    conventions: dict[str, str] = msgspec.field(
        default_factory=lambda: {"USD": "USD 2016", "EUR": "EUR"}
    )  # of swaps and bonds, by currency of the market


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is simulated about the venue."""

    latency: Latency = Latency()
    queue: Queue = Queue()
    fees: Fees = Fees()
    fills: Fills = Fills()
    borrow: Borrow = Borrow()
    otc: Otc = Otc()
    impact: Impact = Propagator()  # a run measures the average days that it needs and is not given


class OtcLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of one class of contracts in an account; 0 is no limit. Money is in micro-units.

    Open amounts add up without regard to side, so that two contracts that hedge each other count twice. What makes a
    position smaller is always let through.
    """

    max_notional: Count = 1_000_000_000_000_000  # of a deal: 1 bn of currency
    max_open_notional: Count = 0
    max_open_dv01: Count = 0  # money a basis point of yield; of an option, its swap's


class OtcRisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of over-the-counter deals, by class."""

    swaption: OtcLimits = OtcLimits()
    forward_swap: OtcLimits = OtcLimits()
    bond: OtcLimits = OtcLimits()


class RiskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of the pre-trade gates; 0 switches a limit off where that makes sense. Money is in micro-units."""

    expiry_ns: Nanoseconds = 2_000_000_000  # gate 3: longest way from desk to venue
    repeats: Count = 0  # gate 4: more than this many equal orders in one second
    stale_ns: Nanoseconds = 2_000_000_000  # gate 5: nothing heard from the feed for so long
    max_size: Count = 1_000_000  # gate 6, size units
    max_notional: Count = 50_000_000_000_000  # gate 6: 50 M of currency
    collar_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 50_000  # gate 7: 5 % from the last valid mid
    orders_per_second: Count = 0  # gate 8
    burst: Count = 100  # gate 8
    max_open: Count = 200  # gate 9, an instrument and account
    max_open_account: Count = 1_000  # gate 9
    max_position: Count = 0  # gate 10, size units, an instrument
    max_gross: Count = 0  # gate 10, money, an account
    max_net: Count = 0  # gate 10
    margin_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0  # gate 10: cash needed for gross exposure; 0 off
    self_trade: Literal["cancel_resting", "allow"] = "cancel_resting"  # gate 11
    fills_per_second: Count = 0  # gate 12
    daily_loss: Count = 0  # gate 13, money
    drawdown: Count = 0  # gate 13, money, from the day's peak
    participation_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0  # gate 14: of market volume this session
    restricted: tuple[str, ...] = ()  # gate 2: symbols
    otc: OtcRisk = OtcRisk()


LIVE = RiskConfig(repeats=5, orders_per_second=50, fills_per_second=10)
REPLAY = RiskConfig()


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose orders these are: one strategy, one ledger."""

    name: str = "main"
    cash: dict[str, int] = msgspec.field(
        default_factory=lambda: {"USD": 10_000_000_000_000}
    )  # money at the start (10 M)
