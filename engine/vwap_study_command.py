"""What ``tickwright vwap study`` does: the same parents, worked by an agent and by each baseline on held-out days."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine import vwap_study_views as views
from engine.cli import OK, Output, say
from engine.config import load
from engine.curve_views import grid_lines
from engine.errors import ConfigError
from engine.forest_command import stock_tapes
from engine.kernel_cache import ensure
from engine.learning.null_market import null_day
from engine.learning.parent_study import Subject, Trial, Venue, Windows, check_held_out, n_replays, study
from engine.learning.vwap_study_config import ParentsConfig, StockArm, VwapStudyConfig, load_vwap_study_config
from engine.progress import telling
from engine.shipped import find_config, find_study
from engine.tape import Tape


class Work(msgspec.Struct, frozen=True, eq=False):
    """A stock that is ready to be replayed."""

    subject: Subject
    windows: Windows
    arms: list[StockArm]


def vwap_study_command(name: str, out: Path | None, output: Output, *, null: bool = False) -> int:
    """Replay every parent in every arm and print what they cost; with ``out`` a CSV of the parents, too."""
    file = find_study(name)
    config = load_vwap_study_config(file)
    run = load(find_config(config.venue), sets=config.venue_sets)
    venue = Venue(run.broker, run.risk, run.seed)
    work = [_ready(stock, number, config, file, null=null) for number, stock in enumerate(config.stocks)]
    ensure()
    feed_of = importlib.import_module("feeds.replay").TapeFeed
    trials: list[Trial] = []
    with telling(sum(n_replays(len(one.arms), one.subject) for one in work), output, "replaying") as tell:
        for one in work:
            arms = [arm.as_arm() for arm in one.arms]
            trials += study(arms, one.subject, one.windows, venue, feed_of, tell)
    if out is not None:
        write_trials(out, trials)
    market = _market(null, synthetic=any(tape.manifest.synthetic for one in work for tape in one.subject.days))
    say(output, *_answer(config, trials, out, market, null=null))
    return OK


def write_trials(file: Path, trials: Sequence[msgspec.Struct]) -> None:
    """A CSV with a row for each parent in each arm."""
    try:
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(type(trials[0]).__struct_fields__)
            writer.writerows(msgspec.structs.astuple(trial) for trial in trials)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); choose another --out file") from None


def _ready(stock: ParentsConfig, number: int, config: VwapStudyConfig, file: Path, *, null: bool) -> Work:
    """Load a stock's days and refuse, before the first replay, what an arm cannot do or must not know."""
    days = stock_tapes(stock.stock)[stock.skip_days :]
    if not days:
        raise ConfigError(f"{stock.symbol}: no day is left after skip_days = {stock.skip_days}")
    windows = stock.windows or config.windows
    arms = [StockArm(arm, stock, file) for arm in config.arms]
    for tape in days:
        for arm in arms:
            check_held_out(stock.symbol, tape, windows, arm.trained(tape), config.held_out)
            arm.make([], tape)
    if null:
        days = [_null(tape, config.seed, number, day) for day, tape in enumerate(days)]
    subject = Subject(
        symbol=stock.symbol, days=days, shares=stock.shares, market=stock.market,
        participation=config.participation, every_size=config.every_size,
    )  # fmt: skip
    return Work(subject, windows, arms)


def _null(tape: Tape, seed: int, stock: int, day: int) -> Tape:
    return null_day(tape, np.random.Generator(np.random.Philox(key=[seed, stock << 32 | day])))


def _answer(
    config: VwapStudyConfig, trials: list[Trial], out: Path | None, market: str, *, null: bool
) -> tuple[dict[str, object], list[str]]:
    names, judged = [arm.name for arm in config.arms], config.judged
    parts = views.split(trials, config.block, every_size=config.every_size)
    found = [views.versus(part, judged, names, seed=config.seed, draws=config.draws) for part in parts]
    say_it = views.null_verdict if null else views.verdict
    sentences = [say_it(part.label, judged, rows) for part, rows in zip(parts, found, strict=True) if part.is_whole]
    versus = [row for rows in found for row in rows]
    lines = [
        f"{config.name}: {', '.join(names)}; venue of {config.venue}, impact on; {market}",
        *(f"{one.symbol}: {views.days_of(trials, one.symbol)}" for one in config.stocks),
        f"parents of {config.windows.each_s // 60} minutes, at most {config.participation:.0%} of volume, "
        f"buy and sell paired; models held out: {config.held_out}",
        f"intervals: bootstrap of blocks of {config.block} windows, {config.draws:,} draws, seed {config.seed}",
        *grid_lines(views.arm_grid([part for part in parts if part.is_whole], names)),
        *grid_lines(views.versus_grid(versus, judged)),
        "",
        *sentences,
        *([f"wrote     {out}"] if out is not None else []),
    ]
    told = [_told(row) for row in versus]
    return {"name": config.name, "null": null, "verdicts": sentences, "versus": told, "parents": trials}, lines


def _told(row: views.Versus) -> dict[str, object]:
    """With its effects by name: JSON would make lists of them."""
    parts = {name: one._asdict() for name, one in row.parts.items()}
    effects = {name: getattr(row, name)._asdict() for name in ("slippage", "cost", "deviation")}
    return {**row._asdict(), "parts": parts, **effects}


def _market(null: bool, *, synthetic: bool) -> str:
    if null:
        return "a null market: moves drawn anew, no alpha"
    return "SYNTHETIC days, no recorded market" if synthetic else "markets as recorded"
