"""What ``tickwright top`` does: a live view of a paper broker, from its admin socket."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from engine import clock
from engine.cli import OK, Output
from engine.cli import say as answer
from engine.errors import RunError
from engine.live.admin import Admin, running_sessions
from engine.live.session import live_config, live_of
from engine.live.standing import AccountStanding, Standing
from engine.live_config import Live
from engine.reports.formats import counts, moment, money

LEAST_S = 0.1


def top_command(config: str, once: bool, every: float, output: Output) -> int:
    """Look, and look again until Ctrl-C or the end."""
    live = _chosen(config)
    with Admin(live) as admin:
        if output.json:
            answer(output, admin.standing(), [])
            return OK
        if once:
            before, then = admin.standing(), clock.seconds()
            time.sleep(LEAST_S)
            standing = admin.standing()
            rate = (standing.rows - before.rows) / (clock.seconds() - then)
            answer(output, standing, plain_lines(standing, clock.wall_ns(), rate))
            return OK
        _watch(admin, max(every, LEAST_S))
    return OK


def _chosen(config: str) -> Live:
    if config:
        return live_of(live_config(config))
    running = running_sessions()
    if not running:
        raise RunError("no session of this user runs on this machine; name a config or a run folder")
    return running[0].live


def _watch(admin: Admin, every: float) -> None:
    before, then = admin.standing(), clock.seconds()
    with Screen(console=Console(), screen=True, auto_refresh=False) as screen:
        try:
            while before.state != "ended":
                time.sleep(every)
                now, seconds = admin.standing(), clock.seconds()
                rate = (now.rows - before.rows) / max(seconds - then, 1e-9)
                screen.update(view(now, clock.wall_ns(), rate), refresh=True)
                before, then = now, seconds
        except KeyboardInterrupt:
            return


def view(standing: Standing, wall_ns: int, rows_per_s: float) -> Group:
    """The screen: what the market does, who trades, and what is wrong, in red."""
    parts: list[Text | Table] = []
    for name, text in market_lines(standing, wall_ns, rows_per_s):
        parts.append(Text(f"{name:<12}{text}", style="bold red" if name in WRONG else ""))
    table = Table("account", "acts", "wakes", "position", "P/L", "open", "sent", "fills", box=None, pad_edge=False)
    for one in standing.accounts:
        table.add_row(*_cells(one), style="" if one.attached else "dim")
    return Group(*parts, Text(""), table)


WRONG = {"KILLED", "NOT EQUAL", "refused"}


def market_lines(standing: Standing, wall_ns: int, rows_per_s: float) -> list[tuple[str, str]]:
    """(what, how) of everything that is not an account's."""
    behind = max(0, standing.next_seq - standing.rows)
    lag = "" if not standing.ts_pub else f", last heard {max(0, wall_ns - standing.ts_pub) / 1e6:,.0f} ms ago"
    waits = f" for {', '.join(standing.waiting_for)}" if standing.waiting_for else ""
    lines = [
        ("run", f"{standing.run}: {standing.state}{waits}"),
        ("market", f"{moment(standing.market_ts)} UTC" if standing.market_ts else "no row yet"),
        ("rows", f"{standing.rows:,}, {rows_per_s:,.0f} a second, {behind:,} behind the feed{lag}"),
        ("losses", f"{standing.gaps:,} gaps, {standing.recoveries:,} requests, {standing.duplicates:,} rows twice"),
        ("journal", f"{standing.records:,} records, {standing.entries:,} log entries"),
    ]
    unanswered = sum(one.skipped_wakes for one in standing.accounts)
    if standing.late_orders or unanswered:
        late = f"{standing.late_orders:,} answers came late, {unanswered:,} not at all"
        lines.append(("NOT EQUAL", f"to a replay: {late}"))
    if standing.skipped_wakes:
        lines.append(("hurried", f"{standing.skipped_wakes:,} wakes that the market did not wait for"))
    if standing.refused:
        lines.append(("refused", counts(standing.refused)))
    lines += [("KILLED", f"{one.account or 'all'}: {one.why} (latch {one.number})") for one in standing.latches]
    return lines


def plain_lines(standing: Standing, wall_ns: int, rows_per_s: float) -> list[str]:
    """The same for a script's log."""
    lines = [f"{name:<12}{text}" for name, text in market_lines(standing, wall_ns, rows_per_s)]
    heads = ("acts", "wakes", "position", "P/L", "open", "sent", "fills")
    for one in standing.accounts:
        name, *cells = _cells(one)
        told = ", ".join(f"{head} {cell}" for head, cell in zip(heads, cells, strict=True) if cell)
        lines.append(f"{'account':<12}{name}: {told}")
    return lines


def _cells(one: AccountStanding) -> tuple[str, ...]:
    return (
        one.name,
        ("client" if one.is_client else "strategy") if one.attached else "nobody",
        "" if one.is_client else f"{one.answered:,}/{one.wakes:,}",
        ", ".join(f"{symbol} {units:+,}" for symbol, units in one.positions.items()) or "flat",
        ", ".join(f"{money(amount)} {currency}" for currency, amount in one.pnl.items()) or "0",
        f"{one.open_orders:,}",
        f"{one.orders:,}" + (f" ({one.rejected:,} refused)" if one.rejected else ""),
        f"{one.fills:,}",
    )
