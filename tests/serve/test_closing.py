"""A connection that is to end ends: who reads nothing keeps it no longer than a reader's deadline, however little is
left to send."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from policylayer.serve.http_protocol import Deadlines
from tests.support.serving import Serving, serving

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]

DEADLINES = Deadlines(head=60, body=60, write=0.2, linger=60, idle=60)
"""Only a reader's is over while a test lasts."""

LITTLE, MORE = 40_000, 400_000
"""More than the system takes, and so little that writing is not paused: for TLS, whose client reads ahead, more."""


class App:
    """Answers with `size` bytes; of `/on` that is not all, until its client goes."""

    def __init__(self, size: int) -> None:
        self.body = b"x" * size
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        goes_on = scope["path"] == "/on"
        headers = [] if goes_on else [(b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": goes_on})
        while goes_on and (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@contextlib.asynccontextmanager
async def reads_nothing(server: Serving, tls: ssl.SSLContext | None = None) -> AsyncIterator[asyncio.StreamWriter]:
    """A connection on which the system keeps little for either side, and whose client takes nothing."""
    for listening in server.server.servers[0].sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, (server.host, server.port))
    name = server.host if tls else None
    _, writer = await asyncio.open_connection(sock=made, limit=1, ssl=tls, server_hostname=name)
    try:
        yield writer
    finally:
        writer.transport.abort()


async def dropped(server: Serving) -> None:
    async with asyncio.timeout(5):
        while server.server.server_state.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_whoever_asks_for_the_end_and_reads_nothing_is_dropped(
    secure: bool, certificate: tuple[Path, Path]
) -> None:
    app = App(MORE if secure else LITTLE)
    trusting = ssl.create_default_context(cafile=str(certificate[0])) if secure else None
    async with (
        serving(app, DEADLINES, tls=certificate if secure else None) as server,
        reads_nothing(server, trusting) as writer,
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            await app.gone.wait()
        assert server.server.server_state.connections
        await dropped(server)


@pytest.mark.parametrize("path", ["/", "/on"])
async def test_whoever_sends_no_more_and_reads_nothing_is_dropped_and_its_app_told(path: str) -> None:
    app = App(LITTLE)
    async with serving(app, DEADLINES) as server, reads_nothing(server) as writer:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        writer.write_eof()
        async with asyncio.timeout(5):
            await app.gone.wait()
        await dropped(server)


async def test_where_nothing_is_left_no_time_is_kept() -> None:
    app = App(2)
    async with serving(app, DEADLINES) as server, server.connect() as raw:
        async with asyncio.timeout(5):
            while not (connections := [*server.server.server_state.connections]):
                await asyncio.sleep(0)
        await raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await raw.answer())[2] == b"xx"
        assert await raw.ended() == b""
        assert [each._reading for each in connections] == [None]
