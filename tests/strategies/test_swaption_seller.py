"""The short-gamma programme through the broker: the research path's profit, to the last unit of the ledger."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_seller import Prices, deals, exact_money, ledger_money
from small_rates_tape import CALENDAR, USD, Market, research_market, small_rates_tape

from engine import KeptJournal, run
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig, Otc, OtcLimits, OtcRisk, RiskConfig
from engine.config import load
from engine.contracts import ForwardSwap, Swaption, unpack
from engine.errors import ConfigError, StrategyError
from engine.journal import RecordKind
from engine.portfolio import Ledger, entries, fold
from engine.rates.contract_panel import Sales
from engine.rates.seller_programme import Programme
from engine.rates.short_gamma import backtest, net_wealth_bp
from engine.rates.trading_signals import clustering, expiry_curve, is_on, vol_carry, vol_level
from engine.reports.banner import banner
from engine.run import run_config
from engine.shipped import shipped_configs
from engine.tape import Manifest, Tape
from engine.testing.laws import StrategyLaws
from engine.verify import verify
from feeds.replay import TapeFeed
from strategies.swaption_seller import SwaptionSeller

NOTIONAL = 100_000_000
BP = 1e-4
LONG = 56  # closes: a carry signal needs 22 before it, and a sale 21 after it


class Told(SwaptionSeller):
    """Writes down what each expired sale came to by the strategy's own unrounded account, and which were sold."""

    def on_start(self, desk: Any) -> None:
        super().on_start(desk)
        self.net_bp: dict[np.datetime64, float] = {}
        self.sold: set[np.datetime64] = set()

    def on_close(self, close: Any, desk: Any) -> None:
        super().on_close(close, desk)
        book = self.book
        wealth = net_wealth_bp(book.paths, self.params.programme.costs)
        for i in np.flatnonzero(book.is_expired):
            self.net_bp[book.sales[i].sold] = float(wealth[i, -1])
        self.sold |= {sale.sold for sale in book.sales if sale.units}


class Ran:
    """A run of one programme."""

    def __init__(
        self, tape: Tape, programme: Programme, *, notional: int = NOTIONAL, risk: RiskConfig | None = None, **otc: Any
    ) -> None:
        self.otc = Otc(swaption_vol_bp=programme.option_half_spread_bp, swap_bp=programme.hedge_bp, **otc)
        self.strategy = Told(symbol=USD, notional=notional, programme=programme)
        journal = KeptJournal()
        broker = BrokerConfig(impact=NoImpact(), otc=self.otc)
        self.result = run(self.strategy, TapeFeed(tape), broker=broker, risk=risk, journal=journal)
        self.records = journal.records
        self.ledger: Ledger = fold(self.records, tape.instruments, [Account()])

    def open_terms(self) -> list[Swaption | ForwardSwap]:
        """Of the contracts that are held at the end."""
        held = [key for key, position in self.ledger.contracts.items() if position.size]
        terms = [unpack(self.ledger.listings[key].terms) for key in held]
        return [one for one in terms if isinstance(one, Swaption | ForwardSwap)]

    def money(self) -> dict[tuple[int, int, int], int]:
        """What every contract brought in, by start of its swap, kind (0 is a swap) and strike in 1e-14."""
        found = {}
        for key, listing in self.ledger.listings.items():
            terms = unpack(listing.terms)
            assert isinstance(terms, Swaption | ForwardSwap)
            found[terms.start, listing.terms.side, listing.terms.price] = self.ledger.contracts[key].cash
        return found


programmes = st.builds(
    Programme,
    sells=st.sampled_from(["straddle", "strangle"]),
    delta=st.sampled_from([0.25, 0.1]),
    hedge_beyond=st.sampled_from([0.0, 0.1, 0.25, 0.5, math.inf]),
    restrike_below=st.sampled_from([0.0, 0.1, 0.2, 0.6]),
    signals=st.sampled_from([(), ("clustering",), ("expiry_curve",), ("vol_carry",)]),
    settlement=st.sampled_from(["physical", "par_yield_cash"]),
    hedge_bp=st.sampled_from([0.0, 0.2, 1.0]),
    option_half_spread_bp=st.sampled_from([0.0, 0.5]),
    calendar=st.just(CALENDAR),
)


@cache
def small_tape(seed: int) -> Tape:
    return small_rates_tape(seed, LONG)


