"""Relative value in Treasuries: cheap bonds bought and dear ones sold against their neighbours, at each close."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.contracts import PRICE_UNITS, Bond
from engine.errors import ConfigError, StrategyError
from engine.panel_layout import NO_BOND, decimals
from engine.rates.carry import ShiftedCurve
from engine.rates.cheap_dear import CheapDear, agreed, cheap_dear
from engine.rates.contract_values import BOND_SETTLEMENT
from engine.rates.gc_repo import DAYS_A_YEAR, TENORS, GcRepo
from engine.rates.holidays import add_business_days
from engine.rates.par_basket import BasketRules, BondUniverse
from engine.rates.par_day import DayFit, Issuer, Priced, fit_day, price_rows
from engine.rates.swap_curve import bootstrap
from engine.strategy import Strategy, Wake
from strategies.as_if import Mark, Tally
from strategies.bond_packages import Book, Quotes, Rules, review

if TYPE_CHECKING:
    from engine.desk import Desk

Floats = NDArray[np.float64]
Signal = Literal["par_curve", "z_spread_adjusted", "both"]

CONVENTIONS = "USD 2016"  # as broker.otc.conventions has it for the market's currency
FRESH = 0  # business days


class Deal(NamedTuple):
    """A fill."""

    isin: str
    units: int  # signed notional
    price: float


class State(msgspec.Struct):
    """What must survive a snapshot."""

    book: Book
    tally: Tally
    shadow: Book  # what the unadjusted z-spread would hold
    shadow_tally: Tally
    sent: dict[int, tuple[str, int]] = {}  # deals by order: bond, signed notional
    waiting: list[Deal] = []  # filled at a close that is not yet seen
    left_out: dict[str, int] = {}  # bond-days that were not in the fit, by reason


class Market(NamedTuple):
    """One close."""

    date: int  # days since 1970
    day: DayFit
    measures: CheapDear
    marks: dict[str, Mark]  # of bonds in the fit and bonds held or wanted, if they have a price of today


class BondRv(Strategy):
    """Fit the par curve at each close, trade packages by its yield errors, by z-spreads, or by both.

    Beside it a shadow book follows the same rules on z-spreads without the coupon adjustment. It deals nothing; its
    P/L is as if it had, at ``shadow_half_spread_bp``.
    """

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """Where, by what signal, and by which rules."""

        symbol: str
        signal: Signal = "par_curve"
        left_out: bool = True  # hold each bond against the curve of the others
        knots: Annotated[int, msgspec.Meta(ge=0)] = 6
        shadow_half_spread_bp: Annotated[float, msgspec.Meta(ge=0)] = 0.5  # as broker.otc.bond_bp
        rules: Rules = Rules()

    State = State

    def __init__(self, params: Any = None, **fields: Any) -> None:
        super().__init__(params, **fields)
        self.wake = Wake(on_close=True, symbols=(self.params.symbol,))
        self.issuer = Issuer(knots=self.params.knots, rules=BasketRules(without_unpriced=True))

    def on_start(self, desk: Desk) -> None:
        if self.state is None:
            self.state = State(Book(), Tally(), Book(), Tally())
        self.closed_at, self.marks = 0, {}
        self.prefix = _prefix(desk, self.params.symbol)
        _check_repo(desk.panel(f"{self.prefix}axis_repo_tenor"))

    def on_close(self, close: events.Close, desk: Desk) -> None:
        market = self.market(desk)
        if isinstance(market, str):
            desk.decline(market)
            return
        state, rules = self.state, self.params.rules
        self.closed_at, self.marks = close.ts_event, market.marks
        self.account(market)
        for reason in review(state.book, rules, self.quotes(market, self.signal(market.measures))):
            desk.decline(reason)
        review(state.shadow, rules, self.quotes(market, market.measures.z_unadjusted_bp))
        state.shadow_tally.move_to(state.shadow.wanted(), market.marks, self.params.shadow_half_spread_bp)
        self.deal(desk, market)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        isin, units = self.state.sent.pop(fill.order_id)
        deal = Deal(isin, units, fill.price / PRICE_UNITS)
        if fill.ts_event == self.closed_at:
            self.state.tally.deal(*deal, self.marks[isin])
        else:  # it waited for the close that we are about to see
            self.state.waiting.append(deal)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        if isinstance(event, events.Rejected | events.Cancelled) and event.order_id in self.state.sent:
            isin, _ = self.state.sent.pop(event.order_id)
            self.state.book.refuse(isin, f"refused: {event.reason}")

    # --- deciding ------------------------------------------------------------------------------------------------

    def signal(self, measures: CheapDear) -> Floats:
        """What the book trades by, bp; positive is cheap."""
        if self.params.signal == "par_curve":
            return measures.par_curve_bp
        if self.params.signal == "z_spread_adjusted":
            return measures.z_adjusted_bp
        return agreed(measures.par_curve_bp, measures.z_adjusted_bp)

    def quotes(self, market: Market, signal_bp: Floats) -> Quotes:
        """The bonds of the fit as a book looks at them."""
        isins = market.day.universe.isin[market.day.rows].tolist()
        marks = [market.marks[isin] for isin in isins]
        columns = zip(*((mark.worth, mark.dv01, mark.repo) for mark in marks), strict=True)
        worth, dv01, repo = (np.array(column) for column in columns)
        funding = (repo - market.day.enhanced.curve.repo.overnight) * worth / DAYS_A_YEAR / dv01
        measures = market.measures
        return Quotes(
            market.date, isins, measures.years, measures.bucket, dv01, funding, signal_bp, frozenset(market.marks)
        )

    def deal(self, desk: Desk, market: Market) -> None:
        """Bring each bond to what the packages want, where it has a price of today."""
        wanted = self.state.book.wanted()
        held = {c.terms.isin: c.notional for c in desk.contracts() if isinstance(c.terms, Bond)}
        for isin in sorted({*wanted, *held}):
            units = wanted[isin] - held.get(isin, 0)
            if not units:
                continue
            if isin not in market.marks:
                desk.decline("deal waits: no fresh price")
                continue
            order = desk.deal(Bond(isin=isin), 1 if units > 0 else -1, notional=abs(units))
            self.state.sent[order] = isin, units

    def account(self, market: Market) -> None:
        """Hold both books to this close; then enter the deals that have waited for it."""
        settle = int(market.day.settle.astype(np.int64))
        self.state.tally.close(settle, market.marks)
        self.state.shadow_tally.close(settle, market.marks)
        for deal in self.state.waiting:
            if deal.isin in self.marks:
                self.state.tally.deal(*deal, self.marks[deal.isin])
        self.state.waiting = [deal for deal in self.state.waiting if deal.isin not in self.marks]

    # --- seeing --------------------------------------------------------------------------------------------------

    def market(self, desk: Desk) -> Market | str:
        """Today's fit and prices; or why there are none, and so nothing to decide on."""
        repo = self.fresh(desk, "gc_repo")
        if np.isnan(repo).any():
            return "gc_repo missing or stale"
        date = np.datetime64(int(desk.panel(f"{self.prefix}date")), "D")
        calendar, lag = BOND_SETTLEMENT[CONVENTIONS]
        settle = np.datetime64(int(add_business_days(date, lag, calendar).astype(np.int64)), "D")
        universe = self.universe(desk, settle)
        try:
            day = fit_day(universe, settle, GcRepo(*repo.tolist()), self.issuer)
        except ConfigError:
            return "no curve fits these bonds"
        for name, count in day.basket.counts().items():
            self.state.left_out[name] = self.state.left_out.get(name, 0) + count
        measures = self.measures(desk, day, self.swap_curve(desk, date, settle))
        return Market(int(date.astype(np.int64)), day, measures, self.make_marks(day))

    def measures(self, desk: Desk, day: DayFit, swap: ShiftedCurve | None) -> CheapDear:
        """How cheap each bond is; without z-spreads where there are no swaps as long as the bonds."""
        params = self.params
        try:
            return cheap_dear(day, swap, params.rules.buckets, left_out=params.left_out)
        except ConfigError:
            desk.decline("no z-spreads: the swap curve does not reach these bonds")
            return cheap_dear(day, None, params.rules.buckets, left_out=params.left_out)

    def universe(self, desk: Desk, settle: np.datetime64) -> BondUniverse:
        """Every bond that lives; NaN for the price and the repo rate of those that have none of today."""
        slots = desk.panel(f"{self.prefix}bond")
        static = desk.panel(f"{self.prefix}axis_bond")
        places = np.flatnonzero(slots != NO_BOND)
        places = places[static["maturity"][slots[places]] > int(settle.astype(np.int64))]
        bonds = static[slots[places]]
        dated = bonds["dated"].astype("datetime64[D]")
        return BondUniverse(
            isin=bonds["isin"].astype(np.str_),
            kind=bonds["kind"].astype(np.str_),
            issue=dated,
            maturity=bonds["maturity"].astype("datetime64[D]"),
            coupon=bonds["coupon"],
            clean_price=100 * self.fresh(desk, "bond_price")[places],
            term=bonds["term"].astype(np.float64),
            repo_6m=self.fresh(desk, "bond_repo")[places],
            dated=dated,
            first_coupon=np.full(len(bonds), "NaT", "datetime64[D]"),
        )

    def swap_curve(self, desk: Desk, date: np.datetime64, settle: np.datetime64) -> ShiftedCurve | None:
        """From settlement on; None where a quote is missing or stale, or makes no curve."""
        rates = self.fresh(desk, "swap_rate")
        if np.isnan(rates).any():
            desk.decline("no z-spreads: swap_rate missing or stale")
            return None
        try:
            curve = bootstrap(date, desk.panel(f"{self.prefix}axis_swap_tenor"), rates, market=CONVENTIONS)
        except ConfigError:
            desk.decline("no z-spreads: no curve pays these swap rates")
            return None
        return ShiftedCurve(curve, float((settle - date).astype(np.int64)) / DAYS_A_YEAR)

    def fresh(self, desk: Desk, name: str) -> Floats:
        """Today's values of a panel in decimals; NaN for those that are not of today."""
        name = self.prefix + name
        return np.where(desk.age(name) == FRESH, decimals(name, desk.panel(name)), np.nan)

    def make_marks(self, day: DayFit) -> dict[str, Mark]:
        """Marks of the fit's bonds, and of those outside it that a book holds or wants."""
        universe, state = day.universe, self.state
        marks = _marks(day, day.rows, day.priced)
        needed = {*state.tally.units, *state.shadow_tally.units, *state.book.wanted(), *state.shadow.wanted()}
        outside = ~day.basket.in_fit & np.isfinite(universe.clean_price) & np.isin(universe.isin, sorted(needed))
        for row in np.flatnonzero(outside)[:, None]:  # each by itself: one may have a price that no yield explains
            with contextlib.suppress(ConfigError):
                marks |= _marks(day, row, price_rows(universe.take(row), day.settle, day.issuer))
        return marks


