"""The stdio front: lines in, lines out, both eras, and what a person and a client read when something is wrong."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from policylayer.upstream.connector import open_session
from policylayer.upstream.front import Front
from policylayer.upstream.front_link import Link
from tests.support.ports import free_port
from tests.support.processes import ROOT, Program
from tests.support.recording import Recording

pytestmark = pytest.mark.anyio

RUN = "import os, sys; from policylayer.upstream import front; "
RUN += "sys.exit(front.run(sys.argv[1], sys.argv[2], os.environ.get('T'), sys.stdin.buffer, sys.stdout.buffer))"

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def anyio_backend() -> str:
    """It is its own program, on asyncio's own loop."""
    return "asyncio"


class Lines(io.BytesIO):
    """Standard output that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    def flush(self) -> None:
        self.news.set()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    async def wait_for(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self.news.clear()
                await self.news.wait()
        return self.messages


class Fronted:
    """A running front with its streams."""

    def __init__(self, front: Front, out: Lines, err: io.StringIO) -> None:
        self.out = out
        self.err = err
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task = asyncio.get_running_loop().create_task(front.relay(self._feed()))

    async def _feed(self) -> AsyncIterator[bytes]:
        while (line := await self.lines.get()) is not None:
            yield line

    def say(self, message: dict[str, Any] | bytes) -> None:
        self.lines.put_nowait(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def ask(self, id: Any, method: str, **params: Any) -> None:
        self.say({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


@asynccontextmanager
async def fronted(url: str, token: str | None = "plg_x", server: str = "shop") -> AsyncIterator[Fronted]:
    """A front to `url`, ended with the test."""
    session = open_session()
    out, err = Lines(), io.StringIO()
    front = Front(Link(session, url, server, token), out, err)
    fronted = Fronted(front, out, err)
    try:
        yield fronted
        fronted.lines.put_nowait(None)
        async with asyncio.timeout(10):
            await fronted.task
    finally:
        fronted.task.cancel()
        await front.close()
        await session.close()


def base(rec: Recording) -> str:
    return f"http://127.0.0.1:{rec.port}"


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_handshake_session_and_its_headers() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        line = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"} }\n'
        front.say(line)
        await front.out.wait_for(1)
        front.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        front.ask("a", "tools/call", name="echo_args", arguments={"n": 1.10})
        messages = await front.out.wait_for(2)
        assert messages[1]["id"] == "a"
    first, initialized, *rest = rec.received
    assert first.path == "/mcp/shop"
    assert first.body + b"\n" == line
    assert first.header("authorization") == "Bearer plg_x"
    assert first.header("mcp-session-id") is None
    assert first.header("mcp-protocol-version") is None
    assert initialized.header("mcp-session-id") == "rec-1"
    assert initialized.header("mcp-protocol-version") == "2025-06-18"
    assert {one.verb for one in rest} == {"GET", "POST", "DELETE"}
    assert all(one.header("mcp-method") is None for one in rec.received)


async def test_the_modern_era_and_its_headers() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        front.ask(1, "server/discover", _meta=META)
        front.ask(2, "tools/call", name="é", arguments={}, _meta=META)
        await front.out.wait_for(2)
    found = {one.method: one for one in rec.received}
    assert found.keys() == {"server/discover", "tools/call"}, "no session: no GET, no DELETE"
    assert found["server/discover"].header("mcp-method") == "server/discover"
    assert found["server/discover"].header("mcp-protocol-version") == "2026-07-28"
    assert found["tools/call"].header("mcp-name") == "=?base64?w6k=?="


async def test_arguments_that_a_tool_wants_in_headers_are_repeated_there() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    tools = {"tools": [{"name": "find", "inputSchema": schema}]}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline() and await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            message = json.loads(await reader.readexactly(int(fields["Content-Length"])))
            heard.append((message["method"], fields.get("Mcp-Param-Region")))
            reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"], "result": tools}
            status = "200 OK"
            if message["method"] == "tools/call" and "Mcp-Param-Region" not in fields:
                status = "400 Bad Request"
                reply = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32020, "message": "mismatch"}}
            body = json.dumps(reply).encode()
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            writer.write(head + body)
        writer.close()

    heard: list[tuple[str, str | None]] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, fronted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as front:
        for id in (1, 2):
            front.ask(id, "tools/call", name="find", arguments={"region": "eu"}, _meta=META)
            assert "result" in (await front.out.wait_for(id))[-1]
        assert heard == [("tools/call", None), ("tools/list", None), ("tools/call", "eu"), ("tools/call", "eu")]


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_cancelling(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 2026-07-28 it is the closing of the stream; before, a message."""
    monkeypatch.setattr("policylayer.upstream.front.LAST_WORDS", 0.05)
    async with Recording() as rec, fronted(base(rec)) as front:
        meta = META
        if era == "handshake":
            front.ask(0, "initialize", protocolVersion="2025-11-25")
            await front.out.wait_for(1)
            meta = {}
        before = len(front.out.messages)
        front.ask("slow", "tools/call", name="safe", arguments={"_rec": "hang"}, _meta=meta)
        await rec.wait_for(before + 1)
        front.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})
        front.ask("next", "tools/call", name="safe", arguments={}, _meta=meta)
        await front.out.wait_for(before + 1)
        assert front.out.messages[-1]["id"] == "next"
        posted = [one.method for one in rec.received if one.verb == "POST"]
        assert ("notifications/cancelled" in posted) == (era == "handshake")


