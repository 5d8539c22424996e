"""Over-the-counter contracts: their terms, what a unit of them is worth, and how they stand in a journal.

A contract is listed by the first deal in it and numbered within its account: 1, 2, 3, … Deals with equal terms are
deals in one contract, so a hedge that is a swap on an option's own dates, with the option's strike as its fixed rate,
nets with all other hedges of that option, and a physically settled swaption becomes that same swap.

Terms have no side: buying a payer swaption or a forward swap (paying its fixed rate) gains when rates rise. Prices are
present values per unit of notional in 1e-14, sizes are signed notional in whole units of currency, money is in
micro-units. Dates are days since 1970, as in a panel ``date``.
"""

from __future__ import annotations

import datetime
from enum import IntEnum
from functools import cache
from operator import index
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from engine.errors import StrategyError
from engine.instruments import Instrument, half_even

PRICE_UNITS = 10**14  # in 1 of notional
MONEY_DIVISOR = 10**8  # price units times notional are so many micro-units
DATE_BITS = 21
LAST_DATE = 2**DATE_BITS - 1
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ISIN_LENGTH = 12


class ContractClass(IntEnum):
    """What kind of contract; ``type`` of a CONTRACT record."""

    SWAPTION = 1
    FORWARD_SWAP = 2
    BOND = 3


