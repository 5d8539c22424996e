"""F29: half an hour of 50,000 rows a second, encrypted, to eight subscribers; nothing is lost, and nothing grows.

The processes are those of `python -m benchmarks.live stream`; their memory, open files and threads are looked at each
second.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
from procedure import Trial, main

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import live

LEAST = 0.98  # of the rows that were due: what a subscriber's last second may lack
MOST_MIB = 32  # more than after the first minute
MOST_MIB_AN_HOUR = 1.0  # slope from the second half on, in the whole form


def soak(trial: Trial) -> str:
    seconds = 20 if trial.quick else 1_800
    wires = live.session(trial.fresh("session"), 5841)
    told, results = live.SPAWN.Queue(), live.SPAWN.Queue()
    arguments = (str(trial.folder / "feed"), wires, live.RATE, None, 1_000, live.BATCH, told)
    feed = live.SPAWN.Process(target=live.feed, args=arguments)
    feed.start()
    told.get()
    crowd = [
        live.SPAWN.Process(target=live.subscriber, args=(n, wires, float(seconds), None, results), daemon=True)
        for n in range(live.SUBSCRIBERS)
    ]
    for one in crowd:
        one.start()
    seen = watch([feed, *crowd], seconds, results)
    found = [results.get(timeout=60) for _ in crowd]
    feed.terminate()
    feed.join(10)
    for number, rows, _, counted, _, _, counters, _ in found:
        assert rows == counters["ROWS"], f"subscriber {number}: {rows} rows taken, {counters['ROWS']} handed on"
        assert counters.get("GAP", 0) <= 1, f"subscriber {number}: {counters['GAP']} gaps; one is joining"
        assert rows >= LEAST * live.RATE * counted, f"subscriber {number}: {rows} rows in {counted:.0f} s"
    return f"{sum(one[1] for one in found):,} rows taken in {seconds} s, none missing; {grown(seen, trial.quick)}"


def watch(processes: list, seconds: int, results) -> np.ndarray:
    """(seconds, processes, 3): MiB, open files and threads, until the first subscriber is done."""
    seen, until = [], time.monotonic() + seconds + 60
    while results.empty() and time.monotonic() < until:
        seen.append([look(one.pid) for one in processes])
        time.sleep(1)
    return np.array(seen[:-2])  # some may be ending


def look(pid: int) -> tuple[float, int, int]:
    at = Path(f"/proc/{pid}")
    return live.resident(pid), len(os.listdir(at / "fd")), len(os.listdir(at / "task"))


def grown(seen: np.ndarray, is_short: bool) -> str:
    """What grew after the first minute, or in the last third of less, when everybody is there."""
    warm = seen[2 * len(seen) // 3 if is_short else 60 :]
    most = float((warm[-1, :, 0] - warm[0, :, 0]).max())
    assert most < MOST_MIB, f"a process grew by {most:.1f} MiB"
    for what, name in ((1, "open files"), (2, "threads")):
        assert (warm[:, :, what] == warm[0, :, what]).all(), f"{name} changed: {warm[0, :, what]}, {warm[-1, :, what]}"
    half = warm[len(warm) // 2 :, :, 0]
    slope = float(np.polyfit(np.arange(len(half)), half, 1)[0].max()) * 3_600
    assert is_short or slope < MOST_MIB_AN_HOUR, f"a process grows by {slope:.2f} MiB an hour"
    told = f"grew by {most:.1f} MiB at most" + ("" if is_short else f", at the end by {slope:.2f} MiB an hour")
    return f"memory {told}; open files and threads stayed the same"


if __name__ == "__main__":
    main(soak)
