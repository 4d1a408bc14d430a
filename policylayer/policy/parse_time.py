"""Pure: the right side of `time`: weekly windows on a zone's wall clock, and bounds.

Whether a bound may stand where it stands is `check_time`'s; whether a zone exists is `compile`'s.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from policylayer.core.call import Json
from policylayer.policy.ast import Bound, During
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.nodes import Node
from policylayer.policy.nodes import Scalar as ScalarNode
from policylayer.policy.shapes import Definitions, Field, ListOf, Reading, Record, Shape, Values
from policylayer.policy.times import microseconds
from policylayer.policy.words import Choice, Moment, Parsed

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")


def _minutes(text: str, node: ScalarNode, reading: Reading) -> int | None:
    found = _TIME_OF_DAY.fullmatch(text)
    if found is None:
        help_ = 'write it as "09:30", from "00:00" to "23:59"'
        if text == "24:00":
            help_ = 'write "00:00" for the end of the day: such a window crosses midnight'
        reading.error(Code.BAD_WINDOW, node.span, f"{quote(text)} is not a time of day", help_)
        return None
    return int(found[1]) * 60 + int(found[2])


def _zone(text: str, node: ScalarNode, reading: Reading) -> str | None:
    if _ZONE.fullmatch(text):
        return text
    reading.error(Code.UNKNOWN_ZONE, node.span, f"{quote(text)} is not a time zone", "write it as Europe/Berlin or UTC")
    return None


class _Between(Shape):
    """`["HH:MM", "HH:MM"]`, as minutes of the day."""

    def read(self, node: Node, reading: Reading) -> tuple[int, int] | None:
        """Start and end."""
        times = ListOf(Parsed(_minutes, "a time of day"), 'two times of day: ["09:00", "17:00"]').read(node, reading)
        if times is None or len(times) != len(getattr(node, "items", ())):
            return None
        if len(times) != 2:
            help_ = 'write it as ["09:00", "17:00"]'
            reading.error(Code.BAD_WINDOW, node.span, "`between` takes two times of day", help_)
            return None
        if times[0] == times[1]:
            help_ = "leave `between` out for the whole day"
            reading.error(Code.BAD_WINDOW, node.span, "a window begins and ends at different times", help_)
            return None
        return times[0], times[1]

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """Two strings."""
        item: dict[str, Json] = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
        return {"type": "array", "minItems": 2, "maxItems": 2, "items": item}


def _during(values: Values, reading: Reading) -> During | None:
    zone = values.get("zone")
    if values.broken or zone is None:
        return None
    days = frozenset(DAYS.index(day) for day in values.get("days", DAYS))
    return During(days, values.get("between"), zone, values.span)


def _time(values: Values, reading: Reading) -> tuple[During | Bound, ...] | None:
    if values.broken:
        return None
    found: list[During | Bound] = []
    kinds: tuple[Literal["after", "before"], ...] = ("after", "before")
    if "during" in values:
        found.append(values["during"])
    found.extend(Bound(kind, microseconds(values[kind]), values.spans[kind]) for kind in kinds if kind in values)
    return tuple(found)


_DURING: Final = Record(
    "`during`",
    {
        "days": Field(ListOf(Choice(DAYS, "a day"), "a list of days"), "the days a window starts on; all if left out"),
        "between": Field(_Between(), "start (inclusive) and end (exclusive) on the zone's wall clock"),
        "zone": Field(Parsed(_zone, "a time zone"), "the time zone: `zone: Europe/Berlin`", required=True),
    },
    _during,
)
TIME: Final = Record(
    "`time`",
    {
        "during": Field(_DURING, "a weekly window"),
        "after": Field(Moment(), "from this moment on"),
        "before": Field(Moment(), "until just before this moment"),
    },
    _time,
)
