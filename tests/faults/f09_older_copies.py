"""F09: an older copy in the place of a file, so that the last k things told of are missing; it is seen.

A whole older folder, its mark too, is as good as the folder was then: that more was told of, only a peer knows. The
broker and its runners compare notes when they meet; here such a folder must open, with less in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from keeper import GROUP, KINDS, count_kept, kill_after
from procedure import Trial, main

from engine.live.durable_log import LogDamaged

PARTS = {"log": ("log.sqlite", "log.sqlite-wal"), "segments": ("rows",)}
MARKS = {"log": "log.sqlite.mark", "segments": "rows/segments.mark"}


def older_copies(trial: Trial) -> str:
    seen = 0
    for kind in KINDS:
        for k in (1, 2, 40) if trial.quick else (*range(1, 60), 200, 1_000):
            older = trial.fresh("older")
            told_then = kill_after(kind, older, trial.rng.randrange(1, 400))
            newer = shutil.copytree(older, trial.fresh("newer"), dirs_exist_ok=True)
            told_now = kill_after(kind, newer, told_then + k * GROUP)
            swapped = swap(kind, older, newer, trial.fresh("swapped"))
            try:
                left = count_kept(kind, swapped)
            except LogDamaged:
                seen += 1
            else:
                raise AssertionError(f"{kind}: {told_now} were told of, {left} are there, and nobody objects")
            assert told_then <= count_kept(kind, older) < told_now
            assert told_now <= count_kept(kind, newer)
    return f"{seen} older copies, from 1 to many commits short, all seen"


def swap(kind: str, older: Path, newer: Path, target: Path) -> Path:
    """The older files under the newer mark."""
    for part in PARTS[kind]:
        if (older / part).is_dir():
            shutil.copytree(older / part, target / part)
        elif (older / part).exists():
            shutil.copy(older / part, target / part)
    shutil.copy(newer / MARKS[kind], target / MARKS[kind])
    return target


if __name__ == "__main__":
    main(older_copies)
