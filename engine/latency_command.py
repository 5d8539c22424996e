"""What ``tickwright latency`` does: money by the latency of each leg, and each signal's break-even."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from engine.cli import OK, Output, say
from engine.config import load
from engine.curve_views import grid_lines
from engine.errors import ConfigError
from engine.kernel_cache import ensure
from engine.latency_replays import FEW_UNITS
from engine.latency_study import SURE, BreakEven, Curve, LatencyStudy, study_latency
from engine.learning.signal_decay import Decay, signal_decays
from engine.reports.curve_page import Grid, Plot, Trace
from engine.reports.forest_page import LogPlot, Section, write_forest_page
from engine.shipped import find_config
from engine.strategy import MINUTE

MEANING = {
    "feed": "venue to desk: prices and signals are seen later",
    "decision": "data to forecast: signals are shown later, prices as before",
    "order": "desk to venue: orders and cancels arrive later",
}


def latency_command(
    name: str,
    sets: Sequence[str],
    markets: Sequence[str],
    seed: int | None,
    grid_ms: Sequence[float],
    block_minutes: int,
    html: Path | None,
    output: Output,
) -> int:
    """Replay, print, and draw where a file is named."""
    if any(not 0 <= ms <= 3_600_000 for ms in grid_ms):
        raise ConfigError("latency: --ms is from 0 to 3,600,000 milliseconds")
    layers = [[*sets, one] for one in markets] or [[*sets]]
    configs = [load(find_config(name), sets=layer, seed=seed) for layer in layers]
    ensure()
    console = Console(stderr=True)
    quiet = output.quiet or output.json

    def tell(what: str) -> None:
        if not quiet:
            console.print(f"replaying {what}", highlight=False)

    grid = [round(ms * 1e6) for ms in grid_ms]
    found = study_latency(configs, grid, block_ns=block_minutes * MINUTE, tell=tell)
    tell("the signals alone")
    decays = signal_decays(configs, grid)
    shown = [*sections(found), *map(decay_section, decays)]
    page = str(write_forest_page(html, f"Latency: {found.name}", facts(found), shown)) if html else ""
    lines = [*facts(found)]
    for table in [*(curve_grid(curve, found) for curve in found.curves), *map(decay_grid, decays)]:
        lines += grid_lines(table)
    lines += [
        "",
        *verdicts(found),
        *map(decay_verdict, decays),
        "",
        f"page      {page}" if page else "page      with --html FILE",
    ]
    say(output, {"study": found, "decays": decays, "page": page}, lines)
    return OK


def facts(found: LatencyStudy) -> list[str]:
    """What was replayed, and what differences are paired by."""
    few = f"; fewer than {FEW_UNITS}: errors say little" if found.units < FEW_UNITS else ""
    synthetic = "SYNTHETIC: what a signal earns here is built into the market, and no evidence"
    return [
        f"{found.name} on {found.markets[0]}" + (f" and {len(found.markets) - 1} more" if found.markets[1:] else ""),
        *([synthetic] if found.synthetic else []),
        f"money at the config's latencies: {found.money:,.2f} ± {found.money_error:,.2f} {found.currency}",
        f"paired by {found.units} {found.unit}{few}; ± is one standard error, drawing these again",
        f"signals: {', '.join(found.signals) or 'none; the decision leg holds nothing back and is left out'}",
    ]


def curve_grid(curve: Curve, found: LatencyStudy) -> Grid:
    """Latencies down; money, its change, and what each signal is worth across."""
    head = ["ms", found.currency, "change", "±", "told from 0"]
    for one in curve.worths:
        head += [f"worth of {one.signal}", "±", "still to come"]
    rows = []
    for k, ns in enumerate(curve.latency_ns):
        change, error = curve.change[k], curve.error[k]
        row = [f"{ns / 1e6:g}", *(f"{x:,.2f}" for x in (curve.money[k], change, error))]
        row.append("no change" if change == error == 0 else "yes" if abs(change) > SURE * error else "no")
        for one in curve.worths:
            row += [f"{one.worth[k]:,.2f}", f"{one.error[k]:,.2f}", f"{one.to_come[k]:.2f}"]
        rows.append(row)
    return Grid(f"{curve.leg}: {MEANING[curve.leg]}", head, rows)


def verdicts(found: LatencyStudy) -> list[str]:
    """Each signal's break-even along each leg."""
    return [
        f"break-even of {one.signal}, {curve.leg} leg: {_told(one.break_even, curve.latency_ns[-1])}"
        for curve in found.curves
        for one in curve.worths
    ]


