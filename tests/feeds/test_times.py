"""Wall clocks and UTC: exact, invertible, and honest about the days the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from feeds.times import DAY, NOT_A_TIME, SECOND, as_date, as_ns, local_ns, local_of, session, utc_ns

ZONES = st.sampled_from(["America/New_York", "Europe/London", "Asia/Tokyo", "UTC", "America/Chicago"])
INSTANTS = st.integers(631_152_000 * SECOND, 2_208_988_800 * SECOND)  # 1990 to 2040


@given(st.lists(INSTANTS, min_size=1, max_size=5), ZONES)
def test_a_wall_time_shows_what_the_zone_says_to_the_nanosecond(instants, zone):
    utc = np.array(instants)
    for ns, local in zip(instants, local_of(utc, zone).tolist(), strict=True):
        offset = datetime.fromtimestamp(ns // SECOND, ZoneInfo(zone)).utcoffset() or timedelta()
        assert local - ns == int(offset.total_seconds()) * SECOND


@given(st.dates(date(1990, 1, 1), date(2040, 1, 1)), st.integers(4 * 3600 * SECOND, DAY - 1), ZONES)
def test_to_utc_and_back_is_the_same_time(day, since_midnight, zone):
    local = np.array([local_ns(day) + since_midnight])  # after the hours in which clocks change
    assert local_of(utc_ns(local, zone), zone).tolist() == local.tolist()


def test_a_missing_time_stays_missing():
    assert utc_ns(np.array([NOT_A_TIME]), "America/New_York").tolist() == [NOT_A_TIME]


def test_a_wall_time_that_does_not_exist_or_exists_twice_is_refused():
    for day, hour in (("2024-03-10", 2), ("2024-11-03", 1)):
        with pytest.raises(TapeError, match="give the times in UTC"):
            utc_ns(np.array([local_ns(day) + (hour * 60 + 30) * 60 * SECOND]), "America/New_York")


@pytest.mark.parametrize(
    ("day", "opens"), [("2012-06-21", 13.5), ("2013-01-02", 14.5), (20240311, 13.5), (20240308, 14.5)]
)
def test_a_session_follows_summer_time(day, opens):
    opened, closed = session(day)
    midnight = datetime.combine(as_date(day), datetime.min.time(), UTC).timestamp()
    assert (opened / SECOND - midnight) / 3600 == opens
    assert closed - opened == int(6.5 * 3600) * SECOND


def test_a_session_may_end_on_the_next_day():
    opened, closed = session("2024-03-05", "America/Chicago", ("17:00", "16:00"))
    assert closed - opened == 23 * 3600 * SECOND


@pytest.mark.parametrize(
    "text", ["2012-06-21T14:00Z", "2012-06-21T10:00-04:00", "2012-06-21 14:00:00", 1_340_287_200 * SECOND]
)
def test_a_time_may_be_given_as_iso_text(text):
    assert as_ns(text) == 1_340_287_200 * SECOND


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: as_date("yesterday"), "must be like 2012-06-21"),
        (lambda: as_ns("noon"), "must be ns or ISO text"),
        (lambda: utc_ns(np.array([0]), "Mars/Olympus"), "use an IANA name"),
        (lambda: session("2012-06-21", hours=("nine", "16:00")), "must be like '09:30'"),
    ],
)
def test_what_cannot_be_read_is_refused(call, says):
    with pytest.raises(TapeError, match=says):
        call()
