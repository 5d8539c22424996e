"""The host of a strategy: what it answers, what it answers again, and when it stops rather than trade on."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from broker_bench import Bench, config_of, small_day

from engine.errors import ConfigError
from engine.live import messages as m
from engine.live.role import EX_CORRUPT, EX_OK, EX_SLOW, Append, Committed, Frame, Operator, Send, Stop, Tick
from engine.live.runner_role import EX_STRATEGY, RunnerRole
from engine.strategy import Strategy, Wake


class Buyer(Strategy):
    """Asks for something at each third timer; ``whim`` changes what."""

    wake = Wake(every_ns=1_000_000_000)

    def __init__(self, whim: int = 0, fails_at: int = -1, many: int = 1) -> None:
        super().__init__()
        self.whim, self.fails_at, self.many, self.turn = whim, fails_at, many, 0

    def on_timer(self, timer, desk):
        self.turn += 1
        if self.turn == self.fails_at:
            raise ZeroDivisionError("of the strategy")
        if self.turn % 3 == 0:
            for _ in range(self.many):
                desk.buy("DEMO", shares=100 + self.whim)


class Desktop:
    """A broker on its bench and a runner that talks to it, both fed from one tape."""

    def __init__(self, tape: Any, strategy: Strategy, outbox: list[Any] | None = None, bench: Bench | None = None):
        self.bench = bench or Bench(config_of(), tape)
        self.outbox = outbox if outbox is not None else []
        self.runner = RunnerRole(
            self.bench.config, "main", outbox=list(self.outbox), source="source", strategy=strategy
        )
        self.stopped: Stop | None = None
        self.told: list[bytes] = []
        self.sent: list[Any] = []
        self.now = 1
        self.lose: Any = lambda message: False

    def give(self, one: Any) -> None:
        pending = [one]
        while pending:
            for out in self.runner.advance(self.now, pending.pop(0)):
                if isinstance(out, Append):
                    self.outbox.append((out.kind, out.payload))
                    pending.append(Committed(len(self.outbox)))
                elif isinstance(out, Stop):
                    self.stopped = out
                elif isinstance(out, Send) and out.link == "orders":
                    message = m.broker_request(out.data)
                    self.sent.append(message)
                    if not self.lose(message):
                        pending += [self._frame(said) for said in self.bench.say(message, b"r")]

    def _frame(self, said: Any) -> Frame:
        return Frame("orders", b"", "", m.encode(said))

    def market(self, epoch: int = 1, speed: int = 0) -> None:
        manifest = msgspec.json.encode(self.bench.tape.manifest)
        said = m.Market(m.PROTOCOL, m.schema_digest(), "s", epoch, 0, False, speed, "tape", manifest, b"{}", [])
        self.bench.give(Frame("recovery", b"", "", m.encode(said)))
        self.give(Frame("recovery", b"", "", m.encode(said)))

    def rows(self, n: int, *, epoch: int = 1) -> None:
        first = self.bench.next_row
        told = self.bench.rows(n, epoch=epoch)
        part = self.bench.tape.rows[first : first + n]
        batch = m.Batch("s", epoch, first, len(part), 0, part.tobytes())
        self.give(Frame("market", b"", "", m.encode(batch)))
        for said in told:
            self.give(self._frame(said))

    def again(self, first: int, n: int) -> None:
        """Rows for the runner alone."""
        part = self.bench.tape.rows[first : first + n]
        self.give(Frame("market", b"", "", m.encode(m.Batch("s", 1, first, len(part), 0, part.tobytes()))))

    def wait(self, ms: int) -> None:
        self.now += ms * 1_000_000
        for said in self.bench.wait(ms):
            self.give(self._frame(said))
        self.give(Tick())


@pytest.fixture(scope="module")
def day():
    return small_day(2_000)


def attached(day: Any, strategy: Strategy, rows: int = 800) -> Desktop:
    desk = Desktop(day, strategy)
    desk.market()
    desk.wait(300)
    desk.rows(rows)
    return desk


def test_a_strategy_is_woken_and_its_answers_reach_the_broker(day) -> None:
    desk = attached(day, Buyer())
    assert desk.bench.role.core is not None
    assert desk.runner.core is not None
    assert desk.bench.role.core.numbers[0] == desk.runner.core.last > 10
    asked = [one.requests[0] for one in desk.sent if isinstance(one, m.Progress) and one.requests]
    assert [one.size for one in asked if isinstance(one, m.Order)][:2] == [100, 100]


def test_an_answer_is_in_the_outbox_before_it_leaves(day) -> None:
    desk = Desktop(day, Buyer())
    order: list[str] = []
    desk.lose = lambda message: order.append(f"sent {len(desk.outbox)}") if getattr(message, "requests", None) else None
    desk.market()
    desk.wait(300)
    desk.rows(800)
    assert order == [f"sent {n + 1}" for n in range(len(order))]
    assert len(order) > 3


def test_answers_that_were_lost_come_again_when_the_wake_is_told_again(day) -> None:
    desk = Desktop(day, Buyer())
    dropped: list[Any] = []

    def lose(message: Any) -> bool:
        if isinstance(message, m.Progress) and message not in dropped and len(dropped) < 30:
            dropped.append(message)
            return True
        return False

    desk.lose = lose
    desk.market()
    desk.wait(300)
    desk.rows(800)
    for _ in range(60):
        desk.wait(400)
    calm = attached(day, Buyer())
    assert desk.bench.records() == calm.bench.records()
    assert len(dropped) == 30


def test_an_answer_of_thousands_of_orders_arrives_whole(day) -> None:
    desk = attached(day, Buyer(many=1_300), rows=200)
    pieces = [one for one in desk.sent if isinstance(one, m.Progress) and len(one.requests) > 1]
    assert [len(one.requests) for one in pieces[:3]] == [500, 500, 300]
    assert all(len(m.encode(one)) < m.LARGEST_ORDER_FRAME for one in pieces)
    assert desk.bench.role.core is not None
    assert desk.bench.role.core.next_order(0) == 1 + 1_300 * (len(pieces) // 3)


@pytest.mark.parametrize("many", [1, 1_300])
def test_a_runner_that_starts_again_does_what_it_did_and_goes_on(day, many: int) -> None:
    first = attached(day, Buyer(many=many), 400)
    first.bench.wait(1_600)
    second = Desktop(day, Buyer(many=many), first.outbox, first.bench)
    kept = len(second.outbox)
    second.market()
    second.again(0, 400)
    for _ in range(10):
        second.wait(300)
    assert second.stopped is None
    assert len(second.outbox) == kept
    second.rows(400)
    calm = attached(day, Buyer(many=many), 800)
    assert second.bench.records() == calm.bench.records()


@pytest.mark.parametrize("whim", [1, -100])
def test_a_strategy_that_asks_for_something_else_than_before_is_stopped(day, whim: int) -> None:
    first = attached(day, Buyer(), 400)
    first.bench.wait(1_600)
    second = Desktop(day, Buyer(whim, many=1 if whim > 0 else 0), first.outbox, first.bench)
    second.market()
    second.again(0, 400)
    for _ in range(10):
        second.wait(300)
    assert second.stopped is not None
    assert second.stopped.code == EX_CORRUPT
    assert "asks for something else than it did before" in second.stopped.why


def test_what_a_strategy_raises_ends_its_runner_with_the_traceback(day) -> None:
    desk = attached(day, Buyer(fails_at=4))
    assert desk.stopped is not None
    assert desk.stopped.code == EX_STRATEGY
    assert "ZeroDivisionError: of the strategy" in desk.stopped.why


def test_a_runner_that_sees_other_positions_than_the_broker_stops(day) -> None:
    desk = attached(day, Buyer())
    assert desk.runner.core is not None
    wake = desk.runner.core.last
    desk.give(Frame("orders", b"", "", m.encode(m.Reconcile(wake, 0, b"0" * 16))))
    assert desk.stopped is not None
    assert desk.stopped.code == EX_CORRUPT
    assert "other positions, cash or open orders" in desk.stopped.why


def test_the_broker_says_what_it_shows_when_a_runner_comes_and_the_runner_agrees(day) -> None:
    first = attached(day, Buyer())
    first.bench.wait(1_600)
    second = Desktop(day, Buyer(), first.outbox, first.bench)
    second.market()
    second.again(0, 800)
    for _ in range(10):
        second.wait(300)
    assert any(isinstance(one, m.Reconcile) for _, one in second.bench.said)
    assert second.stopped is None


@pytest.mark.parametrize(
    ("reason", "code"), [("DIFFERENT_ANSWER", EX_CORRUPT), ("NOT_YOURS", 1), ("OTHER_STRATEGY", 1)]
)
def test_some_refusals_end_a_runner(day, reason: str, code: int) -> None:
    desk = attached(day, Buyer())
    desk.give(Frame("orders", b"", "", m.encode(m.Reject(reason, "because"))))
    assert desk.stopped is not None
    assert desk.stopped.code == code
    assert "because" in desk.stopped.why


def test_a_paced_runner_that_loses_rows_again_and_again_leaves(day) -> None:
    desk = Desktop(day, Buyer())
    desk.market(speed=1_000)
    desk.wait(300)
    desk.rows(100)
    for n in range(8):
        at = 100 + 20 * n
        later = m.Batch("s", 1, at + 10, 10, 0, day.rows[at + 10 : at + 20].tobytes())
        desk.give(Frame("market", b"", "", m.encode(later)))
        desk.wait(300)
        desk.again(at, 10)
        desk.wait(300)
    assert desk.stopped is not None
    assert desk.stopped.code == EX_SLOW


def test_at_the_end_the_strategy_stops_and_its_parents_are_told(day) -> None:
    desk = attached(day, Buyer())
    for said in desk.bench.end():
        desk.give(desk._frame(said))
    for _ in range(6):
        desk.wait(400)
    assert any(isinstance(one, m.Done) for one in desk.sent)
    assert desk.stopped is not None
    assert desk.stopped.code == EX_OK


def test_an_account_that_no_strategy_has_is_named() -> None:
    with pytest.raises(ConfigError, match="no strategy has the account 'x'; there are main"):
        RunnerRole(config_of(), "x", strategy=Buyer())


def test_a_runner_told_to_end_says_goodbye(day) -> None:
    desk = attached(day, Buyer())
    desk.give(Operator("shutdown", "enough"))
    assert isinstance(desk.sent[-1], m.Goodbye)
    assert np.isfinite(desk.now)
