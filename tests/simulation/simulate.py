"""Run many schedules of the live roles under faults, and say what was tried, reached and broken.

python tests/simulation/simulate.py --seeds 2000            # two processes, about a minute
python tests/simulation/simulate.py --seed 4711             # one schedule again, step by step
python tests/simulation/simulate.py --plan failing.json     # a shrunk plan again
python tests/simulation/simulate.py --planted               # every planted bug must be found
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parent.parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import msgspec  # noqa: E402
from coverage_wanted import WANTED  # noqa: E402
from planted import BUGS  # noqa: E402
from shrink import shrink  # noqa: E402
from swarm import Plan, draw_plan  # noqa: E402
from world import TROUPES, Outcome, run_plan  # noqa: E402

AT_ONCE = 50  # seeds given to a process together
BUDGET = 1_000  # seeds within which a planted bug must be found
TRACE = 40  # last events of a failing schedule that are shown


class Sum(msgspec.Struct):
    """What some schedules came to."""

    seeds: int = 0
    events: int = 0
    virtual_ns: int = 0
    injected: Counter[str] = msgspec.field(default_factory=Counter)
    reached: Counter[str] = msgspec.field(default_factory=Counter)
    failed: list[tuple[int, str, str]] = []  # seed, law, text

    def add(self, other: Sum) -> None:
        """Take in those of another process."""
        self.seeds += other.seeds
        self.events += other.events
        self.virtual_ns += other.virtual_ns
        self.injected += other.injected
        self.reached += other.reached
        self.failed += other.failed


def plan_of(seed: int) -> Plan:
    """Seeds take turns among the troupes."""
    return draw_plan(seed, TROUPES)


def run_seeds(first: int, n: int, bug: str = "", first_only: bool = False) -> Sum:
    """Some schedules in this process; with a planted bug, if one is named."""
    total = Sum()
    with ExitStack() as stack:
        if bug:
            stack.enter_context(BUGS[bug].plant())
        for seed in range(first, first + n):
            outcome = run_plan(plan_of(seed))
            total.seeds += 1
            total.events += outcome.events
            total.virtual_ns += outcome.virtual_ns
            total.injected += outcome.injected
            total.reached += outcome.reached
            if outcome.broken:
                total.failed.append((seed, outcome.broken, outcome.text))
                if first_only:
                    break
    return total


def simulate(first: int, seeds: int, jobs: int) -> Sum:
    """Many schedules in several processes; the sum does not depend on how many."""
    total = Sum()
    starts = range(first, first + seeds, AT_ONCE)
    sizes = [min(AT_ONCE, first + seeds - start) for start in starts]
    if jobs == 1:
        for start, size in zip(starts, sizes, strict=True):
            total.add(run_seeds(start, size))
        return total
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for part in pool.map(run_seeds, starts, sizes):
            total.add(part)
    return total


def report(total: Sum, took: float, jobs: int) -> bool:
    """Print what came of it; True if all is well."""
    busy = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{total.seeds:,} schedules in {took:.1f} s on {jobs} processes: {total.seeds / took * 60:,.0f} a minute, "
        f"{total.seeds / busy * 60:,.0f} a minute of one core's time; "
        f"{total.events / total.seeds:,.0f} events and {total.virtual_ns / total.seeds / 1e9:.2f} virtual s each"
    )
    for title, counts in (("faults injected", total.injected), ("reached", total.reached)):
        print(f"\n{title}")
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            print(f"  {count:>10,}  {name}")
    missed = sorted(name for name in WANTED if not total.reached[name])
    if missed and total.seeds >= BUDGET:
        print(f"\nnever reached, so not tried: {', '.join(missed)}")
    for seed, _, text in total.failed[:20]:
        print(f"\nseed {seed}: {text}\n  again: python tests/simulation/simulate.py --seed {seed}")
    print(f"\n{len(total.failed)} of {total.seeds:,} schedules failed")
    return not total.failed and (not missed or total.seeds < BUDGET)


def repeat(plan: Plan) -> bool:
    """Run one plan, print its last events; if it fails, make it smaller and print what is left."""
    outcome = run_plan(plan, traced=True)
    print("\n".join(outcome.trace[-TRACE:]))
    print(f"{outcome.events:,} events, {outcome.virtual_ns / 1e9:.3f} s, digest {outcome.digest}")
    if not outcome.broken:
        print("all laws held")
        return True
    print(f"broken: {outcome.text}\nmaking it smaller ...")
    small = shrink(plan, lambda smaller: run_plan(smaller).broken == outcome.broken)
    again: Outcome = run_plan(small, traced=True)
    print("\n".join(again.trace[-TRACE:]))
    print(f"broken: {again.text}\nsave this as failing.json and run it with --plan failing.json:")
    print(msgspec.json.encode(small).decode())
    return False


def hunt(names: list[str], jobs: int) -> bool:
    """Plant each bug and look for it; True if all were found."""
    found = True
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        sums = pool.map(run_seeds, *zip(*((0, BUDGET, name, True) for name in names), strict=True))
        for name, total in zip(names, sums, strict=True):
            if total.failed:
                seed, _, text = total.failed[0]
                print(f"{name:34} seed {seed:>4}  {text[:110]}")
            else:
                print(f"{name:34} NOT FOUND in {total.seeds} seeds: {BUGS[name].breaks}")
                found = False
    print(f"{len(names)} bugs planted, {'all found' if found else 'some not found'}")
    return found


def main(words: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, help="one schedule, step by step")
    parser.add_argument("--plan", type=Path, help="a plan kept as JSON")
    parser.add_argument("--planted", nargs="*", metavar="BUG", help="look for planted bugs, all or some")
    asked = parser.parse_args(words)
    if asked.planted is not None:
        return 0 if hunt(asked.planted or list(BUGS), asked.jobs) else 1
    if asked.plan is not None:
        return 0 if repeat(msgspec.json.decode(asked.plan.read_bytes(), type=Plan)) else 1
    if asked.seed is not None:
        return 0 if repeat(plan_of(asked.seed)) else 1
    began = time.monotonic()
    total = simulate(asked.first, asked.seeds, asked.jobs)
    return 0 if report(total, time.monotonic() - began, asked.jobs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
