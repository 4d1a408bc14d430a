"""The HTTP face of what a process says: a whole answer, or a stream of events. See `interface.Answer`.

Must not know sessions or processes' lives (`stdio.py`); a stream is fed by its mailbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import orjson

from policylayer.core.errors import TimedOut, TooLarge
from policylayer.upstream.glance import Id
from policylayer.upstream.mailbox import Mailbox
from policylayer.wire import sse

NO_HEADERS: Final[Mapping[str, str]] = {}


class Plain:
    """An answer that is all there."""

    __slots__ = ("_body", "content_type", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str] = NO_HEADERS, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.content_type = headers.get("content-type", "")
        self._body = body

    @classmethod
    def error(cls, status: int, id: Id | None, code: int, message: str) -> Plain:
        """A JSON-RPC error of our own."""
        body = orjson.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        return cls(status, {"content-type": "application/json"}, body)

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        if len(self._body) > limit:
            raise TooLarge(f"the server answered with more than {limit} bytes")
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in one piece."""
        if self._body:
            yield self._body

    def close(self) -> None:
        """Nothing is open."""


class Stream:
    """An answer that is a stream of events, one for each message in a mailbox.

    `first` is a message that was already taken out. `on_close` is called once; `late` says whether before the end.
    """

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        on_close: Callable[[], None],
        deadline: float | None = None,
        first: bytes | None = None,
        extra: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.status = 200
        self.content_type = "text/event-stream"
        self.headers: Mapping[str, str] = {"content-type": self.content_type, **extra}
        self._name = name
        self._mailbox = mailbox
        self._on_close = on_close
        self._deadline = deadline
        self._first = first
        self._closed = False

    async def read(self, limit: int) -> bytes:
        """The whole stream."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self.close()
                raise TooLarge(f"server `{self._name}` answered with more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Each message as an event, when it comes."""
        message, self._first = self._first, None
        while message is not None or (message := await self._next()) is not None:
            yield sse.encode(message, event="message")
            message = None
        self.close()

    def close(self) -> None:
        """Stop listening."""
        if not self._closed:
            self._closed = True
            self._on_close()

    async def _next(self) -> bytes | None:
        try:
            return await self._mailbox.get(self._deadline)
        except TimeoutError:
            self.close()
            raise TimedOut(f"server `{self._name}` did not answer in time") from None
