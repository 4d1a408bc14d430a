"""The reference SDK on both sides, in one process: what its client sends is accepted, and what is sent on is accepted.

Each request passes through decoding and goes on with the header fields that `outgoing` writes; each answer through
`server_messages`. So a rung of the ladder that a real client stumbles over shows here first.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import httpx2
import mcp_types
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field

from policylayer.wire import lists, server_messages
from policylayer.wire.headers import Headers, check_params, outgoing
from policylayer.wire.message import Message, decode
from policylayer.wire.methods import MODERN
from policylayer.wire.server_messages import ServerMessage
from policylayer.wire.sse import Parser

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]


def fixture_server() -> MCPServer:
    server = MCPServer("fixture")

    @server.tool()
    async def route(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], amount: float, context: Context
    ) -> str:
        await context.report_progress(0.5, 1, "half")
        return f"{region} {amount}"

    @server.prompt()
    def summary(topic: str) -> str:
        return f"about {topic}"

    @server.resource("note://{name}")
    def note(name: str) -> str:
        return name

    return server


class Between(httpx2.AsyncBaseTransport):
    """Stands where the proxy will stand: decodes what passes, and keeps it."""

    def __init__(self, app: Any) -> None:
        self.inner = httpx2.ASGITransport(app=app)
        self.seen: list[Message] = []
        self.answers: list[ServerMessage] = []
        self.schemas: dict[str, Any] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            request = self.passed(request, await request.aread())
        response = await self.inner.handle_async_request(request)
        if request.method == "POST":
            raw = b"".join([chunk async for chunk in cast(Any, response.stream)])
            self.read(raw, response.headers.get("content-type", ""))
            return httpx2.Response(response.status_code, headers=response.headers, content=raw)
        return response

    def passed(self, request: httpx2.Request, body: bytes) -> httpx2.Request:
        inbound = Headers.of(request.headers.raw)
        message = decode(body, inbound)
        assert isinstance(message, Message), message
        assert inbound.get("content-type") == "application/json"
        self.seen.append(message)
        schema = self.schemas.get(message.target or "")
        assert check_params(message, inbound, schema) is None
        headers = [*outgoing(message, inbound, schema), ("Host", "127.0.0.1:8000")]
        session = inbound.get("mcp-session-id")
        if session is not None:
            headers.append(("mcp-session-id", session))
        return httpx2.Request("POST", request.url, headers=headers, content=message.raw)

    def read(self, raw: bytes, content_type: str) -> None:
        texts = (
            [event.data for event in Parser(1_000_000).feed(raw) if event.data] if "event" in content_type else [raw]
        )
        for text in filter(None, texts):
            answer = server_messages.decode(text)
            assert isinstance(answer, ServerMessage), answer
            self.answers.append(answer)
            for tool in (answer.result or {}).get("tools", ()):
                self.schemas[tool["name"]] = tool["inputSchema"]
                assert lists.filter_list(answer, "tools/list", lambda _: True, False) == text


async def talk(mode: Any) -> Between:
    app = fixture_server().streamable_http_app(stateless_http=True)
    between = Between(app)
    told: list[Any] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async with app.router.lifespan_context(app):
        http = httpx2.AsyncClient(transport=between)
        transport = streamable_http_client("http://127.0.0.1:8000/mcp", http_client=http)
        async with http, Client(transport, mode=mode) as client:
            await client.list_tools()
            arguments = {"region": "\u4e16 eu ", "amount": 19.90}
            result = await client.call_tool("route", arguments, progress_callback=progress)
            assert not result.is_error
            assert isinstance(result.content[0], mcp_types.TextContent)
            assert result.content[0].text == "\u4e16 eu  19.9"
            await client.list_prompts()
            await client.get_prompt("summary", {"topic": "a"})
            await client.list_resource_templates()
            await client.read_resource("note://a b")
    return between


async def test_modern() -> None:
    between = await talk("auto")
    assert {message.protocol for message in between.seen} == {MODERN}
    assert {message.method for message in between.seen} >= {"server/discover", "tools/call", "resources/read"}
    assert all(message.client for message in between.seen if message.kind == "request")
    assert all(answer.error is None for answer in between.answers)


async def test_handshake() -> None:
    between = await talk("legacy")
    assert {message.era for message in between.seen} == {"handshake"}
    assert {message.method for message in between.seen} >= {"initialize", "notifications/initialized", "tools/call"}
    assert all(message.treatment != "denied" for message in between.seen)
    assert all(answer.error is None for answer in between.answers)
