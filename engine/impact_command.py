"""What ``tickwright impact …`` does: estimates with their errors, beside a region's, and a block for a run's config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import REGIONS, UNITS_A_DAY, Parameters, Propagator, Region
from engine.cli import OK, Output, say
from engine.data_commands import find_tape
from engine.errors import ConfigError
from engine.executions import START, as_table, measure_run, read_table
from engine.flow_response import FlowResponse, fit_response
from engine.impact_fit import Fit, Forecast, check_forward, fit_executions
from engine.propagator_fit import PropagatorFit, fit_propagator
from engine.tape import Tape
from engine.toml_text import toml_text
from engine.touch_flow import FLOWS

TABLES = (".csv", ".parquet", ".pq")
NAMES = Parameters.__struct_fields__
SPREAD_NAMES = ("1 tick", "2 ticks", "3 or more")
SHOWN_LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def fit_command(
    sources: Sequence[str],
    region: Region,
    units_a_day: int | None,
    symbol: str,
    lags: int,
    after: int,
    out: Path | None,
    output: Output,
) -> int:
    """From executions (tables, run folders) or from a tape, whichever the sources are."""
    if not sources:
        raise ConfigError("impact fit: name a table of executions, run folders, or a tape")
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists; choose another --out file")
    if any(_is_executions(source) for source in sources):
        lines, answer, model = _from_executions(sources, region, units_a_day)
    elif len(sources) == 1:
        lines, answer, model = _from_tape(find_tape(sources[0]), region, symbol, lags, after)
    else:
        raise ConfigError(
            f"impact fit: {sources[0]} is neither a table ({', '.join(TABLES)}) nor a run folder; several sources must "
            "be tables or runs, and a tape stands alone"
        )
    # without the line [broker], which the config that takes it may have
    block = toml_text({"broker": {"impact": model}}).removeprefix("\n[broker]\n").lstrip()
    if out is not None:
        _write(out, block)
        lines.append(f"wrote     {out}")
    if not output.quiet:
        lines += ["", "# for a run's config", block.rstrip()]
    say(output, {**answer, "toml": block, "out": str(out or "")}, lines)
    return OK


def show_command(output: Output) -> int:
    """The parameters that ship, by region."""
    rows = [[name, *(f"{getattr(REGIONS[region], name):g}" for region in REGIONS)] for name in NAMES]
    meaning = {
        "alpha": "bp, of an impulse at participation 1 and daily volatility 1",
        "beta": "power of the daily volatility, as a fraction",
        "gamma": "power of the participation",
        "omega": "power with which impact decays in volume time",
        "delta": "part of the quoted spread that a schedule's fills pay",
    }
    lines = _columns(["", *REGIONS, ""], [[*row, meaning[row[0]]] for row in rows])
    lines += ["", f"volume time: half-hours of average volume, {UNITS_A_DAY} a day; docs/impact.md has the models"]
    say(output, {"regions": REGIONS, "units_a_day": UNITS_A_DAY}, lines)
    return OK


def _from_executions(
    sources: Sequence[str], region: Region, units_a_day: int | None
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    tables, executions, notes, clocks = [], [], [], set()
    for source in sources:
        if not _is_executions(source):
            raise ConfigError(f"impact fit: {source} is neither a table ({', '.join(TABLES)}) nor a run folder")
        if Path(source).suffix.lower() in TABLES:
            tables.append(read_table(Path(source)))
        else:
            measured = measure_run(Path(source))
            executions += measured.executions
            notes += measured.left_out
            clocks.add(measured.units_a_day)
    units = _units(clocks, units_a_day)
    if tables and executions:
        raise ConfigError("impact fit: tables and run folders in one fit; fit them apart, their costs are of two kinds")
    table = _joined(tables) if tables else as_table(executions)
    fit = fit_executions(table, region=region, units_a_day=units)
    forecast, unchecked = _forward(table, region, units)
    lines = [f"parents   {fit.parents:,} of {', '.join(sources)}"]
    if executions:
        lines.append(
            "          SIMULATED: the impact that is fitted is the broker's own, and no evidence of a market's"
        )
    lines += [f"left out  {note}" for note in notes]
    lines += ["", *_estimates(fit, region), "", *_quality(fit), *_forecast(forecast, unchecked, region)]
    answer: dict[str, Any] = {
        "kind": "executions",
        "sources": list(sources),
        "region": region,
        "units_a_day": units,
        "fit": fit,
        "prior": REGIONS[region],
        "forecast": forecast,
        "unchecked": unchecked,
        "left_out": notes,
        "executions": executions,
    }
    return lines, answer, _model(region, units, parameters=fit.parameters)


def _from_tape(
    tape: Tape, region: Region, symbol: str, lags: int, after: int
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    symbols = [instrument.symbol for instrument in tape.instruments]
    if not symbol and len(symbols) > 1:
        raise ConfigError(f"impact fit: the tape has {', '.join(symbols)}; say which with --symbol")
    chosen = symbol or symbols[0]
    propagator = fit_propagator(tape, chosen, lags=lags)
    response = fit_response(tape, chosen, after=after)
    refusal, used = "", None
    try:
        used = propagator.parameters(REGIONS[region])
    except ConfigError as error:
        refusal = str(error)
    lines = [f"tape      {tape.path}", f"symbol    {chosen}"]
    if tape.manifest.synthetic:
        lines.append("          SYNTHETIC: generated, not recorded")
    lines += [
        f"trades    {propagator.transactions:,}, each a step of volume time",
        "",
        *_columns(
            ["", "estimate", "error", region],
            [["omega", *(f"{x:.4g}" for x in (propagator.omega, propagator.omega_error, REGIONS[region].omega))]],
        ),
    ]
    if refusal:
        lines += [f"refused   {refusal}", f"          {region}'s omega stands in below"]
    lines += ["", *_propagator(propagator), "", *_responses(response)]
    answer: dict[str, Any] = {
        "kind": "tape",
        "tape": str(tape.path),
        "symbol": chosen,
        "synthetic": tape.manifest.synthetic,
        "region": region,
        "propagator": propagator,
        "refused": refusal,
        "response": response,
        "prior": REGIONS[region],
    }
    return lines, answer, _model(region, UNITS_A_DAY, parameters=used, model="hfmi", impulses=response.impulses())


def _is_executions(source: str) -> bool:
    path = Path(source)
    return path.suffix.lower() in TABLES or (path / "journal.bin").is_file()


def _units(clocks: set[int], asked: int | None) -> int:
    """Clock units a day: the runs', or what was asked for."""
    if len(clocks | ({asked} if asked else set())) > 1:
        said = f" and --units-a-day says {asked}" if asked else ""
        raise ConfigError(f"impact fit: the runs' units_a_day are {sorted(clocks)}{said}; fit them apart")
    return next(iter(clocks), asked or UNITS_A_DAY)


