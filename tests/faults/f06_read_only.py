"""F06: the disk becomes read-only, or permission is lost; the process ends and names the reason."""

from __future__ import annotations

import os
from pathlib import Path

from f05_full_disk import WRITES, written
from keeper import FAILED, KINDS, count_kept, keep, run_keeper
from procedure import Skipped, Trial, main, needs, remount, small_disk

from engine.errors import RunError

NOBODY = 65_534


def read_only(trial: Trial) -> str:
    found = []
    for part in (opening, while_running):
        try:
            found.append(part(trial))
        except Skipped as why:
            found.append(f"{part.__name__} skipped ({why})")
    if all("skipped" in text for text in found):
        raise Skipped("; ".join(found))
    return "; ".join(found)


def opening(trial: Trial) -> str:
    """On a disk that is read-only by now, and as a user who may not write."""
    if os.geteuid():
        raise Skipped("only root can mount and become another user")
    for kind in KINDS:
        with small_disk(trial.fresh(f"disk {kind}"), 8) as disk:
            keep(kind, disk, 5)
            remount(disk, "ro")
            done = run_keeper(kind, disk, 5)
            assert (done.code, "Read-only file system" in done.errors) == (FAILED, True), f"{kind}: {done}"
            remount(disk, "rw")
            disk.chmod(0o755)
            trial.folder.chmod(0o755)
            errors = as_nobody(kind, disk)
            assert "Permission denied" in errors, f"{kind}: {errors}"
            assert count_kept(kind, disk) == 35, f"{kind}: something changed"
    return "opening on a read-only disk, and without permission, is refused with the reason; nothing changed"


def as_nobody(kind: str, path: Path) -> str:
    """The error that a process gets which has lost its permissions."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setuid(NOBODY)
        try:
            keep(kind, path, 5)
        except RunError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    with os.fdopen(read) as pipe:
        return pipe.read()


def while_running(trial: Trial) -> str:
    needs("strace")
    errors = 0
    for kind, call in WRITES.items():
        for error in ("EROFS", "EACCES"):
            for n in (1, 5, 17) if trial.quick else range(1, 101):
                path = trial.fresh(kind)
                files = [word for name in written(kind) for word in ("-P", str(path / name))]
                inject = ["strace", "-f", "-o", "/dev/null", *files, "-e", f"trace={call}"]
                done = run_keeper(kind, path, 40, [*inject, "-e", f"inject={call}:error={error}:when={n}"])
                if done.code == 0:
                    break  # there are not so many
                assert (done.code, str(path) in done.errors) == (FAILED, True), f"{kind} {error} {n}: {done}"
                left = count_kept(kind, path)
                assert done.told <= left, f"{kind}, write {n}: told of {done.told}, {left} are there"
                errors += 1
    return f"{errors} writes failed with EROFS or EACCES while running: all that was told of is there"


if __name__ == "__main__":
    main(read_only)
