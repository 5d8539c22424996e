"""The command: ``tickwright demo | run | paper | verify | costs | data | impact | curve | exhibits | keys | …``.

Each command is a few lines here and a function elsewhere, which is imported when it is needed: ``--help`` is quick.
Standard output holds the answer (with ``--json`` exactly one object), standard error everything said meanwhile.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from engine.errors import StrategyError, TickwrightError

OK, CURABLE, USAGE, STRATEGY, MISMATCH, INTERRUPTED = 0, 1, 2, 3, 4, 130
EXIT_CODES = """Exit codes: 0 done; 1 something you can cure (the message says how); 2 wrong usage; 3 the strategy
raised (the run folder is kept); 4 verify found a difference, or doctor a fault; 130 interrupted (the run folder is
kept). Of publish, broker and attach also: 70 a fault of ours, 74 a disk error, 75 too slow, 78 what is on disk cannot
be trusted."""


@Parameter(name="*")
@dataclass
class Output:
    """How the answer is given.

    Parameters
    ----------
    json
        Print exactly one JSON object on standard output.
    quiet
        Print no banner and no progress.
    """

    json: bool = False
    quiet: bool = False


@Parameter(name="*")
@dataclass
class CurveOptions:
    """Which bonds enter the par curve, how they pay, and what money costs.

    Parameters
    ----------
    repo
        GC repo, decimals: overnight, 1, 3 and 6 months as 0.0199,0.0203,0.0208,0.0216, or a CSV or parquet file with
        the columns date, overnight, one_month, three_month, six_month.
    settle
        Settlement date, YYYY-MM-DD; needed where the universe has no column date.
    repo_basis
        Days of the year that repo is quoted for; also of the bonds' own repo_6m.
    knots
        Of the spline, at equal counts of bonds.
    coupons_a_year
        2 for Treasuries, 1 for most euro governments.
    special_bp
        A bond that is this far below 6-month GC in repo is left out.
    keep_newest
        Keep on-the-runs, olds and double-olds in the fit: for issuers without a premium on them.
    without_20y
        Leave out the 20-year sector; by default only its current issue is.
    drop_unpriced
        Leave out bonds without a price instead of refusing the day.
    """

    repo: str
    settle: str = ""
    repo_basis: float = 360.0
    knots: int = 6
    coupons_a_year: Literal[1, 2] = 2
    special_bp: float = 25.0
    keep_newest: bool = False
    without_20y: bool = False
    drop_unpriced: bool = False


PLAIN = Output()
Sets = Annotated[tuple[str, ...], Parameter(name="--set")]

app = App(
    name="tickwright",
    help="Replay recorded markets through your strategies and a simulated broker.",
    help_epilogue=EXIT_CODES,
    version=lambda: _version(),
    default_parameter=Parameter(negative="", show_default=False),
)
data = App(name="data", help="Import, inspect, verify and export tapes.")
app.command(data)
impact = App(name="impact", help="Estimate how orders move prices, and show the parameters that ship.")
app.command(impact)
curve = App(name="curve", help="Fit the par curve of government bonds, and read relative value off it.")
app.command(curve)
exhibits = App(name="exhibits", help="Write a paper's exhibits from your data, and say which of its claims hold there.")
app.command(exhibits)
keys = App(name="keys", help="Make, list and revoke the keys that feed, broker and clients prove themselves with.")
app.command(keys)
train = App(name="train", help="Fit models to recorded markets, judge them on later ones, and keep them as files.")
app.command(train)
forest = App(name="forest", help="Read what a training of forests left, and hold its forecasts against our own orders.")
app.command(forest)
vwap = App(name="vwap", help="Read what a training of placement left, and hold its agents against replays.")
app.command(vwap)


@app.command
def demo(*, out: Path | None = None, overwrite: bool = False, output: Output = PLAIN) -> int:
    """Work a VWAP parent order through a day that ships with the project: `tickwright run vwap_demo`.

    Example: tickwright demo

    Parameters
    ----------
    out
        The run folder; runs/vwap_demo by default, with -2, -3, … where it exists.
    overwrite
        Replace the run folder instead.
    """
    return run("vwap_demo", out=out, overwrite=overwrite, output=output)


@app.command
def run(
    config: str,
    *,
    sets: Sets = (),
    seed: int | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    chunks: int | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    no_counterfactual: bool = False,
    output: Output = PLAIN,
) -> int:
    """Run a config and leave a run folder.

    Example: tickwright run twap_demo --set params.tactics.every_ms=500 --seed 3

    Example: tickwright run mine.toml --from 2026-03-02T15:00 --to 2026-03-02T16:00

    Parameters
    ----------
    config
        A TOML file, or the name of a config that ships (see `tickwright configs`).
    sets
        A value laid over the config, key=value; may be repeated.
    seed
        Instead of the config's.
    from_
        First moment of the market to replay, ISO 8601, UTC unless it says otherwise.
    to
        First moment not to replay.
    chunks
        Rows handed over at a time; changes nothing but the speed.
    out
        The run folder; runs/NAME by default, with -2, -3, … where it exists.
    overwrite
        Replace the run folder instead.
    no_counterfactual
        Where own orders move the market, do not run once more without that to say what it changed.
    """
    from engine.commands import run_command

    span = [f'feed_params.{key}="{value}"' for key, value in (("start", from_), ("end", to)) if value]
    return run_command(config, [*sets, *span], seed, chunks, out, overwrite, not no_counterfactual, output)


@app.command
def verify(folder: Path, *, output: Output = PLAIN) -> int:
    """Run a run again: its fingerprint, or the first record that differs.

    Example: tickwright verify runs/demo

    Parameters
    ----------
    folder
        A run folder.
    """
    from engine.commands import verify_command

    return verify_command(folder, output)


@app.command
def costs(folder: Path, *, html: Path | None = None, no_counterfactual: bool = False, output: Output = PLAIN) -> int:
    """Say what a run's parent orders cost, and why: slippage split so that nothing is left over.

    Example: tickwright costs runs/vwap_demo --html costs.html

    Parameters
    ----------
    folder
        A run folder.
    html
        Write one offline page with plots; needs the extra `report`.
    no_counterfactual
        Do not replay the run without its impact; own impact is then not told apart from the market's moves.
    """
    from engine.costs_command import costs_command

    return costs_command(folder, html, not no_counterfactual, output)


@app.command
def latency(
    config: str,
    *,
    sets: Sets = (),
    markets: Annotated[tuple[str, ...], Parameter(name="--market")] = (),
    seed: int | None = None,
    ms: Annotated[tuple[float, ...], Parameter(name="--ms")] = (0.1, 1.0, 10.0, 100.0, 1_000.0),
    block_minutes: int = 30,
    html: Path | None = None,
    output: Output = PLAIN,
) -> int:
    """Replay a config at many latencies of each leg: feed, decision, order. Money, and each signal's break-even.

    Example: tickwright latency forest_placer --ms 1 --ms 100 --html latency.html

    Parameters
    ----------
    config
        A TOML file, or the name of a config that ships.
    sets
        A value laid over the config, key=value; may be repeated.
    markets
        A value laid over for one more market, like feed_params.seed=3; may be repeated, all are taken together.
    seed
        Instead of the config's.
    ms
        A latency of a leg, milliseconds; may be repeated.
    block_minutes
        Time blocks that pair replays where the strategy has no parent orders.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.latency_command import latency_command

    return latency_command(config, sets, markets, seed, ms, block_minutes, html, output)


