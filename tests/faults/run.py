"""Run the fault procedures and keep what each found in RESULTS.md: `python tests/faults/run.py [--quick] [names...]`.

A procedure that held at this very commit, in this mode and with this seed, is not run again, so an interrupted night
goes on where it ended; `--again` runs it all the same. The exit code is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
SEEDS = {"f01_kill_broker": 20, "f02_kill_others": 20}  # of the whole form, where one seed is a piece of the procedure
HEAD = """# What the fault procedures found

One line a run, written by `make faults` (`QUICK=1` for samples). `held`: the promise holds; `BROKEN`: it does not;
`skipped`: the machine cannot run it, and why. A commit with `+` had changes besides.

| date | commit | procedure | mode | seed | seconds | result |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    scripts = {path.stem: path for path in sorted(HERE.glob("f[0-9][0-9]_*.py"))}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", help=f"of {', '.join(scripts)} (or how they begin); all if none")
    arguments.add_argument("--quick", action="store_true", help="samples, in minutes")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--seeds", type=int, default=0, help="how many, from --seed on")
    arguments.add_argument("--again", action="store_true", help="also what held already")
    given = arguments.parse_args()
    names = [name for name in scripts if not given.names or name.startswith(tuple(given.names))]
    if not names:
        sys.exit(f"no procedure begins with {' or '.join(given.names)}; there are {', '.join(scripts)}")
    if not RESULTS.exists():
        RESULTS.write_text(HEAD)
    codes = [
        run(scripts[name], given.quick, seed, given.again)
        for name in names
        for seed in range(given.seed, given.seed + (1 if given.quick else given.seeds or SEEDS.get(name, 1)))
    ]
    sys.exit(1 if any(codes) else 0)


def run(script: Path, quick: bool, seed: int, again: bool) -> bool:
    """Run one procedure and note the result; whether a promise is broken."""
    where = f"| {commit()} | {script.stem} | {'quick' if quick else 'full'} | {seed} |"
    if (
        "+ |" not in where
        and not again
        and any(where in line and "| held" in line for line in RESULTS.read_text().splitlines())
    ):
        print(f"{script.stem}: has been run; --again runs it again")
        return False
    begun = datetime.datetime.now(datetime.UTC)
    command = [sys.executable, str(script), "--seed", str(seed), *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    seconds = (datetime.datetime.now(datetime.UTC) - begun).total_seconds()
    line = done.stdout.strip().rpartition("\n")[2] or f"{script.stem}: BROKEN; ended with exit code {done.returncode}"
    result = line.removeprefix(f"{script.stem}: ").replace(f" seed {seed};", "", 1).replace("|", "/")
    with RESULTS.open("a") as file:
        file.write(f"| {begun:%Y-%m-%d} {where} {seconds:.0f} | {result} |\n")
    return done.returncode not in (0, 77)


def commit() -> str:
    """The commit that is tried, with a + if engine or procedures differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ":/engine", ":/tests/faults", ":!RESULTS.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


if __name__ == "__main__":
    main()
