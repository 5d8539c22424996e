"""Relative-value packages: a cheap bond bought, or a dear one sold, against its neighbours in maturity.

At each close, in this order:

1. A package ends when its bond is no longer cheap (dear) by ``exit_bp`` or ``exit_z``, after ``max_closes``, when the
   bond has left the basket, or when a leg was refused.
2. Bonds are ranked by the size of their signal. One that is cheap or dear by ``entry_bp`` after funding, and by
   ``entry_z`` against its own past, is opened against the nearest shorter and the nearest longer bond of its bucket
   that are on the other side of the curve by ``hedge_bp``, weighted so that neither a parallel move of yields nor, with
   two of them, a tilt of the bucket moves the package.

What this file decides depends on signals alone; it knows no desk, so that a book that only pretends can use it as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

LEAST_DEVIATION_BP = (
    0.1  # of a signal's past: what rounding of prices and changes of the basket leave of a constant one
)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When to open, when to close, against whom, and how much."""

    entry_bp: Positive = 3.0  # after funding for carry_days
    exit_bp: float = 0.5
    entry_z: NotNegative = 1.5  # of the signal against its past; 0: the past is not asked, on the way out neither
    exit_z: float = 0.0
    window: Annotated[int, msgspec.Meta(ge=2)] = 60  # closes before today that are the past
    max_closes: Count = 40  # that a package is held
    carry_days: NotNegative = 15.0  # calendar days for which a dearer funding than general collateral is charged
    package_dv01: Positive = 10_000.0  # currency a basis point, of the bond that is cheap or dear
    max_packages: Count = 40
    max_bond_dv01: Positive = 30_000.0  # of one bond, all packages together
    hedge_bp: Positive = 0.5  # a hedge is at least so dear where the bond is cheap, and the other way round
    lot: Count = 1_000  # notionals are whole multiples
    buckets: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.5)  # edges, years to maturity

    def __post_init__(self) -> None:
        if len(self.buckets) < 2 or any(b <= a for a, b in zip(self.buckets, self.buckets[1:], strict=False)):
            raise ConfigError(f"buckets is {self.buckets}, but must be two or more years that ascend")
        if self.exit_bp >= self.entry_bp or (self.entry_z and self.exit_z >= self.entry_z):
            raise ConfigError(
                f"exit at {self.exit_bp:g} bp and z {self.exit_z:g} is not below entry at {self.entry_bp:g} bp and "
                f"z {self.entry_z:g}; a package would end as it opens"
            )
        if self.max_bond_dv01 < self.package_dv01:
            raise ConfigError(
                f"max_bond_dv01 is {self.max_bond_dv01:g}, less than package_dv01, {self.package_dv01:g}: nothing "
                "could be opened; raise the one or lower the other"
            )


class Quotes(NamedTuple):
    """What is decided on: one row for each bond that has a signal, or could have one, today."""

    date: int  # days since 1970
    isin: list[str]
    years: Floats
    bucket: Ints  # OUTSIDE: in none
    dv01: Floats  # per unit of notional, a basis point
    funding_bp: Floats  # of yield a calendar day: what holding costs beyond general collateral; a short earns it
    signal_bp: Floats  # > 0 is cheap; NaN: none today
    fresh: frozenset[str]  # bonds with a price of today, those without a row included


class Package(msgspec.Struct):
    """A bond and its hedges."""

    isin: str
    side: int  # +1: cheap and bought
    legs: dict[str, int]  # signed notional, the bond's own first
    closes: int = 0  # held
    broken: str = ""  # why it must end whatever the signal


class Book(msgspec.Struct):
    """The packages that are open, and what signals were."""

    packages: list[Package] = []
    past: dict[str, list[float]] = {}  # signals of the last ``window`` closes that had one, bp
    opened: list[tuple[int, str, int]] = []  # all packages there were: date, bond, side
    ended: dict[str, int] = {}  # by reason

    def wanted(self) -> Counter[str]:
        """Signed notional of each bond, all packages together."""
        total: Counter[str] = Counter()
        for package in self.packages:
            total.update(package.legs)
        return total

    def refuse(self, isin: str, reason: str) -> None:
        """A deal in a bond did not go through: the packages that need it end at the next close."""
        for package in self.packages:
            if isin in package.legs:
                package.broken = reason


def review(book: Book, rules: Rules, quotes: Quotes) -> list[str]:
    """Close and open packages at one close; why bonds that are cheap or dear enough were left alone."""
    z = against_past(book, rules, quotes)
    row = {isin: i for i, isin in enumerate(quotes.isin)}
    declined = _end(book, rules, quotes, z, row)
    return declined + _open(book, rules, quotes, z)


def against_past(book: Book, rules: Rules, quotes: Quotes) -> Floats:
    """Standard deviations between each signal and its past, which today then joins.

    NaN before the window is full, and for bonds that are neither in a package nor cheap or dear enough to be asked.
    """
    z = np.full(len(quotes.isin), np.nan)
    if not rules.entry_z:
        return z
    held = {package.isin for package in book.packages}
    past = [book.past.setdefault(isin, []) for isin in quotes.isin]
    asked = np.abs(quotes.signal_bp) >= rules.entry_bp
    full = [i for i, isin in enumerate(quotes.isin) if (asked[i] or isin in held) and len(past[i]) == rules.window]
    if full:
        window = np.array([past[i] for i in full])  # (bonds, closes)
        deviation = np.maximum(window.std(axis=1, ddof=1), LEAST_DEVIATION_BP)
        z[full] = (quotes.signal_bp[full] - window.mean(axis=1)) / deviation
    for known, signal in zip(past, quotes.signal_bp.tolist(), strict=True):
        if not math.isnan(signal):
            known.append(signal)
            del known[: -rules.window]
    return z