@app.command
def explain(folder: Path, *, out: Path | None = None, output: Output = PLAIN) -> int:
    """What a swaption seller's P/L came from: theta, gamma, vega, curve, hedges; stress and margin by hedging rule.

    Example: tickwright explain runs/swaption_seller --out daily.csv

    Parameters
    ----------
    folder
        Of a run of ``swaption_seller``.
    out
        Write each close's P/L and its parts as CSV.
    """
    from engine.explain_command import explain_command

    return explain_command(folder, out, output)


@app.command
def paper(
    config: str,
    *,
    sets: Sets = (),
    speed: str | None = None,
    out: Path | None = None,
    chaos: bool = False,
    output: Output = PLAIN,
) -> int:
    """Paper-trade a config on this machine: a feed, a paper broker and a runner for each strategy, encrypted.

    What dies is started again and goes on where it was; Ctrl-C ends the session in order. What it leaves is a run
    folder like that of `tickwright run`, which `tickwright verify` repeats.

    Example: tickwright paper vwap_demo

    Example: tickwright paper mine.toml --speed 1 --out runs/today

    Parameters
    ----------
    config
        A TOML file, or the name of a config that ships (see `tickwright configs`); its [live] says the rest.
    sets
        A value laid over the config, key=value; may be repeated.
    speed
        Of the market: 1 is real time, 10 ten times as fast, max (the default) as fast as it goes.
    out
        The run folder; runs/NAME by default, with -2, -3, … where it exists.
    chaos
        Kill -9 feed, broker and each runner once along the way, to see that nothing comes of it.
    """
    from engine.live.paper_command import paper_command

    return paper_command(config, list(sets), speed, out, chaos, output)


@app.command
def broker(config: str, *, sets: Sets = (), out: Path | None = None, new: bool = False, output: Output = PLAIN) -> int:
    """Run the paper broker of a config: it follows the feed, waits for its strategies, and seals the run at the end.

    Example: tickwright broker mine.toml

    Parameters
    ----------
    config
        As `paper` takes it; [live] names the addresses and the keys.
    sets
        A value laid over the config, key=value; may be repeated.
    out
        The run folder. A session that did not finish there is gone on with; runs/NAME by default.
    new
        Begin a new session in the next free folder.
    """
    from engine.live.broker_command import broker_command

    return broker_command(config, list(sets), out, new, output)


