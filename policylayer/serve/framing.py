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
            return self._chunk() if self._chunked else self._fixed()
        except Refusal as refusal:
            self._refusal = refusal
            return refusal

    def _head(self) -> Piece | None:
        buffer = self._buffer
        found = buffer.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        if found < 4:
            _check_unfinished(buffer)
            return None
        head, length = self._heads.read(buffer[:found])
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

    def _chunk(self) -> Piece | None:
        """Of a chunk, `_left` bytes are still to come, its CRLF included; 0 before a size line."""
        if self._left == 0:
            size = self._chunk_size()
            if size is None:
                return None
            if size == 0:
                self.in_body = False
                return Piece(b"", end=True)
            self._left = size + 2
        return self._chunk_data(self._left) if self._buffer else None

    def _chunk_size(self) -> int | None:
        """The size that a line says, which is taken, with the end of the body after the last one; None: not yet."""
        end = self._buffer.find(b"\n", 0, MAX_CHUNK_LINE) + 1
        if end == 0:
            if len(self._buffer) >= MAX_CHUNK_LINE:
                raise Refusal(400, "chunk size line too long")
            return None
        size = _size(self._buffer[:end])
        if size == 0:
            after = self._buffer[end : end + 2]
            if not b"\r\n".startswith(after):
                raise Refusal(400, "trailers are not accepted")
            if len(after) < 2:
                return None
            end += 2
        self._take(end)
        return size

    def _chunk_data(self, before: int) -> Piece:
        """Up to `before` bytes, of which the last two are the chunk's CRLF, and no part of the body."""
        data = self._take(before)
        self._left = before - len(data)
        ending = b"\r\n"[max(0, 2 - before) : max(0, 2 - self._left)]
        if not data.endswith(ending):
            raise Refusal(400, "a chunk does not end where its size says")
        return Piece(data[: len(data) - len(ending)], end=False)


def _size(line: bytes) -> int:
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise Refusal(400, "bad chunk size")
    return int(found[1], 16)


def _check_unfinished(buffer: bytes) -> None:
    """Refuse a head that can no longer become a good one, without waiting for its end."""
    line_end = buffer.find(b"\n")
    if line_end < 0 and len(buffer) > MAX_LINE:
        raise Refusal(431, "request line too long")
    if line_end >= 0 and (line_end == 0 or buffer[line_end - 1] != 0x0D):
        raise Refusal(400, "a line does not end in CRLF")
    if b"\n\n" in buffer:
        raise Refusal(400, "a line does not end in CRLF")
    if len(buffer) >= MAX_HEAD:
        raise Refusal(431, "header section too large")