def check_parity(tape: Tape, programme: Programme) -> int:
    """Event path against research, sale by sale and contract by contract; how many sales were compared."""
    ran, market = Ran(tape, programme), research_market(tape)
    sales = market.sales(programme)
    panel = sales.panel
    net_bp = backtest(panel, [programme.structure], [programme.rule]).pnl_bp(programme.costs)[:, 0, 0]
    # the strategy's own account, and one of deals at their values, both unrounded: research's profit
    mine = [ran.strategy.net_bp[sold] for sold in panel.dates[panel.sold]]
    np.testing.assert_allclose(mine, net_bp, rtol=0, atol=1e-9)
    plain, prices = deals(sales, programme, NOTIONAL), Prices(tape, programme, ran.otc)
    np.testing.assert_allclose(exact_money(sales, plain, prices) / BP, net_bp, rtol=0, atol=1e-9)
    # the same sales, and the ledger to the last micro-unit; contracts that are open at the end tell of later sales
    taken = research_signals(market, sales, programme, net_bp)
    assert [sold in ran.strategy.sold for sold in panel.dates[panel.sold]] == taken.tolist()
    money = ran.money()
    expected = ledger_money(sales, [deal for deal in plain if taken[deal.sale]], prices)
    assert {contract: money[contract] for contract in expected} == expected
    last_start = int(sales.contracts.legs.start[-1].astype(int))
    assert {contract for contract in money if contract[0] <= last_start} == set(expected)
    return int(taken.sum())


def research_signals(market: Market, sales: Sales, programme: Programme, net_bp: np.ndarray) -> np.ndarray:
    """Whether the programme's signals were on at each sale, by functions of whole histories."""
    panel = sales.panel
    implied, later = np.array([market.surface.vol(day, [1 / 12, 0.25], 10.0) for day in market.days]).T
    forward = panel.forward[:, 0]
    assert np.array_equal(panel.sold, np.arange(len(panel)))
    numbers = {
        "clustering": lambda: clustering(panel, net_bp),
        "vol_carry": lambda: vol_carry(implied[: len(panel)], forward),
        "vol_level": lambda: vol_level(implied[: len(panel)]),
        "expiry_curve": lambda: expiry_curve(implied, later)[: len(panel)],
    }
    return np.all([np.ones(len(panel), bool), *(is_on(one, numbers[one]()) for one in programme.signals)], axis=0)