@app.command
def attach(config: str, *, account: str = "", sets: Sets = (), out: Path | None = None, new: bool = False) -> int:
    """Run one strategy of a config, unchanged, against a feed and a paper broker.

    Example: tickwright attach mine.toml --account main

    Parameters
    ----------
    config
        The broker's.
    account
        Whose strategy; needed where the config has several.
    sets
        A value laid over the config, key=value; may be repeated.
    out
        Where it remembers what it asked for, until its session has ended; runs/NAME.runners by default.
    new
        Forget a session that did not end.
    """
    from engine.live.attach_command import attach_command

    return attach_command(config, list(sets), account, out, new)


@app.command
def top(config: str = "", *, once: bool = False, every: float = 0.5, output: Output = PLAIN) -> int:
    """Watch a paper broker: market time, lag, rows a second, positions, P/L, open orders, recoveries, kill switches.

    Example: tickwright top runs/paper_demo

    Example: tickwright top mine.toml --once --json

    Parameters
    ----------
    config
        The broker's, or the run folder of a session; by default the session that this user started last.
    once
        Say how things stand and end.
    every
        Seconds from one look to the next.
    """
    from engine.live.top_command import top_command

    return top_command(config, once, every, output)


@app.command
def kill(
    config: str = "",
    *,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    account: str = "",
    why: str = "asked for on the command line",
    output: Output = PLAIN,
) -> int:
    """Throw the kill switch: working orders are cancelled, new ones refused, until `tickwright rearm`.

    Where the broker does not answer, its kill file is written instead, which it looks for 20 times a second.

    Example: tickwright kill mine.toml --account main --why "fat finger"

    Example: tickwright kill --all

    Parameters
    ----------
    config
        The broker's, or the run folder of a session.
    all_
        Of every session that this user runs on this machine.
    account
        Only this one; all accounts by default.
    why
        Goes into the log.
    """
    from engine.live.admin_commands import kill_command

    return kill_command(config, all_, account, why, output)


@app.command
def rearm(config: str, latch: int, *, output: Output = PLAIN) -> int:
    """Let an account trade again.

    Example: tickwright rearm mine.toml 3

    Parameters
    ----------
    config
        The broker's, or the run folder of a session.
    latch
        The number that `tickwright kill` and `tickwright top` say.
    """
    from engine.live.admin_commands import rearm_command

    return rearm_command(config, latch, output)


@app.command
def publish(
    tape: str = "",
    *,
    session: str = "",
    speed: str = "",
    endless: bool = False,
    seed: int = 1,
    view: Literal["L1", "L2", "L3"] = "L1",
    feed: str | None = None,
    recovery: str | None = None,
    keys: Path | None = None,
    plain: bool = False,
    out: Path | None = None,
    new: bool = False,
    batch: int = 64,
    keep_quiet: bool = False,
    pushed: bool = False,
) -> int:
    """Publish a market as a live feed would: numbered, paced, encrypted, with an answer for who lost rows.

    Example: tickwright publish demo_day --speed 10

    Example: tickwright publish synthetic --endless --speed 1 --plain

    Parameters
    ----------
    tape
        A tape's folder, a folder of tapes (days of one market), the name of one that ships, or synthetic.
    session
        Instead: a config; its feed, its addresses and its speed.
    speed
        Times real time, like 1 or 10; max (the default) is as fast as it goes.
    endless
        Of the synthetic market, which has no end.
    seed
        Of the synthetic market.
    view
        Of the synthetic market: quotes, depth or orders.
    feed
        Address of the market data; tcp://127.0.0.1:5701 by default.
    recovery
        Address for joining and for lost rows; tcp://127.0.0.1:5702 by default.
    keys
        Folder made by `tickwright keys new`; the user's own by default.
    plain
        Without keys, where no other machine can reach the addresses.
    out
        Remembers how far it came, for the next start; runs/STREAM.feed by default.
    new
        Begin with the first row, whatever was published before.
    batch
        Most rows in one message.
    keep_quiet
        When paced, wait through stretches of more than a minute without rows instead of skipping them.
    pushed
        Publish rows that programs push (`engine.live.Publisher`) for the instruments of the tape, not the tape's own.
    """
    from engine.live.feed_command import publish_command

    folder = str(keys.absolute()) if keys else None
    given = {"feed": feed, "recovery": recovery, "keys_folder": folder, "plain": plain or None}
    return publish_command(
        tape,
        session,
        speed=speed,
        endless=endless,
        options={"seed": seed, "view": view},
        addresses={name: value for name, value in given.items() if value is not None},
        out=out,
        new=new,
        batch_rows=batch,
        keep_quiet=keep_quiet,
        pushed=pushed,
    )


