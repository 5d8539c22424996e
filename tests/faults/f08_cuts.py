"""F08: files cut at each length of their last 4 KiB; what nobody was told of may go, anything more is seen."""

from __future__ import annotations

import shutil
from pathlib import Path

from keeper import KINDS, count_kept, keep, kill_after
from procedure import Trial, main

from engine.live.durable_log import LogDamaged
from engine.live.high_water import HighWater

LAST = 4_096  # bytes
MARKS = {"log": "log.sqlite.mark", "segments": "rows/segments.mark"}


def cuts(trial: Trial) -> str:
    step = 61 if trial.quick else 1
    seen = harmless = recovered = 0
    for kind in KINDS:
        closed, killed = trial.fresh(f"closed {kind}"), trial.fresh(f"killed {kind}")
        keep(kind, closed, 43)
        told = kill_after(kind, killed, 300)
        for folder, least in ((closed, None), (killed, told)):
            cuts_seen, cuts_harmless = cut_each(trial, kind, folder, step, least)
            seen, harmless = seen + cuts_seen, harmless + cuts_harmless
        recovered += cut_what_nobody_was_told_of(trial, kind, closed, step)
    assert seen > 200 // step, "the cuts took nothing"
    return (
        f"{seen} cuts seen, {harmless} took nothing that was told of (old frames, empty segments); "
        f"{recovered} torn commits, all recovered"
    )


def cut_each(trial: Trial, kind: str, folder: Path, step: int, told: int | None) -> tuple[int, int]:
    """(cuts seen, cuts that took nothing that was told of) of each file.

    ``told`` is the number up to which entries were told of, maybe fewer than were written; None: all that are there.
    """
    there = count_kept(kind, shutil.copytree(folder, trial.fresh("whole"), dirs_exist_ok=True))
    least = there if told is None else told
    seen = harmless = 0
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        size = file.stat().st_size
        for length in range(max(0, size - LAST), size, step):
            cut = shutil.copytree(folder, trial.fresh("cut"), dirs_exist_ok=True)
            with (cut / file.relative_to(folder)).open("r+b") as raw:
                raw.truncate(length)
            try:
                left = count_kept(kind, cut)
                assert least <= left <= there, f"{file.name} cut to {length} of {size}: {least} told of, {left} there"
                harmless += 1
            except LogDamaged:
                seen += 1
    return seen, harmless


def cut_what_nobody_was_told_of(trial: Trial, kind: str, closed: Path, step: int) -> int:
    """Put the mark back, as a kill in the middle of a commit leaves it, and cut what came later."""
    before = shutil.copytree(closed, trial.fresh("before"), dirs_exist_ok=True)
    told = count_kept(kind, before)
    after = shutil.copytree(before, trial.fresh("after"), dirs_exist_ok=True)
    kill_after(kind, after, told + 1)
    (tail,) = [after / "log.sqlite-wal"] if kind == "log" else (after / "rows").glob("*.open")
    data, recovered = tail.read_bytes(), 0
    was = before / tail.relative_to(after)  # not there: the log was closed, or a segment has begun since
    begin = was.stat().st_size if was.exists() else 0
    for length in range(begin, min(len(data), begin + LAST), step):
        cut = shutil.copytree(after, trial.fresh("cut"), dirs_exist_ok=True)
        shutil.copy(before / MARKS[kind], cut / MARKS[kind])
        if kind == "log":
            unclosed(cut / MARKS[kind])
        (cut / tail.relative_to(after)).write_bytes(data[:length])
        left = count_kept(kind, cut)
        assert left >= told, f"{tail.name} cut to {length}: told of {told}, {left} are there"
        recovered += 1
    return recovered


def unclosed(mark: Path) -> None:
    """The mark as it is while the log is in use."""
    high_water = HighWater(mark)
    assert high_water.mark is not None
    high_water.write(high_water.mark._replace(closed=bytes(32)))
    high_water.close()


if __name__ == "__main__":
    main(cuts)
