"""Limits of the roles made tiny or huge in some schedules, so that what happens beyond them is not rare.

The roles' code has no hooks for this: a limit is a constant of its module, and is put back after the schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

from scheduler import MILLISECOND

from engine.live import attachment, broker_role, feed_core, receiver, runner_role

LIMITS: dict[str, tuple[ModuleType, str, tuple[int, ...]]] = {
    "rows held": (receiver, "HELD_ROWS", (1, 20, 200)),
    "panel parts asked for": (receiver, "PANEL_REQUESTS", (1,)),
    "rows a burst": (feed_core, "BURST_ROWS", (5, 50)),
    "rows answered": (feed_core, "ANSWER_ROWS", (1, 2_000)),
    "requests waiting": (feed_core, "ASKED", (1,)),
    "wakes ahead": (attachment, "WINDOW", (1, 3)),
    "rows ahead": (runner_role, "ROWS_AHEAD", (1, 40)),
    "requests a message": (runner_role, "PIECE", (1,)),
    "tell again": (broker_role, "TELL_AGAIN_NS", (3 * MILLISECOND,)),
}
CHOICES = {"batch_rows": (1, 7, 500), **{name: values for name, (_, _, values) in LIMITS.items()}}


@contextmanager
def limits(knobs: Mapping[str, int]) -> Iterator[None]:
    """Have the limits that a plan names, for as long as this lasts."""
    were = {name: getattr(*LIMITS[name][:2]) for name in knobs if name in LIMITS}
    try:
        for name in were:
            setattr(*LIMITS[name][:2], knobs[name])
        yield
    finally:
        for name, value in were.items():
            setattr(*LIMITS[name][:2], value)
