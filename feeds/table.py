"""Files of columns, read with errors that name file, row and cure; their numbers as whole numbers of a unit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.verdict import LARGEST, NOT_A_NUMBER

PARQUET = (".parquet", ".pq")
SECONDS = pa.decimal128(28, 9)  # seconds with decimals, exact to the nanosecond


def read_table(
    path: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
) -> pa.Table:
    """Read a parquet or CSV file (.gz, .bz2, .xz too).

    Parameters
    ----------
    path : path
    names : column names
        Of a CSV file without a header.
    types : mapping of column to Arrow type
        CSV columns that must be read so; a text that does not fit is refused.
    columns : names
        Needed; the others are not read.
    delimiter : str
        Of a CSV file.

    Raises
    ------
    TapeError
        A missing, empty or damaged file, a missing column, a wrong number of columns, text where a number must be.
    """
    file = Path(path)
    if not file.is_file():
        raise TapeError(f"{file}: no such file; check the path")
    if file.stat().st_size == 0:
        raise TapeError(f"{file}: the file is empty; get it again")
    try:
        table = (
            _read_parquet(file, columns)
            if file.suffix in PARQUET
            else _read_csv(file, names, types, columns, delimiter)
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise TapeError(f"{file}: {_plain(error, file, names)}") from None
    if table.num_rows == 0:
        raise TapeError(f"{file}: no rows; get the file again")
    return table


def header(path: str | os.PathLike[str], delimiter: str = ",") -> list[str]:
    """The column names of a parquet file, or the first line of a CSV file."""
    file = Path(path)
    if not file.is_file():
        raise TapeError(f"{file}: no such file; check the path")
    if file.stat().st_size == 0:
        raise TapeError(f"{file}: the file is empty; get it again")
    try:
        if file.suffix in PARQUET:
            return list(pq.read_schema(file).names)
        with _open(file) as stream:
            return [name.strip().strip('"') for name in stream.readline().decode().strip().split(delimiter)]
    except (pa.ArrowInvalid, OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise TapeError(f"{file}: {_plain(error, file, None)}") from None


def strings(table: pa.Table, name: str) -> NDArray[np.str_]:
    """A column as text; a missing value is the empty string."""
    values = table[name].cast(pa.string()).combine_chunks().fill_null("").to_numpy(zero_copy_only=False)
    return values.astype(str)


def whole(table: pa.Table, name: str, unit: str | int | Fraction = 1, *, file: object = "table") -> NDArray[np.int64]:
    """A column as whole numbers of ``unit``, exactly.

    ``"12.34"`` at a unit of 1/100 is 1234. A float is the shortest decimal that reads back as it, so no rounding can
    slip in. What is missing, not finite, beyond 2^53 or no whole number of units becomes ``NOT_A_NUMBER``, which the
    data rules drop and count.

    Returns
    -------
    int64[n]

    Raises
    ------
    TapeError
        If the column holds text.
    """
    column = table[name].combine_chunks()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type):
        text = column.cast(pa.string()).to_numpy(zero_copy_only=False)
        raise TapeError(
            f"{file}: column {name!r} holds text, row {_first_text(text)}; map another column or mend the file"
        )
    ratio = Fraction(unit)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return _whole_integers(column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(), missing, ratio)
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return to_units(values, ratio)


def to_units(values: NDArray[np.float64], unit: str | int | Fraction = 1) -> NDArray[np.int64]:
    """Floats as whole numbers of ``unit``; ``NOT_A_NUMBER`` where they are none (see ``whole``)."""
    ratio = Fraction(unit)
    up, down = float(ratio.denominator), float(ratio.numerator)
    with np.errstate(all="ignore"):
        count = np.rint(values * up / down)
        # count * down is exact below 2^53 and division rounds correctly, so equality says: this is the decimal meant
        exact = (count * down / up == values) & (np.abs(count) <= LARGEST)
    return np.where(exact, np.where(exact, count, 0).astype(np.int64), NOT_A_NUMBER)


def nanoseconds(table: pa.Table, name: str, unit: str, *, file: object = "table") -> NDArray[np.int64]:
    """A time column as ns: integers of ``unit`` (ns us ms s), seconds with decimals, or Arrow timestamps.

    Decimals are read as decimals, never as floats; a float column is refused.
    """
    from feeds.times import UNITS

    column = table[name].combine_chunks()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(column.type):
        ns = column.cast(pa.timestamp("ns"), safe=False).cast(pa.int64()).fill_null(0).to_numpy()
    elif pa.types.is_date(column.type):
        ns = column.cast(pa.timestamp("ns")).cast(pa.int64()).fill_null(0).to_numpy()
    elif pa.types.is_decimal(column.type) and unit == "s":
        ns = decimal_ns(column)
    elif pa.types.is_integer(column.type):
        ns = column.cast(pa.int64()).fill_null(0).to_numpy() * UNITS[unit]
    else:
        raise TapeError(
            f"{file}: time column {name!r} is {column.type}; it must be whole numbers, decimal text or timestamps, "
            "because a float cannot hold nanoseconds"
        )
    return np.where(missing, NOT_A_NUMBER, ns)


def decimal_ns(column: pa.Array) -> NDArray[np.int64]:
    """Decimal seconds of scale 9 as whole nanoseconds: the low half of each 128-bit integer."""
    whole_units = np.frombuffer(column.buffers()[1], "<i8")
    return whole_units[2 * column.offset : 2 * (column.offset + len(column)) : 2].copy()


def _whole_integers(values: NDArray[np.int64], missing: NDArray[np.bool_], ratio: Fraction) -> NDArray[np.int64]:
    up, down = ratio.denominator, ratio.numerator
    bad = missing | (np.abs(values) > LARGEST // up) | (values % down != 0)
    return np.where(bad, NOT_A_NUMBER, np.where(bad, 0, values) * up // down)


def _read_parquet(file: Path, columns: Sequence[str] | None) -> pa.Table:
    there = pq.read_schema(file).names
    _need(there, columns)
    return pq.read_table(file, columns=list(columns) if columns is not None else None)


def _read_csv(
    file: Path,
    names: Sequence[str] | None,
    types: Mapping[str, pa.DataType] | None,
    columns: Sequence[str] | None,
    delimiter: str,
) -> pa.Table:
    if names is None:
        _need(header(file, delimiter), columns)
    with _open(file) as stream:
        return pa_csv.read_csv(
            stream,
            read_options=pa_csv.ReadOptions(
                column_names=names, use_threads=False
            ),  # one thread: errors then name the row
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, include_columns=columns, null_values=["", "NA", "null"], strings_can_be_null=False
            ),
        )


def _open(file: Path) -> IO[bytes]:
    openers = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
    return openers.get(file.suffix, open)(file, "rb")


def _need(there: Sequence[str], columns: Sequence[str] | None) -> None:
    missing = [name for name in columns or () if name not in there]
    if missing:
        raise ValueError(
            f"no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, there))}; map the columns it has"
        )


def _first_text(values: NDArray[Any]) -> str:
    for row, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            return f"{row}: {value!r}"
    return "0"


def _plain(error: Exception, file: Path, names: Sequence[str] | None) -> str:
    """Arrow's message as one sentence with the row and what to do."""
    text = str(error).strip().split("\n")[0]
    column = re.match(r"In CSV column #(\d+): Row #(\d+): (?:CSV conversion error to \S+: )?(.*)", text)
    if column:
        number = int(column[1])
        name = f" ({names[number]})" if names and number < len(names) else ""
        return f"row {column[2]}, column {number + 1}{name}: {column[3]}; mend or remove that line"
    if row := re.match(r"CSV parse error: Row #(\d+): (Expected \d+ columns, got \d+)", text):
        return f"row {row[1]}: {row[2]}; mend that line, or get the file again"
    if "Expected" in text and "columns" in text:
        return f"{text}; get the file again"
    if "no column" in text:
        return text
    kind = "a parquet file" if file.suffix in PARQUET else "a table"
    return f"cannot be read as {kind} ({text}); get the file again"
