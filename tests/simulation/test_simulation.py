"""Schedules hold their laws, are the same twice, and the laws find what is planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import simulate
from network import Noise
from planted import BUGS
from shrink import shrink
from swarm import Fault, Plan
from world import run_plan

HERE = Path(__file__).resolve().parent
QUICK_TO_FIND = (
    "takes-what-comes-early",
    "takes-rows-twice",
    "ends-too-soon",
    "answers-one-row-late",
    "acknowledges-before-the-disk",
    "applies-answers-twice",
    "tells-cash-once",
    "sends-before-the-disk",
    "acts-before-its-rows",
    "forgets-its-outbox",
)


def plan(**terms) -> Plan:
    """A quiet session on a small market, but for what is said."""
    return msgspec.structs.replace(Plan(seed=1, troupe="session", market="one", rows=60, calm_at=300_000_000), **terms)


def test_schedules_hold_every_law() -> None:
    assert simulate.run_seeds(100, 20).failed == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 1_000, 100))
def test_many_schedules_hold_every_law(first: int) -> None:
    assert simulate.run_seeds(first, 100).failed == []


@pytest.mark.parametrize("kept", sorted((HERE / "found").glob("*.json")), ids=lambda path: path.stem)
def test_a_schedule_that_once_found_a_bug_holds(kept: Path) -> None:
    assert run_plan(msgspec.json.decode(kept.read_bytes(), type=Plan)).text == ""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_events_also_under_another_hash_seed() -> None:
    code = "import simulate, sys; print(*[simulate.run_plan(simulate.plan_of(s)).digest for s in (3, 7, 11)])"
    here = [run_plan(simulate.plan_of(seed)).digest for seed in (3, 7, 11)]
    assert here == [run_plan(simulate.plan_of(seed)).digest for seed in (3, 7, 11)]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)}
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, env=environment, capture_output=True, text=True, check=True
    )
    assert again.stdout.split() == here


def test_a_quiet_session_ends_soon_and_injects_nothing() -> None:
    outcome = run_plan(plan())
    assert outcome.broken == ""
    assert not outcome.injected
    assert outcome.virtual_ns < 1_000_000_000


@pytest.mark.parametrize("name", QUICK_TO_FIND[:3])
def test_a_planted_bug_is_found(name: str) -> None:
    assert simulate.run_seeds(0, 30, name, first_only=True).failed


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK_TO_FIND[3:])
def test_more_planted_bugs_are_found(name: str) -> None:
    assert simulate.run_seeds(0, 60, name, first_only=True).failed


def test_there_are_many_planted_bugs() -> None:
    assert len(BUGS) >= 20
    assert set(QUICK_TO_FIND) <= set(BUGS)


def test_a_failing_plan_is_made_small() -> None:
    faults = [Fault(at, "cut", "feed>broker", 20_000_000) for at in range(1_000_000, 200_000_000, 20_000_000)]
    big = plan(speed=1_000, rows=100, faults=faults, noise={"feed>run0": Noise(drop=0.2)}, knobs={"rows ahead": 1})
    with BUGS["takes-what-comes-early"].plant():
        law = run_plan(big).broken
        small = shrink(big, lambda smaller: run_plan(smaller).broken == law)
        assert law
        assert run_plan(small).broken == law
    assert len(small.faults) == 1
    assert small.noise == {}
    assert small.knobs == {}
