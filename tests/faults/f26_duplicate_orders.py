"""F26: each message with an order is sent one to five times, in any order, across restarts of the broker; it acts once.

Some ids come again with another size: those are refused with `DUP_ID_CONFLICT`. In the end the journal has each order
once, with the size that it had first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import zmq
from floor import floor
from procedure import Trial, main

from engine.journal import RecordKind
from engine.live import messages as m
from engine.live.session import Wires, wires

PATIENCE_S = 60.0
BEAT_S = 0.5
ASK_AGAIN_S = 1.0
ACCOUNT = 1  # of the journal: after the strategy's
FIRST_SIZE = 100  # and one more for each order, so that the journal tells them apart
CONFLICT = "DUP_ID_CONFLICT"


def duplicate_orders(trial: Trial) -> str:
    orders, restarts = (200, 1) if trial.quick else (8_000, 40)
    with floor(trial, most=0) as session, wires(session.live) as made:
        program = Repeater(made)
        for piece in np.array_split(np.arange(orders), restarts):
            program.send(trial, piece.tolist(), session.kill_broker)
        records = session.end()
    made_orders = records[(records["kind"] == RecordKind.ORDER) & (records["account"] == ACCOUNT)]
    sizes = Counter(made_orders["size"].tolist())
    assert sizes == Counter(range(FIRST_SIZE, FIRST_SIZE + orders)), f"the journal has {len(made_orders)} orders"
    return (
        f"{orders} orders sent {program.sent} times over {restarts} restarts of the broker: each in the journal once; "
        f"{program.conflicts} ids with another size refused"
    )


class Repeater:
    """A program that says everything several times."""

    def __init__(self, made: Wires) -> None:
        self._made = made
        self._socket: zmq.Socket[bytes] | None = None
        self._answers: dict[str, m.Received] = {}
        self._refused: set[str] = set()
        self._next_beat = 0.0
        self.sent = self.conflicts = 0
        self.connect()

    def connect(self) -> None:
        """As a peer that the broker has not seen."""
        if self._socket is not None:
            self._socket.close(linger=0)
        self._socket = self._made.client("orders")
        hello = m.encode(m.Hello(m.PROTOCOL, m.schema_digest(), "desk", None, "", -1, 0, False))
        until = time.monotonic() + PATIENCE_S
        while not self._hear(ASK_AGAIN_S if self._say(hello) else 0.02):
            assert time.monotonic() < until, "the broker welcomes nobody"

    def send(self, trial: Trial, numbers: list[int], kill_broker: Callable[[], None]) -> None:
        """Orders of these numbers, some of earlier ones again, until each is answered; then some with another size.

        Half-way the broker is killed, with whatever is on its way.
        """
        earlier = trial.rng.sample(range(numbers[0]), min(numbers[0], 50))
        waiting = {name(n): order(n) for n in [*numbers, *earlier]}
        frames = [frame for frame in waiting.values() for _ in range(trial.rng.randint(1, 5))]
        trial.rng.shuffle(frames)
        asked = {cid: self._answers.pop(cid, None) for cid in waiting}
        self._say_all(frames[::2])
        kill_broker()
        self.connect()
        self._say_all(frames[1::2])
        self._until(lambda: not waiting.keys() - self._answers.keys(), [*waiting.values()])
        for cid, before in asked.items():
            now = self._answers[cid]
            assert before is None or (now.first_order, now.duplicate) == (before.first_order, True), f"{cid}: {now}"
        changed = {name(n): order(n, FIRST_SIZE + n + 1) for n in trial.rng.sample(numbers, min(len(numbers), 20))}
        self._refused.clear()
        self._until(lambda: not changed.keys() - self._refused, [*changed.values()])
        self.conflicts += len(changed)

    def _say_all(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._say(frame)
            self._hear(0)

    def _until(self, is_done: Callable[[], bool], frames: list[bytes]) -> None:
        """Say these again each second until all is answered."""
        until, again = time.monotonic() + PATIENCE_S, 0.0
        while not is_done():
            if time.monotonic() >= again:
                again = time.monotonic() + ASK_AGAIN_S
                self._say_all(frames)
            self._hear(0.05)
            assert time.monotonic() < until, "not everything is answered"

    def _say(self, frame: bytes) -> bool:
        """Whether it left; now and then a beat goes with it."""
        assert self._socket is not None
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_S
            self._say(m.encode(m.Beat(-1, 0)))
        if not self._socket.poll(10, zmq.POLLOUT):
            return False
        self._socket.send(frame)
        self.sent += frame[:2] == ORDERS
        return True

    def _hear(self, seconds: float) -> bool:
        """Take what has come; whether the broker said welcome."""
        assert self._socket is not None
        is_welcome = False
        while self._socket.poll(0 if is_welcome else int(1_000 * seconds)):
            message, seconds = m.broker_reply(self._socket.recv()), 0.0
            match message:
                case m.Welcome():
                    is_welcome = True
                case m.Received():
                    self._received(message)
                case m.Reject(reason=reason) if reason == CONFLICT:
                    self._refused.add(message.cid)
                case m.Reject(reason=reason) if reason != "NOT_ATTACHED":
                    raise AssertionError(f"refused: {message}")
        return is_welcome

    def _received(self, message: m.Received) -> None:
        before = self._answers.setdefault(message.cid, message)
        assert before.first_order == message.first_order, f"{message.cid} is two orders: {before} {message}"
        assert before is message or message.duplicate, f"{message.cid} was applied twice"


def name(n: int) -> str:
    return f"f26-{n}"


def order(n: int, size: int = 0) -> bytes:
    """The message of an order far from the market; its size is its own."""
    return m.encode(m.Orders(name(n), [m.Order(0, 1, 1, 0, 0, 7_700, size or FIRST_SIZE + n, 0, 0, 0)], 0))


ORDERS = order(0)[:2]

if __name__ == "__main__":
    main(duplicate_orders)