def sections(found: LatencyStudy) -> list[Section]:
    """The page: a picture and a table a leg."""
    shown = []
    for curve in found.curves:
        at = [k for k, ns in enumerate(curve.latency_ns) if ns > 0]  # a logarithm has no 0
        ms = [curve.latency_ns[k] / 1e6 for k in at]
        traces = [
            Trace("money less that at the config's latencies", ms, [curve.change[k] for k in at]),
            Trace("95 %", ms, [curve.low[k] for k in at]),
            Trace("", ms, [curve.high[k] for k in at]),
        ]
        pictures = [LogPlot(Plot(f"{curve.leg}: the strategy", "ms", found.currency, traces))]
        for one in curve.worths:
            lines = [
                Trace("worth", ms, [one.worth[k] for k in at]),
                Trace("± 1 s.e.", ms, [one.worth[k] + one.error[k] for k in at]),
                Trace("", ms, [one.worth[k] - one.error[k] for k in at]),
                Trace("nothing", ms, [0.0] * len(ms)),
            ]
            pictures.append(LogPlot(Plot(f"{curve.leg}: worth of {one.signal}", "ms", found.currency, lines)))
        notes = [MEANING[curve.leg]]
        notes += [f"break-even of {one.signal}: {_told(one.break_even, curve.latency_ns[-1])}" for one in curve.worths]
        shown.append(Section(f"{curve.leg} leg", notes, pictures, [curve_grid(curve, found)]))
    return shown


def decay_grid(one: Decay) -> Grid:
    """What is left of a signal by latency, without any strategy."""
    rows = [
        [f"{ns / 1e6:g}", f"{left:+.3f}", f"{error:.3f}", f"{left - one.cost:+.3f}"]
        for ns, left, error in zip(one.latency_ns, one.left, one.error, strict=True)
    ]
    title = (
        f"{one.signal} alone: the move still to come, ticks, after {one.told:,} of {one.of:,} signals that tell up or "
        f"down; to take costs {one.cost:.3f}"
    )
    return Grid(title, ["ms", "left", "±", "less the cost"], rows)


def decay_verdict(one: Decay) -> str:
    """How late who takes may be."""
    half = "" if one.half_ns is None else f"; half of that is gone after {_ms(one.half_ns, one.latency_ns[-1])}"
    if not one.break_even.told:
        return f"{one.signal} alone: {one.left[0]:+.3f} ticks at once do not pay for taking, {one.cost:.3f}{half}"
    return f"{one.signal} alone pays for taking until {_told(one.break_even, one.latency_ns[-1])}{half}"


def decay_section(one: Decay) -> Section:
    """A picture and a table."""
    ms = [ns / 1e6 for ns in one.latency_ns[1:]]
    traces = [
        Trace("move still to come", ms, one.left[1:]),
        Trace("± 1 s.e.", ms, [left + error for left, error in zip(one.left[1:], one.error[1:], strict=True)]),
        Trace("", ms, [left - error for left, error in zip(one.left[1:], one.error[1:], strict=True)]),
        Trace("half a spread and fee", ms, [one.cost] * len(ms)),
    ]
    plot = LogPlot(Plot(f"{one.signal}: what is left", "ms", "price ticks", traces))
    return Section(f"{one.signal} alone", [decay_verdict(one)], [plot], [decay_grid(one)])


def _told(one: BreakEven, last_ns: int) -> str:
    if not one.told:
        return "none: at the least latency its worth is not told from 0, or below it"
    low, high = (_ms(ns, last_ns) for ns in (one.low_ns, one.high_ns))
    return f"{_ms(one.ns, last_ns)} (95 %: {low} to {high})"


def _ms(ns: float | None, last_ns: int) -> str:
    return f"beyond {last_ns / 1e6:g} ms" if ns is None else f"{ns / 1e6:.3g} ms"
