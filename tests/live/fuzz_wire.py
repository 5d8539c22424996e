"""Damage messages of every type, by the million: a decoder refuses them with a reason, and nothing else ever happens.

    make fuzz MESSAGES=10000000

What a decoder lets pass goes on to the cores that take such messages (``wire_targets``). Asserted for each type: no
other exception, no message that takes longer than 100 ms, and less than 16 MiB of memory kept. A failure names the
frame in hex and the seed.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from wire_mutations import CHUNK, Mutations
from wire_targets import LIFE, READERS, Reader, seeds

from engine.live import messages as m

HANG_NS = 100_000_000
GROWTH = 16 << 20  # bytes
WARM = 5 * CHUNK  # mutations before memory is measured
LINE = "{:<26}{:>12}{:>11}{:>12}{:>7}{:>12}{:>9}{:>12}"
PAGE = os.sysconf("SC_PAGE_SIZE")


class Outcome(NamedTuple):
    """What became of the mutations of one type."""

    mutations: int
    accepted: int
    refused: Counter[str]
    slowest_ns: (
        int  # to decode a message or to take it, of the processor; decoding is never said to be below NOTABLE_NS
    )
    seconds: float  # of the processor
    growth: int  # bytes of resident memory since the start


class Fault(AssertionError):
    """A message that did what none may do."""

    def __init__(self, frame: bytes, what: str) -> None:
        super().__init__(f"{what}\nframe: {frame.hex()}")


class Lives:
    """Readers of a kind, one after the other."""

    def __init__(self, make: Callable[[], Reader]) -> None:
        self._make, self._reader, self._left = make, make(), LIFE

    def take(self, frame: bytes, message: Any) -> None:
        self._left -= 1
        if not self._reader.take(frame, message):
            self._left = 0

    def renew(self) -> bool:
        """Another reader where this one has reached its end; whether it had."""
        if self._left > 0:
            return False
        del self._reader
        gc.collect()  # a market is large, and refers to itself
        self._reader, self._left = self._make(), LIFE
        return True


def fuzz(decoder: str, kind: str, count: int, *, seed: int = 1) -> Outcome:
    """Read ``count`` damaged messages of one type.

    Raises
    ------
    Fault
        If one of them does anything but pass or be refused, quickly and without keeping memory.
    """
    every = seeds()
    mutations = Mutations(
        every[decoder, kind],
        [frame for (other, _), frames in every.items() if other == decoder for frame in frames],
        seed ^ zlib.crc32(f"{decoder} {kind}".encode()),
    )
    gc.collect()
    gc.freeze()  # so that looking for what is left over costs no time
    try:
        readers = [Lives(make) for make in READERS[decoder]]
        return _read(mutations, f"{decoder} {kind}", getattr(m, decoder), readers, count)
    finally:
        gc.unfreeze()


def _read(mutations: Mutations, name: str, decode: m.Decoder, readers: list[Lives], count: int) -> Outcome:
    refused: Counter[str] = Counter()
    done = accepted = slowest = before = 0
    started = time.process_time()
    while done < count:
        if done == WARM:
            before = resident()
        passed, longest = _chunk(mutations, decode, readers, refused)
        accepted += passed
        slowest = max(slowest, longest)
        done += CHUNK
    growth = resident() - before if done > WARM else 0
    if growth >= GROWTH:
        raise Fault(b"", f"{name}: {growth >> 20} MiB more in use after {done} messages")
    return Outcome(done, accepted, refused, slowest, time.process_time() - started, growth)


def _chunk(mutations: Mutations, decode: m.Decoder, readers: list[Lives], refused: Counter[str]) -> tuple[int, int]:
    """(accepted, longest time of one in ns) of some messages."""
    clock, processor, passed, longest, frame = time.perf_counter_ns, time.process_time_ns, 0, 0, b""
    last, mark = clock(), processor()
    try:
        for n, frame in enumerate(mutations.take()):
            if not n & 255:
                mark = processor()  # a dear call on some machines
            try:
                message = decode(frame)
            except m.BadMessage as error:
                refused[error.reason] += 1
            else:
                passed += 1
                for reader in readers:
                    reader.take(frame, message)
            now = clock()
            if now - last > longest:  # at most what the processor did for us: the machine may have done something else
                longest = max(longest, min(now - last, processor() - mark))
                if longest > HANG_NS:
                    raise Fault(frame, f"takes {longest / 1e6:.0f} ms")
                now = clock()
            if sum(reader.renew() for reader in readers):  # not the message's doing
                mark, now = processor(), clock()
            last = now
    except Fault:
        raise
    except Exception as error:
        raise Fault(frame, f"{type(error).__name__}: {error}") from error
    return passed, longest


def resident() -> int:
    """Bytes of memory that this process has in use."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def main() -> None:
    """Fuzz every type, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="of each type")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="types whose name holds this")
    asked = parser.parse_args()
    print(f"seed {asked.seed}; rates are of processor time", flush=True)
    print(LINE.format("type", "mutations", "accepted", "malformed", "other", "slowest ms", "RSS MiB", "per second"))
    for decoder, kind in seeds():
        name = f"{decoder} {kind}"
        if asked.only in name:
            print(line(name, fuzz(decoder, kind, asked.messages, seed=asked.seed)), flush=True)


def line(name: str, found: Outcome) -> str:
    """An outcome for people."""
    malformed = found.refused["MALFORMED"]
    return LINE.format(
        name,
        f"{found.mutations:,}",
        f"{found.accepted:,}",
        f"{malformed:,}",
        f"{found.refused.total() - malformed:,}",
        f"{found.slowest_ns / 1e6:.1f}",
        f"{found.growth / 2**20:+.1f}",
        f"{found.mutations / found.seconds:,.0f}",
    )


if __name__ == "__main__":
    main()
