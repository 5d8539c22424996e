from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from bad_peers import PATIENCE_MS, Peer, Served, as_pair, served
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.live import messages
from engine.live.authority import LINKS, Authority
from engine.live.door import MOST_DROPPED, MOST_FAULTS, Door, Faults, receive_one
from engine.live.keys import Keys, new_keys
from engine.live.self_test import self_test
from engine.live.sockets import HIGH_WATER, dealer, is_local, publisher, router, subscriber

EVERYWHERE = ["tcp://*:0", "tcp://0.0.0.0:5701", "tcp://192.0.2.1:5701", "tcp://eth0:5701", "tcp://[::]:5701"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("sockets") / "keys")


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def orders(keys: Keys) -> Iterator[Served]:
    with served("orders", keys) as one:
        yield one


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
def test_no_option_is_left_at_a_default_that_waits_for_ever_or_takes_anything(link: str, keys: Keys) -> None:
    with served(link, keys) as one:
        client = one.good_client()
        for end in (one.socket, client):
            assert (end.linger, end.handshake_ivl) == (0, 2_000)
            assert (end.heartbeat_ivl, end.heartbeat_ttl) == (0, 0)  # see engine.live.sockets
            assert (end.tcp_keepalive, end.tcp_keepalive_idle, end.tcp_keepalive_intvl) == (1, 1, 1)
            assert (end.tcp_keepalive_cnt, end.tcp_maxrt) == (2, 3_000)
            assert 0 < int(end.maxmsgsize) <= messages.LARGEST_FEED_FRAME + 64
            assert end.mechanism == zmq.CURVE
        assert (client.reconnect_ivl, client.reconnect_ivl_max) == (50, 2_000)
        assert one.socket.zap_domain == link.encode()
        assert one.socket.get(zmq.ZAP_ENFORCE_DOMAIN) == 1
        if link == "market":
            assert one.socket.sndhwm == client.rcvhwm == HIGH_WATER == 8_192
        else:
            assert client.sndhwm == one.socket.sndhwm == one.socket.rcvhwm == 1_000
            assert (client.immediate, client.sndtimeo) == (1, 0)


