"""What over-the-counter contracts are worth, pay and fix at the close of one day, from that day's panels alone.

The event path (``engine.broker.otc``) hands over many contracts at once; a contract's value does not depend on the
others, nor on how often it is asked for. Per unit of notional:

* a forward swap, to the payer of fixed: ``d(start) - d(end) - rate annuity``. Once it has started, the floating coupon
  under way stands in for ``d(start)``; it is set from the day's own curve at the first close of its period.
* a swaption: as ``swaption_contract`` says.
* a bond: clean price plus interest accrued to settlement. Its coupons go to whoever holds it over their date, by
  settlement dates; holding is funded overnight, at general collateral or as far below as the bond is special, on what
  it is worth.

Where a quote is missing, what needs it is NaN: swaps need every tenor of the curve, options every vol of the surface,
too.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, TapeError
from engine.rates.bond_kernels import fill_measures, fill_street_yields
from engine.rates.bonds import CLOCK, Bonds, accrued, cash_flows
from engine.rates.contract_kernels import fill_swaps
from engine.rates.curves import DiscountCurve
from engine.rates.day_counts import Floats, year_fraction
from engine.rates.holidays import add_business_days
from engine.rates.schedules import Ints, swap_dates
from engine.rates.swap_curve import SWAP_MARKETS, FixedLegs, bootstrap
from engine.rates.swap_kernels import discount_and_slope
from engine.rates.swaption_contract import CURVE_DAYS, OPTION_DAYS, Underlyings, swaption_value
from engine.rates.vol_surface import VolSurface

SWAPTION, FORWARD_SWAP, BOND = 1, 2, 3  # as engine.contracts.ContractClass
BP = 1e-4
BOND_SETTLEMENT = {"USD 2016": ("US government bond", 1), "EUR": ("TARGET", 2)}  # calendar, business days
YEAR = CURVE_DAYS  # of repo rates, too


class Values(NamedTuple):
    """Each float64[n], per unit of notional; NaN where the day's panels do not say."""

    pv: Floats  # present value to a holder
    dv01: Floats  # for one basis point of yield, >= 0; of an option, its swap's
    vega: Floats  # per 1.00 of normal vol, >= 0


class Flows(NamedTuple):
    """What a holder receives after one close and up to the next, each float64[n] per unit of notional."""

    coupon: Floats  # NaN: due, but not known how much
    funding: Floats  # negative where holding was paid for; NaN likewise
    redeemed: Floats  # what ends the contract; NaN: it goes on
    state: Floats  # after that; NaN where it was used up


class Legs(NamedTuple):
    """Fixed legs of n swaps, times in years from the close; payments ``offsets[i]:offsets[i + 1]`` belong to swap i."""

    start: Floats  # [n]
    offsets: Ints  # [n + 1]
    pay: Floats  # [m]
    accrual: Floats  # [m]
    pay_day: Ints  # [m], days since 1970


class Leg(NamedTuple):
    """The fixed leg of one swap, days since 1970."""

    months: int
    begin: Ints  # [m], first day of each period
    pay: Ints  # [m]
    accrual: Floats  # [m], years


@functools.lru_cache(maxsize=4096)
def _leg(start: int, maturity: int, conventions: str) -> Leg:
    """Kept, because a contract is valued at many closes."""
    market = SWAP_MARKETS[conventions]
    first, last = (np.datetime64(day, "D") for day in (start, maturity))
    months = max(1, int((last.astype("datetime64[M]") - first.astype("datetime64[M]")).astype(np.int64)))
    # Months tell the tenor, because rolling to a business day never leaves the month.
    dates = swap_dates(first, months, months=market.fixed_months, calendar=market.calendar, roll=market.roll).dates
    dates[-1] = last  # as the terms have it
    accrual = year_fraction(dates[:-1], dates[1:], market.day_count)
    days = dates.astype(np.int64)
    return Leg(months, days[:-1], days[1:], accrual)


def _dates(terms: NDArray[np.void]) -> list[tuple[int, int]]:
    return terms[["start", "maturity"]].tolist()


def _nodes(curve: DiscountCurve) -> tuple[Floats, Floats]:
    """Times and logs of discount factors, by scalar functions: the last bits of vector ones depend on the host."""
    return curve.times, np.array([math.log(factor) for factor in curve.discount_factors.tolist()])


def open_market(panels: dict[str, NDArray[Any]], conventions: str) -> ClosedMarket:
    """The market at one close.

    Parameters
    ----------
    panels : dict of str to array
        One day of each panel by plain name (``engine.panel_layout``), decimals, NaN for what is missing or too old.
    conventions : str
        A name in ``swap_curve.SWAP_MARKETS``.

    Raises
    ------
    ConfigError
        If the conventions are unknown.
    TapeError
        If there is no date.
    """
    if conventions not in SWAP_MARKETS:
        raise ConfigError(
            f"conventions {conventions!r} are unknown; set broker.otc.conventions for the market's currency to one of "
            f"{', '.join(SWAP_MARKETS)}"
        )
    if "date" not in panels:
        raise TapeError("the tape has no panel 'date', which says on what day each close was; import it again")
    return ClosedMarket(panels, conventions)


