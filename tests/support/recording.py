"""A recording MCP server on raw sockets: keeps every byte of every connection, counts tools/call, misbehaves on demand.

In a test: `async with Recording() as rec:`; as a program: `python -m tests.support.recording --port 0` prints
`listening on URL`, and `GET /_rec` on the same port tells what was received. Tools: `safe`, `danger`, `gated` and
`echo_args` (answers with the arguments it got, as text). Speaks both eras, badly where told to (`misbehaviour.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.support.misbehaviour import BEHAVIOURS, SSE_HEAD, chunk, http, message, result_of

TOOLS = ("safe", "danger", "gated", "echo_args")
SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}, "path": {"type": "string"}}}


@dataclass(slots=True)
class Received:
    """One HTTP request as it arrived."""

    connection: int
    at: float
    verb: str
    path: str
    headers: list[tuple[str, str]]
    head: bytes
    body: bytes
    message: Any = None

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def method(self) -> str | None:
        """The JSON-RPC method."""
        return self.message.get("method") if isinstance(self.message, dict) else None

    @property
    def id(self) -> Any:
        """The JSON-RPC id."""
        return self.message.get("id") if isinstance(self.message, dict) else None

    @property
    def params(self) -> dict[str, Any]:
        """The JSON-RPC params."""
        params = self.message.get("params") if isinstance(self.message, dict) else None
        return params if isinstance(params, dict) else {}

    @property
    def modern(self) -> bool:
        """Whether it speaks 2026-07-28."""
        return (self.header("mcp-protocol-version") or "") >= "2026-07-28"


@dataclass(slots=True)
class Recording:
    """The server, and what it has seen. `hosts` are where it listens; `opens`: its GET streams open and say nothing."""

    port: int = 0
    hosts: tuple[str, ...] = ("127.0.0.1",)
    opens: bool = False
    always: str | None = None
    tools: tuple[str, ...] = TOOLS
    connections: list[bytearray] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    _next: deque[str] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _sessions: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    # --- for tests ----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its MCP endpoint."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def calls(self) -> list[Received]:
        """The tools/call requests, in order of arrival."""
        return [one for one in self.received if one.method == "tools/call"]

    @property
    def counts(self) -> Counter[str]:
        """How often each tool was called."""
        return Counter(one.params.get("name") for one in self.calls)

    @property
    def every_byte(self) -> bytes:
        """All that was received, of all connections."""
        return b"".join(bytes(connection) for connection in self.connections)

    def behave(self, *names: str) -> None:
        """What to do with the next POSTs, in order."""
        for name in names:
            assert name in BEHAVIOURS, name
        self._next.extend(names)

    async def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Wait until that many requests have arrived."""
        async with asyncio.timeout(timeout):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()

    async def __aenter__(self) -> Recording:
        self._server = await asyncio.start_server(self._connected, self.hosts, self.port, limit=64 * 1024 * 1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        self.connections.append(bytearray())
        try:
            while not writer.is_closing():
                received = await self._read(reader, number)
                self.received.append(received)
                self._news.set()
                await self._answer(writer, received)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            with suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Received:
        log = self.connections[number]
        head = await reader.readuntil(b"\r\n\r\n")
        log += head
        first, *rest = head.decode("latin-1").split("\r\n")
        verb, path, _ = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest if line)]
        received = Received(number, time.monotonic(), verb, path, headers, head, b"")
        length = int(received.header("content-length") or 0)
        received.body = await reader.readexactly(length) if length else b""
        if (received.header("transfer-encoding") or "").lower() == "chunked":
            received.body = await self._read_chunks(reader, log)
        log += received.body
        with suppress(ValueError):
            received.message = json.loads(received.body) if received.body else None
        return received

    async def _read_chunks(self, reader: asyncio.StreamReader, log: bytearray) -> bytes:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip() or b"0", 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body

    # --- MCP ----------------------------------------------------------------------------------------------------------

    async def _answer(self, writer: asyncio.StreamWriter, received: Received) -> None:
        if received.path == "/_rec":
            writer.write(http(json.dumps(self._report()).encode()))
        elif (name := self._behaviour(received)) is not None:
            await BEHAVIOURS[name](writer, received)
        elif received.verb == "GET" and self.opens:
            writer.write(SSE_HEAD + chunk(b": open\n\n"))
            await writer.drain()
            await asyncio.Event().wait()
        elif received.verb != "POST":
            writer.write(http(b"", status="405 Method Not Allowed" if received.verb == "GET" else "200 OK"))
        else:
            writer.write(self._proper(received))

    def _behaviour(self, received: Received) -> str | None:
        if received.verb != "POST":
            return None
        if self._next:
            return self._next.popleft()
        arguments = received.params.get("arguments")
        if isinstance(arguments, dict) and arguments.get("_rec") in BEHAVIOURS:
            return str(arguments["_rec"])
        return self.always if received.method == "tools/call" else None

    def _proper(self, received: Received) -> bytes:
        if received.id is None or received.method is None:
            return http(b"", status="202 Accepted")
        if received.method == "initialize":
            self._sessions += 1
            return http(
                message(received, result=self._initialized(received)), extra=f"Mcp-Session-Id: rec-{self._sessions}\r\n"
            )
        answers: dict[str, Any] = {
            "ping": lambda: {},
            "server/discover": lambda: self._discovered(),
            "tools/list": lambda: self._list("tools", [self._tool(name) for name in self.tools], received),
            "prompts/list": lambda: self._list("prompts", [{"name": "hello"}], received),
            "resources/list": lambda: self._list("resources", [{"uri": "rec://one", "name": "one"}], received),
            "tools/call": lambda: self._called(received),
        }
        if received.method not in answers:
            error = {"code": -32601, "message": "Method not found"}
            status = "404 Not Found" if received.modern else "200 OK"
            return http(message(received, error=error), status=status)
        return http(message(received, result=answers[received.method]()))

    def _called(self, received: Received) -> dict[str, Any]:
        if received.params.get("name") == "echo_args":
            return result_of(received, json.dumps(received.params.get("arguments")))
        return result_of(received, f"{received.params.get('name')} done")

    def _initialized(self, received: Received) -> dict[str, Any]:
        return {
            "protocolVersion": received.params.get("protocolVersion", "2025-11-25"),
            "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
            "serverInfo": {"name": "recording", "version": "1"},
        }

    def _discovered(self) -> dict[str, Any]:
        return {
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
            "serverInfo": {"name": "recording", "version": "1"},
            "ttlMs": 0,
            "cacheScope": "private",
        }

    def _tool(self, name: str) -> dict[str, Any]:
        return {"name": name, "description": f"the tool {name}", "inputSchema": SCHEMA}

    def _list(self, key: str, items: list[dict[str, Any]], received: Received) -> dict[str, Any]:
        more = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"} if received.modern else {}
        return {key: items, **more}

    def _report(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "calls": [{"params": one.params, "headers": one.headers, "at": one.at} for one in self.calls],
            "bytes": [base64.b64encode(bytes(one)).decode() for one in self.connections],
        }


async def _main() -> None:
    parser = argparse.ArgumentParser(description="a recording MCP server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--always", choices=sorted(BEHAVIOURS), default=None, help="what to do with every tools/call")
    given = parser.parse_args()
    async with Recording(port=given.port, always=given.always) as recording:
        print(f"listening on {recording.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
