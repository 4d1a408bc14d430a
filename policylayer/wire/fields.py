"""Pure: HTTP header fields as they came, and the codec of values that a header cannot carry plainly.

Must not know which fields mean something (`mirrors`, `headers`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Final

_OPEN: Final = "=?base64?"
_CLOSE: Final = "?="
_EDGES: Final = " \t"


class Headers:
    """Header fields by lower-case name, each with all its values, without the whitespace around them.

    Values are read as Latin-1, as ASGI hands them over; nothing that compares them can match beyond ASCII. `single` are
    the fields that came just once; `travelling` is for `headers.py`, which works out once what of them is forwarded.
    """

    __slots__ = ("_values", "single", "travelling")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name.lower(), []).append(value.strip(_EDGES))
        self._values = values
        self.single = {name: found[0] for name, found in values.items() if len(found) == 1}
        self.travelling: list[tuple[str, str]] | None = None

    @classmethod
    def of(cls, raw: Iterable[tuple[bytes, bytes]]) -> Headers:
        """From an ASGI scope's `headers`."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def get(self, name: str) -> str | None:
        """The value, or None where the field is absent. Of a repeated field the first: ask `repeated` too."""
        values = self._values.get(name)
        return None if values is None else values[0]

    def get_all(self, name: str) -> tuple[str, ...]:
        """All values, in the order they came."""
        return tuple(self._values[name]) if name in self._values else ()

    def repeated(self, name: str) -> bool:
        """Whether the field came more than once."""
        return len(self._values.get(name, ())) > 1

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def items(self) -> Iterator[tuple[str, str]]:
        """Every field line."""
        for name, values in self._values.items():
            for value in values:
                yield name, value


def encode_value(value: str) -> str:
    """`value` as a header can carry it: plain if it is visible ASCII without space around it, else in base64."""
    plain = value.isascii() and value.isprintable() and value == value.strip(_EDGES)
    if plain and not _is_wrapped(value):
        return value
    return f"{_OPEN}{base64.b64encode(value.encode()).decode()}{_CLOSE}"


def is_as_it_is(value: str) -> bool:
    """Whether a value of a field means just itself, and could be written so."""
    return value.isascii() and value.isprintable() and not _is_wrapped(value)


def decode_value(value: str) -> str | None:
    """What `encode_value` was given, or None for a value it never gives: bad base64, or text that no header carries.

    Without the opening and the closing mark a value is meant literally.
    """
    if not _is_wrapped(value):
        return value if value.isascii() and (value.isprintable() or value.replace("\t", "").isprintable()) else None
    payload = value[len(_OPEN) : -len(_CLOSE)]
    try:
        decoded = base64.b64decode(payload, validate=True)
        # Only the one spelling that encoding gives: base64 has several for some bytes.
        return decoded.decode() if base64.b64encode(decoded).decode() == payload else None
    except (binascii.Error, ValueError):
        return None


def _is_wrapped(value: str) -> bool:
    return value.startswith(_OPEN) and value.endswith(_CLOSE) and len(value) >= len(_OPEN) + len(_CLOSE)
