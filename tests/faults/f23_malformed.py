"""F23: damaged messages of every type, ten million each in the whole form, are refused, and nothing else happens.

Golden bytes are cut, stretched, flipped and put together anew: extra and missing fields, wrong tags, 2^64-1, NaN, bad
UTF-8, nesting, forged lengths. What passes a decoder goes on to the cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from procedure import Trial, main

FUZZ = Path(__file__).resolve().parent.parent / "live" / "fuzz_wire.py"


def malformed(trial: Trial) -> str:
    each = 10_000 if trial.quick else 10_000_000
    command = [sys.executable, str(FUZZ), "--messages", str(each), "--seed", str(trial.seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    lines = [line.split() for line in done.stdout.splitlines()[2:]]
    assert lines, "no type was tried"
    slowest, grown = max(float(words[-3]) for words in lines), max(float(words[-2]) for words in lines)
    return f"{len(lines)} types, {each:,} messages each: slowest {slowest} ms, memory {grown:+} MiB at most"


if __name__ == "__main__":
    main(malformed)
