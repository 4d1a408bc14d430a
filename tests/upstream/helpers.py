"""What the tests of this package share: an open HTTP upstream, and exchanges to send through it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from policylayer.clock import Clock
from policylayer.upstream import Answer, Exchange, HttpServer, Limits, StdioServer, Upstream, Upstreams

QUICK = Limits(timeout=0.5, connect_timeout=0.5, breaker_failures=1000)


def call(tool: str = "safe", id: int | str = 1, meta: dict[str, Any] | None = None, **arguments: Any) -> bytes:
    """A tools/call."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if meta is not None:
        params["_meta"] = meta
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()


def post(body: bytes, headers: list[tuple[str, str]] | None = None, **more: Any) -> Exchange:
    """A POST of it."""
    return Exchange("POST", [("Accept", "application/json, text/event-stream"), *(headers or [])], body, **more)


@asynccontextmanager
async def upstream_to(url: str, limits: Limits = QUICK, **settings: Any) -> AsyncIterator[Upstream]:
    """An upstream to a URL, guarded as in the program."""
    async with running(HttpServer("rec", url, limits=limits, **settings)) as upstream:
        yield upstream


@asynccontextmanager
async def running(server: HttpServer | StdioServer) -> AsyncIterator[Upstream]:
    """The one configured server, for as long as it lasts."""
    upstreams = Upstreams([server], Clock())
    await upstreams.start()
    try:
        upstream = upstreams.get(server.name)
        assert upstream is not None
        yield upstream
    finally:
        await upstreams.close()


async def whole(upstream: Upstream, exchange: Exchange, limit: int = 1 << 24) -> tuple[Answer, bytes]:
    """The answer and its body."""
    answer = await upstream.exchange(exchange)
    try:
        return answer, await answer.read(limit)
    finally:
        answer.close()


async def text_of(upstream: Upstream, body: bytes) -> str:
    """The text of a tool's result."""
    _, raw = await whole(upstream, post(body))
    text: str = json.loads(raw)["result"]["content"][0]["text"]
    return text
