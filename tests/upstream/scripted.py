"""The scripted server behind a command, as an upstream: its sessions, and what is read of its answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from policylayer.upstream import Answer, Exchange, Limits, StdioServer, Upstream
from policylayer.wire.sse import Parser
from tests.support import stdio_server
from tests.upstream.helpers import call, running

PROGRAM = str(Path(stdio_server.__file__))
MODERN = ("MCP-Protocol-Version", "2026-07-28")
HANDSHAKE = ("MCP-Protocol-Version", "2025-11-25")
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}'
)
LIMITS = Limits(timeout=10, breaker_failures=1000)


@asynccontextmanager
async def stdio(*how: str, limits: Limits = LIMITS, **settings: Any) -> AsyncIterator[Upstream]:
    """The scripted server as an upstream."""
    settings.setdefault("stop_timeout", 0.3)
    command = settings.pop("command", (sys.executable, "-S", PROGRAM, *how))
    async with running(StdioServer("plain", command, limits=limits, **settings)) as upstream:
        yield upstream


def modern(body: bytes, owner: str = "grant-1", **more: Any) -> Exchange:
    """A POST at 2026-07-28."""
    return Exchange("POST", [MODERN], body, owner=owner, **more)


class Session:
    """A handshake session through an upstream."""

    def __init__(self, upstream: Upstream, id: str) -> None:
        self.upstream = upstream
        self.headers = [HANDSHAKE, ("Mcp-Session-Id", id)]

    @classmethod
    async def open(cls, upstream: Upstream, owner: str = "grant-1") -> Session:
        answer = await upstream.exchange(Exchange("POST", [], INITIALIZE, owner=owner))
        assert json.loads(await answer.read(10_000))["result"]["serverInfo"]["name"] == "plain"
        answer.close()
        return cls(upstream, answer.headers["mcp-session-id"])

    async def send(self, body: bytes, verb: Any = "POST", **more: Any) -> Answer:
        return await self.upstream.exchange(Exchange(verb, self.headers, body, **more))


async def text(answer: Answer) -> str:
    """The text of the result in a JSON answer."""
    try:
        found: str = json.loads(await answer.read(1 << 24))["result"]["content"][0]["text"]
        return found
    finally:
        answer.close()


async def events(answer: Answer) -> list[dict[str, Any]]:
    """All messages of a stream."""
    parser = Parser(1 << 20)
    found = [json.loads(event.data or b"") async for chunk in answer.chunks() for event in parser.feed(chunk)]
    answer.close()
    return found


async def pid_of(upstream: Upstream, owner: str = "grant-1") -> int:
    pid: int = json.loads(await text(await upstream.exchange(modern(call("env"), owner))))["pid"]
    return pid


async def gone(pid: int) -> None:
    """Wait until a process is no more, not even as a zombie."""
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)
