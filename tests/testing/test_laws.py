"""The kit that users inherit: it passes for an honest strategy and fails for one that breaks a law."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis.errors import Flaky

from engine import Account, Probe, Strategy, Wake
from engine.broker.simulated import SimulatedBroker
from engine.loop import wakeups
from engine.testing.generators import tapes
from engine.testing.laws import Pieces, StrategyLaws
from engine.testing.reference import ReferenceBroker


class Crosser(Strategy):
    """Joins the touch, and takes from it each fourth quote."""

    wake = Wake(on_quote=True, every_ns=40_000_000)

    def on_start(self, desk) -> None:
        self.state = 0

    def on_quote(self, quote, desk) -> None:
        self.state += 1
        if quote.symbol == "A" and quote.is_two_sided and quote.bid > 0:
            lot = desk.instrument("A").lot
            limit = quote.ask if self.state % 4 == 0 else quote.bid
            desk.trade("A", 1 if self.state % 3 else -1, shares=4 * lot, limit=limit)

    def on_timer(self, timer, desk) -> None:
        desk.cancel_all()


class TestCrosser(StrategyLaws):
    def make_strategy(self) -> Strategy:
        return Crosser()


class Follower(Strategy):
    """Trades with the order flow and the trend that its probe measures, and shows both to nobody else."""

    probes = (Probe(symbol="A"),)
    wake = Wake(signal="any", every_ns=400_000_000)

    def on_signal(self, signal, desk) -> None:
        flow = signal.value("ofi_50") + signal.value("momentum_200")
        if flow:
            desk.trade("A", 1 if flow > 0 else -1, shares=2 * desk.instrument("A").lot)

    def on_timer(self, timer, desk) -> None:
        signal = desk.signal("A")
        if signal is not None and signal.age(desk.now) > 50_000_000:
            desk.cancel_all("A")


@pytest.mark.slow
class TestFollower(StrategyLaws):
    def make_strategy(self) -> Strategy:
        return Follower()


memory: list[int] = []


class Rememberer(Crosser):
    """Breaks the law: what it does depends on how often it was run before."""

    def on_start(self, desk) -> None:
        memory.append(0)
        self.state = len(memory)


class Cheats(StrategyLaws):
    def make_strategy(self) -> Strategy:
        return Rememberer()


@pytest.mark.parametrize("law", ["test_two_runs_give_one_fingerprint", "test_no_decision_depends_on_a_later_row"])
def test_a_strategy_with_a_hidden_memory_is_caught(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # what fails at random cannot be made smaller, but hypothesis would try for five minutes
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 1)
    with pytest.raises((AssertionError, Flaky)):
        getattr(Cheats(), law)()


@settings(max_examples=20)
@given(tape=tapes(unit_ns=1_000_000))
def test_a_strategy_runs_on_the_reference_broker_too(tape) -> None:
    prints = []
    for make in (ReferenceBroker, SimulatedBroker):
        strategy = Crosser()
        cash = [Account(cash={"USD": 10**13, "EUR": 10**13})]
        named = {"accounts": cash, "wakes": [strategy.wake], "wants": [(False, False)]}
        broker = make(tape.instruments, sessions=tape.sessions, actions=tape.manifest.actions, **named)
        for _ in wakeups(strategy, Pieces(tape), broker):
            pass
        prints.append(broker.journal.fingerprint)
    assert prints[0] == prints[1]


def test_the_kit_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="define make_strategy"):
        StrategyLaws().make_strategy()
