"""Trades and quotes: one tape a day, trades first, nothing dropped in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from engine.lee_ready import lee_ready
from engine.tape import Auction, Flag, Kind, State
from engine.verdict import check, verdict
from feeds.importers import IMPORTERS
from feeds.quotes import _best_of_all, import_quotes, import_trades

OPEN_MS = 34_200_000


def plain_quotes(folder: Path, rows: list[tuple], name: str = "quotes.parquet") -> Path:
    frame = pd.DataFrame(rows, columns=["date", "ms", "bid_e4", "bid_sz", "ask_e4", "ask_sz"])
    return write(frame, folder / name)


def plain_trades(folder: Path, rows: list[tuple], name: str = "trades.parquet") -> Path:
    frame = pd.DataFrame(rows, columns=["date", "ms", "price_e4", "size", "cond", "suspicious"])
    return write(frame, folder / name)


def taq_quotes(folder: Path, rows: list[tuple]) -> Path:
    frame = pd.DataFrame(rows, columns=["DT", "SYMBOL", "EX", "BID", "BIDSIZ", "OFR", "OFRSIZ"])
    return write(frame.astype({"DT": "datetime64[ns]"}), folder / "taq_quotes.parquet")


def taq_trades(folder: Path, rows: list[tuple]) -> Path:
    frame = pd.DataFrame(rows, columns=["DT", "SYMBOL", "EX", "PRICE", "SIZE", "COND", "CORR"])
    return write(frame.astype({"DT": "datetime64[ns]"}), folder / "taq_trades.parquet")


def write(frame: pd.DataFrame, file: Path) -> Path:
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file)
    return file


def test_at_equal_time_trades_come_before_quotes_and_each_row_is_a_group(tmp_path):
    quotes = plain_quotes(tmp_path, [(20131007, OPEN_MS, 100, 1, 200, 1), (20131007, OPEN_MS + 5, 100, 1, 300, 1)])
    trades = plain_trades(tmp_path, [(20131007, OPEN_MS + 5, 200, 1, "1", 0)])
    (tape,) = import_quotes(quotes, trades, symbol="X")
    check(tape)
    assert tape.rows["kind"].tolist() == [Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    assert (tape.rows["flags"] & Flag.LAST).all()
    assert (np.diff(tape.rows["ts_event"]) // 1_000_000).tolist() == [5, 0]


def test_csv_and_parquet_give_the_same_days(tmp_path):
    quotes = [(20131007 + day, OPEN_MS + ms, 100 + ms, 1, 200 + ms, 2) for day in (0, 1) for ms in range(5)]
    trades = [(20131007, OPEN_MS + 2, 150, 3, "20000020", 0)]
    one = import_quotes(plain_quotes(tmp_path, quotes), plain_trades(tmp_path, trades), symbol="X")
    two = import_quotes(plain_quotes(tmp_path, quotes, "q.csv"), plain_trades(tmp_path, trades, "t.csv"), symbol="X")
    assert [tape.manifest.name for tape in one] == ["X-2013-10-07", "X-2013-10-08"]
    assert [tape.rows.tobytes() for tape in one] == [tape.rows.tobytes() for tape in two]
    assert one[0].sessions == [(1_381_152_600_000_000_000, 1_381_176_000_000_000_000)]


def test_suspicious_trades_are_dropped_and_counted(tmp_path):
    trades = plain_trades(tmp_path, [(20131007, OPEN_MS + at, 100, 1, "1", at == 1) for at in range(3)])
    (tape,) = import_trades(trades, symbol="X")
    assert len(tape) == 2
    assert verdict(tape).dropped == {"SUSPICIOUS": 1}
    assert tape.instruments[0].book == "NONE"


def test_a_closing_print_after_the_close_ends_the_session(tmp_path):
    close_ms = 57_600_000
    trades = plain_trades(
        tmp_path,
        [(20131007, OPEN_MS + 1, 100, 7, "40", 0), (20131007, close_ms + 4_000, 100, 9, "80", 0)],
    )
    (tape,) = import_trades(trades, symbol="X")
    check(tape)
    kinds = [(row["kind"], row["level"]) for row in tape.rows]
    assert kinds == [
        (Kind.STATUS, State.OPEN),
        (Kind.TRADE, Auction.OPENING),
        (Kind.STATUS, State.CLOSING_AUCTION),
        (Kind.TRADE, Auction.CLOSING),
        (Kind.STATUS, State.CLOSED),
    ]
    assert tape.sessions[0][1] == tape.rows["ts_event"][3] + 1
    (inside,) = import_trades(trades, symbol="X", session_only=True)
    assert len(inside) == 5


def test_rows_outside_the_session_are_kept_unless_told(tmp_path):
    quotes = plain_quotes(tmp_path, [(20131007, ms, 100, 1, 200, 1) for ms in (1, OPEN_MS, 57_600_000)])
    assert len(import_quotes(quotes, symbol="X")[0]) == 3
    (inside,) = import_quotes(quotes, symbol="X", session_only=True)
    assert len(inside) == 1
    assert inside.manifest.verdict["OUT_OF_SESSION"] == 2


def test_taq_corrections_and_prices_made_elsewhere_are_dropped_and_counted(tmp_path):
    at = "2018-01-02 15:00:00"
    rows = [(at, "X", "N", 10.01, 5, "", 0), (at, "X", "N", 10.02, 5, "F I", 0), (at, "X", "D", 10.03, 5, "4 B", 0)]
    rows += [(at, "X", "N", 10.04, 5, "", 8), (at, "X", "N", 10.05, 5, "4", 1)]
    (tape,) = import_trades(taq_trades(tmp_path, rows), zone="UTC")
    assert tape.rows["price"].tolist() == [100_100, 100_200]
    assert verdict(tape).dropped == {"CORRECTED": 2, "CONDITION": 1}
    (tape,) = import_trades(taq_trades(tmp_path, rows), zone="UTC", drop_conditions="")
    assert len(tape) == 3


def test_taq_quotes_of_many_exchanges_become_the_best_of_all_in_shares(tmp_path):
    rows = [
        ("2018-01-02 10:00:00", "X", "N", 10.00, 2, 10.05, 1),
        ("2018-01-02 10:00:01", "X", "P", 10.01, 3, 10.05, 4),
        ("2018-01-02 10:00:02", "X", "P", 9.99, 3, 10.06, 4),
        ("2018-01-02 10:00:03", "X", "P", 9.98, 3, 10.06, 4),  # changes nothing of the best
    ]
    (tape,) = import_quotes(taq_quotes(tmp_path, rows))
    fields = ["price", "size", "price2", "size2"]
    assert [tuple(row) for row in tape.rows[fields].tolist()] == [
        (100_000, 200, 100_500, 100),
        (100_100, 300, 100_500, 500),
        (100_000, 200, 100_500, 100),
    ]
    assert tape.manifest.verdict["NOT_BEST"] == 1
    (only,) = import_quotes(taq_quotes(tmp_path, rows), exchange="P", quote_lot=1)
    assert only.rows["size"].tolist() == [3, 3, 3]


QUOTE = st.tuples(st.integers(0, 3), st.integers(90, 99), st.integers(0, 3), st.integers(100, 109), st.integers(0, 3))


@given(st.lists(QUOTE, min_size=1, max_size=40), st.lists(st.integers(0, 1), min_size=40, max_size=40))
def test_the_best_of_all_is_the_best_of_all(quotes, new_days):
    place, *columns = (np.array(column) for column in zip(*quotes, strict=True))
    day = np.cumsum(new_days[: len(quotes)])
    told = [column.copy() for column in columns]
    same = np.zeros(len(quotes), bool)
    _best_of_all(place, day, *columns, same)
    held: dict[int, tuple[int, ...]] = {}
    before = None
    for i in range(len(quotes)):
        if i and day[i] != day[i - 1]:
            held, before = {}, None
        held[int(place[i])] = tuple(int(column[i]) for column in told)
        bids = [(price, size) for price, size, _, _ in held.values() if size]
        asks = [(price, size) for _, _, price, size in held.values() if size]
        bid, ask = max((p for p, _ in bids), default=0), min((p for p, _ in asks), default=0)
        best = (bid, sum(s for p, s in bids if p == bid), ask, sum(s for p, s in asks if p == ask))
        assert tuple(int(column[i]) for column in columns) == best
        assert same[i] == (best == before)
        before = best


@given(st.lists(st.tuples(st.integers(90, 110), st.booleans()), min_size=1, max_size=30))
def test_lee_ready_is_the_quote_rule_then_the_tick_rule(trades):
    price = np.array([p for p, _ in trades])
    quoted = np.array([q for _, q in trades])
    bid, ask = np.full(len(price), 98), np.full(len(price), 102)
    sign = lee_ready(price, bid, ask, quoted)
    last = 0
    for i in range(len(price)):
        if i and price[i] != price[i - 1]:
            last = 1 if price[i] > price[i - 1] else -1
        expected = np.sign(price[i] - 100) if quoted[i] and price[i] != 100 else last
        assert sign[i] == expected


def test_signing_is_an_option_and_counted(tmp_path):
    quotes = plain_quotes(tmp_path, [(20131007, OPEN_MS, 100, 1, 200, 1)])
    trades = plain_trades(tmp_path, [(20131007, OPEN_MS + 5, price, 1, "1", 0) for price in (200, 100, 150)])
    (plain,) = import_quotes(quotes, trades, symbol="X")
    assert set(plain.rows["side"].tolist()) == {0}
    (signed,) = import_quotes(quotes, trades, symbol="X", sign="lee_ready")
    assert signed.rows["side"].tolist() == [0, 1, -1, 1]
    assert signed.manifest.verdict["SIGNED"] == 3


def test_a_price_that_is_no_number_is_dropped_and_counted(tmp_path):
    at = "2018-01-02 15:00:00"
    rows = [(at, "X", "N", 10.01, 5, "", 0), (at, "X", "N", float("nan"), 5, "", 0), (at, "X", "N", 10.00001, 5, "", 0)]
    (tape,) = import_trades(taq_trades(tmp_path, rows))
    assert verdict(tape).dropped == {"BAD_NUMBER": 2}


def test_what_cannot_be_imported_is_refused(tmp_path):
    good = plain_quotes(tmp_path, [(20131007, OPEN_MS, 100, 1, 200, 1)])
    other = write(pd.DataFrame({"a": [1]}), tmp_path / "other.csv")
    late = plain_quotes(tmp_path, [(20131007, 90_000_000, 100, 1, 200, 1)], "late.csv")
    text = tmp_path / "text.csv"
    text.write_text("date,ms,bid_e4,bid_sz,ask_e4,ask_sz\n20131007,34200000,100,1,200,1\n20131007,34200001,x,1,200,1\n")
    undated = tmp_path / "undated.csv"
    undated.write_text("date,ms,bid_e4,bid_sz,ask_e4,ask_sz\ntoday,34200000,100,1,200,1\n")
    two = taq_quotes(tmp_path, [("2018-01-02 10:00", symbol, "N", 1.0, 1, 2.0, 1) for symbol in ("X", "Y")])
    for arguments, says in (
        ({}, "give quotes, trades or both"),
        ({"quotes": good}, "names no symbol; give symbol"),
        ({"quotes": good, "symbol": "X", "sign": "guess"}, "must be 'none' or 'lee_ready'"),
        ({"quotes": other, "symbol": "X"}, r"columns a are neither .*; import it with a column map"),
        ({"quotes": late, "symbol": "X"}, r"row 1: ms is 90000000, not within a day"),
        ({"quotes": text, "symbol": "X"}, r"text\.csv.*(holds text|invalid value 'x')"),
        ({"quotes": undated, "symbol": "X"}, r"undated\.csv: date is 'today', but must be like"),
        ({"quotes": two}, r"holds X, Y, not ''; give symbol as one of them"),
        ({"quotes": two, "symbol": "X", "exchange": "Q"}, r"no quote of exchange 'Q'; it has N"),
        ({"quotes": tmp_path / "gone.csv"}, "no such file"),
    ):
        with pytest.raises(TapeError, match=says):
            import_quotes(**arguments)


# --- facts of the recorded days ---

STOCKS = [("ibm", 84_716, 153_222, 0.952), ("bac", 336_876, 843_047, 0.995)]


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "trades", "quotes", "inside"), STOCKS)
def test_three_recorded_days_come_in_whole(recorded_data, symbol, trades, quotes, inside):
    folder = recorded_data / "equities" / "lean_tick"
    files = (folder / f"{symbol}_nbbo_rth_20131007_11.parquet", folder / f"{symbol}_trades_20131007_11.parquet")
    tapes = IMPORTERS["quotes"](*files, symbol=symbol.upper())
    assert len(tapes) == 3
    counts = [verdict(tape) for tape in tapes]
    assert sum(one.rows["TRADE"] for one in counts) == trades
    assert sum(one.rows["QUOTE"] for one in counts) == quotes
    for tape, found in zip(tapes, counts, strict=True):
        check(tape)
        assert not found.dropped
        assert found.flagged.get("CROSSED", 0) <= 0.001 * found.rows["QUOTE"]
        assert 0.002 <= found.flagged["LOCKED"] / found.rows["QUOTE"] <= 0.046
        opened, closed = tape.sessions[0]
        regular = tape.rows[(tape.rows["ts_event"] >= opened) & (tape.rows["ts_event"] < closed)]
        regular = regular[regular["kind"] == Kind.TRADE]
        assert np.mean((regular["flags"] & Flag.OUTSIDE) == 0) > inside
        # the closing auction is the last thing of the session
        assert (tape.rows["level"][tape.rows["kind"] == Kind.STATUS]).tolist() == [3, 7, 0]


def test_recorded_taq_files_are_cleaned_by_rule(recorded_data):
    folder = recorded_data / "equities" / "rtaq"
    files = (folder / "sampleQDataRaw.parquet", folder / "sampleTDataRaw.parquet")
    (tape,) = import_quotes(*files, zone="UTC", exchange="N")
    check(tape)
    found = verdict(tape)
    assert found.rows["TRADE"] + found.dropped["CONDITION"] == 39_470
    assert found.flagged.get("CROSSED", 0) <= 0.001 * found.rows["QUOTE"]
    (best,) = import_quotes(*files, zone="UTC")
    assert verdict(best).rows["QUOTE"] + verdict(best).dropped["NOT_BEST"] == 66_695