@app.command
def configs(*, output: Output = PLAIN) -> int:
    """List the configs that ship.

    Example: tickwright configs
    """
    from engine.commands import configs_command

    return configs_command(output)


@app.command
def doctor(*, output: Output = PLAIN) -> int:
    """Check the installation: versions, kernel cache, disk, shipped data.

    Example: tickwright doctor
    """
    from engine.doctor import examine

    findings = examine()
    lines = [f"{'ok' if finding.ok else '!!':<3}{finding.what:<14}{finding.found}" for finding in findings]
    say(output, {"ok": all(finding.ok for finding in findings), "findings": findings}, lines)
    return OK if all(finding.ok for finding in findings) else MISMATCH


@app.command
def bench(*, output: Output = PLAIN) -> int:
    """Measure the engine; needs a checkout of the project.

    Example: tickwright bench
    """
    from engine.commands import bench_command

    return bench_command(output)


@data.command(name="import")
def import_(
    form: str,
    *files: Path,
    out: Path,
    sets: Sets = (),
    overwrite: bool = False,
    output: Output = PLAIN,
) -> int:
    """Make a tape of recorded files.

    Example: tickwright data import lobster messages.csv orderbook.csv --set symbol=AAPL --out tapes/aapl

    Example: tickwright data import csv trades.csv columns.toml --out tapes/mine

    Parameters
    ----------
    form
        lobster (messages, books), quotes (quotes, trades), trades, bars, csv (file, column map) or parquet.
    files
        What to read, in the order that the form names.
    out
        The tape's folder; a folder of tapes where the files hold several days.
    sets
        An option of the form, key=value, like symbol=AAPL; may be repeated.
    overwrite
        Replace a tape that is there.
    """
    from engine.data_commands import import_command

    return import_command(form, files, out, sets, overwrite, output)


@data.command
def inspect(tape: str, *, output: Output = PLAIN) -> int:
    """Show what a tape holds: instruments, sessions, span, source and the data verdict.

    Example: tickwright data inspect tapes/aapl

    Parameters
    ----------
    tape
        A tape's folder, or the name of one that ships.
    """
    from engine.data_commands import inspect_command

    return inspect_command(tape, output)


@data.command(name="verify")
def verify_data(tape: str, *, output: Output = PLAIN) -> int:
    """Check a tape's content against its hash, and its rows against the rules.

    Example: tickwright data verify tapes/aapl

    Parameters
    ----------
    tape
        A tape's folder, or the name of one that ships.
    """
    from engine.data_commands import verify_tape_command

    return verify_tape_command(tape, output)


