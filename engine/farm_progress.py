"""How a farm gets on: a bar over all tickers with the time to go, and a line for each ticker that ends."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.cli import Output
from engine.learning.farm import Chunk, Done
from engine.learning.farm_folder import gap_closed


class Telling:
    """On standard error; nothing with ``quiet`` or ``json``, and no bar where that is no terminal.

    Where chunks are worked here, one after the other, the bar moves within them, too.
    """

    def __init__(self, chunks: Sequence[Chunk], output: Output) -> None:
        self._console = Console(stderr=True, quiet=output.quiet or output.json)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=output.quiet or output.json or not self._console.is_terminal,
        )
        self._sizes = [len(chunk.sources) for chunk in chunks]  # in the order in which they are worked here
        self._done = self._chunks = 0
        self._task = self._progress.add_task("training", total=max(1, sum(self._sizes)))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def part(self, part: float) -> None:
        """So much of the chunk that is worked on is done: 0 ... 1."""
        inside = part * self._sizes[min(self._chunks, len(self._sizes) - 1)]
        self._progress.update(self._task, completed=self._done + inside)

    def done(self, done: Done) -> None:
        """A chunk has ended."""
        self._chunks += 1
        self._done += len(done.chunk.sources)
        self._progress.update(self._task, completed=self._done)
        count = f"{self._done} of {sum(self._sizes)}"
        for run in done.runs:
            rest = f"{run.cost - run.optimum:.3f} above the optimum, {gap_closed(run):.1%} of the gap from TWAP"
            self._say(f"{count}  {run.ticker} at {100 * run.pov:g} %: {rest}, {run.seconds:.1f} core s")
        for ticker, why in done.failed.items():
            word = "lost" if done.is_lost else "failed"
            self._say(f"{count}  {ticker} {word}: {why}")

    def _say(self, line: str) -> None:
        # Whoever reads a log looks for lines: none is broken at the width of a terminal that is not there.
        self._console.print(line, highlight=False, soft_wrap=not self._console.is_terminal)
