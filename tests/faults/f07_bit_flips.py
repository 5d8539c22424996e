"""F07: one flipped bit, anywhere, in what was closed, in what a kill left, and in a sealed tape; each is seen.

Of a file that a kill left, some bytes say nothing: SQLite leaves holes in pages and old frames behind new ones. A flip
there may go unseen, if then every entry that was told of is there and unchanged. So may one in what was written, but
not yet told of, when the process was killed: it is cut off as if the kill had torn it.
"""

from __future__ import annotations

import os
import shutil
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import keeper
from keeper import DAMAGED, KINDS, Outcome, count_kept, keep, kill_after, rows, run_keeper
from procedure import Trial, main, positions

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.live.durable_log import LogDamaged
from engine.live.segments import Segments
from engine.tape import Manifest, Tape

MIB = 1 << 20  # bytes


def bit_flips(trial: Trial) -> str:
    every = 1_000 if trial.quick else None  # bytes, or all of about 1 MiB
    keeper.FOLD, keeper.SEGMENT_ROWS = MIB, 5_000
    found = []
    for kind in KINDS:
        closed = trial.fresh(f"closed {kind}")
        keep(kind, closed, 20 if trial.quick else 420 if kind == "log" else 2_340)
        seen, harmless = flip_each(trial, kind, closed, every)
        assert not harmless, f"closed {kind}: {harmless} flips were not seen"
        found.append(f"closed {kind} {seen} seen of as many")
        killed = trial.fresh(f"killed {kind}")
        told = kill_after(kind, killed, 1_000)
        seen, harmless = flip_each(trial, kind, killed, 300 if trial.quick else 10_000, told)
        found.append(f"killed {kind} {seen} seen, {harmless} changed nothing")
        exits_with_78(trial, kind, closed)
    found.append(f"sealed tape {flip_tape(trial, every)} seen of as many")
    return "; ".join(found)


def flip_each(trial: Trial, kind: str, folder: Path, count: int | None, told: int | None = None) -> tuple[int, int]:
    """(flips seen, flips that changed nothing that was told of) over all bytes of the files of a folder.

    ``told`` is the number up to which entries were told of; None: of all that are there.
    """
    there = count_kept(kind, shutil.copytree(folder, trial.fresh("whole"), dirs_exist_ok=True))
    least = there if told is None else told
    assert there >= least, f"{least} were told of, {there} are there"
    work = shutil.copytree(folder, trial.fresh("work"), dirs_exist_ok=True)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    ends = list(accumulate(file.stat().st_size for file in files))
    seen = harmless = 0
    for place in positions(ends[-1], count, trial.rng):
        which = bisect_right(ends, place)
        file, at = files[which], place - (ends[which - 1] if which else 0)
        flip(work / file.relative_to(folder), at, bit := trial.rng.randrange(8))
        try:
            left = count_kept(kind, work)
            assert least <= left <= there, f"{file.name} byte {at}: {least} were told of, {left} are there, unseen"
            harmless += 1
            work = shutil.copytree(folder, trial.fresh("work"), dirs_exist_ok=True)  # opening it changed it
        except LogDamaged:
            seen += 1
            flip(work / file.relative_to(folder), at, bit)
    return seen, harmless


def flip(file: Path, at: int, bit: int) -> None:
    with file.open("r+b", buffering=0) as raw:
        byte = os.pread(raw.fileno(), 1, at)[0]
        os.pwrite(raw.fileno(), bytes([byte ^ 1 << bit]), at)


def exits_with_78(trial: Trial, kind: str, folder: Path) -> None:
    """The same in a process of its own."""
    file = max((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    flip(file, trial.rng.randrange(file.stat().st_size), 3)
    done: Outcome = run_keeper(kind, folder, 1)
    assert (done.code, done.told) == (DAMAGED, 0), f"{kind}: {done}"


def flip_tape(trial: Trial, count: int | None) -> int:
    """Flips seen in the arrays of a sealed tape: by loading it, or by the hash in its manifest."""
    folder, n = trial.fresh("sealed"), 300 if trial.quick else MIB // 64
    with Segments(folder / "rows", durable=False) as kept:
        kept.append(rows(0, n).tobytes())
        kept.seal(folder / "tape", Manifest(instruments=[Instrument(symbol="A", book="NONE", levels=0)]))
    file = folder / "tape" / "rows.npy"
    assert is_whole(folder / "tape")
    seen = 0
    for at in positions(file.stat().st_size, count, trial.rng):
        flip(file, at, bit := trial.rng.randrange(8))
        assert not is_whole(file.parent), f"{file.name}: bit {bit} of byte {at} was not seen"
        flip(file, at, bit)
        seen += 1
    return seen


def is_whole(folder: Path) -> bool:
    try:
        tape = Tape.load(folder)
    except TapeError:
        return False
    return tape.content_hash() == tape.manifest.content


if __name__ == "__main__":
    main(bit_flips)
