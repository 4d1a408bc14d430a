"""Zones and windows; most of it is in the cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import times

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"]), st.integers(0, 1439))
def test_a_window_and_its_rest_cover_the_week_once(moment: datetime, zone_name: str, start: int) -> None:
    zone = times.read_zone(zone_name)
    assert zone is not None
    end = (start + 600) % 1440
    days = frozenset(range(7))
    one, rest = times.during(days, (start, end), zone), times.during(days, (end, start), zone)
    assert one(moment) is not rest(moment)


@given(MOMENTS)
def test_bounds_meet(moment: datetime) -> None:
    at = times.microseconds(moment)
    assert times.after(at)(moment)
    assert not times.before(at)(moment)
    assert times.before(at + 1)(moment)
    assert times.EPOCH + timedelta(microseconds=at) == moment


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "../etc/passwd", "/etc/localtime", ".hidden", "Europe", "a\\b", "a\0b"]
)
def test_there_is_no_such_zone(name: str) -> None:
    assert times.read_zone(name) is None


@given(
    st.sampled_from([times.EPOCH, times.END - timedelta(microseconds=1)]),
    st.sampled_from(sorted(available_timezones())),
)
def test_every_zone_has_a_clock_at_both_ends_of_the_years(moment: datetime, zone_name: str) -> None:
    zone = times.read_zone(zone_name)
    assert zone is not None
    assert times.in_years(moment)
    one, rest = (times.during(frozenset(range(7)), between, zone) for between in ((0, 600), (600, 0)))
    assert one(moment) is not rest(moment)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00"]
)
def test_a_moment_beyond_them_is_none(text: str) -> None:
    assert not times.in_years(datetime.fromisoformat(text))
