"""The agent's side of one HTTP exchange, on bare ASGI: reading the body, answering whole or as a stream, going away.

An answer is whole (`reply`) until a stream has begun (`begin`); from then on a whole answer becomes the stream's last
event, so callers need not know. A client that reads no streams (`streams` is false) gets of a stream the response
alone, whole, when it comes. `hold_back` keeps the end of an answer until `release`. Must not know what the bytes
mean. The peer's deadlines (slow heads, bodies, readers) are the server's (`serve/http_protocol.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson
import structlog

from policylayer.proxy.load import Load
from policylayer.proxy.patience import Patience
from policylayer.tasks import spawn
from policylayer.wire import replies, sse
from policylayer.wire.headers import JSON
from policylayer.wire.replies import Reply

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

LARGE: Final = 256 * 1024
"""Bytes from which a request's body, or a whole answer, is counted as held."""

STREAM: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class Oversize(Exception):
    """The body is larger than it may be; what was read of it is forgotten."""


class Overfull(Exception):
    """Too much is held of its sender's requests, or of all."""


class Gone(Exception):
    """The client went away before its request was whole."""


class Downstream:
    """One exchange. `gone` tells whether the client has left, `ended` that there will be no more of the answer."""

    __slots__ = (
        "_extra",
        "_held",
        "_kept",
        "_leaving",
        "_load",
        "_long",
        "_patience",
        "_receive",
        "_send",
        "_watch",
        "begun",
        "ended",
        "gone",
        "hold_back",
        "streams",
        "unread",
        "whose",
        "wrote_at",
    )

    def __init__(
        self, receive: Receive, send: Send, patience: Patience | None = None, load: Load | None = None
    ) -> None:
        self._receive = receive
        self._send = send
        self._patience = patience
        self._leaving: list[Callable[[], None]] | None = None
        self._long: list[Callable[[], None]] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._extra: tuple[tuple[bytes, bytes], ...] = ()
        self._kept: Reply | bytes | None = None
        self._load = load
        self._held = 0
        self.whose = ""
        self.unread = False
        self.ended = False
        self.hold_back = False
        self.streams = True
        self.begun = False
        self.gone = False
        self.wrote_at = 0.0

    # --- the request --------------------------------------------------------------------------------------------------

    async def body(self, length: str | None, limit: int, seconds: float) -> bytes:
        """The whole body. Raises `Oversize` as soon as it is known to be, `Overfull`, `Gone`, or `TimeoutError`."""
        if length is not None and (not length.isdigit() or int(length) > limit):
            raise Oversize
        event = await self._receive()
        if event["type"] != "http.request":
            raise Gone
        first: bytes = event.get("body", b"")
        if len(first) > limit:
            raise Oversize
        if not event.get("more_body"):
            return first
        async with asyncio.timeout(seconds):
            return await self._rest(bytearray(first), limit)

    async def _rest(self, body: bytearray, limit: int) -> bytes:
        counted = LARGE
        while True:
            event = await self._receive()
            if event["type"] != "http.request":
                raise Gone
            body += event.get("body", b"")
            if len(body) > limit:
                raise Oversize
            while len(body) > counted:
                if not self.take(LARGE):
                    raise Overfull
                counted += LARGE
            if not event.get("more_body"):
                return bytes(body)

    def take(self, size: int) -> bool:
        """Count so many bytes as held for as long as the exchange lasts; False where that is too much."""
        if self._load is None:
            return True
        taken = self._load.take(self.whose, size)
        self._held += size if taken else 0
        return taken

    # --- taking long, and going away ----------------------------------------------------------------------------------

    def when_long(self, callback: Callable[[], None]) -> None:
        """Call `callback` if the exchange is not over after a while (`patience.py`)."""
        self._be_patient().append(callback)

    def when_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` (at once, if it is so already) when the client goes away; returns the undoing."""
        if self.gone:
            callback()
        if self._leaving is None:
            self._leaving = []
            if not self.ended:
                self.when_long(self._start_watching)
        leaving = self._leaving
        leaving.append(callback)
        return lambda: leaving.remove(callback) if callback in leaving else None

    def _be_patient(self) -> list[Callable[[], None]]:
        if self._long is None:
            self._long = []
            patience = self._patience or Patience()
            patience.add(self)
        return self._long

    def is_long(self) -> None:
        """It takes long: told by `patience.py`, once."""
        for callback in tuple(self._long or ()):
            # One that fails keeps no other from being told: its client's leaving, or its caller's right, is watched so.
            try:
                callback()
            except Exception:
                structlog.get_logger().error("what takes long cannot be watched", exc_info=True)

    def _start_watching(self) -> None:
        if not self.ended and self._watch is None:
            self._watch = spawn(self._watching(), "watch client")

    async def _watching(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.ended:
            self.gone = True
            for callback in tuple(self._leaving or ()):
                callback()

    # --- the answer ---------------------------------------------------------------------------------------------------

    def add_header(self, name: bytes, value: bytes) -> None:
        """Send this with the answer's head, whatever the answer will be."""
        self._extra = (*self._extra, (name, value))

    async def reply(self, reply: Reply) -> None:
        """The whole answer; where a stream has begun, its last event."""
        if self.ended:
            return
        if self.begun:
            await self.last(sse.encode(sse.escaped(reply.body), event="message") if reply.body else b"")
            return
        if self.hold_back:
            self._kept = reply
            return
        self._finish()
        headers = _encoded(reply.headers) + self._extra
        if reply.status not in (202, 204) or not reply.body:
            headers = (*headers, (b"content-length", b"%d" % len(reply.body)))
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        self.unread = len(reply.body) > LARGE
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": self.unread})

    async def read(self) -> None:
        """A large answer is not over before its reader has taken it: only then are its bytes no longer held."""
        self.unread = False
        await self._send({"type": "http.response.body", "body": b""})

    async def begin(self) -> None:
        """Begin a stream of events, unless it has begun."""
        if self.begun or self.ended or not self.streams:
            return
        self.begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": STREAM + self._extra})
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        self.wrote_at = asyncio.get_running_loop().time()

    async def event(self, raw: bytes) -> None:
        """One or more whole events, as they are."""
        if self.ended or self.gone or not raw or not self.streams:
            return
        await self.begin()
        self.wrote_at = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": raw, "more_body": True})

    async def last(self, raw: bytes) -> None:
        """The last event, and the end of the stream."""
        if self.hold_back:
            self._kept = raw
            return
        if not self.streams and (whole := _response_in(raw)) is not None:
            await self.reply(Reply(200, (JSON,), whole))
            return
        await self.event(raw)
        await self.end()

    async def release(self) -> None:
        """Send what was held back (`hold_back`): the record of it is written."""
        self.hold_back = False
        kept, self._kept = self._kept, None
        if isinstance(kept, Reply):
            await self.reply(kept)
        elif kept is not None:
            await self.last(kept)

    async def end(self) -> None:
        """End the stream."""
        if self.ended:
            return
        if not self.begun and not self.streams:
            # It cannot come back for the rest of a stream that it does not read.
            failed = replies.upstream_failed(None, "its answer did not come")
            await self.reply(Reply(502, failed.headers, failed.body))
            return
        self._finish()
        if self.begun:
            await self._send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        """The exchange is over, however it went."""
        self._finish()
        if self._held and self._load is not None:
            self._load.give(self.whose, self._held)
            self._held = 0

    def _finish(self) -> None:
        self.ended = True
        self._long = self._leaving = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _response_in(raw: bytes) -> bytes | None:
    """The response among whole events; what else is said there cannot be told."""
    for event in sse.Parser(len(raw) + 1).feed(raw):
        message = orjson.loads(event.data) if event.data else {}
        if "result" in message or "error" in message:
            return event.data
    return None


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