FILLS_AND_LEAVES = """
import os, sys, time, zmq
from engine.live.sockets import router, dealer, publisher, subscriber
folder, who = sys.argv[1:]
child = os.fork()
reads = (who == "server") == bool(child)
context = zmq.Context()
if who == "server":
    end = router(context, folder, "orders", plain=True) if reads else dealer(context, folder, "orders", plain=True)
else:
    end = subscriber(context, folder, plain=True) if reads else publisher(context, folder, plain=True)
if not reads:
    assert end.poll(5_000, zmq.POLLOUT if who == "server" else zmq.POLLIN)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        try:
            end.send(b"x" * 500, zmq.NOBLOCK)
        except zmq.Again:
            time.sleep(0.001)
    os._exit(0)
time.sleep(2)
print("lives", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("who", [pytest.param("server", marks=pytest.mark.slow), "client"])
def test_who_reads_slowly_outlives_a_peer_that_fills_its_queue_and_leaves(tmp_path: Path, who: str) -> None:
    tmp_path.chmod(0o700)
    command = [sys.executable, "-c", FILLS_AND_LEAVES, f"ipc://{tmp_path}/s", who]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "lives\n"


def test_large_frames_wait_for_a_slow_subscriber_in_smaller_numbers(context: zmq.Context) -> None:
    for frame_bytes, frames in ((1_024, 8_192), (8_192, 8_192), (524_288, 128), (1 << 30, 16)):
        with publisher(context, f"inproc://{frame_bytes}", plain=True, frame_bytes=frame_bytes) as bound:
            assert bound.sndhwm == frames
            with subscriber(context, f"inproc://{frame_bytes}", plain=True, frame_bytes=frame_bytes) as other:
                assert other.rcvhwm == frames


@pytest.mark.parametrize(("link", "largest"), [("orders", 65_536), ("recovery", 1 << 20)])
def test_the_largest_frame_passes_and_a_larger_one_cuts_its_sender_off(link: str, largest: int, keys: Keys) -> None:
    with served(link, keys) as one:
        client = one.good_client()
        monitor = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        one.opened.append(monitor)
        client.send(bytes(largest))
        frame = one.heard()
        assert frame
        assert len(frame.data) == largest
        client.send(bytes(largest + 64))
        assert monitor.poll(PATIENCE_MS)
        assert one.heard(20) is None


def test_what_cannot_leave_now_is_refused_and_never_sent_later(context: zmq.Context, keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with dealer(context, address, "orders", plain=True) as client:
        with pytest.raises(zmq.Again):
            client.send(b"an order for a broker that is not there")
        with router(context, address, "orders", plain=True) as back:
            assert client.poll(PATIENCE_MS, zmq.POLLOUT)
            client.send(b"a new one")
            assert back.poll(PATIENCE_MS)
            assert back.recv_multipart()[1] == b"a new one"


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", EVERYWHERE)
@pytest.mark.parametrize("plain", [True, False])
def test_nothing_is_bound_where_others_can_reach_it_without_keys(
    context: zmq.Context, address: str, plain: bool
) -> None:
    with pytest.raises(ConfigError, match=r"will not bind .* other machines can reach it; make keys with `tickwright"):
        publisher(context, address, plain=plain)
    with pytest.raises(ConfigError, match="will not bind"):
        router(context, address, "orders", plain=plain)
    with pytest.raises(ConfigError, match="will not connect to"):
        dealer(context, address, "orders", plain=plain)


def test_without_keys_even_this_machine_needs_a_word_for_it_which_is_printed(
    context: zmq.Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for address in ("tcp://127.0.0.1:*", f"ipc://{tmp_path}/own/socket"):
        with pytest.raises(ConfigError, match=r"without keys; make them with `tickwright keys new`, or say plain"):
            router(context, address, "orders")
        with router(context, address, "orders", plain=True):
            assert f"orders: {address} has no keys" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "local"),
    [
        *((address, False) for address in EVERYWHERE),
        ("tcp://127.0.0.1:5701", True),
        ("tcp://127.9.9.9:*", True),
        ("tcp://[::1]:5701", True),
        ("ipc:///tmp/desk/feed", True),
        ("tcp://localhost:5701", False),  # a name, which somebody else answers for
        ("tcp://127.0.0.1.example.com:5701", False),
        ("tcp://:5701", False),
    ],
)
def test_only_a_loopback_number_or_a_file_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_with_keys_every_address_is_served(context: zmq.Context, keys: Keys) -> None:
    with served("orders", keys, "tcp://*:*") as one:
        assert one.endpoint.startswith("tcp://0.0.0.0:")
        client = dealer(one.clients, one.endpoint.replace("0.0.0.0", "127.0.0.1"), "orders", keys.client("orders"))
        one.opened.append(client)
        assert client.poll(PATIENCE_MS, zmq.POLLOUT)
        assert one.is_served(client)


def test_a_file_socket_lies_in_a_folder_that_only_its_owner_enters(tmp_path: Path, keys: Keys) -> None:
    with served("admin", keys, f"ipc://{tmp_path}/desk/admin") as one:
        assert (tmp_path / "desk").stat().st_mode & 0o777 == 0o700
        assert one.is_served(one.good_client())
    (tmp_path / "desk").chmod(0o711)
    with (
        pytest.raises(
            ConfigError, match=r"others can enter .*desk \(user \d+, mode 0711\); put the socket into a folder"
        ),
        served("admin", keys, f"ipc://{tmp_path}/desk/admin"),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("udp://127.0.0.1:1", "is no address; write tcp://ADDRESS:PORT or ipc://PATH"),
        ("ipc://relative/path", "name an absolute path"),
        (f"ipc:///tmp/{'x' * 120}", "of at most 107 bytes"),
        ("tcp://127.0.0.1:65536", "is no address; write"),  # libzmq would take it as port 0
        ("tcp://127.0.0.1", "is no address; write"),
        ("tcp://127.0.0.1:-1", "is no address; write"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_sentence(context: zmq.Context, address: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        router(context, address, "orders", plain=True)


def test_an_address_that_is_taken_says_how_to_find_by_whom(orders: Served, keys: Keys) -> None:
    with (
        pytest.raises(ConfigError, match=r"Address already in use; stop what has it \(`ss -lptn` says who\)"),
        served("orders", keys, orders.endpoint),
    ):
        pass


# --- the self-test ----------------------------------------------------------------------------------------------------


def test_a_socket_that_lets_strangers_in_is_not_handed_over(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authority, "permit", lambda *_: True)
    with (
        pytest.raises(
            ConfigError, match=r"orders: tcp.* at the self-test an unknown key was admitted; nothing is served"
        ),
        served("orders", keys),
    ):
        pass


def test_a_socket_that_lets_nobody_in_is_not_handed_over(
    context: zmq.Context, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(context, keys, "broker")
    authority.close()
    with pytest.raises(ConfigError, match="at the self-test a listed key was refused"):
        router(context, "tcp://127.0.0.1:*", "orders", authority)


def test_a_socket_without_encryption_fails_the_self_test(context: zmq.Context, keys: Keys) -> None:
    authority = Authority(context, keys, "broker")
    with context.socket(zmq.ROUTER) as bare:
        bare.bind("tcp://127.0.0.1:*")
        with pytest.raises(ConfigError, match="a peer without keys was admitted"):
            self_test(context, authority, "orders", bare.get_string(zmq.LAST_ENDPOINT), zmq.DEALER)
    authority.close()


def test_the_self_test_leaves_no_key_behind(orders: Served) -> None:
    assert orders.authority._probes == {}
    assert orders.door
    assert orders.door.receive() is None


@given(st.lists(st.binary(max_size=40), max_size=9))
def test_the_authority_admits_nothing_but_a_listed_key_of_the_link(any_keys: Authority, frames: list[bytes]) -> None:
    assert any_keys._reply(frames)[2] != b"200"
    assert any_keys._reply([b"1.0", b"1", b"orders", b"", b"", b"NULL"])[2] != b"200"
    assert any_keys._reply([b"1.0", b"1", b"orders", b"", b"", b"CURVE", *frames[:1]])[2] != b"200"


@pytest.fixture(scope="module")
def any_keys(keys: Keys) -> Iterator[Authority]:
    with zmq.Context() as context:
        authority = Authority(context, keys, "broker")
        yield authority
        authority.close()


def test_closing_an_authority_twice_does_no_harm(context: zmq.Context, keys: Keys) -> None:
    authority = Authority(context, keys, "broker")
    authority.close()
    authority.close()
    assert not authority.is_alive


# --- what comes through a door ----------------------------------------------------------------------------------------


def test_a_key_with_three_faulty_messages_is_banned_and_nobody_else(orders: Served) -> None:
    assert orders.door
    if not any(permit.name == "other" for permit in orders.keys.permits()["orders"].values()):
        orders.keys.add("orders", "other")
    orders.authority.reload()
    bad, good = orders.good_client(), orders.good_client("other")
    for fault in range(MOST_FAULTS):
        assert orders.is_served(bad), f"after {fault} faults"
        bad.send_multipart([b"two", b"frames"])
    bad.send(b"one more")
    assert orders.is_served(good)
    assert orders.heard(50) is None
    assert orders.door.counters == {"frame count": 3, "not admitted": 1}
    key = as_pair(orders.keys.client("orders"))
    assert Peer(orders, pair=key).came_in() is False  # also not from another connection
    assert orders.authority.reload() == []
    assert orders.authority.permit("orders", key[0]) is None


def test_a_message_of_many_frames_is_not_kept(orders: Served) -> None:
    assert orders.door
    client = orders.good_client()
    client.send_multipart([b""] * 100_000)
    assert orders.is_served(client)
    assert orders.door.counters == {"frame count": 1}


def test_a_flood_of_bad_messages_does_not_keep_the_role_from_its_other_work(orders: Served) -> None:
    assert orders.door
    client = orders.good_client()
    for _ in range(900):
        client.send_multipart([b"two", b"frames"])
    assert orders.socket.poll(PATIENCE_MS)
    assert orders.door.receive() is None
    assert orders.door.counters.total() <= MOST_DROPPED


def test_without_keys_a_faulty_peer_is_banned_by_its_connection(context: zmq.Context) -> None:
    with router(context, "inproc://orders", "orders", plain=True) as bound:
        door = Door(bound, "orders", None)
        with (
            dealer(context, "inproc://orders", "orders", plain=True) as bad,
            dealer(context, "inproc://orders", "orders", plain=True) as good,
        ):
            for _ in range(MOST_FAULTS):
                bad.send_multipart([b"two", b"frames"])
                assert door.receive() is None
            bad.send(b"an order")
            good.send(b"an order")
            frame = door.receive()
            assert frame
            assert (frame.key, frame.data) == ("", b"an order")
            assert door.receive() is None
            assert door.send(frame.peer, b"a report") == "sent"
            assert receive_one(good) == b"a report"


def test_a_peer_is_spoken_to_while_it_is_there_and_has_room(context: zmq.Context) -> None:
    with router(context, "tcp://127.0.0.1:*", "orders", plain=True) as bound:
        door = Door(bound, "orders", None)
        assert door.send(b"nobody", b"a report") == "gone"
        with dealer(context, bound.get_string(zmq.LAST_ENDPOINT), "orders", plain=True) as client:
            assert client.poll(PATIENCE_MS, zmq.POLLOUT)
            client.send(b"hello")
            assert bound.poll(PATIENCE_MS)
            frame = door.receive()
            assert frame
            sent = [door.send(frame.peer, bytes(60_000)) for _ in range(3_000)]  # nobody reads them
            assert set(sent) == {"sent", "busy"}
        until = time.monotonic() + PATIENCE_MS / 1_000
        while door.send(frame.peer, b"a report") != "gone":
            assert door.receive() is None  # a socket learns that a peer is gone where it would read on
            assert time.monotonic() < until


def test_a_client_passes_over_what_has_more_than_one_frame(context: zmq.Context) -> None:
    with (
        publisher(context, "inproc://market", plain=True) as feed,
        subscriber(context, "inproc://market", plain=True) as client,
    ):
        assert feed.poll(PATIENCE_MS)  # the subscription
        feed.send_multipart([b"two", b"frames"])
        feed.send(b"one")
        assert client.poll(PATIENCE_MS)
        assert receive_one(client) == b"one"
        assert receive_one(client) is None


@given(st.lists(st.sampled_from("abcd")), st.integers(1, 5))
def test_a_key_is_banned_once_it_has_as_many_faults_as_that_takes(keys: list[str], most: int) -> None:
    faults = Faults(most)
    for n, key in enumerate(keys):
        assert faults.add(key) is (keys[: n + 1].count(key) >= most)
