"""What the live path costs: ``python -m benchmarks.live [WHAT ...] [--seconds S]`` prints, and adds to RESULTS.jsonl.

``stream``    a feed of 50,000 rows a second in real time, CURVE, eight subscribers in processes of their own: gaps
              (the first is joining), feed to handler in microseconds, growth of memory after the first minute
``single``    the same with one subscriber
``unpaced``   one subscriber, as fast as it goes, batches of 64
``orders``    a program's order to ``Received`` at a paper broker, with and without a commit to disk
``restart``   a broker with a million records on disk: from ``exec`` until it has repeated them, and may trade
``bare``      the same eight subscribers on a bare pyzmq PUB without numbers or recovery: what the peer loses and costs

Every process is pinned to nothing; the machine's cores and load are printed beside the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from engine.events import Timer
from engine.instruments import Instrument
from engine.live import messages as m
from engine.live.keys import new_keys
from engine.live.receiver import StreamReceiver
from engine.live.session import Wires
from engine.live_config import Live
from engine.tape import ROW, Flag, Kind, Manifest

SUBSCRIBERS = 8
RATE = 50_000  # rows a second
BATCH = 64  # rows of a batch at most, as `tickwright publish` has it
MOST_US = 100_000  # delays are counted by the microsecond up to here: a list of them would grow, and that is measured
BURST = 64  # frames taken before the other socket has its turn, as the roles do
START = 1_700_000_000_000_000_000
SPAWN = mp.get_context("spawn")
OUT = Path(__file__).parent / "RESULTS.jsonl"


class SteadySource:
    """Quotes of one instrument at a steady rate, made as they are read."""

    panels: dict[str, Any] = {}
    content = ""
    total: int | None = None

    def __init__(self, rate: int) -> None:
        self.average_days: dict[str, Any] = {}
        self._step = 1_000_000_000 // rate
        self.manifest = Manifest(name="steady", instruments=[Instrument(symbol="A")], sessions=[(START, 2 * START)])

    def read(self, first: int, n: int) -> np.ndarray:
        rows = np.zeros(n, ROW)
        number = np.arange(first, first + n)
        rows["ts_event"] = rows["ts_recv"] = START + number * self._step
        rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
        rows["price"], rows["price2"] = 10_000 + number % 7, 10_100 + number % 7
        rows["size"], rows["size2"] = 1 + number % 100, 1 + number % 90
        return rows

    def promise(self, ts: int) -> int:
        """No row comes later than it should."""
        return ts


class CountedSource(SteadySource):
    """The same, so many rows of it, once somebody is there."""

    def __init__(self, rate: int, total: int) -> None:
        super().__init__(rate)
        self.total = self._most = total
        self.is_awaited: Callable[[], bool] = lambda: False

    def read(self, first: int, n: int) -> np.ndarray:
        return super().read(first, max(0, min(n, self._most - first)) if self.is_awaited() else 0)


# --- a feed and its subscribers


def feed(folder: str, live: Live, rate: int, total: int | None, speed: int, batch: int, told: Any) -> None:
    """Publish until terminated; tell memory each second."""
    from engine.live.feed_role import FeedRole, Pacing
    from engine.live.feed_state import StateFile

    source = SteadySource(rate) if total is None else CountedSource(rate, total)
    wires = Wires(live, "feed")
    role = FeedRole(
        source, StateFile(Path(folder), stream="steady", market="steady"), wires, Pacing(speed=speed, batch_rows=batch)
    )
    if isinstance(source, CountedSource):
        source.is_awaited = lambda: role.core.counters["answered"] > 0  # somebody has joined
    told.put(("feed", os.getpid()))
    role.run()


def subscriber(number: int, live: Live, seconds: float, total: int | None, results: Any) -> None:
    """Take rows for so long (or so many); the delays of each batch, in microseconds, from publication to handler."""
    wires = Wires(live)
    market, recovery = wires.client("market"), wires.client("recovery")
    receiver, poller = StreamReceiver(), zmq.Poller()
    for socket in (market, recovery):
        poller.register(socket, zmq.POLLIN)
    delays, rows, memory, began, asked_for = np.zeros(MOST_US + 1, np.int64), 0, [], 0.0, 0
    last, warm = time.monotonic(), 0
    cpu = time.process_time()
    while not (receiver.ended or (began and time.monotonic() - began > seconds)):
        for want in receiver.wants(time.monotonic_ns()):
            with contextlib.suppress(zmq.Again):  # the feed is not there yet: it is asked again
                recovery.send(m.encode(want), zmq.NOBLOCK)
        for socket, _ in poller.poll(100):
            is_market = socket is market
            for _ in range(BURST):
                try:
                    data = socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    break
                message = m.feed_message(data) if is_market else m.feed_reply(data)
                receiver.hear(time.monotonic_ns(), message)
                taken = receiver.take()
                if len(taken):
                    began = began or time.monotonic()
                    rows += len(taken)
                    asked_for += 0 if is_market else len(taken)
                    if is_market and isinstance(message, m.Batch) and message.n > 0:
                        delays[min(MOST_US, max(0, time.time_ns() - message.ts_pub) // 1_000)] += 1
                if not is_market:
                    break
        if time.monotonic() - last > 1:
            last = time.monotonic()
            memory.append(resident(os.getpid()))
            if len(memory) == 5:
                delays[:] = 0  # joining and catching up are not the steady state
                warm = rows
    counted = time.monotonic() - began
    spent = time.process_time() - cpu
    counters = {**receiver.counters, "ASKED_FOR": asked_for}
    results.put((number, rows, warm, counted, delays, memory, counters, spent))


def resident(pid: int) -> float:
    """MiB of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def session(folder: Path, first_port: int) -> Live:
    """Addresses on the loopback interface, and keys of their own."""
    new_keys(folder / "keys")
    links = ("feed", "recovery", "orders", "admin")
    ports: dict[str, Any] = {name: f"tcp://127.0.0.1:{first_port + n}" for n, name in enumerate(links)}
    return Live(**ports, keys_folder=str(folder / "keys"))


