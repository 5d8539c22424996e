"""Programs of a desk's own at the real paper broker: what they ask for is in its journal, and can be repeated."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import zmq
from in_threads import session
from test_client import wait

from engine import events
from engine.broker.impact import NoImpact
from engine.broker.models import Account, BrokerConfig
from engine.config import Config, Risk
from engine.errors import RunError
from engine.live.broker_role import BrokerRole
from engine.live.client import Client
from engine.live.keys import new_keys
from engine.live.role import Fault, Frame, Send
from engine.live_config import Live
from engine.tape import Tape

LIVE = Live(
    feed="inproc://real-feed",
    recovery="inproc://real-recovery",
    orders="inproc://real-orders",
    clients=(Account(name="desk", cash={"USD": 10**13}),),
)
CONFIG = Config(
    name="programs", strategies=[], broker=BrokerConfig(impact=NoImpact()), risk=Risk(stale_ns=0), live=LIVE
)


@pytest.fixture
def role() -> BrokerRole:
    return BrokerRole(CONFIG)


@pytest.fixture
def context(small_tape: Path, role: BrokerRole) -> Iterator[zmq.Context[Any]]:
    with session(Tape.load(small_tape), role, LIVE, speed=600_000) as context:  # ten minutes in one second
        yield context


def load_plain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain", Path(__file__).parents[2] / "docs" / "plain_client.py")
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    return plain


def test_a_program_buys_and_sells_and_its_position_is_the_brokers(context: zmq.Context[Any], role: BrokerRole) -> None:
    with Client("desk", live=LIVE, plain=True, context=context) as desk:
        for side in (1, -1):
            wait(desk, events.Quote)
            quote = desk.quote("XYZ")
            order = desk.trade("XYZ", side, shares=100, limit=quote.ask + 1_000 if side > 0 else quote.bid - 1_000)
            wait(desk, events.Filled)
            assert order.status == "ENDED"
            assert desk.position("XYZ") == 50 * (1 + side)
        resting = desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").bid - 10_000)
        wait(desk, events.Accepted)
        desk.replace(resting, shares=50)
        wait(desk, events.Accepted)
        desk.cancel(resting)
        wait(desk, events.Cancelled)
        assert (resting.status, resting.leaves, desk.orders()) == ("ENDED", 0, [])
    assert role.core is not None
    assert role.core.venue.position(0, 0) == 0


def test_the_plain_example_trades_there_too(context: zmq.Context[Any], role: BrokerRole) -> None:
    plain = load_plain()
    client = plain.PlainClient("desk", LIVE.feed, LIVE.recovery, LIVE.orders, context=context)
    fills = plain.buy_and_sell(client, size=100, seconds=20)
    assert sum(fill["side"] * fill["size"] for fill in fills) == client.positions["XYZ"]
    assert client.in_hand == {}


def test_readmes_program_trades_until_the_market_ends(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    program = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[2].replace("DEMO", "XYZ")
    monkeypatch.setattr("engine.live.client.Client", partial(Client, live=LIVE, plain=True, context=context))
    exec(compile(program, "README.md", "exec"), {})
    assert "Filled(" in capsys.readouterr().out


def test_both_trade_with_keys_and_a_stranger_does_not(small_tape: Path, role: BrokerRole, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    names = {link: f"ipc://{tmp_path}/{link}" for link in ("feed", "recovery", "orders")}
    live, keys = msgspec.structs.replace(LIVE, **names), new_keys(tmp_path / "keys")
    strangers = new_keys(tmp_path / "others")
    with session(Tape.load(small_tape), role, live, speed=20_000, keys=keys) as context:
        with Client("desk", live=live, keys=keys, context=context) as desk:
            wait(desk, events.Quote)
            desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").ask + 1_000)
            wait(desk, events.Filled)
        plain = load_plain()
        client = plain.PlainClient("desk", live.feed, live.recovery, live.orders, keys.folder, context)
        fills = plain.buy_and_sell(client, size=100, seconds=20)
        assert fills[0]["side"] == 1  # the sale may rest: the bid may have gone
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.live.client.PATIENCE_S", 0.5)
            stranger = Client("desk", live=live, keys=strangers, context=context)
            with pytest.raises(RunError, match="no answer from the feed"), stranger:
                pass


@pytest.mark.parametrize("link", ["orders", "admin"])
def test_what_is_no_message_is_refused_and_its_senders_fault(role: BrokerRole, link: str) -> None:
    out = role.advance(0, Frame(link, b"peer", "key", b"\xc1"))
    told = next(i for i, one in enumerate(out) if isinstance(one, Send) and one.link == link)
    assert out.index(Fault(link, b"peer", "key")) > told  # in time to be told why


def test_a_market_that_ends_ends_the_loop(context: zmq.Context[Any]) -> None:
    with Client("desk", live=LIVE, plain=True, context=context) as desk:
        order, quotes = None, 0
        for event in desk:
            quotes += isinstance(event, events.Quote)
            if order is None and quotes == 200:  # by then the broker has seen rows, too
                order = desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").bid - 10_000)
        assert order is not None
        assert desk.is_over
        assert (order.status, order.reason) == ("ENDED", "RUN_END")
