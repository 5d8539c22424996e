"""Pictures of trained placement: exhibits drawn, nothing computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.learning.placement_problem import AGGRESSIVE, DEEPER, NEAR, WAIT
from engine.learning.vwap_exhibits import FACTORS, LEAST, Band, Group, Manner
from engine.reports.vwap_page import Columns, Curve, Curves, Picture, Stack, Surface

LEVELS = {WAIT: "wait", DEEPER: "deeper", NEAR: "near", AGGRESSIVE: "aggressive"}
LEVEL_COLORS = {WAIT: "#c4cad3", DEEPER: "#1e3a8a", NEAR: "#5b9bd5", AGGRESSIVE: "#c2410c"}
LEARNED, OPTIMUM, RULE, TWAP = "#1d4ed8", "#1a7f5a", "#c2410c", "#6b7280"
SIMULATED = "parents simulated"
TIME = "part of the steps gone"


def of_group(group: Group) -> list[Picture]:
    """Training, surfaces and the evolution of one group."""
    return [*_convergence(group), *_surfaces(group), *_evolution(group)]


def _convergence(group: Group) -> list[Picture]:
    one, x = group.training, group.training.episodes
    lines = [
        _level_line("optimum", x, one.optimum, OPTIMUM),
        _level_line(f"best fixed rule: {rules_of(group)}", x, one.best_rule, RULE),
        _level_line("TWAP", x, one.twap, TWAP),
    ]
    optimum = _level_line("optimum", x, group.optimum.aggressive, OPTIMUM)
    done = _level_line("optimum", x, group.optimum.completed, OPTIMUM)
    placed = [
        (name, _shade(int(level), k), one.placed.mean[:, k])
        for k, (name, level) in enumerate(zip(group.placements, group.problem.level, strict=True))
    ]
    return [
        Curves(
            "Total reward of parents as they were played, exploring included",
            SIMULATED,
            "half-spreads",
            [_learned(x, one.reward), *lines],
        ),
        Curves("Aggressive ratio", SIMULATED, "of executed lots", [_learned(x, one.aggressive), optimum]),
        Curves("Completion rate", SIMULATED, "of the parent", [_learned(x, one.completed), done]),
        Stack("Sizes placed", SIMULATED, "share of placements", x, placed),
    ]


def _surfaces(group: Group) -> list[Picture]:
    steps, lots = group.problem.steps, group.problem.lots
    across, up = np.arange(steps) / steps, np.arange(1, lots + 1) / lots
    pairs = ((f"learned, grey under {LEAST} visits", group.learned_surfaces), ("optimum", group.optimum_surfaces))
    reach = float(np.nanquantile(np.abs(group.learned_surfaces.aggressive), 0.9)) or 1.0
    return [
        Surface(
            f"{kind.capitalize()}: {name}", TIME, "part of the parent left", across, up, getattr(one, kind).T, reach
        )
        for kind in ("passive", "aggressive")
        for name, one in pairs
    ]


def _evolution(group: Group) -> list[Picture]:
    steps = group.problem.steps
    x, mid = np.arange(steps + 1) / steps, np.arange(steps) / steps
    fade = _fade(len(group.snapshots))
    paths = [
        Curve(f"{episodes:,.0f}", x, one.remaining.mean, one.remaining.error, color)
        for episodes, one, color in zip(group.snapshot_episodes, group.snapshots, fade, strict=True)
    ]
    paths.append(Curve("optimum", x, group.optimum.remaining.mean, (), OPTIMUM, is_dashed=True))
    paths.append(Curve("TWAP", x, group.twap.remaining.mean, (), TWAP, is_dashed=True))
    kinds = [
        (LEVELS[level], LEVEL_COLORS[level], [float(level_of(one, level).mean) for one in group.snapshots])
        for level in (DEEPER, NEAR, AGGRESSIVE)
    ]
    return [
        Curves("Path of the parent, by parents simulated", TIME, "part left", paths),
        Stack("What trades, as training goes on", SIMULATED, "of the parent", group.snapshot_episodes, kinds),
        _by_step("What is chosen in the end", group.learned, mid),
        _by_step("What the optimum chooses", group.optimum, mid),
    ]


def _by_step(title: str, one: Manner, x: NDArray[np.float64]) -> Stack:
    chosen = one.chosen.mean
    parts = [(name, LEVEL_COLORS[level], chosen[:, level]) for level, name in LEVELS.items()]
    return Stack(title, TIME, "of parents not done", x, parts)


def costs(found: Sequence[Group]) -> Columns:
    """What policies cost, beside the baselines."""
    parts = (
        ("learned", LEARNED, [group.cost for group in found]),
        ("optimum", OPTIMUM, [_turned(group.training.optimum) for group in found]),
        ("best fixed rule", RULE, [_turned(group.training.best_rule) for group in found]),
        ("TWAP", TWAP, [_turned(group.training.twap) for group in found]),
    )
    return columns("Expected cost of a parent", "half-spreads", [_short(group) for group in found], parts)


def styles(found: Sequence[Group]) -> list[Picture]:
    """On which levels policies trade."""
    names = [_short(group) for group in found]
    return [
        columns(
            f"{title}: part of the parent by level", "of the parent", names,
            [(LEVELS[level], LEVEL_COLORS[level], [level_of(getattr(group, who), level) for group in found])
             for level in (DEEPER, NEAR, AGGRESSIVE)],
        )
        for title, who in (("Learned", "learned"), ("Optimum", "optimum"))
    ]  # fmt: skip


def fills(group: Group) -> Curves:
    """Levels as fill probabilities vary."""
    curves = []
    for level in (DEEPER, NEAR, AGGRESSIVE):
        ours, best = (
            [level_of(one, level) for one in swept] for swept in (group.learned_by_fill, group.optimum_by_fill)
        )
        y, error = [float(one.mean) for one in ours], [float(one.error) for one in ours]
        curves.append(Curve(LEVELS[level], FACTORS, y, error, LEVEL_COLORS[level]))
        best_y = [float(one.mean) for one in best]
        curves.append(Curve(f"{LEVELS[level]}, optimum", FACTORS, best_y, (), LEVEL_COLORS[level], is_dashed=True))
    return Curves(
        f"{group.label}: as fill probabilities vary", "times as trained", "of the parent", curves, is_log=True
    )


def momentum(group: Group) -> Columns:
    """Crossing by the state of alpha."""
    names = states_of(group)
    count = range(len(names))
    parts = [
        ("learned", LEARNED, [group.learned.by_alpha.at(a) for a in count]),
        ("optimum", OPTIMUM, [group.optimum.by_alpha.at(a) for a in count]),
    ]
    return columns(f"{group.label}: crossing by momentum", "of steps", names, parts)


def columns(title: str, y: str, names: Sequence[str], parts: Sequence[tuple[str, str, Sequence[Band]]]) -> Columns:
    """Bars of bands."""
    drawn = [
        (name, color, [float(one.mean) for one in bands], [float(one.error) for one in bands])
        for name, color, bands in parts
    ]
    return Columns(title, y, names, drawn)


def _learned(x: NDArray[np.float64], one: Band) -> Curve:
    return Curve("learned", x, one.mean, one.error, LEARNED)


def _level_line(name: str, x: NDArray[np.float64], at: Band, color: str) -> Curve:
    return Curve(name, [x[0], x[-1]], [float(at.mean)] * 2, (), color, is_dashed=True)


def level_of(one: Manner, level: int) -> Band:
    """Part of the parent that trades on a level, over all steps."""
    return one.by_level.at(level)


def states_of(group: Group) -> list[str]:
    """The states of alpha, above 0 where the price is about to move against the parent."""
    return [f"alpha {value:+g}" if value else "alpha 0" for value in group.problem.alpha]


def rules_of(group: Group) -> str:
    """The name of the cheapest fixed rule, or how many there are."""
    names = list(dict.fromkeys(run.best_rule_name for run in group.runs))
    return names[0] if len(names) == 1 else f"{len(names)} different"


def _turned(one: Band) -> Band:
    return Band(-one.mean, one.error)


def _short(group: Group) -> str:
    return group.label.split(", ", 1)[-1] if ", " in group.label else group.label


def _shade(level: int, k: int) -> str:
    """A colour of the level's family, so that sizes of a level are told apart."""
    families = {
        WAIT: ["#c4cad3"], DEEPER: ["#1e3a8a", "#3456b0"], NEAR: ["#5b9bd5", "#9cc4ea"],
        AGGRESSIVE: ["#fdba74", "#ea7a3c", "#9a3412"],
    }  # fmt: skip
    family = families[level]
    return family[k % len(family)]


def _fade(count: int) -> list[str]:
    """From pale to dark blue."""
    parts = np.linspace(0, 1, max(count, 1))[:, None]
    mixed = (1 - parts) * np.array([191, 219, 254]) + parts * np.array([29, 78, 216])
    return ["#" + "".join(f"{round(x):02x}" for x in row) for row in mixed[:count]]
