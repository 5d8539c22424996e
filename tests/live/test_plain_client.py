"""The example of docs/protocol.md trades in a session without a line of ours, and says what version it speaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_broker import FakeRole
from in_threads import session

from engine.live import messages as m
from engine.live_config import Live
from engine.tape import ROW, Tape

msgpack = pytest.importorskip("msgpack")
FILE = Path(__file__).parents[2] / "docs" / "plain_client.py"
LIVE = Live(feed="inproc://plain-feed", recovery="inproc://plain-recovery", orders="inproc://plain-orders")


@pytest.fixture
def plain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_client", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_needs_none_of_our_packages() -> None:
    text = FILE.read_text()
    assert not [
        name for name in ("engine", "feeds", "numpy", "msgspec") if f"import {name}" in text or f"from {name}" in text
    ]


def test_it_speaks_this_version_and_reads_these_rows(plain: ModuleType) -> None:
    assert tuple(plain.PROTOCOL) == m.PROTOCOL
    assert m.schema_digest() == plain.SCHEMA
    assert plain.ROW.size == ROW.itemsize


def test_it_buys_and_sells_at_a_broker(plain: ModuleType, small_tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, role = Tape.load(small_tape), FakeRole()
    rows = whole.rows[:2_000].copy()
    rows["price"], rows["price2"], role.broker.price = 999_900, 1_000_100, 1_000_000
    with session(Tape(rows, whole.manifest), role, LIVE) as context:
        client: Any = plain.PlainClient("desk", LIVE.feed, LIVE.recovery, LIVE.orders, context=context)
        fills = plain.buy_and_sell(client, size=100, seconds=20)
    assert [(fill["side"], fill["size"]) for fill in fills] == [(1, 100), (-1, 100)]
    assert client.next_seq == 2_000
    assert client.positions == {"XYZ": 0}
    assert client.in_hand == {}
    assert role.broker.numbers == 2


def test_what_a_broker_that_restarts_has_not_heard_is_sent_again(plain: ModuleType, small_tape: Path) -> None:
    tape, role = Tape.load(small_tape), FakeRole()
    with session(Tape(tape.rows[:100], tape.manifest), role, LIVE) as context:
        client: Any = plain.PlainClient("desk", LIVE.feed, LIVE.recovery, LIVE.orders, context=context)
        while not client.quotes or not client.attached:
            client.poll(0.05)
        role.broker.restart()
        client.limit("XYZ", 1, 100, 1_000_000)
        while client.positions.get("XYZ") != 100:
            client.poll(0.05)
        client.leave()
    assert role.broker.numbers == 1