@data.command
def stats(tape: str, *, symbol: str = "", html: Path | None = None, output: Output = PLAIN) -> int:
    """Measure a tape's microstructure, each statistic with its error: order flow, liquidity, impact, volatility.

    Example: tickwright data stats demo_day --html stats.html

    Parameters
    ----------
    tape
        A tape's folder, or the name of one that ships.
    symbol
        Only this instrument.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.stats_command import stats_command

    return stats_command(tape, symbol, html, output)


@data.command
def export(tape: str, *, parquet: Path, overwrite: bool = False, output: Output = PLAIN) -> int:
    """Write a tape as one parquet file that `data import parquet` reads back.

    Example: tickwright data export tapes/aapl --parquet aapl.parquet

    Parameters
    ----------
    tape
        A tape's folder, or the name of one that ships.
    parquet
        The file to write.
    overwrite
        Replace a file that is there.
    """
    from engine.data_commands import export_command

    return export_command(tape, parquet, overwrite, output)


@impact.command
def fit(
    *sources: str,
    region: Literal["NA", "APAC", "EMEA"] = "NA",
    units_a_day: int | None = None,
    symbol: str = "",
    lags: int = 100,
    after: int = 20,
    out: Path | None = None,
    output: Output = PLAIN,
) -> int:
    """Estimate impact from executions or from a tape, with standard errors and a block for a run's config.

    Example: tickwright impact fit costs.csv --region EMEA --out impact.toml

    Example: tickwright impact fit runs/monday runs/tuesday

    Example: tickwright impact fit tapes/aapl --symbol AAPL

    Parameters
    ----------
    sources
        One kind of three. Tables (.csv, .parquet) of parent orders, a row each: participation (own over market volume
        while it traded), duration (that market volume, in clock units of average volume), volatility (daily, 0.02 is
        2 %), spread_bp (average quoted), cost_bp (paid against the mid at arrival, fees left out), and start (date or
        time; optional, for a check on the later parents). Run folders, whose parents are measured. Or one tape.
    region
        Whose parameters are the priors and stand beside the estimates.
    units_a_day
        Clock units of an average day; 13 half-hours by default.
    symbol
        Of the tape's instruments.
    lags
        Of the tape's propagator, in transactions.
    after
        How many events later the tape's responses are measured.
    out
        A new TOML file for the block.
    """
    from engine.impact_command import fit_command

    return fit_command(sources, region, units_a_day, symbol, lags, after, out, output)


@impact.command
def show(*, output: Output = PLAIN) -> int:
    """Show each region's parameters.

    Example: tickwright impact show
    """
    from engine.impact_command import show_command

    return show_command(output)


@curve.command(name="fit")
def fit_curve(
    universe: Path, *, options: CurveOptions, html: Path | None = None, out: Path | None = None, output: Output = PLAIN
) -> int:
    """Fit the par curve of a day: both fits, the curve, cheap and dear, and who is left out and why.

    Example: tickwright curve fit universe.csv --settle 2018-07-17 --repo 0.0199,0.0203,0.0208,0.0216 --html curve.html

    Example: tickwright curve fit bunds.parquet --repo 0.0400,0.0418,0.0437,0.0438 --coupons-a-year 1 --keep-newest

    Parameters
    ----------
    universe
        All bonds of the day (.csv, .parquet), a row each: isin, issue, maturity, coupon (0.0275), clean_price
        (per 100); optional kind, date, term, repo_6m, dated, first_coupon. docs/par_curve.md defines them.
    html
        Write one offline page with plots; needs the extra `report`.
    out
        A new CSV file for the curve.
    """
    from engine.curve_command import fit_command

    return fit_command(universe, options, html, out, output)


@curve.command
def history(
    universe: Path, *, options: CurveOptions, html: Path | None = None, out: Path | None = None, output: Output = PLAIN
) -> int:
    """Fit every day of a file: RMSE, 1-day zero beside overnight repo, par yields, and special issues.

    Example: tickwright curve history universe.parquet --repo repo.csv --out history.csv --html history.html

    Parameters
    ----------
    universe
        As `curve fit` takes it, with a column date.
    html
        Write one offline page with plots; needs the extra `report`.
    out
        A new CSV file with a row for each day.
    """
    from engine.curve_command import history_command

    return history_command(universe, options, html, out, output)


@curve.command
def report(
    universe: Path,
    *,
    options: CurveOptions,
    horizon_days: int = 91,
    html: Path | None = None,
    out: Path | None = None,
    output: Output = PLAIN,
) -> int:
    """Say of each bond how cheap it is to the curve, what it carries and how far it slides.

    Example: tickwright curve report universe.csv --settle 2018-07-17 --repo repo.csv --horizon-days 91 --out value.csv

    Parameters
    ----------
    universe
        As `curve fit` takes it.
    horizon_days
        For carry and slide, 1 to 183 days.
    html
        Write one offline page with plots; needs the extra `report`.
    out
        A new CSV file with a row for each bond.
    """
    from engine.curve_command import report_command

    return report_command(universe, options, horizon_days, html, out, output)


@curve.command
def sample(folder: Path, *, days: int = 1, output: Output = PLAIN) -> int:
    """Write a synthetic universe and repo rates to try the other commands on.

    Example: tickwright curve sample treasuries

    Parameters
    ----------
    folder
        A new folder for universe.csv and repo.csv.
    days
        Business days, up to 2018-07-17.
    """
    from engine.curve_command import sample_command

    return sample_command(folder, days, output)


@curve.command
def zspread(
    bonds: Path | None = None,
    *,
    swap: Path | None = None,
    government: Path | None = None,
    settle: str = "",
    coupons_a_year: Literal[1, 2] = 1,
    html: Path | None = None,
    out: Path | None = None,
    output: Output = PLAIN,
) -> int:
    """Say how cheap bonds are to the swap curve, with z-spreads freed of what coupons do to them.

    Without bonds: exhibits 3 to 6 of the z-spread paper by its proxies, our numbers beside the printed ones.

    Example: tickwright curve zspread

    Example: tickwright curve zspread oats.csv --swap swaps.csv --government zeros.csv --settle 2018-04-19

    Parameters
    ----------
    bonds
        A row each (.csv, .parquet): isin, maturity, coupon (0.0275), clean_price (per 100); optional date.
    swap
        The swap curve: years, and one of zero_rate (annual), discount_factor (from settlement) or par_rate; decimals;
        optional date.
    government
        The same for the issuer's curve, on which the effect of coupons is measured; without it, a regression of the
        bonds' own z-spreads.
    settle
        Settlement date, YYYY-MM-DD.
    coupons_a_year
        1 for most euro governments, 2 for Treasuries; of par_rate swaps too (EUR or USD conventions).
    html
        Write one offline page with plots; needs the extra `report`.
    out
        A new CSV file with a row for each bond, or for each cell of exhibit 3.
    """
    from engine.z_spread_command import zspread_command

    return zspread_command(bonds, swap, government, settle, coupons_a_year, html, out, output)


@exhibits.command(name="short-gamma")
def short_gamma(
    source: str = "rates_world",
    *,
    out: Path = Path("exhibits/short-gamma"),
    html: bool = False,
    worlds: int = 200,
    jumps: float = 0.0,
    hedge_bp: float = 0.2,
    returns: Path | None = None,
    convexity: Path | None = None,
    depth: tuple[str, ...] = (),
    output: Output = PLAIN,
) -> int:
    """Try the claims of "Leap of faith" on a tape's closes: each rule against itself in fair worlds.

    Example: tickwright exhibits short-gamma --html

    Example: tickwright exhibits short-gamma tapes/usd --out mine --returns programmes.csv --depth tapes/ten_year

    Parameters
    ----------
    source
        A tape with the panels swap_rate and normal_vol, or the name of one that ships. Without normal_vol, premiums
        cannot be judged.
    out
        A new folder: a CSV for each exhibit and the verdicts.
    html
        Write exhibits.html there too, one offline page; needs the extra `report`.
    worlds
        Fair histories, as long as yours, at least 200 (about 0.6 s each for ten years); 0: no verdict on rules.
    jumps
        Part of the variance of fair worlds that comes in jumps, which they are paid for.
    hedge_bp
        Cost of a hedge to mid, bp of yield.
    returns
        For exhibit 1: date and a column a programme (Rates USD, Equities USD, …) of monthly returns.
    convexity
        For exhibit 2: date and a column a holder.
    depth
        For exhibit 4: tapes with depth from 8:30 to 10:30 New York, or one CSV with date and depth. May be repeated.
    """
    from engine.exhibits_command import Files, short_gamma_command

    return short_gamma_command(source, out, html, worlds, jumps, hedge_bp, Files(returns, convexity, depth), output)


@exhibits.command(name="par-curve")
def par_curve(
    source: str = "rates_world",
    *,
    out: Path = Path("exhibits/par-curve"),
    html: bool = False,
    every: int = 1,
    knots: int = 6,
    output: Output = PLAIN,
) -> int:
    """Try the claims of "The new and improved Treasury par curve model" on a tape's bonds, day by day.

    Example: tickwright exhibits par-curve --every 5 --html

    Parameters
    ----------
    source
        A tape with the panels par_yield, bond, bond_price and gc_repo, or the name of one that ships. What is not
        there is named.
    out
        A new folder: a CSV for each exhibit and the verdicts.
    html
        Write exhibits.html there too, one offline page; needs the extra `report`.
    every
        Fit each such close.
    knots
        Of the spline; 2 or 3 where there are few bonds.
    """
    from engine.exhibits_command import par_curve_command

    return par_curve_command(source, out, html, every, knots, output)


@exhibits.command(name="backprop")
def backprop(
    *,
    out: Path = Path("exhibits/backprop"),
    html: bool = False,
    pov: float = 0.1,
    starts: int = 16,
    epochs: int = 200,
    rows: int = 512,
    seed: int = 20160701,
    output: Output = PLAIN,
) -> int:
    """Try the claims of the backpropagation note on the agent's network and the exact values of placements.

    Example: tickwright exhibits backprop --html

    Parameters
    ----------
    out
        A new folder: a CSV for each exhibit and the verdicts.
    html
        Write exhibits.html there too, one offline page; needs the extra `report`.
    pov
        Of the test problem whose placements are valued: the parent as a part of the market's volume.
    starts
        Starting points, at least 4; errors are over them.
    epochs
        How often every row is looked at, at least 20.
    rows
        States and placements to fit, at least 64; as many are held out.
    seed
        Of everything that is drawn.
    """
    from engine.backprop_command import backprop_command

    return backprop_command(out, html, pov, starts, epochs, rows, seed, output)


@exhibits.command(name="z-spread")
def z_spread(
    source: str = "rates_world",
    *,
    out: Path = Path("exhibits/z-spread"),
    html: bool = False,
    yields: Path | None = None,
    weights: str = "",
    knots: int = 6,
    output: Output = PLAIN,
) -> int:
    """Try the claims of "How much should we trust z-spreads in bond RV analysis?" by proxies and on a tape's bonds.

    Example: tickwright exhibits z-spread --html

    Example: tickwright exhibits z-spread tapes/eur --yields ten_years.csv --weights 2.3,1.2,0.2

    Parameters
    ----------
    source
        A tape whose last close has bonds, gc_repo and swap_rate, or the name of one that ships.
    out
        A new folder: a CSV for each exhibit and the verdicts.
    html
        Write exhibits.html there too, one offline page; needs the extra `report`.
    yields
        For exhibit 1: date, core and a column a country of 10-year yields; decimals.
    weights
        Of the countries, in the order of their columns; all alike by default.
    knots
        Of the par curve's spline.
    """
    from engine.exhibits_command import z_spread_command

    return z_spread_command(source, out, html, yields, weights, knots, output)


@train.command(name="forest")
def train_forest(config: str, *, out: Path | None = None, overwrite: bool = False, output: Output = PLAIN) -> int:
    """Fit random forests that forecast the mid's direction, beside simpler models and guesses; needs the extra `learn`.

    Example: tickwright train forest forest_2013 --out models/mine

    Parameters
    ----------
    config
        A TOML file of stocks and horizons, or the name of one that ships.
    out
        The folder for models, table and results; models/NAME by default.
    overwrite
        Replace it.
    """
    from engine.forest_command import train_command

    return train_command(config, out, overwrite, output)


@train.command(name="vwap")
def train_vwap(
    config: str,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    workers: int = 1,
    dask: str = "",
    device: Literal["cpu", "cuda"] = "cpu",
    output: Output = PLAIN,
) -> int:
    """Train agents that place a parent's orders, for one ticker or hundreds; needs the extra `learn`.

    A training that was killed goes on where it was.

    Example: tickwright train vwap vwap_test

    Example: tickwright train vwap vwap_universe --workers 2

    Parameters
    ----------
    config
        A TOML file of problems and parents, or the name of one that ships.
    out
        The folder for agents, results and table; models/NAME by default.
    overwrite
        Begin again instead of going on.
    workers
        Processes of this machine that train, one core each.
    dask
        Train on a cluster instead: its scheduler's address, tcp://HOST:PORT; needs the extra `sweep`.
    device
        Where the networks are: cpu, or cuda for one GPU.
    """
    from engine.vwap_command import train_command

    return train_command(config, out, overwrite, workers, dask, device, output)


@forest.command(name="report")
def forest_report(folder: Path, *, html: Path | None = None, output: Output = PLAIN) -> int:
    """Show what a training found: accuracy by stock and horizon, each number beside guesses and with its error.

    Example: tickwright forest report models/forest_2013 --html forest.html

    Parameters
    ----------
    folder
        What `train forest` wrote.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.forest_command import report_command

    return report_command(folder, html, output)


