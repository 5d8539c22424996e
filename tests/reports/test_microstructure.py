from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.cli import main
from engine.errors import TapeError
from engine.instruments import Instrument
from engine.reports.microstructure import microstructure
from engine.reports.microstructure_cells import BLOCKS, SECOND, cells_of
from engine.reports.microstructure_errors import jackknife
from engine.reports.microstructure_lags import LAGS, LagSums, autocorrelation, response
from engine.reports.microstructure_result import Curve, Microstructure, Number
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.testing.generators import tapes

START = 1_767_623_400 * SECOND  # 2026-01-05 14:30 UTC
UNITS = st.sampled_from([1, 100_000, 100_000_000])


def a_number(one: Microstructure, section: str, name: str) -> Number:
    return next(number for number in one.sections[section].numbers if number.name == name)


def a_curve(one: Microstructure, section: str, chart: int = 0, which: int = 0) -> Curve:
    return one.sections[section].charts[chart].curves[which]


def same(one: Any, other: Any) -> bool:
    """NaN is equal to NaN here."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)


def drawn(data: st.DataObject) -> Tape:
    tape = data.draw(tapes(unit_ns=data.draw(UNITS)))
    assume(len(tape) and len(cells_of(tape).start))
    assume(np.isin(tape.rows["kind"], (Kind.CLOSE, Kind.CLOCK), invert=True).any())
    return tape


def quoted_trades(
    side: np.ndarray, mid: np.ndarray, *, half_spread: float = 1.0, size: Any = 100, seconds: float = 1.0
) -> Tape:
    """A trade a second, 100 ms after the quote it meets; ``mid[i]`` (ticks of 1) stands before trade i."""
    n = len(side)
    rows = np.zeros(2 * n, ROW)
    rows["flags"] = Flag.LAST
    times = START + (seconds * 1e9 * np.arange(n)).astype(np.int64)
    quotes, trades = rows[0::2], rows[1::2]
    quotes["ts_event"], trades["ts_event"] = times, times + int(1e8 * seconds)
    quotes["kind"], trades["kind"] = Kind.QUOTE, Kind.TRADE
    quotes["price"], quotes["price2"] = np.round(mid - half_spread), np.round(mid + half_spread)
    quotes["size"] = quotes["size2"] = 1000
    trades["side"], trades["size"] = side, size
    trades["price"] = np.round(mid + side * half_spread)
    instrument = Instrument(symbol="A", tick=1)
    return Tape(rows, Manifest(instruments=[instrument], sessions=[(START, int(times[-1]) + SECOND)]))


# --- laws on any tape ---


@given(st.data())
@pytest.mark.slow
def test_the_size_of_chunks_changes_nothing(data: st.DataObject) -> None:
    tape = drawn(data)
    assert same(microstructure(tape), microstructure(tape, chunk=data.draw(st.integers(1, 20))))


@given(st.data())
def test_a_shift_in_time_changes_nothing(data: st.DataObject) -> None:
    tape, by = drawn(data), data.draw(st.integers(-(10**12), 10**17))
    rows = np.array(tape.rows)
    rows["ts_event"] += by
    manifest = msgspec.structs.replace(tape.manifest, sessions=[(a + by, b + by) for a, b in tape.manifest.sessions])
    assert same(microstructure(Tape(rows, manifest)), microstructure(tape))


@given(st.data())
def test_the_mirrored_market_buys_what_this_one_sells_and_is_otherwise_the_same(data: st.DataObject) -> None:
    tape = drawn(data)
    rows, mirrored = np.array(tape.rows), np.array(tape.rows)
    quote, bar = rows["kind"] == Kind.QUOTE, rows["kind"] == Kind.BAR
    mirrored["side"] = -rows["side"]
    priced = ~quote & ~np.isin(rows["kind"], (Kind.STATUS, Kind.CLOSE, Kind.CLOCK, Kind.CLEAR))
    centre = 10 * np.array([1000 * instrument.tick for instrument in tape.instruments])[rows["instrument"]]
    mirrored["price"][priced] = (centre - rows["price"])[priced]
    mirrored["price"][quote], mirrored["price2"][quote] = (
        (centre - rows["price2"])[quote],
        (centre - rows["price"])[quote],
    )
    mirrored["size"][quote], mirrored["size2"][quote] = rows["size2"][quote], rows["size"][quote]
    mirrored["size2"][bar] = (centre - rows["size2"])[bar]
    for one, other in zip(microstructure(tape), microstructure(Tape(mirrored, tape.manifest)), strict=True):
        if one.sections["trade_signs"].numbers:
            bought = a_number(one, "trade_signs", "share bought").value
            assert a_number(other, "trade_signs", "share bought").value == pytest.approx(1 - bought)
        # a quote that changes both sides counts its bid first, here as there
        flow = () if one.book == "L1" else ("limit_flow", "passive_bias")
        for name in ("trade_signs", "response", "impact", "volume_curve", *flow):
            for chart, its_mirror in zip(one.sections[name].charts, other.sections[name].charts, strict=True):
                if "net flow" in chart.title:
                    continue
                for a, b in zip(chart.curves, its_mirror.curves, strict=True):
                    assert np.allclose([a.x, a.y], [b.x, b.y], atol=1e-6)
        if one.sections["depth"].charts:
            bid, ask = (a_curve(one, "depth", which=k) for k in (0, 1))
            assert np.allclose(bid.y, a_curve(other, "depth", which=1).y)
            assert np.allclose(ask.y, a_curve(other, "depth", which=0).y)


@given(st.data(), st.integers(2, 9))
def test_other_units_of_size_change_sizes_alone(data: st.DataObject, factor: int) -> None:
    tape = drawn(data)
    rows = np.array(tape.rows)
    rows["size"] *= factor
    rows["size2"][rows["kind"] == Kind.QUOTE] *= factor
    for one, other in zip(microstructure(tape), microstructure(Tape(rows, tape.manifest)), strict=True):
        kept = ("trade_signs", "limit_flow", "cancellations", "passive_bias", "spread", "response")
        assert all(same(one.sections[name], other.sections[name]) for name in kept)
        if one.sections["depth"].charts:
            assert np.allclose(np.array(a_curve(one, "depth").y) * factor, a_curve(other, "depth").y)


@given(st.data())
def test_each_instrument_is_measured_as_if_alone(data: st.DataObject) -> None:
    tape = drawn(data)
    for one in microstructure(tape):
        assert same(microstructure(tape, one.symbol), [one])


@given(st.data())
def test_cells_cover_each_session_once(data: st.DataObject) -> None:
    tape = drawn(data)
    cells = cells_of(tape)
    assert (cells.end > cells.start).all()
    assert (cells.start[1:] >= cells.end[:-1]).all()
    together = cells.session[1:] == cells.session[:-1]
    assert (cells.start[1:] == cells.end[:-1])[together].all()
    assert set(cells.block) <= set(range(BLOCKS))
    assert (np.diff(cells.block) >= 0).all()


# --- against pandas and closed forms ---


@given(
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=2, max_size=60),
    cut=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_sums_over_lags_are_those_of_pandas(signs: list[float], cut: int, seed: int) -> None:
    a, rng = np.array(signs), np.random.Generator(np.random.Philox(seed))
    b = np.where(rng.random(len(a)) < 0.1, np.nan, rng.normal(size=len(a)).cumsum())
    session = np.sort(rng.integers(0, 2, len(a)))
    series = LagSums(2)
    for part in (slice(0, cut), slice(cut, None)):
        series.add(a[part], b[part], session[part], session[part])
    frame = pd.DataFrame({"a": a, "b": b, "session": session})
    with np.errstate(all="ignore"):
        acf, of = autocorrelation(series.sums.sum(axis=0)), response(series.sums.sum(axis=0))
    for k, lag in enumerate(LAGS[:6]):
        parts = [group for _, group in frame.groupby("session") if len(group) > lag]
        pairs = pd.concat(
            [pd.DataFrame({"j": g.a.shift(lag), "i": g.a, "move": g.b - g.b.shift(lag)})[lag:] for g in parts]
            or [frame[:0]]
        )
        if len(pairs) > 1 and pairs.j.nunique() == 2 and pairs.i.nunique() == 2:
            assert acf[k] == pytest.approx(np.corrcoef(pairs.j, pairs.i)[0, 1], abs=1e-9)
        if len(pairs) and pairs.move.notna().any():
            assert of[k] == pytest.approx((pairs.j * pairs.move).mean(), abs=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=30))
def test_for_a_mean_of_equal_blocks_the_error_is_that_of_batch_means(means: list[float]) -> None:
    assume(any(means))
    sums = np.stack([np.full(len(means), 7.0), 7 * np.array(means)], axis=1)
    value, error = jackknife(lambda n: n[1] / n[0], sums)
    assert value[0] == pytest.approx(np.mean(means), abs=1e-9)
    assert error[0] == pytest.approx(np.std(means, ddof=1) / np.sqrt(len(means)), rel=1e-6, abs=1e-9)


def test_time_is_weighed_exactly() -> None:
    """A spread of 2 ticks for 3 s and of 6 for 1 s is 3 on average; 300 shares for 3 s and 100 for 1 s are 250."""
    rows = np.zeros(3, ROW)
    rows["flags"], rows["kind"] = Flag.LAST, Kind.QUOTE
    rows["ts_event"] = START + np.array([0, 3, 4]) * SECOND
    rows["price"], rows["price2"] = [100, 100, 100], [102, 106, 102]
    rows["size"], rows["size2"] = [300, 100, 1], [300, 100, 1]
    manifest = Manifest(instruments=[Instrument(symbol="A", tick=1)], sessions=[(START, START + 4 * SECOND)])
    (one,) = microstructure(Tape(rows, manifest))
    assert a_number(one, "spread", "mean, by time").value == pytest.approx(3)
    assert a_number(one, "depth", "mean size at the best bid").value == pytest.approx(250)


# --- planted markets ---


def markov_signs(rng: np.random.Generator, n: int, keep: float) -> np.ndarray:
    flips = np.where(rng.random(n) < keep, 1, -1)
    return np.cumprod(flips)


def test_the_autocorrelation_of_planted_signs_is_found_and_its_errors_are_honest() -> None:
    """P(same again) = 0.8 makes 0.6^lag. Of 30 markets, about 95 % are within two errors at each lag."""
    within = []
    for seed in range(30):
        rng = np.random.Generator(np.random.Philox(seed))
        (one,) = microstructure(quoted_trades(markov_signs(rng, 6_000, 0.8), np.full(6_000, 1000.0)))
        found = a_curve(one, "trade_signs")
        off = np.array(found.y[:4]) - 0.6 ** LAGS[:4]
        within += (np.abs(off) < 2 * np.array(found.error[:4])).tolist()
    assert 0.85 < np.mean(within) < 0.995


def test_planted_permanent_impact_is_found_by_size_and_at_every_lag() -> None:
    """Independent signs move the mid by 4 sqrt(size) ticks for good: R(l) is its mean, and impact ~ size^0.5."""
    rng = np.random.Generator(np.random.Philox(1))
    n = 20_000
    side, size = rng.choice([-1, 1], n), rng.integers(1, 1000, n)
    move = side * np.round(4 * np.sqrt(size))
    mid = 1_000_000 + np.concatenate([[0.0], np.cumsum(move)[:-1]])
    (one,) = microstructure(quoted_trades(side, mid, size=size))
    expected = float(np.mean(np.abs(move)))
    found = a_curve(one, "response")
    assert max(found.x) >= 500
    for y, error in zip(found.y, found.error, strict=True):
        assert abs(y - expected) < 4 * error
    exponent = a_number(one, "impact", "exponent x of impact ~ size^x")
    assert exponent.value == pytest.approx(0.5, abs=max(0.01, 3 * exponent.error))


def test_a_random_walk_has_a_flat_signature_and_the_bounce_of_trades_does_not() -> None:
    """Steps of 2 ticks a second, half a spread of 5: per second the trades' variance is 4 + 2 * 25 / interval."""
    rng = np.random.Generator(np.random.Philox(2))
    n = 40_000
    side = rng.choice([-1, 1], n)
    mid = 100_000 + 2.0 * np.cumsum(rng.choice([-1, 1], n))
    (one,) = microstructure(quoted_trades(side, mid, half_spread=5.0))
    of_mid, of_trades = a_curve(one, "signature"), a_curve(one, "signature", which=1)
    level = np.mean(mid)
    for found, bounce in ((of_mid, 0.0), (of_trades, 2 * 25.0)):
        tau = np.array(found.x)
        expected = 1e4 * np.sqrt((4 + bounce / tau) * 60) / level
        assert np.all(np.abs(np.array(found.y) - expected) < 4 * np.array(found.error) + 0.01 * expected)
    ratio = a_number(one, "signature", "mid: variance ratio, longest over shortest")
    assert abs(ratio.value - 1) < 4 * ratio.error


