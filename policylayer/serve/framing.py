"""Pure: where one HTTP/1.1 request ends and the next begins, strictly; bodies come out of it as they were meant.

Heads are read by `head.py`. Chunk sizes are plain hexadecimal, chunk extensions short and dropped, trailers refused;
every line ends in CRLF. Must not know sockets, deadlines or what a request means (`http_protocol.py`).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from policylayer.serve.head import MAX_LINE, Head, Heads, Refusal

MAX_HEAD: Final = 32 * 1024
MAX_CHUNK_LINE: Final = 128

_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e]*)?\r\n")


class Piece(NamedTuple):
    """A part of a request. `head`: it begins with this part, and announces so long a body; `end`: it ends with it."""

    data: bytes
    end: bool
    head: Head | None = None
    length: int | None = None


class Framer:
    """Feed it bytes; take pieces until there are none. After a refusal it stays refused."""

    __slots__ = ("_buffer", "_chunked", "_heads", "_left", "_refusal", "in_body")

    def __init__(self, heads: Heads | None = None) -> None:
        self._heads = heads or Heads()
        self._buffer = b""
        self._left = 0
        self._chunked = False
        self._refusal: Refusal | None = None
        self.in_body = False
        """A request's head has been taken, its end has not."""

    @property
    def buffered(self) -> int:
        """How many bytes wait."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what arrived. What waits is little (a head, a read-ahead), so joining it costs little."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> Piece | Refusal | None:
        """The next accepted piece, a refusal, or None when more bytes are needed."""
        if self._refusal is not None:
            return self._refusal
        if not self._buffer:
            return None
        try:
            if not self.in_body:
                return self._head()
            return self._chunks() if self._chunked else self._fixed()
        except Refusal as refusal:
            self._refusal = refusal
            return refusal

    def _head(self) -> Piece | None:
        buffer = self._buffer
        found = buffer.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        if found < 4:
            _check_unfinished(buffer[:MAX_HEAD])
            return None
        raw = buffer[:found]
        try:
            head, length = self._heads.read(raw)
        except Refusal:
            # What would have been refused before its end is refused for that: how the bytes were cut changes nothing.
            _check_unfinished(raw)
            raise
        if head.chunked:
            self._buffer = buffer[found:]
            self.in_body = self._chunked = True
            self._left = 0
            return Piece(b"", end=False, head=head)
        end = found + (length or 0)
        # Most requests are here at once, and whole.
        data, self._buffer = buffer[found:end], buffer[end:]
        self._left = end - found - len(data)
        self._chunked = False
        self.in_body = self._left > 0
        return Piece(data, not self.in_body, head, length)

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fixed(self) -> Piece:
        data = self._take(self._left)
        self._left -= len(data)
        self.in_body = self._left > 0
        return Piece(data, not self.in_body)

    # --- chunks -------------------------------------------------------------------------------------------------------

    def _chunks(self) -> Piece | None:
        """All that is here of a chunked body, as one piece: many small chunks cost no more than their bytes.

        Of a chunk, `_left` bytes are still to come, its CRLF included; 0 before a size line.
        """
        buffer, at, parts = self._buffer, 0, []
        while self.in_body and at < len(buffer):
            if self._left:
                data, at = self._chunk_data(buffer, at)
                parts.append(data)
                continue
            size, after = _size_line(buffer, at)
            if after == at:
                break
            at = after
            self._left = size + 2 if size else 0
            self.in_body = size > 0
        self._buffer = buffer[at:]
        return Piece(b"".join(parts), not self.in_body) if at else None

    def _chunk_data(self, buffer: bytes, at: int) -> tuple[bytes, int]:
        """What is here of a chunk, and where that ends; its last two bytes are its CRLF, and no part of the body."""
        before = self._left
        data = buffer[at : at + before]
        self._left = before - len(data)
        ending = b"\r\n"[max(0, 2 - before) : max(0, 2 - self._left)]
        if not data.endswith(ending):
            raise Refusal(400, "a chunk does not end where its size says")
        return data[: len(data) - len(ending)], at + len(data)


def _size_line(buffer: bytes, at: int) -> tuple[int, int]:
    """The size that the line at `at` says, and where what follows it begins: `at`, where the line is not whole yet.

    After the last line that is the end of the body.
    """
    end = buffer.find(b"\n", at, at + MAX_CHUNK_LINE) + 1
    if end == 0:
        if len(buffer) - at >= MAX_CHUNK_LINE:
            raise Refusal(400, "chunk size line too long")
        return 0, at
    size = _size(buffer[at:end])
    if size > 0:
        return size, end
    after = buffer[end : end + 2]
    if not b"\r\n".startswith(after):
        raise Refusal(400, "trailers are not accepted")
    return 0, end + 2 if len(after) == 2 else at


def _size(line: bytes) -> int:
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise Refusal(400, "bad chunk size")
    return int(found[1], 16)


def _check_unfinished(buffer: bytes) -> None:
    """Refuse a head that can no longer become a good one, without waiting for its end."""
    line_end = buffer.find(b"\n")
    if (line_end if line_end >= 0 else len(buffer)) > MAX_LINE:
        raise Refusal(431, "request line too long")
    if line_end >= 0 and (line_end == 0 or buffer[line_end - 1] != 0x0D):
        raise Refusal(400, "a line does not end in CRLF")
    if b"\n\n" in buffer:
        raise Refusal(400, "a line does not end in CRLF")
    if len(buffer) >= MAX_HEAD:
        raise Refusal(431, "header section too large")
