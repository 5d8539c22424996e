"""Who has no key, or not the right one, gets nothing: eight kinds of bad peers at each kind of socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_peers import (
    HANDSHAKE_S,
    ORDER,
    ZMQ_PEERS,
    Peer,
    Served,
    answer_to,
    as_pair,
    garbage,
    got_until_closed,
    raw_connection,
    served,
)

from engine.live.authority import LINKS
from engine.live.door import receive_one
from engine.live.keys import Keys, new_keys
from engine.live.sockets import reload_keys

GREETING = 64  # bytes that a ZMTP server says to anybody: version and mechanism


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("bad_peers") / "keys")


@pytest.fixture(params=LINKS)
def one(request: pytest.FixtureRequest, keys: Keys) -> Iterator[Served]:
    with served(request.param, keys) as one:
        yield one


@pytest.mark.parametrize("bad", ZMQ_PEERS, ids=lambda bad: bad.__name__)
def test_a_bad_peer_gets_nothing_and_a_good_one_does_not_notice(bad: Callable[[Served], Peer], one: Served) -> None:
    good = one.good_client()
    peer = bad(one)
    assert peer.came_in() is False
    assert one.is_served(good)
    assert one.door is None or one.door.receive() is None
    assert peer.socket.poll(0) == 0


def test_garbage_gets_no_more_than_a_greeting(one: Served) -> None:
    good = one.good_client()
    for seed in range(5):
        assert len(answer_to(one.endpoint, garbage(seed))) <= GREETING
    assert one.is_served(good)
    assert one.door is None or one.door.receive() is None


@pytest.mark.slow
def test_who_connects_and_says_nothing_is_hung_up_on(one: Served) -> None:
    good = one.good_client()
    started = time.monotonic()
    with raw_connection(one.endpoint) as silent, raw_connection(one.endpoint) as slow:
        slow.sendall(garbage(1)[:10])
        assert one.is_served(good)
        assert len(got_until_closed(silent)) <= GREETING
        assert len(got_until_closed(slow)) <= GREETING
    assert time.monotonic() - started < HANDSHAKE_S + 5
    assert one.is_served(good)


@pytest.mark.slow
def test_while_the_authority_is_stuck_nobody_comes_in(one: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not dead, which closes its address, but without an answer for longer than a handshake may take."""
    good = one.good_client()
    monkeypatch.setattr(one.authority, "_reply", lambda frames: time.sleep(2 * HANDSHAKE_S) or [b"1.0"])
    peer = Peer(one, pair=as_pair(one.keys.client(one.role)))
    assert not peer.came_in()
    assert one.is_served(good)


def test_a_revoked_key_is_cut_off_from_market_data_at_once(keys: Keys) -> None:
    with served("market", keys) as one:
        keys.add("md", "leaving")
        one.authority.reload()
        staying, leaving = one.good_client(), one.good_client("leaving")
        keys.revoke("md", "leaving")
        started = time.monotonic()
        assert reload_keys(one.authority, one.socket) == ["leaving may no longer come in as md"]
        while receive_one(leaving):
            pass  # what it had been sent while it was still allowed
        assert one.is_served(staying, b"after")
        assert time.monotonic() - started < 1
        assert receive_one(leaving) is None


@pytest.mark.parametrize("link", ["recovery", "orders", "admin"])
def test_a_revoked_key_is_not_heard_from_its_next_message_on_nor_spoken_to(link: str, keys: Keys) -> None:
    with served(link, keys) as one:
        assert one.door
        keys.add(one.role, "leaving")
        one.authority.reload()
        staying, leaving = one.good_client(), one.good_client("leaving")
        assert one.is_served(leaving)
        leaving.send(b"last words")
        heard = one.heard()
        assert heard
        keys.revoke(one.role, "leaving")
        assert reload_keys(one.authority) == [f"leaving may no longer come in as {one.role}"]
        leaving.send(ORDER)
        assert one.is_served(staying)
        assert one.heard(50) is None
        assert one.door.counters == {"not admitted": 1}
        assert one.door.send(heard.peer, b"a report") == "gone"


def test_a_key_revoked_beside_a_damaged_file_is_refused_all_the_same(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys")
    with served("orders", keys) as one:
        keys.add("orders", "leaving")
        one.authority.reload()
        staying, leaving = one.good_client(), one.good_client("leaving")
        keys.revoke("orders", "leaving")
        (keys.folder / "clients" / "md" / "broker.key").write_text("public =")
        (sentence,) = reload_keys(one.authority)
        assert "the keys were not all read: " in sentence
        assert "broker.key: is damaged" in sentence
        leaving.send(ORDER)
        assert one.is_served(staying)
        assert one.heard(50) is None


def test_a_key_added_while_the_server_runs_is_let_in_after_a_reload(keys: Keys) -> None:
    with served("orders", keys) as one:
        keys.add("orders", "late")
        pair = as_pair(keys.client("orders", "late"))
        early = Peer(one, pair=pair)
        assert early.came_in() is False
        one.authority.reload()
        assert Peer(one, pair=pair).came_in()


@pytest.mark.parametrize("role", ["md", "push"])
def test_a_key_says_whether_its_owner_reads_or_pushes(role: str, keys: Keys) -> None:
    with served("recovery", keys) as one:
        Peer(one, pair=as_pair(keys.client(role)))
        frame = one.heard()
        assert frame
        permit = one.authority.permit("recovery", frame.key)
        assert permit
        assert permit.role == role


@pytest.fixture
def two(keys: Keys) -> Iterator[Served]:
    """The orders link, with clients a and b."""
    for name in ("a", "b"):
        if not any(permit.name == name for permit in keys.permits()["orders"].values()):
            keys.add("orders", name, (name,))
    with served("orders", keys) as one:
        yield one


def test_whose_orders_they_are_is_what_the_key_says_not_the_message(two: Served) -> None:
    for name in ("a", "b"):
        Peer(two, pair=as_pair(two.keys.client("orders", name)))
    for frame in (two.heard(), two.heard()):
        assert frame
        permit = two.authority.permit("orders", frame.key)
        assert permit
        assert frame.key == two.keys.client("orders", permit.name).public
        assert permit.may_trade(permit.name)
        assert not permit.may_trade({"a": "b", "b": "a"}[permit.name])


def test_who_claims_anothers_identity_is_not_heard_and_does_not_get_its_reports(two: Served) -> None:
    assert two.door
    b = Peer(two, pair=as_pair(two.keys.client("orders", "b")), identity=b"b")
    first = two.heard()
    assert first
    assert first.peer == b"b"
    a = Peer(two, pair=as_pair(two.keys.client("orders", "a")), identity=b"b")
    assert a.came_in()  # its key is good, its claim is not
    assert two.heard(100) is None
    assert two.door.send(b"b", b"a report") == "sent"
    assert b.socket.poll(1_000)
    assert receive_one(b.socket) == b"a report"
    b.socket.send(ORDER)
    again = two.heard()
    assert again
    assert again.key == two.keys.client("orders", "b").public
    assert a.socket.poll(50) == 0


def test_our_clients_claim_no_identity_so_that_nobody_can_take_it_from_them(two: Served) -> None:
    client = two.good_client("a")
    assert client.routing_id == b""
    client.send(ORDER)
    frame = two.heard()
    assert frame
    assert frame.peer[:1] == b"\0"  # the server made it up, and tells nobody