async def test_a_stream_is_passed_on_line_by_line() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        front.ask(5, "tools/call", name="safe", arguments={"_rec": "sse"}, _meta=META | {"progressToken": "p"})
        messages = await front.out.wait_for(2)
        assert [one.get("method") for one in messages] == ["notifications/progress", None]
        assert messages[1]["id"] == 5


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_no_proxy_there() -> None:
    async with fronted(f"http://127.0.0.1:{free_port()}") as front:
        front.ask(1, "tools/list", _meta=META)
        front.ask(2, "tools/list", _meta=META)
        messages = await front.out.wait_for(2)
        assert [one["error"]["code"] for one in messages] == [50301, 50301]
        assert sorted(one["id"] for one in messages) == [1, 2]
        assert front.err.getvalue().count("cannot be reached") == 1
        assert "policylayer serve" in front.err.getvalue()


async def test_a_credential_that_is_not_accepted() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        rec.behave("status_401")
        front.ask(1, "tools/list", _meta=META)
        error = (await front.out.wait_for(1))[0]["error"]
        assert (error["code"], "credential" in error["message"]) == (40101, True)
        assert "POLICYLAYER_GRANT" in front.err.getvalue()


async def test_a_server_that_the_grant_does_not_open() -> None:
    async with Recording() as rec, fronted(base(rec), server="nosuch") as front:
        rec.behave("status_404")
        front.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        async with asyncio.timeout(10):
            while not front.err.getvalue():
                await asyncio.sleep(0.01)
        assert "the grant opens no server `nosuch` at http://127.0.0.1:" in front.err.getvalue()
        assert "`policylayer grant list`" in front.err.getvalue()


@pytest.mark.parametrize("behaviour", ["close_after_read", "close_mid", "close_mid_stream", "garbage", "not_mcp"])
async def test_an_answer_that_breaks_off(behaviour: str) -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        front.ask(1, "tools/call", name="safe", arguments={"_rec": behaviour}, _meta=META)
        async with asyncio.timeout(10):
            while "error" not in (front.out.messages or [{}])[-1]:
                front.out.news.clear()
                await front.out.news.wait()
        last = front.out.messages[-1]
        assert (last["id"], last["error"]["code"]) == (1, 50201)
        assert len(rec.calls) == 1


async def test_a_line_that_is_no_message() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        front.say(b"what?\n")
        front.say(b"\n")
        assert (await front.out.wait_for(1))[0]["error"]["code"] == -32700
    assert rec.received == []


async def test_an_error_without_an_id_gets_the_one_it_answers() -> None:
    async with Recording() as rec, fronted(base(rec)) as front:
        front.ask(9, "no/such", _meta=META)
        message = (await front.out.wait_for(1))[0]
        assert (message["id"], message["error"]["code"]) == (9, -32601)


# --- as a program -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fixture_server() -> Any:
    """The conformance fixture where a proxy would have it."""
    with Program.python("-m", "tests.support.mcp_fixture", "--path", "/mcp/fixture") as program:
        yield program.wait_for("listening on ").removesuffix("/mcp/fixture")


@pytest.mark.parametrize(("mode", "protocol"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_a_real_client_of_each_era(mode: str, protocol: str, fixture_server: str) -> None:
    progress: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    command = StdioServerParameters(command=sys.executable, args=["-c", RUN, fixture_server, "fixture"], cwd=str(ROOT))
    async with Client(stdio_client(command), mode=mode) as client:
        assert client.protocol_version == protocol
        assert "test_simple_text" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        assert not result.is_error
        assert progress == [0, 50, 100]
        assert not (await client.call_tool("test_header_param", {"region": "eu"})).is_error
        if mode == "legacy":
            resumed = await client.call_tool("test_reconnection", {})
            assert "properly reconnected" in resumed.content[0].text  # type: ignore[union-attr]


def test_it_ends_with_its_input(fixture_server: str) -> None:
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}})
    command = [sys.executable, "-c", RUN, fixture_server, "fixture"]
    done = subprocess.run(command, input=ask + "\n", capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["id"] == 1
