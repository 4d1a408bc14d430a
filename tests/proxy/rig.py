"""The endpoint over small fakes of everything it is handed, and an in-process client that speaks bare ASGI to it.

`Rig.post` sends one message and gives the whole answer; `Rig.open` gives an exchange under way, which can be read event
by event and left. The fake server (`Scripted`) answers by a function and keeps what it was sent.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policylayer.clock import Clock
from policylayer.core.call import ServerFacts
from policylayer.keys import Keys
from policylayer.proxy.endpoint import McpEndpoint
from policylayer.proxy.hosts import Hosts
from policylayer.proxy.limits import Limits
from policylayer.proxy.ports import Deps
from policylayer.wire import sse
from tests.proxy.fakes import FakeApprovals, FakeAuthenticator, FakeEngine, FakeFreezes, FakeRecorder, Scripted

MODERN = "2026-07-28"
LATEST = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
NAMES |= dict.fromkeys(("tasks/get", "tasks/cancel", "tasks/update"), "taskId")


# --- the agent's side -------------------------------------------------------------------------------------------------


@dataclass
class Open:
    """An HTTP exchange under way."""

    task: asyncio.Task[None]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    done: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _read: deque[Any] = field(default_factory=deque)
    _parser: sse.Parser = field(default_factory=lambda: sse.Parser(1 << 24))

    async def event(self) -> Any:
        """The next message of the stream (comments are left out)."""
        async with asyncio.timeout(5):
            while not self._read:
                assert not self.done, f"the stream has ended: {self.body!r}"
                self.news.clear()
                await self.news.wait()
        return self._read.popleft()

    async def begun(self) -> None:
        async with asyncio.timeout(5):
            while not self.status:
                self.news.clear()
                await self.news.wait()

    async def whole(self) -> Open:
        async with asyncio.timeout(5):
            await self.task
        assert self.done or self.gone.is_set() or not self.status
        return self

    async def leave(self) -> None:
        """The client goes away."""
        self.gone.set()
        await asyncio.sleep(0)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def messages(self) -> list[Any]:
        return list(self._read)

    def take(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in event["headers"]}
        else:
            self.body += event.get("body", b"")
            self.done = not event.get("more_body")
            if self.headers.get("content-type") == "text/event-stream":
                events = self._parser.feed(event.get("body", b""))
                self._read.extend(json.loads(each.data) for each in events if each.data)
        self.news.set()


class Rig:
    """The endpoint over fakes."""

    def __init__(self, limits: Limits | None = None, **servers: ServerFacts) -> None:
        self.upstream = Scripted()
        self.files = Scripted("files")
        self.engine = FakeEngine()
        self.approvals = FakeApprovals()
        self.recorder = FakeRecorder(self.approvals)
        self.freezes = FakeFreezes()
        self.authenticator = FakeAuthenticator()
        self.deps = Deps(
            clock=Clock(),
            keys=Keys([bytes(range(32))]),
            engine=self.engine,
            recorder=self.recorder,
            approvals=self.approvals,
            authenticator=self.authenticator,
            freezes=self.freezes,
            upstreams=self,
            servers={"shop": ServerFacts("shop"), "files": ServerFacts("files"), **servers},
            hosts=Hosts.of(loopback=True),
            metadata_url=lambda server: f"https://proxy.example.com/.well-known/oauth-protected-resource/mcp/{server}",
            limits=limits or Limits(),
        )
        self.endpoint = McpEndpoint(self.deps)
        self.session: str | None = None

    def get(self, server: str) -> Scripted | None:
        return {"shop": self.upstream, "files": self.files}.get(server)

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        server: str = "shop",
        chunks: Iterable[bytes] | None = None,
    ) -> Open:
        """An HTTP request, begun."""
        pieces = chunks if isinstance(chunks, deque) else deque([body] if chunks is None else chunks)
        scope = {
            "type": "http",
            "method": method,
            "path": f"/mcp/{server}",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 5000),
        }
        opened: Open

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.popleft()
                return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
            await opened.gone.wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            if not opened.gone.is_set():
                opened.take(event)

        async def run() -> None:
            await self.endpoint(scope, receive, send)

        opened = Open(asyncio.get_running_loop().create_task(run()))
        return opened

    def headers(self, message: Mapping[str, Any], token: str, extra: Mapping[str, str | None]) -> list[tuple[str, str]]:
        """The headers of a message, of its era."""
        headers: dict[str, str | None] = {
            "Host": "127.0.0.1:8080",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        meta = (message.get("params") or {}).get("_meta") or {}
        if "io.modelcontextprotocol/protocolVersion" in meta:
            headers["MCP-Protocol-Version"] = MODERN
            headers["Mcp-Method"] = message.get("method")
            named = NAMES.get(str(message.get("method")))
            headers["Mcp-Name"] = message["params"].get(named) if named else None
        else:
            headers["MCP-Protocol-Version"] = LATEST
            headers["Mcp-Session-Id"] = self.session
        return [(name, value) for name, value in {**headers, **extra}.items() if value is not None]

    async def open(
        self, message: Mapping[str, Any], token: str = "alice", server: str = "shop", **extra: str | None
    ) -> Open:
        """A POST of one message, begun."""
        named = {name.replace("_", "-"): value for name, value in extra.items()}
        return await self.request(
            "POST", json.dumps(message).encode(), self.headers(message, token, named), server=server
        )

    async def post(
        self, message: Mapping[str, Any], token: str = "alice", server: str = "shop", **extra: str | None
    ) -> Open:
        """A POST of one message, and its whole answer."""
        return await (await self.open(message, token, server, **extra)).whole()

    async def initialize(self, token: str = "alice", **capabilities: Any) -> Open:
        """Open a session, which later handshake messages belong to."""
        params = {"protocolVersion": LATEST, "capabilities": capabilities, "clientInfo": {"name": "test"}}
        answer = await self.post(request("initialize", params), token)
        self.session = answer.headers.get("mcp-session-id")
        return answer

    async def listen(self, token: str = "alice", **extra: str | None) -> Open:
        """The GET stream of the session, begun."""
        named = {name.replace("_", "-"): value for name, value in extra.items()}
        headers = self.headers({}, token, {"Content-Type": None, **named})
        return await self.request("GET", headers=headers)


def request(method: str, params: Mapping[str, Any] | None = None, id: int | str = 1) -> dict[str, Any]:
    """A handshake request."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": dict(params or {})}


def modern(method: str, params: Mapping[str, Any] | None = None, id: int | str = 1, **meta: Any) -> dict[str, Any]:
    """A modern request."""
    return request(method, {**(params or {}), "_meta": {**META, **meta}}, id)


def call(
    tool: str = "safe", arguments: Mapping[str, Any] | None = None, id: int | str = 1, **more: Any
) -> dict[str, Any]:
    """A handshake tools/call."""
    return request("tools/call", {"name": tool, "arguments": dict(arguments or {}), **more}, id)


def modern_call(
    tool: str = "safe", arguments: Mapping[str, Any] | None = None, id: int | str = 1, **more: Any
) -> dict[str, Any]:
    """A modern tools/call."""
    return modern("tools/call", {"name": tool, "arguments": dict(arguments or {}), **more}, id)
