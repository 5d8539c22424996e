"""A desk's own program in ten lines: what it hears, what it may ask for, what it does when somebody is away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from fake_broker import FakeRole
from forgetful_path import forgetful, free_address
from in_threads import session

import engine.live
from engine import events
from engine.errors import RunError, StrategyError
from engine.events import Filled, Quote
from engine.live import messages as m
from engine.live import silence
from engine.live.client import Client
from engine.live_config import Live
from engine.tape import Tape

LIVE = Live(feed="inproc://feed", recovery="inproc://recovery", orders="inproc://orders")


@pytest.fixture
def tape(small_tape: Path) -> Tape:
    whole = Tape.load(small_tape)
    return Tape(whole.rows[:1_000], whole.manifest)


@pytest.fixture
def role() -> FakeRole:
    return FakeRole()


@pytest.fixture
def context(tape: Tape, role: FakeRole) -> Iterator[zmq.Context[Any]]:
    with session(tape, role, LIVE) as context:
        yield context


@pytest.fixture
def desk(context: zmq.Context[Any]) -> Iterator[Client]:
    with Client("desk", live=LIVE, plain=True, context=context) as desk:
        yield desk


def wait(desk: Client, what: Any, *, turns: int = 200) -> list[Any]:
    """Events until there is one of a kind."""
    found: list[Any] = []
    for _ in range(turns):
        found += desk.poll(0.05)
        if any(isinstance(event, what) for event in found):
            return found
    raise AssertionError(f"no {what} among {found[-5:]}")


def test_ten_lines_subscribe_and_trade(context: zmq.Context[Any], role: FakeRole, tape: Tape) -> None:
    heard: list[Any] = []
    with Client("desk", live=LIVE, plain=True, history=True, context=context) as desk:
        for event in desk:
            heard.append(event)
            match event:
                case Quote(symbol="XYZ") | Filled() if not desk.orders() and desk.position("XYZ") < 300:
                    desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").bid)
            if desk.position("XYZ") == 300 and desk.now == tape.rows["ts_event"][-1]:
                break
        assert desk.orders() == []
    assert role.broker.positions["XYZ"] == 300
    told = [event for event in heard if isinstance(event, (Quote, events.Trade))]
    assert told[-1].ts_event == tape.rows["ts_event"][-1]
    assert sum(isinstance(event, events.Trade) for event in told) == (tape.rows["kind"] == 8).sum()


def test_a_program_whose_paths_were_forgotten_connects_anew(
    tape: Tape, role: FakeRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENT_NS", 2_500_000_000)  # a Hello is sent again each second
    there = Live(feed=free_address(), recovery=free_address(), orders=free_address())
    with session(tape, role, there) as context, forgetful(there.feed, there.recovery, there.orders) as paths:
        live = Live(feed=paths[0], recovery=paths[1], orders=paths[2])
        with Client("desk", live=live, plain=True, context=context) as desk:
            desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").ask)
            wait(desk, Filled)
    assert role.broker.positions["XYZ"] == 100


def test_without_history_the_books_are_where_the_market_is_and_nothing_old_is_told(desk: Client, tape: Tape) -> None:
    quote = tape.rows[tape.rows["kind"] == 1][-1]
    while desk.poll(0.05):
        pass
    assert desk.now == tape.rows["ts_event"][-1]
    seen = desk.quote("XYZ")
    assert (seen.bid, seen.ask) == (quote["price"], quote["price2"])
    assert desk.book("XYZ", 1) == ([(seen.bid, seen.bid_size)], [(seen.ask, seen.ask_size)])


def test_an_order_is_followed_by_what_it_returned(desk: Client) -> None:
    order = desk.buy("XYZ", shares=10, limit=90)
    assert (order.status, desk.orders()) == ("SENT", [order])
    wait(desk, events.Accepted)
    assert (order.status, order.number) == ("WORKING", 1)
    desk.replace(order, limit=95)
    wait(desk, events.Accepted)
    assert (order.price, order.leaves) == (95, 10)
    desk.cancel(order)
    wait(desk, events.Cancelled)
    assert (order.status, order.is_open, desk.orders("XYZ")) == ("ENDED", False, [])


def test_an_order_can_be_cancelled_before_anybody_has_answered_for_it(desk: Client) -> None:
    order = desk.sell("XYZ", shares=10, limit=110)
    desk.cancel(order)
    wait(desk, events.Cancelled)
    assert order.reason == "REQUESTED"


def test_all_orders_are_cancelled_with_one_request(desk: Client) -> None:
    orders = [desk.buy("XYZ", shares=10, limit=90 - n) for n in range(5)]
    desk.cancel_all()
    for _ in range(100):
        desk.poll(0.05)
        if not desk.orders():
            break
    assert {order.status for order in orders} == {"ENDED"}


def test_leaving_cancels_what_works(context: zmq.Context[Any], role: FakeRole) -> None:
    with Client("desk", live=LIVE, plain=True, context=context) as desk:
        desk.buy("XYZ", shares=10, limit=90)
        wait(desk, events.Accepted)
        assert role.broker.open
    with Client("desk", live=LIVE, plain=True, context=context) as desk:
        told = wait(desk, events.Cancelled)
    assert [type(event) for event in told if isinstance(event, events.OrderEvent)] == [
        events.Accepted,
        events.Cancelled,
    ]


def test_a_broker_that_restarts_is_attached_to_again(desk: Client, role: FakeRole) -> None:
    desk.buy("XYZ", shares=10, limit=90)
    wait(desk, events.Accepted)
    role.broker.restart()
    order = desk.buy("XYZ", shares=10, limit=100)
    wait(desk, events.Filled)
    assert order.status == "ENDED"
    assert role.broker.numbers == 2


def test_while_the_broker_is_away_new_orders_are_refused_here(desk: Client) -> None:
    desk._entry.welcome = None
    order = desk.buy("XYZ", shares=10, limit=90)
    assert (order.status, order.reason) == ("REFUSED", "AWAY")
    rejects = [event for event in wait(desk, m.Reject) if isinstance(event, m.Reject)]
    assert [(reject.reason, reject.cid) for reject in rejects] == [("AWAY", order.cid)]


@pytest.mark.parametrize(
    "terms", [{"shares": 1.5}, {"shares": 2**63}, {"shares": 10, "limit": "90"}, {"shares": 10, "tif": -1}], ids=str
)
def test_what_the_broker_could_not_read_is_refused_here(desk: Client, role: FakeRole, terms: dict[str, Any]) -> None:
    with pytest.raises(StrategyError, match="cannot be sent"):
        desk.buy("XYZ", **terms)
    assert desk.orders() == []


def test_an_unknown_symbol_is_refused_with_those_that_are_traded(desk: Client) -> None:
    with pytest.raises(StrategyError, match="unknown symbol 'IBM'; this market trades XYZ"):
        desk.buy("IBM", shares=1)


def test_an_account_that_is_not_ours_is_said(context: zmq.Context[Any]) -> None:
    with (
        pytest.raises(RunError, match="refuses account 'other'"),
        Client("other", live=LIVE, plain=True, context=context),
    ):
        pass


def test_nobody_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.live.client.PATIENCE_S", 0.2)
    away = Live(feed="inproc://a", recovery="inproc://b", orders="inproc://c")
    context: zmq.Context[Any] = zmq.Context()
    try:
        with (
            pytest.raises(RunError, match="no answer from the feed"),
            Client("desk", live=away, plain=True, context=context),
        ):
            pass
    finally:
        context.term()


def test_a_program_that_crashed_asks_for_nothing_twice_and_forgets_nothing(
    context: zmq.Context[Any], role: FakeRole, tmp_path: Path
) -> None:
    def start() -> Client:
        return Client("desk", live=LIVE, plain=True, context=context, outbox=tmp_path / "outbox.sqlite")

    with start() as desk:
        desk.buy("XYZ", shares=10, limit=100)
        wait(desk, events.Filled)
        desk.buy("XYZ", shares=20, limit=100)  # on its way when it crashes
        desk._entry.goodbye = lambda: None  # type: ignore[method-assign]
    role.broker.restart()
    with start() as desk:
        while desk.position("XYZ") < 30 or desk.orders():
            desk.poll(0.05)
    assert role.broker.numbers == 2


def test_importing_the_engine_loads_no_sockets() -> None:
    code = "import sys, engine, engine.live; print('zmq' in sys.modules); from engine.live import Client; print(Client)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["False", "<class 'engine.live.client.Client'>"]


def test_what_is_not_there_is_missed_by_name() -> None:
    with pytest.raises(AttributeError, match=r"module 'engine\.live' has no attribute 'Cleint'"):
        engine.live.Cleint  # type: ignore[attr-defined]  # noqa: B018