def stream(seconds: float, subscribers: int = SUBSCRIBERS) -> dict[str, Any]:
    """So many subscribers at 50,000 rows a second."""
    folder = Path(tempfile.mkdtemp())
    live, told, results = session(folder, 5811), SPAWN.Queue(), SPAWN.Queue()
    publisher = SPAWN.Process(target=feed, args=(str(folder / "feed"), live, RATE, None, 1_000, BATCH, told))
    publisher.start()
    told.get()
    crowd = [
        SPAWN.Process(target=subscriber, args=(n, live, seconds, None, results), daemon=True)
        for n in range(subscribers)
    ]
    for one in crowd:
        one.start()
    memory, began = [], time.monotonic()
    while (
        time.monotonic() - began < seconds + 15
        and any(one.is_alive() for one in crowd)
        and results.qsize() < subscribers
    ):
        memory.append(resident(publisher.pid or 0))
        time.sleep(1)
    found = [results.get(timeout=60) for _ in crowd]
    publisher.terminate()
    publisher.join(10)
    shutil.rmtree(folder, ignore_errors=True)
    delays = np.sum([one[4] for one in found], axis=0)
    return {
        "what": "stream",
        "subscribers": subscribers,
        "batches": int(delays.sum()),
        "seconds": seconds,
        "rows_a_second": [round((one[1] - one[2]) / max(1e-9, one[3] - 5)) for one in found],
        "gaps": [one[6].get("GAP", 0) for one in found],
        "rows_asked_for": [one[6]["ASKED_FOR"] for one in found],
        "requests": [one[6].get("REQUESTS", 0) for one in found],
        "p50_us": percentile(delays, 50),
        "p99_us": percentile(delays, 99),
        "p999_us": percentile(delays, 99.9),
        "growth_mib": [round(grown(one[5]), 1) for one in found],
        "feed_growth_mib": round(grown(memory), 1),
        "subscriber_cpu": round(sum(one[7] for one in found) / len(found) / seconds, 3),
    }


