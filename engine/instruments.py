"""What is traded: units, ticks, lots and the exact money value of one unit.

Rows carry prices as integers in ``price_unit`` and sizes as integers in ``size_unit``; an
``Instrument`` says what these are worth. Money is an integer count of 1e-6 of the currency.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Annotated

import msgspec

from engine.errors import ConfigError

MICRO = 1_000_000  # money units per unit of currency
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


def half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded to an integer, halves to even; ``denominator`` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


@cache
def _money(price_unit: str, size_unit: str, multiplier: str) -> Fraction:
    """Kept, because a ledger asks for it at each fill."""
    return Fraction(price_unit) * Fraction(size_unit) * Fraction(multiplier) * MICRO


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that trades, as the manifest of a tape describes it.

    ``price_unit`` and ``size_unit`` are rationals written as strings ("1/10000", "0.01", "1"). ``tick`` and
    ``lot`` are multiples of them and bind our orders only; data off the tick is kept and flagged.
    ``levels`` limits the depth that the tape observes on each side (1 for quotes, 5 for a five-level file,
    0 when the whole book is there).
    """

    symbol: str
    price_unit: str = "1/10000"
    tick: Positive = 100  # price units
    size_unit: str = "1"
    lot: Positive = 1  # size units
    multiplier: str = "1"  # currency per unit of price and unit of size
    currency: str = "USD"
    kind: str = "equity"  # equity, future, crypto, bond, ...: risk limits may be set by it
    calendar: str = ""  # an exchange_calendars name, or "" for "whenever the tape has rows"
    book: str = "L1"  # L1 quotes, L2 depth by price, L3 order by order, NONE trades or bars alone
    levels: int = 1  # observed levels a side; 0 is the whole book
    source: int = 0  # which stream numbers this instrument's rows
    allows_negative_price: bool = False

    def __post_init__(self) -> None:
        for name in ("price_unit", "size_unit", "multiplier"):
            text = getattr(self, name)
            try:
                value = Fraction(text)
            except (ValueError, ZeroDivisionError):
                raise ConfigError(
                    f"{self.symbol}: {name} is {text!r}, but must be a rational like '1/10000' or '0.01'"
                ) from None
            if value <= 0:
                raise ConfigError(f"{self.symbol}: {name} is {text!r}, but must be > 0")
        if self.book not in ("L1", "L2", "L3", "NONE"):
            raise ConfigError(f"{self.symbol}: book is {self.book!r}, but must be one of L1, L2, L3, NONE")

    @property
    def money(self) -> Fraction:
        """Micro-units of currency per price unit and size unit (exact)."""
        return _money(self.price_unit, self.size_unit, self.multiplier)

    def value(self, price: int, size: int) -> int:
        """Signed worth of ``size`` at ``price`` in micro-units, rounded half-even once."""
        money = self.money
        return half_even(price * size * money.numerator, money.denominator)

    def price(self, quoted: str | float | Fraction) -> int:
        """The integer price of a quoted one (``price("585.33")`` is 5853300 at a unit of 1/10000).

        Raises
        ------
        ConfigError
            If it is not a whole number of price units; a float is read through its shortest decimal form.
        """
        exact = Fraction(str(quoted) if isinstance(quoted, float) else quoted) / Fraction(self.price_unit)
        if exact.denominator != 1:
            raise ConfigError(f"{self.symbol}: price {quoted} is not a whole number of {self.price_unit}")
        return exact.numerator

    def quoted(self, price: int | float) -> float:
        """The quoted price of an integer one, for people and plots."""
        return (
            float(price * Fraction(self.price_unit))
            if isinstance(price, int)
            else price * float(Fraction(self.price_unit))
        )
