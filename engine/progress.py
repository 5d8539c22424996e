"""Progress on a terminal: of one run by market time, of a study by its steps; and time to go."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from engine import clock
from engine.cli import Output
from engine.feed import Feed
from engine.reports.formats import moment

EVERY_S = 0.1


class RunProgress:
    """Called at each wake with (market time, rows handed over); looks at the stopwatch and rarely does more.

    Parameters
    ----------
    feed : Feed
        Its sessions and rows say how much there is to come.
    console : Console
        Of standard error, so that results can be piped.
    """

    def __init__(self, feed: Feed, console: Console) -> None:
        self._rows = feed.tape.rows
        manifest = feed.tape.manifest
        spans = feed.tape.sessions or [(manifest.ts_first, manifest.ts_last)]
        self._start, self._end = spans[0][0], max(spans[-1][1], spans[0][0] + 1)
        self._progress = Progress(
            TextColumn("{task.fields[market_time]}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0, market_time="", speed="")
        self._began = self._next = clock.seconds()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, now: int, rows: int) -> None:
        seconds = clock.seconds()
        if seconds < self._next:
            return
        self._next = seconds + EVERY_S
        if len(self._rows):  # handed over in large bites, so count up to now
            rows = bisect_right(self._rows, now, key=lambda row: int(row["ts_event"]))
        speed = rows / max(seconds - self._began, 1e-9)
        self._progress.update(
            self._task,
            completed=min(1.0, max(0.0, (now - self._start) / (self._end - self._start))),
            market_time=moment(now // 1_000_000_000 * 1_000_000_000),
            speed=f"{speed / 1e6:.1f} M rows/s" if speed >= 1e6 else f"{speed:,.0f} rows/s",
        )


@contextmanager
def telling(count: int, output: Output, doing: str = "fitting") -> Iterator[Callable[[str], None]]:
    """A bar on standard error; where that is no terminal, a line at each twentieth."""
    console = Console(stderr=True)
    if output.quiet or output.json:
        yield lambda what: None
        return
    if not console.is_terminal:
        done = 0

        def line(what: str) -> None:
            nonlocal done
            done += 1
            if done * 20 // count > (done - 1) * 20 // count:
                console.print(f"{done} of {count}: {what}", highlight=False)

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=count)
        yield lambda what: bar.update(task, advance=1, description=what)
