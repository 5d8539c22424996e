"""What ``tickwright exhibits …`` does: a paper's exhibits from the user's data, a folder of files, and the verdicts.

Fair worlds are joined by name: the engine imports no feed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from engine.cli import OK, Output, say
from engine.curve_views import grid_lines
from engine.data_commands import find_tape
from engine.errors import ConfigError
from engine.kernel_cache import ensure
from engine.rates.fair_excess import FEWEST_WORLDS
from engine.rates.par_day import EURO, TREASURY
from engine.rates.short_gamma import Costs
from engine.rates.short_gamma_programme import PROGRAMME, STATISTICS, VOLS, Market, returns, statistics, without_costs
from engine.rates.z_spread_study import peripheral_spread
from engine.reports.exhibits import Exhibit, plain
from engine.reports.exhibits_depth import DailyDepth, daily_depth
from engine.reports.exhibits_page import verdict_grid, write_exhibits_page, write_files
from engine.reports.exhibits_par_curve import BONDS, fit_days, par_curve_exhibits
from engine.reports.exhibits_short_gamma import evidence, short_gamma_exhibits, unjudged_claims, verdicts_of
from engine.reports.exhibits_tables import Series, exhibit_1, exhibit_2, exhibit_4
from engine.reports.exhibits_tape import (
    Later,
    Panels,
    ShortGammaHistory,
    bond_days,
    coupons_a_year,
    lacks,
    panels_of,
    short_gamma_history,
    swap_history,
)
from engine.reports.exhibits_z_spread import BondMarket, z_spread_exhibits
from engine.tape import Tape, is_axis

Floats = NDArray[np.float64]

SEED = 20160701  # of the bootstrap
WORLD_SEEDS = 1_000_000  # the first of the fair worlds: no history that ships shares one
SWAPS = ("swap_rate", "axis_swap_tenor")


@dataclass
class Files:
    """A user's tables for the exhibits that a tape cannot fill."""

    returns: Path | None = None
    convexity: Path | None = None
    depth: Sequence[str] = field(default_factory=tuple)


def short_gamma_command(
    source: str, out: Path, html: bool, worlds: int, jumps: float, hedge_bp: float, files: Files, output: Output
) -> int:
    """Exhibits 1 to 10 of the short-gamma paper."""
    if worlds and worlds < FEWEST_WORLDS:
        raise ConfigError(f"--worlds is {worlds}, but must be at least {FEWEST_WORLDS}, or 0 for no verdict on rules")
    ensure()
    tape, rng, costs = find_tape(source), np.random.Generator(np.random.Philox(SEED)), Costs(hedge_bp=hedge_bp)
    panels = panels_of(tape)
    series = None if files.returns is None else read_series(files.returns)
    convexity = None if files.convexity is None else read_series(files.convexity)
    depth = _depth(files.depth)
    why = lacks(panels, "date", *SWAPS)
    facts = _facts(tape)
    if why:
        ruled, ours = [], unjudged_claims(why)
    else:
        history = short_gamma_history(panels)
        has_worlds = worlds if history.has_vols else 0
        fair = fair_statistics(history.market, has_worlds, jumps, output)
        found = evidence(history.market, costs, fair, rng)
        ruled = short_gamma_exhibits(found, history.has_vols)
        ours = verdicts_of(found) if history.has_vols else unjudged_claims("the tape has no implied vols")
        facts += _history_facts(history, has_worlds, jumps, hedge_bp)
    ours = [verdict for verdict in ours if verdict.exhibit == "1"]
    exhibits = [exhibit_1(series, ours, rng), exhibit_2(convexity), *ruled, exhibit_4(depth, rng)]
    exhibits.sort(key=lambda one: int(one.number))
    return give_exhibits("Leap of faith: short gamma", source, exhibits, facts, out, html, output)


