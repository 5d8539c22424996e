"""Over-the-counter contracts on the engine: the order of things at a close, exact money, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from close_of_day import CLOSE_NS, DAY_NS, FIRST_DAY, ToyMarket, closes
from hypothesis import given

from engine import Strategy, Wake, events
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig, Otc, OtcLimits, OtcRisk, RiskConfig
from engine.broker.simulated import SimulatedBroker
from engine.config import dump, load, parse
from engine.contracts import Bond, Contract, ForwardSwap, Swaption
from engine.desk import Desk
from engine.errors import StrategyError
from engine.instruments import Instrument
from engine.journal import Adjustment, RecordFlag, RecordKind
from engine.loop import wakeups, wants
from engine.portfolio import Entry, Ledger, entries
from engine.reports.banner import banner
from engine.reports.summary import summary
from engine.run import KeptJournal, run_config
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.testing.laws import StrategyLaws
from engine.verify import verify
from feeds.replay import TapeFeed

USD = "USD.RATES"
PAYER = Swaption(kind="payer", expiry=FIRST_DAY + 3, start=FIRST_DAY + 5, maturity=FIRST_DAY + 3655, strike=0.02)
RECEIVER = Swaption(kind="receiver", expiry=FIRST_DAY + 3, start=FIRST_DAY + 5, maturity=FIRST_DAY + 3655, strike=0.02)
MID = Otc(swaption_vol_bp=0, swap_bp=0, bond_bp=0)


class Scripted(Strategy):
    """Does at each close what it is told, and writes down what it hears."""

    wake = Wake(on_close=True)

    def __init__(self, script: Callable[[int, Desk, events.Close], Any]) -> None:
        super().__init__()
        self.script, self.heard = script, []

    def on_close(self, close: events.Close, desk: Desk) -> None:
        self.heard.append(close)
        self.script(close.panel_day, desk, close)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        self.heard.append(fill)

    def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
        self.heard.append(event)


class Ran:
    """A run of scripts, one account each, on a toy market."""

    def __init__(
        self, tape: Tape, *scripts: Any, otc: Otc = MID, risk: RiskConfig | None = None, chunks: Any = None
    ) -> None:
        self.strategies = [Scripted(script) if callable(script) else script for script in scripts]
        self.journal = KeptJournal()
        self.accounts = [Account(name=f"a{n}", cash={"USD": 10**12, "EUR": 5}) for n in range(len(scripts))]
        self.broker = SimulatedBroker(
            tape.instruments,
            sessions=tape.sessions,
            config=BrokerConfig(otc=otc, impact=NoImpact()),
            risk=risk,
            accounts=self.accounts,
            wakes=[strategy.wake for strategy in self.strategies],
            wants=[wants(strategy) for strategy in self.strategies],
            journal=self.journal,
            panels=tape.panels,
            open_market=ToyMarket,
        )
        for _ in wakeups(self.strategies, TapeFeed(tape, chunks=chunks), self.broker):
            pass
        self.ledger = Ledger(tape.instruments, self.accounts)
        for entry in entries(self.journal.records):
            self.ledger.apply(entry)

    @property
    def heard(self) -> list[Any]:
        return self.strategies[0].heard

    def of(self, *kinds: RecordKind) -> list[Entry]:
        return list(entries(self.journal.records, *kinds))


def test_a_deal_fills_at_the_close_that_was_seen_at_mid_plus_half_a_spread() -> None:
    spread = Otc(swaption_vol_bp=2, swaption_bp=3)
    ran = Ran(closes([0.021]), lambda day, desk, close: desk.deal(PAYER, 1, notional=1_000_000), otc=spread)
    assert [type(event) for event in ran.heard] == [events.Close, events.Accepted, events.Filled]
    mid = 10 * (0.021 - 0.02) + 0.01 * np.sqrt(3 / 365)
    half_spread = 2e-4 * 0.5 + 3 * 1e-3
    assert ran.heard[2].price == pytest.approx((mid + half_spread) * 1e14, abs=2)
    kinds = [entry.kind for entry in ran.of()]
    assert kinds == [RecordKind.ORDER, RecordKind.CONTRACT, RecordKind.ACCEPT, RecordKind.FILL, RecordKind.MARK]
    fill, mark = ran.of(RecordKind.FILL, RecordKind.MARK)
    assert (fill.number, fill.flags, fill.ts) == (1, RecordFlag.OTC, ran.heard[0].ts_event)
    assert mark.price == pytest.approx(mid * 1e14, abs=1)
    assert ran.ledger.pnl(0, "USD") == pytest.approx(-half_spread * 1e6 * 1e6, abs=2)


@pytest.mark.parametrize("terms", [PAYER, PAYER.swap, Bond(isin="US0000000001")])
def test_buying_and_selling_at_one_close_costs_the_whole_spread(terms: Contract) -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        for side in (1, -1):
            desk.deal(terms, side, notional=1_000_000)

    ran = Ran(closes([0.021]), script, otc=Otc(swaption_vol_bp=2, swaption_bp=3, swap_bp=5, bond_bp=7))
    spread = {Swaption: 2 * (2e-4 * 0.5 + 3e-3), ForwardSwap: 2 * 5e-3, Bond: 2 * 7e-3}[type(terms)]
    assert ran.ledger.pnl(0, "USD") == pytest.approx(-spread * 10**12, abs=2)
    bought, sold = (entry.price for entry in ran.of(RecordKind.FILL))
    mid = ran.broker.dealer.values(0, 0, [terms])[0] if ran.broker.dealer else np.nan
    assert (bought + sold) / 2e14 == pytest.approx(mid, abs=1e-13)


def test_with_next_close_a_deal_waits_for_the_next_panel() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        if day == 0:
            desk.deal(PAYER, 1, notional=1_000_000)
            assert desk.orders() == []  # it is not with the dealer before on_close returns
        held.append(desk.notional(PAYER))

    held: list[int] = []
    ran = Ran(closes([0.021, 0.03, 0.03]), script, otc=Otc(fill="next_close", swaption_vol_bp=0))
    assert held == [0, 1_000_000, 1_000_000]
    kinds = [type(event) for event in ran.heard]
    assert kinds == [events.Close, events.Accepted, events.Filled, events.Close, events.Close]
    assert ran.heard[2].price == pytest.approx((0.1 + 0.01 * np.sqrt(2 / 365)) * 1e14, abs=2)
    assert ran.heard[2].ts_event == ran.heard[3].ts_event


def test_a_deal_that_waits_when_the_run_ends_expires_and_one_that_is_cancelled_never_fills() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        numbers.append(desk.deal(PAYER, 1, notional=5))
        if day == 1:
            assert [order.order_id for order in desk.orders()] == []  # the first filled at this close

    numbers: list[int] = []
    ran = Ran(closes([0.02, 0.02]), script, otc=Otc(fill="next_close"))
    assert [event.reason for event in ran.heard if isinstance(event, events.Expired)] == ["RUN_END"]

    class Cancels(Scripted):
        def on_order(self, event: events.OrderEvent, desk: Desk) -> None:
            super().on_order(event, desk)
            if isinstance(event, events.Accepted):
                assert [order.order_id for order in desk.orders()] == [event.order_id]
                desk.cancel(event.order_id)

    ran = Ran(
        closes([0.02, 0.02]),
        Cancels(lambda day, desk, close: desk.deal(PAYER, 1, notional=5)),
        otc=Otc(fill="next_close"),
    )
    assert not ran.of(RecordKind.FILL)
    assert [event.reason for event in ran.heard if isinstance(event, events.Cancelled)] == ["REQUESTED"] * 2


def test_a_payer_in_the_money_becomes_its_swap_and_a_hedge_nets_with_it() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        if day == 0:
            desk.deal(PAYER, 1, notional=100)
            desk.deal(RECEIVER, 1, notional=100)
            desk.deal(PAYER.swap, -1, notional=60)
        seen.append([(c.terms, c.notional) for c in desk.contracts()])

    seen: list[Any] = []
    ran = Ran(closes([0.02, 0.025, 0.018, 0.031, 0.031]), script)
    assert seen[1] == [(PAYER, 100), (RECEIVER, 100), (PAYER.swap, -60)]
    assert seen[3] == [(PAYER.swap, 40)]
    settled = [entry for entry in ran.of(RecordKind.ADJUST) if entry.type == Adjustment.SETTLEMENT]
    assert [(entry.number, entry.size) for entry in settled] == [(1, -100), (3, 100), (2, -100)]
    assert sum(entry.extra for entry in settled) == 0  # money changes hands when the swap pays, not at exercise


def test_a_sold_receiver_that_is_exercised_leaves_us_paying_fixed() -> None:
    tape = closes([0.02, 0.01, 0.01, 0.01])
    ran = Ran(tape, lambda day, desk, close: day == 0 and desk.deal(RECEIVER, -1, notional=100))
    assert {number: position.size for (_, number), position in ran.ledger.contracts.items()} == {1: 0, 2: 100}


def test_a_cash_settled_option_pays_what_it_is_worth_and_is_gone() -> None:
    cash = msgspec.structs.replace(PAYER, settlement="par_yield_cash")
    ran = Ran(closes([0.02, 0.02, 0.02, 0.03]), lambda day, desk, close: day == 0 and desk.deal(cash, 1, notional=100))
    (settled,) = ran.of(RecordKind.ADJUST)
    assert (settled.size, settled.extra) == (-100, 10_000_000)  # 100 x 10 x 1%
    assert len(ran.ledger.contracts) == 1


def test_an_option_out_of_the_money_ends_worthless() -> None:
    ran = Ran(closes([0.02] * 5), lambda day, desk, close: day == 0 and desk.deal(PAYER, 1, notional=100))
    (settled,) = ran.of(RecordKind.ADJUST)
    assert (settled.extra, settled.size) == (0, -100)
    assert ran.ledger.contracts[0, 1].realised == ran.ledger.pnl(0, "USD") < 0


def test_equal_terms_are_one_contract_and_other_terms_another() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        desk.deal(PAYER, 1, notional=100)
        desk.deal(PAYER, -1, notional=30)
        desk.deal(PAYER.swap, 1, notional=30)
        desk.deal(ForwardSwap(start=PAYER.start, maturity=PAYER.maturity, rate=0.02 + 1e-16), 1, notional=1)

    ran = Ran(closes([0.02, 0.02]), script)
    assert [entry.number for entry in ran.of(RecordKind.CONTRACT)] == [1, 2]
    assert {number: position.size for (_, number), position in ran.ledger.contracts.items()} == {1: 140, 2: 62}


def test_a_missing_panel_carries_the_mark_says_so_and_refuses_deals() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        desk.deal(PAYER.swap, 1, notional=100)

    ran = Ran(closes([0.02, np.nan, 0.03]), script)
    assert [event.reason for event in ran.heard if isinstance(event, events.Rejected)] == ["STALE"]
    marks = ran.of(RecordKind.MARK)
    assert [bool(mark.flags & RecordFlag.CARRIED) for mark in marks] == [False, True, False, False]
    assert marks[1].price == marks[0].price == 0


def test_an_option_that_expires_without_a_panel_settles_at_the_next_one() -> None:
    tape = closes([0.02, 0.02, 0.02, np.nan, 0.03])
    ran = Ran(tape, lambda day, desk, close: day == 0 and desk.deal(PAYER, 1, notional=100))
    assert [entry.ts for entry in ran.of(RecordKind.ADJUST)] == [int(tape.rows["ts_event"][4])] * 2


@pytest.mark.parametrize(
    ("deal", "risk", "reason"),
    [
        ((PAYER, 0), RiskConfig(), "BAD_SIZE"),
        ((ForwardSwap(start=FIRST_DAY - 1, maturity=FIRST_DAY + 700, rate=0.02), 5), RiskConfig(), "BAD_TERMS"),
        ((PAYER, 5), RiskConfig(restricted=(USD,)), "RESTRICTED"),
        ((PAYER, 2_000_000_000), RiskConfig(), "MAX_NOTIONAL"),
        ((PAYER, 6), RiskConfig(otc=OtcRisk(swaption=OtcLimits(max_open_notional=5_000_000))), "MAX_POSITION"),
        ((PAYER, 6), RiskConfig(otc=OtcRisk(swaption=OtcLimits(max_open_dv01=5_000))), "MAX_DV01"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_reason(deal: Any, risk: RiskConfig, reason: str) -> None:
    terms, size = deal
    ran = Ran(closes([0.02]), lambda day, desk, close: desk.deal(terms, 1, notional=size), risk=risk)
    assert [event.reason for event in ran.heard[1:]] == [reason]
    assert not ran.of(RecordKind.FILL)
    assert len(ran.of(RecordKind.CONTRACT)) == 1  # the journal says what was asked for


def test_what_makes_a_position_smaller_passes_the_limits_of_the_class() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        for side, size in ((1, 5), (1, 1), (-1, 10), (-1, 1)):
            desk.deal(PAYER, side, notional=size)

    risk = RiskConfig(otc=OtcRisk(swaption=OtcLimits(max_open_notional=5_000_000)))
    ran = Ran(closes([0.02]), script, risk=risk)
    assert [(entry.side, entry.size) for entry in ran.of(RecordKind.FILL)] == [(1, 5), (-1, 10)]


def test_the_dv01_limit_counts_the_deals_made_before_at_the_same_close() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        for terms, size in ((PAYER, 3), (RECEIVER, 2), (PAYER, 1)):
            desk.deal(terms, 1, notional=size)

    risk = RiskConfig(otc=OtcRisk(swaption=OtcLimits(max_open_dv01=5_000)))
    ran = Ran(closes([0.02]), script, risk=risk)
    assert [entry.size for entry in ran.of(RecordKind.FILL)] == [3, 2]
    assert [event.reason for event in ran.heard if isinstance(event, events.Rejected)] == ["MAX_DV01"]


def test_a_loss_since_the_last_close_latches_the_kill_switch() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        desk.deal(PAYER.swap, 1, notional=100)

    ran = Ran(closes([0.02, 0.019, 0.019]), script, risk=RiskConfig(daily_loss=900_000))
    assert [event.reason for event in ran.heard if isinstance(event, events.Rejected)] == ["DAILY_LOSS", "KILLED"]


class DealsAnywhere(Strategy):
    wake = Wake(on_close=True, every_ns=3_600_000_000_000)

    def on_close(self, close: events.Close, desk: Desk) -> None:
        desk.deal(PAYER, 1, notional=1)

    def on_timer(self, timer: events.Timer, desk: Desk) -> None:
        with pytest.raises(StrategyError, match=r"desk\.deal works only in on_close"):
            desk.deal(PAYER, 1, notional=1)

    def on_fill(self, fill: events.Filled, desk: Desk) -> None:
        with pytest.raises(StrategyError, match=r"desk\.deal works only in on_close"):
            desk.deal(PAYER, 1, notional=1)

    def on_stop(self, desk: Desk) -> None:
        with pytest.raises(StrategyError, match=r"desk\.deal works only in on_close"):
            desk.deal(PAYER, 1, notional=1)


def test_deals_are_made_in_on_close_alone() -> None:
    assert len(Ran(closes([0.02, 0.02]), DealsAnywhere()).of(RecordKind.FILL)) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda desk: desk.deal(PAYER, 2, notional=1), r"side is 2, but must be \+1"),
        (lambda desk: desk.deal(PAYER, 1, notional=1.5), "notional is 1.5, but must be a whole number"),
        (lambda desk: desk.deal(PAYER, 1, notional=float("nan")), "notional is nan"),
        (lambda desk: desk.deal("payer", 1, notional=1), "'payer' is no contract"),
        (lambda desk: desk.panel("levels"), r"no panel 'levels'; it has level, date"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(wrong: Any, says: str) -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        with pytest.raises(StrategyError, match=says):
            wrong(desk)

    Ran(closes([0.02]), script)


def test_panels_show_today_and_the_days_before_and_cannot_be_written() -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        assert float(desk.panel("level")) == levels[day]
        assert desk.history("level").tolist() == levels[: day + 1]
        assert desk.panel("axis_tenor").tolist() == [1.0, 2.0]
        assert desk.age("level") == 0
        assert desk.age("quote").tolist() == [day, 255]
        with pytest.raises(ValueError, match="read-only"):
            desk.history("level")[0] = 1.0

    levels = [0.01, 0.02, 0.03]
    ages = np.array([[0, 255], [1, 255], [2, 255]], np.uint8)
    more = {"axis_tenor": np.array([1.0, 2.0]), "quote": np.ones((3, 2)), "age_quote": ages}
    Ran(closes(levels, **more), script)


def test_a_panel_has_no_day_before_the_first_close() -> None:
    class Early(Scripted):
        def on_start(self, desk: Desk) -> None:
            with pytest.raises(StrategyError, match="no day of the panel 'level' has closed yet"):
                desk.panel("level")

    Ran(closes([0.02]), Early(lambda *_: None))


def test_an_account_that_did_not_ask_for_closes_is_not_woken_by_them() -> None:
    class Quiet(Strategy):
        pass

    tape = closes([0.02, 0.02])
    ran = Ran(tape, Quiet(), lambda day, desk, close: desk.deal(PAYER, 1, notional=1))
    assert {entry.account for entry in ran.of()} == {1}


def share_beside(tape: Tape) -> Tape:
    """The tape with a share that is quoted a second before and after each close."""
    quotes = np.zeros(2 * len(tape), ROW)
    times = tape.rows["ts_event"]
    quotes["ts_event"] = quotes["ts_recv"] = np.sort(np.concatenate([times - 10**9, times + 10**9]))
    quotes["kind"], quotes["flags"], quotes["instrument"] = Kind.QUOTE, Flag.LAST, 1
    quotes["price"], quotes["size"], quotes["price2"], quotes["size2"] = 50_0000, 900, 50_0100, 900
    rows = np.concatenate([tape.rows, quotes])
    rows = rows[np.argsort(rows["ts_event"], kind="stable")]
    instruments = [*tape.instruments, Instrument(symbol="XYZ")]
    return Tape(rows, Manifest(name="both", instruments=instruments, synthetic=True), tape.panels)


@pytest.mark.parametrize("chunks", [None, 1])
def test_deals_and_orders_of_one_account_are_journaled_in_the_order_they_happened(chunks: Any) -> None:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        desk.buy("XYZ", shares=100)
        desk.deal(PAYER.swap, 1, notional=100)
        cash.append(desk.cash())

    cash: list[int] = []
    ran = Ran(share_beside(closes([0.021, 0.022, 0.023])), script, chunks=chunks)
    assert [entry.instrument for entry in ran.of(RecordKind.FILL)] == [0, 1, 0, 1, 0, 1]
    assert [entry.order_no for entry in ran.of(RecordKind.FILL)] == [2, 1, 4, 3, 6, 5]
    assert cash[1] - cash[0] == pytest.approx(-(10**6) * 100 * (0.01 + 50.01), abs=10**6)
    assert ran.ledger.cash(0, "USD") == ran.broker.cash(0, "USD")


# --- laws -----------------------------------------------------------------------------------------------------------

MARKETS = {"USD.RATES": "USD", "EUR.RATES": "EUR"}
actions = st.tuples(
    st.integers(0, 4),  # the contract
    st.sampled_from([1, -1]),
    st.integers(1, 10**9),
    st.integers(0, 1),  # the market in which it is dealt
)


def contract(which: int, day: int) -> Contract:
    start = FIRST_DAY + day
    if which == 4:
        return Bond(isin="US0000000001")
    if which == 3:
        return ForwardSwap(start=start + 1, maturity=start + 6, rate=0.0217)
    settlement: Any = "par_yield_cash" if which == 2 else "physical"
    kind: Any = "payer" if which else "receiver"
    return Swaption(
        kind=kind, expiry=start + 2, start=start + 3, maturity=start + 7, strike=0.0199, settlement=settlement
    )


def follow(program: list[list[Any]]) -> Callable[[int, Desk, events.Close], None]:
    def script(day: int, desk: Desk, close: events.Close) -> None:
        for which, side, size, where in program[day % len(program)]:
            if list(MARKETS)[where] == close.symbol:
                desk.deal(contract(which, day - day % 2), side, notional=size)

    return script


programs = st.lists(st.lists(actions, max_size=3), min_size=1, max_size=6)
levels = st.lists(st.tuples(*[st.one_of(st.floats(-0.01, 0.05), st.just(float("nan")))] * 2), min_size=1, max_size=10)
dealers = st.builds(
    Otc, fill=st.sampled_from(["same_close", "next_close"]), swaption_vol_bp=st.floats(0, 3), bond_bp=st.floats(0, 3)
)


@given(levels=levels, one=programs, two=programs, otc=dealers)
def test_money_adds_up_to_the_last_unit_after_every_record(levels: Any, one: Any, two: Any, otc: Otc) -> None:
    ran = Ran(closes(levels, markets=MARKETS), follow(one), follow(two), otc=otc)
    ledger = Ledger(ran.ledger.instruments, ran.accounts)
    for entry in ran.of():
        ledger.apply(entry)
        for account, owner in enumerate(ran.accounts):
            for currency in ledger.currencies(account):
                start = owner.cash.get(currency, 0)
                assert ledger.equity(account, currency) == start + ledger.pnl(account, currency)
        if entry.kind == RecordKind.MARK:
            position = ledger.contracts[entry.account, entry.number]
            assert (entry.size, entry.extra) == (position.size, position.cash)
    for account in range(2):
        for currency in MARKETS.values():
            assert ran.broker.cash(account, currency) == ledger.cash(account, currency)


@given(levels=levels, one=programs, two=programs, otc=dealers, data=st.data())
def test_cutting_the_tape_into_chunks_changes_no_byte(levels: Any, one: Any, two: Any, otc: Otc, data: Any) -> None:
    tape = closes(levels, markets=MARKETS)
    whole = Ran(tape, follow(one), follow(two), otc=otc)
    pieces = Ran(tape, follow(one), follow(two), otc=otc, chunks=data.draw(st.integers(1, 3)))
    assert pieces.journal.fingerprint == whole.journal.fingerprint
    assert [s.heard for s in pieces.strategies] == [s.heard for s in whole.strategies]


@given(levels=levels, one=programs, otc=dealers, data=st.data())
def test_nothing_depends_on_a_later_close(levels: Any, one: Any, otc: Otc, data: Any) -> None:
    cut = data.draw(st.integers(1, len(levels)))
    whole = Ran(closes(levels, markets=MARKETS), follow(one), otc=otc)
    early = Ran(closes(levels[:cut], markets=MARKETS), follow(one), otc=otc)
    kept = [event for event in early.heard if not isinstance(event, events.Expired)]
    assert whole.heard[: len(kept)] == kept


@given(levels=levels, one=programs, two=programs)
def test_an_account_is_journaled_as_if_it_were_alone(levels: Any, one: Any, two: Any) -> None:
    tape = closes(levels, markets=MARKETS)
    together = Ran(tape, follow(one), follow(two)).journal.records
    alone = Ran(tape, follow(one)).journal.records
    assert together[together["account"] == 0].tobytes() == alone.tobytes()


# --- from a config to a verified run --------------------------------------------------------------------------------


class SellsStraddles(Strategy):
    """Sells at each close a one-week payer and receiver into two years, and closes the swaps that they become."""

    wake = Wake(on_close=True)

    def on_close(self, close: events.Close, desk: Desk) -> None:
        today = int(desk.panel("date"))
        for held in desk.contracts():
            if isinstance(held.terms, ForwardSwap):
                desk.deal(held.terms, -1 if held.notional > 0 else 1, notional=abs(held.notional))
        terms: dict[str, Any] = {"expiry": today + 7, "start": today + 9, "maturity": today + 9 + 731, "strike": 0.02}
        for kind in ("payer", "receiver"):
            desk.deal(Swaption(kind=kind, **terms), -1, notional=1_000_000)


def rates_tape(days: int = 30) -> Tape:
    """Weekdays of a curve that moves by a basis point or two, under one vol."""
    dates = [date for date in range(16_804, 16_804 + 2 * days) if np.is_busday(np.datetime64(date, "D"))][:days]
    moves = np.cumsum(np.where(np.arange(days) % 3 == 0, 3e-4, -1e-4))
    tape = closes(np.full(days, 0.02))
    tape.rows["ts_event"] = tape.rows["ts_recv"] = np.array(dates) * DAY_NS + CLOSE_NS
    tape.panels = {
        "date": np.array(dates, np.int32),
        "swap_rate": 0.02 + moves[:, None] + np.array([0.0, 0.0, 0.0, 0.001]),
        "axis_swap_tenor": np.array([1 / 12, 1.0, 2.0, 5.0]),
        "normal_vol": np.full((days, 2, 2, 1), 0.008),
        "axis_vol_expiry": np.array([1 / 12, 1.0]),
        "axis_vol_tenor": np.array([1.0, 5.0]),
        "axis_vol_offset": np.zeros(1),
        "age_normal_vol": np.zeros((days, 2, 2, 1), np.uint8),
    }
    tape.panels["age_normal_vol"][7] = 1  # carried forward by whoever made the tape
    return tape


def test_a_config_of_deals_runs_says_what_it_did_and_verifies(tmp_path: Path) -> None:
    rates_tape().save(tmp_path / "tape")
    config = {
        "strategy": f"{__file__}:SellsStraddles",
        "feed_params": {"tapes": ["tape"]},
        "broker": {"otc": {"swaption_vol_bp": 0.5}, "impact": {"type": "none"}},
        "risk": {"otc": {"forward_swap": {"max_notional": 2_000_000.5, "max_open_dv01": 100_000}}},
    }
    parsed = parse(config, folder=tmp_path)
    assert parsed.risk.otc.forward_swap == OtcLimits(max_notional=2_000_000_500_000, max_open_dv01=100_000_000_000)
    (tmp_path / "again.toml").write_text(dump(parsed))
    assert load(tmp_path / "again.toml") == parsed

    result = run_config(parsed, out=tmp_path / "run", chunks=7)
    assert verify(tmp_path / "run").matches
    assert run_config(parsed, out=tmp_path / "other").fingerprint == result.fingerprint

    said = "\n".join(summary(result))
    assert "swaptions in USD: closed" in said
    assert "CARRIED" in said
    assert list(result.carried) == ["MARK"]
    assert result.orders.rejected == {"STALE": 2}
    told = "\n".join(banner(parsed, rates_tape().manifest, 0))
    assert "queue" not in told  # what deals do not meet is not printed
    assert "same_close: deals fill at the very close whose panel the strategy has seen" in told
    assert "swaptions 0.5 bp of vol x vega + 0 bp of yield x DV01" in told
    assert "forward_swaps max_notional 2,000,000.50, max_open_dv01 100,000.00" in told
    balance = result.balances[0]
    assert balance.equity == balance.start + balance.pnl == balance.start + sum(held.pnl for held in result.holdings)


@pytest.mark.slow
class TestTheLawsWithDeals(StrategyLaws):
    """The shipped laws, on a tape of closes."""

    def make_strategy(self) -> Strategy:
        return SellsStraddles()

    def _draw_tape(self, data: st.DataObject) -> Tape:
        return TEN_CLOSES


TEN_CLOSES = rates_tape(14)


def test_a_tick_tape_has_nothing_to_do_with_dealing() -> None:
    tape = closes([0.02])
    broker = SimulatedBroker(tape.instruments, sessions=tape.sessions)
    assert broker.dealer is None
    assert "next" not in vars(broker)
    with pytest.raises(StrategyError, match=r"desk\.deal needs a tape with close-of-day panels"):
        Desk(broker, 0, tape.sessions).deal(PAYER, 1, notional=1)
