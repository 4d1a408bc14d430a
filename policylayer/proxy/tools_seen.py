"""What is known of each server's tools: their annotations, and which arguments they want repeated in headers.

Learnt from every list of tools that passes by, before it is filtered. Where a modern call names a tool that is not
known, the server is asked once for all who wait, and not again for a while. In memory; what a server says of its tools
is a claim, which policy believes only where the operator does. Must not know who may see which tool (`lists.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from policylayer.core.call import Json
from policylayer.core.errors import UpstreamError
from policylayer.core.immutable import immutable
from policylayer.core.text import LONGEST_NAME, is_name
from policylayer.proxy.ask import ask_modern
from policylayer.proxy.limits import Limits
from policylayer.upstream.interface import Upstream
from policylayer.wire.mirrors import mirrors

LARGEST_SCHEMA: Final = 64 * 1024
LARGEST_ANNOTATIONS: Final = 4 * 1024
LARGEST_SERVER: Final = 16 * 1024 * 1024
"""Bytes of what is kept of one server's tools. What is too large, or one too many, is there and says nothing of itself:
no hint is believed, nothing is repeated in headers, any result fits."""

ANYTHING: Final = b"true"
NO_SCHEMA: Final[Mapping[str, Any]] = {}


@immutable
class Tool:
    """One tool. `schema` is its inputSchema where some argument is repeated in a header, else empty.

    `output` is its outputSchema as JSON; empty where it has none.
    """

    annotations: Mapping[str, Json]
    schema: object = field(default_factory=dict)
    output: bytes = b""


class Hints(Mapping[str, Mapping[str, Json]]):
    """The annotations of one server's tools, by name."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    def __getitem__(self, tool: str) -> Mapping[str, Json]:
        return self._tools[tool].annotations

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)


@dataclass(slots=True)
class _Server:
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0
    tools: dict[str, Tool] = field(default_factory=dict)
    asked_at: float | None = None
    failed: bool = False
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class ToolsSeen:
    """All servers' tools, as last listed."""

    def __init__(self, monotonic: Callable[[], float], limits: Limits) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._servers: dict[str, _Server] = {}

    def find(self, server: str, tool: str | None) -> Tool | None:
        """A tool, or None where it has not been seen."""
        known = self._servers.get(server)
        return known.tools.get(tool) if known is not None and tool is not None else None

    def annotations(self, server: str, tool: str | None) -> Mapping[str, Json] | None:
        """A tool's annotations, or None where it has not been seen."""
        found = self.find(server, tool)
        return None if found is None else found.annotations

    def hints(self, server: str) -> Mapping[str, Mapping[str, Json]]:
        """Those of all its tools that have been seen."""
        known = self._servers.get(server)
        return Hints(known.tools if known is not None else {})

    def learn(self, server: str, result: Mapping[str, Any]) -> None:
        """Take in one page of a list of tools."""
        listed = result.get("tools")
        known = self._servers.setdefault(server, _Server())
        for item in listed if type(listed) is list else ():
            if type(item) is dict and is_name(item.get("name"), LONGEST_NAME):
                self._take(known, item["name"], item)

    def _take(self, known: _Server, name: str, item: Mapping[str, Any]) -> None:
        if name not in known.tools and len(known.tools) >= self._limits.tools:
            return
        annotations, schema = item.get("annotations"), item.get("inputSchema")
        believed, size = _small(annotations, LARGEST_ANNOTATIONS)
        repeated, more = _small(schema, LARGEST_SCHEMA) if mirrors(schema) != () else (NO_SCHEMA, 0)
        output = _output(item.get("outputSchema"))
        size += more + len(output)
        others = known.size - known.sizes.get(name, 0)
        if others + size > LARGEST_SERVER:
            believed, repeated, output, size = {}, NO_SCHEMA, ANYTHING, 0
        known.size, known.sizes[name] = others + size, size
        known.tools[name] = Tool(believed, repeated, output)

    def changed(self, server: str) -> None:
        """The server says that its list has changed: what is not known may be asked for again."""
        if server in self._servers:
            self._servers[server].asked_at = None

    async def known(self, upstream: Upstream, owner: str, tool: str) -> Tool | None:
        """The tool, asking the server if need be; None where it has none such, or does not say."""
        server = self._servers.setdefault(upstream.name, _Server())
        if tool not in server.tools and self._may_ask(server):
            async with server.asking:
                if tool not in server.tools and self._may_ask(server):
                    # Only its answer makes us sure: whatever else ends the asking, also an error or a cut, does not.
                    server.asked_at, server.failed = self._monotonic(), True
                    server.failed = not await self._ask(upstream, owner)
        return server.tools.get(tool)

    def unsure(self, server: str) -> bool:
        """Whether the server could not be asked for its tools, so that one which is not known may exist."""
        known = self._servers.get(server)
        return known is None or known.failed

    def _may_ask(self, server: _Server) -> bool:
        return server.asked_at is None or server.asked_at + self._limits.list_again <= self._monotonic()

    async def _ask(self, upstream: Upstream, owner: str) -> bool:
        """List all pages; whether the server gave them."""
        params: dict[str, Any] = {}
        try:
            async with asyncio.timeout(self._limits.list_timeout):
                for _ in range(self._limits.tool_pages):
                    page = await ask_modern(upstream, owner, "tools/list", params, self._limits)
                    if page.result is None:
                        return False
                    self.learn(upstream.name, page.result)
                    cursor = page.result.get("nextCursor")
                    if type(cursor) is not str or cursor == params.get("cursor"):
                        return True
                    params = {"cursor": cursor}
        except (UpstreamError, TimeoutError):
            return False
        return False


def _small(value: object, most: int) -> tuple[Mapping[str, Any], int]:
    """An object and its size as JSON; nothing where it is none, or too large."""
    if not isinstance(value, dict) or not value:
        return {}, 0
    size = len(orjson.dumps(value, default=str))
    return (value, size) if size <= most else ({}, 0)


def _output(schema: object) -> bytes:
    """An outputSchema as it is kept. One that cannot be, or is too large, is there, and says nothing."""
    if type(schema) is not dict:
        return b""
    try:
        written = orjson.dumps(schema)
    except TypeError:
        return ANYTHING
    return written if len(written) <= LARGEST_SCHEMA else ANYTHING
