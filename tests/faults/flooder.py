"""A program that sends orders as fast as it can, in a process of its own: `python flooder.py SESSION SECONDS EACH`.

EACH orders go in a message; what the broker answers is thrown away. It says how many left.
"""

from __future__ import annotations

import sys
import time

import zmq

from engine.config import load
from engine.live import messages as m
from engine.live.session import live_of, wires

SAY_HELLO_S = 1.0


def main() -> None:
    live, seconds, each = live_of(load(sys.argv[1])), float(sys.argv[2]), int(sys.argv[3])
    hello = m.encode(m.Hello(m.PROTOCOL, m.schema_digest(), "desk", None, "", -1, 0, False))
    orders: list[m.Request] = [m.Order(0, 1, 1, 0, 0, 7_700, 100, 0, 0, 0)] * each
    with wires(live) as made:
        socket = made.client("orders")
        begun = time.monotonic()
        next_hello, sent, n = begun, 0, 0
        while (now := time.monotonic()) < begun + seconds:
            if now >= next_hello and socket.poll(10, zmq.POLLOUT):
                next_hello = now + SAY_HELLO_S
                socket.send(hello)
            while socket.poll(0):
                socket.recv()
            if socket.poll(1, zmq.POLLOUT):
                socket.send(m.encode(m.Orders(f"f25-{n}", orders, 0)))
                n += 1
                sent += each
        socket.close(linger=0)
    print(sent)


if __name__ == "__main__":
    main()
