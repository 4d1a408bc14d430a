"""The demo's scripted agent: the reference SDK's own client, with a grant. Must not know what is shown of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from policylayer.cli.demo_calls import Call, Result

META: Final = "io.policylayer/decision"
TIME: Final = 600.0


class Agent:
    """A connected agent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, call: Call) -> Result:
        """Make a call, and wait for whatever comes."""
        answer = await self._client.call_tool(call.tool, dict(call.arguments))
        text = "\n".join(getattr(block, "text", "") for block in answer.content).strip()
        said = (answer.meta or {}).get(META) or {}
        return Result(text if answer.is_error else f"done: {text}", said.get("reason_code") == "pending")


@contextlib.asynccontextmanager
async def make(url: str, grant: str) -> AsyncIterator[Agent]:
    """An agent connected to a server behind the proxy."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    headers = {"Authorization": f"Bearer {grant}"}
    async with httpx2.AsyncClient(headers=headers, timeout=TIME, trust_env=False) as http:
        transport: Any = streamable_http_client(url, http_client=http)
        async with Client(transport) as client:
            yield Agent(client)