def percentile(counts: np.ndarray, q: float) -> int:
    """The least whole number of microseconds that ``q`` percent of the delays lie at or below."""
    return int(np.searchsorted(np.cumsum(counts), counts.sum() * q / 100))


def grown(memory: list[float]) -> float:
    """MiB since the first minute, or since the first fifth of a shorter run."""
    return max(0.0, memory[-1] - memory[min(60, len(memory) // 5)]) if memory else 0.0


def unpaced(seconds: float) -> dict[str, Any]:
    """One subscriber, as fast as it goes."""
    total, folder = 5_000_000, Path(tempfile.mkdtemp())
    live, told, results = session(folder, 5821), SPAWN.Queue(), SPAWN.Queue()
    taker = SPAWN.Process(target=subscriber, args=(0, live, 600.0, total, results), daemon=True)
    taker.start()
    time.sleep(3)  # it waits for the feed
    publisher = SPAWN.Process(target=feed, args=(str(folder / "feed"), live, RATE, total, 0, 64, told))
    publisher.start()
    _, rows, _, counted, _, _, counters, spent = results.get(timeout=600)
    publisher.terminate()
    publisher.join(10)
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "what": "unpaced",
        "rows": rows,
        "rows_a_second": round(rows / counted),
        "rows_asked_for": counters["ASKED_FOR"],
        "subscriber_cpu_s": round(spent, 2),
    }


def bare_publisher(port: int, seconds: float, told: Any) -> None:
    """The peer: a PUB socket with its defaults."""
    socket = zmq.Context().socket(zmq.PUB)
    socket.bind(f"tcp://127.0.0.1:{port}")
    told.put(True)
    time.sleep(3)
    rows = SteadySource(RATE).read(0, BATCH).tobytes()
    began, sent = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds + 5:
        while sent * BATCH < now * RATE:
            socket.send(time.time_ns().to_bytes(8, "little") + sent.to_bytes(8, "little") + rows)
            sent += 1
        time.sleep(0.0005)


def bare_subscriber(number: int, port: int, seconds: float, results: Any) -> None:
    """Counts what is missing."""
    socket = zmq.Context().socket(zmq.SUB)
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.subscribe(b"")
    delays, lost, expected, began = [], 0, -1, 0.0
    while not began or time.monotonic() - began < seconds:
        data = socket.recv()
        at = int.from_bytes(data[8:16], "little")
        began = began or time.monotonic()
        lost += at - expected if expected >= 0 else 0
        expected = at + 1
        delays.append((time.time_ns() - int.from_bytes(data[:8], "little")) / 1_000)
    results.put((number, lost * BATCH, np.array(delays, np.float32)))


def bare(seconds: float) -> dict[str, Any]:
    """Eight subscribers on a bare PUB, without keys."""
    told, results = SPAWN.Queue(), SPAWN.Queue()
    publisher = SPAWN.Process(target=bare_publisher, args=(5831, seconds, told), daemon=True)
    publisher.start()
    told.get()
    crowd = [
        SPAWN.Process(target=bare_subscriber, args=(n, 5831, seconds, results), daemon=True) for n in range(SUBSCRIBERS)
    ]
    for one in crowd:
        one.start()
    found = [results.get(timeout=seconds + 60) for _ in crowd]
    delays = np.concatenate([one[2] for one in found])
    return {
        "what": "bare",
        "seconds": seconds,
        "rows_lost": [one[1] for one in found],
        "p50_us": float(np.percentile(delays, 50)),
        "p99_us": float(np.percentile(delays, 99)),
    }


# --- orders


def broker(folder: str, live: Live, durable: bool) -> None:
    """A paper broker with one account for a program, run by its shell."""
    from engine.broker.impact import NoImpact
    from engine.broker.models import Account, BrokerConfig
    from engine.config import Config
    from engine.live.broker_role import BrokerRole
    from engine.live.durable_log import DurableLog
    from engine.live.role_disk import RoleDisk
    from engine.live.segments import Segments
    from engine.live.session import broker_links
    from engine.live.shell import Shell

    live = msgspec.structs.replace(live, clients=(Account(name="desk"),))
    config = Config(name="orders", strategies=[], broker=BrokerConfig(impact=NoImpact()), live=live)
    wires = Wires(live, "broker")
    at = Path(folder)
    with (
        DurableLog.open(at / "log.sqlite", durable=durable) as log,
        Segments(at / "segments", durable=durable) as segments,
    ):
        role = BrokerRole(config, may_trade=wires.may_trade)
        Shell(role, broker_links(wires), disk=RoleDisk(log, segments)).run()


def orders(seconds: float) -> list[dict[str, Any]]:
    """An order at a time from a program to a broker on a feed of 1,000 rows a second."""
    return [_orders(seconds, durable, port) for durable, port in ((False, 5841), (True, 5851))]


def _orders(seconds: float, durable: bool, port: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(dir="."))  # on a disk, not in memory
    private = Path(tempfile.mkdtemp())  # keys do not lie in a repository
    live, told = session(private, port), SPAWN.Queue()
    publisher = SPAWN.Process(target=feed, args=(str(folder / "feed"), live, 1_000, None, 1_000, 16, told))
    venue = SPAWN.Process(target=broker, args=(str(folder), live, durable))
    publisher.start()
    venue.start()
    try:
        delays = np.array(_ask(live, min(seconds, 30.0)))
    finally:
        for process in (venue, publisher):
            process.kill()
            process.join(10)
        for used in (folder, private):
            shutil.rmtree(used, ignore_errors=True)
    return {
        "what": "orders",
        "durable": durable,
        "orders": len(delays),
        "p50_us": float(np.percentile(delays, 50)),
        "p99_us": float(np.percentile(delays, 99)),
        "max_us": float(delays.max()),
    }


def _ask(live: Live, seconds: float) -> list[float]:
    socket = Wires(live).client("orders")
    hello = m.Hello(m.PROTOCOL, m.schema_digest(), "desk", None, "", -1, 0, False)
    delays: list[float] = []
    is_welcome, began, sent = False, 0.0, 0
    while not began or time.monotonic() - began < seconds:
        if not is_welcome:
            try:
                socket.send(m.encode(hello))
            except zmq.Again:
                time.sleep(0.05)
                continue
        cid = f"o{sent}"
        if is_welcome:
            order = m.Order(0, 1, 1, 0, 0, 9_000, 1, 0, 0, 0)
            at = time.perf_counter_ns()
            socket.send(m.encode(m.Orders(cid, [order, m.CancelAll(-1)])))
        while socket.poll(300):
            answer = m.broker_reply(socket.recv())
            is_welcome = is_welcome or isinstance(answer, m.Welcome)
            if isinstance(answer, m.Received) and answer.cid == cid:
                delays.append((time.perf_counter_ns() - at) / 1_000)
                sent += 1
                began = began or time.monotonic()
                break
            if isinstance(answer, m.Welcome):
                break
        time.sleep(0.002)
    return delays


# --- starting again


def restart(seconds: float) -> dict[str, Any]:
    """A session of a million records, then a broker process that starts on what it left."""
    folder = Path(tempfile.mkdtemp(dir="."))
    try:
        records, entries, rows = leave_session(folder, 1_000_000)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", f"from benchmarks.live import come_back; come_back({str(folder)!r})"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            took.append((time.perf_counter() - began, float(done.stdout)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "what": "restart",
        "records": records,
        "entries": entries,
        "rows": rows,
        "from_exec_s": [round(whole, 2) for whole, _ in took],
        "of_that_repeating_s": [round(inside, 2) for _, inside in took],
    }


def busy_config() -> Any:
    """One strategy that asks for something at each wake."""
    from engine.broker.impact import NoImpact
    from engine.broker.models import Account, BrokerConfig
    from engine.config import Config, StrategyConfig

    entry = StrategyConfig(strategy="strategies.twap:Twap", account=Account(name="main"))
    return Config(name="restart", strategies=[entry], broker=BrokerConfig(impact=NoImpact()))


def leave_session(folder: Path, wanted: int) -> tuple[int, int, int]:
    """Run a broker's core by hand until it has made so many records, and leave its files as a kill would."""
    from engine.live.broker_role import BrokerRole
    from engine.live.durable_log import DurableLog
    from engine.live.role import Append, Committed, Frame, KeepRows, Send, Tick
    from engine.live.segments import Segments

    source, role = SteadySource(1_000), BrokerRole(busy_config())
    market = m.Market(
        m.PROTOCOL, m.schema_digest(), "steady", 1, 0, False, 0, "", msgspec.json.encode(source.manifest), b"{}", []
    )
    terms = m.WakeTerms(10_000_000, False, False, False, False, False, False, 0, (), False, False)
    hello = m.Hello(m.PROTOCOL, m.schema_digest(), "main", terms, "", -1, 0, True)
    asked: list[m.Request] = [
        m.Order(0, 1, 1, 3, 0, 10_200, 1, 0, 0, 0),
        m.Order(0, -1, 1, 3, 0, 9_900, 1, 0, 0, 0),
    ] * 8
    inbox: list[Any] = [Frame("recovery", b"", "", m.encode(market)), Frame("orders", b"r", "", m.encode(hello))]
    now, next_row, count = 1, 0, 0
    with (
        DurableLog.open(folder / "log.sqlite", durable=False) as log,
        Segments(folder / "segments", durable=False) as segments,
    ):
        while role.core is None or role.core.records.count < wanted:
            now += 1_000
            if not inbox and (role.core is None or role.core.waiting is None):
                rows = source.read(next_row, 4_096).tobytes()
                batch = m.Batch("steady", 1, next_row, 4_096, 0, rows)
                inbox, next_row = [Frame("market", b"", "", m.encode(batch))], next_row + 4_096
            for one in role.advance(now, inbox.pop(0) if inbox else Tick()):
                if isinstance(one, Append):
                    count = log.append(one.kind, one.payload)
                elif isinstance(one, KeepRows):
                    segments.append(one.rows)
                elif isinstance(one, Send) and one.link == "orders":
                    said = m.broker_reply(one.data)
                    if isinstance(said, m.Watermark):
                        is_timer = isinstance(said.event, Timer)
                        answer = m.Progress(said.wake, asked if is_timer else [])
                        inbox.append(Frame("orders", b"r", "", m.encode(answer)))
            if count > role.committed:
                log.commit()
                inbox.insert(0, Committed(count))
        return role.core.records.count, count, segments.rows


def come_back(folder: str) -> None:
    """What a broker process does before it may trade again; prints the seconds without the imports."""
    from engine.live.broker_role import BrokerRole
    from engine.live.durable_log import DurableLog
    from engine.live.segments import Segments

    began = time.perf_counter()
    with DurableLog.open(Path(folder) / "log.sqlite") as log, Segments(Path(folder) / "segments") as segments:
        entries = [(entry.kind, entry.payload) for entry in log.entries()]
        role = BrokerRole(busy_config(), log_entries=entries, rows=segments.read, kept_rows=segments.rows)
        assert role.core is not None
        assert role.core.records.count >= 1_000_000
    print(time.perf_counter() - began)


MEASURES: dict[str, Callable[[float], Any]] = {
    "single": lambda seconds: stream(seconds, 1),
    "stream": stream,
    "unpaced": unpaced,
    "orders": orders,
    "restart": restart,
    "bare": bare,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *MEASURES], default=[], help="all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the stream; 300 for the committed figure")
    asked = parser.parse_args()
    for name in asked.what or MEASURES:
        load = os.getloadavg()[0]
        found = MEASURES[name](asked.seconds)
        for one in found if isinstance(found, list) else [found]:
            one |= {"cores": os.cpu_count(), "load_before": round(load, 2), "python": sys.version.split()[0]}
            line = json.dumps(one)
            print(line, flush=True)
            with OUT.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
