"""Any file by a column map."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tapes import DictBook

from engine.errors import ConfigError, TapeError
from engine.tape import Flag, Kind
from engine.verdict import check, verdict
from feeds.columns import ColumnMap, import_columns, read_map
from feeds.importers import IMPORTERS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"
QUOTES = """
kind = "quotes"
[instrument]
symbol = "X"
price_unit = "1/100"
tick = 1
[time]
column = "when"
unit = "s"
[columns]
bid = "b"
bid_size = "bs"
ask = "a"
ask_size = "as"
"""


def imported(tmp_path: Path, content: str, toml: str = QUOTES, name: str = "data.csv"):
    (tmp_path / "map.toml").write_text(toml)
    (tmp_path / name).write_text(content)
    (tape,) = import_columns(tmp_path / name, tmp_path / "map.toml")
    check(tape)
    return tape


def test_quotes_come_by_their_columns_to_the_nanosecond(tmp_path):
    tape = imported(tmp_path, "when,b,bs,a,as\n1430438404.123456789,9.99,5,10.01,7\n1430438405,9.98,5,10.01,7\n")
    row = tape.rows[0]
    assert row["ts_event"] == 1_430_438_404_123_456_789
    assert (row["price"], row["size"], row["price2"], row["size2"]) == (999, 5, 1001, 7)
    assert (tape.rows["flags"] & Flag.LAST).all()


TIMES = [
    ('unit = "ms"', "1430438404123"),
    ('unit = "ns"', "1430438404123000000"),
    ('unit = "ms"\ndate = "2015-05-01"', "4123"),
    ('unit = "s"\ndate = "2015-04-30"\nzone = "America/New_York"', "72004.123"),
    ("", "2015-05-01T00:00:04.123"),
    ("", "2015-05-01 00:00:04.123Z"),
    ('zone = "America/New_York"', "2015-04-30 20:00:04.123"),
    ('format = "%d/%m/%Y %H:%M:%S.%f"', "01/05/2015 00:00:04.123"),
    ('format = "%Y%m%d %H:%M:%S.%f %z"', "20150430 20:00:04.123 -0400"),
]


@pytest.mark.parametrize(("how", "text"), TIMES)
def test_a_time_is_read_in_its_own_way(tmp_path, how, text):
    toml = QUOTES.replace('unit = "s"', how)
    tape = imported(tmp_path, f"when,b,bs,a,as\n{text},9.99,5,10.01,7\n", toml)
    assert tape.rows["ts_event"].tolist() == [1_430_438_404_123_000_000]


def test_parquet_is_read_by_the_same_map(tmp_path):
    import pandas as pd

    content = "when,b,bs,a,as\n2015-05-01T00:00:04.123,9.99,5,10.01,7\n"
    toml = QUOTES.replace('unit = "s"', "")
    tape = imported(tmp_path, content, toml)
    frame = pd.read_csv(tmp_path / "data.csv", parse_dates=["when"])
    for zoned in (frame, frame.assign(when=frame["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))):
        zoned.to_parquet(tmp_path / "data.parquet")
        (same,) = import_columns(tmp_path / "data.parquet", tmp_path / "map.toml")
        assert same.rows.tobytes() == tape.rows.tobytes()


def test_trades_have_an_aggressor_where_the_file_has_one(tmp_path):
    toml = """
    kind = "trades"
    delimiter = ";"
    instrument = {symbol = "X", price_unit = "0.5", tick = 1}
    time = {column = "t", unit = "ms", recv = "r"}
    columns = {price = "p", size = "q", side = "s", trade_id = "id"}
    sides = {taker_buy = 1, taker_sell = -1}
    """
    tape = imported(tmp_path, "t;r;p;q;s;id\n5;6;10.5;2;taker_buy;77\n5;7;11;3;sell;78\n", toml)
    assert tape.rows["side"].tolist() == [1, -1]
    assert tape.rows["price"].tolist() == [21, 22]
    assert tape.rows["order_id"].tolist() == [77, 78]
    assert tape.rows["ts_recv"].tolist() == [6_000_000, 7_000_000]
    assert tape.instruments[0].book == "NONE"


def test_depth_of_one_time_is_one_group_and_size_0_deletes(tmp_path):
    toml = """
    kind = "depth"
    levels = 20
    instrument = {symbol = "X", price_unit = "1", tick = 1}
    time = {column = "t", unit = "ms"}
    columns = {side = "s", price = "p", size = "q"}
    """
    tape = imported(tmp_path, "t,s,p,q\n5,bid,10,2\n5,ask,11,3\n6,bid,10,0\n", toml)
    assert (tape.rows["flags"] & Flag.LAST).tolist() == [0, 1, 1]
    assert tape.rows["side"].tolist() == [1, -1, 1]
    assert (tape.instruments[0].book, tape.instruments[0].levels) == ("L2", 20)


def test_bars_have_their_five_fields(tmp_path):
    toml = """
    kind = "bars"
    instrument = {symbol = "X", price_unit = "1", tick = 1}
    time = {column = "t", unit = "s"}
    columns = {open = "o", high = "h", low = "l", close = "c", volume = "v"}
    session = {hours = ["09:30", "16:00"], zone = "America/New_York"}
    """
    tape = imported(tmp_path, "t,o,h,l,c,v\n1430500000,10,12,9,11,100\n", toml)
    row = tape.rows[0]
    assert [row[name] for name in ("order_id", "price", "price2", "size2", "size")] == [10, 12, 9, 11, 100]
    assert tape.sessions == [(1_430_487_000 * 10**9, 1_430_510_400 * 10**9)]


ORDERS = """
kind = "orders"
sizes = "{sizes}"
instrument = {{symbol = "X", price_unit = "1", tick = 1}}
time = {{column = "t", unit = "ms"}}
columns = {{order_id = "id", action = "what", side = "s", price = "p", size = "q"}}
actions = {{new = "ADD", changed = "REDUCE", gone = "DELETE"}}
"""


def test_sizes_that_are_what_is_left_become_changes(tmp_path):
    content = "t,id,what,s,p,q\n1,7,new,bid,10,9\n2,7,changed,bid,10,5\n3,8,new,bid,10,4\n4,7,gone,bid,99,0\n"
    tape = imported(tmp_path, content, ORDERS.format(sizes="left"))
    assert tape.rows["size"].tolist() == [9, 4, 4, 5]
    assert tape.rows["price"].tolist() == [10, 10, 10, 10]  # an order stays where it was added


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), min_size=1, max_size=40))
def test_what_is_left_and_by_how_much_say_the_same(tmp_path_factory, events):
    left: dict[int, int] = {}
    changes, lefts = [], []
    for number, (order, size) in enumerate(events):
        if order not in left:
            left[order], what, change = size, "new", size
        elif size < left[order]:
            left[order], what, change = left[order] - size, "changed", size
        else:
            what, change = "gone", left.pop(order)
        after = left.get(order, 0)
        for rows, quantity in ((changes, change), (lefts, after)):
            rows.append(f"{number},{order},{what},bid,{10 + order},{quantity}\n")
    folder = tmp_path_factory.mktemp("orders")
    one, two = (
        imported(folder, "t,id,what,s,p,q\n" + "".join(rows), ORDERS.format(sizes=sizes))
        for rows, sizes in ((changes, "change"), (lefts, "left"))
    )
    assert one.rows.tobytes() == two.rows.tobytes()
    assert not one.manifest.verdict.get("BOOK_DESYNC")


def test_the_sources_own_numbers_find_duplicates_and_gaps(tmp_path):
    toml = 'sequence = "n"\n' + QUOTES
    line = "1430438404,9.99,5,10.01,7\n"
    tape = imported(tmp_path, f"n,when,b,bs,a,as\n1,{line}1,{line}4,{line}", toml)
    assert len(tape) == 2
    assert verdict(tape).dropped == {"DUP": 1}
    assert verdict(tape).noted == {"GAP": 2}


BAD_MAPS = [
    ("colour = 1" + QUOTES, r"unknown field `colour`"),
    (QUOTES.replace('bid = "b"', 'bit = "b"'), r"\[columns\] of a map of quotes lacks bid and does not know bit"),
    (QUOTES.replace('kind = "quotes"', 'kind = "ticks"'), r"Invalid enum value 'ticks'"),
    (QUOTES.replace("tick = 1", "tock = 1"), r"\[instrument\] of the column map: .*unknown field `tock`"),
    (
        ORDERS.format(sizes="left").replace('"DELETE"', '"REMOVE"'),
        r"\[actions\] has 'REMOVE', but an action is one of ADD",
    ),
    (QUOTES + "[sides]\nbuyer = 2\n", r"\[sides\] must be 1 .* or -1"),
    ("kind = ", r"map\.toml: .*docs/data\.md lists the keys"),
]


@pytest.mark.parametrize(("toml", "says"), BAD_MAPS)
def test_a_bad_map_is_refused(tmp_path, toml, says):
    with pytest.raises(ConfigError, match=says):
        imported(tmp_path, "when,b,bs,a,as\n1,2,3,4,5\n", toml)


def test_a_missing_map_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give the path of a column map"):
        read_map(tmp_path / "gone.toml")


BAD_FILES = [
    ("when,b,bs,a\n1,2,3,4\n", QUOTES, r"no column 'as'; it has 'when', 'b', 'bs', 'a'"),
    ("when,b,bs,a,as\n1,2,3,4,5\n1,x,3,4,5\n", QUOTES, r"row 3, column 2: invalid value 'x'"),
    ("when,b,bs,a,as\nnoon,2,3,4,5\n", QUOTES, r"row \d, column 1: .*'noon'"),
    ("when,b,bs,a,as\n1,2,3,4,5\n1,2,3,4\n", QUOTES, r"row 3: Expected 5 columns, got 4"),
    ("", QUOTES, "the file is empty"),
    ("when,b,bs,a,as\n", QUOTES, "no rows"),
    ("when,b,bs,a,as\nnoon,2,3,4,5\n", QUOTES.replace('unit = "s"', ""), r"column 'when': .*set time\.format"),
    (
        "t,id,what,s,p,q\n1,7,born,bid,10,9\n",
        ORDERS.format(sizes="left"),
        r"row 1, column 'what': 'born' .* \[actions\]",
    ),
    ("t,id,what,s,p,q\n1,7,new,up,10,9\n", ORDERS.format(sizes="left"), r"row 1, column 's': 'up' .* \[sides\]"),
]


@pytest.mark.parametrize(("content", "toml", "says"), BAD_FILES)
def test_a_bad_file_is_refused_with_its_row(tmp_path, content, toml, says):
    with pytest.raises(TapeError, match=says) as caught:
        imported(tmp_path, content, toml)
    assert "data.csv" in str(caught.value)


def test_a_number_that_is_none_is_dropped_and_counted(tmp_path):
    tape = imported(tmp_path, "when,b,bs,a,as\n1,2,3,4,5\n2,nan,3,4,5\n3,2,,4,5\n4,2.001,3,4,5\n,2,3,4,5\n")
    assert verdict(tape).dropped == {"BAD_NUMBER": 4}


def documented_maps() -> list[str]:
    """Those of columns: a map of panels begins otherwise."""
    return re.findall(r"```toml\n(kind = .*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("toml", documented_maps())
def test_the_maps_in_the_docs_are_maps(toml):
    wanted = msgspec.toml.decode(toml.encode(), type=ColumnMap)
    from feeds.columns import _complete, _instrument

    _complete(wanted)
    assert f'symbol = "{_instrument(wanted).symbol}"' in toml


def test_the_docs_show_a_map_for_quotes_orders_and_depth():
    assert [msgspec.toml.decode(toml.encode(), type=ColumnMap).kind for toml in documented_maps()] == [
        "quotes",
        "orders",
        "depth",
    ]


def test_recorded_orders_come_in_by_the_map_in_the_docs(recorded_data, tmp_path):
    (toml,) = [text for text in documented_maps() if 'kind = "orders"' in text]
    (tmp_path / "orders.toml").write_text(toml)
    (tape,) = IMPORTERS["csv"](recorded_data / "crypto" / "ob_analytics" / "orders.csv.xz", tmp_path / "orders.toml")
    check(tape)
    found = verdict(tape)
    assert len(tape) + sum(found.dropped.values()) == 50_414
    assert found.rows["ADD"] == 24_894
    assert sum(found.dropped.values()) < 0.005 * 50_414
    assert found.flagged["CROSSED"] < 0.02 * len(tape)
    # each level holds the sum of the orders that are at it
    orders: dict[int, list[int]] = {}
    book = DictBook()
    for row in tape.rows.tolist():
        order_id, price, size, kind, side, flags = row[2], row[3], row[4], row[8], row[9], row[11]
        book.apply(kind, side, price, size, flags)
        if kind == Kind.ADD:
            orders[order_id] = [side, price, size]
        else:
            orders[order_id][2] -= size
    sums: dict[tuple[int, int], int] = {}
    for side, price, left in orders.values():
        assert left >= 0
        if left:
            sums[side, price] = sums.get((side, price), 0) + left
    assert sums == {(side, price): size for side in (1, -1) for price, size in book.levels[side].items()}
    assert np.all(np.diff(tape.rows["ts_event"]) >= 0)
