"""MCP messages as bytes, in both eras: what an attack changes one byte of.

A body is built by joining, not by serialising, so that any part of it can be anything.
"""

from __future__ import annotations

import base64
from typing import Final, Literal, TypeAlias

from tests.support.raw_http import Field

Era: TypeAlias = Literal["handshake", "modern"]
ERAS: Final[tuple[Era, ...]] = ("handshake", "modern")
LATEST: Final = "2025-11-25"
MODERN: Final = "2026-07-28"
VERSIONS: Final = {"handshake": LATEST, "modern": MODERN}
META: Final = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"sampling":{},"roots":{}}}'
)
TARGETS: Final = ("tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel")


def message(method: str, params: bytes = b"", era: Era = "handshake", id: bytes = b"1") -> bytes:
    """A request; `params` are the members of its params."""
    inside = b",".join(filter(None, [params, META if era == "modern" else b""]))
    return b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":{%b}}' % (id, method.encode(), inside)


def notification(method: str, params: bytes = b"", era: Era = "handshake") -> bytes:
    """A message without an id."""
    inside = b",".join(filter(None, [params, META if era == "modern" else b""]))
    return b'{"jsonrpc":"2.0","method":"%b","params":{%b}}' % (method.encode(), inside)


def call(name: bytes = b'"safe"', arguments: bytes = b"{}", era: Era = "handshake", id: bytes = b"1") -> bytes:
    """A tools/call; name and arguments are JSON texts."""
    return message("tools/call", b'"name":%b,"arguments":%b' % (name, arguments), era, id)


def headers(
    token: str | None,
    era: Era = "handshake",
    method: str = "tools/call",
    name: str | None = "safe",
    host: str | None = "127.0.0.1",
    **more: str | bytes | None,
) -> list[Field]:
    """The headers of a POST; `more` replaces or (None) removes some, written with underscores."""
    fields: dict[str, str | bytes | None] = {
        "host": host,
        "authorization": None if token is None else f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSIONS[era],
    }
    if era == "modern":
        fields["mcp-method"] = method
        fields["mcp-name"] = header_value(name) if name is not None and method in TARGETS else None
    fields.update({key.replace("_", "-"): value for key, value in more.items()})
    return [(key, value) for key, value in fields.items() if value is not None]


def header_value(value: str) -> str:
    """How a modern client writes a text into a header."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?")
    return value if plain and value else "=?base64?" + base64.b64encode(value.encode()).decode() + "?="
