"""One HTTP exchange, as an ASGI app sees it: `receive` brings the request's body, `send` takes the answer.

An answer that is whole goes out in one write; a stream's events as they come, in chunks; to HTTP/1.0, which knows none,
as they are. What an app sends is checked, so that nothing it was told can end a header early. Must not know framing or
deadlines (`http_protocol.py`).
"""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

from policylayer.serve.head import Head

Event: TypeAlias = MutableMapping[str, Any]
Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]

READ_AHEAD: Final = 64 * 1024
"""Bytes of a body that are kept for an app that does not take them, before reading pauses."""

ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
NO_BODY: Final = frozenset({204, 304})
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
GONE: Final[Event] = {"type": "http.disconnect"}


class Peer(Protocol):
    """The connection, as far as one exchange needs it."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drained(self) -> None:
        """Wait until the peer reads again."""

    @property
    def stuck(self) -> bool:
        """Whether the peer does not read what it was sent."""

    @property
    def date(self) -> bytes:
        """The line of every answer that says when it was given."""

    def pause(self) -> None:
        """Read no more of the request for now."""

    def resume(self) -> None:
        """Read on."""

    def answered(self, exchange: Exchange) -> None:
        """The answer is complete."""


class Exchange:
    """One request and its answer. `whole`: all of the body is here; `keep_alive`: the connection may go on after it."""

    __slots__ = (
        "_body",
        "_chunked",
        "_left",
        "_news",
        "_peer",
        "_start",
        "_taken",
        "_told",
        "complete",
        "gone",
        "head",
        "keep_alive",
        "length",
        "started",
        "whole",
    )

    def __init__(self, peer: Peer, head: Head, length: int | None) -> None:
        self._peer = peer
        self.head = head
        self.length = length
        self.keep_alive = head.keep_alive
        self.whole = self.gone = self.started = self.complete = False
        self._body = b""
        self._taken = self._told = self._chunked = False
        self._news: asyncio.Event | None = None
        self._start = b""
        self._left: int | None = 0

    def scope(self, client: tuple[str, int] | None, scheme: str) -> dict[str, Any]:
        """The ASGI scope. Beside the standard's keys, `policylayer.head` is the head that was read."""
        head, length = self.head, self.length
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": head.version,
            "client": client,
            "scheme": scheme,
            "method": head.method,
            "root_path": "",
            "path": head.path,
            "raw_path": head.target,
            "query_string": head.query,
            "headers": head.fields if length is None else [*head.fields, (b"content-length", b"%d" % length)],
            "policylayer.head": head,
        }

    # --- the connection's side ----------------------------------------------------------------------------------------

    def feed(self, data: bytes, end: bool) -> None:
        """More of the body."""
        self._body = self._body + data if self._body else data
        self.whole = end
        if len(self._body) > READ_AHEAD and not end:
            self._peer.pause()
        self._wake()

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    # --- the app's side: the request ----------------------------------------------------------------------------------

    async def receive(self) -> Event:
        """The next part of the body; when it was all taken, the end of the exchange."""
        if self.head.expects and not (self.started or self.whole or self._taken or self.gone):
            self._peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.complete):
            if self._body or (self.whole and not self._told):
                return self._part()
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return GONE

    def _part(self) -> Event:
        body, self._body = self._body, b""
        self._taken, self._told = True, self.whole
        self._peer.resume()
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    # --- the app's side: the answer -----------------------------------------------------------------------------------

    async def send(self, message: Event) -> None:
        """The answer's head, then its body. The head goes out with the first part of the body."""
        if self._peer.stuck and not self.gone:
            await self._peer.drained()
        if self.gone or self.complete:
            return
        if not self.started:
            self._begin(message)
        else:
            self._go_on(message)

    def _begin(self, message: Event) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"an answer begins with its head, not with `{message['type']}`")
        status, length = message["status"], None
        fields: list[tuple[bytes, bytes]] = []
        for field in message.get("headers", ()):
            if field[0] == b"content-length":
                length = int(field[1])
            else:
                fields.append(field)
        start, closes = answer_head(status, tuple(fields))
        standing = self._peer.date
        bodiless = status in NO_BODY or self.head.method == "HEAD"
        unknown = length is None and not bodiless
        # RFC 9112, 6.1: never to HTTP/1.0, where a body of unknown length ends with the connection.
        self._chunked = unknown and self.head.version != "1.0"
        self._left = 0 if bodiless else length
        if closes:
            self.keep_alive = False
        elif not (self.keep_alive and self.whole) or (unknown and not self._chunked):
            # What is still to come of the request is not waited for.
            self.keep_alive = False
            standing += b"connection: close\r\n"
        if length is not None and status != http.HTTPStatus.NO_CONTENT:
            standing += b"content-length: %d\r\n" % length
        elif self._chunked:
            standing += b"transfer-encoding: chunked\r\n"
        self._start = start + standing + b"\r\n"
        self.started = True

    def _go_on(self, message: Event) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"an answer goes on with its body, not with `{message['type']}`")
        body, last = message.get("body", b""), not message.get("more_body", False)
        start, self._start = self._start, b""
        if self.head.method == "HEAD":
            body = b""
        elif self._chunked:
            body = _chunk(body, last)
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                raise RuntimeError("the body is not as long as its head says")
        if start or body:
            self._peer.write(start + body)
        if last:
            self.complete = True
            self._wake()
            self._peer.answered(self)


def _chunk(body: bytes, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk


@lru_cache(maxsize=256)
def answer_head(status: int, fields: Fields) -> tuple[bytes, bool]:
    """Status line and fields as they are sent, without the blank line; and whether they close the connection."""
    for name, value in fields:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise RuntimeError("a header cannot be sent")
    phrase = http.HTTPStatus(status).phrase if status in _KNOWN else ""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode()), *(b"%b: %b\r\n" % field for field in fields)]
    return b"".join(lines), any(name == b"connection" and value.lower() == b"close" for name, value in fields)


_KNOWN: Final = frozenset(map(int, http.HTTPStatus))
