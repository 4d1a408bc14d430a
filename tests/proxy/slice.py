"""The whole service on loopback: a real store, real policies, the recording server, and an HTTP client of the agent's.

Everything but the agent and the server is what `policylayer serve` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from policylayer.app import Service
from policylayer.config import load
from policylayer.identity import grants, tokens
from policylayer.identity.person import Role
from tests.proxy.rig import LATEST, MODERN, NAMES
from tests.support.recording import Recording
from tests.support.serving import Serving, serving

POLICY = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: safe, tools: [safe, echo_args, slow], effect: allow}
  - {id: danger, tools: [danger], effect: deny, reason: Nobody does that., instead: Use safe.}
  - {id: gated, tools: [gated], effect: require_approval, reason: Ask first.}
  - {id: asks, methods: ["sampling/*", "elicitation/*", "roots/*", "completion/*", "logging/*"], effect: allow}
  - {id: rest, tools: ["test_*"], prompts: ["*"], resources: ["**"], effect: allow}
"""
PRINCIPALS = """\
principals:
  agent:alice: {owner: "user:owner"}
  agent:bob: {}
  user:owner: {}
  user:approver: {}
"""


@dataclass
class World:
    """The running service. `tokens` are the agents' by name; `approver` is a person's."""

    service: Service
    served: Serving
    recording: Recording
    http: aiohttp.ClientSession
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)
    approver: str = ""
    session: str | None = None

    def url(self, server: str = "shop") -> str:
        return f"{self.served.url}/mcp/{server}"

    def headers(self, message: Mapping[str, Any], agent: str, server: str) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self.tokens[agent]}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if message["params"].get("_meta", {}).get("io.modelcontextprotocol/protocolVersion"):
            headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
            if (named := NAMES.get(message["method"])) is not None:
                headers["Mcp-Name"] = message["params"][named]
        else:
            headers["MCP-Protocol-Version"] = LATEST
            if self.session is not None:
                headers["Mcp-Session-Id"] = self.session
        return headers

    def post(self, message: Mapping[str, Any], agent: str = "alice", server: str = "shop") -> Any:
        """An HTTP exchange, as a context manager."""
        headers = self.headers(message, agent, server)
        return self.http.post(self.url(server), data=json.dumps(message).encode(), headers=headers)

    async def ask(self, message: Mapping[str, Any], agent: str = "alice", server: str = "shop") -> tuple[int, Any]:
        """Post a message, and read its whole answer: the last message where it is a stream."""
        async with self.post(message, agent, server) as answer:
            body = await answer.read()
            if answer.headers.get("mcp-session-id"):
                self.session = answer.headers["mcp-session-id"]
            if answer.content_type == "text/event-stream":
                lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: {")]
                return answer.status, json.loads(lines[-1])
            return answer.status, json.loads(body) if body else None

    async def approve(
        self, verdict: str = "approve", note: str | None = None, similar: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Vote on the newest pending approval."""
        headers = {"Authorization": f"Bearer {self.approver}"}
        base = f"{self.served.url}/api/v1/approvals"
        async with self.http.get(f"{base}?state=pending", headers=headers) as listed:
            (newest, *_) = (await listed.json())["items"]
        body = {name: value for name, value in (("note", note), ("similar", similar)) if value}
        async with self.http.post(f"{base}/{newest['id']}/{verdict}", json=body, headers=headers) as voted:
            assert voted.status == 200, await voted.text()
            answer: dict[str, Any] = await voted.json()
            return answer

    async def settled(self, count: int) -> list[tuple[Any, ...]]:
        """The rows, when there are so many."""
        async with asyncio.timeout(10):
            while len(rows := self.rows()) < count:
                await asyncio.sleep(0.01)
        return rows

    def rows(self, what: str = "kind, effect, state, parent, id") -> list[tuple[Any, ...]]:
        """The decision log, read past the service; without events."""
        connection = sqlite3.connect(self.folder / "policylayer.db", timeout=5)
        try:
            return connection.execute(f"SELECT {what} FROM records WHERE kind <> 'event' ORDER BY id").fetchall()
        finally:
            connection.close()


@contextlib.asynccontextmanager
async def world(
    folder: Path, policy: str = POLICY, extra: str = "", url: str | None = None, **shop: Any
) -> AsyncIterator[World]:
    """Run it all in `folder`; `url` is of another server than the recording one, `shop` its further settings."""
    (folder / "policies").mkdir()
    (folder / "policies" / "shop.yaml").write_text(policy)
    (folder / "policies" / "principals.yaml").write_text(PRINCIPALS)
    async with contextlib.AsyncExitStack() as stack:
        recording = await stack.enter_async_context(Recording())
        (folder / "policylayer.yaml").write_text(
            f"listen: 127.0.0.1:0\nservers:\n  shop: {json.dumps({'url': url or recording.url, **shop})}\n"
            f'  other: {{url: "{recording.url}"}}\n{extra}'
        )
        service = Service(load(folder / "policylayer.yaml"), "http://127.0.0.1")
        await service.start()
        stack.push_async_callback(service.close)
        served = await stack.enter_async_context(serving(service.app))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        made = World(service, served, recording, http, folder)
        await _people(made)
        yield made
        await service.stopping()


async def _people(made: World) -> None:
    store, clock = made.service.backstage.store, made.service.backstage.clock
    for name in ("alice", "bob"):
        servers = ["shop", "other"] if name == "alice" else ["shop"]
        work = partial(grants.create, clock=clock, name=name, principal=f"agent:{name}", servers=servers)
        _, made.tokens[name] = await store.write(work, topics=("grants",))
    approve = partial(tokens.create, clock=clock, principal="user:approver", role=Role.APPROVER)
    _, made.approver = await store.write(approve, topics=("grants",))
