"""Two relays that do nothing but relay: the floor of what Python can do in this place.

`python -m benchmarks.bare_relay httptools UPSTREAM_PORT` is an asyncio.Protocol on httptools with kept upstream
connections; `... asgi UPSTREAM_PORT` a plain ASGI app on uvicorn with aiohttp's client. Prints its port.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import aiohttp
import uvicorn
import uvloop

from benchmarks.wire import Cutter

END = b"\r\n"


class Upstream(asyncio.Protocol):
    """One kept connection to the server; answers go to whoever sent last."""

    def __init__(self) -> None:
        self.cutter = Cutter(bytearray())
        self.downstream: Downstream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.cutter.buffer += data
        message = self.cutter.cut()
        if message is not None and self.downstream is not None:
            head, body = message
            downstream, self.downstream = self.downstream, None
            Downstream.idle.append(self)
            downstream.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: "
                + (b"text/event-stream" if b"event-stream" in head else b"application/json")
                + b"\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )


class Downstream(asyncio.Protocol):
    """One caller."""

    idle: list[Upstream] = []  # noqa: RUF012 - one process, one pool
    port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.cutter = Cutter(bytearray())

    def data_received(self, data: bytes) -> None:
        self.cutter.buffer += data
        message = self.cutter.cut()
        if message is None:
            return
        body = message[1]
        request = b"POST /mcp HTTP/1.1\r\nhost: upstream\r\ncontent-type: application/json\r\ncontent-length: "
        request += str(len(body)).encode() + END + END + body
        if self.idle:
            upstream = self.idle.pop()
            upstream.downstream = self
            upstream.transport.write(request)
        else:
            self.task = asyncio.get_running_loop().create_task(self.connect(request))

    async def connect(self, request: bytes) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", self.port)
        upstream.downstream = self
        upstream.transport.write(request)


async def serve_httptools(port: int) -> None:
    """The bare protocol relay."""
    Downstream.port = port
    server = await asyncio.get_running_loop().create_server(Downstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class Asgi:
    """The bare ASGI relay."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.session is None:
            self.session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=30))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            content = await answer.read()
            kind = answer.headers["content-type"].encode()
        start = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": content})


async def serve_asgi(port: int) -> None:
    """The bare ASGI relay on uvicorn."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        Asgi(port), http="httptools", loop="uvloop", lifespan="off", access_log=False, log_level="error"
    )
    server = uvicorn.Server(config)
    print(listener.getsockname()[1], flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run((serve_asgi if sys.argv[1] == "asgi" else serve_httptools)(int(sys.argv[2])))
