"""What all fault procedures share: `--quick` and `--seed`, one line of result, and an exit code.

A script gives a function of its `Trial` that returns what it found, in a few words; `Skipped` says why a machine
cannot run it, and an `AssertionError` is a promise that does not hold. Exit codes: 0 held, 1 broken, 77 skipped.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SKIPPED = 77
LINE = "{name}: {verdict}; seed {seed}; {found}"


class Skipped(Exception):
    """This machine cannot run the procedure."""


@dataclass
class Trial:
    """How one procedure is run."""

    quick: bool
    seed: int
    folder: Path  # empty, on a local disk, removed afterwards
    rng: random.Random

    def fresh(self, name: str) -> Path:
        """An empty folder of that name."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def main(run: Callable[[Trial], str], *, within: Path | None = None) -> None:
    """Run a procedure as a script, in a folder ``within`` that one, or in the system's temporary folder."""
    arguments = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    arguments.add_argument("--quick", action="store_true", help="a sample, in under a minute")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    name = Path(sys.argv[0]).stem
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=within) as folder:
        trial = Trial(given.quick, given.seed, Path(folder), random.Random(given.seed))
        try:
            verdict, found, code = "held", run(trial), 0
        except Skipped as why:
            verdict, found, code = "skipped", str(why), SKIPPED
        except AssertionError as broken:
            verdict, found, code = "BROKEN", str(broken), 1
    print(LINE.format(name=name, verdict=verdict, seed=given.seed, found=" ".join(found.split())))
    sys.exit(code)


def needs(*programs: str) -> None:
    """Skip where a program is not installed, or strace may not trace."""
    for program in programs:
        if shutil.which(program) is None:
            raise Skipped(f"{program} is not installed")
    if "strace" in programs and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
        raise Skipped("strace may not trace here")


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A disk of a few MiB at an empty folder."""
    needs("mount", "umount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        raise Skipped(f"no disk can be mounted here ({mounted.stderr.decode().strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of a small disk."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True, capture_output=True)


def positions(size: int, count: int | None, rng: random.Random) -> Iterable[int]:
    """Bytes of a file of that size: ``count`` of them at random, or every one."""
    return range(size) if count is None else sorted(rng.randrange(size) for _ in range(count))
