"""The three laws for your own strategy: subclass ``StrategyLaws``, say how to make it, and run pytest.

    class TestMine(StrategyLaws):
        def make_strategy(self):
            return Mine(symbol="A")

The laws run on generated tapes of the instruments "A" and "B" and, where ``own_tape`` says so, on yours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact
from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.broker.simulated import SimulatedBroker
from engine.contracts import Contract, contract_unit
from engine.journal import RECORD, Adjustment, Journal, RecordFlag, RecordKind
from engine.loop import wakeups, wants
from engine.strategy import Strategy
from engine.tape import Kind, Manifest, Tape, is_axis
from engine.testing.generators import busy_tapes, chunks_of, cuts, tapes
from engine.testing.reference_ledger import Ledger

law = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors, HealthCheck.data_too_large],
)


class Pieces:
    """A feed that hands over a tape cut at given rows."""

    def __init__(self, tape: Tape, at: Sequence[int] = ()) -> None:
        self.tape = tape
        self._parts = iter(chunks_of(tape.rows, list(at)))

    def read(self, *, until: int) -> NDArray[np.void] | None:
        return next(self._parts, None)


class _Watched(SimulatedBroker):
    """A broker that writes down what it is asked to do, until its rows end."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.decisions: list[Any] = []
        self.is_over = False

    def _decide(self, *what: Any) -> None:
        if not self.is_over:
            self.decisions.append((self.now(what[1]), *what))

    def submit(self, account: int, *terms: Any, **named: Any) -> int:
        self._decide("new", account, terms, tuple(sorted(named.items())))
        return super().submit(account, *terms, **named)

    def send(self, account: int, *terms: int) -> int:
        self._decide("new", account, terms)
        return super().send(account, *terms)

    def cancel(self, account: int, order_no: int) -> None:
        self._decide("cancel", account, order_no)
        super().cancel(account, order_no)

    def cancel_all(self, account: int, instrument: int = -1) -> None:
        self._decide("cancel_all", account, instrument)
        super().cancel_all(account, instrument)

    def replace(self, account: int, order_no: int, price: int, size: int) -> None:
        self._decide("replace", account, order_no, price, size)
        super().replace(account, order_no, price, size)

    def deal(self, account: int, terms: Contract, side: int, size: int) -> int:
        self._decide("deal", account, terms, side, size)
        return super().deal(account, terms, side, size)

    def wake_at(self, account: int, ts: int) -> None:
        self._decide("wake_at", account, ts)
        super().wake_at(account, ts)

    def finish(self) -> None:
        self.is_over = True
        super().finish()


