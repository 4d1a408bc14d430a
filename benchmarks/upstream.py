"""The server behind every target: answers MCP calls as fast as Python can, so that what stands before it is measured.

`python -m benchmarks.upstream [TOOLS]` prints its port. Answers: a tool named `echo` with 1 KB of JSON, `events` with
an SSE stream of 20 notifications and the result, `large` with 100 KB; tools/list with 200 tools, or as many as it is
told; initialize with a session. About half of the tools are `admin_*`, which the benchmark's policies do not allow.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import uvloop

from benchmarks.wire import HANDSHAKE, MARK, MODERN, Cutter

NO_STREAM = b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST, DELETE\r\ncontent-length: 0\r\n\r\n"
ENDED = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
ID = re.compile(rb'"id":\s*(-?\d+|"[^"]*")')
USUAL_TOOLS = 200


def tools(count: int) -> list[dict[str, Any]]:
    """So many tools, `echo` first."""
    named = ["echo", "events", "large", "held"]
    names = [*named, *(f"{'tool' if i % 2 else 'admin'}_{i}" for i in range(count - len(named)))][:count]
    properties = {"customer": {"type": "string"}, "amount": {"type": "number"}}
    schema = {"type": "object", "properties": properties}
    return [{"name": name, "description": "A tool of the benchmark", "inputSchema": schema} for name in names]


def result(body: bytes, filler: int) -> bytes:
    """One result of about `filler` bytes."""
    text = MARK.decode() + "-" * filler
    members = {"content": [{"type": "text", "text": text}], "isError": False}
    if MODERN.encode() in body:
        members = {"resultType": "complete", **members}
    return json.dumps(members).encode()


class Server(asyncio.Protocol):
    """One connection."""

    cache: dict[tuple[str, bool], bytes] = {}  # noqa: RUF012 - one process, one cache
    tools = USUAL_TOOLS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.cutter = Cutter(bytearray())

    def data_received(self, data: bytes) -> None:
        self.cutter.buffer += data
        while (message := self.cutter.cut()) is not None:
            self.transport.write(self.answer(*message))  # type: ignore[attr-defined]

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole HTTP answer to one request."""
        if not head.startswith(b"post "):
            return NO_STREAM if head.startswith(b"get ") else ENDED
        found = ID.search(body)
        if found is None:
            return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        number = found.group(1)
        if b'"initialize"' in body:
            return self.plain(number, self.initialized(), b"mcp-session-id: bench-session\r\n")
        if b'"server/discover"' in body:
            return self.plain(number, b'{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}')
        if b'"tools/list"' in body:
            return self.plain(number, self.kept("list", body))
        if b'"name":"events"' in body:
            return self.events(number, body)
        return self.plain(number, self.kept("large" if b'"name":"large"' in body else "echo", body))

    def kept(self, kind: str, body: bytes) -> bytes:
        key = (kind, MODERN.encode() in body)
        if key not in self.cache:
            if kind == "list":
                extra = {"resultType": "complete", "ttlMs": 1000, "cacheScope": "private"} if key[1] else {}
                self.cache[key] = json.dumps({**extra, "tools": tools(self.tools)}).encode()
            else:
                self.cache[key] = result(body, 100_000 if kind == "large" else 700)
        return self.cache[key]

    def initialized(self) -> bytes:
        info = {"name": "bench", "version": "1"}
        made = {"protocolVersion": HANDSHAKE, "capabilities": {"tools": {}}, "serverInfo": info}
        return json.dumps(made).encode()

    def plain(self, number: bytes, made: bytes, headers: bytes = b"") -> bytes:
        body = b'{"jsonrpc":"2.0","id":' + number + b',"result":' + made + b"}"
        size = str(len(body)).encode()
        start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        return start + headers + b"content-length: " + size + b"\r\n\r\n" + body

    def events(self, number: bytes, body: bytes) -> bytes:
        note = b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info",'
        lines = [note + b'"data":"step %d"}}\n\n' % i for i in range(20)]
        last = b'{"jsonrpc":"2.0","id":' + number + b',"result":' + self.kept("echo", body) + b"}"
        stream = b"".join(lines) + b"event: message\ndata: " + last + b"\n\n"
        size = str(len(stream)).encode()
        start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: "
        return start + size + b"\r\n\r\n" + stream


async def main(arguments: list[str]) -> None:
    """Serve until the parent closes our standard input."""
    Server.tools = int(arguments[0]) if arguments else USUAL_TOOLS
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