@forest.command(name="placer")
def forest_placer(config: str, *, out: Path | None = None, output: Output = PLAIN) -> int:
    """Work parent orders on held-out days with forecasts, without, and with perfect foresight.

    Example: tickwright forest placer placer_demo --out parents.csv

    Parameters
    ----------
    config
        A TOML file that names a run of a placer, days, models and sizes, or the name of one that ships.
    out
        A CSV of every parent in every arm.
    """
    from engine.placer_command import placer_command

    return placer_command(config, out, output)


@forest.command(name="own-orders")
def forest_own_orders(
    config: str = "placement_study", *, sets: Sets = (), html: Path | None = None, output: Output = PLAIN
) -> int:
    """Show what our own orders do to signals: moves by probability, without orders and with five urgencies of them.

    Example: tickwright forest own-orders --html own_orders.html

    Parameters
    ----------
    config
        A TOML file of a placement study, or the name of one that ships.
    sets
        A value laid over the config, key=value; may be repeated.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.placement_command import own_orders_command

    return own_orders_command(config, sets, html, output)


@forest.command(name="queue")
def forest_queue(
    config: str = "placement_study", *, sets: Sets = (), html: Path | None = None, output: Output = PLAIN
) -> int:
    """Test whether orders that rest fill more where the price is foretold to come to them, on two levels.

    Example: tickwright forest queue --set params.life_s=10 --html queue.html

    Parameters
    ----------
    config
        A TOML file of a placement study, or the name of one that ships.
    sets
        A value laid over the config, key=value; may be repeated.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.placement_command import queue_command

    return queue_command(config, sets, html, output)


