"""What ``tickwright forest own-orders`` and ``tickwright forest queue`` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from engine import placement_views as views
from engine.cli import OK, Output, say
from engine.config import load
from engine.curve_views import grid_lines
from engine.kernel_cache import ensure
from engine.learning.own_orders import study_own_orders
from engine.learning.placements import StudyMarket, study_market
from engine.learning.queue_fills import study_queue
from engine.reports.forest_page import write_forest_page
from engine.shipped import find_config


def own_orders_command(name: str, sets: Sequence[str], html: Path | None, output: Output) -> int:
    """Replays, tables, and the page where a file is named."""
    found = study_own_orders(_market(name, sets, output), tell=_telling(output))
    facts = views.own_orders_facts(found)
    page = ""
    if html:
        title = f"Signals against own orders: {found.symbol}"
        page = str(write_forest_page(html, title, facts, views.own_orders_sections(found)))
    lines = [*facts]
    for grid in views.own_orders_grids(found):
        lines += grid_lines(grid)
    lines += ["", *views.own_orders_verdicts(found), "", _page(page)]
    say(output, {"study": found, "page": page}, lines)
    return OK


def queue_command(name: str, sets: Sequence[str], html: Path | None, output: Output) -> int:
    """Replays, the test, and the page where a file is named."""
    found = study_queue(_market(name, sets, output), tell=_telling(output))
    facts = views.queue_facts(found)
    page = ""
    if html:
        title = f"Passively filled quantity and signals: {found.symbol}"
        page = str(write_forest_page(html, title, facts, views.queue_sections(found)))
    lines = [*facts, *grid_lines(views.queue_grid(found)), "", *views.queue_verdicts(found), "", _page(page)]
    say(output, {"study": found, "page": page}, lines)
    return OK


def _market(name: str, sets: Sequence[str], output: Output) -> StudyMarket:
    config = load(find_config(name), sets=sets)
    ensure()
    _telling(output)("the market")
    return study_market(config)


def _telling(output: Output):
    console = Console(stderr=True)
    is_quiet = output.quiet or output.json
    return lambda what: None if is_quiet else console.print(f"replaying {what}", highlight=False)


def _page(page: str) -> str:
    return f"page      {page}" if page else "page      with --html FILE"
