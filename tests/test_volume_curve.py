"""Laws of the volume curve: all of the day, in whole parts, from the past alone."""

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError, TapeError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from engine.volume_curve import ONE, CurveSource, VolumeCurve, estimate, us_equity_default

MINUTE = 60_000_000_000
DAY = 24 * 60 * MINUTE
LENGTH = 390 * MINUTE


def tape(days, *, kind=Kind.BAR, symbol="X", flags=Flag.LAST):
    """One session a day from ``days``: lists of (ns after the open, size)."""
    sessions = [(n * DAY, n * DAY + LENGTH) for n in range(len(days))]
    rows = np.zeros(sum(map(len, days)), ROW)
    rows["ts_event"] = [open_ts + ts for (open_ts, _), day in zip(sessions, days, strict=True) for ts, _ in day]
    rows["size"] = [size for day in days for _, size in day]
    rows["kind"], rows["flags"] = kind, flags
    instrument = Instrument(symbol=symbol, book="NONE" if kind == Kind.BAR else "L1")
    return Tape(rows, Manifest(instruments=[instrument], sessions=sessions))


def minute_bars(volumes):
    return [((k + 1) * MINUTE, volume) for k, volume in enumerate(volumes)]


volumes = st.lists(st.integers(0, 10**9), min_size=390, max_size=390).filter(any)


@given(days=st.lists(volumes, min_size=1, max_size=3), bins=st.integers(1, 390), smoothing=st.integers(0, 3))
def test_weights_are_not_negative_and_add_up_exactly(days, bins, smoothing):
    curve = estimate([tape([minute_bars(day) for day in days])], "X", bins=bins, smoothing=smoothing)
    assert len(curve.weights) == bins
    assert min(curve.weights) >= 0
    assert sum(curve.weights) == ONE


@given(day=volumes, bins=st.sampled_from([1, 13, 39, 78, 390]))
def test_one_day_unsmoothed_is_that_days_share_of_volume(day, bins):
    curve = estimate([tape([minute_bars(day)])], "X", bins=bins, smoothing=0)
    per_bin = np.array(day).reshape(bins, -1).sum(axis=1).tolist()
    for weight, volume in zip(curve.weights, per_bin, strict=True):
        assert abs(weight - Fraction(ONE * volume, sum(day))) < 2


@given(day=volumes, factor=st.integers(2, 1000))
def test_a_busy_day_counts_no_more_than_a_quiet_one(day, factor):
    quiet, flat = minute_bars(day), minute_bars([1_000] * 390)
    busy = minute_bars([factor * volume for volume in day])
    assert estimate([tape([quiet, flat])], "X").weights == estimate([tape([busy, flat])], "X").weights


def test_days_in_one_tape_or_in_several_are_the_same():
    days = [minute_bars(range(390)), minute_bars(range(390, 0, -1))]
    assert estimate([tape(days)], "X").weights == estimate([tape(days[:1]), tape(days[1:])], "X").weights


def test_smoothing_keeps_the_peaks_at_both_ends():
    day = [1_000] * 390
    day[:5] = day[-5:] = [10_000] * 5
    rough = estimate([tape([minute_bars(day)])], "X", smoothing=0)
    smooth = estimate([tape([minute_bars(day)])], "X", smoothing=1)
    assert smooth.weights[0] > 0.9 * rough.weights[0]
    assert smooth.weights[1] > rough.weights[1]