def par_curve_command(source: str, out: Path, html: bool, every: int, knots: int, output: Output) -> int:
    """Exhibits 1 to 4 of the par-curve paper."""
    if every < 1:
        raise ConfigError(f"--every is {every}, but must be at least 1 close")
    ensure()
    tape = find_tape(source)
    rng = np.random.Generator(np.random.Philox(SEED))

    def watch(days: Iterable[Any], count: int) -> Iterable[Any]:
        return _track(days, count, "days fitted", output)

    exhibits = par_curve_exhibits(panels_of(tape), rng, every=every, knots=knots, watch=watch)
    facts = [*_facts(tape), f"every {every} close(s), {knots} knots; errors by blocks of 42 closes, 500 draws"]
    return give_exhibits("The Treasury par curve", source, exhibits, facts, out, html, output)


def z_spread_command(
    source: str, out: Path, html: bool, yields: Path | None, weights: str, knots: int, output: Output
) -> int:
    """Exhibits 1 to 7 of the z-spread paper."""
    ensure()
    tape = find_tape(source)
    panels = panels_of(tape)
    why = lacks(panels, "date", *SWAPS, *BONDS)
    market = None if why else _bond_market(tape, panels, knots)
    peripheral = None if yields is None else _peripheral(yields, weights)
    exhibits = z_spread_exhibits(market, peripheral, why=why)
    return give_exhibits("z-spreads and coupons", source, exhibits, _facts(tape), out, html, output)


def fair_statistics(market: Market, worlds: int, jumps: float, output: Output) -> Floats:
    """``statistics`` of the programme in fair worlds that start and last as the history does: float64[w, c, 7]."""
    if not worlds:
        return np.empty((0, len(PROGRAMME) + len(VOLS), len(STATISTICS)))
    dates = market.panel.dates
    years = max(1, round(float((dates[-1] - dates[0]).astype(np.int64)) / 365.25))
    params = importlib.import_module("feeds.synthetic_rates").RatesParams(jump_share=jumps)
    fair = importlib.import_module("feeds.fair_worlds").FairWorlds(dates[0], years, params)
    columns = without_costs()
    seeds = _track(range(WORLD_SEEDS, WORLD_SEEDS + worlds), worlds, f"fair worlds of {years} years", output)
    return np.array([statistics(returns(fair.market(seed), Costs(), columns)) for seed in seeds])


