"""A process that runs workloads when told to, so that several engines can take turns on one machine.

The driver writes a workload's name as a line to the worker's standard input and reads one line of JSON back; between
two lines the worker sleeps. Standard library only: workers run in the environment of the engine that they measure.
"""

from __future__ import annotations

import json
import re
import select
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
    """The driver's end of one worker; ``with`` ends the process."""

    def __init__(self, python: str, module: str) -> None:
        self.module = module
        command = [python, "-m", module]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    def run(self, workload: str) -> dict[str, Any]:
        """Measure one workload once."""
        self._input.write(workload + "\n")
        self._input.flush()
        return self._answer()

    def private_mb(self, workload: str) -> float:
        """Peak of RssAnon, in MB of 10^6 bytes, while a workload runs: what is not shared with the page cache."""
        self._input.write(workload + "\n")
        self._input.flush()
        peak = 0
        while not select.select([self._output], [], [], 0.002)[0]:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            peak = max(peak, int(re.findall(r"RssAnon:\s*(\d+) kB", status)[0]))
        self._answer()
        return peak * 1024 / 1e6

    def _answer(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended with exit code {self._process.wait()}; its message is above")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._process.wait()
