"""Proxies on one PostgreSQL, the server behind them, and agents that call: what all tests of this folder share."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from tests.attacks.messages import call, headers, message
from tests.support.background import Background
from tests.support.recording import Recording
from tests.support.service import Preloaded, Proxy

KEY: Final = bytes(range(7, 39)).hex()
POLICY: Final = """
policy: work
applies_to: {principals: "*", servers: "*"}
rules:
  - {id: free, tools: [safe, echo_args], effect: allow}
  - {id: gated, tools: [gated], effect: require_approval, approval: {approvers: [group:approvers]}}
  - {id: never, tools: [danger], effect: deny, reason: It is dangerous.}
"""
TEST: Final = """
tests:
  - name: safe passes
    principal: agent:a
    call: {server: rec, tool: safe, arguments: {}}
    expect: {effect: allow}
"""
PEOPLE: Final = "groups: {approvers: [user:approver]}\n"
RUNNING_OUT: Final = 30.0


def replica(folder: Path, database: str, upstream: str, preloaded: Preloaded | None = None, **more: Any) -> Proxy:
    """A proxy over the shared database, not started yet. All have the same key and the same policies."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "shared.key"
    key.write_text(KEY)
    key.chmod(0o600)
    more.setdefault("approvals", {"hold": "20s", "expires": "1h"})
    made = Proxy(
        folder,
        {"rec": {"url": upstream}},
        {"work.yaml": POLICY, "work_test.yaml": TEST, "principals.yaml": PEOPLE},
        database=database,
        keys={"file": "shared.key"},
        **more,
    )
    made.preloaded = preloaded
    return made


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

    async def call(self, proxy: Proxy, tool: str = "safe", session: str | None = None, **arguments: Any) -> Said:
        """One tools/call, answered."""
        body = call(orjson.dumps(tool), orjson.dumps(arguments), id=str(next(self.ids)).encode())
        return await self.post(proxy, body, session)

    async def initialize(self, proxy: Proxy) -> str:
        """A session; what the agent is to send for it."""
        params = b'"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}'
        said = await self.post(proxy, message("initialize", params))
        assert said.status == 200, said
        return said.headers["mcp-session-id"]

    async def post(self, proxy: Proxy, body: bytes, session: str | None = None) -> Said:
        """One POST; of a stream the last message counts."""
        fields = {name: str(value) for name, value in headers(self.token, host=None)}
        if session is not None:
            fields["mcp-session-id"] = session
        answer = await self.http.post(proxy.mcp("rec"), content=body, headers=fields)
        text = answer.content
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line[6:] for line in text.split(b"\n") if line.startswith(b"data: ")][-1]
        return Said(answer.status_code, orjson.loads(text) if text else None, dict(answer.headers))


async def eventually(true: Any, why: str, seconds: float = 20.0, each: float = 0.05) -> float:
    """Wait until the coroutine function answers true; how long that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not await true():
        assert loop.time() - begun < seconds, why
        await asyncio.sleep(each)
    return loop.time() - begun


def recording(loop: Background) -> Recording:
    """A started recording server on the background loop."""
    made = Recording()
    loop.run(made.__aenter__())
    return made


def rows_of(proxy: Proxy) -> list[dict[str, Any]]:
    """The whole log."""
    found, cursor = [], None
    while True:
        query = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        page = proxy.ask("GET", "/decisions", query=query)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
