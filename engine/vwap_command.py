"""What ``tickwright train vwap`` does: problems from a config, agents from problems, on this machine or on a cluster.

Markets are joined by name: the engine imports no feed.
"""

from __future__ import annotations

import functools
import importlib
import shutil
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from engine import clock
from engine.cli import CURABLE, OK, Output, say
from engine.curve_views import Grid, grid_lines
from engine.errors import ConfigError
from engine.farm_progress import Telling
from engine.farm_workforce import Workforce, workforce
from engine.forest_command import stock_tapes
from engine.kernel_cache import ensure
from engine.learning.calibrate import Calibrated, calibrate
from engine.learning.checkpoints import code
from engine.learning.farm import Chunk, Farmer, OneByOne, Posed, Source, chunks_of, run_farm
from engine.learning.farm_folder import Farm, gap_closed
from engine.learning.farm_learner import Learner
from engine.learning.placement_problem import test_problem, with_objective
from engine.learning.step_facts import Periods
from engine.learning.ticker_days import ticker_days
from engine.learning.universe import Ticker, draw_universe, universe_problem
from engine.learning.vwap_config import TickerConfig, UniverseConfig, VwapConfig, load_vwap_config
from engine.learning.vwap_results import Run, VwapResults
from engine.shipped import find_training
from engine.tape import Tape

HEAD = ("", "POV", "runs", "cost", "optimum", "excess", "TWAP", "gap closed", "best rule", "its cost", "core s")
MOST = 20  # tickers that get a line each; more are summed up
OBJECTIVES = {"arrival": 0, "vwap": 1}


def train_command(
    name: str, out: Path | None, overwrite: bool, workers: int, dask: str, device: Literal["cpu", "cuda"],
    output: Output,
) -> int:  # fmt: skip
    """Agents, results and a table in a folder, which a run that was killed goes on with."""
    config = load_vwap_config(find_training(name, "vwap*.toml"))
    folder = out or Path("models") / config.name
    if overwrite and folder.exists() and not (folder / "farm").is_file():
        raise ConfigError(f"{folder} holds no training, so it is not overwritten; choose another --out folder")
    chunks = chunks_of(sources_of(config), size=config.batch)
    farm = Farm(
        folder, name=config.name, identity=f"{msgspec.json.encode(config).decode()} {device} {code()}",
        settings=_settings(config), device="cpu, 1 thread" if device == "cpu" else device,
    )  # fmt: skip
    with workforce(workers, dask=dask, device=device) as force:  # who cannot train is told before anything is removed
        if overwrite and folder.exists():
            shutil.rmtree(folder)
        farm.begin()
        ensure()
        left = [chunk for chunk in chunks if not farm.is_done(chunk)]
        lost = _train(config, left, farm, force, device, output)
    kept = farm.end(chunks, lost)
    _say(folder, kept.results if kept else None, lost, farm_is_new=len(left) == len(chunks), output=output)
    return OK if kept and not lost else CURABLE


def _say(folder: Path, results: VwapResults | None, lost: dict[str, str], *, farm_is_new: bool, output: Output) -> None:
    failed = results.failed if results else _failures(folder) | lost
    lines = [*(_lines(results, farm_is_new=farm_is_new) if results else []), *_failed_lines(failed)]
    if lost:
        lines.append(f"lost      {len(lost)} of them; the same command, without --overwrite, goes on with them")
    lines += ["", f"wrote     {len(results.runs) if results else 0} agents, results and table.csv in {folder}"]
    lines.append(f"page      tickwright vwap report {folder} --html vwap.html")
    answer = {"out": str(folder), "runs": results.runs if results else [], "failed": failed, "lost": sorted(lost)}
    say(output, answer, lines)