@train.command(name="fills")
def train_fills(config: str, *, out: Path | None = None, overwrite: bool = False, output: Output = PLAIN) -> int:
    """Place virtual orders on recorded days and fit how probably they fill; needs the extra `learn`.

    Example: tickwright train fills fills_demo --out models/fills

    Parameters
    ----------
    config
        A TOML file of stocks, sizes and horizons, or the name of one that ships.
    out
        The folder for tables and results; models/NAME by default.
    overwrite
        Replace it.
    """
    from engine.fills_command import train_fills_command

    return train_fills_command(config, out, overwrite, output)


@vwap.command(name="fills")
def vwap_fills(folder: Path, *, html: Path | None = None, output: Output = PLAIN) -> int:
    """Show what a training of fill probabilities found: log-loss and calibration on held-out days, beside guesses.

    Example: tickwright vwap fills models/fills_demo --html fills.html

    Parameters
    ----------
    folder
        What `train fills` wrote.
    html
        Write one offline page with plots; needs the extra `report`.
    """
    from engine.fills_command import fills_report_command

    return fills_report_command(folder, html, output)


@vwap.command(name="gap")
def vwap_gap(config: str, *, output: Output = PLAIN) -> int:
    """Hold an agent's calibrated problem against full replay: cost, fills and completion, and what differs by what.

    Example: tickwright vwap gap vwap_gap_demo

    Parameters
    ----------
    config
        A TOML file of a run with an agent and of days, or the name of one that ships.
    """
    from engine.vwap_gap_command import gap_command

    return gap_command(config, output)


