"""What to paste into a client: right for each, and without the token unless it is given."""

from __future__ import annotations

import json
import shlex

from policylayer.identity.snippets import VARIABLE, endpoint, snippets


def by_place(token: str | None) -> dict[str, str]:
    return {each.place: each.text for each in snippets("https://proxy.example.com/", "shop", token)}


def test_every_client_gets_the_servers_endpoint() -> None:
    found = snippets("https://proxy.example.com/", "shop")
    assert {each.client for each in found} == {"claude-code", "cursor", "vscode", "generic", "generic-stdio"}
    for each in found:
        assert "https://proxy.example.com/mcp/shop" in each.text or "connect" in each.text
    assert endpoint("http://127.0.0.1:8080", "shop") == "http://127.0.0.1:8080/mcp/shop"


def test_without_a_token_no_secret_has_to_stand_in_a_file() -> None:
    found = by_place(None)
    claude = json.loads(found[".mcp.json"])["mcpServers"]["shop"]
    assert claude == {
        "type": "http",
        "url": "https://proxy.example.com/mcp/shop",
        "headers": {"Authorization": f"Bearer ${{{VARIABLE}}}"},
    }
    cursor = json.loads(found[".cursor/mcp.json"])["mcpServers"]["shop"]
    assert cursor["headers"]["Authorization"] == f"Bearer ${{env:{VARIABLE}}}"
    code = json.loads(found[".vscode/mcp.json"])
    assert code["servers"]["shop"]["headers"]["Authorization"] == f"Bearer ${{input:{code['inputs'][0]['id']}}}"
    assert code["inputs"][0]["password"] is True
    assert f"Bearer ${VARIABLE}" in found["a command line"]


def test_with_a_token_it_is_in_its_place() -> None:
    found = by_place("plg_x_y")
    assert shlex.split(found["a command line"]) == [
        *("claude", "mcp", "add", "--transport", "http", "shop", "https://proxy.example.com/mcp/shop"),
        *("--header", "Authorization: Bearer plg_x_y"),
    ]
    assert "inputs" not in json.loads(found[".vscode/mcp.json"])
    launched = json.loads(found["any client that launches a command"])["mcpServers"]["shop"]
    assert launched["env"] == {VARIABLE: "plg_x_y"}
    assert launched["args"][0] == "connect"
