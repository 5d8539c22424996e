"""Files of a close-of-day market as arrays by day of the file; each fault is refused with file, row and cure.

Rows are numbered from 1, as a table shows them, without the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import ConfigError, TapeError
from engine.panel_layout import BOND
from engine.rates.day_counts import Dates
from feeds.panel_map import WORTH, BondFiles, Curve, Unit, Vols, years
from feeds.table import read_table, strings

Floats = NDArray[np.float64]
HIGHEST_RATE = 0.30  # above, a rate was meant in percent
HIGHEST_VOL, LOWEST_VOL = 0.10, 1e-5  # normal vols outside were meant in another unit
LOWEST_PRICE, HIGHEST_PRICE = 0.05, 5.0  # of par


class Table(NamedTuple):
    """Values by date of the file, ascending, and by node; NaN where there is none."""

    dates: Dates
    values: Floats  # [date, ...]
    axes: tuple[Floats, ...]


class BondTable(NamedTuple):
    """Prices, decimals of par, and repo by date and bond."""

    static: NDArray[np.void]  # BOND[b]
    price: Table
    repo: Table | None


def read_curve(file: Path, curve: Curve, delimiter: str) -> Table:
    """A wide table; tenors come out ascending."""
    tenors = np.array([years(tenor) for tenor in curve.columns])
    if tenors.size == 0 or len(set(tenors.tolist())) < len(tenors):
        raise ConfigError(f"{file.name}: columns must name at least one tenor, and none twice")
    order, names = np.argsort(tenors), list(curve.columns.values())
    table = read_table(file, columns=[curve.date, *names], delimiter=delimiter, types={curve.date: pa.string()})
    dates = _dates(table, curve.date, file)
    _refuse(
        np.append(False, dates[1:] == dates[:-1]), dates, "has the date of the row before", file, "keep one of them"
    )
    _ascend(dates, file)
    values = np.column_stack([_numbers(table, names[i], file) for i in order]) * WORTH[curve.unit]
    _check_rates(values, [names[i] for i in order], curve.unit, file)
    return Table(dates, values, (tenors[order],))


def read_vols(file: Path, vols: Vols, delimiter: str) -> Table:
    """Rows of (date, expiry, tenor, offset, vol) as [date, expiry, tenor, offset]."""
    keys = [vols.expiry, vols.tenor, *([vols.offset] if vols.offset else [])]
    table = read_table(
        file,
        columns=[vols.date, *keys, vols.vol],
        delimiter=delimiter,
        types={name: pa.string() for name in (vols.date, vols.expiry, vols.tenor)},
    )
    dates = _dates(table, vols.date, file)
    _ascend(dates, file)
    places = [_tenors(table, vols.expiry, file), _tenors(table, vols.tenor, file)]
    if vols.offset:
        offsets = _numbers(table, vols.offset, file)
        _refuse(np.isnan(offsets), offsets, "has no offset", file, "mend or remove that row")
        places.append(np.round(offsets * WORTH[vols.offset_unit], 12))
    values = _numbers(table, vols.vol, file) * WORTH[vols.unit]
    _refuse(values <= 0, values, "has a vol that is not > 0", file, "mend or remove that row")
    _refuse(
        (values > HIGHEST_VOL) | (values < LOWEST_VOL),
        values,
        f"has a normal vol that is no decimal of a year, read in unit {vols.unit!r}",
        file,
        'set unit to "decimal", "percent" or "bp"',
    )
    days, axes, out = _spread(dates, places, values, file)
    if not vols.offset:
        axes, out = [*axes, np.zeros(1)], out[..., None]
    return Table(days, out, tuple(axes))


def read_bonds(static: Path, prices: Path, files: BondFiles, delimiter: str) -> BondTable:
    """The bonds, in the order of their file, and what they cost."""
    bonds = _static(static, files, delimiter)
    names = [files.date, files.isin, files.clean_price, *([files.repo] if files.repo else [])]
    types = {files.date: pa.string(), files.isin: pa.string()}
    table = read_table(prices, columns=names, delimiter=delimiter, types=types)
    dates, isins = _dates(table, files.date, prices), strings(table, files.isin).astype("S")
    _ascend(dates, prices)
    known = {isin: row for row, isin in enumerate(bonds["isin"].tolist())}
    rows = np.array([known.get(isin, -1) for isin in isins.tolist()])
    _refuse(rows < 0, isins.astype(str), f"names a bond that {static.name} does not", prices, "add it there")
    price = _numbers(table, files.clean_price, prices) / files.par
    _refuse(
        (price < LOWEST_PRICE) | (price > HIGHEST_PRICE),
        price * files.par,
        f"has a price that is far from par, which the map says is {files.par:g}",
        prices,
        "set par, or mend that row",
    )
    late = dates >= bonds["maturity"][rows].astype("datetime64[D]")
    _refuse(late, dates, "has a price at or after the bond's maturity", prices, "remove that row")
    first = dates.min().astype(np.int64)
    dead = bonds["maturity"] <= first
    _refuse(dead, bonds["isin"].astype(str), f"matures before the first price ({dates.min()})", static, "remove it")
    days, _, out = _spread(dates, [rows.astype(np.float64)], price, prices, np.arange(len(bonds), dtype=np.float64))
    repo = None
    if files.repo:
        rates = _numbers(table, files.repo, prices) * WORTH[files.repo_unit]
        _check_rates(rates[:, None], [files.repo], files.repo_unit, prices)
        nodes = np.arange(len(bonds), dtype=np.float64)
        repo = Table(days, _spread(dates, [rows.astype(np.float64)], rates, prices, nodes)[2], ())
    return BondTable(bonds, Table(days, out, ()), repo)


def _static(file: Path, files: BondFiles, delimiter: str) -> NDArray[np.void]:
    names = [files.isin, files.dated, files.maturity, files.coupon, *([files.kind] if files.kind else [])]
    types = dict.fromkeys((files.isin, files.dated, files.maturity), pa.string())
    table = read_table(file, columns=names, delimiter=delimiter, types=types)
    isins = strings(table, files.isin)
    _refuse(np.char.str_len(isins) != 12, isins, "has no ISIN of 12 characters", file, "mend or remove that row")
    _, where = np.unique(isins, return_index=True)
    again = ~np.isin(np.arange(len(isins)), where)
    _refuse(again, isins, "has an ISIN that an earlier row has", file, "keep one of them")
    dated, maturity = _dates(table, files.dated, file), _dates(table, files.maturity, file)
    _refuse(maturity <= dated, maturity, "matures before it is dated", file, "mend that row")
    coupon = _numbers(table, files.coupon, file) * WORTH[files.coupon_unit]
    _refuse(np.isnan(coupon) | (coupon < 0), coupon, "has no coupon >= 0", file, "mend that row")
    _check_rates(coupon[:, None], [files.coupon], files.coupon_unit, file, "coupon_unit")
    out = np.zeros(len(isins), BOND)
    out["isin"], out["dated"], out["maturity"] = isins, dated.astype(np.int64), maturity.astype(np.int64)
    term = np.rint((out["maturity"] - out["dated"]) / 365.25 * 4) / 4
    out["coupon"], out["term"], out["frequency"], out["day_count"] = coupon, term, files.frequency, files.day_count
    out["kind"] = strings(table, files.kind) if files.kind else np.where(term > 10, b"BOND", b"NOTE")
    return out


def _spread(
    dates: Dates, places: Sequence[Floats], values: Floats, file: Path, *nodes: Floats
) -> tuple[Dates, list[Floats], Floats]:
    """Rows of keys and values as an array [date, node, …]; a key that comes twice is refused."""
    days, at = np.unique(dates, return_inverse=True)
    axes, index = list(nodes), [at]
    for n, place in enumerate(places):
        if n >= len(nodes):
            axes.append(np.unique(place))
        index.append(np.searchsorted(axes[n], place))
    out = np.full((len(days), *map(len, axes)), np.nan)
    flat = np.ravel_multi_index(tuple(index), out.shape)
    first = np.zeros(len(flat), bool)
    first[np.unique(flat, return_index=True)[1]] = True
    _refuse(~first, dates, "has the date and the keys of an earlier row", file, "keep one of them")
    out.flat[flat] = values
    return days, axes, out


def _dates(table: pa.Table, name: str, file: Path) -> Dates:
    column = table[name]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        parsed = pd.to_datetime(pd.Series(strings(table, name)), format="ISO8601", errors="coerce", utc=True)
        dates = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        dates = column.cast(pa.timestamp("us")).to_numpy().astype("datetime64[D]")
    else:
        raise TapeError(f"{file}: column {name!r} is {column.type}, not dates; write dates as YYYY-MM-DD")
    _refuse(np.isnat(dates), dates, f"has no date in column {name!r}", file, "write it as YYYY-MM-DD")
    return dates


def _tenors(table: pa.Table, name: str, file: Path) -> Floats:
    words, number = np.unique(strings(table, name), return_inverse=True)
    out = np.empty(len(words))
    for i, word in enumerate(words.tolist()):
        try:
            out[i] = years(word)
        except ConfigError as error:
            row = int(np.flatnonzero(number == i)[0]) + 1
            raise TapeError(f"{file}: row {row}, column {name!r}: {error}") from None
    return out[number]


def _numbers(table: pa.Table, name: str, file: Path) -> Floats:
    """A column as float64; what is missing is NaN, infinity is refused."""
    column = table[name].combine_chunks()
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise TapeError(f"{file}: column {name!r} holds {column.type}, not numbers; leave holes empty, or as NaN")
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    _refuse(np.isinf(values), values, f"is not finite in column {name!r}", file, "mend or remove that row")
    return values


def _check_rates(values: Floats, names: Sequence[str], unit: Unit, file: Path, key: str = "unit") -> None:
    high = np.argwhere(np.abs(values) > HIGHEST_RATE)
    if len(high):
        row, column = high[0]
        raise TapeError(
            f"{file}: row {row + 1}, column {names[column]!r} is {values[row, column] / WORTH[unit]:g}, read in unit "
            f'{unit!r}, but no rate is above {HIGHEST_RATE:.0%}; set {key} = "percent" or "bp", or mend that row'
        )


def _ascend(dates: Dates, file: Path) -> None:
    back = np.append(False, dates[1:] < dates[:-1])
    _refuse(back, dates, "goes back in time", file, "sort the file by date")


def _refuse(fault: NDArray[np.bool_], shown: NDArray[Any], says: str, file: Path, cure: str) -> None:
    rows = np.flatnonzero(fault)
    if len(rows):
        raise TapeError(f"{file}: row {rows[0] + 1} {says} ({shown[rows[0]]}); {cure}")
