"""F04: the N-th fdatasync fails with EIO; the process ends at once, tells of nothing more, and recovers."""

from __future__ import annotations

import re
from pathlib import Path

from keeper import FAILED, KINDS, count_kept, run_keeper
from procedure import Trial, main, needs

COMMITS = 40
AT_MOST_MS = 1_000  # 100 on a quiet machine; a busy one must not fail the procedure


def failed_sync(trial: Trial) -> str:
    needs("strace")
    trace, errors, slowest = trial.folder / "trace", 0, 0.0
    for kind in KINDS:
        for n in (1, 2, 3, 5, 9, 17, 33) if trial.quick else range(1, 501):
            path = trial.fresh(kind)
            inject = ["strace", "-f", "-y", "-ttt", "-o", str(trace), "-e", "trace=fdatasync,write,exit_group"]
            done = run_keeper(kind, path, COMMITS, [*inject, "-e", f"inject=fdatasync:error=EIO:when={n}"])
            if done.code == 0:
                injected = re.search(r"fdatasync.*<(.*)>.*INJECTED", trace.read_text())
                if injected is None:
                    break  # there are not so many
                # SQLite ignores it for a folder, which only names the file.
                assert Path(injected[1]).is_dir(), f"{kind}: sync {n}, of {injected[1]}, failed unseen"
                continue
            assert done.code == FAILED, f"{kind} {n}: exit code {done.code}: {done.errors}"
            assert "check the disk" in done.errors, f"{kind} {n}: no reason given: {done.errors}"
            slowest = max(slowest, after_the_error(trace, f"{kind} {n}"))
            left = count_kept(kind, path)
            assert done.told <= left, f"{kind}, sync {n}: told of {done.told}, {left} are there"
            errors += 1
    assert errors > 10, f"only {errors} errors: the calls were not reached"
    assert slowest < AT_MOST_MS, f"ended only {slowest:.0f} ms after the error"
    return f"{errors} failed syncs of a log and of segments: nothing told of after one, ended within {slowest:.0f} ms"


def after_the_error(trace: Path, where: str) -> float:
    """Milliseconds from the error to the end of the process, which told of nothing in between."""
    lines = trace.read_text().splitlines()
    (error,) = (at for at, line in enumerate(lines) if "(INJECTED)" in line)
    told = [line for line in lines[error:] if re.search(r" write\(1\D", line)]
    assert not told, f"{where}: told of a number after the error: {told}"
    begin, end = (float(line.split()[1]) for line in (lines[error], lines[-1]))
    return 1_000 * (end - begin)


if __name__ == "__main__":
    main(failed_sync)
