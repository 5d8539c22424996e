"""What ``tickwright costs`` does."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.cli import OK, Output, say
from engine.kernel_cache import ensure


def costs_command(folder: Path, html: Path | None, counterfactual: bool, output: Output) -> int:
    """The execution cost analysis of a run: tables, one JSON object, or a page as well."""
    ensure()
    from engine.reports.execution import analyse
    from engine.reports.execution_text import text

    shows = not output.quiet and not output.json and sys.stderr.isatty()
    found = analyse(
        folder, counterfactual=counterfactual, step=lambda what: print(what, file=sys.stderr) if shows else None
    )
    page = ""
    if html:
        from engine.reports.execution_page import write_costs_page

        page = str(write_costs_page(html, found))
    closing = f"page        {page}" if page else "pictures    with --html FILE; docs/costs.md defines every number"
    say(output, {"costs": found, "page": page}, [*text(found), "", closing])
    return OK