@vwap.command(name="report")
def vwap_report(folder: Path, *, html: Path | None = None, study: Path | None = None, output: Output = PLAIN) -> int:
    """Show what a training of placement found: costs, styles, surfaces, and which sentences of the slides hold.

    Example: tickwright vwap report agents/vwap_test --html vwap.html

    Parameters
    ----------
    folder
        What `train vwap` wrote.
    html
        Write one offline page with plots; needs the extra `report`.
    study
        Show backtest statistics, too: what `vwap study CONFIG --json` answered, kept in a file.
    """
    from engine.vwap_report_command import report_command

    return report_command(folder, html, study, output)


@vwap.command(name="study")
def vwap_study(config: str, *, null: bool = False, out: Path | None = None, output: Output = PLAIN) -> int:
    """Work parent orders on held-out days with an agent and with each baseline, and say what they cost against VWAP.

    Example: tickwright vwap study vwap_study_demo --out parents.csv

    Parameters
    ----------
    config
        A TOML file that names arms, days, models and sizes, or the name of one that ships.
    null
        Draw the sign of each move of the mid anew first, so that there is no alpha: the study must find none.
    out
        A CSV of every parent in every arm.
    """
    from engine.vwap_study_command import vwap_study_command

    return vwap_study_command(config, out, output, null=null)


KeyRoles = Annotated[tuple[Literal["md", "push", "orders", "admin"], ...], Parameter(name="--role")]


@keys.command(name="new")
def new_key(
    name: str = "",
    *,
    roles: KeyRoles = (),
    accounts: Annotated[tuple[str, ...], Parameter(name="--account")] = (),
    folder: Path | None = None,
    output: Output = PLAIN,
) -> int:
    """Make the keys for everything on this machine; with a name, for a client more.

    Example: tickwright keys new

    Example: tickwright keys new desk7 --account desk7 --account hedges

    Parameters
    ----------
    name
        Of the client.
    roles
        md (hears the market), push (gives the feed rows), orders, admin (kill switch); md and orders by default. May be
        repeated.
    accounts
        That it may trade: one called like it by default, '*' for all. May be repeated.
    folder
        Of the keys; $TICKWRIGHT_KEYS by default, else tickwright/keys in the user's configuration directory.
    """
    from engine.live.keys_command import new_command

    return new_command(name, roles, accounts, folder, output)


@keys.command(name="list")
def list_keys(*, folder: Path | None = None, output: Output = PLAIN) -> int:
    """Say who may come in, and as what.

    Example: tickwright keys list

    Parameters
    ----------
    folder
        As `keys new` takes it.
    """
    from engine.live.keys_command import list_command

    return list_command(folder, output)


@keys.command
def revoke(name: str, *, roles: KeyRoles = (), folder: Path | None = None, output: Output = PLAIN) -> int:
    """Take a client's keys away; feed and broker refuse it once they got SIGHUP.

    Example: tickwright keys revoke desk7

    Parameters
    ----------
    name
        Of the client.
    roles
        Only these; may be repeated.
    folder
        As `keys new` takes it.
    """
    from engine.live.keys_command import revoke_command

    return revoke_command(name, roles, folder, output)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the value is the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = _answer(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `tickwright … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say, also not at exit
        return OK


def _answer(words: list[str]) -> int:
    """What the command returns; its errors as one sentence on standard error, and an exit code."""
    as_json = "--json" in words
    try:
        return app(words, exit_on_error=False, print_error=False, result_action="return_value") or OK
    except CycloptsError as error:
        return _fail("usage", f"{error}".strip() or type(error).__name__, USAGE, as_json)
    except StrategyError as error:
        return _fail("strategy", str(error), STRATEGY, as_json)
    except TickwrightError as error:
        return _fail(type(error).__name__, str(error), CURABLE, as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        cure = "check the path, its permissions and the space on its disk"
        return _fail("OSError", f"{where}{error.strerror or error}; {cure}", CURABLE, as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", "interrupted", INTERRUPTED, as_json)


def _fail(kind: str, message: str, code: int, as_json: bool) -> int:
    if as_json:
        say(Output(json=True), {"error": {"kind": kind, "message": message}, "exit_code": code}, [])
    print(f"tickwright: {message}", file=sys.stderr)
    return code


def say(output: Output, answer: Any, lines: list[str]) -> None:
    """Give the answer: one JSON object, or lines for people."""
    if output.json:
        import msgspec

        print(msgspec.json.encode(answer, enc_hook=_in_json).decode())
    else:
        print("\n".join(lines))


def _in_json(value: Any) -> Any:
    """numpy's numbers and arrays are numbers, whatever else JSON has no word for is its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _version() -> str:
    from engine.run_folder import version

    return version("tickwright")


if __name__ == "__main__":  # python -m engine.cli
    sys.exit(main())
