"""A strategy that is attached from elsewhere sees and does what it sees and does in a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from over_the_wire import OverTheWire
from scenarios import assert_same, compiled, moving_scenarios, scenarios
from small_rates_tape import small_rates_tape

from engine.broker.models import Account, BrokerConfig
from engine.errors import RunError
from engine.journal import RECORD, RecordKind
from engine.live import messages as m
from engine.live.broker_core import BadRequest, BrokerCore, Member, Stamp
from engine.live.broker_log import Body, Entry, LogConflict, rerun
from engine.live.runner_core import RunnerCore
from engine.loop import wants
from engine.orders import OrderType
from engine.run import KeptJournal, run
from engine.strategy import Strategy, Wake
from engine.tape import ROW, Kind, Manifest, Tape
from engine.testing.drive import Scenario, drive
from engine.testing.generators import cuts
from feeds.replay import TapeFeed

law = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors],
)


def legal(scenario: Scenario) -> Scenario:
    """Without the orders that no desk lets through: the wire refuses them, a kernel's first gate never sees them."""
    programs = [[s._replace(which=0) if s.do == "odd" else s for s in steps] for steps in scenario.programs]
    return Scenario(**{**scenario.__dict__, "programs": programs})


@law
@given(scenario=scenarios().map(legal), data=st.data())
def test_an_attached_strategy_sees_and_gets_what_a_replay_shows_and_gives(scenario: Scenario, data: Any) -> None:
    assert_same(drive(OverTheWire, scenario, data.draw(cuts(len(scenario.tape)))), drive(compiled(), scenario))


@law
@given(scenario=scenarios(one_pass=False).map(legal))
def test_the_same_where_the_market_data_come_with_a_latency_of_their_own(scenario: Scenario) -> None:
    assert_same(drive(OverTheWire, scenario), drive(compiled(), scenario))


@law
@given(scenario=moving_scenarios().map(legal), data=st.data())
def test_the_same_where_orders_move_the_market(scenario: Scenario, data: Any) -> None:
    assert_same(drive(OverTheWire, scenario, data.draw(cuts(len(scenario.tape)))), drive(compiled(), scenario))


# --- contracts


class Seller(Strategy):
    """Sells and hedges on closes, and writes down all that its desk shows of contracts."""

    wake = Wake(on_close=True)

    def on_start(self, desk):
        self.seen: list[Any] = []

    def on_close(self, close, desk):
        from engine.contracts import ForwardSwap, Swaption

        day = int(desk.panel("date"))
        option = Swaption(kind="payer", expiry=day + 30, start=day + 32, maturity=day + 32 + 3652, strike=0.02)
        swap = ForwardSwap(start=day + 2, maturity=day + 2 + 3652, rate=0.02)
        held = desk.contracts()
        self.seen.append((held, desk.cash(), desk.values(close.symbol, [option, swap]).tolist(), len(desk.orders())))
        self.seen.append(desk.values(close.symbol, [one.terms for one in held]).tolist())
        desk.deal(option if close.panel_day % 2 else swap, -1, notional=1_000_000)
        if len(held) > 3:
            desk.deal(held[0].terms, 1, notional=abs(held[0].notional) or 1)


def test_contracts_are_shown_and_dealt_as_in_a_replay() -> None:
    tape = small_rates_tape(3, 30)
    here, there, kept = Seller(), Seller(), KeptJournal()
    replayed = run(here, TapeFeed(tape), journal=kept)
    core = attach(tape, there)
    assert here.seen == there.seen
    assert len(here.seen) > 20
    assert core.records.fingerprint == replayed.fingerprint


