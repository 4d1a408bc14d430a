"""How clients read a stream of events: as the specification says, and less carefully, each as some real one does.

Each gives the texts that it would take for messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Reader = Callable[[bytes], list[bytes]]


def by_the_specification(stream: bytes) -> list[bytes]:
    """Lines end at CR, LF or CRLF; names are exact; one space is taken off; a mark may begin the stream."""
    return _events(re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf")), _exact)


def by_line_feeds(stream: bytes) -> list[bytes]:
    """Lines end at LF only, and everything is trimmed."""
    return _events([line.removesuffix(b"\r") for line in stream.split(b"\n")], _trimmed)


def by_splitting_text(stream: bytes) -> list[bytes]:
    """Lines end wherever `str.splitlines` ends one; names in any case, with anything around them."""
    return _events([line.encode() for line in stream.decode(errors="replace").splitlines()] + [b""], _any_case)


def line_by_line(stream: bytes) -> list[bytes]:
    """Each line of data is a message, wherever the event ends."""
    lines = [_any_case(line.encode()) for line in stream.decode(errors="replace").splitlines()]
    return [value for name, value in lines if name == b"data" and value]


def by_text_that_ends_at_nul(stream: bytes) -> list[bytes]:
    """Lines as C keeps them: what follows a NUL begins anew."""
    return _events(re.split(rb"\r\n|[\r\n\x00]", stream), _trimmed)


READERS: tuple[Reader, ...] = (
    by_the_specification,
    by_line_feeds,
    by_splitting_text,
    line_by_line,
    by_text_that_ends_at_nul,
)


def _events(lines: list[bytes], field: Callable[[bytes], tuple[bytes, bytes]]) -> list[bytes]:
    found: list[bytes] = []
    data: list[bytes] = []
    for line in lines:
        if not line:
            found.append(b"\n".join(data))
            data = []
            continue
        name, value = field(line)
        if name == b"data":
            data.append(value)
    return [each for each in found if each.strip()]


def _exact(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _trimmed(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


def _any_case(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.decode(errors="replace").strip("\ufeff\x00 \t").lower().encode(), value.strip()