def _train(
    config: VwapConfig, chunks: list[Chunk], farm: Farm, force: Workforce, device: str, output: Output
) -> dict[str, str]:
    """Why, of each ticker that was lost."""
    settings = msgspec.structs.replace(config.train, device=device)
    checkpoints = str(farm.folder / "partly") if force.is_here else ""
    lost: dict[str, str] = {}
    with Telling(chunks, output) as tell:
        learner = Learner(settings, checkpoints, tell.part if isinstance(force.executor, OneByOne) else None)
        farmer = Farmer(functools.partial(prepare, config), learner, clock.cpu_seconds)
        for done in run_farm(chunks, farmer, force.executor, force.again):
            tell.done(farm.keep(done))
            lost |= done.failed if done.is_lost else {}
    return lost


def prepare(config: VwapConfig, terms: TickerConfig | Ticker | None) -> list[Posed]:
    """The problems of a source, one for each target POV."""
    match terms:
        case Ticker() as ticker:
            return _drawn(config, ticker)
        case TickerConfig() as ticker:
            return _recorded(config, ticker)
    objective = OBJECTIVES[config.parent.objective]
    step_s = config.measuring.periods.each_s / 40
    return [
        Posed(with_objective(test_problem(pov), objective), {"step_s": step_s, "is_synthetic": True})
        for pov in config.povs
    ]


def universe_tape(ticker: Ticker, config: UniverseConfig) -> Tape:
    """The synthetic market of a ticker, on one day's middle."""
    market = importlib.import_module("feeds.synthetic")
    stock = market.Stock(
        symbol=ticker.symbol, regime=ticker.regime, price=f"{ticker.price:.2f}",
        daily_volatility=ticker.daily_volatility, daily_volume=ticker.daily_volume,
    )  # fmt: skip
    params = market.MarketParams(stocks=(stock,), window_minutes=config.minutes)
    return market.synthetic_market(params, seed=ticker.seed, date=config.date, view="L2")[0]


def _drawn(config: VwapConfig, ticker: Ticker) -> list[Posed]:
    assert config.universe is not None
    tape = universe_tape(ticker, config.universe)
    # its tape is the middle of a day already
    periods = Periods(after_open_s=0, before_close_s=0, each_s=config.measuring.periods.each_s)
    measuring = msgspec.structs.replace(config.measuring, periods=periods)
    found = []
    for pov in config.povs:
        terms = msgspec.structs.replace(config.parent, pov=pov)
        one = universe_problem(ticker, tape, terms=terms, measuring=measuring, impact=config.impact)
        settings = one.told() | {"regime": ticker.regime, "half_hour": ticker.half_hour}
        found.append(Posed(one.problem, _told(config, one, [tape]) | {"settings": settings}))
    return found


def _recorded(config: VwapConfig, ticker: TickerConfig) -> list[Posed]:
    tapes = _tapes(ticker)
    days = ticker_days(
        tapes, ticker.symbol, terms=config.parent, povs=config.povs, measuring=config.measuring, market=ticker.market
    )
    found = []
    for pov in config.povs:
        one = calibrate(days, msgspec.structs.replace(config.parent, pov=pov), impact=config.impact)
        found.append(Posed(one.problem, _told(config, one, tapes) | {"settings": one.told()}))
    return found


def _told(config: VwapConfig, one: Calibrated, tapes: list[Tape]) -> dict[str, Any]:
    """What an agent's manifest says of its market."""
    return {
        "step_s": one.step_s,
        "is_synthetic": any(tape.manifest.synthetic for tape in tapes),
        "forecast": "imbalance" if config.measuring.forecast.by == "imbalance" else "model",
        "lean_edge": one.lean_edge,
        "lot_size": one.lot_size,
        "half_spread": one.half_spread,
        "trained": [session for tape in tapes for session in tape.sessions],
    }


def _tapes(ticker: TickerConfig) -> list[Tape]:
    if ticker.synthetic:
        market = importlib.import_module("feeds.synthetic")
        told = dict(ticker.synthetic)
        try:
            tapes = market.synthetic_market(market.params_from(told.pop("params", {})), **told)
        except TypeError as error:
            raise ConfigError(f"{ticker.symbol}: synthetic: {error}") from None
    else:
        tapes = stock_tapes(ticker.stock)
    last = ticker.first_day + ticker.days if ticker.days else len(tapes)
    if not ticker.first_day < last <= len(tapes):
        raise ConfigError(
            f"{ticker.symbol}: days {ticker.first_day} to {last - 1} are asked for, but there are 0 to {len(tapes) - 1}"
        )
    return tapes[ticker.first_day : last]


