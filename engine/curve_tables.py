"""Bond universes and repo rates as files have them: CSV with a head, or parquet.

A universe has a row for each bond, and for each day where it has several; docs/par_curve.md lists the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.gc_repo import DAYS_A_YEAR, GcRepo
from engine.rates.par_basket import BondUniverse
from engine.rates.par_history import Quote

Table = dict[str, NDArray[Any]]

NEEDED = {"isin": "text", "issue": "date", "maturity": "date", "coupon": "number", "clean_price": "number"}
OPTIONAL = {
    "date": "date",
    "kind": "text",
    "term": "number",
    "repo_6m": "number",
    "dated": "date",
    "first_coupon": "date",
}
REPO = {"date": "date", **dict.fromkeys(GcRepo._fields, "number")}
EMPTY = {"text": "NOTE", "number": np.nan, "date": np.datetime64("NaT")}


def read_universe(file: Path) -> Table:
    """The columns of a universe, each of one length; ``date`` only where the file has it.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a column is missing or holds what is no number or date.
    """
    table = read_columns(file, NEEDED, OPTIONAL)
    size = table["isin"].size
    for name, kind in OPTIONAL.items():
        if name not in table and name != "date":
            table[name] = np.full(size, EMPTY[kind], "datetime64[D]" if kind == "date" else None)
    table["kind"] = np.char.upper(table["kind"])
    return table


def days(table: Table, settle: str, file: Path) -> Iterator[tuple[np.datetime64, BondUniverse]]:
    """Each settlement date with its universe, in order; only ``settle`` where that is given.

    Raises
    ------
    ConfigError
        If there is no date, or not the one that is asked for.
    """
    columns = BondUniverse._make(table[name] for name in BondUniverse._fields)
    asked = as_date(settle) if settle else None
    if "date" not in table:
        if asked is None:
            raise ConfigError(f"{file}: has no column date; add it, or say the settlement date with --settle")
        yield asked, columns
        return
    missing = np.flatnonzero(np.isnat(table["date"]))
    if missing.size:
        raise ConfigError(f"{file}: row {missing[0]} has no date; fill it in or drop the row")
    order = np.argsort(table["date"], kind="stable")
    dates, starts = np.unique(table["date"][order], return_index=True)
    if asked is not None and asked not in dates:
        raise ConfigError(f"{file}: has no row of {asked}; it has {dates[0]} to {dates[-1]}")
    for date, rows in zip(dates, np.split(order, starts[1:]), strict=True):
        if asked is None or date == asked:
            yield date, columns.take(rows)


class RepoRates:
    """GC repo by day, as quoted: four rates that hold for every day, or a file with a row for each.

    Parameters
    ----------
    text : str
        "0.0199,0.0203,0.0208,0.0216" (overnight, 1, 3 and 6 months; decimals), or a file with the columns date,
        overnight, one_month, three_month, six_month.
    basis : float
        Days of the year that quotes are for: 360 in the dollar and euro markets.
    """

    def __init__(self, text: str, basis: float) -> None:
        if basis not in (360.0, 365.0, DAYS_A_YEAR):
            raise ConfigError(f"--repo-basis is {basis:g}, but must be 360, 365 or {DAYS_A_YEAR}")
        self.basis = basis
        self.file = None if "," in text and not Path(text).is_file() else Path(text)
        self._always = None if self.file else _four_rates(text)
        self._by_date: dict[np.datetime64, tuple[float, ...]] = {}
        if self.file:
            table = read_columns(self.file, REPO, {})
            _once(table["date"], self.file)
            rates = zip(*(table[name].tolist() for name in GcRepo._fields), strict=True)
            self._by_date = dict(zip(table["date"], rates, strict=True))

    def quote(self, settle: np.datetime64, universe: BondUniverse) -> Quote:
        """The day to be fitted, with rates per year of 365.25 days."""
        quoted = self._always or self._by_date.get(settle)
        if quoted is None:
            raise ConfigError(f"{self.file}: has no row of {settle}; add the day's GC repo rates, or leave the day out")
        try:
            GcRepo(*quoted).check()
        except ConfigError as error:
            raise ConfigError(f"{self.file or '--repo'}, {settle}: {error}") from None
        return Quote(settle, universe, GcRepo(*(r * DAYS_A_YEAR / self.basis for r in quoted)))


def as_date(text: str) -> np.datetime64:
    """A date of the command line."""
    try:
        return np.datetime64(text, "D")
    except ValueError:
        raise ConfigError(f"--settle {text} is no date; write it as YYYY-MM-DD") from None


def _once(dates: NDArray[np.datetime64], file: Path) -> None:
    """Refuse a table of days with a day missing or there twice."""
    if np.isnat(dates).any():
        raise ConfigError(f"{file}: row {int(np.argmax(np.isnat(dates)))} has no date; fill it in or drop the row")
    found, counts = np.unique(dates, return_counts=True)
    if (counts > 1).any():
        raise ConfigError(f"{file}: has {counts.max()} rows of {found[np.argmax(counts)]}; keep one row a day")


def _four_rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = ()
    if len(rates) != len(GcRepo._fields):
        raise ConfigError(
            f"--repo {text} is neither a file nor four rates; give overnight, 1, 3 and 6 months in decimals, like "
            "0.0199,0.0203,0.0208,0.0216"
        )
    return rates


def read_columns(file: Path, needed: dict[str, str], optional: dict[str, str]) -> Table:
    """Columns of a table by name and kind ("text", "number", "date"), those of ``optional`` where they are there."""
    from pyarrow import ArrowException, csv, parquet  # a quarter of a second that other commands need not pay

    try:
        table = csv.read_csv(file) if file.suffix.lower() == ".csv" else parquet.read_table(file)
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: cannot be read as a table ({reason}); give a CSV with a head, or parquet") from None
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise ConfigError(f"{file}: has no column {', '.join(missing)}; a row needs {', '.join(needed)}")
    kinds = {**needed, **optional}
    return {
        name: _column(table.column(name), name, kind, file)
        for name, kind in kinds.items()
        if name in table.column_names
    }


def _column(column: Any, name: str, kind: str, file: Path) -> NDArray[Any]:
    from pyarrow import ArrowException, date32, float64, string

    target = {"text": string(), "number": float64(), "date": date32()}[kind]
    try:
        values = column.cast(target, safe=False) if kind == "date" else column.cast(target)
    except ArrowException as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{file}: column {name} holds what is no {kind} ({reason}); correct or drop the row"
        ) from None
    if kind == "text":
        empty = EMPTY["text"] if name == "kind" else ""
        return np.array([empty if value is None else value for value in values.to_pylist()], np.str_)
    array = values.to_numpy()
    return array.astype("datetime64[D]" if kind == "date" else np.float64)