class _Kept(Journal):
    """A journal that can be read back."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [np.zeros(0, RECORD)]

    def append(self, records: NDArray[np.void]) -> None:
        super().append(records)
        self.parts.append(records.copy())


AVERAGE_DAY = Market(daily_volume=2_000, daily_volatility=0.05)  # generated tapes trade sizes of 1 to 40


class StrategyLaws:
    """Inherit, define ``make_strategy``, and the methods below are your tests."""

    own_tape: ClassVar[Tape | None] = None  # a recorded tape on which the laws must hold too
    broker: ClassVar[BrokerConfig] = BrokerConfig()
    risk: ClassVar[RiskConfig] = RiskConfig()
    unit_ns: ClassVar[int] = 1_000_000  # generated tapes last a few thousand of these

    def make_strategy(self) -> Strategy:
        """A fresh strategy that trades "A" (and "B" where a tape has it)."""
        raise NotImplementedError("define make_strategy: it returns a fresh strategy for the symbol 'A'")

    # ---- the laws

    @law
    @given(data=st.data())
    def test_cutting_the_tape_into_chunks_changes_nothing(self, data: st.DataObject) -> None:
        tape = self._draw_tape(data)
        at = data.draw(cuts(len(tape)))
        assert self._replay(tape, at).journal.fingerprint == self._replay(tape).journal.fingerprint

    @law
    @given(data=st.data())
    def test_no_decision_depends_on_a_later_row(self, data: st.DataObject) -> None:
        tape = self._draw_tape(data)
        cut = data.draw(st.integers(0, len(tape)))
        early = self._replay(_head(tape, cut)).decisions
        assert self._replay(tape).decisions[: len(early)] == early

    @law
    @given(data=st.data())
    def test_two_runs_give_one_fingerprint(self, data: st.DataObject) -> None:
        tape = self._draw_tape(data)
        assert self._replay(tape).journal.fingerprint == self._replay(tape).journal.fingerprint

    @law
    @given(data=st.data())
    def test_money_adds_up_to_the_last_unit(self, data: st.DataObject) -> None:
        tape = self._draw_tape(data)
        broker = self._replay(tape)
        assert_money_adds_up(broker)

    # ---- how they run

    def _draw_tape(self, data: st.DataObject) -> Tape:
        if self.own_tape is not None and data.draw(st.booleans(), label="own tape"):
            return self.own_tape
        if self.make_strategy().probes:  # a short tape would show no signals
            return data.draw(busy_tapes(most=2, unit_ns=self.unit_ns))
        return data.draw(tapes(unit_ns=self.unit_ns))

    def _models(self, tape: Tape) -> BrokerConfig:
        """With an average day for each instrument: one measured from the tape would know its later rows."""
        impact = self.broker.impact
        if isinstance(impact, NoImpact):
            return self.broker
        market = {instrument.symbol: AVERAGE_DAY for instrument in tape.instruments} | impact.market
        return msgspec.structs.replace(self.broker, impact=msgspec.structs.replace(impact, market=market))

    def _replay(self, tape: Tape, at: Sequence[int] = ()) -> _Watched:
        strategy = self.make_strategy()
        currencies = {instrument.currency for instrument in tape.instruments}
        broker = _Watched(
            tape.instruments, sessions=tape.sessions, actions=tape.manifest.actions, config=self._models(tape),
            risk=self.risk, accounts=[Account(cash=dict.fromkeys(sorted(currencies), 10**13))], wakes=[strategy.wake],
            wants=[wants(strategy)], probes=[strategy.probes], journal=_Kept(), panels=tape.panels,
        )  # fmt: skip
        for _ in wakeups(strategy, Pieces(tape, at), broker):
            pass
        return broker


def assert_money_adds_up(broker: SimulatedBroker) -> None:
    """Cash, cost, P/L, fees and adjustments agree with a plain ledger that reads the journal."""
    assert isinstance(broker.journal, _Kept)
    for number, account in enumerate(broker.accounts):
        ledger = Ledger(account.cash, list(broker.instruments))
        for record in np.concatenate(broker.journal.parts):
            if record["account"] != number:
                continue
            index = int(record["instrument"])
            if record["flags"] & RecordFlag.OTC:
                if record["kind"] == RecordKind.CONTRACT:  # numbered behind the instruments as it is listed
                    ledger.instruments.append(contract_unit(broker.instruments[index].currency))
                index = len(broker.instruments) + int(record["number"]) - 1
            if record["kind"] == RecordKind.FILL:
                terms = (int(record[name]) for name in ("side", "price", "size", "extra"))
                ledger.fill(index, *terms)
            elif record["kind"] == RecordKind.ADJUST:
                is_contract = record["flags"] & RecordFlag.OTC
                moves_units = is_contract or record["number"] == Adjustment.SPLIT
                units = int(record["size"]) if moves_units else 0
                ledger.adjust(index, int(record["extra"]), units)
            elif record["kind"] == RecordKind.MARK:
                assert record["extra"] == ledger.flow[index], "a MARK's cash is all cash that the instrument moved"
                assert record["size"] == ledger.position[index], "a MARK's size is the position"
        for currency in ledger.cash:
            left, right = ledger.identity(currency)
            assert left == right, f"{currency}: cash + cost is {left}, start + realised - fees + adjustments {right}"


def _head(tape: Tape, rows: int) -> Tape:
    """The first rows of a tape; its sessions and actions stay what they were."""
    manifest = tape.manifest
    kept = Manifest(
        name=manifest.name, instruments=manifest.instruments, sessions=tape.sessions, actions=manifest.actions
    )
    closes = tape.rows[:rows][tape.rows["kind"][:rows] == Kind.CLOSE]
    days = int(closes["order_id"].max()) + 1 if len(closes) else 0  # of the panels, what the rows point into
    panels = {name: panel if is_axis(name) else panel[:days] for name, panel in tape.panels.items()}
    return Tape(tape.rows[:rows], kept, panels)
