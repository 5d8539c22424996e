"""Bars happen when they end, in exact prices."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from engine.tape import Kind
from engine.verdict import check, verdict
from feeds.bars import FIELDS, import_bars
from feeds.times import SECOND

CLOSE = 1_549_918_800 * SECOND  # 2019-02-11 16:00 in New York


def write(folder: Path, frame: pd.DataFrame, name: str = "bars.parquet") -> Path:
    file = folder / name
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file)
    return file


def minutes(*times: str, symbol: str = "X", price: float = 10.0) -> pd.DataFrame:
    times_ = pd.to_datetime([f"2019-02-11 {time}" for time in times])
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return pd.DataFrame({"t": times_, **prices, "volume": 5, "symbol": symbol})


def test_a_bar_happens_at_its_end_whichever_way_it_is_labelled(tmp_path):
    (end,) = import_bars(write(tmp_path, minutes("09:31", "16:00")))
    (start,) = import_bars(write(tmp_path, minutes("09:30", "15:59"), "b.parquet"), label="start", period="1min")
    assert end.rows["ts_event"].tolist() == start.rows["ts_event"].tolist()
    assert end.rows["ts_event"][-1] == CLOSE == end.sessions[0][1]


def test_a_daily_bar_happens_at_the_close_of_its_session(tmp_path):
    frame = minutes("00:00").assign(t=pd.to_datetime(["2019-02-11"]))
    (tape,) = import_bars(write(tmp_path, frame), period="1d")
    assert tape.rows["ts_event"].tolist() == [CLOSE]


@given(prices=st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
def test_prices_are_exact_in_csv_and_parquet(tmp_path_factory, prices):
    folder = tmp_path_factory.mktemp("bars")
    frame = minutes(*(f"10:{index:02d}" for index in range(len(prices))))
    for name in ("open", "high", "low", "close"):
        frame[name] = [float(Fraction(price, 10_000)) for price in prices]
    for file in ("bars.parquet", "bars.csv"):
        (tape,) = import_bars(write(folder, frame, file))
        for name in ("open", "high", "low", "close"):
            assert tape.rows[FIELDS[name]].tolist() == prices


def test_a_price_finer_than_the_unit_is_dropped_never_rounded(tmp_path):
    frame = pd.concat([minutes("09:31"), minutes("09:32", price=10.00005)])
    (tape,) = import_bars(write(tmp_path, frame))
    assert verdict(tape).dropped == {"BAD_NUMBER": 1}
    (fine,) = import_bars(write(tmp_path, frame, "b.parquet"), price_unit="1/100000")
    assert fine.rows["price"].tolist() == [1_000_000, 1_000_005]


def test_symbols_share_one_tape_in_order_of_time_then_symbol(tmp_path):
    frame = pd.concat([minutes("09:31", "09:32", symbol="B"), minutes("09:31", symbol="A")])
    (tape,) = import_bars(write(tmp_path, frame))
    check(tape)
    assert [one.symbol for one in tape.instruments] == ["A", "B"]
    assert tape.rows["instrument"].tolist() == [0, 1, 1]
    (one,) = import_bars(write(tmp_path, frame, "b.parquet"), symbols=["B"])
    assert [one.symbol for one in one.instruments] == ["B"]


def test_what_cannot_be_imported_is_refused(tmp_path):
    good = write(tmp_path, minutes("09:31"))
    nameless = write(tmp_path, minutes("09:31").drop(columns="symbol"), "nameless.csv")
    lacking = write(tmp_path, minutes("09:31").drop(columns="low"), "lacking.csv")
    for arguments, says in (
        ({"bars": good, "label": "middle"}, "must be 'end' or 'start'"),
        ({"bars": good, "label": "start"}, "need their period"),
        ({"bars": good, "period": "1week"}, "must be like '30s', '1min', '1h' or '1d'"),
        ({"bars": good, "symbols": ["Q"]}, "holds no bar of Q; it has X"),
        ({"bars": nameless}, "has no column 'symbol'; give symbol"),
        ({"bars": lacking}, "no column 'low'"),
        ({"bars": tmp_path / "gone.csv"}, "no such file"),
    ):
        with pytest.raises(TapeError, match=says):
            import_bars(**arguments)
    assert import_bars(nameless, symbol="X")[0].instruments[0].symbol == "X"


def test_recorded_minute_bars_show_the_u_of_volume(recorded_data):
    (tape,) = import_bars(recorded_data / "equities" / "minute_bars" / "us_24stocks_1min_20190211_15.parquet")
    check(tape)
    assert (len(tape), len(tape.instruments), len(tape.sessions)) == (34_443, 24, 4)
    assert not verdict(tape).dropped
    opens = np.array([opened for opened, _ in tape.sessions])
    rows = tape.rows
    minute = (rows["ts_event"] - opens[np.searchsorted(opens, rows["ts_event"]) - 1]) // (60 * SECOND)
    assert (minute.min(), minute.max()) == (1, 390)
    total = rows["size"].sum()
    first, middle, last = (rows["size"][part].sum() / total for part in _half_hours(minute))
    assert round(first, 2) == 0.18
    assert 0.13 < last < 0.15
    assert middle < 0.07


def _half_hours(minute: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return minute <= 30, (minute > 180) & (minute <= 210), minute > 360


@pytest.mark.parametrize(
    ("name", "rows", "options"),
    [
        ("minute_trades", 14_946, {"label": "start", "period": "1min"}),
        ("hour", 205_172, {"label": "start", "period": "1h"}),
        ("daily", 61_960, {"period": "1d"}),
    ],
)
def test_recorded_bars_in_price_units_come_in_whole(recorded_data, name, rows, options):
    (tape,) = import_bars(recorded_data / "equities" / "lean_bars" / f"{name}.parquet", prices_in="1/10000", **options)
    check(tape)
    assert tape.rows["kind"].tolist().count(Kind.BAR) == rows == len(tape)
