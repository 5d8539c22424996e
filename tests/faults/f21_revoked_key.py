"""F21: a key is revoked and the server gets SIGHUP; within a second its owner is served nothing more, others are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from procedure import Trial, main

from engine.live.authority import LINKS
from engine.live.door import receive_one
from engine.live.keys import Keys, new_keys
from engine.live.sockets import dealer, subscriber

MOST_S = 1.0
PATIENCE_S = 5.0
SILENCE_S = 0.5  # after which nothing more is expected
HERE = Path(__file__).resolve().parent


def revoked_key(trial: Trial) -> str:
    keys = new_keys(trial.folder / "keys")
    rounds = 2 if trial.quick else 25
    slowest = {link: max(revoked(link, keys, n) for n in range(rounds)) for link in LINKS}
    assert max(slowest.values()) <= MOST_S, f"served after {slowest}"
    told = ", ".join(f"{link} {1_000 * s:.0f} ms" for link, s in slowest.items())
    return f"{rounds} keys a link revoked; slowest from SIGHUP to the last thing served: {told}"


def revoked(link: str, keys: Keys, n: int) -> float:
    """Seconds from the signal to the last thing that the revoked client is served."""
    role, name = LINKS[link][0], f"leaving{n}"
    if (keys.folder / "clients" / role / f"{name}.key").exists():
        name += link  # market and recovery have one role
    keys.add(role, name)
    with (
        zmq.Context() as context,
        doorkeeper(link, keys) as (endpoint, pid),
        client(context, endpoint, link, keys, name) as leaving,
        client(context, endpoint, link, keys, "local") as staying,
    ):
        for one in (leaving, staying):
            assert is_served(link, one, time.monotonic() + PATIENCE_S), f"{link}: never served"
        keys.revoke(role, name)
        begun = last = time.monotonic()
        os.kill(pid, signal.SIGHUP)
        while time.monotonic() - last < SILENCE_S:
            if is_served(link, leaving, last + SILENCE_S):
                last = time.monotonic()
        assert is_served(link, staying, time.monotonic() + PATIENCE_S), f"{link}: others were cut off"
        return last - begun


def is_served(link: str, one: zmq.Socket, until: float) -> bool:
    """Whether anything comes before then; elsewhere than on market it asks for it, again and again."""
    while time.monotonic() < until:
        if link != "market" and one.poll(0, zmq.POLLOUT):
            one.send(b"an order")
        if one.poll(5):
            return receive_one(one) is not None
    return False


def client(context: zmq.Context, endpoint: str, link: str, keys: Keys, name: str) -> zmq.Socket:
    key = keys.client(LINKS[link][0], name)
    return subscriber(context, endpoint, key) if link == "market" else dealer(context, endpoint, link, key)


@contextmanager
def doorkeeper(link: str, keys: Keys) -> Iterator[tuple[str, int]]:
    command = [sys.executable, str(HERE / "doorkeeper.py"), link, str(keys.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


if __name__ == "__main__":
    main(revoked_key)
