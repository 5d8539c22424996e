from __future__ import annotations

from collections.abc import Callable

import pytest
import zmq

from engine import clock
from engine.live import silence, sockets
from engine.live.links import Links
from engine.live.role import Send

SILENT_NS = 100_000_000
LONG_NS = 5_000_000_000


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(silence, "SILENT_NS", SILENT_NS)
    with zmq.Context() as made:
        yield made


@pytest.fixture
def router(context: zmq.Context):
    with context.socket(zmq.ROUTER) as made:
        made.linger = 0
        made.bind("tcp://127.0.0.1:*")
        yield made


@pytest.fixture
def one(context: zmq.Context, router: zmq.Socket):
    """A client's link to the router."""
    dealer = sockets.dealer(context, router.get_string(zmq.LAST_ENDPOINT), "orders", plain=True)
    made = Links({"orders": dealer})
    while not dealer.poll(1_000, zmq.POLLOUT):
        pass
    yield made
    made.close()


def wait(one: Links, until: Callable[[], object]) -> None:
    end = clock.monotonic_ns() + LONG_NS
    while not until():
        assert clock.monotonic_ns() < end
        for link in one.wait(5):
            while one.receive(link) is not None:
                pass


def ask(one: Links, router: zmq.Socket) -> bytes:
    """Who it is to the router."""
    while True:
        one.send(Send("orders", b"", b"a question"))  # dropped while it connects
        if router.poll(20):
            return router.recv_multipart()[0]


def test_a_follower_that_hears_nothing_connects_anew_and_then_hears(context: zmq.Context) -> None:
    with sockets.publisher(context, "tcp://127.0.0.1:*", plain=True) as publisher:
        one = Links({"market": sockets.subscriber(context, publisher.get_string(zmq.LAST_ENDPOINT), plain=True)})
        wait(one, lambda: one.silence.connected_anew.total() >= 2)
        heard = None
        while heard is None:
            publisher.send(b"a word")
            one.wait(5)
            heard = one.receive("market")
        assert heard.data == b"a word"
        one.close()


def test_who_asks_and_gets_no_answer_connects_anew(one: Links, router: zmq.Socket) -> None:
    peer = ask(one, router)
    wait(one, lambda: one.silence.connected_anew.total() == 1)
    assert ask(one, router) != peer


def test_who_asks_nothing_stays(one: Links) -> None:
    end = clock.monotonic_ns() + 3 * SILENT_NS
    wait(one, lambda: clock.monotonic_ns() > end)
    assert not one.silence.connected_anew


def test_who_is_answered_stays(one: Links, router: zmq.Socket) -> None:
    end = clock.monotonic_ns() + 3 * SILENT_NS
    while clock.monotonic_ns() < end:
        router.send_multipart([ask(one, router), b"an answer"])
        while not one.wait(5):
            pass
        assert one.receive("orders")
    assert not one.silence.connected_anew