class ClosedMarket:
    """One close of a rates market: its curve, its surface, its bonds, each made when first needed."""

    def __init__(self, panels: dict[str, NDArray[Any]], conventions: str) -> None:
        self.date = int(panels["date"])
        self._day = np.datetime64(self.date, "D")
        self._panels, self._conventions = panels, conventions
        self._has_curve = self._has_surface = False  # tried to be made
        self._made_rows: dict[bytes, int] | None = None  # of axis_bond, by ISIN
        self._made_slots: dict[int, int] | None = None  # of the day, by row of axis_bond
        self._made_bonds: dict[int, tuple[float, float]] = {}  # worth and DV01, by row of axis_bond
        self._made_curve: DiscountCurve | None = None
        self._made_surface: VolSurface | None = None

    # --- what the dealer asks -----------------------------------------------------------------------------------------

    def lists(self, terms: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each of TERMS[n] begins today or later, or is a bond that the market lists and that lives."""
        kind = terms["type"]
        is_live = np.where(kind == SWAPTION, terms["expiry"] > self.date, terms["start"] >= self.date)
        for i in np.flatnonzero(kind == BOND):
            rows = self._bond_rows(terms["isin"][i : i + 1])
            is_live[i] = rows[0] >= 0 and self._panels["axis_bond"]["maturity"][rows[0]] > self._settlement(self.date)
        return is_live

    def values(self, terms: NDArray[np.void], state: Floats) -> Values:
        """Of TERMS[n]; ``state`` holds the floating coupon under way of a swap that has started."""
        values = Values(*np.full((3, len(terms)), np.nan))
        for kind, value in ((SWAPTION, self._swaptions), (FORWARD_SWAP, self._swaps), (BOND, self._bonds)):
            of_kind = np.flatnonzero(terms["type"] == kind)
            if len(of_kind):
                for out, found in zip(values, value(terms[of_kind], state[of_kind]), strict=True):
                    out[of_kind] = found
        return values

    def flows(self, terms: NDArray[np.void], state: Floats, marks: Floats, since: int) -> Flows:
        """Due after the close of ``since`` and up to this one; ``marks`` are the values then."""
        n = len(terms)
        flows = Flows(np.zeros(n), np.zeros(n), np.full(n, np.nan), state.copy())
        swaps = np.flatnonzero((terms["type"] == FORWARD_SWAP) & (terms["start"] < self.date))
        if len(swaps):
            self._pay_swaps(terms[swaps], swaps, since, flows)
        bonds = np.flatnonzero(terms["type"] == BOND)
        if len(bonds):
            self._pay_bonds(terms[bonds], bonds, marks[bonds], since, flows)
        return flows

    def fixings(self, terms: NDArray[np.void], state: Floats) -> Floats:
        """``state`` with the floating coupons of periods that have begun, and with today's repo rates of bonds."""
        fixed = state.copy()
        running = (terms["type"] == FORWARD_SWAP) & (terms["start"] <= self.date) & (self.date < terms["maturity"])
        swaps = np.flatnonzero(running & np.isnan(state))
        if len(swaps):
            fixed[swaps] = self._floating(terms[swaps])
        bonds = np.flatnonzero(terms["type"] == BOND)
        if len(bonds):
            today = self._repo(terms["isin"][bonds])
            fixed[bonds] = np.where(np.isnan(today), state[bonds], today)
        return fixed

    # --- swaps and swaptions ------------------------------------------------------------------------------------------

    def _curve(self) -> DiscountCurve | None:
        """The day's curve; None where a quote is missing, or makes no curve."""
        rates = self._panels.get("swap_rate")
        if not self._has_curve and rates is not None and not np.isnan(rates).any():
            with contextlib.suppress(ConfigError):  # quotes that no curve can pay: nothing is valued on them
                tenors = self._panels["axis_swap_tenor"]
                self._made_curve = bootstrap(self._day, tenors, rates, market=self._conventions)
        self._has_curve = True
        return self._made_curve

    def _surface(self) -> VolSurface | None:
        """The day's vols; None where a quote is missing."""
        vols = self._panels.get("normal_vol")
        if not self._has_surface and vols is not None and (vols > 0).all():
            expiries, tenors, offsets = (self._panels[f"axis_vol_{axis}"] for axis in ("expiry", "tenor", "offset"))
            self._made_surface = VolSurface(self._day, expiries, tenors, offsets, vols[None])
        self._has_surface = True
        return self._made_surface

    def _legs(self, terms: NDArray[np.void]) -> Legs:
        legs = [_leg(*dates, self._conventions) for dates in _dates(terms)]
        offsets = np.concatenate([[0], np.cumsum([len(leg.pay) for leg in legs])])
        pay, accrual = (np.concatenate(parts) for parts in zip(*((leg.pay, leg.accrual) for leg in legs), strict=True))
        return Legs((terms["start"] - self.date) / YEAR, offsets, (pay - self.date) / YEAR, accrual, pay)

    def _swaps(self, terms: NDArray[np.void], floating: Floats) -> Values:
        curve, out = self._curve(), np.full((2, len(terms)), np.nan)
        if curve is not None:
            legs = self._legs(terms)
            rate = np.ascontiguousarray(terms["rate"])
            fill_swaps(*_nodes(curve), legs.start, legs.offsets, legs.pay, legs.accrual, rate, np.array(floating), out)
            out[:, ~self._is_reached(curve, terms)] = np.nan
        return Values(out[0], out[1] * BP, np.zeros(len(terms)))

    def _swaptions(self, terms: NDArray[np.void], _: Floats) -> Values:
        values = Values(*np.full((3, len(terms)), np.nan))
        curve, surface = self._curve(), self._surface()
        if curve is None or surface is None:
            return values
        tenor = np.array([_leg(*dates, self._conventions).months / 12 for dates in _dates(terms)])
        is_quoted = (terms["expiry"] - self.date) / OPTION_DAYS <= surface.expiries[-1]
        is_quoted &= (tenor >= surface.tenors[0]) & (tenor <= surface.tenors[-1])
        within = np.flatnonzero(is_quoted & self._is_reached(curve, terms))
        if len(within):
            terms = terms[within]
            legs = self._legs(terms)
            start, maturity, pay = (
                days.astype("datetime64[D]") for days in (terms["start"], terms["maturity"], legs.pay_day)
            )
            expiry = np.maximum(terms["expiry"], self.date).astype(
                "datetime64[D]"
            )  # settles late where it could not be valued
            swaps = Underlyings(expiry, FixedLegs(start, maturity, legs.offsets, pay, legs.accrual), tenor[within])
            kinds = {"kind": terms["side"], "is_cash_settled": terms["is_cash"]}
            found = swaption_value(curve, surface, self._day, swaps, terms["rate"], **kinds)
            for out, value in zip(values, (found.greeks.value, found.annuity * BP, found.greeks.vega), strict=True):
                out[within] = value
        return values

    def _is_reached(self, curve: DiscountCurve, terms: NDArray[np.void]) -> NDArray[np.bool_]:
        return (terms["maturity"] - self.date) / YEAR <= curve.times[-1]

    def _floating(self, terms: NDArray[np.void]) -> Floats:
        """The coupon of each swap's period under way, at the rate that the day's curve gives for what is left of it."""
        out, curve = np.full(len(terms), np.nan), self._curve()
        if curve is None:
            return out
        nodes, logs = _nodes(curve)
        for i, dates in enumerate(_dates(terms)):
            leg = _leg(*dates, self._conventions)
            k = int(np.searchsorted(leg.pay, self.date, side="right"))
            if k < len(leg.pay):
                whole, left = int(leg.pay[k] - leg.begin[k]), int(leg.pay[k]) - self.date
                growth = -math.log(discount_and_slope(left / YEAR, nodes, logs, len(nodes) - 1, False)[0])
                out[i] = math.expm1(growth * (whole / left))
        return out

    def _pay_swaps(self, terms: NDArray[np.void], places: Ints, since: int, flows: Flows) -> None:
        legs = self._legs(terms)
        for i, place in enumerate(places):
            span = slice(legs.offsets[i], legs.offsets[i + 1])
            paid = np.flatnonzero((legs.pay_day[span] > since) & (legs.pay_day[span] <= self.date))
            if not len(paid):
                continue
            known = flows.state[place] if len(paid) == 1 else np.nan
            flows.coupon[place] = known - terms["rate"][i] * legs.accrual[span][paid[0]]
            flows.state[place] = np.nan
            if terms["maturity"][i] <= self.date:
                flows.redeemed[place] = 0.0

    # --- bonds --------------------------------------------------------------------------------------------------------

    def _bonds(self, terms: NDArray[np.void], _: Floats) -> Values:
        rows = self._bond_rows(terms["isin"])
        self._price_bonds(np.array([row for row in np.unique(rows).tolist() if row not in self._made_bonds], np.int64))
        pv, dv01 = np.array([self._made_bonds[row] for row in rows.tolist()]).T
        return Values(pv.copy(), dv01.copy(), np.zeros(len(rows)))

    def _price_bonds(self, rows: Ints) -> None:
        """Value bonds once for all who ask; NaN for those without a price, not issued yet or matured."""
        self._made_bonds.update(dict.fromkeys(rows.tolist(), (math.nan, math.nan)))
        settle = np.datetime64(self._settlement(self.date), "D")
        clean = self._by_bond("bond_price", rows)
        for places, bonds in self._bonds_at(rows, np.flatnonzero(clean > 0)):
            is_live = (bonds.dated <= settle) & (settle < bonds.maturity)
            places, bonds = places[is_live], bonds[is_live]
            if not len(places):
                continue
            flows, count = cash_flows(bonds, settle), len(places)
            dirty = clean[places] * 100 + accrued(bonds, settle)
            yields, measures = np.empty(count), np.empty((3, count))
            fill_street_yields(flows.offsets, flows.periods, flows.amounts, bonds.frequency, dirty, True, yields)
            fill_measures(flows.offsets, flows.periods, flows.amounts, bonds.frequency, yields, True, measures)
            dv01 = -measures[1] / 1e4 / 100
            self._made_bonds.update(
                zip(rows[places].tolist(), zip((dirty / 100).tolist(), dv01.tolist(), strict=True), strict=True)
            )

    def _pay_bonds(self, terms: NDArray[np.void], places: Ints, marks: Floats, since: int, flows: Flows) -> None:
        settled, settle = self._settlement(since), self._settlement(self.date)
        rows = self._bond_rows(terms["isin"])
        flows.funding[places] = -marks * flows.state[places] * (settle - settled) / YEAR
        for here, bonds in self._bonds_at(rows, np.arange(len(rows))):
            coming = cash_flows(bonds, np.datetime64(settled, "D"), clock=CLOCK)
            due = coming.dates <= np.datetime64(settle, "D")
            amount = np.add.reduceat(np.where(due, coming.amounts, 0.0), coming.offsets[:-1])
            ends = bonds.maturity <= np.datetime64(settle, "D")
            flows.redeemed[places[here[ends]]] = 1.0
            flows.coupon[places[here]] = (amount - np.where(ends, 100.0, 0.0)) / 100

    def _repo(self, isins: NDArray[np.bytes_]) -> Floats:
        """What a night costs: overnight general collateral, less what the bond's six-month repo is below that of six
        months' general collateral. The six-month rate itself would put the slope of the repo curve into the funding.
        """
        own = self._by_bond("bond_repo", self._bond_rows(isins))
        general = self._panels.get("gc_repo")
        if general is None:
            return own
        tenors = self._panels["axis_repo_tenor"]
        overnight, term = general[int(np.argmin(tenors))], general[int(np.argmin(np.abs(tenors - 0.5)))]
        return np.where(np.isnan(own), overnight, overnight + own - term)

    def _bond_rows(self, isins: NDArray[np.bytes_]) -> Ints:
        """Row of ``axis_bond`` of each ISIN; -1 where it is not listed."""
        if self._made_rows is None:
            listed = self._panels["axis_bond"]["isin"].tolist() if "axis_bond" in self._panels else []
            self._made_rows = {isin: row for row, isin in enumerate(listed)}
        return np.array([self._made_rows.get(isin, -1) for isin in isins.tolist()], np.int64)

    def _by_bond(self, name: str, rows: Ints) -> Floats:
        """A slot panel's value of each row of ``axis_bond``, NaN where it has none today."""
        values, slots = self._panels.get(name), self._panels.get("bond")
        if values is None or slots is None:
            return np.full(len(rows), np.nan)
        if self._made_slots is None:
            self._made_slots = {row: slot for slot, row in reversed(list(enumerate(slots.tolist())))}
        found = np.array([self._made_slots.get(row, -1) if row >= 0 else -1 for row in rows.tolist()], np.int64)
        return np.where(found >= 0, values[found], np.nan)

    def _bonds_at(self, rows: Ints, places: Ints) -> Iterator[tuple[Ints, Bonds]]:
        """Bonds of ``rows[places]`` together where they count days alike, with the places of each group."""
        static = self._panels["axis_bond"][rows[places]] if len(places) else np.zeros(0, [("day_count", "S16")])
        for day_count in sorted(set(static["day_count"].tolist())):
            alike = static["day_count"] == day_count
            bonds = static[alike]
            yield (
                places[alike],
                Bonds(
                    bonds["maturity"].astype("datetime64[D]"),
                    bonds["coupon"],
                    frequency=bonds["frequency"],
                    dated=bonds["dated"].astype("datetime64[D]"),
                    day_count=day_count.decode(),
                ),
            )

    def _settlement(self, date: int) -> int:
        """Days since 1970 on which a bond dealt at a close settles."""
        calendar, days = BOND_SETTLEMENT[self._conventions]
        return int(add_business_days(np.datetime64(date, "D"), days, calendar).astype(np.int64))