def test_trades_without_a_side_are_signed_and_counted() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    tape = quoted_trades(rng.choice([-1, 1], 500), np.full(500, 1000.0))
    rows = np.array(tape.rows)
    rows["side"] = 0
    (one,), (other,) = microstructure(tape), microstructure(Tape(rows, tape.manifest))
    assert other.signed_here == 500
    assert same(one.sections, other.sections)


# --- what a tape cannot answer ---


def test_a_tape_of_trades_alone_says_what_it_cannot_show() -> None:
    tape = quoted_trades(np.ones(60), np.arange(60) + 1000.0)
    rows = np.array(tape.rows[tape.rows["kind"] == Kind.TRADE])
    (one,) = microstructure(Tape(rows, tape.manifest))
    for name in ("limit_flow", "clustering", "cancellations", "passive_bias", "spread", "depth", "response", "impact"):
        section = one.sections[name]
        assert (section.numbers, section.charts) == ([], [])
        assert "no quotes and no book" in section.missing
    assert one.sections["volume_curve"].numbers
    assert one.sections["trade_signs"].numbers


def test_bars_show_volume_and_the_volatility_of_closes_alone(capsys: Any) -> None:
    assert main(["data", "stats", "demo_bars", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["instruments"]
    told = {name for name, section in one["sections"].items() if section["numbers"]}
    assert told == {"volume_curve", "signature"}
    assert one["sections"]["spread"]["missing"] == "bars do not show single trades or orders"
    assert one["sections"]["signature"]["charts"][0]["curves"][0]["x"][0] == 300


def test_nothing_to_measure_is_refused_with_a_sentence() -> None:
    tape = quoted_trades(np.ones(3), np.full(3, 1000.0))
    with pytest.raises(TapeError, match=r"no instrument 'B'; it holds A"):
        microstructure(tape, "B")
    with pytest.raises(TapeError, match="no rows to measure"):
        microstructure(Tape(np.zeros(0, ROW), tape.manifest))
    with pytest.raises(TapeError, match="no row lies in a session"):
        microstructure(Tape(tape.rows, msgspec.structs.replace(tape.manifest, sessions=[(0, 10)])))
    closes = np.zeros(1, ROW)
    closes["kind"], closes["ts_event"] = Kind.CLOSE, START
    with pytest.raises(TapeError, match="it holds panels, but no quotes"):
        microstructure(Tape(closes, tape.manifest))


# --- the command ---


def test_the_command_prints_tables_and_says_where_the_plots_are(capsys: Any, tmp_path: Path) -> None:
    page = tmp_path / "new" / "stats.html"
    assert main(["data", "stats", "demo_l2_hour", "--symbol", "SMALL", "--html", str(page)]) == 0
    said = capsys.readouterr().out
    for text in ("SMALL: L2", "SYNTHETIC", "Signed limit-order flow", "±", "bp/√min", str(page)):
        assert text in said
    assert "LARGE" not in said


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = tmp_path / "stats.html"
    assert main(["data", "stats", "demo_l3_minutes", "--html", str(page), "--quiet"]) == 0
    text = page.read_text(encoding="utf-8")
    own = text[: text.index("<script>")] + text[text.index("<body>") :]
    assert "http" not in own
    assert "src=" not in own
    assert own.count("Plotly.newPlot") >= 12
    assert "NaN" not in own


@pytest.mark.slow
def test_it_says_the_same_in_every_process() -> None:
    command = [sys.executable, "-c", "import sys; from engine.cli import main; main(sys.argv[1:])"]
    words = ["data", "stats", "demo_l3_minutes", "--json"]
    one, other = (subprocess.run(command + words, capture_output=True, check=True).stdout for _ in range(2))
    assert one == other


def test_a_recorded_day_agrees_with_pandas(recorded_data: Path) -> None:
    """One L1 day of AAPL, straight from the vendor's files: transactions, their signs, the spread, lives of orders."""
    folder = recorded_data / "equities" / "lobster"
    if not (folder / "AAPL_2012-06-21_message_1.parquet").exists():
        pytest.skip(f"no recorded day in {folder}; set TICKWRIGHT_DATA to run this test")
    from feeds.lobster import import_lobster

    files = folder / "AAPL_2012-06-21_message_1.parquet", folder / "AAPL_2012-06-21_orderbook_1.parquet"
    told, book = (pd.read_parquet(file) for file in files)
    (one,) = microstructure(import_lobster(*files, symbol="AAPL"))
    prints = told[told.type.isin((4, 5))]
    merged = prints.assign(side=-prints.direction).groupby(["time_ns", "side", "price"], sort=False)["size"].sum()
    assert one.transactions == len(merged)
    sides = merged.index.get_level_values("side").to_numpy()
    assert a_number(one, "trade_signs", "share bought").value == pytest.approx((sides > 0).mean())
    acf = np.corrcoef(sides[:-1], sides[1:])[0, 1]
    assert a_number(one, "trade_signs", "autocorrelation(1)").value == pytest.approx(acf, abs=1e-9)
    last = np.append(np.diff(told.time_ns) > 0, True)  # the book after each time
    width, times = (book.ask_px_1 - book.bid_px_1).to_numpy()[last] / 100, told.time_ns.to_numpy()[last]
    seconds = np.diff(times)
    assert a_number(one, "spread", "mean, by time").value == pytest.approx(
        (width[:-1] * seconds).sum() / seconds.sum(), rel=1e-4
    )
    born = told[told.type == 1].set_index("order_id").time_ns
    gone = told[(told.type == 3) & told.order_id.isin(born.index)]
    quick = ((gone.time_ns.to_numpy() - born.loc[gone.order_id].to_numpy()) <= 1e6).sum() / len(born)
    assert a_number(one, "cancellations", "cancelled within 1 ms").value == pytest.approx(quick, rel=0.02)
