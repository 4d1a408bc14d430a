"""A caller that costs next to nothing: one kept connection, a request made once, no more of an answer read than needed.

For tests of load, where whoever calls must not be what is measured: hundreds of thousands of calls a minute from the
process that also answers them. What it cannot read fails the test. Must not know what is called.
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Final

LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Caller:
    """One connection to a port of this machine; the same request again and again."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def __call__(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = LENGTH.search(head)
        assert length is not None, head
        body = await reader.readexactly(int(length[1]))
        if b"\r\nconnection: close\r\n" in head:
            writer.close()
            self._streams = None
        return int(head[9:12]), head, body