def test_trades_are_counted_where_they_happen_and_auction_prints_are_not():
    trades = tape([[(0, 10), (LENGTH // 2, 30), (LENGTH - 1, 60)]], kind=Kind.TRADE)
    trades.rows["price"] = 100
    assert estimate([trades], "X", bins=2, smoothing=0).weights == (ONE // 10, ONE // 10 * 9)
    trades.rows["flags"][0] |= Flag.AUCTION
    assert estimate([trades], "X", bins=2, smoothing=0).weights == (0, ONE)


def test_a_bar_belongs_to_the_time_before_its_end():
    bars = tape([[(LENGTH // 2, 25), (LENGTH, 75)]])
    assert estimate([bars], "X", bins=2, smoothing=0).weights == (ONE // 4, ONE // 4 * 3)


def test_a_day_that_is_not_over_is_refused():
    days = tape([minute_bars([5] * 390)] * 2)
    assert estimate([days], "X", before=DAY + LENGTH).origin == "2 days of X"
    with pytest.raises(TapeError, match=r"is not over at .* give earlier days, or allow it with look_ahead = true"):
        estimate([days], "X", before=DAY)


def test_look_ahead_must_be_asked_for_and_is_named(tmp_path):
    path = tape([minute_bars([5] * 390)]).save(tmp_path / "day")
    with pytest.raises(TapeError, match="look_ahead"):
        CurveSource(tapes=(str(path),)).curve("X", before=0)
    assert "LOOK-AHEAD" in CurveSource(tapes=(str(path),), look_ahead=True).curve("X", before=0).origin
    assert "LOOK-AHEAD" not in CurveSource(tapes=(str(path),)).curve("X", before=DAY).origin


def test_a_symbol_without_volume_says_so():
    with pytest.raises(TapeError, match="Y does not trade in the tapes for its volume curve"):
        estimate([tape([minute_bars([1] * 390)])], "Y")


def test_bars_that_are_longer_than_bins_are_refused():
    with pytest.raises(TapeError, match="13 bars of X cannot fill 78 bins of a session; use at most 13 bins"):
        estimate([tape([[((k + 1) * 30 * MINUTE, 1) for k in range(13)]])], "X")


@given(bins=st.integers(1, 400))
def test_the_default_is_a_u_that_says_that_it_is_a_default(bins):
    curve = us_equity_default(bins)
    assert sum(curve.weights) == ONE
    assert "default" in curve.origin
    turn = curve.weights.index(min(curve.weights))
    assert list(curve.weights[: turn + 1]) == sorted(curve.weights[: turn + 1], reverse=True)
    assert list(curve.weights[turn:]) == sorted(curve.weights[turn:])


def test_the_default_gives_the_documented_half_hours():
    half_hours = us_equity_default(13).weights
    assert [round(100 * half_hours[k] / ONE) for k in (0, 6, 12)] == [16, 5, 14]


def test_weights_that_do_not_add_up_are_refused():
    with pytest.raises(ConfigError, match=f"add up to {ONE}, not to 5"):
        VolumeCurve((2, 3), "typed in")


@given(
    bins=st.integers(1, 100),
    lots=st.integers(1, 10_000),
    lot=st.sampled_from([1, 100]),
    start=st.integers(0, LENGTH - 1),
    length=st.integers(1, LENGTH),
)
def test_a_schedule_spreads_all_of_the_order_inside_its_window(bins, lots, lot, start, length):
    end = min(start + length, LENGTH)
    schedule = us_equity_default(bins).schedule(lots * lot, start, end, session=(0, LENGTH), lot=lot)
    assert (schedule.edges[0], schedule.edges[-1]) == (start, end)
    assert (schedule.target(start), schedule.target(end)) == (0, lots * lot)


def test_over_the_whole_session_the_schedule_has_the_curves_shape():
    curve = us_equity_default(13)
    schedule = curve.schedule(ONE, 0, LENGTH, session=(0, LENGTH))
    assert [b - a for a, b in zip(schedule.done_by, schedule.done_by[1:], strict=False)] == list(curve.weights)


def test_where_the_curve_has_no_volume_the_schedule_is_even():
    curve = VolumeCurve((0, ONE), "half a day")
    assert curve.schedule(10, 0, 100, session=(0, 1_000)).target(50) == 5


def test_a_curve_travels_as_json():
    curve = us_equity_default()
    assert msgspec.json.decode(msgspec.json.encode(curve), type=VolumeCurve) == curve
