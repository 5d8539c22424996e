"""F03: kill -9 at each system call that touches the disk; what was told of is there, and the run can go on."""

from __future__ import annotations

import signal

from keeper import GROUP, KINDS, count_kept, keep, run_keeper
from procedure import Trial, main, needs

CALLS = ("fdatasync", "fsync", "pwrite64", "write", "ftruncate", "unlink", "rename")
COMMITS = 40


def kill_at_each_call(trial: Trial) -> str:
    needs("strace")
    at = (1, 2, 3, 5, 9, 17, 33) if trial.quick else range(1, 501)
    kills = 0
    for kind in KINDS:
        for call in CALLS:
            for n in at:
                path = trial.fresh(kind)
                inject = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}"]
                done = run_keeper(kind, path, COMMITS, [*inject, "-e", f"inject={call}:signal=KILL:when={n}"])
                if done.code == 0:
                    break  # there are not so many calls
                assert done.code in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{kind} {call} {n}: exit code {done.code}"
                left = count_kept(kind, path)
                assert done.told <= left, f"{kind}, killed at {call} {n}: told of {done.told}, {left} are there"
                keep(kind, path, 2)
                assert count_kept(kind, path) == left + 2 * GROUP, f"{kind} {call} {n}: does not go on"
                kills += 1
    assert kills > 20, f"only {kills} kills: the calls were not reached"
    return f"{kills} kills at {len(CALLS)} system calls of a log and of segments: nothing told of was lost"


if __name__ == "__main__":
    main(kill_at_each_call)
