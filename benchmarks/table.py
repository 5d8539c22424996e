"""The table of results: what was measured, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

NOTHING = "-"
HEAD = """# What was measured

Million rows a second, best / median; in brackets the best over the reference loop's (`reference.py`).
Written by `python -m benchmarks`.

| workload | tickwright | hftbacktest, compiled | hftbacktest, Python loop | to reach |
|---|---|---|---|---|
"""


class Row(msgspec.Struct, frozen=True):
    """A line of the table: a workload of ours beside two of the peer's (compiled; its loop in Python), "" for none."""

    title: str
    ours: str
    compiled: str
    python: str
    reach: str


ROWS = (
    Row("wake every 100 ms, no orders", "wake", "wake", "wake_python", "65, aim 90"),
    Row("maker: two orders replaced every 100 ms", "maker", "maker", "maker_python", "25, aim 40"),
    Row("maker, its trades moving the market", "maker_moves", "", "", "20, and 60 % of the maker's"),
    Row("slicer: one child order each second", "slicer", "slicer", "slicer_python", "60, aim 90"),
    Row("woken on every row (1 M rows)", "every_row", "every_row", "every_row_python", "1.7, aim 3"),
    Row("100 instruments, wake every 100 ms", "hundred", "hundred", "hundred_python", "40"),
)
COMMANDS = (
    ("tickwright --help", "< 0.5 s"),
    ("tickwright demo, first", "< 20 s, compile included"),
    ("tickwright demo, later", "< 3 s"),
)


def render(rows: Sequence[Row], measured: list[dict[str, Any]], conditions: dict[str, Any]) -> str:
    """The table of ``measured`` (the lines of RESULTS.jsonl), with the conditions below it."""
    found = {(one["engine"], one["what"]): one for one in measured}

    def cell(engine: str, what: str, say: Any) -> str:
        one = found.get((engine, what))
        return say(one) if one else NOTHING

    lines = [
        [row.title, cell("tickwright", row.ours, _rate), cell("hftbacktest", row.compiled, _rate),
         cell("hftbacktest", row.python, _rate), row.reach]
        for row in rows
    ]  # fmt: skip
    lines.append(
        ["open 10 M rows, to the first event", cell("tickwright", "open", _milliseconds),
         cell("hftbacktest", "open", _milliseconds), NOTHING, "< 50 ms"]
    )  # fmt: skip
    for rows_, limit in (("maker_1m", ""), ("maker", "< 300 MB, flat")):
        title = f"peak private memory, maker, {1 if rows_ == 'maker_1m' else 10} M rows"
        ours, peer = (cell(engine, f"memory {rows_}", _megabytes) for engine in ("tickwright", "hftbacktest"))
        lines.append([title, ours, peer, NOTHING, limit])
    lines += [[f"`{name}`", cell("tickwright", name, _seconds), NOTHING, NOTHING, limit] for name, limit in COMMANDS]
    body = "".join(f"| {title} | **{ours}** | {' | '.join(rest)} |\n" for title, ours, *rest in lines)
    notes = "".join(f"* {key}: {value}\n" for key, value in conditions.items())
    runs = "".join(f"* {one['engine']} {one['what']}: {one['info']}\n" for one in measured if one.get("info"))
    return f"{HEAD}{body}\n## Conditions\n\n{notes}\n## What the runs did\n\n{runs}"


def _rate(one: dict[str, Any]) -> str:
    best, median = (one["rows"] / pick(one["seconds"]) for pick in (min, statistics.median))
    return f"{best / 1e6:.3g} / {median / 1e6:.3g} ({best / one['reference_rows_per_s']:.3g})"


def _seconds(one: dict[str, Any]) -> str:
    return f"{min(one['seconds']):.2f} / {statistics.median(one['seconds']):.2f} s"


def _milliseconds(one: dict[str, Any]) -> str:
    return f"{1000 * min(one['seconds']):.3g} / {1000 * statistics.median(one['seconds']):.3g} ms"


def _megabytes(one: dict[str, Any]) -> str:
    return f"{one['private_mb']:.0f} MB"