def _joined(tables: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """One below the other; ``start`` only where all have it."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    return {name: np.concatenate([table[name] for table in tables]) for name in names}


def _forward(table: Mapping[str, NDArray[Any]], region: Region, units: int) -> tuple[Forecast | None, str]:
    """The check, or why there is none."""
    if START not in table:
        return None, f"the table has no column {START}"
    try:
        return check_forward(table, table[START], region=region, units_a_day=units), ""
    except ConfigError as error:
        return None, str(error)


def _model(region: Region, units_a_day: int, **fields: Any) -> dict[str, Any]:
    """A [broker.impact] table, without what is as by default."""
    model = Propagator(region=region, units_a_day=units_a_day, **fields)
    plain, default = msgspec.to_builtins(model), msgspec.to_builtins(Propagator())
    always = ("type", "model", "region", "units_a_day")
    return {key: value for key, value in plain.items() if key in always or value != default[key]}


def _estimates(fit: Fit, region: Region) -> list[str]:
    rows = [
        [name, f"{getattr(fit.parameters, name):.4g}", f"{fit.errors[name]:.3g}", f"{getattr(REGIONS[region], name):g}"]
        for name in NAMES
    ]
    return _columns(["", "estimate", "error", region], rows)


def _quality(fit: Fit) -> list[str]:
    return [
        f"residual  {fit.residual_bp:.4g} bp, root of the mean square",
        f"noise     {fit.noise:.3g} of what prices wander while a parent trades (1: nothing else moves its cost)",
    ]


def _forecast(found: Forecast | None, unchecked: str, region: Region) -> list[str]:
    if found is None:
        return [f"forward   not checked: {unchecked}"]
    return [
        f"forward   fitted to the first {found.earlier:,} parents, R2 of the later {found.later:,}: "
        f"{found.fitted_r2:.4f}, with {region}'s parameters {found.region_r2:.4f}"
    ]


def _propagator(fit: PropagatorFit) -> list[str]:
    shown = [lag for lag in SHOWN_LAGS if lag <= len(fit.response_bp)]
    rows = [
        [
            f"{lag}",
            f"{fit.response_bp[lag - 1]:.4g}",
            f"{fit.response_error[lag - 1]:.2g}",
            f"{fit.propagator_bp[lag - 1]:.4g}",
            f"{fit.propagator_error[lag - 1]:.2g}",
        ]
        for lag in shown
    ]
    return _columns(["lag", "response bp", "error", "propagator bp", "error"], rows)


def _responses(fit: FlowResponse) -> list[str]:
    """By event and spread, over the fifths of imbalance against and with it."""
    rows = [
        [name, spread, *(f"{response:.3f} ± {error:.3f}" for response, error in zip(*cells, strict=True))]
        for name, responses, errors in zip(FLOWS, fit.response, fit.error, strict=True)
        for spread, *cells in zip(SPREAD_NAMES, responses, errors, strict=True)
    ]
    head = ["event", "spread", "imbalance -1", "-0.5", "0", "0.5", "1"]
    return [
        f"the mid's response in bp, {fit.after} events later, by imbalance towards the event",
        *_columns(head, rows),
    ]


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Words to the left, numbers to the right."""
    cells = [head, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    is_number = [all(row[k][:1] in "-0123456789" for row in rows) for k in range(len(head))]
    return [
        "  ".join(f"{c:>{w}}" if n else f"{c:<{w}}" for c, w, n in zip(row, widths, is_number, strict=True)).rstrip()
        for row in cells
    ]


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); choose another --out file") from None