def read_series(file: Path) -> Series:
    """A CSV or parquet table with ``date`` and a number a column.

    Raises
    ------
    ConfigError
        If it cannot be read, has no date or no numbers, or its dates do not ascend.
    """
    from pyarrow import ArrowException, csv, date32, float64, parquet

    try:
        table = csv.read_csv(file) if file.suffix.lower() == ".csv" else parquet.read_table(file)
        dates = table.column("date").cast(date32(), safe=False).to_numpy().astype("datetime64[D]")
        columns = {n: table.column(n).cast(float64()).to_numpy() for n in table.column_names if n != "date"}
    except (ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: cannot be read ({reason}); give a CSV with date and a number a column") from None
    if not columns or dates.size < 2:
        raise ConfigError(
            f"{file}: has {len(columns)} columns beside date and {dates.size} rows; give one and two more"
        )
    back = np.flatnonzero(~(np.diff(dates.astype(np.int64)) > 0))
    if back.size:
        raise ConfigError(
            f"{file}: row {back[0] + 1}, {dates[back[0] + 1]}, does not come after the one before; sort it"
        )
    return Series(dates, columns)


def _depth(sources: Sequence[str]) -> DailyDepth | None:
    if not sources:
        return None
    if len(sources) == 1 and Path(sources[0]).suffix.lower() in (".csv", ".parquet"):
        series = read_series(Path(sources[0]))
        if "depth" not in series.columns:
            raise ConfigError(f"{sources[0]}: has no column depth; it has {', '.join(series.columns)}")
        return DailyDepth(series.dates, series.columns["depth"])
    return daily_depth([find_tape(name) for name in sources])


def _peripheral(file: Path, weights: str) -> Any:
    series = read_series(file)
    countries = [name for name in series.columns if name != "core"]
    if "core" not in series.columns or not countries:
        raise ConfigError(f"{file}: needs date, core and a column a country; it has {', '.join(series.columns)}")
    try:
        shares = [float(part) for part in weights.split(",")] if weights else [1.0] * len(countries)
    except ValueError:
        shares = []
    if len(shares) != len(countries):
        raise ConfigError(f"--weights {weights} are not {len(countries)} numbers; give one for {', '.join(countries)}")
    yields = np.column_stack([series.columns[name] for name in countries])
    return peripheral_spread(series.dates, yields, series.columns["core"], shares)


def _bond_market(tape: Tape, panels: Panels, knots: int) -> BondMarket:
    """The bonds of the last close's fit, on its par curve and its swap curve."""
    from dataclasses import replace

    issuer = replace(TREASURY if coupons_a_year(panels) == 2 else EURO, knots=knots)
    days = np.flatnonzero(np.isfinite(np.asarray(panels["swap_rate"], np.float64)).all(axis=1))
    if not days.size:
        raise ConfigError("swap_rate has no close with every tenor; import the tape with fewer tenors")
    some = {k: v if is_axis(k) else v[days[-1] : days[-1] + 1] for k, v in panels.items()}
    swaps = swap_history(some)
    day = fit_days(bond_days(some), issuer).last
    after = float((day.settle - swaps.dates[-1]).astype(np.int64)) / 365.25
    held = day.universe.take(day.rows)
    name = tape.instruments[0].symbol
    swap = Later(swaps.curves[-1], after)
    return BondMarket(
        name, day.priced.bonds, held.isin.tolist(), day.settle, held.clean_price, day.enhanced.curve, swap
    )


def _facts(tape: Tape) -> list[str]:
    synthetic = ["SYNTHETIC: generated, not recorded; what it pays was built in"] if tape.manifest.synthetic else []
    return [f"{tape.manifest.name or tape.path}", *synthetic]


def _history_facts(history: ShortGammaHistory, worlds: int, jumps: float, hedge_bp: float) -> list[str]:
    panel = history.market.panel
    sold = panel.dates[panel.sold]
    fair = f"{worlds} fair worlds, jump share {jumps:g}, no costs" if worlds else "no fair worlds"
    return [
        f"1Mx10Y sold at {len(panel):,} closes, {sold[0]} to {sold[-1]}; option at mid, hedges at {hedge_bp:g} bp",
        f"{fair}; errors by blocks of 42 sales, 500 draws, the same for all rules",
        *history.notes,
    ]


def _track(values: Iterable[Any], count: int, what: str, output: Output) -> Iterable[Any]:
    """A bar on standard error; where that is no terminal, a line at each tenth."""
    console = Console(stderr=True)
    if output.quiet or output.json:
        return values
    if console.is_terminal:
        return track(values, what, total=count, console=console, transient=True)
    return _told(values, count, what, console)


def _told(values: Iterable[Any], count: int, what: str, console: Console) -> Iterable[Any]:
    step = max(1, count // 10)
    for k, value in enumerate(values, 1):
        yield value
        if k % step == 0:
            console.print(f"{k:,} of {count:,} {what}", highlight=False)


def give_exhibits(
    title: str, source: str, exhibits: list[Exhibit], facts: list[str], out: Path, html: bool, output: Output
) -> int:
    """Write the files, with ``html`` the page, and print the verdicts."""
    files = write_files(out, exhibits)
    page = str(write_exhibits_page(out / "exhibits.html", title, facts, exhibits)) if html else ""
    lines = [title, *facts, *grid_lines(verdict_grid(exhibits))]
    for heading, told in (
        ("Missing", [f"exhibit {one.number}: {one.missing}" for one in exhibits if one.missing]),
        ("Notes", [f"exhibit {one.number}: {note}" for one in exhibits for note in one.notes]),
    ):
        lines += ["", heading, *told] if told else []
    closing = f"page      {page}" if page else "page      with --html"
    lines += ["", f"wrote     {len(files)} files in {out}", closing]
    say(output, {"source": source, "facts": facts, "exhibits": plain(exhibits), "out": str(out), "page": page}, lines)
    return OK
