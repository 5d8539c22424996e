"""A few weeks of closes in which everything moves, small enough for a property test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.rates.contract_panel import Sales, contract_panel
from engine.rates.curves import DiscountCurve
from engine.rates.holidays import business_calendar
from engine.rates.seller_programme import Programme
from engine.rates.swap_curve import bootstrap_days
from engine.rates.vol_surface import VolSurface
from engine.tape import Manifest, Tape
from feeds.close_rows import close_instrument, close_rows

USD = "USD.RATES"
CALENDAR = "US government bond"


def small_rates_tape(seed: int, closes: int = 42, *, move_bp: float = 6.0) -> Tape:
    """Closes of swap rates and normal vols with a smile; ``move_bp`` is a day's standard deviation of rates."""
    rng = np.random.Generator(np.random.Philox(seed))
    days = np.arange("2015-11-16", "2018-12-31", dtype="datetime64[D]")
    days = days[np.is_busday(days, busdaycal=business_calendar(CALENDAR))][:closes]
    move = move_bp * 1e-4
    moves = np.cumsum(rng.normal(0, move, (closes, 1)) + rng.normal(0, move / 5, (closes, 5)), axis=0)
    rates = np.array([0.006, 0.009, 0.015, 0.02, 0.025]) + moves
    level = 0.0095 * np.exp(np.cumsum(rng.normal(0, 0.03, (closes, 1, 1, 1)), axis=0))
    vols = level + rng.uniform(-3e-4, 3e-4, (closes, 3, 2, 5))
    panels = {
        "date": days.astype(np.int32),
        "swap_rate": rates,
        "axis_swap_tenor": np.array([1.0, 2.0, 5.0, 10.0, 30.0]),
        "normal_vol": vols,
        "axis_vol_expiry": np.array([1 / 12, 0.25, 0.5]),
        "axis_vol_tenor": np.array([5.0, 10.0]),
        "axis_vol_offset": np.array([-0.01, -0.0025, 0.0, 0.0025, 0.01]),
    }
    manifest = Manifest(name="small closes", instruments=[close_instrument(USD)], synthetic=True)
    return Tape(close_rows(days), manifest, panels)


class Market(NamedTuple):
    """A tape's closes as the research path takes them."""

    days: np.ndarray
    curves: list[DiscountCurve]
    surface: VolSurface

    def sales(self, programme: Programme) -> Sales:
        """Every sale that expires within the tape."""
        return contract_panel(
            self.days, self.curves, self.surface, calendar=programme.calendar or None,
            is_cash_settled=programme.is_cash_settled,
        )  # fmt: skip


def research_market(tape: Tape) -> Market:
    """Curves and surfaces of all closes."""
    panels = tape.panels
    days = panels["date"].astype("datetime64[D]")
    curves = bootstrap_days(days, panels["axis_swap_tenor"], panels["swap_rate"])
    expiries, tenors, offsets = (panels[f"axis_vol_{axis}"] for axis in ("expiry", "tenor", "offset"))
    return Market(days, curves, VolSurface(days, expiries, tenors, offsets, panels["normal_vol"]))