def make_legs(
    rules: Rules, side: int, isins: list[str], years: list[float], dv01: list[float], hedges: int
) -> dict[str, int]:
    """Notionals of a bond and ``hedges`` (one or two) neighbours after it: whole lots whose DV01s cancel.

    The last hedge takes what rounding left, so what remains is at most half a lot of it.
    """
    units = {isins[0]: side * _lots(rules.package_dv01 / dv01[0], rules.lot)}
    open_dv01 = units[isins[0]] * dv01[0]
    if hedges == 2:
        gap = years[2] - years[1]
        share = (years[2] - years[0]) / gap if gap > 0 else 0.5
        units[isins[1]] = -side * _lots(abs(share * open_dv01) / dv01[1], rules.lot)
        open_dv01 += units[isins[1]] * dv01[1]
    units[isins[hedges]] = -_lots(open_dv01 / dv01[hedges], rules.lot)
    return {isin: size for isin, size in units.items() if size}


def _lots(notional: float, lot: int) -> int:
    return round(notional / lot) * lot


def _end(book: Book, rules: Rules, quotes: Quotes, z: Floats, row: dict[str, int]) -> list[str]:
    declined: list[str] = []
    kept: list[Package] = []
    for package in book.packages:
        package.closes += 1
        reason = _ending(package, rules, quotes, z, row.get(package.isin))
        if reason and not package.legs.keys() <= quotes.fresh:
            declined.append("end waits: no fresh price")
            reason = ""
        if reason:
            book.ended[reason] = book.ended.get(reason, 0) + 1
        else:
            kept.append(package)
    book.packages = kept
    return declined


def _ending(package: Package, rules: Rules, quotes: Quotes, z: Floats, i: int | None) -> str:
    """Why a package ends today; "" where it goes on."""
    if package.broken:
        return package.broken
    if package.closes >= rules.max_closes:
        return "held too long"
    if i is None:
        return "left the basket" if package.isin in quotes.fresh else ""
    if package.side * quotes.signal_bp[i] <= rules.exit_bp:  # NaN: goes on
        return "no longer cheap or dear"
    if package.side * z[i] <= rules.exit_z:
        return "no longer unusual"
    return ""


def _open(book: Book, rules: Rules, quotes: Quotes, z: Floats) -> list[str]:
    declined: list[str] = []
    taken = {package.isin for package in book.packages}
    held = book.wanted()
    for i in _ranked(quotes, rules):
        isin, side = quotes.isin[i], 1 if quotes.signal_bp[i] > 0 else -1
        if isin in taken:
            continue
        reason = _objection(book, rules, quotes, z, i, side, held)
        chosen = [] if reason else _neighbours(rules, quotes, i, side, held)
        if not chosen:
            declined.append(reason or "no neighbour on the other side of the curve")
            continue
        rows = [i, *chosen]
        legs = make_legs(
            rules,
            side,
            [quotes.isin[j] for j in rows],
            quotes.years[rows].tolist(),
            quotes.dv01[rows].tolist(),
            len(chosen),
        )
        book.packages.append(Package(isin, side, legs))
        book.opened.append((quotes.date, isin, side))
        held.update(legs)
    return declined


def _ranked(quotes: Quotes, rules: Rules) -> Iterable[int]:
    """Rows that are cheap or dear enough before funding, the largest signal first."""
    size = np.abs(quotes.signal_bp)
    rows = np.flatnonzero((size >= rules.entry_bp) & (quotes.bucket >= 0))
    return sorted(rows.tolist(), key=lambda i: (-size[i], quotes.isin[i]))


def _objection(book: Book, rules: Rules, quotes: Quotes, z: Floats, i: int, side: int, held: Counter[str]) -> str:
    if rules.entry_z and np.isnan(z[i]):
        return "history too short"
    if rules.entry_z and side * z[i] < rules.entry_z:
        return "not unusual against its past"
    funding = max(0.0, side * float(quotes.funding_bp[i])) * rules.carry_days
    if side * quotes.signal_bp[i] - funding < rules.entry_bp:
        return "funding takes too much"
    if len(book.packages) >= rules.max_packages:
        return "enough packages"
    if not _has_room(rules, quotes, i, side, held):
        return "enough of the bond"
    return ""


def _has_room(rules: Rules, quotes: Quotes, i: int, side: int, held: Counter[str]) -> bool:
    """Whether a bond may be dealt for a whole package more; a Counter has 0 of what is not held."""
    return side * held[quotes.isin[i]] * quotes.dv01[i] + rules.package_dv01 <= rules.max_bond_dv01


def _neighbours(rules: Rules, quotes: Quotes, i: int, side: int, held: Counter[str]) -> list[int]:
    """The nearest shorter and the nearest longer bond of the bucket on the other side of the curve; one if no more."""
    others = (quotes.bucket == quotes.bucket[i]) & (side * quotes.signal_bp <= -rules.hedge_bp)
    rows = [j for j in np.flatnonzero(others).tolist() if _has_room(rules, quotes, j, -side, held)]
    years = quotes.years
    shorter = [j for j in rows if years[j] <= years[i]]
    longer = [j for j in rows if years[j] > years[i]]
    nearest = [max(shorter, key=lambda j: (years[j], quotes.isin[j]))] if shorter else []
    return nearest + ([min(longer, key=lambda j: (years[j], quotes.isin[j]))] if longer else [])
