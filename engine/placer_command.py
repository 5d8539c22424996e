"""What ``tickwright forest placer`` does: the placer with its model, without signals, and with perfect foresight."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from engine.cli import OK, Output, say
from engine.config import load
from engine.curve_views import Grid, grid_lines
from engine.errors import ConfigError
from engine.forest_command import stock_tapes
from engine.kernel_cache import ensure
from engine.learning.paired_effects import Effect
from engine.learning.placer_config import PlacerConfig, SubjectConfig, load_placer_config
from engine.learning.placer_study import ARMS, Arm, Subject, Trial, effect, study
from engine.shipped import find_config, find_study

HEAD = ("", "parents", "signals off", "model", "foresight", "model less off", "95 % interval", "detectable",
        "foresight less off", "95 % interval")  # fmt: skip


def placer_command(name: str, out: Path | None, output: Output) -> int:
    """Replay every parent in every arm and print what differs; with ``out`` a CSV of the parents, too."""
    config = load_placer_config(find_study(name))
    run_config = load(find_config(config.run), sets=config.sets)
    feed_of = importlib.import_module("feeds.replay").TapeFeed
    ensure()
    console = Console(stderr=True)

    def tell(what: str) -> None:
        if not (output.quiet or output.json):
            console.print(what, highlight=False)

    trials: list[Trial] = []
    for one in config.stocks:
        subject = _subject(one, config)
        trials += study(run_config, subject, config.windows, feed_of, tell)
    if out is not None:
        _write(out, trials)
    found = effects(trials, config)
    lines = [
        f"{config.name}: {config.run}, impact on, costs in bp of the mid at arrival, fees included; + is dearer",
        *(f"{one.symbol}: {_days(trials, one.symbol)}" for one in config.stocks),
        f"intervals: bootstrap of blocks of {config.block} windows, {config.draws:,} draws, seed {config.seed}",
        *grid_lines(Grid("Costs of parent orders", HEAD, [_row(*row) for row in found])),
        "",
        *(verdict(row.label, row.model, row.foresight) for row in found if row.label.endswith("all")),
        *undone(trials),
        *([f"wrote     {out}"] if out is not None else []),
    ]
    say(output, {"name": config.name, "effects": [_answer(*row) for row in found], "parents": trials}, lines)
    return OK


class Row(NamedTuple):
    """Some of the parents, and what the arms did to their costs."""

    label: str
    trials: list[Trial]
    model: Effect  # less signals off
    foresight: Effect  # less signals off


def effects(trials: Sequence[Trial], config: PlacerConfig) -> list[Row]:
    """Of each stock, whole, by size and by side."""
    found = []
    for symbol in sorted({trial.symbol for trial in trials}):
        own = [trial for trial in trials if trial.symbol == symbol]
        sizes = sorted({trial.shares for trial in own})
        parts = [(f"{symbol} all", own, config.block)]
        for size in sizes:
            part = [trial for trial in own if trial.shares == size]
            parts.append((f"{symbol} {size:,}", part, max(1, config.block // len(sizes))))
        for side, word in ((1, "buy"), (-1, "sell")):
            parts.append((f"{symbol} {word}", [trial for trial in own if trial.side == side], config.block))
        for label, part, block in parts:
            model, foresight = (_effect(part, arm, block, config) for arm in ("model", "foresight"))
            found.append(Row(label, part, model, foresight))
    return found


def verdict(label: str, one: Effect, ceiling: Effect) -> str:
    """What the intervals say, plainly."""
    what = label.removesuffix(" all")
    least = f"a true difference of {one.detectable:.2f} bp would be seen four times in five"
    if one.high < 0:
        part = f", {one.mean / ceiling.mean:.0%} of what foresight saves" if ceiling.high < 0 else ""
        return f"{what}: with the model parents cost {-one.mean:.2f} bp less than with signals off{part}; {least}"
    if one.low > 0:
        return f"{what}: the model does NOT beat signals off: parents cost {one.mean:.2f} bp MORE with it; {least}"
    return f"{what}: the model does NOT beat signals off: {one.mean:+.2f} bp, and 0 is in the interval; {least}"


def undone(trials: Sequence[Trial]) -> list[str]:
    """Parents that were not done, by arm: their costs are of what was."""
    counts = {arm: sum(t.done < t.shares for t in trials if t.arm == arm) for arm in ARMS}
    if not any(counts.values()):
        return ["every parent was done in every arm"]
    text = ", ".join(f"{arm} {count}" for arm, count in counts.items())
    return [f"parents not done within their participation cap: {text}; their costs are of what was done"]


def _effect(trials: Sequence[Trial], arm: Arm, block: int, config: PlacerConfig) -> Effect:
    rng = np.random.Generator(np.random.Philox([config.seed, ARMS.index(arm)]))
    return effect(trials, arm, block=block, rng=rng, draws=config.draws)


def _subject(one: SubjectConfig, config: PlacerConfig) -> Subject:
    days = stock_tapes(one.stock)[one.skip_days :]
    if not days:
        raise ConfigError(f"{one.symbol}: no day is left after skip_days = {one.skip_days}")
    terms = {"symbol": one.symbol, "model": one.model, "shares": one.shares, "market": one.market}
    return Subject(days=days, participation=config.participation, **terms)


def _row(label: str, trials: Sequence[Trial], one: Effect, ceiling: Effect) -> list[str]:
    costs = [np.mean([trial.cost_bp for trial in trials if trial.arm == arm]) for arm in ARMS]
    count = sum(trial.arm == "off" for trial in trials)
    return [
        label, str(count), *(f"{cost:.2f}" for cost in costs), f"{one.mean:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}",
        f"{one.detectable:.2f}", f"{ceiling.mean:+.2f}", f"{ceiling.low:+.2f} to {ceiling.high:+.2f}",
    ]  # fmt: skip


def _answer(label: str, trials: Sequence[Trial], one: Effect, ceiling: Effect) -> dict[str, object]:
    return {"what": label, "parents": len(trials) // len(ARMS), "model": one, "foresight": ceiling}


def _days(trials: Sequence[Trial], symbol: str) -> str:
    days = sorted({trial.day for trial in trials if trial.symbol == symbol})
    return f"{len(days)} held-out days, {days[0]} to {days[-1]}" if len(days) > 1 else f"one held-out day, {days[0]}"


def _write(file: Path, trials: Sequence[Trial]) -> None:
    try:
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(Trial.__struct_fields__)
            writer.writerows(msgspec.structs.astuple(trial) for trial in trials)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); choose another --out file") from None
