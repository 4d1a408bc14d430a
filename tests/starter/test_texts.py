"""What `init` writes: it loads, its tests pass, and no tool's name or description breaks out of its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.config import load as load_config
from policylayer.policy import tool_lists
from policylayer.policy.diagnostics import Diagnostic, render
from policylayer.policy.known import Known
from policylayer.policy.load import Loaded, load
from policylayer.starter.guess import Tool, kind_of
from policylayer.starter.texts import Found, files

TOOLS = (
    Tool("get_customer", "Looks up a customer.\nMore."),
    Tool("create_refund", "Refunds: money"),
    Tool("delete_file", "# not a comment"),
)


def loaded(found: Found) -> Loaded:
    written = files(found)
    texts = {p.removeprefix("policies/"): text.encode() for p, text in written.items() if p.startswith("policies/")}
    sink: list[Diagnostic] = []
    name = f"tools/{found.name}.tools.json"
    listed = tool_lists.read(name, written[name].encode(), sink)
    assert listed is not None
    assert set(listed.tools) == {tool.name for tool in found.tools}
    result = load(texts, Known(servers=frozenset({found.name}), tools={found.name: listed.schemas}))
    assert not result.diagnostics, render(result.diagnostics, texts)
    return result


def test_the_policy_loads_without_a_word(tmp_path: Path) -> None:
    result = loaded(Found("shop", TOOLS, url="http://127.0.0.1:1/mcp"))
    assert [str(rule.effect) for policy in result.policies for rule in policy.rules] == [
        "allow",
        "require_approval",
        "deny",
    ]
    assert len(result.tests) == 4


def test_a_server_without_tools_loads_too() -> None:
    assert loaded(Found("shop", (), url="http://127.0.0.1:1/mcp")).policies[0].rules == ()


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=90)), max_size=6, unique_by=lambda each: each[0]))
def test_no_name_or_description_breaks_the_file(tools: list[tuple[str, str]]) -> None:
    found = Found("shop", tuple(Tool(name, about) for name, about in tools), url="http://127.0.0.1:1/mcp")
    text = files(found)["policies/shop.yaml"]
    assert text.count("\npolicy: shop\n") == 1
    assert all(line.startswith((" ", "#", "policy", "applies_to", "rules")) or not line for line in text.split("\n"))


@pytest.mark.parametrize(
    "found",
    [
        Found("shop", TOOLS, url="http://127.0.0.1:1/mcp", header_names=("Authorization",)),
        Found("files", TOOLS, command=("npx", "-y", "@scope/server-x", "./data dir"), cwd="/"),
    ],
)
def test_the_configuration_loads(tmp_path: Path, found: Found) -> None:
    for name, text in files(found).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (server,) = load_config(tmp_path / "policylayer.yaml", {"SHOP_AUTHORIZATION": "Bearer x"}).servers
    assert server.mode == "observe"
    assert (server.url, server.command) == (found.url, found.command)
    assert dict(server.headers) == ({"Authorization": "Bearer x"} if found.header_names else {})


@pytest.mark.parametrize(
    ("name", "annotations", "kind"),
    [
        ("get_customer", {}, "read"),
        ("listFiles", {}, "read"),
        ("create_refund", {}, "write"),
        ("deleteFile", {"readOnlyHint": True}, "destructive"),
        ("get_and_purge", {}, "destructive"),
        ("frobnicate", {}, "write"),
        ("frobnicate", {"readOnlyHint": True}, "read"),
        ("get_it", {"readOnlyHint": False}, "write"),
        ("frobnicate", {"destructiveHint": True}, "destructive"),
        ("HTTPGet", {}, "write"),
        ("", {}, "write"),
    ],
)
def test_guesses(name: str, annotations: dict[str, bool], kind: str) -> None:
    assert kind_of(Tool(name, annotations=annotations)) == kind
