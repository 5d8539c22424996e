"""F19: bad peers of eight kinds at each socket, and a crowd of 200 that talk garbage and 1,000 that say nothing.

Nobody of them gets a byte of market data or an order in, and a good client does not wait longer: the 99th percentile of
its round trips, with and without the crowd in turn, differs by less than 20 % (judged in full mode, where the machine
is expected to be quiet).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from procedure import Trial, main
from strangers import GREETING

sys.path.append(str(Path(__file__).resolve().parents[1] / "live"))

from bad_peers import MARK, ZMQ_PEERS, Served, answer_to, garbage, served

from engine.live.authority import LINKS
from engine.live.door import receive_one
from engine.live.keys import Keys, new_keys

SILENT, NOISY = 1_000, 200
MOST_SLOWER = 0.2
HERE = Path(__file__).resolve().parent


def bad_peers(trial: Trial) -> str:
    keys = new_keys(trial.folder / "keys")
    tried = sum(each_kind(link, keys, 1 if trial.quick else 20) for link in LINKS)
    blocks, trips = (2, 2_000) if trial.quick else (9, 10_000)
    slower = {link: beside_a_crowd(link, keys, blocks, trips) for link in ("market", "orders")}
    told = ", ".join(f"{link} p99 {us:.0f} us {more:+.0%}" for link, (us, more) in slower.items())
    if not trial.quick:
        assert max(more for _, more in slower.values()) < MOST_SLOWER, f"a good client is slower beside a crowd: {told}"
    return f"{tried} bad peers of 8 kinds at 4 sockets got 0 bytes and 0 orders in; beside a crowd of 1,200: {told}"


def each_kind(link: str, keys: Keys, times: int) -> int:
    """Every kind at one socket; how many that were."""
    tried = 0
    for _ in range(times):
        for kind in ZMQ_PEERS:
            with served(link, keys) as one:
                good, bad = one.good_client(), kind(one)
                assert bad.came_in() is False, f"{link}: {kind.__name__} came in"
                assert one.is_served(good), f"{link}: beside {kind.__name__} a good client is not served"
                assert one.door is None or one.door.receive() is None, f"{link}: {kind.__name__} was heard"
                assert bad.socket.poll(50) == 0, f"{link}: {kind.__name__} was sent something"
                tried += 1
    with served(link, keys) as one:
        for seed in range(5 * times):
            assert len(answer_to(one.endpoint, garbage(seed))) <= GREETING, f"{link}: garbage {seed} got an answer"
        assert one.door is None or one.door.receive() is None, f"{link}: garbage was heard"
    return tried + 5 * times


def beside_a_crowd(link: str, keys: Keys, blocks: int, trips: int) -> tuple[float, float]:
    """(us, share): median of the blocks' 99th percentiles without the crowd, and how much more it is with it."""
    alone, crowded = [], []
    with served(link, keys) as one:
        good = one.good_client()
        for _ in range(blocks):
            alone.append(p99_us(one, good, trips))
            with crowd(one.endpoint):
                crowded.append(p99_us(one, good, trips))
        assert one.door is None or not one.door.counters, f"{link}: the crowd was heard"
    return statistics.median(alone), statistics.median(crowded) / statistics.median(alone) - 1


def p99_us(one: Served, client: zmq.Socket, trips: int) -> float:
    """Of market data to a client, or of an order and its answer."""
    took = []
    while receive_one(client):
        pass
    for _ in range(trips):
        begun = time.perf_counter()
        if one.door:
            client.send(MARK)
            frame = one.heard()
            assert frame
            assert one.door.send(frame.peer, MARK) == "sent"
        else:
            one.socket.send(MARK)
        assert client.poll(5_000), "a good client was not served"
        assert receive_one(client) == MARK
        took.append(time.perf_counter() - begun)
    return 1e6 * statistics.quantiles(took, n=100)[98]


@contextmanager
def crowd(endpoint: str) -> Iterator[None]:
    """1,200 strangers, for a while; then what they got is looked at."""
    command = [sys.executable, str(HERE / "strangers.py"), endpoint, str(SILENT), str(NOISY)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n", "the crowd did not come together"
    yield
    told = json.loads(process.communicate()[0])
    assert told["beyond"] == 0, f"a stranger was told {told['most']} bytes"


if __name__ == "__main__":
    main(bad_peers)
