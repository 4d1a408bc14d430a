"""Agents that call a proxy over HTTP and are told what came of it: what tests share that put load on one.

Each has a connection pool of its own, closed with the test (`closed`). Must not know what a test does to the proxy.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx2
import orjson

from tests.attacks.messages import call, headers, message
from tests.support.running import Running


class Reached(Protocol):
    """Whatever agents call: a proxy, or the front of several."""

    def mcp(self, server: str) -> str:
        """Where agents find a server."""


RUNNING_OUT: Final = 30.0


@dataclass(slots=True)
class Said:
    """What an agent was told."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def executed(self) -> bool:
        """Whether the server's own answer came."""
        return self.status == 200 and "result" in self.body and not self.body["result"].get("isError")

    @property
    def told(self) -> dict[str, Any]:
        """What is said of the decision."""
        if "result" in self.body:
            told: dict[str, Any] = self.body["result"].get("_meta", {}).get("io.policylayer/decision", {})
            return told
        return dict(self.body.get("error", {}).get("data") or {})


AGENTS: Final[list[Agent]] = []
"""Those that the test has made; closed with it."""


@dataclass(slots=True)
class Agent:
    """A handshake client without a session, over a connection pool of its own."""

    token: str
    http: httpx2.AsyncClient = field(
        default_factory=lambda: httpx2.AsyncClient(
            timeout=RUNNING_OUT, trust_env=False, limits=httpx2.Limits(max_connections=200)
        )
    )
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        AGENTS.append(self)

    async def call(self, proxy: Reached, tool: str = "safe", session: str | None = None, **arguments: Any) -> Said:
        """One tools/call, answered."""
        body = call(orjson.dumps(tool), orjson.dumps(arguments), id=str(next(self.ids)).encode())
        return await self.post(proxy, body, session)

    async def initialize(self, proxy: Reached) -> str:
        """A session; what the agent is to send for it."""
        params = b'"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}'
        said = await self.post(proxy, message("initialize", params))
        assert said.status == 200, said
        return said.headers["mcp-session-id"]

    async def post(self, proxy: Reached, body: bytes, session: str | None = None) -> Said:
        """One POST; of a stream the last message counts."""
        fields = {name: str(value) for name, value in headers(self.token, host=None)}
        if session is not None:
            fields["mcp-session-id"] = session
        answer = await self.http.post(proxy.mcp("rec"), content=body, headers=fields)
        text = answer.content
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line[6:] for line in text.split(b"\n") if line.startswith(b"data: ")][-1]
        return Said(answer.status_code, orjson.loads(text) if text else None, dict(answer.headers))


async def closed() -> None:
    """Whoever called hangs up."""
    while AGENTS:
        await AGENTS.pop().http.aclose()


async def eventually(true: Any, why: str, seconds: float = 20.0, each: float = 0.05) -> float:
    """Wait until the coroutine function answers true; how long that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not await true():
        assert loop.time() - begun < seconds, why
        await asyncio.sleep(each)
    return loop.time() - begun


def rows_of(proxy: Running) -> list[dict[str, Any]]:
    """The whole log."""
    found, cursor = [], None
    while True:
        query = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        page = proxy.ask("GET", "/decisions", query=query)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
