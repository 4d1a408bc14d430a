"""Pure: the head of an HTTP/1.1 request, strictly; what is doubtful is refused, never guessed.

Request smuggling lives on two readers that disagree, so there is one reader here, with few rules:

* lines end in CRLF; no folding, no control characters, no space around a header's name; the target is a path;
* exactly one Host; at most one Content-Length, all digits; or `Transfer-Encoding: chunked`, alone and in HTTP/1.1;
* `Upgrade` is dropped, as RFC 9110 7.8 permits: nothing here is ever upgraded.

The same bytes are the same head, and clients send the same head again and again but for the length of the body: `Heads`
remembers the latest, and with each whatever else was found out from nothing but it (`Head.found`). Must not know
sockets, bodies (`framing.py`), or what a request means.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import unquote

MAX_LINE: Final = 8 * 1024
MAX_HEADERS: Final = 100
REMEMBERED: Final = 256
LARGEST_REMEMBERED: Final = 4 * 1024
"""Longer heads are read each time, so that nobody can fill the memory with them."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n")
_FIELDS: Final = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_ONCE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_UNTOLD: Final = frozenset({b"upgrade", b"http2-settings", b"content-length"})
"""What is dropped, and what is told apart."""

LONGEST_LENGTH: Final = 15
"""Digits."""

_SPELT: Final = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")
"""How clients write the one field that differs from request to request."""


class Refusal(Exception):
    """The connection cannot go on: answer `status`, then close."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Head:
    """One head, without the length of its body. `fields` have lower-case names.

    `found` is for whoever finds out more from the head alone, and wants to do so once.
    """

    __slots__ = ("chunked", "expects", "fields", "found", "keep_alive", "method", "path", "query", "target", "version")

    def __init__(self, method: bytes, target: bytes, version: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        self.method = method.decode("ascii")
        self.target, _, self.query = target.partition(b"?")
        self.path = unquote(self.target.decode("ascii"))
        self.version = "1." + version.decode("ascii")
        self.fields = fields
        self.chunked = self.expects = self.keep_alive = False
        self.found: Any = None


class Heads:
    """Reads heads, and remembers the latest of those that say nothing of a body but, at most, its length.

    A head is remembered without the line of that length. Every other one that comes to the same bytes is the same lines
    with one length among them, or none: where the rest names neither length nor coding, that is as good a head.
    """

    def __init__(self) -> None:
        self._read: OrderedDict[bytes, Head] = OrderedDict()

    def read(self, raw: bytes) -> tuple[Head, int | None]:
        """A whole head, blank line included, and the length of the body that it announces. Raises `Refusal`."""
        rest, length = _without_length(raw)
        head = self._read.get(rest)
        if head is not None:
            self._read.move_to_end(rest)
            return head, length
        head, whole_length = read_head(raw)
        plain = length == whole_length and not head.chunked and len(head.fields) < MAX_HEADERS
        if plain and len(rest) <= LARGEST_REMEMBERED:
            self._read[rest] = head
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        return head, whole_length


def _without_length(raw: bytes) -> tuple[bytes, int | None]:
    """The head without its one plainly written length, and that; else as it is."""
    for spelt in _SPELT:
        at = raw.find(spelt)
        if at >= 0:
            begin = at + len(spelt)
            end = raw.find(b"\r", begin)
            digits = raw[begin:end]
            if digits.isdigit() and len(digits) <= LONGEST_LENGTH:
                return raw[:at] + raw[end:], int(digits)
    return raw, None


def read_head(raw: bytes) -> tuple[Head, int | None]:
    """The same, from nothing but these bytes."""
    method, target, version, end = _request_line(raw)
    if raw.count(b"\n") > MAX_HEADERS + 2:
        raise Refusal(431, "too many headers")
    if not _FIELDS.fullmatch(raw, end):
        raise Refusal(400, "bad header line")
    fields: list[tuple[bytes, bytes]] = []
    once: dict[bytes, bytes] = {}
    connection: set[bytes] = set()
    for line in raw[end:-4].split(b"\r\n") if len(raw) - end > 2 else ():
        written, _, value = line.partition(b":")
        name, value = written.lower(), value.strip(b" \t")
        if name in _ONCE:
            if name in once:
                raise Refusal(400, f"two {name.decode()} headers")
            once[name] = value
        elif name == b"connection":
            connection.update(option.strip(b" \t").lower() for option in value.split(b","))
        if name not in _UNTOLD:
            fields.append((name, value))
    if not once.get(b"host"):
        raise Refusal(400, "no host header")
    expects = once.get(b"expect")
    if expects is not None and expects.lower() != b"100-continue":
        raise Refusal(417, "unknown expectation")
    length, chunked = _body_of(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    head = Head(method, target, version, fields)
    head.chunked, head.keep_alive = chunked, _keeps(connection, version)
    # RFC 9110 10.1.1: in HTTP/1.0 nobody waits to be asked.
    head.expects = expects is not None and version == b"1"
    return head, length


def _request_line(raw: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Method, target, the minor version, and where the line ends."""
    found = _REQUEST_LINE.match(raw)
    if found is None:
        raise Refusal(400, "bad request line")
    if found.end() > MAX_LINE:
        raise Refusal(431, "request line too long")
    if found[1] == b"CONNECT":
        raise Refusal(405, "method not allowed")
    if not _PATH.fullmatch(found[2]):
        raise Refusal(400, "the request target is not a path")
    return found[1], found[2], found[3], found.end()


def _keeps(options: set[bytes], version: bytes) -> bool:
    """Whether the connection goes on: `close` in any of its fields always counts, `keep-alive` only for HTTP/1.0."""
    return b"close" not in options and (version == b"1" or b"keep-alive" in options)


def _body_of(length: bytes | None, coding: bytes | None, version: bytes) -> tuple[int | None, bool]:
    """The body's length, or that it is chunked."""
    if coding is not None:
        if length is not None:
            raise Refusal(400, "both content-length and transfer-encoding")
        if coding.lower() != b"chunked" or version != b"1":
            raise Refusal(400, "transfer-encoding is not chunked in HTTP/1.1")
        return None, True
    if length is None:
        return None, False
    if not length.isdigit() or len(length) > LONGEST_LENGTH:
        raise Refusal(400, "bad content-length")
    return int(length), False
