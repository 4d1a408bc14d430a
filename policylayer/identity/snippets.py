"""What to paste into a client so that it reaches a server through the proxy with a grant.

Must not know how the grant was made (`grants.py`) nor print anything. Without a token, each snippet names the
environment variable (or prompt) that its client can read, so that no secret has to stand in a file.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final

import orjson

from policylayer.core.immutable import immutable

VARIABLE: Final = "POLICYLAYER_GRANT"


@immutable
class Snippet:
    """One client's way: `place` is the file or the command line it goes to."""

    client: str
    place: str
    text: str


def endpoint(base: str, server: str) -> str:
    """The MCP endpoint of a server behind the proxy at `base`."""
    return f"{base.rstrip('/')}/mcp/{server}"


def snippets(
    base: str, server: str, token: str | None = None, program: tuple[str, ...] = ("policylayer",)
) -> list[Snippet]:
    """A snippet for each client that is known; `program` is how this one is launched where no shell finds it."""
    found = [
        Snippet(client, place, make(endpoint(base, server), base, server, token)) for client, place, make in _CLIENTS
    ]
    return [*found, Snippet(*_LAUNCHING, _launched(base, server, token, program))]


def _claude_command(url: str, base: str, server: str, token: str | None) -> str:
    name, address = shlex.quote(server), shlex.quote(url)
    # Double quotes: the shell is to put the variable in.
    header = f'"Authorization: Bearer {token or "$" + VARIABLE}"'
    return f"claude mcp add --transport http {name} {address} --header {header}"


def _claude_file(url: str, base: str, server: str, token: str | None) -> str:
    return _json({"mcpServers": {server: {"type": "http", "url": url, **_headers(token, f"${{{VARIABLE}}}")}}})


def _cursor(url: str, base: str, server: str, token: str | None) -> str:
    return _json({"mcpServers": {server: {"url": url, **_headers(token, f"${{env:{VARIABLE}}}")}}})


def _vscode(url: str, base: str, server: str, token: str | None) -> str:
    entry = {"type": "http", "url": url, **_headers(token, "${input:policylayer-grant}")}
    prompt = {
        "type": "promptString",
        "id": "policylayer-grant",
        "description": "The policylayer grant",
        "password": True,
    }
    return _json({"servers": {server: entry}} if token else {"inputs": [prompt], "servers": {server: entry}})


def _generic(url: str, base: str, server: str, token: str | None) -> str:
    return _json({"url": url, **_headers(token, f"${{{VARIABLE}}}")})


def _launched(base: str, server: str, token: str | None, program: tuple[str, ...]) -> str:
    name, *before = program
    command = {"command": name, "args": [*before, "connect", "--url", base, "--server", server]}
    return _json({"mcpServers": {server: {**command, "env": {VARIABLE: token or f"${{{VARIABLE}}}"}}}})


def _headers(token: str | None, reference: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {token or reference}"}}


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


_CLIENTS: Final[list[tuple[str, str, Callable[[str, str, str, str | None], str]]]] = [
    ("claude-code", "a command line", _claude_command),
    ("claude-code", ".mcp.json", _claude_file),
    ("cursor", ".cursor/mcp.json", _cursor),
    ("vscode", ".vscode/mcp.json", _vscode),
    ("generic", "any client that takes a URL and headers", _generic),
]

_LAUNCHING: Final = ("generic-stdio", "any client that launches a command")
