"""Closes of a rates market from files: what comes in, is carried, aged or refused; and panels through feeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Strategy, Wake, events
from engine.desk import Desk
from engine.errors import ConfigError, TapeError
from engine.panel_layout import NO_BOND, decimals
from engine.tape import Kind, Manifest, Tape
from engine.testing.laws import StrategyLaws, _head
from engine.verdict import check, verdict
from feeds.close_rows import close_instrument, close_rows
from feeds.export import export_parquet, import_parquet
from feeds.importers import IMPORTERS
from feeds.merge import merge
from feeds.panel_ages import age
from feeds.panel_map import years
from feeds.panels import import_panels
from feeds.replay import TapeFeed

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"
HEAD = 'symbol = "USD.RATES"\ncarry_days = 2\n'
SWAPS = HEAD + '[swap_rate]\nfile = "swaps.csv"\nunit = "percent"\n[swap_rate.columns]\n"10y" = "ten"\n"2y" = "two"\n'
VOLS = HEAD + '[normal_vol]\nfile = "vols.csv"\nunit = "bp"\noffset_unit = "bp"\n'
BONDS = HEAD + '[bond]\nstatic = "static.csv"\nprices = "prices.csv"\ncoupon_unit = "percent"\n'

# 2024-01-12 is a Friday, 2024-01-15 a holiday
TWO_WEEKS = """date,two,ten
2024-01-08,4.3,3.7
2024-01-09,4.31,3.71
2024-01-11,4.32,
2024-01-12,4.33,
2024-01-15,9.99,9.99
2024-01-16,4.34,
2024-01-17,4.35,3.75
"""
STATIC = """isin,dated,maturity,coupon
ZZ0000000001,2020-01-15,2024-01-15,2.5
ZZ0000000002,2023-01-15,2033-01-15,3.5
"""
PRICES = """date,isin,clean_price
2024-01-10,ZZ0000000001,99.9
2024-01-10,ZZ0000000002,96.5
2024-01-11,ZZ0000000002,96.25
"""


def imported(folder: Path, toml: str, **files: str) -> Tape:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    (folder / "map.toml").write_text(toml)
    (tape,) = import_panels(folder / "map.toml")
    check(tape)
    return tape


# What comes in


def test_each_business_day_closes_once_and_holes_are_carried_aged_and_counted(tmp_path):
    tape = imported(tmp_path, SWAPS, swaps=TWO_WEEKS)
    days = tape.panels["date"].astype("datetime64[D]").astype(str).tolist()
    assert days == [f"2024-01-{day:02d}" for day in (8, 9, 10, 11, 12, 16, 17)]
    assert tape.panels["axis_swap_tenor"].tolist() == [2.0, 10.0]
    two, ten = tape.panels["swap_rate"].T
    assert two == pytest.approx([0.043, 0.0431, 0.0431, 0.0432, 0.0433, 0.0434, 0.0435])
    assert ten == pytest.approx([0.037, 0.0371, 0.0371, 0.0371, np.nan, np.nan, 0.0375], nan_ok=True)
    assert tape.panels["age_swap_rate"].T.tolist() == [[0, 0, 1, 0, 0, 0, 0], [0, 0, 1, 2, 255, 255, 0]]
    assert tape.manifest.verdict == {"CARRIED": 3, "MISSING": 2, "HOLIDAY": 1}
    found = verdict(tape)
    assert (found.dropped, found.noted) == ({"HOLIDAY": 1}, {"CARRIED": 3, "MISSING": 2})
    assert found.quiet == 0
    assert tape.rows["kind"].tolist() == [Kind.CLOSE] * 7
    assert tape.rows["ts_event"][0] == np.datetime64("2024-01-08T20:00", "ns").astype(np.int64)  # 15:00 in New York


def test_an_exchanges_calendar_and_close_may_be_named(tmp_path):
    toml = 'calendar = "XEUR"\nclose = "17:15"\nzone = "Europe/Berlin"\ncurrency = "EUR"\n' + SWAPS
    tape = imported(tmp_path, toml, swaps=TWO_WEEKS)
    assert np.datetime64("2024-01-15") in tape.panels["date"].astype("datetime64[D]")
    assert tape.rows["ts_event"][0] == np.datetime64("2024-01-08T16:15", "ns").astype(np.int64)
    assert tape.instruments[0].currency == "EUR"


def test_start_and_end_cut_the_days(tmp_path):
    tape = imported(tmp_path, 'start = "2024-01-09"\nend = "2024-01-11"\n' + SWAPS, swaps=TWO_WEEKS)
    assert len(tape) == 3
    assert tape.manifest.verdict == {"CARRIED": 3}


def test_parquet_and_dates_of_its_own_kind_give_the_same(tmp_path):
    import pandas as pd

    csv = imported(tmp_path, SWAPS, swaps=TWO_WEEKS)
    pd.read_csv(tmp_path / "swaps.csv", parse_dates=["date"]).to_parquet(tmp_path / "swaps.parquet")
    again = imported(tmp_path, SWAPS.replace("swaps.csv", "swaps.parquet"))
    assert again.content_hash() == csv.content_hash()


def test_repo_on_360_days_is_told_on_365_and_a_quarter(tmp_path):
    toml = HEAD + '[gc_repo]\nfile = "repo.csv"\nday_count = "ACT/360"\n[gc_repo.columns]\n"O/N" = "on"\n3m = "q"\n'
    tape = imported(tmp_path, toml, repo="date,on,q\n2024-01-08,0.036,0.072\n")
    assert tape.panels["gc_repo"][0] == pytest.approx([0.036525, 0.07305])
    assert tape.panels["axis_repo_tenor"] == pytest.approx([1 / 365.25, 0.25])


def test_vols_come_as_rows_and_go_into_a_surface(tmp_path):
    rows = "date,expiry,tenor,offset,vol\n2024-01-08,1M,10y,0,90\n2024-01-08,3M,10y,0,95\n2024-01-09,1m,10y,25,92.5\n"
    tape = imported(tmp_path, VOLS, vols=rows)
    assert tape.panels["axis_vol_expiry"] == pytest.approx([1 / 12, 0.25])
    assert tape.panels["axis_vol_offset"] == pytest.approx([0.0, 0.0025])
    surface = tape.panels["normal_vol"][:, :, 0]  # (2, 2, 2): day, expiry, offset
    assert surface[0] == pytest.approx(np.array([[0.009, np.nan], [0.0095, np.nan]]), nan_ok=True)
    assert surface[1] == pytest.approx(np.array([[0.009, 0.00925], [0.0095, np.nan]]), nan_ok=True)
    assert tape.panels["age_normal_vol"][1, :, 0].tolist() == [[1, 0], [1, 255]]


def test_bonds_come_in_slots_with_their_terms(tmp_path):
    toml = 'end = "2024-01-18"\n' + BONDS
    tape = imported(tmp_path, toml, static=STATIC, prices=PRICES)
    panels = tape.panels
    assert panels["bond"].T.tolist() == [[0] * 3 + [NO_BOND] * 3, [1] * 4 + [NO_BOND] * 2]
    price = decimals("bond_price", panels["bond_price"])
    assert price[:, 0] == pytest.approx([0.999] * 3 + [np.nan] * 3, nan_ok=True)  # matures on the 15th
    assert price[:, 1] == pytest.approx([0.965, 0.9625, 0.9625, 0.9625, np.nan, np.nan], nan_ok=True)
    assert panels["age_bond_price"].T.tolist() == [[0, 1, 2, 255, 255, 255], [0, 0, 1, 2, 255, 255]]
    assert tape.manifest.verdict == {"CARRIED": 4}
    bond = panels["axis_bond"][1]
    assert (bond["isin"], bond["kind"], bond["coupon"], bond["term"]) == (b"ZZ0000000002", b"NOTE", 0.035, 10.0)


# Ages


@given(st.lists(st.one_of(st.none(), st.integers(1, 3)), min_size=1, max_size=30), st.integers(0, 4), st.integers(0, 4))
def test_ages_are_those_of_a_plain_count(column, carry, still):
    values = np.array([[np.nan if value is None else float(value)] for value in column])
    aged = age(values, carry_days=carry, still_days=still)
    seen, since, changed, before = np.nan, 255, 0, np.nan
    for day, value in enumerate(column):
        seen, since = (float(value), 0) if value is not None else (seen, since + 1)
        stands = seen if since <= carry else np.nan
        if stands != before:
            changed = day
        is_still = value is not None and still > 0 and day - changed > still
        told = day - changed if is_still else since if since <= carry else 255
        assert aged.age[day, 0] == told
        assert np.array_equal(aged.values[day, 0], stands, equal_nan=True)
        before = stands


@pytest.mark.parametrize(
    ("text", "expected"), [("10y", 10), ("3M", 0.25), ("1w", 7 / 365.25), ("O/N", 1 / 365.25), ("0.5", 0.5), ("30", 30)]
)
def test_a_tenor_is_read_in_years(text, expected):
    assert years(text) == pytest.approx(expected)


# Refused

REFUSED = [
    (SWAPS, {"swaps": "date,two,ten\n2024-01-09,4,4\n2024-01-08,4,4\n"}, "row 2 goes back in time .*; sort the file"),
    (SWAPS, {"swaps": "date,two,ten\n2024-01-09,4,4\n2024-01-09,4,4\n"}, "row 2 has the date of the row before"),
    (SWAPS, {"swaps": "date,two,ten\n2024-01-09,4,4\nsoon,4,4\n"}, "row 2 has no date in column 'date'"),
    (SWAPS, {"swaps": "date,two,ten\n2024-01-09,4,x\n"}, "column 'ten' holds string, not numbers"),
    (SWAPS, {"swaps": "date,two,ten\n2024-01-09,4,inf\n"}, "row 1 is not finite in column 'ten'"),
    (SWAPS, {"swaps": "date,two\n2024-01-09,4\n"}, "no column 'ten'"),
    (
        SWAPS.replace('unit = "percent"\n', ""),
        {"swaps": "date,two,ten\n2024-01-09,0.04,0.04\n2024-01-10,4.1,4\n"},
        "row 2, column 'two' is 4.1, read in unit 'decimal', but no rate is above 30%; set unit = \"percent\"",
    ),
    (VOLS, {"vols": "date,expiry,tenor,offset,vol\n2024-01-08,1m,10y,0,0\n"}, "row 1 has a vol that is not > 0"),
    (VOLS, {"vols": "date,expiry,tenor,offset,vol\n2024-01-08,1m,10y,0,-4\n"}, "row 1 has a vol that is not > 0"),
    (VOLS, {"vols": "date,expiry,tenor,offset,vol\n2024-01-08,1m,10y,0,.009\n"}, "no decimal of a year, read in unit"),
    (
        VOLS,
        {"vols": "date,expiry,tenor,offset,vol\n2024-01-08,1x,10y,0,90\n"},
        "column 'expiry': '1x' is no tenor",
    ),
    (
        VOLS,
        {"vols": "date,expiry,tenor,offset,vol\n2024-01-08,1m,10y,0,90\n2024-01-08,1m,10y,0,91\n"},
        "row 2 has the date and the keys of an earlier row",
    ),
    (BONDS, {"static": STATIC + "ZZ0000000001,2021-01-15,2026-01-15,1\n", "prices": PRICES}, "row 3 has an ISIN that"),
    (BONDS, {"static": STATIC.replace("2024-01-15", "2023-01-15"), "prices": PRICES}, "at or after the bond's mat"),
    (
        BONDS,
        {"static": STATIC + "ZZ0000000003,2013-01-15,2023-01-15,1\n", "prices": PRICES},
        r"row 3 matures before the first price \(2024-01-10\) \(ZZ0000000003\); remove it",
    ),
    (BONDS, {"static": STATIC, "prices": PRICES.replace("0002", "0009", 1)}, "row 2 names a bond that static.csv does"),
    (BONDS, {"static": STATIC, "prices": PRICES.replace("99.9", "0.999")}, "row 1 has a price that is far from par"),
    (
        BONDS.replace('coupon_unit = "percent"\n', ""),
        {"static": STATIC, "prices": PRICES},
        "column 'coupon' is 2.5, read in unit 'decimal', .* set coupon_unit",
    ),
]


@pytest.mark.parametrize(("toml", "files", "says"), REFUSED)
def test_a_bad_file_is_refused_with_its_row_and_a_cure(tmp_path, toml, files, says):
    with pytest.raises(TapeError, match=says):
        imported(tmp_path, toml, **files)


BAD_MAPS = [
    (HEAD, "names no file"),
    ("carry_days = 2\n", "missing required field `symbol`"),
    ('symbol = "A"\n' + SWAPS.replace(HEAD, ""), "missing required field `carry_days`"),
    (SWAPS.replace("carry_days = 2", "carry_days = 300"), "must be from 0 to 250"),
    (SWAPS.replace("unit", "units"), "unknown field `units`"),
    (SWAPS.replace("10y", "ten"), "'ten' is no tenor; write 10y"),
    ('calendar = "XNUL"\n' + SWAPS, "calendar 'XNUL'"),
    ('close = "3pm"\n' + SWAPS, "close is '3pm', but must be a time like '15:00'"),
    ('start = "2025-01-01"\n' + SWAPS, "start 2025-01-01 is after end 2024-01-17"),
]


@pytest.mark.parametrize(("toml", "says"), BAD_MAPS)
def test_a_bad_map_is_refused(tmp_path, toml, says):
    with pytest.raises(ConfigError, match=says):
        imported(tmp_path, toml, swaps=TWO_WEEKS)


def test_the_map_in_the_docs_is_one(tmp_path):
    (example,) = re.findall(r"```toml\n(symbol = .*?)```", DOCS.read_text(), re.DOTALL)
    rates = "date,DSWP1,DSWP2,DSWP10,DSWP30\n2024-01-08,4,4,4,4\n"
    tape = imported(
        tmp_path, example, **{"swaps": rates, "vols": "date,expiry,tenor,offset,vol\n2024-01-08,1M,10Y,0,90\n"}
    )
    assert tape.panels["swap_rate"].shape == (1, 4)
    assert IMPORTERS["panels"] is import_panels


def test_recorded_swap_rates_par_yields_and_funding_come_in_with_their_holes(recorded_data):
    from feeds.panel_map import Curve, PanelMap

    curves, funding = recorded_data / "rates" / "curves", recorded_data / "rates" / "funding"
    swaps = {f"{tenor}y": f"DSWP{tenor}" for tenor in (1, 2, 3, 4, 5, 7, 10, 30)}
    yields = {**{f"{n}m": f"DGS{n}MO" for n in (1, 3, 6)}, **{f"{n}y": f"DGS{n}" for n in (1, 2, 3, 5, 7, 10, 20, 30)}}
    (tape,) = import_panels(
        PanelMap(
            symbol="USD.RATES",
            carry_days=3,
            start="2000-07-03",
            end="2016-10-28",
            swap_rate=Curve(file=str(curves / "usd_swap_rates_h15_2000_2016.parquet"), columns=swaps, unit="percent"),
            par_yield=Curve(file=str(curves / "ust_par_yields_1962_2026.parquet"), columns=yields, unit="percent"),
            gc_repo=Curve(
                file=str(funding / "overnight_rates_daily.parquet"),
                columns={"O/N": "dff_to_2017", "3m": "dtb3"},
                unit="percent",
                day_count="ACT/360",
            ),
        )
    )
    check(tape)
    assert len(tape) == 4085
    assert tape.manifest.verdict == {"CARRIED": 35, "MISSING": 270, "HOLIDAY": 175}
    assert tape.panels["swap_rate"][0] == pytest.approx([0.071, 0.0716, 0.0717, 0.0717, 0.0717, 0.072, 0.0724, 0.0724])
    assert np.nanmax(tape.panels["age_swap_rate"]) <= 3  # no hole of the swaps is longer
    missing = np.flatnonzero(tape.panels["age_par_yield"][:, 0] == 255)
    assert tape.panels["date"][missing[-1]].astype("datetime64[D]") < np.datetime64("2001-08-01")  # no 1-month bill yet


# Through feeds


def small(days: int = 12, start: str = "2024-01-08", symbol: str = "USD.RATES", level: float = 0.04) -> Tape:
    """A market of two tenors whose rates wander a little."""
    every = np.datetime64(start) + np.arange(days)
    move = np.cumsum(np.sin(np.arange(1, 2 * days + 1)).reshape(days, 2), axis=0) * 1e-4
    panels = {
        "date": every.astype(np.int64).astype(np.int32),
        "swap_rate": level + move,
        "age_swap_rate": np.zeros((days, 2), np.uint8),
        "axis_swap_tenor": np.array([2.0, 10.0]),
    }
    return Tape(
        close_rows(every), Manifest(name=symbol, instruments=[close_instrument(symbol)], synthetic=True), panels
    )


def drained(feed: TapeFeed) -> np.ndarray:
    pieces = []
    while (rows := feed.read(until=0)) is not None:
        pieces.append(rows)
    return np.concatenate(pieces)


class Reader(Strategy):
    """Asks to be woken at times that depend on all it may know of the panels."""

    wake = Wake(on_close=True, on_quote=True)

    def on_close(self, close: events.Close, desk: Desk) -> None:
        if close.symbol == "USD.RATES":
            known = desk.history("swap_rate")
            assert len(known) == close.panel_day + 1
            assert np.array_equal(known[-1], desk.panel("swap_rate"))
            desk.wake_at(desk.now + 1 + int(1e6 * known.sum()))

    def on_quote(self, quote: events.Quote, desk: Desk) -> None:
        pass


class TestAReaderOfPanels(StrategyLaws):
    """The three laws on a tape of closes, beside the generated ones."""

    own_tape: ClassVar[Tape | None] = small()

    def make_strategy(self) -> Strategy:
        return Reader()


def test_the_law_would_see_a_reader_of_the_last_panel():
    class Cheat(Reader):
        def on_close(self, close: events.Close, desk: Desk) -> None:
            desk.wake_at(desk.now + 1 + int(1e6 * desk._broker.panels._panels["swap_rate"][-1, 0]))

    class Law(StrategyLaws):
        def make_strategy(self) -> Strategy:
            return Cheat()

    early = Law()._replay(_head(small(), 6)).decisions
    assert Law()._replay(small()).decisions[: len(early)] != early


def test_a_tape_of_panels_saves_loads_exports_and_slices(tmp_path):
    tape = small()
    folder = tape.save(tmp_path / "small")
    again = Tape.load(folder)
    assert again.content_hash() == tape.content_hash()
    export_parquet(again, tmp_path / "small.parquet")
    (back,) = import_parquet(tmp_path / "small.parquet")
    assert back.content_hash() == tape.content_hash()
    feed = TapeFeed(folder, start="2024-01-10", end="2024-01-12T21:00Z")
    assert drained(feed)["order_id"].tolist() == [2, 3, 4]
    assert len(feed.tape.panels["swap_rate"]) == 12  # what was before the start may be looked back at


def test_a_change_of_one_bit_in_a_panel_changes_the_content():
    one, two = small(), small()
    two.panels["swap_rate"][5, 1] = np.nextafter(two.panels["swap_rate"][5, 1], 1.0)
    assert one.content_hash() != two.content_hash()


def test_panels_of_following_tapes_are_one_and_axes_must_agree():
    later = small(start="2024-02-01")
    feed = TapeFeed(small(), later)
    assert drained(feed)["order_id"].tolist() == list(range(24))
    assert np.array_equal(feed.tape.panels["swap_rate"][12:], later.panels["swap_rate"])
    assert feed.tape.panels["axis_swap_tenor"].tolist() == [2.0, 10.0]
    later.panels["axis_swap_tenor"] = np.array([2.0, 30.0])
    with pytest.raises(TapeError, match="another axis_swap_tenor"):
        TapeFeed(small(), later)


def test_panels_merge_with_the_rows_of_other_instruments():
    from small_tapes import LAST

    other = Tape(small().rows[:3].copy(), small(symbol="X").manifest)
    other.rows["kind"], other.rows["flags"], other.rows["order_id"] = Kind.TRADE, LAST, 0
    both = merge([small(), other])
    check(both)
    assert both.panel_days == 12
    assert both.rows["order_id"][both.rows["kind"] == Kind.CLOSE].tolist() == list(range(12))


DISAGREE = [
    ({"swap_rate": np.zeros((12, 3))}, "panel swap_rate is .*, but axis_swap_tenor has 2"),
    ({"age_swap_rate": np.zeros((12, 2))}, "panel age_swap_rate must be uint8 of the shape of swap_rate"),
    ({"date": np.zeros(12, np.int32)}, "panel date does not ascend at day 1"),
    ({"policy_rate": np.zeros(11)}, "different numbers of days"),
    ({"gc_repo": np.zeros((12, 4))}, "panel gc_repo has no axis_repo_tenor"),
    ({"bond_price": np.zeros((12, 4), np.int32)}, "panel bond_price needs bond of its shape and axis_bond"),
]


@pytest.mark.parametrize(("change", "says"), DISAGREE)
def test_panels_that_disagree_are_refused(tmp_path, change, says):
    tape = small()
    tape.panels.update(change)
    with pytest.raises(TapeError, match=says):
        tape.save(tmp_path / "bad")
