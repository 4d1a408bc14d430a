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
from typing import Final, TypeAlias

MAX_LINE: Final = 8 * 1024
MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_CHUNK_LINE: Final = 128

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e]*)?\r\n")
_DROPPED: Final = frozenset({b"upgrade", b"http2-settings"})
_ONCE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The connection cannot go on: answer `status`, then close."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Accepted bytes for the parser. `end`: the request ends with them."""

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
        self._buffer = bytearray()
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
        """Take in what arrived."""
        self._buffer += data

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
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _head(self) -> Piece | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            _check_unfinished(self._buffer)
            return None
        head, self._body = check_head(self._take(end + 4))
        return Piece(head, end=self._body is None, head=True)

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
        size = _chunk_size(bytes(self._buffer[: end + 1]))
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


def _check_unfinished(buffer: bytearray) -> None:
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
    lines = head[:-4].split(b"\r\n")
    version = _request_line(lines[0])
    if len(lines) - 1 > MAX_HEADERS:
        raise _Refused(431, "too many headers")
    once: dict[bytes, bytes] = {}
    kept = [lines[0]]
    for line in lines[1:]:
        name, value = _field(line)
        if name in _ONCE:
            if name in once:
                raise _Refused(400, f"two {name.decode()} headers")
            once[name] = value
        if name not in _DROPPED:
            kept.append(line)
    _check_host(once.get(b"host"))
    if once.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise _Refused(417, "unknown expectation")
    body = _body_of(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    return b"\r\n".join(kept) + b"\r\n\r\n", body


def _request_line(line: bytes) -> bytes:
    if len(line) > MAX_LINE:
        raise _Refused(431, "request line too long")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise _Refused(400, "bad request line")
    if found[1] == b"CONNECT":
        raise _Refused(405, "method not allowed")
    if not _PATH.fullmatch(found[2]):
        raise _Refused(400, "the request target is not a path")
    return found[3]


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise _Refused(400, "bad header line")
    return found[1].lower(), found[2].rstrip(b" \t")


def _check_host(host: bytes | None) -> None:
    if not host:
        raise _Refused(400, "no host header")


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
