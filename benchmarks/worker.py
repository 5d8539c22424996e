"""A process that runs workloads when told to, so that several engines can take turns on one machine.

The driver writes a workload's name as a line to the worker's standard input and reads one line of JSON back; between
two lines the worker sleeps. Standard library only: workers run in the environment of the engine that they measure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
Workload = Callable[[], tuple[Callable[[], Any], int]]  # prepares, untimed, and gives what to time and its rows


def serve(workloads: Mapping[str, Workload]) -> None:
    """Answer names from standard input with {"seconds", "rows", "info"} until it closes."""
    for line in sys.stdin:
        work, rows = workloads[line.strip()]()
        start = time.perf_counter()
        info = work()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "rows": rows, "info": info}), flush=True)


class Worker:
    """The driver's end: ``run(name)`` gives the measurement; ``with`` ends the process."""

    def __init__(self, python: str, module: str) -> None:
        self.module = module
        command = [python, "-m", module]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def start(self, name: str) -> None:
        """Ask for a workload without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Wait for what was started."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended with exit code {self._process.wait()}; its message is above")
        return json.loads(line)

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def run(self, name: str) -> dict[str, Any]:
        """Measure one workload once."""
        self.start(name)
        return self.finish()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