def _marks(day: DayFit, rows: NDArray[np.int64], priced: Priced) -> dict[str, Mark]:
    universe, repo = day.universe, day.enhanced.curve.repo
    first = priced.flows.offsets[:-1]
    columns = (
        (priced.dirty - priced.accrued) / 100,
        priced.accrued / 100,
        priced.dirty * priced.duration * 1e-6,
        repo.overnight + np.nan_to_num(universe.repo_6m[rows] - repo.six_month),  # NaN: not special
        priced.flows.dates[first].astype(np.int64),
        priced.flows.amounts[first] / 100,
    )
    bonds = zip(universe.isin[rows].tolist(), *(column.tolist() for column in columns), strict=True)
    return {isin: Mark(*mark) for isin, *mark in bonds}


def _prefix(desk: Desk, symbol: str) -> str:
    """What the market's panels begin with where a tape holds several markets."""
    try:
        desk.panel(f"{symbol}.axis_bond")
    except StrategyError:
        desk.panel("axis_bond")  # raises where there are no bonds at all
        return ""
    return f"{symbol}."


def _check_repo(tenors: Floats) -> None:
    if tenors.shape != TENORS.shape or not np.allclose(tenors, TENORS, atol=0.01):
        raise StrategyError(
            f"axis_repo_tenor is {tenors.tolist()}, but the par curve begins with repo overnight and of 1, 3 and 6 "
            "months; import those"
        )
