"""What ``tickwright data stats`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.cli import OK, Output, say
from engine.data_commands import find_tape
from engine.kernel_cache import ensure

WIDTH = 110  # of the tables where there is no terminal


def stats_command(name: str, symbol: str, html: Path | None, output: Output) -> int:
    """The microstructure of a tape: tables, one JSON object, or a page as well."""
    cache = ensure()
    from engine.reports.microstructure import microstructure
    from engine.reports.stats_page import tables, write_stats_page

    tape = find_tape(name)
    if not output.quiet and not any(cache.rglob("microstructure_*.nbi")):
        print(f"{'kernels':<10}compiled once, for about ten seconds, into {cache}", file=sys.stderr)
    with _progress(len(tape), quiet=output.quiet) as progress:
        found = microstructure(tape, symbol, progress=progress)
    page = str(write_stats_page(html, found, tape.manifest, len(tape))) if html else ""
    answer = {"tape": str(tape.path), "synthetic": tape.manifest.synthetic, "instruments": found, "page": page}
    if output.json:
        say(output, answer, [])
        return OK
    text = StringIO()
    width = Console().width if sys.stdout.isatty() else WIDTH
    Console(file=text, width=width, force_terminal=sys.stdout.isatty()).print(tables(found))
    closing = f"page      {page}" if page else "plots     with --html FILE; docs/stats.md defines every statistic"
    synthetic = ["          SYNTHETIC: generated, not recorded"] if tape.manifest.synthetic else []
    say(output, answer, [f"tape      {tape.path}", *synthetic, "", text.getvalue().rstrip(), "", closing])
    return OK


@contextmanager
def _progress(rows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of the rows read, on standard error where that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda done: None
        return
    columns = TextColumn("{task.completed:,.0f} rows"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=rows)
        yield lambda done: bar.update(task, completed=done)
