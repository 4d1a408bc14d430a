"""Pure: what a server says, without the credentials that the proxy uses there.

A server may repeat what it was given: a tool that lists its environment, an error that quotes the request. Each such
value is masked, however writers of JSON write its characters (as they are, or escaped), also in JSON within a text. A
server that wants its credential known can say it in another way: that is not what this is against.

Must not know which values are credentials (`config/credentials.py`), nor what a message means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import re2

from policylayer.core.masking import MASKED

_MASKED: Final = MASKED.encode()
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
"""What no writer of JSON escapes."""

_SLASHES: Final = rb"\\{1,8}"
"""Before what is escaped: one, or for JSON within texts within texts two, four or eight."""

DEPTHS: Final = (1, 2, 3)
"""How often a text may be escaped: JSON in a text of JSON is so twice."""

_SHORT: Final = {"\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t"}


class Credentials:
    """The credentials of one server."""

    __slots__ = ("_found",)

    def __init__(self, values: Iterable[str]) -> None:
        # One may hold another: the longer goes first.
        ordered = sorted(set(values), key=lambda value: (-len(value), value))
        self._found = [(_hint(value), _pattern(value)) for value in ordered]

    def hidden(self, said: bytes) -> bytes:
        """These bytes with every credential in them masked; the same object where there is none."""
        for hint, pattern in self._found:
            if hint in said and pattern.search(said) is not None:
                said = pattern.sub(_MASKED, said)
        return said


def _hint(value: str) -> bytes:
    """What must be there wherever the value is: looking for it is quicker than for all ways to write the value."""
    return max(_PLAIN.findall(value), key=len, default="").encode()


def _pattern(value: str) -> re2._Regexp:
    # A backslash is told from one that escapes what follows by how many there are, which depends on the depth.
    depths = DEPTHS if "\\" in value else DEPTHS[:1]
    return re2.compile(b"|".join(b"".join(_ways(sign, depth) for sign in value) for depth in reversed(depths)))


def _ways(sign: str, depth: int) -> bytes:
    """A character as it is, and escaped in all ways."""
    if _PLAIN.fullmatch(sign):
        return sign.encode()
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    escaped = b"".join(_SLASHES + b"u" + _any_case(units[at : at + 4]) for at in range(0, len(units), 4))
    as_it_is: bytes = re2.escape(sign).encode("utf-8", "surrogatepass")
    if sign == "\\":
        as_it_is = rb"\\{%d}" % 2**depth
    elif sign == '"':
        as_it_is = _SLASHES + as_it_is
    elif sign == "/":
        as_it_is = rb"\\{0,8}" + as_it_is
    short = b"|" + _SLASHES + _SHORT[sign] if sign in _SHORT else b""
    return b"(?:" + as_it_is + b"|" + escaped + short + b")"


def _any_case(digits: str) -> bytes:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits).encode()