@settings(max_examples=settings().max_examples // 5, deadline=None)
@given(seed=st.integers(0, 3), programme=programmes)
def test_the_event_path_earns_what_research_says_to_the_last_unit(seed: int, programme: Programme) -> None:
    sold = check_parity(small_tape(seed), programme)
    assert sold > 0 or programme.signals


@pytest.mark.slow
@pytest.mark.parametrize(
    "programme",
    [
        Programme(calendar=CALENDAR, signals=("vol_level",)),
        Programme(calendar=CALENDAR, sells="strangle", hedge_beyond=0.5, signals=("vol_carry", "clustering")),
        Programme(calendar=CALENDAR, restrike_below=0.2, option_half_spread_bp=0.5, settlement="par_yield_cash"),
    ],
    ids=["vol level", "strangle", "restruck"],
)
def test_so_it_does_over_a_long_history(programme: Programme) -> None:
    assert check_parity(small_rates_tape(9, 400), programme) > 10


@pytest.mark.slow  # the quick suite stays under three minutes
class TestLaws(StrategyLaws):
    """Chunks, no look-ahead, the same bytes, exact money; on closes some of which have holes."""

    def make_strategy(self) -> SwaptionSeller:
        return SwaptionSeller(symbol=USD, programme=Programme(calendar=CALENDAR, hedge_beyond=0.25, restrike_below=0.6))

    def _draw_tape(self, data: st.DataObject) -> Tape:
        return tape_with_holes(data.draw(st.integers(0, 3)))


@cache
def tape_with_holes(seed: int, closes: int = 23) -> Tape:
    """A missing vol, a missing rate and a stale surface, each for a day."""
    tape = small_rates_tape(seed, closes)
    tape.panels["normal_vol"][3, 0, 0, 0] = math.nan
    tape.panels["swap_rate"][7, 2] = math.nan
    age = np.zeros(tape.panels["normal_vol"].shape, np.uint8)
    age[10] = 1
    return Tape(tape.rows, tape.manifest, tape.panels | {"age_normal_vol": age})


def test_without_a_fresh_curve_and_surface_it_does_nothing_and_says_why() -> None:
    ran = Ran(tape_with_holes(0), Programme(calendar=CALENDAR))
    assert ran.result.declined == {
        "normal_vol missing": 1,
        "normal_vol stale": 1,
        "swap_rate missing": 1,
    }
    deals_at = {entry.ts for entry in entries(ran.records, RecordKind.FILL)}
    closed = tape_with_holes(0).rows["ts_event"].tolist()
    assert [day for day, ts in enumerate(closed) if ts not in deals_at] == [3, 7, 10]


@pytest.mark.parametrize("programme", [Programme(calendar=CALENDAR), Programme(calendar=CALENDAR, sells="strangle")])
def test_an_option_that_expires_without_a_market_is_settled_at_the_next_close(programme: Programme) -> None:
    tape = small_rates_tape(2, 30)
    tape.panels["normal_vol"][21:23] = math.nan  # the first options expire on day 21, their swaps start on day 23
    ran = Ran(tape, programme)
    assert min(one.start for one in ran.open_terms()) > int(tape.panels["date"][-1])


def test_hedges_of_an_option_that_was_never_settled_are_closed() -> None:
    tape = small_rates_tape(2, 30)
    tape.panels["normal_vol"][21:25] = math.nan
    ran = Ran(tape, Programme(calendar=CALENDAR))
    reason = "option not settled: no market from its expiry to the start of its swap"
    assert ran.result.declined[reason] == 2
    swaps = [one for one in ran.open_terms() if isinstance(one, ForwardSwap)]
    assert min(one.start for one in swaps) > int(tape.panels["date"][-1])
    assert ran.result.carried["MARK"] > 0  # the options themselves, at their last mark


def test_the_shipped_config_runs_says_its_terms_and_is_verified(tmp_path: Path) -> None:
    config = load(shipped_configs()["swaption_seller"], sets=['feed_params.end="2006-03-01"'])
    result = run_config(config, out=tmp_path / "run")
    assert result.orders.sent > 200
    assert verify(tmp_path / "run").matches
    text = "\n".join(banner(config, Manifest(instruments=small_tape(0).instruments), 0))
    for words in ("sells=straddle", "settlement=physical", "calendar=US government bond", "swaptions 0.5 bp of vol"):
        assert words in text


def test_a_signal_that_is_off_sells_nothing() -> None:
    ran = Ran(small_tape(0), Programme(calendar=CALENDAR, signals=("vol_level",)))
    assert ran.result.declined == {"signal off: vol_level": LONG}
    assert ran.result.orders.sent == 0


def test_a_sale_of_which_a_leg_is_refused_is_taken_back() -> None:
    # the payer fills, and with it the limit: the receiver, and every later sale, is refused
    risk = RiskConfig(otc=OtcRisk(swaption=OtcLimits(max_open_notional=NOTIONAL * 10**6)))
    ran = Ran(small_tape(0), Programme(calendar=CALENDAR, sells="strangle"), risk=risk)
    fills = list(entries(ran.records, RecordKind.FILL))
    assert [(fill.side, fill.size) for fill in fills[:2]] == [(-1, NOTIONAL), (1, NOTIONAL)]
    assert ran.result.declined.keys() == {"sale refused: MAX_POSITION"}
    assert not any(holding.size for holding in ran.result.holdings if holding.contracts > 1)


def test_a_hedge_that_is_refused_is_tried_again() -> None:
    risk = RiskConfig(otc=OtcRisk(forward_swap=OtcLimits(max_notional=1_000_000 * 10**6)))
    ran = Ran(small_tape(0), Programme(calendar=CALENDAR), risk=risk)
    assert ran.result.declined["hedge refused: MAX_NOTIONAL"] > LONG


def test_filling_at_the_next_close_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"set broker\.otc\.fill"):
        Ran(small_tape(0), Programme(calendar=CALENDAR), fill="next_close")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="delta must be between 0 and 1"):
        Programme(delta=25.0)
    with pytest.raises(ConfigError, match="both must be >= 1"):
        Programme(expiry_months=0)
    with pytest.raises(ConfigError, match="notional is 0"):
        SwaptionSeller(symbol=USD, notional=0)
