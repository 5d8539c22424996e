"""F05: the disk is full, or a write fails so; the process ends, and goes on once there is room again."""

from __future__ import annotations

from keeper import FAILED, GROUP, KINDS, count_kept, keep, run_keeper
from procedure import Skipped, Trial, main, needs, remount, small_disk

WRITES = {"log": "pwrite64", "segments": "write"}


def full_disk(trial: Trial) -> str:
    found = []
    for part in (really_full, failing_writes):
        try:
            found.append(part(trial))
        except Skipped as why:
            found.append(f"{part.__name__} skipped ({why})")
    if all("skipped" in text for text in found):
        raise Skipped("; ".join(found))
    return "; ".join(found)


def really_full(trial: Trial) -> str:
    """On a disk of 8 MiB; some room is given back after the error."""
    for kind in KINDS:
        with small_disk(trial.fresh(f"disk {kind}"), 8) as disk:
            done = run_keeper(kind, disk, 1 << 30)
            assert done.code == FAILED, f"{kind}: exit code {done.code}: {done.errors}"
            assert done.told > 1_000, f"{kind}: only {done.told} fitted"
            remount(disk, "size=16m")
            left = count_kept(kind, disk)
            assert done.told <= left, f"{kind}: told of {done.told}, {left} are there"
            keep(kind, disk, 2)
            assert count_kept(kind, disk) == left + 2 * GROUP, f"{kind}: does not go on"
    return "an 8 MiB disk ran full under a log and under segments: all that was told of is there, and they go on"


def failing_writes(trial: Trial) -> str:
    needs("strace")
    errors = 0
    for kind, call in WRITES.items():
        for n in (1, 2, 5, 9, 17) if trial.quick else range(1, 501):
            path = trial.fresh(kind)
            files = [word for name in written(kind) for word in ("-P", str(path / name))]
            inject = ["strace", "-f", "-o", "/dev/null", *files, "-e", f"trace={call}"]
            done = run_keeper(kind, path, 40, [*inject, "-e", f"inject={call}:error=ENOSPC:when={n}"])
            if done.code == 0:
                break  # there are not so many
            assert done.code == FAILED, f"{kind} {n}: exit code {done.code}: {done.errors}"
            left = count_kept(kind, path)
            assert done.told <= left, f"{kind}, write {n}: told of {done.told}, {left} are there"
            errors += 1
    return f"{errors} writes failed with ENOSPC: the same"


def written(kind: str) -> list[str]:
    if kind == "log":
        return ["log.sqlite", "log.sqlite-wal", "log.sqlite.mark"]
    return [f"rows/{number:06}.open" for number in range(10)]


if __name__ == "__main__":
    main(full_disk)
