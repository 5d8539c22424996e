"""Backtest statistics of a study on held-out days, as a section of the report of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.learning.parent_study import Trial
from engine.learning.vwap_exhibits import over
from engine.reports.curve_page import COLORS
from engine.reports.vwap_page import Columns, Curve, Curves, Section
from engine.vwap_pictures import columns
from engine.vwap_study_views import Versus, arm_grid, split, versus_grid


class StudyAnswer(msgspec.Struct, frozen=True):
    """What ``tickwright vwap study --json`` answers."""

    name: str
    null: bool
    verdicts: list[str]
    versus: list[Versus]
    parents: list[Trial]


def read_study(file: Path) -> StudyAnswer:
    """The answer of a study, kept as a file.

    Raises
    ------
    ConfigError
        If it cannot be read, or is none.
    """
    cure = "write one with `tickwright vwap study CONFIG --json > study.json`"
    try:
        return msgspec.json.decode(file.read_bytes(), type=StudyAnswer)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); {cure}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: no answer of a study ({error}); {cure}") from None


def backtest_section(answer: StudyAnswer) -> Section:
    """Backtest statistics of held-out days."""
    verdicts, versus, parents = answer.verdicts, answer.versus, answer.parents
    arms = list(dict.fromkeys(trial.arm for trial in parents))
    judged = next(arm for arm in arms if arm not in {row.base for row in versus})
    whole = [part for part in split(parents, 1, every_size=True) if part.label.endswith("all")]
    drawn = [_slippages(arms, parents), _parts(arms, parents)]
    return Section("Backtest statistics", verdicts, [arm_grid(whole, arms), versus_grid(versus, judged)], drawn)


def _slippages(arms: Sequence[str], parents: Sequence[Trial]) -> Curves:
    """How slippage spreads over parents, an arm a curve."""
    curves = []
    for arm, color in zip(arms, COLORS, strict=False):
        costs = np.sort([trial.slippage_bp for trial in parents if trial.arm == arm])
        curves.append(Curve(arm, costs, np.arange(1, len(costs) + 1) / len(costs), (), color, is_stepped=True))
    return Curves("Slippage of parents", "bp against the market's VWAP", "part of parents at most", curves)


def _parts(arms: Sequence[str], parents: Sequence[Trial]) -> Columns:
    """What slippage is made of: means, with the error of independent parents."""
    names = ("spread_bp", "impact_bp", "timing_bp", "completion_bp", "fees_bp")
    drawn = [
        (arm, color, [over([getattr(one, name) for one in parents if one.arm == arm]) for name in names])
        for arm, color in zip(arms, COLORS, strict=False)
    ]
    return columns("Parts of the cost", "bp", [name.removesuffix("_bp") for name in names], drawn)
