"""What ``tickwright vwap report`` does: exhibits of a training of placement, and of a study if one is handed in."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from engine import vwap_views as views
from engine.cli import OK, Output, say
from engine.curve_views import grid_lines
from engine.kernel_cache import ensure
from engine.learning.vwap_exhibits import groups
from engine.learning.vwap_results import load_results
from engine.reports.vwap_page import Section, write_vwap_page
from engine.vwap_claims import claims


def report_command(folder: Path, html: Path | None, study: Path | None, output: Output) -> int:
    """The tables, and the page."""
    kept = load_results(folder)
    ensure()
    backtest = _backtest(study) if study else []
    console = Console(stderr=True)
    found = groups(kept, lambda what: None if output.quiet or output.json else console.print(what, highlight=False))
    told, grids = claims(found), views.tables(found)
    page = ""
    if html:
        title = f"Learned placement: {kept.results.name}"
        page = str(write_vwap_page(html, title, views.facts(kept.results), [*views.sections(found), *backtest]))
    lines = [
        kept.results.name,
        *views.facts(kept.results),
        *(line for grid in grids for line in grid_lines(grid)),
        *_backtest_lines(backtest),
        *(line for one in told for line in ("", f"{one.claim}: {one.verdict.upper()}", *one.measured)),
        "",
        f"page      {page}" if page else "page      with --html FILE",
    ]
    say(output, {"results": kept.results, "claims": [one._asdict() for one in told], "page": page}, lines)
    return OK


def _backtest(study: Path) -> list[Section]:
    from engine.vwap_backtest import backtest_section, read_study  # the broker, which no other exhibit needs

    return [backtest_section(read_study(study))]


def _backtest_lines(backtest: list[Section]) -> list[str]:
    return [line for one in backtest for part in (["", *one.notes], *map(grid_lines, one.grids)) for line in part]
