"""Which lists are filtered, and what of their items is looked at."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from policylayer.wire import lists
from policylayer.wire.lists import LISTS, LONGEST_FRESH_MS, name_of
from policylayer.wire.rejection import Rejection
from policylayer.wire.server_messages import ServerMessage, decode

METHODS = pytest.mark.parametrize("method", sorted(LISTS))


def response(method: str, items: list[Any], **result: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {LISTS[method].items: items, **result}})


def filter_list(body: bytes, method: str, keep: Callable[[dict[str, Any]], bool], modern: bool) -> bytes | None:
    """What is left of an answer, as the proxy reads it."""
    message = decode(body)
    return lists.filter_list(message, method, keep, modern) if isinstance(message, ServerMessage) else None


def item(method: str, name: str, **more: Any) -> dict[str, Any]:
    return {LISTS[method].name: name, **more}


@METHODS
@pytest.mark.parametrize("modern", [True, False])
def test_items_go_and_everything_else_stays(method: str, modern: bool) -> None:
    items = [item(method, name, x={"$defs": {}, "n": 1.5}) for name in "abcd"]
    body = response(method, items, nextCursor="c", cacheScope="private", _meta={"k": 1}, unknown=[1])
    filtered = filter_list(body, method, lambda one: name_of(method, one) in ("a", "d"), modern)
    assert filtered is not None
    expected = orjson.loads(body)
    del expected["result"][LISTS[method].items][1:3]
    assert orjson.loads(filtered) == expected


@METHODS
def test_where_nothing_goes_nothing_changes(method: str) -> None:
    body = b' {"jsonrpc": "2.0", "result": {"a\\u0062": 1.50, "' + LISTS[method].items.encode() + b'": [ ]}, "id": 1}\n'
    assert filter_list(body, method, lambda _: True, False) == body


@METHODS
def test_names(method: str) -> None:
    assert name_of(method, item(method, "x")) == "x"
    assert name_of(method, {}) is None
    assert name_of(method, {LISTS[method].name: 5}) is None


def test_bytes_of_what_is_kept_are_kept() -> None:
    kept = b'{ "name" : "a" , "n":1.50e+2 , "\\u0061":"\\u00e9\\/" }'
    body = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"b"},' + kept + b',{"name":"c"}],"nextCursor":"x"}}'
    filtered = filter_list(body, "tools/list", lambda tool: tool["name"] == "a", False)
    assert filtered == b'{"jsonrpc":"2.0","id":1,"result":{"tools":[' + kept + b'],"nextCursor":"x"}}'


@pytest.mark.parametrize("modern", [True, False])
def test_items_without_a_name_go(modern: bool) -> None:
    body = response("tools/list", [5, None, [], {}, {"name": None}, {"name": "a"}, {"Name": "b"}])
    filtered = filter_list(body, "tools/list", lambda _: True, modern)
    assert orjson.loads(filtered or b"")["result"]["tools"] == [{"name": "a"}]


@pytest.mark.parametrize("scope", [{}, {"cacheScope": "public"}, {"cacheScope": "private"}, {"cacheScope": None}])
def test_modern_lists_are_private(scope: dict[str, Any]) -> None:
    body = response("prompts/list", [{"name": "a"}], ttlMs=5, **scope)
    filtered = filter_list(body, "prompts/list", lambda _: True, True)
    assert orjson.loads(filtered or b"")["result"] == {"prompts": [{"name": "a"}], "ttlMs": 5, "cacheScope": "private"}
    assert filter_list(body, "prompts/list", lambda _: True, False) == body


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (0, 0),
        (LONGEST_FRESH_MS, LONGEST_FRESH_MS),
        (3_600_000, LONGEST_FRESH_MS),
        (1e300, LONGEST_FRESH_MS),
        ("x", "x"),
    ],
)
def test_modern_lists_do_not_stay_fresh_for_long(sent: Any, told: Any) -> None:
    filtered = filter_list(response("tools/list", [], ttlMs=sent), "tools/list", lambda _: True, True)
    assert orjson.loads(filtered or b"")["result"]["ttlMs"] == told


def test_modern_tools_with_broken_annotations_go() -> None:
    broken = {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}
    fine = {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
    body = response("tools/list", [{"name": "b", "inputSchema": broken}, {"name": "f", "inputSchema": fine}])
    names = []
    for modern in (True, False):
        filtered = filter_list(body, "tools/list", lambda _: True, modern)
        names.append([tool["name"] for tool in orjson.loads(filtered or b"")["result"]["tools"]])
    assert names == [["f"], ["b", "f"]]
    other = response("prompts/list", [{"name": "b", "inputSchema": broken}])
    assert b'"b"' in (filter_list(other, "prompts/list", lambda _: True, True) or b"")


def test_errors_stay_as_they_are() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}'
    assert filter_list(body, "tools/list", lambda _: False, True) == body


@pytest.mark.parametrize(
    "result",
    [
        b"{}",
        b'{"tools":{}}',
        b'{"tools":null}',
        b'{"tools":[],"Tools":[{"name":"hidden"}]}',
        b'{"Tools":[{"name":"hidden"}]}',
        b'{"tools":[],"tool\\u017f":[{"name":"hidden"}]}',
    ],
)
def test_what_is_no_list_is_not_passed(result: bytes) -> None:
    message = decode(b'{"jsonrpc":"2.0","id":1,"result":%b}' % result)
    assert isinstance(message, ServerMessage), "so that it is the list that is refused"
    assert lists.filter_list(message, "tools/list", lambda _: True, False) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"result":[]}', b'{"result":{"tools":[],"tools":[1]}}', b'{"error":"x"}']
)
def test_what_is_no_answer_is_not_one_to_cut(body: bytes) -> None:
    assert isinstance(decode(body), Rejection)


def test_any_selection_of_any_list() -> None:
    source = random.Random(11)
    for _ in range(200):
        tools = [
            {"name": f"t{index}", "d": source.choice(['"]', "[{", "\\", ""])} for index in range(source.randrange(6))
        ]
        wanted = {tool["name"] for tool in tools if source.random() < 0.5}
        body = orjson.dumps(
            {"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "z": 1}},
            option=orjson.OPT_INDENT_2 if source.random() < 0.5 else None,
        )
        filtered = filter_list(body, "tools/list", lambda tool, wanted=wanted: tool["name"] in wanted, False)
        assert orjson.loads(filtered or b"")["result"] == {"tools": [t for t in tools if t["name"] in wanted], "z": 1}
