"""What a book of bonds earns by price, interest, funding and cost: for deals made, and for deals only thought of.

Conventions are the dealer's (docs/simulation.md, section 13): a bond is worth clean price plus accrued interest at
settlement, a coupon goes to whoever holds it over the date, and holding is funded on the worth of the close before, at
its rate, days / 365.25. So what deals that were made add up to is the ledger's P/L, but for rounding to micro-units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

YEAR = 365.25  # days, of repo rates


class Mark(NamedTuple):
    """A bond at a close, per unit of notional."""

    clean: float
    accrued: float
    dv01: float  # a basis point
    repo: float  # overnight general collateral, less what it is special by
    coupon_day: int  # when the next coupon is due, days since 1970
    coupon: float

    @property
    def worth(self) -> float:
        """What a buyer pays."""
        return self.clean + self.accrued


class Tally(msgspec.Struct):
    """Positions and what they earned, in currency."""

    settle: int = 0  # of the last close, days since 1970
    units: dict[str, int] = {}  # signed notional
    marks: dict[str, Mark] = {}  # of what is held, carried where a bond has no price
    daily: list[float] = []  # P/L of each close since the one before
    price: float = 0.0
    interest: float = 0.0
    funding: float = 0.0  # negative: paid
    cost: float = 0.0  # half-spreads paid, as a positive number
    deals: int = 0

    @property
    def earned(self) -> float:
        """All together."""
        return self.price + self.interest + self.funding - self.cost

    def close(self, settle: int, marks: Mapping[str, Mark]) -> None:
        """Hold what is held from the last close to this one."""
        before = self.earned
        for isin, size in self.units.items():
            old = self.marks[isin]
            new = marks.get(isin, old)
            self.price += size * (new.clean - old.clean)
            coupon = old.coupon if old.coupon_day <= settle else 0.0
            self.interest += size * (new.accrued - old.accrued + coupon)
            self.funding -= size * old.worth * old.repo * (settle - self.settle) / YEAR
            self.marks[isin] = new
        self.settle = settle
        self.daily.append(self.earned - before)

    def deal(self, isin: str, units: int, price: float, mark: Mark) -> None:
        """Buy (or sell) at a price, at the close of the mark."""
        cost = units * (price - mark.worth)
        self.cost += cost
        self.daily[-1] -= cost
        self.deals += 1
        self.units[isin] = self.units.get(isin, 0) + units
        self.marks[isin] = mark
        if self.units[isin] == 0:
            del self.units[isin], self.marks[isin]

    def move_to(self, wanted: Mapping[str, int], marks: Mapping[str, Mark], half_spread_bp: float) -> None:
        """Deal what is missing, where there is a price of today, half a spread from mid."""
        for isin in sorted({*wanted, *self.units}):
            units = wanted.get(isin, 0) - self.units.get(isin, 0)
            if units and isin in marks:
                mark = marks[isin]
                side = 1 if units > 0 else -1
                self.deal(isin, units, mark.worth + side * half_spread_bp * mark.dv01, mark)
