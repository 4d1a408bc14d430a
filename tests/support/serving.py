"""An ASGI app on the program's own HTTP server, on a free loopback port, and raw connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policylayer.serve.http_protocol import Deadlines
from policylayer.serve.server import Hooks, Listen, _Server, bind, settings, url_of


@dataclass(slots=True)
class Raw:
    """One raw connection: what was answered, as bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write without waiting for an answer."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One response with a content-length, or chunked."""
        async with asyncio.timeout(10):
            status_line, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
            }
            return int(status_line.split()[1]), headers, await self._body(headers)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def ended(self) -> bytes:
        """Everything until the peer closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@dataclass(slots=True)
class Serving:
    """A running server."""

    host: str
    port: int
    url: str
    server: Any

    @contextlib.asynccontextmanager
    async def connect(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
        """A raw connection, closed at the end."""
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    app: Any, deadlines: Deadlines | None = None, hooks: Hooks | None = None, tls: tuple[Path, Path] | None = None
) -> AsyncIterator[Serving]:
    """Serve `app` on a free port until the block ends."""
    hooks = hooks or Hooks()
    listen = Listen("127.0.0.1", 0, tls)
    bound = bind(listen)
    url = url_of(listen, bound)
    ready = asyncio.Event()
    told = hooks.ready

    def mark(where: str) -> None:
        told(where)
        ready.set()

    hooks.ready = mark
    server = _Server(settings(app, listen, hooks, deadlines), hooks, url)
    running = asyncio.get_running_loop().create_task(server.serve([bound]))
    try:
        await asyncio.wait({running, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        yield Serving("127.0.0.1", bound.getsockname()[1], url, server)
    finally:
        server.should_exit = True
        server.force_exit = True
        await running
