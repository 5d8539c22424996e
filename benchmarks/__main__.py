"""Measure the engine and its peer side by side, and write the table: ``python -m benchmarks``.

1. The tapes are made where they are missing (``tape.py``), and so is the peer's environment.
2. Each of ``--rounds`` rounds runs every workload on every engine in turn, one at a time, on the same events, with the
   reference loop in between: a machine that slows down slows all of them down.
3. Peak private memory is read in fresh processes; the command line is timed from outside.
4. Every measurement goes to ``RESULTS.jsonl``, the table with its conditions to ``RESULTS.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import tape
from benchmarks.table import ROWS, Row, render
from benchmarks.worker import ROOT, Worker
from engine.kernel_cache import ensure
from engine.tape import Tape

HERE = Path(__file__).parent
OURS, PEER = "benchmarks.engine_worker", "benchmarks.hftbacktest_worker"
NAMES = {OURS: "tickwright", PEER: "hftbacktest"}


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", action="append", choices=[row.ours for row in ROWS], help="this workload; may be repeated"
    )
    parser.add_argument("--no-peer", action="store_true", help="measure our engine alone")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of RESULTS.md and RESULTS.jsonl")
    asked = parser.parse_args()

    ensure()
    tape.prepare()
    rows = [row for row in ROWS if not asked.only or row.ours in asked.only]
    conditions = describe_machine()
    peer = None if asked.no_peer else peer_python()
    measured = measure(rows, asked.rounds, peer)
    if not asked.only:
        measured += measure_memory(peer) + measure_commands(asked.rounds)
    asked.out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(conditions), *(json.dumps(one) for one in measured)]
    (asked.out / "RESULTS.jsonl").write_text("\n".join(lines) + "\n")
    (asked.out / "RESULTS.md").write_text(render(rows, measured, conditions))
    print((asked.out / "RESULTS.md").read_text())


def measure(rows: list[Row], rounds: int, peer: str | None) -> list[dict[str, Any]]:
    """Every workload ``rounds`` times, the engines taking turns; one dictionary for each engine and workload."""
    turns = [(OURS, row.ours) for row in rows]
    if peer:
        turns += [(PEER, name) for row in rows for name in (row.compiled, row.python) if name]
    turns += [(engine, "open") for engine in ((OURS, PEER) if peer else (OURS,))]
    turns.sort(key=lambda turn: turn[1].removesuffix("_python"))  # a workload's engines one after the other
    seconds: dict[tuple[str, str], list[float]] = {turn: [] for turn in turns}
    reference: dict[tuple[str, str], list[float]] = {turn: [] for turn in turns}
    last: dict[tuple[str, str], dict[str, Any]] = {}
    with ExitStack() as stack:
        workers = {OURS: stack.enter_context(Worker(sys.executable, OURS))}
        if peer:
            workers[PEER] = stack.enter_context(Worker(peer, PEER))
        for engine, name in [(OURS, "reference"), *turns]:  # unmeasured: compiles, and fills the page cache
            workers[engine].run(name)
        for n in range(rounds):
            for turn in turns:
                engine, name = turn
                calibration = workers[OURS].run("reference")
                last[turn] = workers[engine].run(name)
                seconds[turn].append(last[turn]["seconds"])
                reference[turn].append(calibration["rows"] / calibration["seconds"])
                print(f"{n + 1}  {NAMES[engine]:12} {name:18} {last[turn]['seconds']:8.3f} s", file=sys.stderr)
    return [
        {
            "engine": NAMES[engine],
            "what": name,
            "rows": last[engine, name]["rows"],
            "seconds": [round(second, 5) for second in seconds[engine, name]],
            "reference_rows_per_s": round(max(reference[engine, name])),
            "info": last[engine, name]["info"],
        }
        for engine, name in turns
    ]


def measure_memory(peer: str | None) -> list[dict[str, Any]]:
    """Peak private memory of the maker on one and on ten million rows, each in a fresh process."""
    found = []
    for engine, name in ((OURS, "maker_1m"), (OURS, "maker"), (PEER, "maker")):
        if engine == OURS or peer:
            with Worker(sys.executable if engine == OURS else str(peer), engine) as worker:
                found.append(
                    {"engine": NAMES[engine], "what": f"memory {name}", "private_mb": round(worker.private_mb(name), 1)}
                )
    return found


def measure_commands(rounds: int) -> list[dict[str, Any]]:
    """Seconds of the command line from outside: help, a demo with an empty kernel cache, and another after it."""
    command = shutil.which("tickwright", path=str(Path(sys.executable).parent)) or shutil.which("tickwright")
    if command is None:
        print("tickwright is not installed beside this interpreter; the command line is not measured", file=sys.stderr)
        return []
    runs: dict[str, list[float]] = {"tickwright --help": [], "tickwright demo, first": [], "tickwright demo, later": []}
    for n in range(rounds):
        with tempfile.TemporaryDirectory() as folder:  # its kernel cache too, so that the first demo compiles
            environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": folder}
            for name, taken in runs.items():
                start = time.perf_counter()
                arguments = [command, name.removeprefix("tickwright ").split(",")[0]]
                subprocess.run(arguments, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
                taken.append(round(time.perf_counter() - start, 3))
                print(f"{n + 1}  {name:31} {taken[-1]:8.3f} s", file=sys.stderr)
    return [{"engine": "tickwright", "what": name, "seconds": taken} for name, taken in runs.items()]


def peer_python() -> str:
    """The interpreter with hftbacktest: ``$TICKWRIGHT_BENCH_HFT``, or one that is made under ``_data``."""
    if chosen := os.environ.get("TICKWRIGHT_BENCH_HFT"):
        return chosen
    folder = tape.DATA / "hftbacktest"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        requirements = str(HERE / "requirements-hftbacktest.txt")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    return str(python)


def describe_machine() -> dict[str, Any]:
    """What a figure means nothing without."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": f"{os.cpu_count()} x {cpu[1] if cpu else platform.processor()}",
        "memory_gb": round(int(memory[1]) / 1e6) if memory else 0,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numba", "numpy", "msgspec")},
        "peer": (HERE / "requirements-hftbacktest.txt").read_text().split()[-3:],
        "commit": commit.stdout.strip(),
        "tape": Tape.load(tape.DATA / "ten_million").manifest.content,
        "hundred": Tape.load(tape.DATA / "hundred").manifest.content,
    }


if __name__ == "__main__":
    main()
