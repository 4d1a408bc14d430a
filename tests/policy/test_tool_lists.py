"""Lists of tools as files: the same tools are the same text, and what is no list is said to be none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policylayer.policy import tool_lists
from policylayer.policy.diagnostics import Diagnostic

TOOLS: list[dict[str, Any]] = [
    {
        "name": "b",
        "inputSchema": {"type": "object", "properties": {"y": {}, "x": {"type": "string"}}},
        "_meta": {"n": 1},
    },
    {
        "name": "a",
        "description": "A.",
        "inputSchema": {"type": "object"},
        "icons": [],
        "annotations": {"readOnlyHint": True},
    },
]


def read(data: Any, file: str = "tools/shop.tools.json") -> tuple[tool_lists.ToolList | None, list[Diagnostic]]:
    sink: list[Diagnostic] = []
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return tool_lists.read(file, text, sink), sink


def test_a_list_is_written_in_one_way_and_read_again() -> None:
    text = tool_lists.as_text("shop", TOOLS)
    assert text == tool_lists.as_text("shop", reversed(TOOLS))
    assert text.index('"a"') < text.index('"b"')
    assert text.index('"x"') < text.index('"y"')
    found, sink = read(text.encode())
    assert sink == []
    assert found is not None
    assert (found.server, sorted(found.tools), found.schemas["a"]) == ("shop", ["a", "b"], {"type": "object"})
    assert "_meta" not in found.tools["b"]
    assert tool_lists.as_text("shop", found.tools.values()) == text


@pytest.mark.parametrize("wrapped", [{"tools": TOOLS}, {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}}])
def test_the_answer_of_a_server_is_read_as_it_came(wrapped: Any) -> None:
    for file in ("shop.tools.json", "lists/shop.json"):
        found, _ = read(wrapped, file)
        assert found is not None
        assert found.server == "shop"


@pytest.mark.parametrize(
    ("data", "place", "said"),
    [
        (b'{"tools": [}', (1, 12), "not JSON"),
        (b"\xff", (1, 1), "not JSON"),
        ([], (1, 1), "no list `tools`"),
        ({"tools": {}}, (1, 1), "no list `tools`"),
        ({"result": 5}, (1, 1), "no list `tools`"),
        ({"tools": [5]}, (1, 1), "has a name"),
        ({"tools": [{"name": ""}]}, (1, 1), "has a name"),
        ({"server": 5, "tools": []}, (1, 1), "`server` is a name"),
        (b" " * (tool_lists.MAX_BYTES + 1), (1, 1), "larger than 16 MiB"),
        (b'{"tools": [{"name": "a", "x": ' + b"[" * 400 + b"]" * 400 + b"}]}", (1, 1), "nested too deeply"),
    ],
)
def test_what_is_no_list(data: Any, place: tuple[int, int], said: str) -> None:
    found, (finding,) = read(data)
    assert found is None
    assert finding.is_error
    assert (finding.code, finding.line, finding.column) == ("PL411", *place)
    assert said in finding.message


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "is not a JSON Schema"),
        (None, "is not a JSON Schema"),
        ({"properties": {"a": {"$ref": "https://127.0.0.1:1/x.json"}}}, "leads to `https://127.0.0.1:1/x.json`"),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "leads to `#/nowhere`"),
    ],
)
def test_a_schema_that_is_not_read_is_said_at_its_tool(schema: Any, said: str) -> None:
    text = tool_lists.as_text("shop", [*TOOLS, {"name": "c", "inputSchema": schema}])
    found, (finding,) = read(text.encode())
    assert found is not None
    assert (finding.code, finding.severity) == ("PL413", "warning")
    assert said in finding.message
    assert text.split("\n")[finding.line - 1][finding.column - 1 :].startswith('"name": "c"')
    if "not a JSON Schema" in said:
        assert found.schemas["c"] is True


def test_what_cannot_be_written_is_said() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for odd in (deep, "\ud800"):
        with pytest.raises(ValueError, match="cannot be written"):
            tool_lists.as_text("shop", [{"name": "a", "inputSchema": odd}])


def test_what_has_changed_is_said_in_words() -> None:
    recorded = {tool["name"]: tool for tool in TOOLS}
    assert tool_lists.difference(recorded, recorded) == ""
    assert tool_lists.difference(recorded, {**recorded, "b": {**TOOLS[0], "_meta": {"n": 2}}}) == ""
    now = {"b": {**TOOLS[0], "description": "B."}, "c": {"name": "c"}}
    assert tool_lists.difference(recorded, now) == "new: `c`; gone: `a`; changed: `b`"
