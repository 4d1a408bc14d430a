"""Zones and windows; most of it is in the cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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
