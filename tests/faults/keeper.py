"""A process that keeps things, for the procedures to disturb: `python keeper.py log|segments PATH`.

It appends entries, or rows, that can be told from their number alone, commits group by group, and prints the number
up to which each commit made it safe: what is printed must be there ever after. Exit codes: 0 done, 74 the disk failed,
78 what is on disk cannot be trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import RunError
from engine.live import durable_log, segments
from engine.live.durable_log import DurableLog, Entry, LogDamaged
from engine.live.segments import Segments
from engine.tape import ROW, Flag, Kind

FAILED, DAMAGED = 74, 78
GROUP = 7  # entries or rows of a commit
FOLD, SEGMENT_ROWS = 60_000, 50  # small, so that a short run goes through every step of a long one
KINDS = {"log": "log.sqlite", "segments": "rows"}  # and what is opened in the folder


def entry(number: int) -> Entry:
    """What entry ``number`` (from 1) says."""
    text = hashlib.shake_128(str(number).encode())
    return Entry(number, number % 256, text.digest(37 * number % 700))


def rows(first: int, n: int) -> np.ndarray:
    """Rows ``first`` and on (from 0)."""
    some, number = np.zeros(n, ROW), np.arange(first, first + n)
    some["ts_event"] = some["ts_recv"] = number
    some["price"], some["size"] = number * 7919 % 100_003 + 1, number % 9 + 1
    some["kind"], some["flags"] = Kind.TRADE, Flag.LAST
    return some


def keep(kind: str, path: Path, commits: int, told: Callable[[int], object] = lambda number: None) -> None:
    """Open, commit so often, close."""
    durable_log.CHECKPOINT, segments.SEGMENT_ROWS = FOLD, SEGMENT_ROWS
    if kind == "log":
        with DurableLog.open(path / KINDS[kind]) as log:
            for _ in range(commits):
                for number in range(log.committed + 1, log.committed + 1 + GROUP):
                    log.append(*entry(number)[1:])
                told(log.commit())
    else:
        with Segments(path / KINDS[kind]) as kept:
            for _ in range(commits):
                kept.append(rows(kept.rows, GROUP).tobytes())
                told(kept.sync())


def count_kept(kind: str, path: Path) -> int:
    """How many are there; each is compared with what was written.

    Raises
    ------
    LogDamaged
        If they cannot be trusted.
    AssertionError
        If one is not what was written, unnoticed.
    """
    if kind == "log":
        with DurableLog.open(path / KINDS[kind], durable=False) as log:
            for found in log.entries():
                assert found == entry(found.number), f"entry {found.number} changed unseen"
            return log.committed
    with Segments(path / KINDS[kind], durable=False) as kept:
        assert kept.read(0, kept.rows).tobytes() == rows(0, kept.rows).tobytes(), "a row changed unseen"
        return kept.rows


@dataclass
class Outcome:
    """What a keeper did before it ended."""

    code: int
    told: int  # the last number that it printed
    errors: str


def run_keeper(kind: str, path: Path, commits: int, prefix: Sequence[str] = ()) -> Outcome:
    """Run a keeper to its end, under another program where ``prefix`` names one."""
    command = [*prefix, sys.executable, __file__, kind, str(path), "--commits", str(commits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    told = [int(line) for line in done.stdout.split()]
    assert told == sorted(told), "numbers went back"
    return Outcome(done.returncode, told[-1] if told else 0, done.stderr)


def kill_after(kind: str, path: Path, told: int) -> int:
    """Run a keeper and kill it once it has told of a number; the last one that it told of."""
    command = [sys.executable, __file__, kind, str(path), "--commits", str(1 << 40)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0
        while last < told:
            last = int(process.stdout.readline())
        process.kill()
        return max([last, *(int(line) for line in process.stdout.read().splitlines()[:-1])])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("kind", choices=KINDS)
    arguments.add_argument("path", type=Path)
    arguments.add_argument("--commits", type=int, default=40)
    given = arguments.parse_args()
    try:
        keep(given.kind, given.path, given.commits, lambda number: os.write(1, b"%d\n" % number))
    except LogDamaged as error:
        print(error, file=sys.stderr)
        sys.exit(DAMAGED)
    except RunError as error:
        print(error, file=sys.stderr)
        os._exit(FAILED)  # as a role does: nothing may run after the disk has failed


if __name__ == "__main__":
    main()
