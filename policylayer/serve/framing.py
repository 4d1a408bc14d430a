"""Pure: where one HTTP/1.1 request ends and the next begins, strictly; what is doubtful is refused, never guessed.

Request smuggling lives on two parsers that disagree. So each request is first cut out of the byte stream by these few
rules, and only what they accept reaches uvicorn's parser, in a form that leaves it no choice:

* lines end in CRLF; no folding, no control characters, no space around a header's name; the target is a path;
* exactly one Host; at most one Content-Length, all digits; or `Transfer-Encoding: chunked`, alone and in HTTP/1.1;
* chunk sizes are plain hexadecimal, chunk extensions short, trailers refused;
* `Upgrade` is dropped, as RFC 9110 7.8 permits: nothing here is ever upgraded.

Must not know sockets, deadlines or what a request means (`http_protocol.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

MAX_LINE: Final = 8 * 1024
MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_CHUNK_LINE: Final = 128

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n")
_FIELDS: Final = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_SPECIAL: Final = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|expect|upgrade|http2-settings):[ \t]*([^\r]*)", re.IGNORECASE
)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e]*)?\r\n")
_DROPPED: Final = re.compile(rb"\r\n(?:upgrade|http2-settings):[^\r]*", re.IGNORECASE)
_IGNORED: Final = frozenset({b"upgrade", b"http2-settings"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The connection cannot go on: answer `status`, then close."""

    status: int
    reason: str


class Piece(NamedTuple):
    """Accepted bytes for the parser. `end`: the request ends with them; `head`: it begins with them."""

    data: bytes
    end: bool
    head: bool = False


class _Refused(Exception):
    """Internal: unwinds the checks to `Framer.next`."""

    def __init__(self, status: int, reason: str) -> None:
        self.refusal = Refusal(status, reason)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The rest of a body of known length."""

    left: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Within chunked coding: `left` bytes of the chunk and its CRLF, or 0 before a size line."""

    left: int = 0


_Body: TypeAlias = "_Fixed | _Chunk"


class Framer:
    """Feed it bytes; take pieces until there are none. After a `Refusal` it stays refused."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body: _Body | None = None
        self._refusal: Refusal | None = None

    @property
    def buffered(self) -> int:
        """How many bytes wait."""
        return len(self._buffer)

    @property
    def in_body(self) -> bool:
        """A request's head has been taken, its end has not."""
        return self._body is not None

    def feed(self, data: bytes) -> None:
        """Take in what arrived. What waits is little (a head, a read-ahead), so joining it costs little."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> Piece | Refusal | None:
        """The next accepted piece, a refusal, or None when more bytes are needed."""
        if self._refusal is not None:
            return self._refusal
        try:
            return self._next()
        except _Refused as refused:
            self._refusal = refused.refusal
            return self._refusal

    def _next(self) -> Piece | None:
        if not self._buffer:
            return None
        if isinstance(self._body, _Fixed):
            return self._fixed(self._body.left)
        if isinstance(self._body, _Chunk):
            return self._chunk(self._body.left)
        return self._head()

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _head(self) -> Piece | None:
        found = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if found < 0:
            _check_unfinished(self._buffer)
            return None
        head, body = check_head(self._take(found + 4))
        if isinstance(body, _Fixed) and len(self._buffer) >= body.left:
            # The whole request is here: one piece for the parser.
            return Piece(head + self._take(body.left), end=True, head=True)
        self._body = body
        return Piece(head, end=body is None, head=True)

    def _fixed(self, left: int) -> Piece:
        data = self._take(left)
        left -= len(data)
        self._body = _Fixed(left) if left else None
        return Piece(data, end=not left)

    def _chunk(self, left: int) -> Piece | None:
        return self._chunk_data(left) if left else self._chunk_size()

    def _chunk_size(self) -> Piece | None:
        end = self._buffer.find(b"\n", 0, MAX_CHUNK_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_CHUNK_LINE:
                raise _Refused(400, "chunk size line too long")
            return None
        size = _chunk_size(self._buffer[: end + 1])
        if size:
            self._body = _Chunk(size + 2)
            return Piece(self._take(end + 1), end=False)
        return self._last_chunk(end + 1)

    def _last_chunk(self, line: int) -> Piece | None:
        after = self._buffer[line : line + 2]
        if not b"\r\n".startswith(after):
            raise _Refused(400, "trailers are not accepted")
        if len(after) < 2:
            return None
        self._body = None
        return Piece(self._take(line + 2), end=True)

    def _chunk_data(self, before: int) -> Piece:
        """Up to `before` bytes, of which the last two are the chunk's CRLF."""
        data = self._take(before)
        left = before - len(data)
        ending = b"\r\n"[max(0, 2 - before) : max(0, 2 - left)]
        if not data.endswith(ending):
            raise _Refused(400, "a chunk does not end where its size says")
        self._body = _Chunk(left)
        return Piece(data, end=False)


def _chunk_size(line: bytes) -> int:
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise _Refused(400, "bad chunk size")
    return int(found[1], 16)


def _check_unfinished(buffer: bytes) -> None:
    """Refuse a head that can no longer become a good one, without waiting for its end."""
    line_end = buffer.find(b"\n")
    if line_end < 0 and len(buffer) > MAX_LINE:
        raise _Refused(431, "request line too long")
    if line_end >= 0 and (line_end == 0 or buffer[line_end - 1] != 0x0D):
        raise _Refused(400, "a line does not end in CRLF")
    if b"\n\n" in buffer:
        raise _Refused(400, "a line does not end in CRLF")
    if len(buffer) >= MAX_HEAD:
        raise _Refused(431, "header section too large")


def check_head(head: bytes) -> tuple[bytes, _Body | None]:
    """The head as the parser shall see it, and what body follows; raises `_Refused` on any doubt."""
    version, end = _request_line(head)
    if head.count(b"\n") > MAX_HEADERS + 2:
        raise _Refused(431, "too many headers")
    if not _FIELDS.fullmatch(head, end):
        raise _Refused(400, "bad header line")
    once: dict[bytes, bytes] = {}
    dropped = False
    for written, value in _SPECIAL.findall(head):
        name = written.lower()
        if name in _IGNORED:
            dropped = True
        elif name in once:
            raise _Refused(400, f"two {name.decode()} headers")
        else:
            once[name] = value.rstrip(b" \t")
    if not once.get(b"host"):
        raise _Refused(400, "no host header")
    if once.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise _Refused(417, "unknown expectation")
    body = _body_of(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    return _DROPPED.sub(b"", head) if dropped else head, body


def _request_line(head: bytes) -> tuple[bytes, int]:
    """The minor version, and where the line ends."""
    found = _REQUEST_LINE.match(head)
    if found is None:
        raise _Refused(400, "bad request line")
    if found.end() > MAX_LINE:
        raise _Refused(431, "request line too long")
    if found[1] == b"CONNECT":
        raise _Refused(405, "method not allowed")
    if not _PATH.fullmatch(found[2]):
        raise _Refused(400, "the request target is not a path")
    return found[3], found.end()


def _body_of(length: bytes | None, coding: bytes | None, version: bytes) -> _Body | None:
    if coding is not None:
        if length is not None:
            raise _Refused(400, "both content-length and transfer-encoding")
        if coding.lower() != b"chunked" or version != b"1":
            raise _Refused(400, "transfer-encoding is not chunked in HTTP/1.1")
        return _Chunk()
    if length is None:
        return None
    if not length.isdigit() or len(length) > 15:
        raise _Refused(400, "bad content-length")
    return _Fixed(int(length)) if int(length) else None
