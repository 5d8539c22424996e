"""A failing plan made as small as it stays failing: fewer faults first, then less noise, less market, plainer terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace
from network import Noise
from swarm import Plan

PATIENCE = 300  # schedules tried


def shrink(plan: Plan, still_fails: Callable[[Plan], bool]) -> Plan:
    """The smallest plan found; ``still_fails`` says whether one breaks the same law."""
    left = PATIENCE
    while True:
        for smaller in _smaller(plan):
            left -= 1
            if left < 0:
                return plan
            if still_fails(smaller):
                plan = smaller
                break
        else:
            return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, those that lack most first."""
    faults, half = plan.faults, len(plan.faults) // 2
    if half > 1:
        yield replace(plan, faults=faults[:half])
        yield replace(plan, faults=faults[half:])
    if plan.noise:
        yield replace(plan, noise={})
    for i in range(len(faults)):
        yield replace(plan, faults=faults[:i] + faults[i + 1 :])
    for link, noise in plan.noise.items():
        yield replace(plan, noise={other: it for other, it in plan.noise.items() if other != link})
        for field, plain in zip(noise._fields, Noise(), strict=True):
            if getattr(noise, field) != plain:
                yield replace(plan, noise={**plan.noise, link: noise._replace(**{field: plain})})
    for name in plan.knobs:
        yield replace(plan, knobs={other: value for other, value in plan.knobs.items() if other != name})
    if plan.skews:
        yield replace(plan, skews={})
    if plan.rows > 20:
        yield replace(plan, rows=max(20, plan.rows // 2))
    if plan.market != "one":
        yield replace(plan, market="one")
