"""Exhibits as files: a CSV for each table, and one offline page with everything."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.errors import RunError
from engine.reports.curve_page import Grid, figure
from engine.reports.exhibits import Exhibit, Verdict
from engine.reports.template import write_page

HEAD = ("ex.", "claim", "verdict", "number", "± 1 s.e.", "fair", "unit", "paper", "why")


def write_files(folder: Path, exhibits: Sequence[Exhibit]) -> list[Path]:
    """``exhibit_N.csv`` for each table and ``verdicts.csv``; a new folder.

    Raises
    ------
    RunError
        If the folder exists or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
        files = [_write(folder / f"exhibit_{one.number}.csv", one) for one in exhibits if one.table]
        with (folder / "verdicts.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Verdict._fields)
            writer.writerows(verdict for one in exhibits for verdict in one.verdicts)
    except FileExistsError:
        raise RunError(f"{folder} exists; choose another --out folder") from None
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another --out folder") from None
    return [*files, folder / "verdicts.csv"]


def write_exhibits_page(file: Path, title: str, facts: Sequence[str], exhibits: Sequence[Exhibit]) -> Path:
    """The page; its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    shown = [
        {
            "exhibit": one,
            "charts": [
                (f"e{one.number}-{k}", msgspec.json.encode(figure(plot)).decode().replace("</", "<\\/"))
                for k, plot in enumerate(one.plots)
            ],
            "verdicts": [cells(verdict) for verdict in one.verdicts],
        }
        for one in exhibits
    ]
    return write_page(file, "exhibits_page.html", title=title, facts=facts, head=HEAD, exhibits=shown)


def verdict_grid(exhibits: Sequence[Exhibit]) -> Grid:
    """All verdicts as a table."""
    return Grid("Verdicts", HEAD, [cells(verdict) for one in exhibits for verdict in one.verdicts])


def cells(verdict: Verdict) -> list[str]:
    """A verdict as text, numbers to three figures."""
    numbers = [_number(x) for x in (verdict.number, verdict.error, verdict.fair)]
    told = verdict.exhibit, verdict.claim, verdict.verdict
    return [*told, *numbers, verdict.unit, verdict.printed, verdict.why]


def _number(x: float) -> str:
    if not math.isfinite(x):
        return ""
    return f"{x:.3g}" if abs(x) < 1e4 else f"{x:,.0f}"


def _write(path: Path, exhibit: Exhibit) -> Path:
    columns = {name: np.asarray(values).tolist() for name, values in exhibit.table.items()}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