class Swaption(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """The right to enter a swap at a fixed rate of ``strike``, exercised at the close of ``expiry`` if it is worth it.

    ``settlement`` "physical" gives the swap itself, "par_yield_cash" pays its value with the annuity taken at the par
    rate of the day (the cash annuity of euro and sterling markets).
    """

    kind: Literal["payer", "receiver"]
    expiry: int
    start: int
    maturity: int
    strike: float
    settlement: Literal["physical", "par_yield_cash"] = "physical"

    def __post_init__(self) -> None:
        _check_dates(self, expiry=self.expiry, start=self.start, maturity=self.maturity)
        _check_rate(self, "strike", self.strike)

    @property
    def swap(self) -> ForwardSwap:
        """What it is a right to; also its hedge."""
        return ForwardSwap(start=self.start, maturity=self.maturity, rate=self.strike)


class ForwardSwap(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A swap that pays ``rate`` fixed and receives floating from ``start`` to ``maturity``; sold, it receives fixed."""

    start: int
    maturity: int
    rate: float

    def __post_init__(self) -> None:
        _check_dates(self, start=self.start, maturity=self.maturity)
        _check_rate(self, "rate", self.rate)


class Bond(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A bond that the market's ``axis_bond`` lists."""

    isin: str

    def __post_init__(self) -> None:
        if not 0 < len(self.isin) <= ISIN_LENGTH or any(letter not in DIGITS for letter in self.isin):
            raise StrategyError(f"isin is {self.isin!r}, but must be 1 to {ISIN_LENGTH} digits and capital letters")


Contract = Swaption | ForwardSwap | Bond


class Packed(NamedTuple):
    """Terms as the fields of a CONTRACT record: equal terms give equal numbers."""

    type: int  # ContractClass
    side: int  # +1 payer, -1 receiver; else 0
    tif: int  # 1: settled in cash
    price: int  # fixed rate or strike, 1e-14
    extra: int  # dates, or an ISIN as digits of base 37, a blank being 0


TERMS = np.dtype(
    [
        ("type", "u1"),
        ("side", "i1"),  # +1 payer, -1 receiver
        ("is_cash", "?"),
        ("expiry", "<i4"),
        ("start", "<i4"),
        ("maturity", "<i4"),
        ("rate", "<f8"),
        ("isin", f"S{ISIN_LENGTH}"),
    ]
)


def pack(terms: Contract) -> Packed:
    """Terms as numbers."""
    if isinstance(terms, Swaption):
        side, cash = (1 if terms.kind == "payer" else -1), int(terms.settlement != "physical")
        dates = _pack_dates(terms.expiry, terms.start, terms.maturity)
        return Packed(ContractClass.SWAPTION, side, cash, price_units(terms.strike), dates)
    if isinstance(terms, ForwardSwap):
        dates = _pack_dates(0, terms.start, terms.maturity)
        return Packed(ContractClass.FORWARD_SWAP, 0, 0, price_units(terms.rate), dates)
    number = 0
    for letter in terms.isin.rjust(ISIN_LENGTH):
        number = 37 * number + 1 + DIGITS.find(letter)  # find says -1 of a blank
    return Packed(ContractClass.BOND, 0, 0, 0, number)


def unpack(packed: Packed) -> Contract:
    """The terms that numbers stand for."""
    if packed.type == ContractClass.BOND:
        number, letters = packed.extra, ""
        for _ in range(ISIN_LENGTH):
            number, digit = divmod(number, 37)
            letters = (DIGITS[digit - 1] if digit else "") + letters
        return Bond(isin=letters)
    expiry, start, maturity = _unpack_dates(packed.extra)
    rate = packed.price / PRICE_UNITS
    if packed.type == ContractClass.FORWARD_SWAP:
        return ForwardSwap(start=start, maturity=maturity, rate=rate)
    return Swaption(
        kind="payer" if packed.side > 0 else "receiver",
        expiry=expiry,
        start=start,
        maturity=maturity,
        strike=rate,
        settlement="par_yield_cash" if packed.tif else "physical",
    )


def swap_of(packed: Packed) -> Packed:
    """The swap that a swaption is a right to."""
    _, start, maturity = _unpack_dates(packed.extra)
    return Packed(ContractClass.FORWARD_SWAP, 0, 0, packed.price, _pack_dates(0, start, maturity))


def as_row(packed: Packed) -> tuple[int, int, bool, int, int, int, float, bytes]:
    """One entry of a TERMS array: what contracts are valued from."""
    if packed.type == ContractClass.BOND:
        terms = unpack(packed)
        assert isinstance(terms, Bond)
        return (packed.type, 0, False, 0, 0, 0, 0.0, terms.isin.encode())
    return (packed.type, packed.side, bool(packed.tif), *_unpack_dates(packed.extra), packed.price / PRICE_UNITS, b"")


def price_units(value: float) -> int:
    """A decimal as a whole number of 1e-14, halves to even."""
    return round(value * PRICE_UNITS)


def money_of(price: int, size: int) -> int:
    """Worth of ``size`` of notional at ``price``, in micro-units, rounded half-even once."""
    return half_even(price * size, MONEY_DIVISOR)


@cache
def contract_unit(currency: str) -> Instrument:
    """What prices and sizes of contracts in a currency mean, as a ledger reads it."""
    return Instrument(
        symbol="contract",
        price_unit=f"1/{PRICE_UNITS}",
        tick=1,
        currency=currency,
        kind="rates",
        book="NONE",
        levels=0,
        allows_negative_price=True,
    )


def describe(terms: Contract) -> str:
    """``payer 2016-02-08, 2016-02-10 to 2026-02-10 at 1.8000%`` for people."""
    if isinstance(terms, Bond):
        return f"bond {terms.isin}"
    span = f"{iso(terms.start)} to {iso(terms.maturity)}"
    if isinstance(terms, ForwardSwap):
        return f"swap {span} at {terms.rate:.4%}"
    cash = ", cash" if terms.settlement != "physical" else ""
    return f"{terms.kind} swaption {iso(terms.expiry)}, {span} at {terms.strike:.4%}{cash}"


def iso(day: int) -> str:
    """A date in days since 1970 as ``2016-02-08``."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=int(day))).isoformat()


def _pack_dates(expiry: int, start: int, maturity: int) -> int:
    return (expiry << 2 * DATE_BITS) | (start << DATE_BITS) | maturity


def _unpack_dates(packed: int) -> tuple[int, int, int]:
    return packed >> 2 * DATE_BITS, (packed >> DATE_BITS) & LAST_DATE, packed & LAST_DATE


def _check_dates(terms: Contract, **dates: int) -> None:
    before = 0
    for name, day in dates.items():
        try:
            day = index(day)
        except TypeError:
            raise StrategyError(
                f"{type(terms).__name__}.{name} is {day!r}, but must be a whole number of days since 1970, "
                "like desk.panel('date')"
            ) from None
        msgspec.structs.force_setattr(terms, name, day)  # numpy's integers become plain ones
        if not before <= day <= LAST_DATE or (name == "maturity" and day == before):
            raise StrategyError(
                f"{type(terms).__name__}.{name} is {day}, but dates are days since 1970 in 0 .. {LAST_DATE}, "
                "in the order expiry, start, maturity, and a swap ends after it starts"
            )
        before = day


def _check_rate(terms: Contract, name: str, rate: float) -> None:
    if not isinstance(rate, float) or not abs(rate) <= 1.0:
        raise StrategyError(
            f"{type(terms).__name__}.{name} is {rate!r}, but must be a float in [-1, 1]; "
            "rates are decimals, 0.018 is 1.8%"
        )
