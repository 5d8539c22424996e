"""What ``run``, ``verify``, ``configs`` and ``bench`` do; ``cli.py`` says how they are called."""

from __future__ import annotations

import subprocess
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from engine import run_folder
from engine.broker.impact import NoImpact
from engine.cli import INTERRUPTED, MISMATCH, OK, STRATEGY, Output, say
from engine.config import build, load
from engine.counterfactual import without_impact
from engine.errors import RunError, StrategyError
from engine.feed import Feed
from engine.kernel_cache import ensure
from engine.progress import RunProgress
from engine.reports.banner import banner
from engine.reports.summary import summary
from engine.result import Result
from engine.run import run_into
from engine.shipped import find_config, shipped_configs
from engine.verify import verify

ENGINE = Path(__file__).resolve().parent


def run_command(
    name: str,
    sets: list[str],
    seed: int | None,
    chunks: int | None,
    out: Path | None,
    overwrite: bool,
    counterfactual: bool,
    output: Output,
) -> int:
    """Banner, progress, summary, run folder; where own orders moved the market, the run without that beside it."""
    cache = ensure()
    setup = build(
        load(find_config(name), sets=sets, seed=seed), feed_overrides={} if chunks is None else {"chunks": chunks}
    )
    folder = run_folder.create(out or Path("runs") / setup.config.name, overwrite=overwrite)
    if not output.quiet:
        market = setup.feed.tape.manifest
        print("\n".join(banner(setup.config, market, len(setup.feed.tape.rows))), file=sys.stderr)
        if not any(cache.rglob("*.nbi")):
            print(f"{'kernels':<12}compiled once, for about 20 s, into {cache}", file=sys.stderr)
    failure: StrategyError | None = None
    with progress(setup.feed, output) as watch:
        try:
            result = run_into(folder, setup, watch=watch)
        except StrategyError as error:
            failure = error
            result: Result = error.result  # type: ignore[attr-defined,no-redef]
    without = None
    is_moved = any(instrument.kind != "rates" for instrument in setup.feed.tape.instruments)  # deals move no market
    moves = is_moved and not isinstance(setup.config.broker.impact, NoImpact)
    if counterfactual and moves and failure is None and not result.partial:
        without = without_impact(setup.config)
        run_folder.keep_counterfactual(folder, without)
    page = _page(folder) if setup.config.report.html else ""
    answer: dict[str, Any] = {"result": result, "without_impact": without, "report": page}
    lines = ["", *summary(result, without), *([f"{'report':<12}{page}"] if page else [])]
    if setup.config.report.costs and failure is None and not result.partial:
        from engine.reports.execution import analyse  # not needed by every run
        from engine.reports.execution_text import text

        answer["costs"] = costs = analyse(folder, counterfactual=counterfactual)
        lines += ["", *text(costs)]
    if failure is not None:
        print("".join(_users_traceback(failure)), end="", file=sys.stderr)
        answer["error"] = {"kind": "strategy", "message": str(failure), "notes": _notes(failure)}
    say(output, answer, lines)
    if failure is not None:
        print("\n".join([f"tickwright: {failure}", *_notes(failure)]), file=sys.stderr)
        return STRATEGY
    return INTERRUPTED if result.partial else OK


def verify_command(folder: Path, output: Output) -> int:
    """The matching fingerprint, or the first record that differs, both sides."""
    found = verify(folder)
    lines = [f"note        {note}" for note in found.notes]
    if found.matches:
        part = f" so far; the run is partial: {found.partial}" if found.partial else ""
        lines += [f"matches     {found.records:,} records{part}", f"fingerprint {found.fingerprint}"]
    else:
        lines += [
            f"DIFFERS     at record {found.first_difference:,} of {found.records:,}",
            f"recorded    {found.recorded or 'nothing: the recorded journal has ended'}",
            f"now         {found.repeated or 'nothing: this run has ended'}",
        ]
    say(output, found, lines)
    return OK if found.matches else MISMATCH


def configs_command(output: Output) -> int:
    """Name and first comment of every config that ships."""
    found = {name: _first_comment(path) for name, path in shipped_configs().items()}
    width = max(map(len, found), default=0)
    say(output, {"configs": found}, [f"{name:<{width}}  {text}" for name, text in found.items()])
    return OK


def bench_command(output: Output) -> int:
    """``python -m benchmarks`` in the checkout that this engine runs from."""
    root = ENGINE.parent
    if not (root / "benchmarks" / "__main__.py").is_file():
        raise RunError("the benchmarks are not part of the installed package; clone the project and run `make bench`")
    code = subprocess.run(
        [sys.executable, "-m", "benchmarks"], cwd=root, stdout=sys.stderr if output.json else None, check=False
    ).returncode
    if output.json:
        say(output, {"exit_code": code, "results": str(root / "benchmarks" / "RESULTS.jsonl")}, [])
    return code


def progress(feed: Feed, output: Output) -> RunProgress | nullcontext[None]:
    """A progress line where somebody can see it."""
    console = Console(stderr=True)
    return nullcontext() if output.quiet or output.json or not console.is_terminal else RunProgress(feed, console)


def _page(folder: Path) -> str:
    """The page's path, or "" where the extra `report` is not installed."""
    try:
        from engine.reports.page import write_page
    except ImportError:
        return ""
    return str(write_page(folder))


def _users_traceback(error: StrategyError) -> list[str]:
    """The strategy's own frames of what it raised: ours, which come first, tell its author nothing."""
    raised = error.__cause__ or error
    frames = traceback.extract_tb(raised.__traceback__)
    theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(ENGINE)]
    shown = frames[frames.index(theirs[0]) :] if theirs else frames
    head = "Traceback (most recent call last):\n"
    return [head, *traceback.format_list(shown), *traceback.format_exception_only(raised)]


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").removeprefix(f"configs/{path.name}:").strip() if first.startswith("#") else ""