def attach(tape: Tape, strategy: Strategy, broker: BrokerConfig | None = None) -> BrokerCore:
    """Run a strategy attached, day after day."""
    from engine.average_day import with_average_days

    bare = Tape(tape.rows[:0], tape.manifest, tape.panels)
    account, config = Account(name="main"), with_average_days(broker or BrokerConfig(), TapeFeed(tape))
    core = BrokerCore(
        bare, [Member(account, strategy.wake, wants(strategy))], broker=config, risk=run_risk(), seed=0
    )  # fmt: skip
    runner = RunnerCore(bare, strategy, accounts=[account], otc=config.otc)

    def pump(told: list[Any]) -> None:
        while told:
            for answer in runner.wake(m.broker_reply(m.encode(told.pop(0)[1]))):
                told += core.answer(m.broker_request(m.encode(m.Progress(*answer))).requests)

    pump(core.start())
    for row in range(len(tape.rows)):
        runner.take_rows(tape.rows[row : row + 1])
        pump(core.take_rows(tape.rows[row : row + 1]))
    pump(core.end())
    runner.end()
    core.take_records()
    return core


def run_risk() -> Any:
    from engine.broker.models import RiskConfig

    return RiskConfig()


# --- repeating a logged session


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Scenario, list[int], int]:
    scenario = draw(scenarios(most_accounts=2).map(legal))
    return scenario, draw(cuts(len(scenario.tape))), draw(st.integers(0, 5))


def logged(scenario: Scenario, at: list[int], every: int) -> tuple[BrokerCore, list[tuple[int, Body]]]:
    """A session of which the inputs are logged: answers, some of them left out, orders in between, a kill."""
    tape = Tape(np.zeros(0, ROW), scenario.tape.manifest)
    tape.manifest.sessions = scenario.tape.sessions
    core, log = fresh(scenario, tape), []
    turn = 0

    def put(kind: Entry, account: int, requests: list[m.Request], what: Any) -> None:
        log.append((int(kind), Body(*core.stamp, account, requests=requests)))
        what()
        log.append((int(Entry.RECORDS), Body(*core.stamp, 0, raw=core.take_records())))

    def answer_all() -> None:
        nonlocal turn
        while core.waiting is not None:
            account, turn = core.waiting, turn + 1
            if every and turn % (every + 1) == 0 and turn < 60:  # without latency orders could beget orders for ever
                put(Entry.PROGRESS, account, some_order(turn), lambda n=turn: core.answer(some_order(n)))
            else:
                core.answer()

    core.start()
    answer_all()
    for first, end in zip([0, *at], [*at, len(scenario.tape)], strict=True):
        core.take_rows(scenario.tape.rows[first:end])
        answer_all()
        if every == 2:
            put(Entry.ORDERS, 0, some_order(first), lambda n=first: core.apply(0, some_order(n)))
        if every == 3 and first:
            put(Entry.KILL, 0, [], lambda: core.kill(0))
    put(Entry.END, 0, [], core.end)
    answer_all()
    log.append((int(Entry.RECORDS), Body(*core.stamp, 0, raw=core.take_records())))
    return core, log


def fresh(scenario: Scenario, tape: Tape) -> BrokerCore:
    members = [
        Member(Account(name=f"a{n}"), wake, wanted)
        for n, (wake, wanted) in enumerate(zip(scenario.wakes, scenario.wants, strict=True))
    ]
    return BrokerCore(tape, members, broker=scenario.config, risk=scenario.risk, seed=scenario.seed)


def some_order(n: int) -> list[m.Request]:
    return [m.Order(0, 1 if n % 2 else -1, int(OrderType.MARKET), 0, 0, 0, 2, 0, 0, 0), m.WakeAt(n)]


@law
@given(session=sessions())
def test_rows_and_log_repeat_a_session_record_for_record(session: tuple[Scenario, list[int], int]) -> None:
    scenario, at, every = session
    first, log = logged(scenario, at, every)
    tape = Tape(np.zeros(0, ROW), scenario.tape.manifest)
    again = fresh(scenario, tape)
    again.start()
    rerun(again, log, lambda first, n: scenario.tape.rows[first : first + n])
    assert (again.records.fingerprint, again.wakes) == (first.records.fingerprint, first.wakes)