def sources_of(config: VwapConfig) -> list[Source]:
    """What is trained: a source for each ticker and seed."""
    if config.universe is not None:
        drawn = draw_universe(config.universe.tickers, seed=config.universe.seed)
        return [
            Source(one.symbol, (seed << 32) + i, one) for seed in config.seeds for i, one in enumerate(drawn)
        ]  # a seed of its own for each
    if config.solvable:
        return [Source("TEST", seed, None) for seed in config.seeds]
    return [Source(one.symbol, seed, one) for one in config.tickers for seed in config.seeds]


def _settings(config: VwapConfig) -> dict[str, str | int | float | bool]:
    return {
        name: value
        for name, value in msgspec.to_builtins(config.train).items()
        if isinstance(value, (str, int, float, bool)) and name not in ("seed", "device")  # the run's stand elsewhere
    } | {"tickers_a_batch": config.batch}


def _lines(results: VwapResults, *, farm_is_new: bool) -> list[str]:
    groups = _groups(results.runs)
    head = f"{results.name}: {len(results.runs)} networks, {results.device}, half-spreads of the parent's value"
    lines = [head, *(["SYNTHETIC: no recorded market"] if results.is_synthetic else [])]
    lines += [] if farm_is_new else ["some were trained before; their core seconds are of then"]
    grid = Grid("Learned placement", HEAD, [_row(*one) for one in groups.items()])
    return [*lines, *grid_lines(grid), "", *_worst_lines(results.runs)]


def _worst_lines(runs: list[Run]) -> list[str]:
    """What means do not show: the network furthest from its optimum, and those that a fixed rule is better than."""
    worst = max(runs, key=lambda run: run.cost - run.optimum)
    behind = [run for run in runs if run.cost > run.best_rule]
    told = f"worst     {_called(worst)}: {worst.cost - worst.optimum:.3f} above the optimum"
    if not behind:
        which = f"all {len(runs)} networks are" if len(runs) > 1 else "the network is"
        return [told, f"rules     {which} cheaper than every fixed rule, or as cheap"]
    some = [f"{_called(run)} ({run.cost:.3f}, {run.best_rule_name} {run.best_rule:.3f})" for run in behind[:MOST]]
    told_of = f"{len(behind)} of {len(runs)} networks cost more than a fixed rule; do not trade them: "
    return [told, f"rules     {told_of}{', '.join(some)}"]


def _called(run: Run) -> str:
    return f"{run.ticker} at {100 * run.pov:g} %, seed {run.seed}"


def _groups(runs: list[Run]) -> dict[tuple[str, float], list[Run]]:
    """By ticker and POV; by POV alone where tickers are many."""
    many = len({run.ticker for run in runs}) > MOST
    found: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        found.setdefault(("all" if many else run.ticker, run.pov), []).append(run)
    return found


def _row(key: tuple[str, float], runs: list[Run]) -> list[str]:
    cost, optimum, twap, best = (
        np.array([getattr(run, name) for run in runs]) for name in ("cost", "optimum", "twap", "best_rule")
    )
    names = [run.best_rule_name for run in runs]
    return [
        key[0], f"{100 * key[1]:g} %", str(len(runs)), f"{cost.mean():.3f}", f"{optimum.mean():.3f}",
        f"{(cost - optimum).mean():.3f}", f"{twap.mean():.3f}", f"{np.mean([gap_closed(run) for run in runs]):.1%}",
        max(sorted({*names}), key=names.count), f"{best.mean():.3f}", f"{np.mean([run.seconds for run in runs]):.1f}",
    ]  # fmt: skip


def _failed_lines(failed: dict[str, str]) -> list[str]:
    if not failed:
        return []
    some = sorted(failed.items())[:MOST]
    return ["", f"failed    {len(failed)}", *(f"          {ticker}: {why}" for ticker, why in some)]


def _failures(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(folder.glob("chunks/*/failed.json")):
        found |= msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return found
