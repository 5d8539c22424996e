"""Close-of-day tapes, and a market simple enough to price in one's head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.broker.otc import Flows, Values
from engine.contracts import ContractClass
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape

DAY_NS = 86_400_000_000_000
FIRST_DAY = 16_800  # days since 1970: 2015-12-31
CLOSE_NS = 20 * 3_600_000_000_000  # 3pm in New York


def market(symbol: str, currency: str = "USD") -> Instrument:
    """A close-of-day market."""
    return Instrument(symbol=symbol, kind="rates", book="NONE", levels=0, currency=currency)


def closes(
    levels: Any, *, markets: dict[str, str] | None = None, first_day: int = FIRST_DAY, **more: NDArray[Any]
) -> Tape:
    """A tape with one close a day of each market; ``levels[d, m]`` is all that a toy market knows."""
    levels = np.asarray(levels, float)
    levels = levels.reshape(len(levels), -1)  # (days, markets)
    markets = markets or {"USD.RATES": "USD"}
    days, count = levels.shape
    rows = np.zeros(days * count, ROW)
    day, which = np.divmod(np.arange(days * count), count)
    rows["ts_event"] = rows["ts_recv"] = (first_day + day) * DAY_NS + CLOSE_NS + which * 1_000_000_000
    rows["kind"], rows["flags"], rows["order_id"], rows["instrument"] = Kind.CLOSE, Flag.LAST, day, which
    dates = np.arange(first_day, first_day + days, dtype=np.int32)
    panels: dict[str, NDArray[Any]] = {}
    for m, symbol in enumerate(markets):
        prefix = f"{symbol}." if count > 1 else ""
        panels[f"{prefix}level"], panels[f"{prefix}date"] = levels[:, m].copy(), dates
    named = [market(symbol, currency) for symbol, currency in markets.items()]
    return Tape(rows, Manifest(name="toy", instruments=named, synthetic=True), panels | more)


class ToyMarket:
    """Swaps are worth ten times (level - rate), bonds 1 + level, options their intrinsic value and a little more."""

    def __init__(self, panels: dict[str, NDArray[Any]], conventions: str) -> None:
        self.date, self.level = int(panels["date"]), float(panels["level"])

    def lists(self, terms: NDArray[np.void]) -> NDArray[np.bool_]:
        is_option, is_bond = terms["type"] == ContractClass.SWAPTION, terms["type"] == ContractClass.BOND
        return np.where(is_option, terms["expiry"] > self.date, terms["start"] >= self.date) | is_bond

    def values(self, terms: NDArray[np.void], state: NDArray[np.float64]) -> Values:
        swap = 10.0 * (self.level - terms["rate"])
        years = np.maximum(terms["expiry"] - self.date, 0) / 365
        option = np.maximum(terms["side"] * swap, 0.0) + 0.01 * np.sqrt(years)
        kinds = [terms["type"] == kind for kind in (ContractClass.SWAPTION, ContractClass.FORWARD_SWAP)]
        bond = np.full(len(terms), 1.0 + self.level)
        dv01 = np.full(len(terms), 1e-3) + 0 * self.level
        return Values(np.select(kinds, [option, swap], bond), dv01, np.where(kinds[0], 0.5, 0.0))

    def flows(
        self, terms: NDArray[np.void], state: NDArray[np.float64], marks: NDArray[np.float64], since: int
    ) -> Flows:
        is_swap, is_bond = terms["type"] == ContractClass.FORWARD_SWAP, terms["type"] == ContractClass.BOND
        started = is_swap & (terms["start"] <= self.date)
        coupon = np.where(started & (self.date % 3 == 0), state - terms["rate"], 0.0)
        funding = np.where(is_bond, -state * marks * (self.date - since) / 360, 0.0)
        redeemed = np.where(is_swap & (terms["maturity"] <= self.date), 0.0, np.nan)
        return Flows(coupon, funding, redeemed, state)

    def fixings(self, terms: NDArray[np.void], state: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(terms["type"] == ContractClass.SWAPTION, np.nan, self.level)
