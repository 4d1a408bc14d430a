"""Pure: the shapes of single values: texts, names, numbers, durations, moments, words of a closed list.

Built on `shapes`; used by every `parse_*`. Must not know where a value stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.nodes import Node, Scalar
from policylayer.policy.shapes import Definitions, Reading, Shape
from policylayer.policy.times import YEARS, in_years

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NAMED_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
MAX_SECONDS: Final = 3660 * 86400

_DURATION: Final = re.compile(r"([1-9][0-9]{0,9})([smhd])")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_NAME: Final = re.compile(NAME)


def text_of(node: Node, reading: Reading, what: str) -> str | None:
    """The text of a node, or None where it is something else."""
    if isinstance(node, Scalar):
        if isinstance(node.value, str):
            return node.value
        if node.value is None:
            reading.expected(node, what)
        else:
            reading.expected(node, what, f'quote it if it is text: "{node.text}"')
        return None
    reading.expected(node, what)
    return None


@dataclass(frozen=True)
class Text(Shape):
    """Text that is not empty."""

    what: str = "text"
    longest: int = 2000

    def read(self, node: Node, reading: Reading) -> str | None:
        """The text."""
        text = text_of(node, reading, self.what)
        if text is None:
            return None
        if not text.strip():
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty text", "say something, or leave the key out")
            return None
        if len(text) > self.longest:
            reading.error(Code.TOO_LARGE, node.span, f"longer than {self.longest} characters", "shorten it")
            return None
        return text

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string."""
        return {"type": "string", "minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True)
class Name(Shape):
    """A name that others refer to: letters, digits, `_`, `-` and dots."""

    what: str = "a name"

    def read(self, node: Node, reading: Reading) -> str | None:
        """The name."""
        text = text_of(node, reading, self.what)
        if text is None or _NAME.fullmatch(text):
            return text
        if not text:
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty text", f"expected {self.what}")
            return None
        help_ = "use letters, digits, `_`, `-` and `.`, at most 128"
        reading.error(Code.BAD_NAME, node.span, f"{quote(text)} cannot be {self.what}", help_)
        return None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a pattern."""
        return {"type": "string", "pattern": f"^{NAME}$"}


@dataclass(frozen=True)
class Choice(Shape):
    """One of a closed list of words."""

    words: tuple[str, ...]
    what: str = "one of these words"

    def read(self, node: Node, reading: Reading) -> str | None:
        """The word."""
        text = text_of(node, reading, self.what)
        if text is None or text in self.words:
            return text
        message = f"{quote(text)} is not {self.what}"
        reading.error(Code.NOT_A_CHOICE, node.span, message, did_you_mean(text, self.words))
        return None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Flag(Shape):
    """true or false."""

    what: str = "`true` or `false`"

    def read(self, node: Node, reading: Reading) -> bool | None:
        """The truth."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        reading.expected(node, self.what, "write it without quotes" if isinstance(node, Scalar) and node.quoted else "")
        return None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Number(Shape):
    """A number, at least `least`; `whole`: an integer."""

    what: str = "a number"
    whole: bool = False
    least: int | None = None

    def read(self, node: Node, reading: Reading) -> int | float | None:
        """The number."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            reading.expected(node, self.what, "write it without quotes" if isinstance(node, Scalar) else "")
            return None
        if self.whole and not isinstance(value, int):
            reading.error(Code.OUT_OF_RANGE, node.span, f"expected a whole number, found `{value}`")
            return None
        if self.least is not None and value < self.least:
            reading.error(Code.OUT_OF_RANGE, node.span, f"`{value}` is less than {self.least}")
            return None
        return value

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A number or an integer."""
        made: dict[str, Json] = {"type": "integer" if self.whole else "number"}
        return made if self.least is None else {**made, "minimum": self.least}


def seconds(text: str) -> int | None:
    """What a duration such as `30m` says, or None."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    total = int(found[1]) * UNITS[found[2]]
    return total if total <= MAX_SECONDS else None


@dataclass(frozen=True)
class Duration(Shape):
    """`30s`, `5m`, `1h`, `7d`, as seconds; `named`: also second, minute, hour, day."""

    named: bool = False
    what: str = "a duration"

    def read(self, node: Node, reading: Reading) -> int | None:
        """Seconds."""
        text = text_of(node, reading, self.what)
        if text is None:
            return None
        value = NAMED_UNITS.get(text) if self.named else None
        value = value or seconds(text)
        if value is None:
            words = ", second, minute, hour or day" if self.named else ""
            help_ = f"write it as 30s, 5m, 1h or 7d{words}; at most ten years"
            reading.error(Code.BAD_DURATION, node.span, f"{quote(text)} is not a duration", help_)
        return value

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a pattern."""
        words = "|".join(("", *NAMED_UNITS)) if self.named else ""
        return {"type": "string", "pattern": f"^([1-9][0-9]{{0,9}}[smhd]{words})$"}


def moment(text: str) -> datetime | None:
    """What an RFC 3339 time with an offset says, or None."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


@dataclass(frozen=True)
class Moment(Shape):
    """A point in time, written in RFC 3339 with its offset."""

    what: str = "a time"

    def read(self, node: Node, reading: Reading) -> datetime | None:
        """An aware time."""
        text = text_of(node, reading, self.what)
        if text is None:
            return None
        value = moment(text)
        if value is None:
            help_ = 'write it as "2026-12-01T18:00:00+01:00" or "2026-12-01T17:00:00Z"'
            reading.error(Code.BAD_INSTANT, node.span, f"{quote(text)} is not a time with an offset", help_)
        elif not in_years(value):
            help_ = "for what has no beginning or no end, leave it out"
            reading.error(Code.BAD_INSTANT, node.span, f"{quote(text)} is not in {YEARS}", help_)
            return None
        return value

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a format."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Parsed(Shape):
    """Text that a function reads further; the function reports what it cannot read."""

    parse: Callable[[str, Scalar, Reading], Any]
    what: str = "text"
    pattern: str | None = None

    def read(self, node: Node, reading: Reading) -> Any:
        """What the function makes of the text."""
        text = text_of(node, reading, self.what)
        if text is None or not isinstance(node, Scalar):
            return None
        return self.parse(text, node, reading)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string."""
        made: dict[str, Json] = {"type": "string", "minLength": 1}
        return made if self.pattern is None else {**made, "pattern": self.pattern}
