"""Pure: windows on a zone's wall clock, and points in time, with what years they may lie in.

The time is handed in; the zone's rules come from the tzdata package, read when a policy is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

TimeCheck = Callable[[datetime], bool]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(9001, 1, 1, tzinfo=UTC)
YEARS: Final = "the years 1970 to 9000"
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def in_years(moment: datetime) -> bool:
    """Whether a moment that somebody wrote lies in `YEARS`: at the ends of the calendar not every zone has a clock."""
    return EPOCH <= moment < END


def read_zone(name: str) -> ZoneInfo | None:
    """The zone of that name, or None."""
    if not name or name.startswith(("/", ".")) or ".." in name or "\\" in name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def during(days: frozenset[int], between: tuple[int, int] | None, zone: ZoneInfo) -> TimeCheck:
    """Whether a moment lies in the window. One that crosses midnight belongs to the day on which it started."""
    if between is None:
        return lambda moment: moment.astimezone(zone).weekday() in days
    start, end = between

    def inside(moment: datetime) -> bool:
        local = moment.astimezone(zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if start < end:
            return start <= minute < end and day in days
        if minute >= start:
            return day in days
        return minute < end and (day - 1) % 7 in days

    return inside


def after(at_us: int) -> TimeCheck:
    """Whether a moment is at `at_us` or later."""
    return lambda moment: microseconds(moment) >= at_us


def before(at_us: int) -> TimeCheck:
    """Whether a moment is earlier than `at_us`."""
    return lambda moment: microseconds(moment) < at_us
