"""Messages of one process on their way to one reader, in order, with an end.

Knows neither processes nor HTTP. Bounded by bytes: a reader that is slower than that loses the stream, not others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from policylayer.core.errors import TooLarge, UpstreamError

OVERHEAD: Final = 128
"""Bytes that a waiting message takes besides its own."""


class Mailbox:
    """A queue of messages for one reader."""

    def __init__(self, name: str, most_bytes: int) -> None:
        self._name = name
        self._most = most_bytes
        self._size = 0
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._error: UpstreamError | None = None
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more can be put in."""
        return self._ended

    def put(self, message: bytes) -> None:
        """Add a message; where too much waits, the stream ends instead."""
        if self._ended:
            return
        self._size += len(message) + OVERHEAD
        if self._size > self._most:
            self._messages.clear()
            self.end(TooLarge(f"server `{self._name}` sent more than {self._most} bytes that nobody read"))
            return
        self._messages.append(message)
        self._news.set()

    def end(self, error: UpstreamError | None = None) -> None:
        """Nothing follows; `error` is raised once all messages are read."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._news.set()

    async def get(self, deadline: float | None = None) -> bytes | None:
        """The next message, or None at the end. Raises TimeoutError at `deadline`, and the error it ended with."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._news.clear()
            async with asyncio.timeout_at(deadline):
                await self._news.wait()
        message = self._messages.popleft()
        self._size -= len(message) + OVERHEAD
        return message
