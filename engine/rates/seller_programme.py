"""One short-gamma programme: what is sold, when, how it is hedged, restruck and settled, and what trading costs.

The same struct drives the event path (``strategies.swaption_seller``) and the research path, so that a config says
once what both do. ``docs/short_gamma.md`` tells the conventions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.short_gamma import Costs, Rule, Structure
from engine.rates.swaption_contract import expiry_date
from engine.rates.trading_signals import LEVEL_DAYS, expiry_curve, is_on, vol_carry, vol_level
from engine.rates.vol_surface import VolSurface

Floats = NDArray[np.float64]
Signal = Literal["clustering", "vol_carry", "vol_level", "expiry_curve"]
MEMORY = LEVEL_DAYS + 1  # closes that the longest signal reads


class Programme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sell one option structure at each close on which every signal is on, and hold it to expiry.

    Hedges are struck where the option is, so that those of one option are deals in one swap.
    """

    sells: Literal["straddle", "strangle"] = "straddle"  # at the money as one package, or legs managed separately
    delta: float = 0.25  # of each leg of a strangle
    hedge_beyond: float = 0.0  # |fractional delta| above which a leg is hedged to zero: 0 daily, inf never
    restrike_below: float = 0.0  # part of its first gamma below which a leg is restruck; 0 never
    signals: tuple[Signal, ...] = ()  # all must be on; () sells at every close
    settlement: Literal["physical", "par_yield_cash"] = "physical"
    hedge_bp: float = 0.2  # expected cost of a hedge, bp of yield per unit of DV01
    option_half_spread_bp: float = 0.0  # of an option, bp of normal vol per unit of vega
    expiry_months: int = 1
    tenor_months: int = 120
    market: str = "USD 2016"  # conventions of the swap
    calendar: str = ""  # of expiries: that of the closes; "" is the market's

    def __post_init__(self) -> None:
        _ = Structure(delta=self.delta), self.rule, self.costs  # each refuses what makes no sense
        if self.expiry_months < 1 or self.tenor_months < 1:
            raise ConfigError(
                f"expiry_months is {self.expiry_months} and tenor_months {self.tenor_months}, but both must be >= 1; "
                "1 and 120 are the 1Mx10Y"
            )

    @property
    def structure(self) -> Structure:
        """What is sold."""
        return Structure(delta=self.delta if self.sells == "strangle" else None)

    @property
    def rule(self) -> Rule:
        """When it is hedged and restruck."""
        return Rule(hedge_beyond=self.hedge_beyond, restrike_below=self.restrike_below, hedge_at="strike")

    @property
    def costs(self) -> Costs:
        """What trading is expected to cost."""
        return Costs(hedge_bp=self.hedge_bp, option_half_spread_bp=self.option_half_spread_bp)

    @property
    def is_cash_settled(self) -> bool:
        """Whether the option pays money in place of the swap."""
        return self.settlement == "par_yield_cash"

    def expiry(self, date: np.datetime64) -> np.datetime64:
        """Of an option that is sold at the close of ``date``."""
        return expiry_date([date], self.expiry_months, self.market, calendar=self.calendar or None)[0]


class Quotes(NamedTuple):
    """What the signals read of the last closes, each float64[d]."""

    implied: Floats  # at the money, the programme's expiry and tenor
    implied_later: Floats  # three times the expiry
    forward: Floats  # swap rate of the option that is sold at that close


def implied_vols(programme: Programme, surface: VolSurface, date: np.datetime64) -> tuple[float, float]:
    """At the money, the programme's tenor: at its expiry, and at three times that."""
    years = programme.expiry_months / 12
    implied, later = surface.vol(date, [years, 3 * years], programme.tenor_months / 12).tolist()
    return implied, later


def signals_on(programme: Programme, quotes: Quotes, last_pnl: float) -> list[Signal]:
    """Those of the programme's signals that are on at the last close of ``quotes``.

    ``last_pnl`` is the net P/L of the latest comparable trade that has expired, NaN where none has.
    """
    implied, later, forward = (one[-MEMORY:] for one in quotes)
    numbers = {
        "clustering": lambda: last_pnl,
        "vol_carry": lambda: vol_carry(implied, forward)[-1],
        "vol_level": lambda: vol_level(implied)[-1],
        "expiry_curve": lambda: expiry_curve(implied, later)[-1],
    }
    return [signal for signal in programme.signals if is_on(signal, numbers[signal]())]