def test_a_log_whose_records_were_changed_is_refused() -> None:
    scenario = Scenario(busy_tape(), [[]], [Wake(every_ns=1_000_000_000)], wants=[(True, True)])
    _, log = logged(scenario, [], 1)
    kind, body = next(entry for entry in reversed(log) if entry[0] == Entry.RECORDS and entry[1].raw)
    raw = bytearray(body.raw)
    raw[9] ^= 1
    log[log.index((kind, body))] = (kind, Body(body.rows, body.wakes, body.idle, 0, raw=bytes(raw)))
    again = fresh(scenario, Tape(np.zeros(0, ROW), scenario.tape.manifest))
    again.start()
    with pytest.raises(LogConflict, match="gives other records than it logged"):
        rerun(again, log, lambda first, n: scenario.tape.rows[first : first + n])


def test_a_log_that_knows_rows_that_were_not_kept_is_refused() -> None:
    scenario = Scenario(busy_tape(), [[]], [Wake(every_ns=1_000_000_000)], wants=[(True, True)])
    _, log = logged(scenario, [], 1)
    again = fresh(scenario, Tape(np.zeros(0, ROW), scenario.tape.manifest))
    again.start()
    with pytest.raises(RunError, match="but only 5 were kept"):
        rerun(again, log, lambda first, n: scenario.tape.rows[:5][first : first + n])


def busy_tape() -> Tape:
    from engine.shipped import shipped_tapes

    day = Tape.load(Path(shipped_tapes()["demo_day"]))
    rows = np.array(day.rows[:400])
    return Tape(rows, Manifest(name="few", instruments=day.instruments, sessions=day.sessions[:1]))


# --- what is refused, and what the numbers mean


def core_of(tape: Tape, *, attached: bool = True) -> BrokerCore:
    from engine.broker.impact import NoImpact

    bare = Tape(tape.rows[:0], tape.manifest)
    member = Member(Account(name="main"), Wake(every_ns=1_000_000_000), attached=attached)
    return BrokerCore(bare, [member], broker=BrokerConfig(impact=NoImpact()), risk=run_risk(), seed=0)


def test_requests_that_no_desk_makes_are_refused() -> None:
    core, program = core_of(busy_tape()), core_of(busy_tape(), attached=False)
    good = some_order(1)[0]
    for bad in (
        m.Order(99, 1, 1, 0, 0, 1, 1, 0, 0, 0),
        m.Order(0, 0, 1, 0, 0, 1, 1, 0, 0, 0),
        m.Order(0, 1, 77, 0, 0, 1, 1, 0, 0, 0),
        m.Order(0, 1, 1, 77, 0, 1, 1, 0, 0, 0),
        m.Order(0, 1, 1, 0, 64, 1, 1, 0, 0, 0),
        m.CancelAll(99),
        m.Deal((1, 2), 1, 1),
    ):
        with pytest.raises(BadRequest, match="request 1"):
            core.check(0, [good, bad])
    core.check(0, [good, m.WakeAt(5)])
    with pytest.raises(BadRequest, match="without wakes"):
        program.check(0, [m.WakeAt(5)])


def test_clock_rows_take_no_number_and_a_stamp_counts_them() -> None:
    tape = busy_tape()
    core = core_of(tape)
    core.start()
    core.answer()
    clock = np.zeros(1, ROW)
    clock["kind"], clock["ts_event"] = Kind.CLOCK, int(tape.rows["ts_event"][9])
    core.take_rows(np.concatenate([tape.rows[:10], clock, tape.rows[10:20]]))
    while core.waiting is not None:
        core.answer()
    assert core.seq == 20
    assert core.stamp == Stamp(21, core.wakes, True)


def test_a_program_without_wakes_hears_numbered_reports_of_its_orders() -> None:
    tape = busy_tape()
    core = core_of(tape, attached=False)
    told = core.start() + core.take_rows(tape.rows[:200])
    assert told == []
    assert core.apply(0, [m.Order(0, 1, int(OrderType.MARKET), 0, 0, 0, 100, 0, 0, 0)]) == 1
    told = core.take_rows(tape.rows[200:])
    reports = [one for _, one in told if isinstance(one, m.Report)]
    assert [one.report for one in reports] == list(range(1, len(told) + 1))
    fills = np.frombuffer(core.take_records(), RECORD)
    assert (fills["kind"] == RecordKind.FILL).any()
    assert reports[-1].position == 100
