"""What ``tickwright vwap gap`` does: an agent's calibrated problem beside full replay of the same policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from engine.cli import OK, Output, say
from engine.config import load
from engine.curve_views import Grid, grid_lines
from engine.errors import ConfigError
from engine.forest_command import stock_tapes
from engine.kernel_cache import ensure
from engine.learning.exact_policy import fixed_rules, solve
from engine.learning.gap_config import GapConfig, load_gap_config
from engine.learning.paired_effects import Effect
from engine.learning.placement_env import network_policy
from engine.learning.placement_gap import Gap, Ints, gap, play
from engine.learning.placement_problem import Problem
from engine.learning.replay_env import Episode
from engine.learning.replay_parents import ReplayParents
from engine.shipped import find_config, find_study

HEAD = ("policy", "parents", "predicted", "replayed", "95 % interval", "fills", "prices", "moves", "done (predicted)")
LEVEL_HEAD = ("policy", "level", "orders", "fill probability", "part filled", "spread cost", "measured")
OTHERS = ("twap", "always near 1")  # rules that are replayed beside the agent and the optimum


def gap_command(name: str, output: Output) -> int:
    """Replay the agent of a run and a few other policies on every day, and print what was promised beside it."""
    config = load_gap_config(find_study(name))
    parents = ReplayParents(load(find_config(config.run), sets=config.sets), config.symbol)
    agent, problem = parents.agent, parents.problem
    policies = {"agent": network_policy(problem, agent.weights), "optimum": solve(problem).action}
    policies |= {rule: table for rule, table in fixed_rules(problem).items() if rule in OTHERS}
    days = stock_tapes(config.stock)
    ensure()
    console = Console(stderr=True)
    found = []
    for policy, table in policies.items():
        episodes: list[Episode] = []
        for tape in days:
            if not (output.quiet or output.json):
                console.print(f"{policy} {tape.manifest.name}", highlight=False)
            for start in config.periods(parents.length_s).starts(tape.sessions[0]):
                for side in (1, -1):
                    episodes += play(parents.env(tape, start, side), table)
        found.append(_compared(policy, problem, table, episodes, config))
    trained = max((last for _, last in agent.manifest.trained), default=0)
    seen = sum(tape.sessions[0][0] <= trained for tape in days)
    facts = agent.manifest
    lines = [
        f"{config.name}: {facts.trained_on} at {100 * facts.pov:g}% of volume, objective {facts.objective}; "
        f"{len(days)} days, {seen} of them not later than what the problem was calibrated to",
        "half-spreads of the parent's value; + costs. replayed - predicted = fills + prices + moves",
        f"intervals: bootstrap of blocks of {config.block} periods, {config.draws:,} draws, seed {config.seed}",
        *grid_lines(Grid("Calibrated problem and full replay", HEAD, [_row(one) for one in found])),
        *grid_lines(Grid("Orders by level", LEVEL_HEAD, [row for one in found for row in _level_rows(one)])),
        "",
        *(verdict(one) for one in found),
    ]
    say(output, {"name": config.name, "gaps": [_answer(one) for one in found]}, lines)
    return OK


def verdict(one: Gap) -> str:
    """What the intervals say, plainly."""
    low, high = one.difference.low, one.difference.high
    if low <= 0 <= high:
        return f"{one.policy}: replay does not differ from what was predicted by more than its interval"
    worst = max((("fills", one.fills), ("prices", one.prices), ("moves", one.moves)), key=lambda x: abs(x[1].mean))
    word = "more" if low > 0 else "less"
    return (
        f"{one.policy}: costs {abs(one.difference.mean):.2f} half-spreads {word} than predicted, "
        f"most of it by {worst[0]} ({worst[1].mean:+.2f})"
    )


def _compared(policy: str, problem: Problem, table: Ints, episodes: Sequence[Episode], config: GapConfig) -> Gap:
    if not episodes:
        raise ConfigError(f"{config.name}: no period of these days could be worked; give longer days or others")
    return gap(
        policy,
        problem,
        table,
        episodes,
        block=config.block,
        rng=lambda: np.random.Generator(np.random.Philox(config.seed)),
        draws=config.draws,
    )


def _row(one: Gap) -> tuple[str, ...]:
    parts = (f"{part.mean:+.2f} ({part.low:+.2f} to {part.high:+.2f})" for part in (one.fills, one.prices, one.moves))
    return (
        one.policy, f"{one.episodes:,}", f"{one.predicted:.2f}", f"{one.replayed.mean:.2f}",
        f"{one.replayed.low:.2f} to {one.replayed.high:.2f}", *parts, f"{one.done.mean:.1%} ({one.expected_done:.1%})",
    )  # fmt: skip


def _level_rows(one: Gap) -> list[tuple[str, ...]]:
    return [
        (one.policy, level.level, f"{level.sent:,}", f"{level.expected:.3f}", f"{level.filled:.3f}",
         f"{level.spread_cost:+.2f}", f"{level.paid:+.2f}")
        for level in one.levels
        if level.sent
    ]  # fmt: skip


def _answer(one: Gap) -> dict[str, object]:
    return {
        **{key: _plain(value) for key, value in one._asdict().items() if key != "levels"},
        "difference": _plain(one.difference),
        "levels": [level._asdict() for level in one.levels],
    }


def _plain(value: object) -> object:
    return value._asdict() if isinstance(value, Effect) else value
