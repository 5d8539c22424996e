"""F16: three messages of ten are lost, three come twice, three late, on every link: Equal, in simulated sessions.

The cores are the real ones; network, disk and clock are those of `tests/simulation`, where a message can be lost.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from procedure import Trial, main

sys.path.append(str(Path(__file__).resolve().parents[1] / "simulation"))

from network import Noise
from scheduler import MILLISECOND, SECOND
from swarm import Plan
from world import TROUPES, run_plan

NOISE = Noise(drop=0.3, duplicate=0.3, reorder=0.3, delay_ns=MILLISECOND)
TROUPE = "session"
ROWS = 400


def lost_messages(trial: Trial) -> str:
    schedules = 30 if trial.quick else 3_000
    counts: Counter[str] = Counter()
    markets = TROUPES[TROUPE].links
    for n in range(schedules):
        market = [*markets][n % len(markets)]
        plan = Plan(
            seed=trial.seed * 1_000_000 + n,
            troupe=TROUPE,
            market=market,
            rows=ROWS,
            speed=(0, 10_000)[n % 2],
            noise=dict.fromkeys(markets[market], NOISE),
            calm_at=3 * SECOND,
        )
        outcome = run_plan(plan)
        assert not outcome.broken, f"plan {plan}: {outcome.broken}: {outcome.text}"
        counts += outcome.injected
    kinds = ("frame dropped", "frame duplicated", "frame reordered")
    assert all(counts[kind] > schedules for kind in kinds), f"hardly anything was disturbed: {counts}"
    told = ", ".join(f"{counts[kind]:,} {kind.removeprefix('frame ')}" for kind in kinds)
    return f"{schedules} simulated sessions, messages: {told}; every law of the simulation held, parity among them"


if __name__ == "__main__":
    main(lost_messages)
