"""Trained placement as tables for a terminal and sections of a page: exhibits shown, nothing computed."""

from __future__ import annotations

from collections.abc import Sequence

from engine import vwap_pictures as pictures
from engine.learning.placement_problem import AGGRESSIVE, DEEPER, NEAR
from engine.learning.vwap_exhibits import FACTORS, Band, Group
from engine.learning.vwap_results import VwapResults
from engine.reports.curve_page import Grid
from engine.reports.vwap_page import Section
from engine.vwap_claims import claims, percent
from engine.vwap_pictures import SIMULATED, level_of, rules_of, states_of

SYNTHETIC = "SYNTHETIC: these markets were made up; what is learned of them is no evidence about real ones"
FARM_CORE_S = 640 * 16 * 3600 / 700  # the slides' farm, core-seconds a ticker
SWEPT = (
    "a network is shown fill probabilities that it did not train on, in a market that fills so; the optimum is solved "
    "anew for each"
)
FULL = 6  # groups with pictures of their own


def facts(results: VwapResults) -> list[str]:
    """What was trained, on what, and how numbers are to be read."""
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    seconds = sum(run.seconds for run in results.runs)
    each = seconds / len(results.runs)
    return [
        *([SYNTHETIC] if results.is_synthetic else []),
        f"{len(results.runs)} networks of {len({run.ticker for run in results.runs})} tickers; {results.device}",
        settings,
        f"{seconds:,.0f} core-seconds in all, {each:.1f} a network; the slides' farm: {FARM_CORE_S:,.0f} a ticker",
        "costs in half-spreads of the parent; styles and sweeps are exact; ± is one standard error over runs",
        *(f"failed    {ticker}: {why}" for ticker, why in results.failed.items()),
        *results.notes,
    ]


def costs_grid(found: Sequence[Group]) -> Grid:
    """What each group's policies cost beside the baselines."""
    rows = [
        [
            group.label, group.over, group.cost.text(), _mean(group.training.optimum, -1),
            f"{_mean(group.training.best_rule, -1)} {rules_of(group)}", _mean(group.training.twap, -1),
            group.excess.text(), percent(group.gap_closed), percent(group.learned.completed),
        ]
        for group in found
    ]  # fmt: skip
    head = ["", "over", "learned", "optimum", "best fixed rule", "TWAP", "excess", "of TWAP's gap", "done"]
    return Grid("Expected cost of a parent, half-spreads", head, rows)


def style_grid(found: Sequence[Group]) -> Grid:
    """How policies trade: by level, and when they cross; the optimum's number in brackets."""
    rows = []
    for group in found:
        ours, best = group.learned, group.optimum
        levels = [_beside(level_of(ours, level), level_of(best, level)) for level in (DEEPER, NEAR, AGGRESSIVE)]
        times = [
            _beside(getattr(ours, name), getattr(best, name)) for name in ("opening", "first_two_thirds", "last_third")
        ]
        rows.append([group.label, *levels, *times, percent(group.explored.agreed)])
    head = [
        "",
        "deeper",
        "near",
        "aggressive",
        "of it first tenth",
        "first two thirds",
        "last third",
        "kind as optimum",
    ]
    return Grid("Style: part of the parent that trades on each level, % (the optimum's)", head, rows)


def fill_grid(found: Sequence[Group]) -> Grid:
    """What is traded as fill probabilities vary; networks saw only the probabilities of x1."""
    rows = []
    for group in found:
        swept = zip(FACTORS, group.learned_by_fill, group.optimum_by_fill, strict=True)
        for k, (factor, ours, best) in enumerate(swept):
            cells = [_beside(level_of(ours, level), level_of(best, level)) for level in (DEEPER, NEAR, AGGRESSIVE)]
            costs = f"{ours.cost.text()} ({float(best.cost.mean):.3f})"
            rows.append(
                [group.label if not k else "", f"x{factor:g}", *cells, _beside(ours.opening, best.opening), costs]
            )
    head = ["", "fills", "deeper", "near", "aggressive", "aggressive in first tenth", "cost"]
    return Grid("Fill probability: % of the parent on each level as passive fills vary (the optimum's)", head, rows)


def momentum_grid(found: Sequence[Group]) -> Grid:
    """How often policies cross in each state of alpha."""
    states = range(len(found[0].problem.alpha))
    rows = []
    for group in found:
        ours, best = group.learned.by_alpha, group.optimum.by_alpha
        rows.append([group.label, *(_beside(ours.at(a), best.at(a)) for a in states), percent(group.same_choice)])
    head = ["", *states_of(found[0]), "optima of arrival and vwap alike"]
    return Grid("Momentum: % of steps in which the policy crosses (the optimum's)", head, rows)


def evolution_grid(found: Sequence[Group]) -> Grid:
    """Policies on the way."""
    rows = []
    for group in found:
        for k, (episodes, one) in enumerate(zip(group.snapshot_episodes, group.snapshots, strict=True)):
            levels = [percent(level_of(one, level)) for level in (DEEPER, NEAR, AGGRESSIVE)]
            half = one.remaining.at(len(one.remaining.mean) // 2)
            facts_of = [one.cost.text(), *levels, percent(half), percent(one.completed)]
            rows.append([group.label if not k else "", f"{episodes:,.0f}", *facts_of])
    head = ["", SIMULATED, "cost", "deeper", "near", "aggressive", "left at half time", "done"]
    return Grid("Evolution of trading over training", head, rows)


def tables(found: Sequence[Group]) -> list[Grid]:
    """All of them, in the order of the page."""
    return [each(found) for each in (costs_grid, style_grid, evolution_grid, fill_grid, momentum_grid)]


def sections(found: Sequence[Group]) -> list[Section]:
    """The page."""
    costs, style, evolution, fill, momentum = tables(found)
    shown = list(found[:FULL])
    more = [f"pictures of the first {FULL} of {len(found)} groups"] if len(found) > FULL else []
    return [
        Section("What the slides say, and what is measured", claims=claims(found)),
        Section("Costs", grids=[costs], pictures=[pictures.costs(found)]),
        Section("Style by target POV", grids=[style], pictures=pictures.styles(found)),
        Section(
            "Fill probability and momentum",
            [SWEPT],
            [fill, momentum],
            [*map(pictures.fills, shown), *map(pictures.momentum, shown)],
        ),
        *(Section(f"{group.label}: {group.over}", more, pictures=pictures.of_group(group)) for group in shown),
        Section("Evolution of trading, in numbers", grids=[evolution]),
    ]


def _beside(ours: Band, best: Band) -> str:
    return f"{Band(100 * ours.mean, 100 * ours.error).text(1)} ({100 * float(best.mean):.1f})"


def _mean(one: Band, sign: int = 1) -> str:
    return f"{sign * float(one.mean):.3f}"
