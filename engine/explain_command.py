"""What ``tickwright explain`` does."""

from __future__ import annotations

from pathlib import Path

from engine.cli import OK, Output, say


def explain_command(folder: Path, out: Path | None, output: Output) -> int:
    """What a swaption seller earned, close by close, and from what; stress and margin under each hedging rule."""
    from engine.reports.short_gamma import report_lines, short_gamma_report, write_daily

    found = short_gamma_report(folder)
    file = str(write_daily(found, out)) if out else ""
    answer = {
        "sales": found.sales,
        "notional": found.notional,
        "declined": dict(found.declined),
        "total": {name: float(values.sum()) for name, values in found.daily.items()},
        "rules": [row._asdict() for row in found.rules],
        "file": file,
    }
    daily = file or "with --out FILE.csv; docs/strategies.md defines the columns"
    say(output, answer, [*report_lines(found), "", f"daily       {daily}"])
    return OK
