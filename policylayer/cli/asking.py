"""Asks an MCP server for its tools, with the reference SDK's own client. Must not know what they are wanted for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from policylayer.cli.exits import CommandError
from policylayer.config import Server
from policylayer.starter.guess import Tool

PAGES: Final = 100
TOOLS: Final = 10_000


async def list_tools(
    url: str | None, headers: Mapping[str, str], command: Sequence[str], timeout: float, server: Server | None = None
) -> tuple[Tool, ...]:
    """The tools of a server that is reached by URL or launched. `CommandError` says why there are none.

    A configured `server` is launched in its folder, with its variables.
    """
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    refused: list[int] = []
    async with asyncio.timeout(timeout):
        try:
            async with _client(url, headers, command, server, refused) as client:
                return await _all(client)
        except (TimeoutError, CommandError):
            raise
        except FileNotFoundError:
            raise CommandError(f"there is no program `{command[0]}`", "install it, or write its whole path") from None
        except Exception as error:
            where = f"`{url}`" if url else f"`{command[0]}`"
            # The SDK does not say what the server answered.
            why = f"it answers HTTP {refused[0]}" if refused else _cause(error)
            raise CommandError(f"cannot ask the server {where} for its tools: {why}", _help(url, why)) from None


async def _all(client: Client) -> tuple[Tool, ...]:
    found: list[Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            listed = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
            found.append(Tool(tool.name, tool.description or "", listed.get("annotations", {}), listed))
        cursor = page.next_cursor
        if not cursor or len(found) > TOOLS:
            break
    return tuple(found)


@contextlib.asynccontextmanager
async def _client(
    url: str | None, headers: Mapping[str, str], command: Sequence[str], server: Server | None, refused: list[int]
) -> AsyncIterator[Client]:
    if url is None:
        # What the server says on its standard error belongs to the person at the terminal.
        launched = StdioServerParameters(
            command=command[0],
            args=list(command[1:]),
            cwd=server.folder if server else None,
            env=dict(server.env) if server else None,
        )
        async with Client(stdio_client(launched, errlog=sys.stderr)) as client:
            yield client
        return

    async def look(response: httpx2.Response) -> None:
        if response.status_code in (401, 403):
            refused.append(response.status_code)

    hooks: Any = {"response": [look]}
    async with httpx2.AsyncClient(headers=dict(headers), timeout=30.0, trust_env=False, event_hooks=hooks) as http:
        transport: Any = streamable_http_client(url, http_client=http)
        async with Client(transport) as client:
            yield client


def _cause(error: BaseException) -> str:
    """The innermost of a group's first errors, on one line."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__


def _help(url: str | None, why: str) -> str:
    if url is None:
        return "run the command by itself: an MCP server waits for input without printing anything"
    if "401" in why or "403" in why or "nauthorized" in why:
        return (
            "it wants a credential: `init --header 'Authorization: Bearer …'`, and `headers` of the server in the "
            "configuration; a server that only takes OAuth needs a token that you fetch from it yourself"
        )
    return "is it running, and is this the URL of its MCP endpoint (often it ends in /mcp)?"
