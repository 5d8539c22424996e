"""Numbers of files as whole numbers of a unit: exact, or refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from engine.verdict import NOT_A_NUMBER
from feeds.table import SECONDS, header, nanoseconds, read_table, strings, to_units, whole

UNITS = st.sampled_from(["1", "1/10000", "0.01", "1/100000000", "1/8", "0.05", "25/100", "5"])


@given(st.integers(-(2**50), 2**50), UNITS)
def test_a_whole_number_of_units_comes_back_exactly(count, unit):
    value = float(Fraction(count) * Fraction(unit))
    if abs(count) * max(1, Fraction(unit)) < 2**52 and Fraction(value) == Fraction(str(value)):
        assert to_units(np.array([value]), unit).tolist() == [count]


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_decimal_text_is_read_as_the_decimal_it_is(digits, places):
    text = f"{Decimal(digits).scaleb(-places):f}"
    assert to_units(np.array([float(text)]), f"1/{10**places}").tolist() == [digits]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.00005, 1e300, 2.0**54])
def test_what_is_no_whole_number_of_units_is_marked(value):
    assert to_units(np.array([value]), "1/10000").tolist() == [NOT_A_NUMBER]


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1),
    st.sampled_from(["1", "1/100", "5", "3/7"]),
)
def test_integer_columns_are_scaled_exactly(values, unit):
    table = pa.table({"x": pa.array(values, pa.int64())})
    for value, got in zip(values, whole(table, "x", unit).tolist(), strict=True):
        count = None if value is None else Fraction(value) / Fraction(unit)
        assert got == (int(count) if count is not None and count.denominator == 1 else NOT_A_NUMBER)


def test_text_in_a_column_of_numbers_is_refused_with_its_row():
    with pytest.raises(TapeError, match=r"column 'x' holds text, row 1: 'two'"):
        whole(pa.table({"x": ["1", "two"]}), "x", file="f")


@given(st.lists(st.integers(0, 86_400 * 10**9 - 1), min_size=1))
def test_seconds_with_decimals_are_read_to_the_nanosecond(times):
    column = pa.array([Decimal(ns).scaleb(-9) for ns in times], SECONDS)
    assert nanoseconds(pa.table({"t": column}), "t", "s").tolist() == times
    assert nanoseconds(pa.table({"t": column}).slice(1), "t", "s").tolist() == times[1:]


def test_a_float_time_is_refused():
    with pytest.raises(TapeError, match="a float cannot hold nanoseconds"):
        nanoseconds(pa.table({"t": [1.5]}), "t", "s")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.bz2", ".csv.xz"])
def test_compressed_files_are_read(tmp_path, suffix):
    import bz2
    import gzip
    import lzma

    pack = {".csv": bytes, ".csv.gz": gzip.compress, ".csv.bz2": bz2.compress, ".csv.xz": lzma.compress}[suffix]
    file = tmp_path / f"x{suffix}"
    file.write_bytes(pack(b"a,b\n1,x\n2,\n"))
    table = read_table(file)
    assert header(file) == ["a", "b"]
    assert whole(table, "a").tolist() == [1, 2]
    assert strings(table, "b").tolist() == ["x", ""]


FAULTS = [
    ("x.csv", b"", "the file is empty"),
    ("x.csv", b"a,b\n", "no rows"),
    ("x.csv", b"a,b\n1\n", r"row 2: Expected 2 columns, got 1; mend that line"),
    ("x.csv", b"b,c\n1,2\n", r"no column 'a'; it has 'b', 'c'"),
    ("x.csv", b"a\n1\none\n", r"row \d, column 1: invalid value 'one'; mend or remove that line"),
    ("x.csv.xz", b"not compressed", "get the file again"),
    ("x.csv.gz", b"not compressed", "get the file again"),
    ("x.parquet", b"PAR1 but not really", "cannot be read as a parquet file"),
]


@pytest.mark.parametrize(("name", "content", "says"), FAULTS)
def test_a_bad_file_is_refused_with_a_cure(tmp_path, name, content, says):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TapeError, match=says) as caught:
        read_table(file, columns=["a"], types={"a": pa.int64()})
    assert name in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    for call in (read_table, header):
        with pytest.raises(TapeError, match=r"gone\.csv: no such file; check the path"):
            call(tmp_path / "gone.csv")
